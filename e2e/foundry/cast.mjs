// foundry's cast, unmodified: deploys, writes, reads, filters, subscribes and estimates.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";

import { envOf, newKey, program, refused, run, step, url, wsUrl } from "./project.mjs";

const { bytecode } = JSON.parse(readFileSync(process.env.E2E_ARTIFACT, "utf8"));
const at = ["--rpc-url", url];
const cast = (command, ...args) => run("cast", [command, ...at, ...args]);
const fails = (says, command, ...args) => refused("cast", [command, ...at, ...args], says);
const json = async (...args) => JSON.parse(await cast(...args));

const key = ["--private-key", newKey()];
const sender = await run("cast", ["wallet", "address", ...key]);
const id = BigInt(await cast("chain-id"));
assert(id > 2n ** 32n, `${id}`);
assert.match(await cast("client"), /^Counterfoil/);
step(`chain ${id}`);

const made = await json("send", ...key, "--json", "--create", bytecode, "constructor(uint256)", "100");
const address = made.contractAddress;
assert.equal(made.status, "0x1");
const computed = await cast("compute-address", sender, "--nonce", "0");
assert(computed.toLowerCase().includes(address.toLowerCase()), computed);
assert(Number(await cast("codesize", address)) > 100);
step(`a contract in block ${BigInt(made.blockNumber)}`);

const add = (amount, why) => [address, "add(uint256,string)(uint256)", `${amount}`, why];
const receipts = [];
for (const amount of [1, 2, 3]) receipts.push(await json("send", ...key, "--json", ...add(amount, "one more")));
// In one exchange, without asking for the receipt.
receipts.push(await json("send", ...key, "--json", "--sync", ...add(4, "one more")));
receipts.push(await json("send", ...key, "--json", "--legacy", ...add(5, "one more")));
for (const [index, receipt] of receipts.entries()) {
  const { status, effectiveGasPrice, type, from, logs } = receipt;
  assert.deepEqual([status, BigInt(effectiveGasPrice), type], ["0x1", 0n, index === 4 ? "0x0" : "0x2"]);
  assert.deepEqual([from, logs.length], [sender.toLowerCase(), 1]);
  assert.equal(BigInt(logs[0].topics[2]), BigInt(index + 1));
}
assert.equal(await cast("call", address, "total()(uint256)"), "15");
assert.equal(await cast("call", address, "added(address)(uint256)", sender), "15");
assert.equal(BigInt(await cast("storage", address, "0")), 15n);
assert.equal(await cast("nonce", sender), "6");
step("five transactions, each with its receipt and its event");

const then = (receipt) => ["--block", `${BigInt(receipt.blockNumber)}`];
assert.equal(await cast("call", ...then(receipts[1]), address, "total()(uint256)"), "3");
assert.equal(BigInt(await cast("storage", ...then(receipts[2]), address, "0")), 6n);
step("the state as it was");

const event = "Added(address indexed,uint256 indexed,uint256,string)";
const logs = (...topics) => json("logs", "--json", "--from-block", "0", "--address", address, event, ...topics);
assert.equal((await logs(sender)).length, 5);
const two = await logs("", "2");
assert.deepEqual(two.map(({ data }) => BigInt(data.slice(0, 66))), [3n]);
assert.deepEqual(await logs(address), []);
step("events by topic");

await fails(/execution reverted: nothing to add/, "call", ...add(0, "nothing"));
await fails(/execution reverted: nothing to add/, "send", ...key, ...add(0, "nothing"));
const selector = await run("cast", ["sig", "TooMuch(uint256,uint256)"]);
await fails(new RegExp(`execution reverted, data: "${selector}`), "call", ...add(101, "much"));
const limit = ["--gas-limit", "100000"];
const doomed = await json("send", ...key, ...limit, "--json", ...add(0, "nothing"));
assert.equal(doomed.status, "0x0");
await fails(/nonce too low/, "send", ...key, ...limit, "--nonce", "0", ...add(1, "late"));
await fails(/insufficient funds/, "send", ...key, ...limit, "--value", "1", address);
step("refusals");

const estimate = BigInt(await cast("estimate", "--from", sender, ...add(1, "one")));
assert(estimate > 21_000n && estimate < 100_000n, `${estimate}`);
assert.deepEqual([await cast("gas-price"), await cast("base-fee")], ["0", "0"]);
step("gas, which costs nothing");

const block = await json("block", "--json", `${BigInt(made.blockNumber)}`);
assert.deepEqual(block.transactions, [made.transactionHash]);
const next = await json("block", "--json", `${BigInt(made.blockNumber) + 1n}`);
assert.equal(next.parentHash, block.hash);
assert.equal((await json("tx", "--json", made.transactionHash)).from, sender.toLowerCase());
assert.deepEqual(await json("receipt", "--json", made.transactionHash), made);
step("blocks and transactions");

const filter = JSON.stringify({ address, topics: [null, null, `0x${"7".padStart(64, "0")}`] });
const watched = JSON.parse(await cast("rpc", "eth_newFilter", filter));
await cast("send", ...key, ...add(7, "watched"));
await cast("send", ...key, ...add(8, "not watched"));
const changes = await json("rpc", "eth_getFilterChanges", watched);
assert.deepEqual(changes.map(({ data }) => BigInt(data.slice(0, 66))), [22n]);
step("a filter");

// Over WebSocket cast trusts only the authorities that it was built with: no private one.
if (wsUrl.startsWith("wss:")) {
  await refused("cast", ["block-number", "--rpc-url", wsUrl], /UnknownIssuer/);
  step("no WebSocket, for cast trusts no private authority there");
} else {
  const ws = ["--rpc-url", wsUrl];
  const follow = spawn(program("cast"), ["logs", ...ws, "--subscribe", "--address", address], {
    env: envOf("cast"),
  });
  let heard = "";
  follow.stdout.on("data", (text) => (heard += text));
  await new Promise((ready) => setTimeout(ready, 1_500));
  for (const amount of [11, 12]) {
    // Waits for its receipt by following the blocks.
    await run("cast", ["send", ...ws, ...key, ...add(amount, "heard")]);
  }
  const amounts = () => [...heard.matchAll(/topics: \[\s+\w+\s+\w+\s+(0x\w+)/g)].map(([, amount]) => BigInt(amount));
  for (let tries = 0; amounts().length < 2 && tries < 200; tries += 1) {
    await new Promise((soon) => setTimeout(soon, 50));
  }
  follow.kill();
  assert.deepEqual(amounts(), [11n, 12n], heard);
  step("events and blocks over WebSocket");
}
