// foundry's forge, unmodified: a script deploys and writes, another reads what is there and writes.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { newKey, project, run, step, url, urlWithToken } from "./project.mjs";

const folder = project();
const key = ["--private-key", newKey()];
const script = (name, ...args) =>
  run("forge", ["script", `script/Deploy.s.sol:${name}`, "--rpc-url", urlWithToken, "--broadcast", ...key, ...args]);
const cast = (command, ...args) => run("cast", [command, "--rpc-url", url, ...args]);
const id = await cast("chain-id");
const broadcast = (run) =>
  JSON.parse(readFileSync(join(folder, "broadcast/Deploy.s.sol", id, `${run}-latest.json`), "utf8"));

assert.match(await script("Deploy"), /ONCHAIN EXECUTION COMPLETE & SUCCESSFUL/);
const deployed = broadcast("run");
const [{ contractAddress: address, contractName }] = deployed.transactions;
assert.equal(contractName, "Counter");
assert.deepEqual(deployed.receipts.map(({ status }) => status), ["0x1", "0x1", "0x1", "0x1"]);
assert.deepEqual(deployed.pending, []);
assert.equal(await cast("call", address, "total()(uint256)"), "6");
step("a script deploys and writes, and waits for its receipts");

const said = await script("Use", "--sig", "run(address)", address);
assert.match(said, /0: uint256 10/);
const sender = await run("cast", ["wallet", "address", ...key]);
assert.equal(await cast("call", address, "added(address)(uint256)", sender), "10");
const events = JSON.parse(await cast("logs", "--json", "--from-block", "0", "--address", address));
assert.deepEqual(events.map(({ topics }) => BigInt(topics[2])), [1n, 2n, 3n, 4n]);
step("a script reads what the chain has, is refused, and writes");

// Again, now that the chain is not what the script expects: nothing is sent.
await assert.rejects(script("Use", "--sig", "run(address)", address), ({ stderr }) =>
  stderr.includes("script failed: the state of the chain"),
);
assert.equal(await cast("nonce", sender), "5");
step("a script that fails sends nothing");

const create = ["create", "src/Counter.sol:Counter", "--rpc-url", urlWithToken, ...key, "--json"];
const created = JSON.parse(await run("forge", [...create, "--broadcast", "--constructor-args", "7"]));
assert.equal(await cast("call", created.deployedTo, "most()(uint256)"), "7");
step("forge create");
