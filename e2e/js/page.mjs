// The page's own check of receipts, as a browser runs it: it takes true receipts, and of all that
// can be made of one by changing a character, none.
import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { Agent, request } from "node:https";

import { NotValid, fingerprint, verify } from "../../web/verify.js";

const ROUNDS = 2_000;
const VERSION = "api-version=2026-07-31-preview";
const service = readFileSync(process.env.E2E_SERVICE_CERT, "utf8");
const agent = new Agent({ ca: service, keepAlive: true });
const authorization = `Bearer ${process.env.E2E_TOKEN}`;
const step = (text) => console.log("-", text);

/** The body of a success, as text. */
function ask(method, path, body) {
  return new Promise((resolve, reject) => {
    const headers = { authorization, "content-type": "application/json" };
    const sent = request(process.env.E2E_URL + path, { method, agent, headers }, (answer) => {
      const pieces = [];
      answer.on("data", (piece) => pieces.push(piece));
      answer.on("end", () => {
        const text = Buffer.concat(pieces).toString();
        if (answer.statusCode === 200) resolve({ text, headers: answer.headers });
        else reject(new Error(`${path}: ${answer.statusCode} ${text}`));
      });
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

async function receipt(contents) {
  const body = JSON.stringify({ contents });
  const path = `/app/transactions?${VERSION}&collectionId=page`;
  const { headers } = await ask("POST", path, body);
  const id = headers["x-ms-ccf-transaction-id"];
  const { text } = await ask("GET", `/app/transactions/${id}/receipt?${VERSION}`);
  return { id, text };
}

/** The rule that a receipt breaks; null for a true one. */
async function broken(text, anchor = service) {
  try {
    await verify(text, anchor);
    return null;
  } catch (error) {
    assert(error instanceof NotValid, `${error.stack}\n${text}`);
    return error.message;
  }
}

step("receipts of a running ledger are true, each rule is told");
const receipts = [];
for (const contents of ["lot 7", "", "\u{1f33e} \"quoted\" \\ \u0001", "x".repeat(10_000)]) {
  const { id, text } = await receipt(contents);
  const rules = [];
  const proven = await verify(text, service, ({ rule }) => rules.push(rule));
  assert.equal(proven.transaction, id);
  assert.equal(proven.claims[0].ledgerEntry.contents, contents);
  assert.equal(proven.service, await fingerprint(service));
  assert.equal(rules.length, 6);
  receipts.push(text);
}

step("a receipt of a real ledger of 2023 is true, under its own service only");
const data = (name) =>
  readFileSync(new URL(`../../crates/verify/testdata/${name}`, import.meta.url), "utf8");
const [cloud, cloudService] = [data("azure-receipt-2023.json"), data("azure-service-2023.pem")];
assert.equal((await verify(cloud, cloudService)).transaction, "2.13");
assert.match(await broken(cloud), /did not endorse/);
assert.match(await broken(receipts[0], cloudService), /did not endorse/);

step(`${ROUNDS} receipts with one character changed are refused`);
const meaning = (text) => {
  try {
    return JSON.stringify(JSON.parse(text));
  } catch {
    return text;
  }
};
// A linear congruential generator: the same changes in each run (Knuth, TAOCP 3.3.4).
let seed = 1n;
const random = (below) => {
  seed = (seed * 6364136223846793005n + 1442695040888963407n) % (1n << 64n);
  return Number((seed >> 33n) % BigInt(below));
};
const ALPHABET = '0123456789abcdefABCDEF+/=\\"{}[]:,nu ';
// White space in PEM and the case of hex digits say nothing; nor do fields that are not known.
const plain = (text) => meaning(text).replaceAll(/\\n/g, "").toLowerCase();
let refused = 0;
for (let round = 0; round < ROUNDS; round += 1) {
  const text = receipts[0];
  const place = random(text.length);
  const changed = text.slice(0, place) + ALPHABET[random(ALPHABET.length)] + text.slice(place + 1);
  if (plain(changed) === plain(text)) continue;
  const why = await broken(changed);
  const field = text.slice(0, place).match(/"([A-Za-z]+)"[^"]*"?[^"]*$/)?.[1];
  if (why === null) {
    // Names of fields that need not be there, and the state, which is no part of the receipt.
    const ignored = ["state", "Ready", "nodeId", "applicationClaims", "transactionId", "leaf", "root"];
    assert(ignored.some((name) => !changed.includes(`"${name}"`)), `${field} ${place}\n${changed}`);
    continue;
  }
  refused += 1;
}
assert(refused > ROUNDS * 0.8, `${refused}`);

step("contents beside a claim of another kind are never shown as proven");
const disguised = JSON.parse(receipts[0]);
const [{ ledgerEntry }] = disguised.applicationClaims;
const mac = (value) =>
  createHmac("sha256", Buffer.from(ledgerEntry.secretKey, "base64")).update(value).digest();
const pair = [mac(ledgerEntry.collectionId), mac(ledgerEntry.contents)];
const value = createHash("sha256").update(Buffer.concat(pair)).digest("hex");
const digest = { protocol: "LedgerEntryV1", value };
for (const name of ["ledgerEntry", "ledger_entry"]) {
  const forged = { kind: "ClaimDigest", digest, [name]: { ...ledgerEntry, contents: "lot 8" } };
  const told = [];
  const text = JSON.stringify({ ...disguised, applicationClaims: [forged] });
  const proven = await verify(text, service, ({ shown }) => told.push(shown));
  assert(!JSON.stringify([told, proven]).includes("lot 8"), JSON.stringify([told, proven]));
}

step("what is no receipt is refused with a word");
for (const text of ["", "null", "[]", "7", "{}", '{"receipt":null}', '{"receipt":{"cert":7}}']) {
  assert(await broken(text), text);
}
assert(await broken(receipts[0], "no certificate"));

step("the page and its scripts are served as they are here");
for (const name of ["verify.js", "chain.js", "page.js", "style.css", "icon.svg"]) {
  const { text } = await ask("GET", `/web/${name}`);
  assert.equal(text, readFileSync(new URL(`../../web/${name}`, import.meta.url), "utf8"));
}
agent.destroy();
