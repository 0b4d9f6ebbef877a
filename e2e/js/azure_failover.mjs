// Azure's JavaScript client writes through one node while the network's leader dies. Arguments: a
// file: once it is there, enough was written.
//
// This client sends a write again by itself after any error of the server or the connection, so
// without an Idempotency-Key some could be recorded twice.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const packages = createRequire(join(process.env.E2E_PACKAGES, "package.json"));
const { default: ConfidentialLedger, isUnexpected, paginate } = packages(
  "@azure-rest/confidential-ledger",
);
const [enough] = process.argv.slice(2);
const serviceCert = readFileSync(process.env.E2E_SERVICE_CERT, "utf8");
const getToken = async () => ({
  token: process.env.E2E_TOKEN,
  expiresOnTimestamp: Date.now() + 3_600_000,
});
const client = ConfidentialLedger(process.env.E2E_URL, serviceCert, { getToken });
const collectionId = "failover-js";

const acknowledged = [];
while (!existsSync(enough)) {
  const contents = `number ${acknowledged.length}`;
  const response = await client.path("/app/transactions").post({
    contentType: "application/json",
    body: { contents },
    queryParameters: { collectionId },
    headers: { "Idempotency-Key": randomUUID() },
  });
  assert(!isUnexpected(response), `${response.status} ${JSON.stringify(response.body)}`);
  acknowledged.push([response.headers["x-ms-ccf-transaction-id"], contents]);
}

const listed = [];
const list = await client.path("/app/transactions").get({ queryParameters: { collectionId } });
for await (const { transactionId, contents } of paginate(client, list)) {
  listed.push([transactionId, contents]);
}
assert.deepEqual(listed, acknowledged);
writeFileSync(join(process.env.E2E_SCRATCH, "acknowledged.json"), JSON.stringify(acknowledged));
console.log(`@azure-rest/confidential-ledger: ${acknowledged.length} writes`);
