// Keccak-256 as Ethereum has it, which browsers do not: the sponge of FIPS 202 with the padding from before
// that standard. Runs in browsers and in Node.js alike.

// So many bytes of the state take the input.
const RATE = 136;
const LANE = (1n << 64n) - 1n;

const rotated = (lane, by) => ((lane << by) | (lane >> (64n - by))) & LANE;

/** The digest of bytes: 32 bytes. */
export function keccak256(bytes) {
  const padded = new Uint8Array((Math.floor(bytes.length / RATE) + 1) * RATE);
  padded.set(bytes);
  padded[bytes.length] ^= 0x01;
  padded[padded.length - 1] ^= 0x80;
  const input = new DataView(padded.buffer);
  // Lane x of row y is at x + 5y.
  const lanes = new Array(25).fill(0n);
  for (let block = 0; block < padded.length; block += RATE) {
    for (let lane = 0; lane < RATE / 8; lane += 1) lanes[lane] ^= input.getBigUint64(block + 8 * lane, true);
    permute(lanes);
  }
  const digest = new DataView(new ArrayBuffer(32));
  for (let lane = 0; lane < 4; lane += 1) digest.setBigUint64(8 * lane, lanes[lane], true);
  return new Uint8Array(digest.buffer);
}

// Where each lane goes and how far it is turned (rho and pi), and what each round adds (iota).
const MOVES = moves();
const ROUNDS = constants();

function permute(lanes) {
  for (const constant of ROUNDS) {
    // Theta.
    const parity = [0, 1, 2, 3, 4].map((x) => lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20]);
    for (let at = 0; at < 25; at += 1) lanes[at] ^= parity[(at + 4) % 5] ^ rotated(parity[(at + 1) % 5], 1n);
    // Rho and pi.
    const moved = [lanes[0]];
    for (const { from, to, by } of MOVES) moved[to] = rotated(lanes[from], by);
    // Chi: each lane and the next two of its row.
    for (let at = 0; at < 25; at += 1) {
      const row = at - (at % 5);
      lanes[at] = moved[at] ^ (~moved[row + ((at + 1) % 5)] & LANE & moved[row + ((at + 2) % 5)]);
    }
    lanes[0] ^= constant;
  }
}

function moves() {
  const all = [];
  let [x, y] = [1, 0];
  for (let step = 1; step < 25; step += 1) {
    const from = x + 5 * y;
    [x, y] = [y, (2 * x + 3 * y) % 5];
    all.push({ from, to: x + 5 * y, by: BigInt(((step * (step + 1)) / 2) % 64) });
  }
  return all;
}

/** Bits of a shift register (x^8 + x^6 + x^5 + x^4 + 1), at places 0, 1, 3, 7, 15, 31, 63 of a lane. */
function constants() {
  let register = 1;
  return Array.from({ length: 24 }, () => {
    let constant = 0n;
    for (let bit = 0; bit < 7; bit += 1) {
      if (register & 1) constant |= 1n << BigInt(2 ** bit - 1);
      register = register & 0x80 ? ((register << 1) ^ 0x171) : register << 1;
    }
    return constant;
  });
}
