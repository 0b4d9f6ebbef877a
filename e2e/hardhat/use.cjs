// Run by `hardhat run`: deploys, writes, reads, filters and follows events.
const assert = require("node:assert/strict");
const hre = require("hardhat");

const step = (text) => console.log("-", text);

async function main() {
  const { ethers } = hre;
  const [signer] = await ethers.getSigners();
  const { provider } = ethers;
  const { chainId } = await provider.getNetwork();
  assert(chainId > 2n ** 32n, `${chainId}`);
  step(`chain ${chainId}`);

  const counter = await ethers.deployContract("Counter", [100]);
  await counter.waitForDeployment();
  const made = await counter.deploymentTransaction().wait();
  const address = await counter.getAddress();
  assert.deepEqual([made.status, made.contractAddress], [1, address]);
  const { deployedBytecode } = await hre.artifacts.readArtifact("Counter");
  assert.equal((await provider.getCode(address)).length, deployedBytecode.length);
  step(`a contract in block ${made.blockNumber}`);

  const receipts = [];
  for (let amount = 1n; amount <= 5n; amount += 1n) {
    const sent = await counter.add(amount, "one more");
    receipts.push(await sent.wait());
  }
  for (const [index, { status, gasUsed, logs }] of receipts.entries()) {
    assert(status === 1 && gasUsed > 21_000n);
    const { by, amount, total, why } = logs[0].args;
    const n = BigInt(index + 1);
    assert.deepEqual([by, amount, total, why], [signer.address, n, (n * (n + 1n)) / 2n, "one more"]);
  }
  assert.equal(await counter.total(), 15n);
  assert.equal(await counter.added(signer.address), 15n);
  assert.equal(await counter.total({ blockTag: receipts[1].blockNumber }), 3n);
  assert.equal(await provider.getTransactionCount(signer.address), 6);
  step("five transactions, and the state as it is and as it was");

  const some = await counter.queryFilter(counter.filters.Added(signer.address, [2, 4]));
  assert.deepEqual(some.map(({ args }) => args.total), [3n, 10n]);
  assert.deepEqual(await counter.queryFilter(counter.filters.Added(address)), []);
  step("events by topic");

  const refused = (call, holds) =>
    assert.rejects(call, (error) => {
      assert(holds(error), error);
      return true;
    });
  await refused(counter.add(0, "nothing"), ({ message }) => /nothing to add/.test(message));
  await refused(counter.add.staticCall(101, "much"), (error) => {
    const { name, args } = counter.interface.parseError(error.data);
    return name === "TooMuch" && args.asked === 101n && args.most === 100n;
  });
  const raw = { to: address, gasLimit: 100_000 };
  await refused(signer.sendTransaction({ ...raw, nonce: 0 }), ({ message }) => /nonce too low/i.test(message));
  await refused(signer.sendTransaction({ ...raw, value: 1n }), ({ message }) =>
    /insufficient funds/i.test(message),
  );
  step("refusals");

  const estimate = await counter.add.estimateGas(1, "one");
  assert(estimate > 21_000n && estimate < 100_000n, `${estimate}`);
  const block = await provider.getBlock(made.blockNumber);
  assert.deepEqual([block.hash, block.transactions], [made.blockHash, [made.hash]]);
  step("gas and blocks");

  const topics = await counter.filters.Added(null, 7).getTopicFilter();
  const filter = await hre.network.provider.send("eth_newFilter", [{ address, topics }]);
  await (await counter.add(7, "watched")).wait();
  await (await counter.add(8, "not watched")).wait();
  const changes = await hre.network.provider.send("eth_getFilterChanges", [filter]);
  assert.deepEqual(changes.map(({ data }) => BigInt(data.slice(0, 66))), [22n]);
  step("a filter");

  const heard = new Promise((hear) => counter.once("Added", (by, amount) => hear(amount)));
  await new Promise((ready) => setTimeout(ready, 500));
  await (await counter.add(9, "followed")).wait();
  assert.equal(await heard, 9n);
  step("events, for which Hardhat's provider asks again and again");
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
