// viem 2, unmodified: deploys, writes, reads, filters, subscribes and estimates.
import assert from "node:assert/strict";

import { artifact, headers, packages, step, token, until, url, wsUrl } from "./contracts.mjs";

const {
  BaseError,
  ContractFunctionRevertedError,
  InsufficientFundsError,
  NonceTooLowError,
  createPublicClient,
  createWalletClient,
  defineChain,
  getContract,
  getContractAddress,
  http,
  parseEventLogs,
  webSocket,
} = packages("viem");
const { generatePrivateKey, privateKeyToAccount } = packages("viem/accounts");
const { abi, bytecode } = artifact();

const transport = http(url, { fetchOptions: { headers } });
const id = await createPublicClient({ transport }).getChainId();
assert(id > 2 ** 32, `${id}`);
const chain = defineChain({
  id,
  name: "Counterfoil",
  nativeCurrency: { name: "none", symbol: "NONE", decimals: 18 },
  rpcUrls: { default: { http: [url] } },
});
const account = privateKeyToAccount(generatePrivateKey());
// viem keeps the newest block's number for as long as it waits between two questions.
const reader = createPublicClient({ chain, transport, pollingInterval: 20, cacheTime: 0 });
const writer = createWalletClient({ account, chain, transport });
const settled = (hash) => reader.waitForTransactionReceipt({ hash });
step(`chain ${id}`);

const made = await settled(await writer.deployContract({ abi, bytecode, args: [100n] }));
const address = made.contractAddress;
assert.equal(made.status, "success");
const expected = getContractAddress({ from: account.address, nonce: 0n });
assert.equal(address, expected.toLowerCase());
const counter = getContract({ address, abi, client: { public: reader, wallet: writer } });
step(`a contract in block ${made.blockNumber}`);

const receipts = [];
for (let amount = 1n; amount <= 5n; amount += 1n) {
  const { request, result } = await counter.simulate.add([amount, "one more"], { account });
  assert.equal(result, (amount * (amount + 1n)) / 2n);
  receipts.push(await settled(await writer.writeContract(request)));
}
for (const [index, receipt] of receipts.entries()) {
  assert.deepEqual(
    [receipt.status, receipt.type, receipt.effectiveGasPrice, receipt.to, receipt.from],
    ["success", "eip1559", 0n, address, account.address.toLowerCase()],
  );
  const [added] = parseEventLogs({ abi, logs: receipt.logs });
  assert.equal(added.eventName, "Added");
  assert.deepEqual(added.args, {
    by: account.address,
    amount: BigInt(index + 1),
    total: BigInt(((index + 1) * (index + 2)) / 2),
    why: "one more",
  });
}
assert.equal(await counter.read.total(), 15n);
assert.equal(await counter.read.added([account.address]), 15n);
assert.equal(BigInt(await reader.getStorageAt({ address, slot: "0x0" })), 15n);
assert.equal(await reader.getTransactionCount({ address: account.address }), 6);
step("five transactions, each simulated before, with its receipt and its event");

const event = abi.find(({ name }) => name === "Added");
const all = await reader.getLogs({ address, event, args: { by: account.address }, fromBlock: 0n });
assert.deepEqual(all.map(({ args }) => args.amount), [1n, 2n, 3n, 4n, 5n]);
const some = await counter.getEvents.Added({ amount: [2n, 4n] }, { fromBlock: "earliest" });
assert.deepEqual(some.map(({ args }) => args.total), [3n, 10n]);
const none = await reader.getLogs({ address, event, args: { by: address }, fromBlock: 0n });
assert.deepEqual(none, []);
step("events by topic");

assert.equal(await counter.read.total({ blockNumber: receipts[1].blockNumber }), 3n);
const slot = { address, slot: "0x0", blockNumber: receipts[2].blockNumber };
assert.equal(BigInt(await reader.getStorageAt(slot)), 6n);
step("the state as it was");

const reverted = (call, holds) =>
  assert.rejects(call, (error) => {
    const found = error.walk((one) => one instanceof ContractFunctionRevertedError);
    assert(found, error);
    holds(found);
    return true;
  });
await reverted(counter.simulate.add([0n, "nothing"], { account }), ({ reason }) =>
  assert.equal(reason, "nothing to add"),
);
await reverted(counter.write.add([0n, "nothing"]), ({ reason }) =>
  assert.equal(reason, "nothing to add"),
);
await reverted(counter.estimateGas.add([101n, "much"], { account }), ({ data }) => {
  assert.deepEqual([data.errorName, data.args], ["TooMuch", [101n, 100n]]);
});
const doomed = await settled(await counter.write.add([0n, "nothing"], { gas: 100_000n }));
assert.equal(doomed.status, "reverted");
const refused = (call, kind) =>
  assert.rejects(call, (error) => {
    assert(error instanceof BaseError && error.walk((one) => one instanceof kind), error);
    return true;
  });
const raw = { to: address, gas: 100_000n };
await refused(writer.sendTransaction({ ...raw, nonce: 0 }), NonceTooLowError);
await refused(writer.sendTransaction({ ...raw, value: 1n }), InsufficientFundsError);
step("refusals that viem understands");

const estimate = await counter.estimateGas.add([1n, "one"], { account });
assert(estimate > 21_000n && estimate < 100_000n, `${estimate}`);
const fees = await reader.estimateFeesPerGas();
assert.deepEqual(fees, { maxFeePerGas: 0n, maxPriorityFeePerGas: 0n });
step("gas, which costs nothing");

const block = await reader.getBlock({ blockNumber: made.blockNumber, includeTransactions: true });
assert.equal(block.transactions[0].hash, made.transactionHash);
const next = await reader.getBlock({ blockNumber: made.blockNumber + 1n });
assert.equal(next.parentHash, block.hash);
const transaction = await reader.getTransaction({ hash: made.transactionHash });
assert.equal(transaction.from, account.address.toLowerCase());
assert((await reader.getTransactionConfirmations({ hash: made.transactionHash })) >= 6n);
step("blocks and transactions");

const filter = await reader.createContractEventFilter({ abi, address, eventName: "Added", args: { amount: 7n } });
const blocks = await reader.createBlockFilter();
await settled(await counter.write.add([7n, "watched"]));
await settled(await counter.write.add([8n, "not watched"]));
const changes = await reader.getFilterChanges({ filter });
assert.deepEqual(changes.map(({ args }) => args.total), [22n]);
assert.deepEqual(await reader.getFilterChanges({ filter }), []);
assert.equal((await reader.getFilterChanges({ filter: blocks })).length, 2);
assert.equal((await reader.getFilterLogs({ filter })).length, 0);
assert(await reader.uninstallFilter({ filter }));
step("filters");

// Many at once: viem sends them as one batch where it is told to.
const batched = http(url, { fetchOptions: { headers }, batch: true });
const many = createPublicClient({ chain, transport: batched });
const answers = receipts.map(({ blockNumber }) =>
  many.readContract({ address, abi, functionName: "total", blockNumber }),
);
assert.deepEqual(await Promise.all(answers), [1n, 3n, 6n, 10n, 15n]);
step("a batch");

const polled = [];
const unpoll = counter.watchEvent.Added({}, { onLogs: (logs) => polled.push(...logs.map(({ args }) => args.amount)) });
await new Promise((ready) => setTimeout(ready, 200));
await settled(await counter.write.add([9n, "polled"]));
await until("an event by asking", () => polled.length > 0);
assert.deepEqual(polled, [9n]);
unpoll();
step("events by asking again and again");

// viem's WebSocket takes no headers: the token is the password in the URL, which is sent as Basic.
const wsAddress = new URL(wsUrl);
if (token) wsAddress.password = token;
const socket = createPublicClient({ chain, transport: webSocket(wsAddress.href), cacheTime: 0 });
const heard = [];
const heads = [];
const failed = [];
const onError = (error) => failed.push(error);
const unwatch = [
  socket.watchContractEvent({
    address,
    abi,
    eventName: "Added",
    args: { by: account.address },
    onLogs: (logs) => heard.push(...logs.map(({ args }) => args.amount)),
    onError,
  }),
  socket.watchBlocks({ onBlock: ({ number }) => heads.push(number), onError }),
];
assert.equal(await socket.getChainId(), id);
await new Promise((ready) => setTimeout(ready, 300));
for (let amount = 11n; amount <= 13n; amount += 1n) {
  await settled(await counter.write.add([amount, "heard"]));
}
await until("events and blocks", () => heard.length >= 3 && heads.length >= 3);
assert.deepEqual([heard, failed], [[11n, 12n, 13n], []]);
unwatch.forEach((stop) => stop());
(await socket.transport.getRpcClient()).close();
step("events and blocks over WebSocket");
