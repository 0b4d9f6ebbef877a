// ethers 6, unmodified: deploys, writes, reads, filters, subscribes and estimates, without a fee.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { NotValid, verify } from "../../web/verify.js";
import { artifact, headers, packages, step, until, url, wsUrl } from "./contracts.mjs";

const { ethers } = packages("ethers");
const { WebSocket } = packages("ws");
const { abi, bytecode } = artifact();

const request = new ethers.FetchRequest(url);
for (const [name, value] of Object.entries(headers)) request.setHeader(name, value);
// ethers keeps answers for 250 ms, in which this chain commits many times.
const settings = { cacheTimeout: -1, pollingInterval: 20 };
const provider = new ethers.JsonRpcProvider(request, undefined, settings);
const wallet = ethers.Wallet.createRandom(provider);

const { chainId } = await provider.getNetwork();
assert(chainId > 2n ** 32n, `${chainId}`);
step(`chain ${chainId}`);

const factory = new ethers.ContractFactory(abi, bytecode, wallet);
const counter = await factory.deploy(100);
const made = await counter.deploymentTransaction().wait();
const address = await counter.getAddress();
assert.equal(made.status, 1);
assert.equal(made.contractAddress, address);
assert.equal(address, ethers.getCreateAddress({ from: wallet.address, nonce: 0 }));
assert((await provider.getCode(address)).length > 100);
step(`a contract in block ${made.blockNumber}`);

const receipts = [];
for (let amount = 1n; amount <= 5n; amount += 1n) {
  const offered = amount === 1n ? { maxFeePerGas: 1n, maxPriorityFeePerGas: 1n } : {};
  const sent = await counter.add(amount, `the ${amount}th`, offered);
  receipts.push(await sent.wait());
}
for (const [index, receipt] of receipts.entries()) {
  const { status, gasPrice, from, to, type, logs } = receipt;
  // To ethers a base fee of nothing is none, so it sends type 0 unless it is told what is offered.
  assert.deepEqual([status, gasPrice, from, to, type], [1, 0n, wallet.address, address, index ? 0 : 2]);
  assert(receipt.gasUsed > 21_000n && receipt.gasUsed <= receipt.cumulativeGasUsed);
  assert.equal(logs.length, 1);
  const { name, args } = counter.interface.parseLog(logs[0]);
  const amount = BigInt(index + 1);
  const total = (amount * (amount + 1n)) / 2n;
  assert.equal(name, "Added");
  assert.deepEqual([...args], [wallet.address, amount, total, `the ${amount}th`]);
}
assert.equal(await counter.total(), 15n);
assert.equal(await counter.added(wallet.address), 15n);
assert.equal(BigInt(await provider.getStorage(address, 0)), 15n);
assert.equal(await provider.getTransactionCount(wallet.address), 6);
step("five transactions, each with its receipt and its event");

const proof = await provider.send("counterfoil_getReceipt", [made.hash]);
assert.equal(proof.applicationClaims[0].ethereumTransaction.transactionHash, made.hash);
const service = readFileSync(process.env.E2E_SERVICE_CERT, "utf8");
const { claims } = await verify(JSON.stringify(proof), service);
assert.equal(claims[0].ethereumTransaction.contractAddress, address.toLowerCase());
for (const [name, value] of [["gasUsed", 1], ["succeeded", false], ["to", wallet.address], ["logs", []]]) {
  const forged = structuredClone(proof);
  const claim = forged.applicationClaims[0].ethereumTransaction;
  if (name === "logs") claim.logs.push({ address, topics: [], data: "0x" });
  else claim[name] = value;
  await assert.rejects(verify(JSON.stringify(forged), service), NotValid, name);
}
writeFileSync(join(process.env.E2E_SCRATCH, "proof.json"), JSON.stringify(proof));
step("a receipt to check offline");

const all = await counter.queryFilter(counter.filters.Added(wallet.address));
assert.deepEqual(all.map(({ args }) => args.amount), [1n, 2n, 3n, 4n, 5n]);
const some = await counter.queryFilter(counter.filters.Added(null, [2, 4]));
assert.deepEqual(some.map(({ args }) => args.total), [3n, 10n]);
const none = await counter.queryFilter(counter.filters.Added(address));
assert.deepEqual(none, []);
step("events by topic");

assert.equal(await counter.total({ blockTag: receipts[1].blockNumber }), 3n);
assert.equal(BigInt(await provider.getStorage(address, 0, receipts[2].blockNumber)), 6n);
assert.equal(await provider.getTransactionCount(wallet.address, made.blockNumber), 1);
step("the state as it was");

const refused = (call, holds) =>
  assert.rejects(call, (error) => {
    assert.equal(error.code, "CALL_EXCEPTION", error);
    holds(error);
    return true;
  });
await refused(counter.add(0, "nothing"), ({ reason }) => assert.equal(reason, "nothing to add"));
await refused(counter.add.staticCall(101, "much"), ({ revert }) => {
  assert.equal(revert.name, "TooMuch");
  assert.deepEqual([...revert.args], [101n, 100n]);
});
const doomed = await counter.add(0, "nothing", { gasLimit: 100_000 });
await refused(doomed.wait(), ({ receipt }) => assert.equal(receipt.status, 0));
await assert.rejects(
  wallet.sendTransaction({ to: address, value: 1n, gasLimit: 100_000 }),
  ({ code }) => code === "INSUFFICIENT_FUNDS",
);
await assert.rejects(
  wallet.sendTransaction({ to: address, nonce: 0, gasLimit: 100_000 }),
  ({ code }) => code === "NONCE_EXPIRED",
);
step("refusals that ethers understands");

const block = await provider.getBlock(made.blockNumber, true);
assert.equal(block.hash, made.blockHash);
assert.equal(block.prefetchedTransactions[0].hash, made.hash);
const next = await provider.getBlock(made.blockNumber + 1);
assert.equal(next.parentHash, block.hash);
assert.equal((await provider.getBlock(block.hash)).number, block.number);
step("blocks by number and hash, each with the one before");

const estimate = await counter.add.estimateGas(1, "the 1st");
assert(estimate > 21_000n && estimate < 100_000n, `${estimate}`);

// Later ones first: they wait for the one that is missing.
const nonce = await provider.getTransactionCount(wallet.address);
const waiting = [3, 2, 1, 0].map((later) =>
  counter.add(1, "early", { nonce: nonce + later, gasLimit: 100_000 }),
);
const sent = await Promise.all(waiting);
await Promise.all(sent.map((transaction) => transaction.wait()));
assert.equal(await provider.getTransactionCount(wallet.address), nonce + 4);
step("numbers that came in the wrong order");

const filter = { address, topics: counter.interface.encodeFilterTopics("Added", [null, 7]) };
const watched = await provider.send("eth_newFilter", [filter]);
await (await counter.add(7, "watched")).wait();
await (await counter.add(8, "not watched")).wait();
const changes = await provider.send("eth_getFilterChanges", [watched]);
assert.deepEqual(changes.map(({ data }) => BigInt(data.slice(0, 66))), [26n]);
assert.deepEqual(await provider.send("eth_getFilterChanges", [watched]), []);
assert.equal(await provider.send("eth_uninstallFilter", [watched]), true);
step("a filter");

const polled = [];
await counter.on("Added", (by, amount) => polled.push(amount));
await (await counter.add(9, "polled")).wait();
await until("an event by asking", () => polled.includes(9n));
await counter.off("Added");
step("events by asking again and again");

const socket = new ethers.WebSocketProvider(() => new WebSocket(wsUrl, { headers }), undefined, settings);
const heard = [];
const blocks = [];
await counter.connect(socket).on(counter.filters.Added(wallet.address), ({ args }) => heard.push(args.amount));
await socket.on("block", (number) => blocks.push(number));
await new Promise((ready) => setTimeout(ready, 300));
for (let amount = 11; amount <= 13; amount += 1) await (await counter.add(amount, "heard")).wait();
await until("events and blocks", () => heard.length >= 3 && blocks.length >= 3);
assert.deepEqual(heard, [11n, 12n, 13n]);
await socket.destroy();
step("events and blocks over WebSocket");
provider.destroy();
