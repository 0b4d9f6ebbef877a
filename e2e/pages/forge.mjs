// A ledger of a test's own: it signs whatever it is told, so that each rule about what was signed is tried by
// itself. For contracts' transactions alone.
import { createHash, generateKeyPairSync, sign } from "node:crypto";

const sha256 = (...parts) => createHash("sha256").update(Buffer.concat(parts.map((part) => Buffer.from(part)))).digest();
const bytes = (text) => Buffer.from((text ?? "0x").slice(2), "hex");

/** Its service certificate, and `receipt`, which makes its receipt for a list of claims. */
export function forger() {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = certificate(privateKey, publicKey.export({ type: "spki", format: "der" }));
  const receipt = (claims) => {
    const count = Buffer.alloc(4);
    count.writeUInt32LE(claims.length);
    const evidence = `ce:2.9:${"ab".repeat(32)}`;
    const [writeSet, claimed] = [Buffer.alloc(32, 7), sha256(count, ...claims.map(digestOf))];
    const preimage = Buffer.concat([writeSet, sha256(evidence), claimed]);
    // One leaf is its own tree, signed by the service itself.
    const parts = { writeSetDigest: writeSet.toString("hex"), commitEvidence: evidence, claimsDigest: claimed.toString("hex") };
    const signature = sign("sha256", preimage, privateKey).toString("base64");
    return { state: "Ready", transactionId: "2.9", applicationClaims: claims, receipt: { cert: pem, leafComponents: parts, proof: [], signature } };
  };
  return { pem, receipt };
}

function digestOf({ kind, ethereumTransaction: call, digest }) {
  if (kind !== "EthereumTransaction") return sha256(digest.protocol, Buffer.from(digest.value, "hex"));
  const logs = call.logs.map(({ address, topics, data }) => [bytes(address), topics.map(bytes), bytes(data)]);
  const gas = call.gasUsed.toString(16);
  const whole = rlp([
    bytes(call.transactionHash), bytes(call.from), bytes(call.to), Buffer.from(call.succeeded ? [1] : []),
    Buffer.from(gas.padStart(gas.length + (gas.length % 2), "0"), "hex"), bytes(call.contractAddress), logs,
  ]);
  return sha256("EthereumTransactionV1", sha256(whole));
}

function rlp(item) {
  if (!Array.isArray(item) && item.length === 1 && item[0] < 0x80) return item;
  const [kind, payload] = Array.isArray(item) ? [0xc0, Buffer.concat(item.map(rlp))] : [0x80, item];
  if (payload.length < 56) return Buffer.concat([Buffer.from([kind + payload.length]), payload]);
  const length = payload.length.toString(16);
  const digits = Buffer.from(length.padStart(length.length + (length.length % 2), "0"), "hex");
  return Buffer.concat([Buffer.from([kind + 55 + digits.length]), digits, payload]);
}

/** X.509 with as little in it as its readers want. */
function certificate(key, spki) {
  const der = (tag, ...parts) => {
    const body = Buffer.concat(parts);
    const length = body.length < 0x80 ? [body.length] : [0x82, body.length >> 8, body.length & 0xff];
    return Buffer.concat([Buffer.from([tag, ...length]), body]);
  };
  const ecdsa = der(0x30, Buffer.from("06082a8648ce3d040302", "hex"));
  const [version, serial, time] = [der(0xa0, der(0x02, Buffer.from([2]))), der(0x02, Buffer.from([1])), der(0x17, Buffer.from("260101000000Z"))];
  const signed = der(0x30, version, serial, ecdsa, der(0x30), der(0x30, time, time), der(0x30), spki);
  const whole = der(0x30, signed, ecdsa, der(0x03, Buffer.from([0]), sign("sha256", signed, key)));
  return `-----BEGIN CERTIFICATE-----\n${whole.toString("base64")}\n-----END CERTIFICATE-----\n`;
}
