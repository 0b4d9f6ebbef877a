// Checks a receipt with the browser's own cryptography, from its bytes and the certificate of the
// service that is trusted. The rules are those of docs/formats/receipt.md; nothing is asked of
// anybody. Runs in browsers and in Node.js alike.

const text = new TextEncoder();

// Where a tree of 2^63 leaves would end.
const STEPS_MAX = 64;
const ENDORSEMENTS_MAX = 32;
const RECEIPT_CHARS_MAX = 16 << 20;

/** What is wrong, in words for whoever relies on the receipt. */
export class NotValid extends Error {}

/**
 * Checks a receipt as the receipt endpoint gives it, or the receipt alone.
 *
 * `steps` is called with each rule that holds: `{ rule, shown }`. The result says what is proven.
 * @throws {NotValid} the first rule that does not hold
 */
export async function verify(json, servicePem, steps = () => {}) {
  const document = parse(json);
  const receipt = document.receipt ?? document;
  const cert = await certificate(field(receipt, "cert"));
  const service = await certificate(servicePem, "the service certificate");

  const parts = field(receipt, "leafComponents", "leaf_components");
  const claimsDigest = hex(field(parts, "claimsDigest", "claims_digest"));
  const evidence = string(field(parts, "commitEvidence", "commit_evidence"));
  let claims = optional(document, "applicationClaims", "application_claims");
  if (claims !== undefined && claims !== null) {
    const shown = await digestOfClaims(claims);
    must(same(shown, claimsDigest), "The contents are not those that were recorded.");
    claims = claims.map(covered);
    const contents = claims.length === 0 ? "no claims" : claims.map(told).join(", ");
    steps({ rule: "The contents are those that were recorded.", shown: contents });
  }

  const transaction = /^ce:([1-9][0-9]{0,19}\.[1-9][0-9]{0,19}):/.exec(evidence)?.[1];
  must(transaction, "The commit evidence names no transaction.");
  const stated = optional(document, "transactionId", "transaction_id");
  must(
    stated === undefined || stated === null || stated === transaction,
    `The receipt is of transaction ${transaction}, not of ${stated}.`,
  );
  steps({ rule: `A node told that transaction ${transaction} is committed.`, shown: evidence });

  let preimage = join(
    hex(field(parts, "writeSetDigest", "write_set_digest")),
    await sha256(text.encode(evidence)),
    claimsDigest,
  );
  const leaf = await sha256(preimage);
  agrees(receipt, "leaf", leaf);
  steps({ rule: "These make its leaf in the tree of all entries.", shown: toHex(leaf) });

  const proof = list(field(receipt, "proof"), STEPS_MAX);
  let root = leaf;
  for (const step of proof) {
    preimage = sibling(step, root);
    root = await sha256(preimage);
  }
  agrees(receipt, "root", root);
  steps({ rule: `The path of ${proof.length} digests leads to a root.`, shown: toHex(root) });

  // The root is what is signed, and not hashed again; it is the digest of what it was made of.
  const signature = base64(field(receipt, "signature"));
  must(await signs(cert, "SHA-256", signature, preimage), "The root is not signed by the node.");
  const node = optional(receipt, "nodeId", "node_id");
  must(!node || node === toHex(cert.keyDigest), "The node's name is not that of its key.");
  steps({ rule: "The node signed that root.", shown: toHex(cert.keyDigest) });

  let last = cert;
  const endorsements = optional(receipt, "serviceEndorsements", "service_endorsements") ?? [];
  for (const pem of list(endorsements, ENDORSEMENTS_MAX)) {
    const earlier = await certificate(pem);
    must(await endorses(earlier, last), "The chain of earlier services is broken.");
    last = earlier;
  }
  must(await endorses(service, last), "The service that you trust did not endorse the node.");
  steps({ rule: "The service that you trust endorsed that node.", shown: service.fingerprint });
  return { transaction, root: toHex(root), claims, service: service.fingerprint };
}

/** The fingerprint of a certificate, as the command line shows it. */
export async function fingerprint(pem) {
  return (await certificate(pem, "the service certificate")).fingerprint;
}

function parse(json) {
  must(json.length <= RECEIPT_CHARS_MAX, "That is too long for a receipt.");
  let document;
  try {
    document = JSON.parse(json);
  } catch {
    throw new NotValid("That is not JSON: paste the whole receipt.");
  }
  must(typeof document === "object" && document !== null, "That is not a receipt.");
  return document;
}

// Claims: CCF's and Azure's protocol LedgerEntryV1, or a digest that stands for itself.

async function digestOfClaims(claims) {
  const all = list(claims, 1024);
  if (all.length === 0) return new Uint8Array(32);
  const count = new Uint8Array(4);
  new DataView(count.buffer).setUint32(0, all.length, true);
  return sha256(join(count, ...(await Promise.all(all.map(digestOfClaim)))));
}

/** Of a claim only what its kind says and its digest covers: whatever stands beside that proves nothing. */
function covered(claim) {
  const kind = field(claim, "kind");
  if (kind === "LedgerEntry") return { kind, ledgerEntry: field(claim, "ledgerEntry", "ledger_entry") };
  if (kind === "EthereumTransaction") {
    return { kind, ethereumTransaction: field(claim, "ethereumTransaction") };
  }
  return { kind, digest: field(claim, "digest") };
}

async function digestOfClaim(claim) {
  const { ledgerEntry, ethereumTransaction, digest } = covered(claim);
  if (ledgerEntry) {
    must(ledgerEntry.protocol === "LedgerEntryV1", "The claim has a protocol that is not known here.");
    const secret = base64(field(ledgerEntry, "secretKey", "secret_key"));
    const key = await crypto.subtle.importKey(
      "raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["sign"],
    );
    const mac = async (value) =>
      new Uint8Array(await crypto.subtle.sign("HMAC", key, text.encode(string(value))));
    const collection = await mac(field(ledgerEntry, "collectionId", "collection_id"));
    const value = await sha256(join(collection, await mac(field(ledgerEntry, "contents"))));
    return sha256(join(text.encode("LedgerEntryV1"), value));
  }
  if (ethereumTransaction) {
    const encoded = rlpOfTransaction(ethereumTransaction);
    return sha256(join(text.encode("EthereumTransactionV1"), await sha256(encoded)));
  }
  return sha256(join(text.encode(string(field(digest, "protocol"))), hex(field(digest, "value"))));
}

// What became of a transaction of a contract, as Ethereum encodes it (RLP, its yellow paper's appendix B).

function rlpOfTransaction(transaction) {
  const address = (name) => {
    const value = optional(transaction, name);
    return rlp(value == null ? new Uint8Array() : digits(value, 20));
  };
  const logs = list(field(transaction, "logs"), 100_000).map((log) => {
    const topics = list(field(log, "topics"), 4).map((topic) => rlp(digits(topic, 32)));
    const data = rlp(digits(field(log, "data")));
    return rlpList([rlp(digits(field(log, "address"), 20)), rlpList(topics), data]);
  });
  const succeeded = field(transaction, "succeeded");
  must(typeof succeeded === "boolean", "The claim does not say whether the call succeeded.");
  const gas = field(transaction, "gasUsed");
  must(Number.isSafeInteger(gas) && gas >= 0, "The claim's gas is no number.");
  return rlpList([
    rlp(digits(field(transaction, "transactionHash"), 32)),
    address("from"),
    address("to"),
    rlp(bigEndian(Number(succeeded))),
    rlp(bigEndian(gas)),
    address("contractAddress"),
    rlpList(logs),
  ]);
}

/** Bytes after `0x`; so many, if that is said. */
function digits(value, length) {
  const even = /^0x[0-9a-fA-F]*$/.test(string(value)) && value.length % 2 === 0;
  must(even, "Bytes of the claim are 0x and pairs of hex digits.");
  const pairs = value.slice(2).match(/../g) ?? [];
  must(length === undefined || pairs.length === length, "A part of the claim has another length.");
  return Uint8Array.from(pairs, (pair) => Number.parseInt(pair, 16));
}

/** Without leading zeros; nothing for zero. */
function bigEndian(value) {
  const bytes = [];
  for (let rest = value; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return new Uint8Array(bytes);
}

const rlp = (bytes) =>
  bytes.length === 1 && bytes[0] < 0x80 ? bytes : join(rlpLength(0x80, bytes.length), bytes);

function rlpList(items) {
  const payload = join(...items);
  return join(rlpLength(0xc0, payload.length), payload);
}

function rlpLength(kind, length) {
  if (length < 56) return new Uint8Array([kind + length]);
  const bytes = bigEndian(length);
  return new Uint8Array([kind + 55 + bytes.length, ...bytes]);
}

function told({ ledgerEntry, ethereumTransaction: call, digest }) {
  if (ledgerEntry) return ledgerEntry.contents;
  if (!call) return `a digest by ${digest.protocol}`;
  const whom = call.to ?? `making ${call.contractAddress ?? "no contract"}`;
  return `${call.from} \u2192 ${whom}: ${call.succeeded ? "succeeded" : "failed"}, gas ${call.gasUsed}`;
}

// The tree.

function sibling(step, current) {
  const left = optional(step, "left");
  const right = optional(step, "right");
  must((left === undefined) !== (right === undefined), "A step of the path names no side, or two.");
  return left === undefined ? join(current, hex(right)) : join(hex(left), current);
}

function agrees(receipt, name, actual) {
  const stated = optional(receipt, name);
  must(stated == null || stated === toHex(actual), `The ${name} in the receipt is another one.`);
}

// Certificates: X.509 with ECDSA on P-256 or P-384, and nothing else.

const CURVES = {
  "2a8648ce3d030107": { namedCurve: "P-256", length: 32 },
  "2b81040022": { namedCurve: "P-384", length: 48 },
};
const HASHES = { "2a8648ce3d040302": "SHA-256", "2a8648ce3d040303": "SHA-384" };

async function certificate(pem, what = "a certificate of the receipt") {
  const body = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/.exec(pem);
  must(body, `There is no certificate in ${what}.`);
  const der = base64(body[1].replace(/\s/g, ""));
  try {
    const [signed, algorithm, signature] = children(element(der, 0).content, 3);
    const hash = HASHES[toHex(children(algorithm.content, 1)[0].content)];
    // Version, serial, algorithm, issuer, validity, subject, key.
    const spki = children(signed.content, 7)[6];
    const [, curveId] = children(children(spki.content, 2)[0].content, 2);
    const curve = CURVES[toHex(curveId.content)];
    must(hash && curve, "");
    const key = await crypto.subtle.importKey(
      "spki", spki.whole, { name: "ECDSA", namedCurve: curve.namedCurve }, false, ["verify"],
    );
    return {
      key,
      length: curve.length,
      keyDigest: await sha256(spki.whole),
      fingerprint: toHex(await sha256(der)).toUpperCase().match(/../g).join(":"),
      signed: signed.whole,
      hash,
      signature: signature.content.subarray(1),
    };
  } catch {
    throw new NotValid(`${what} cannot be read: it takes ECDSA on P-256 or P-384.`);
  }
}

const endorses = (issuer, cert) => signs(issuer, cert.hash, cert.signature, cert.signed);

async function signs(cert, hash, signature, message) {
  const raw = fixed(signature, cert.length);
  return raw !== null && crypto.subtle.verify({ name: "ECDSA", hash }, cert.key, raw, message);
}

/** A DER signature as two numbers of the curve's length; null if it is none. */
function fixed(signature, length) {
  try {
    const raw = new Uint8Array(2 * length);
    children(element(signature, 0).content, 2).forEach(({ content }, place) => {
      const number = content.subarray(content.findIndex((byte) => byte !== 0));
      if (number.length > length) throw new RangeError("a number is too long");
      raw.set(number, (place + 1) * length - number.length);
    });
    return raw;
  } catch {
    return null;
  }
}

/** The DER element at `at`. */
function element(der, at) {
  let length = der[at + 1];
  let start = at + 2;
  if (length > 0x80 && length <= 0x84) {
    start += length - 0x80;
    length = der.subarray(at + 2, start).reduce((sum, byte) => sum * 256 + byte, 0);
  }
  const end = start + length;
  if (!(end <= der.length)) throw new RangeError("an element is longer than what it is in");
  return { whole: der.subarray(at, end), content: der.subarray(start, end), end };
}

function children(der, least) {
  const found = [];
  for (let at = 0; at < der.length; at = found.at(-1).end) found.push(element(der, at));
  if (found.length < least) throw new RangeError("elements are missing");
  return found;
}

// Bytes.

const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));

function join(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  return whole;
}

const same = (a, b) => a.length === b.length && a.every((byte, place) => byte === b[place]);
const toHex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

function hex(value) {
  must(/^[0-9a-fA-F]{64}$/.test(value), "A digest has 64 hex digits.");
  return Uint8Array.from(value.match(/../g), (byte) => parseInt(byte, 16));
}

function base64(value) {
  try {
    return Uint8Array.from(atob(string(value)), (character) => character.charCodeAt(0));
  } catch {
    throw new NotValid("A field is not base64.");
  }
}

// Shapes. The newer spelling of a field comes first.

function optional(object, ...names) {
  must(typeof object === "object" && object !== null, "That is not a receipt.");
  const name = names.find((name) => Object.hasOwn(object, name));
  return name === undefined ? undefined : object[name];
}

function field(object, ...names) {
  const value = optional(object, ...names);
  must(value !== undefined && value !== null, `The receipt has no ${names[0]}.`);
  return value;
}

function string(value) {
  must(typeof value === "string", "A field that should be text is not.");
  return value;
}

function list(value, most) {
  must(Array.isArray(value) && value.length <= most, "A list is none, or too long.");
  return value;
}

function must(holds, otherwise) {
  if (!holds) throw new NotValid(otherwise);
}
