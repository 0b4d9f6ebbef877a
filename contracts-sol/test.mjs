// Runs the test contracts of artifacts/test/ on a node whose first account is unlocked:
//     node test.mjs http://127.0.0.1:8545 [word of a contract's or a test's name]
// Each test function runs in a contract of its own: deploy, setUp() if there is one, then the test. A
// test that reverts has failed. Any other runner that keeps to these three lines does as well.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const [node = "http://127.0.0.1:8545", word = ""] = process.argv.slice(2);
const GAS = "0xf42400"; // 16 M, below the limit that Osaka sets to one transaction

const [from] = await call("eth_accounts", []);
let passed = 0;
const failed = [];
for (const name of readdirSync(join(here, "artifacts", "test")).sort()) {
  const artifact = JSON.parse(readFileSync(join(here, "artifacts", "test", name), "utf8"));
  const selectors = Object.entries(artifact.methodIdentifiers);
  for (const [signature, selector] of selectors.filter(([signature]) => signature.startsWith("test"))) {
    const title = `${artifact.contractName}.${signature.slice(0, -2)}`;
    if (!title.includes(word)) continue;
    const fault = await run(artifact, selector);
    if (fault) failed.push(`${title}: ${fault}`);
    else passed += 1;
  }
}
for (const line of failed) console.error(`FAILED ${line}`);
console.log(`${passed} tests passed, ${failed.length} failed`);
process.exit(failed.length || !passed ? 1 : 0);

async function run({ bytecode, methodIdentifiers }, selector) {
  const deployed = await send({ data: bytecode });
  if (deployed.status !== "0x1") return `the constructor reverts: ${await reason({ data: bytecode })}`;
  const to = deployed.contractAddress;
  if (methodIdentifiers["setUp()"]) {
    const data = `0x${methodIdentifiers["setUp()"]}`;
    if ((await send({ to, data })).status !== "0x1") return `setUp() reverts: ${await reason({ to, data })}`;
  }
  const data = `0x${selector}`;
  const before = await call("eth_blockNumber", []);
  if ((await send({ to, data })).status !== "0x1") return reason({ to, data }, before);
}

async function send(transaction) {
  const hash = await call("eth_sendTransaction", [{ from, gas: GAS, ...transaction }]);
  for (;;) {
    const receipt = await call("eth_getTransactionReceipt", [hash]);
    if (receipt) return receipt;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function reason(transaction, block = "latest") {
  const { error } = await request("eth_call", [{ from, gas: GAS, ...transaction }, block]);
  if (!error) return "reverts (a call of the same does not)";
  const data = typeof error.data === "string" ? error.data : "0x";
  // The text of Failed(string), the error of test/Check.sol, is readable in its bytes.
  const text = Buffer.from(data.slice(10), "hex").toString("utf8").replace(/[^\x20-\x7e]+/g, " ");
  return `${error.message} ${data.slice(0, 10)} ${text}`;
}

async function call(method, params) {
  const { result, error } = await request(method, params);
  if (error) throw new Error(`${method}: ${error.message}`);
  return result;
}

async function request(method, params) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
  const headers = { "content-type": "application/json" };
  return (await fetch(node, { method: "POST", headers, body })).json();
}
