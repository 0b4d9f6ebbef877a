// ethers 6, unmodified: deploys, writes, reads, filters, subscribes and estimates, without a fee.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const packages = createRequire(join(process.env.E2E_PACKAGES, "package.json"));
const { ethers } = packages("ethers");

const url = process.env.E2E_RPC;
const step = (text) => console.log("-", text);

// ethers keeps answers for 250 ms, in which this chain commits many times.
const provider = new ethers.JsonRpcProvider(url, undefined, { cacheTimeout: -1, pollingInterval: 20 });
const wallet = ethers.Wallet.createRandom(provider);

const { chainId } = await provider.getNetwork();
assert(chainId > 2n ** 32n, `${chainId}`);
step(`chain ${chainId}`);

// Adds one to slot 0 and logs the new value under topic 5; called with data it reverts with one byte.
const code = `366015575f54600101805f555f52600560205fa1005b602a5f5360015ffd`;
const length = code.length / 2;
// PUSH1 length, DUP1, PUSH1 9, PUSH0, CODECOPY, PUSH0, RETURN
const deploy = `0x60${length.toString(16)}8060095f395ff3${code}`;

const made = await wallet.sendTransaction({ data: deploy });
const receipt = await made.wait();
assert.equal(receipt.status, 1);
const address = receipt.contractAddress;
assert.equal(address, ethers.getCreateAddress({ from: wallet.address, nonce: 0 }));
assert.equal(await provider.getCode(address), `0x${code}`);
step(`a contract of ${length} bytes, in block ${receipt.blockNumber}`);

for (let count = 1; count <= 5; count += 1) {
  const sent = await wallet.sendTransaction({ to: address });
  const { logs, status, gasPrice } = await sent.wait();
  assert.deepEqual([status, gasPrice], [1, 0n]);
  assert.equal(BigInt(logs[0].data), BigInt(count));
}
assert.equal(BigInt(await provider.getStorage(address, 0)), 5n);
assert.equal(await provider.getTransactionCount(wallet.address), 6);
step("five calls, each with its log");

const proof = await provider.send("counterfoil_getReceipt", [receipt.hash]);
assert.equal(proof.applicationClaims[0].digest.protocol, "EthereumTransactionV1");
writeFileSync(join(process.env.E2E_SCRATCH, "proof.json"), JSON.stringify(proof));
step("a receipt to check offline");

const topic = ethers.toBeHex(5, 32);
const logs = await provider.getLogs({ address, topics: [topic], fromBlock: 0 });
assert.deepEqual(logs.map((log) => BigInt(log.data)), [1n, 2n, 3n, 4n, 5n]);
const none = await provider.getLogs({ address, topics: [ethers.toBeHex(6, 32)], fromBlock: 0 });
assert.deepEqual(none, []);
step("logs by contract and topic");

const then = await provider.getStorage(address, 0, logs[1].blockNumber);
assert.equal(BigInt(then), 2n);
step("the state as it was");

await assert.rejects(provider.call({ to: address, data: "0x01" }), (error) => {
  assert.equal(error.code, "CALL_EXCEPTION");
  return error.data === "0x2a";
});
await assert.rejects(wallet.sendTransaction({ to: address, value: 1n }), (error) =>
  assert.equal(error.code, "INSUFFICIENT_FUNDS") ?? true,
);
await assert.rejects(
  wallet.sendTransaction({ to: address, nonce: 0 }),
  (error) => error.code === "NONCE_EXPIRED",
);
step("refusals that ethers understands");

const block = await provider.getBlock(receipt.blockNumber, true);
assert.equal(block.hash, receipt.blockHash);
assert.equal(block.prefetchedTransactions[0].hash, receipt.hash);
const next = await provider.getBlock(receipt.blockNumber + 1);
assert.equal(next.parentHash, block.hash);
assert.equal((await provider.getBlock(block.hash)).number, block.number);
step("blocks by number and hash, each with the one before");

const gas = await provider.estimateGas({ to: address, from: wallet.address });
assert(gas > 21_000n && gas < 60_000n, `${gas}`);

// Later ones first: they wait for the one that is missing.
const nonce = await provider.getTransactionCount(wallet.address);
const transactions = [3, 2, 1, 0].map((later) =>
  wallet.sendTransaction({ to: address, nonce: nonce + later, gasLimit: 100_000 }),
);
const waited = await Promise.all(transactions);
await Promise.all(waited.map((sent) => sent.wait()));
assert.equal(await provider.getTransactionCount(wallet.address), nonce + 4);
step("numbers that came in the wrong order");

const heard = [];
const socket = new ethers.WebSocketProvider(url.replace("http", "ws"), undefined, { cacheTimeout: -1 });
await socket.on({ address, topics: [topic] }, (log) => heard.push(BigInt(log.data)));
const blocks = [];
await socket.on("block", (number) => blocks.push(number));
await new Promise((ready) => setTimeout(ready, 300));
for (let count = 0; count < 3; count += 1) {
  await (await wallet.sendTransaction({ to: address })).wait();
}
for (let tries = 0; (heard.length < 3 || blocks.length < 3) && tries < 100; tries += 1) {
  await new Promise((soon) => setTimeout(soon, 50));
}
assert.deepEqual(heard, [10n, 11n, 12n]);
assert(blocks.length >= 3, `${blocks}`);
await socket.destroy();
step("logs and blocks over WebSocket");
provider.destroy();
