// Pictures of pages for the documents. A picture holds the text of its page as well, so that a test can tell
// whether the page still says what the picture shows, whatever fonts a machine has.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

const KEYWORD = "Description";
const SIGNATURE_LENGTH = 8;

/**
 * Holds a picture against the page that it shows. With UPDATE_GOLDEN in the environment it is made anew.
 * `text` is what the page says, without what differs from run to run.
 */
export async function held(page, file, text, options = {}) {
  if (process.env.UPDATE_GOLDEN) {
    mkdirSync(dirname(file), { recursive: true });
    const png = await page.screenshot({ animations: "disabled", ...options });
    writeFileSync(file, withText(png, text));
  }
  const hint = `run the test with UPDATE_GOLDEN=1, and look at ${file}`;
  assert(existsSync(file), `there is no picture: ${hint}`);
  assert.equal(textOf(readFileSync(file)), text, `the picture is an old one: ${hint}`);
}

/** The picture with a text in it: an iTXt chunk behind its header. */
function withText(png, text) {
  const header = SIGNATURE_LENGTH + 12 + png.readUInt32BE(SIGNATURE_LENGTH);
  // No compression, no language, no translated keyword.
  const data = Buffer.concat([Buffer.from(`iTXt${KEYWORD}`), Buffer.alloc(5), Buffer.from(text)]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length - 4);
  sum.writeUInt32BE(crc(data));
  return Buffer.concat([png.subarray(0, header), length, data, sum, png.subarray(header)]);
}

function textOf(png) {
  for (let at = SIGNATURE_LENGTH; at < png.length; at += 12 + png.readUInt32BE(at)) {
    const data = png.subarray(at + 4, at + 8 + png.readUInt32BE(at));
    const begin = `iTXt${KEYWORD}`;
    if (data.subarray(0, begin.length).toString() === begin) return data.subarray(begin.length + 5).toString();
  }
  return null;
}

/** The check of a chunk (CRC-32). */
function crc(bytes) {
  let sum = ~0;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit += 1) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
  }
  return ~sum >>> 0;
}
