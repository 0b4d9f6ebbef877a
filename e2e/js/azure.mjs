// Azure's JavaScript client does the main flows. Argument: token or cert.
import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

// The packages are in the cache folder, not beside this script.
const packages = createRequire(join(process.env.E2E_PACKAGES, "package.json"));
const { default: ConfidentialLedger, isUnexpected, paginate } = packages(
  "@azure-rest/confidential-ledger",
);

const kind = process.argv[2];
const url = process.env.E2E_URL;
const serviceCert = readFileSync(process.env.E2E_SERVICE_CERT, "utf8");
const bearer = (token) => ({
  getToken: async () => ({ token, expiresOnTimestamp: Date.now() + 3_600_000 }),
});

const step = (text) => console.log("-", text);

/** The answer's body where the call succeeded. */
function good(response) {
  assert(!isUnexpected(response), `${response.status} ${JSON.stringify(response.body)}`);
  return response.body;
}

/**
 * The answer's body where the status is this one. For calls on users: for them `isUnexpected` of
 * the client's version 1.0.0 takes any success but that of DELETE for a failure.
 */
function answered(response, status) {
  assert.equal(response.status, status, JSON.stringify(response.body));
  return response.body;
}

/** The call must have failed so. */
function refused(response, status, code) {
  const { error } = answered(response, status);
  assert.equal(error.code, code);
  assert(error.message);
}

const withToken = (token) => ConfidentialLedger(url, serviceCert, bearer(token));

function withCertificate(file) {
  const pem = readFileSync(file, "utf8");
  return ConfidentialLedger(url, serviceCert, { tlsOptions: { cert: pem, key: pem } });
}

const fingerprint = (file) => new X509Certificate(readFileSync(file)).fingerprint256;

async function assign(client, userId, assignedRole) {
  const contentType = "application/merge-patch+json";
  const body = { assignedRole };
  return client.path("/app/users/{userId}", userId).patch({ contentType, body });
}

async function administrator() {
  const bootstrap = withToken(process.env.E2E_TOKEN);
  if (kind === "token") return bootstrap;
  const [certificate] = process.argv.slice(3);
  const user = answered(await assign(bootstrap, fingerprint(certificate), "Administrator"), "200");
  assert.deepEqual(user, { userId: fingerprint(certificate), assignedRole: "Administrator" });
  return withCertificate(certificate);
}

const client = await administrator();

async function write(contents, collectionId) {
  const queryParameters = collectionId ? { collectionId } : {};
  const contentType = "application/json";
  const response = await client
    .path("/app/transactions")
    .post({ contentType, body: { contents }, queryParameters });
  assert.equal(good(response).collectionId, collectionId ?? "subledger:0");
  return response.headers["x-ms-ccf-transaction-id"];
}

async function committed(id) {
  for (let tries = 0; tries < 50; tries += 1) {
    const status = good(await client.path("/app/transactions/{transactionId}/status", id).get());
    assert.equal(status.transactionId, id);
    if (status.state === "Committed") return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.fail(`${id} is not committed`);
}

/** Asks until the answer is ready, as the service's documentation tells clients to. */
async function ready(ask) {
  for (let tries = 0; tries < 50; tries += 1) {
    const body = good(await ask());
    if (body.state === "Ready") return body;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return assert.fail("the answer is never ready");
}

async function entries() {
  for (const collectionId of [undefined, "scans"]) {
    const queryParameters = collectionId ? { collectionId } : {};
    const id = await write("from JavaScript ☕", collectionId);
    await committed(id);
    const current = await client.path("/app/transactions/current").get({ queryParameters });
    assert.equal(good(current).contents, "from JavaScript ☕");
    const one = client.path("/app/transactions/{transactionId}", id);
    const { entry } = await ready(() => one.get({ queryParameters }));
    assert.equal(entry.transactionId, id);
    assert.equal(entry.contents, "from JavaScript ☕");
    const receipt = client.path("/app/transactions/{transactionId}/receipt", id);
    const answer = await ready(() => receipt.get());
    assert.equal(answer.transactionId, id);
    checkReceipt(answer.receipt);
    step(`${id} was written, committed, read, and its receipt holds`);
  }
}

/** Hashes the way from the leaf to the root, and checks that the node's key and cert belong. */
function checkReceipt({ cert, leafComponents, nodeId, proof }) {
  const hash = (...parts) => {
    const sum = createHash("sha256");
    parts.forEach((part) => sum.update(part));
    return sum.digest();
  };
  const bytes = (hex) => Buffer.from(hex, "hex");
  let digest = hash(
    bytes(leafComponents.writeSetDigest),
    hash(leafComponents.commitEvidence),
    bytes(leafComponents.claimsDigest),
  );
  for (const { left, right } of proof) {
    digest = left ? hash(bytes(left), digest) : hash(digest, bytes(right));
  }
  assert.equal(digest.length, 32);
  const node = new X509Certificate(cert);
  assert(node.verify(new X509Certificate(serviceCert).publicKey), "the service endorses the node");
  const spki = node.publicKey.export({ type: "spki", format: "der" });
  assert.equal(hash(spki).toString("hex"), nodeId);
}

async function lists() {
  const ids = [];
  for (let n = 0; n < 5; n += 1) ids.push(await write(`entry ${n}`, "five"));
  await committed(ids.at(-1));
  const list = await client.path("/app/transactions").get({
    queryParameters: {
      collectionId: "five",
      fromTransactionId: ids[1],
      toTransactionId: ids[3],
    },
  });
  const listed = [];
  for await (const entry of paginate(client, list)) listed.push(entry.transactionId);
  assert.deepEqual(listed, ids.slice(1, 4));

  const { collections } = good(await client.path("/app/collections").get());
  const names = collections.map(({ collectionId }) => collectionId);
  for (const name of ["subledger:0", "scans", "five"]) assert(names.includes(name), name);
  step("entries are listed by collection and range");
}

async function service() {
  const constitution = good(await client.path("/app/governance/constitution").get());
  const digest = createHash("sha256").update(constitution.script).digest("hex");
  assert.equal(constitution.digest.toLowerCase(), digest);
  const { members } = good(await client.path("/app/governance/members").get());
  assert.equal(members.length, 1);
  const quotes = good(await client.path("/app/enclaveQuotes").get());
  assert(quotes.enclaveQuotes[quotes.currentNodeId].raw);
  step("the constitution matches its digest, one member governs, the node shows its evidence");
}

async function users() {
  const user = "9".repeat(36);
  answered(await assign(client, user, "Contributor"), "200");
  const path = client.path("/app/users/{userId}", user);
  assert.equal(answered(await path.get(), "200").assignedRole, "Contributor");
  answered(await assign(client, user, "Reader"), "200");
  const reader = answered(await path.get(), "200");
  assert.deepEqual(reader, { userId: user, assignedRole: "Reader" });
  answered(await path.delete(), "204");
  refused(await path.get(), "404", "ResourceNotFound");
  step("a user was added, given another role, and removed");
}

async function errors() {
  const read = client.path("/app/transactions/{transactionId}", "2.99999999");
  refused(await read.get(), "404", "TransactionPendingOrUnknown");
  const forger = withToken("not-a-token");
  refused(await forger.path("/app/collections").get(), "401", "InvalidAuthenticationInfo");
  step("who asks for what is not there, or shows no token, is told so");
}

console.log(`@azure-rest/confidential-ledger with a ${kind}`);
await entries();
await lists();
await service();
await users();
await errors();
