// web3.js 4, unmodified: deploys, writes, reads, filters, subscribes and estimates.
import assert from "node:assert/strict";

import { artifact, headers, packages, step, until, url, wsUrl } from "./contracts.mjs";

const { Web3, HttpProvider, WebSocketProvider } = packages("web3");
const { abi, bytecode } = artifact();

const web3 = new Web3(new HttpProvider(url, { providerOptions: { headers } }));
// web3.js asks for a receipt each second, unless it is told otherwise.
web3.eth.transactionPollingInterval = 20;
const account = web3.eth.accounts.wallet.create(1)[0];
const from = account.address;

const id = await web3.eth.getChainId();
assert(id > 2n ** 32n, `${id}`);
assert.equal(await web3.eth.net.getId(), id);
assert.match(await web3.eth.getNodeInfo(), /^Counterfoil/);
step(`chain ${id}`);

let made;
const deployed = await new web3.eth.Contract(abi)
  .deploy({ data: bytecode, arguments: [100] })
  .send({ from })
  .on("receipt", (receipt) => (made = receipt));
const address = deployed.options.address;
assert.equal(made.status, 1n);
assert.equal(made.contractAddress.toLowerCase(), address.toLowerCase());
assert((await web3.eth.getCode(address)).length > 100);
const counter = new web3.eth.Contract(abi, address);
counter.transactionPollingInterval = 20;
// Asked for, reasons come with what is sent, too.
counter.handleRevert = true;
step(`a contract in block ${made.blockNumber}`);

const add = (amount, why) => counter.methods.add(amount, why);
const receipts = [];
for (let amount = 1; amount <= 5; amount += 1) receipts.push(await add(amount, "one more").send({ from }));
for (const [index, receipt] of receipts.entries()) {
  const amount = BigInt(index + 1);
  const { status, effectiveGasPrice, events } = receipt;
  assert.deepEqual([status, effectiveGasPrice], [1n, 0n]);
  assert.equal(receipt.to, address.toLowerCase());
  const { by, amount: added, total, why } = events.Added.returnValues;
  assert.deepEqual([by, added, total, why], [from, amount, (amount * (amount + 1n)) / 2n, "one more"]);
}
assert.equal(await counter.methods.total().call(), 15n);
assert.equal(await counter.methods.added(from).call(), 15n);
assert.equal(BigInt(await web3.eth.getStorageAt(address, 0)), 15n);
assert.equal(await web3.eth.getTransactionCount(from), 6n);
step("five transactions, each with its receipt and its event");

const all = await counter.getPastEvents("Added", { filter: { by: from }, fromBlock: 0 });
assert.deepEqual(all.map(({ returnValues }) => returnValues.amount), [1n, 2n, 3n, 4n, 5n]);
const some = await counter.getPastEvents("Added", { filter: { amount: [2, 4] }, fromBlock: "earliest" });
assert.deepEqual(some.map(({ returnValues }) => returnValues.total), [3n, 10n]);
const topics = [web3.utils.keccak256("Added(address,uint256,uint256,string)")];
const none = await web3.eth.getPastLogs({ address: from, topics, fromBlock: "0x0" });
assert.deepEqual(none, []);
step("events by topic");

const then = await counter.methods.total().call({}, receipts[1].blockNumber);
assert.equal(then, 3n);
assert.equal(BigInt(await web3.eth.getStorageAt(address, 0, receipts[2].blockNumber)), 6n);
step("the state as it was");

const refused = (call, holds) =>
  assert.rejects(call, (error) => {
    holds(error);
    return true;
  });
await refused(add(0, "nothing").call({ from }), ({ cause }) => {
  assert.equal(cause.message, "execution reverted: nothing to add");
});
await refused(add(101, "much").call({ from }), ({ cause }) => {
  assert.equal(cause.errorName, "TooMuch");
  assert.deepEqual([cause.errorArgs.asked, cause.errorArgs.most], [101n, 100n]);
});
await refused(add(0, "nothing").send({ from, gas: "100000" }), (error) => {
  assert.match(`${error.reason} ${error.message}`, /nothing to add/);
});
const signed = async (transaction) => {
  const whole = { from, to: address, gas: 100_000, gasPrice: 0, chainId: id, ...transaction };
  const { rawTransaction } = await account.signTransaction(whole);
  return web3.eth.sendSignedTransaction(rawTransaction, undefined, { checkRevertBeforeSending: false });
};
await refused(signed({ nonce: 0 }), ({ message, cause }) => assert.match(`${message} ${cause?.message}`, /nonce too low/));
const nonce = await web3.eth.getTransactionCount(from);
await refused(signed({ nonce, value: 1 }), ({ message, cause }) =>
  assert.match(`${message} ${cause?.message}`, /insufficient funds/),
);
step("refusals that web3.js tells apart");

const estimate = await add(1, "one").estimateGas({ from });
assert(estimate > 21_000n && estimate < 100_000n, `${estimate}`);
assert.equal(await web3.eth.getGasPrice(), 0n);
const history = await web3.eth.getFeeHistory(2, "latest", [50]);
assert.equal(history.baseFeePerGas.length, 3);
step("gas, which costs nothing");

const block = await web3.eth.getBlock(made.blockNumber, true);
assert.equal(block.transactions[0].hash, made.transactionHash);
const next = await web3.eth.getBlock(made.blockNumber + 1n);
assert.equal(next.parentHash, block.hash);
const transaction = await web3.eth.getTransaction(made.transactionHash);
assert.equal(transaction.from.toLowerCase(), from.toLowerCase());
step("blocks and transactions");

const amount = web3.eth.abi.encodeParameter("uint256", 7);
const filter = await web3.requestManager.send({
  method: "eth_newFilter",
  params: [{ address, topics: [topics[0], null, amount] }],
});
await add(7, "watched").send({ from });
await add(8, "not watched").send({ from });
const ask = () => web3.requestManager.send({ method: "eth_getFilterChanges", params: [filter] });
const changes = await ask();
assert.deepEqual(changes.map(({ data }) => BigInt(data.slice(0, 66))), [22n]);
assert.deepEqual(await ask(), []);
step("a filter");

const batch = new web3.BatchRequest();
const asked = receipts.map(({ blockNumber }, id) =>
  batch.add({
    jsonrpc: "2.0",
    id: id + 1,
    method: "eth_getStorageAt",
    params: [address, "0x0", web3.utils.numberToHex(blockNumber)],
  }),
);
await batch.execute();
const answers = await Promise.all(asked);
assert.deepEqual(answers.map((value) => BigInt(value)), [1n, 3n, 6n, 10n, 15n]);
step("a batch");

const socket = new Web3(new WebSocketProvider(wsUrl, { headers }, { autoReconnect: false }));
const heads = [];
const blocks = await socket.eth.subscribe("newBlockHeaders");
blocks.on("data", ({ number }) => heads.push(number));
const heard = [];
const events = new socket.eth.Contract(abi, address).events.Added({ filter: { by: from } });
events.on("data", ({ returnValues }) => heard.push(returnValues.amount));
await new Promise((connected) => events.once("connected", connected));
for (let amount = 11; amount <= 13; amount += 1) await add(amount, "heard").send({ from });
await until("events and blocks", () => heard.length >= 3 && heads.length >= 3);
assert.deepEqual(heard, [11n, 12n, 13n]);
await blocks.unsubscribe();
await events.unsubscribe();
socket.provider.disconnect();
step("events and blocks over WebSocket");
