// What the pages of the audit service say about events in a tree of contracts: true ones of a ledger that ran,
// and such as break one rule alone, signed by a ledger that signs everything.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { forger } from "./forge.mjs";
import { laidOut, recorded } from "./serve.mjs";

const load = (name) => import(join(laidOut(), name));
const { keccak256 } = await load("keccak.js");
const { created } = await load("contracts.js");
const { judge } = await load("judge.js");
const step = (text) => console.log("-", text);

step("Keccak-256 and the addresses of contracts are Ethereum's");
for (const [text, digest] of [
  ["", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"],
  ["abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"],
  // One byte less than a block of the sponge, a block, one more, and two of them.
  ["a".repeat(135), "34367dc248bbd832f4e3e69dfaac2f92638bd0bbd18f2912ba4ef454919cf446"],
  ["a".repeat(136), "a6c4d403279fe3e0af03729caada8374b5ca54d8065329a3ebcaeb4b60aa386e"],
  ["a".repeat(137), "d869f639c7046b4929fc92a4d988a8b22c55fbadb802c0c66ebcd484f1915f39"],
  ["a".repeat(272), "cf7fcd4f705ee749930d19ca84561a9bf62516bd90a471545fa2f49fdc7e63c8"],
]) {
  assert.equal(Buffer.from(keccak256(Buffer.from(text))).toString("hex"), digest, `${text.length} bytes`);
}
for (const [nonce, address] of [
  [0, "0xcd234a471b72ba2f1ccf0a70fcaba648a5eecd8d"], [1, "0x343c43a37d37dff08ae8c4a11544c718abb4fcf8"],
  [127, "0x06d9a77f5e4b311bae8d559db9cdb4df94104aa0"], [128, "0x08e190dcb7b73f5fcdabb43e102215c83659a76d"],
  [255, "0x3ef7c1a519e4b4431e317d7839340e3139b03c65"], [256, "0x3837c1ae70354f670550c746580199ac6a73cb0a"],
  [65_536, "0xf666a819b370d38f44f2573464da3fba8479b917"], [2_097_157, "0x6bc47de14b706136451a41edb7f89d2436946c62"],
]) {
  assert.equal(created("0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0", nonce), address, `number ${nonce}`);
}

const file = new URL("../../crates/audit/web/testdata/contracts.json", import.meta.url);
const { serviceCertificate: anchor, root, items } = JSON.parse(readFileSync(file, "utf8"));
const shown = ({ event, transactionAddress, contractAddress }) => structuredClone({ event, transactionAddress, contractAddress });
const asked = ({ receipt, salt }) => structuredClone({ verdict: "valid", receipt, salt });
const judged = (item, { log = shown(item), receipt = item.receipt, data, ...trusted } = {}) =>
  judge({ log, answer: { ...asked(item), receipt: structuredClone(receipt) }, data, anchor, root, ...trusted });
const named = (record, version = 1) => items.find(({ event }) => event.record === record && event.version === version);
const item = named("harvest-1");
const [first] = items;

step("true events are valid: whoever did them, whatever their texts are, and those of the tree itself");
assert(items.length >= 10);
for (const one of items) {
  const result = await judged(one, { data: one.data });
  assert.equal(result.verdict, "valid", `${one.event.record}: ${result.why}`);
  assert.equal(result.data, one.data === undefined ? "absent" : "matches");
}
assert.equal(new Set(items.map(({ receipt }) => receipt.place)).size, 4);
assert.equal((await judged(item, { root: `0x${root.slice(2).toUpperCase()}` })).verdict, "valid");

step("whatever is changed in an event is noticed, and named");
for (const [field, change] of [
  ["event /who", (event) => { event.who += "x"; }],
  ["event /where", (event) => { event.where = ""; }],
  ["event /how", (event) => { event.how = "update"; }],
  ["event /what/did", (event) => { event.what.did = "burn"; }],
  ["event /what/hash", (event) => { event.what.hash = "0".repeat(64); }],
  ["event /more", (event) => { event.more = 1; }],
]) {
  const log = shown(item);
  change(log.event);
  const result = await judged(item, { log });
  assert.deepEqual([result.verdict, result.fields], ["altered", [field]]);
}
const changed = await judged(item, { data: { ...item.data, kg: 21 } });
assert.deepEqual([changed.verdict, changed.data], ["altered", "differs"]);

const verdict = async (one, more) => (await judged(one, more)).verdict;

step("a proof of another event, transaction or contract proves nothing");
const other = named("harvest-1", 2);
const bens = named("packing-1");
assert.equal(await verdict(item, { receipt: other.receipt }), "unproven");
assert.equal(await verdict(item, { log: { ...shown(item), event: bens.event } }), "unproven");
assert.equal(await verdict(item, { log: { ...shown(item), transactionAddress: other.transactionAddress } }), "unproven");
assert.equal(await verdict(item, { log: { ...shown(item), contractAddress: bens.contractAddress } }), "unproven");
const swapped = (part) => ({ ...item.receipt, [part]: other.receipt[part] });
for (const part of ["event", "proof"]) assert.equal(await verdict(item, { receipt: swapped(part) }), "unproven", part);

step("a proof that was changed anywhere proves nothing");
function* leavesOf(value, at = []) {
  if (typeof value !== "object" || value === null) yield at;
  else for (const name of Object.keys(value)) yield* leavesOf(value[name], [...at, name]);
}
function otherValue(value) {
  if (typeof value === "number") return value + 2;
  if (typeof value === "boolean") return !value;
  if (value === null) return "0x00";
  // Not in the middle: there a signature has the kind of its second number, which its readers know.
  const at = Math.floor((value.length * 2) / 3);
  return value.slice(0, at) + (value[at] === "0" ? "1" : "0") + value.slice(at + 1);
}
for (const one of [first, items[2], item]) {
  const places = [...leavesOf(one.receipt)];
  assert(places.length > 20);
  for (const place of places) {
    // Whether a service has its receipt ready is between the two of them.
    if (place.at(-1) === "state") continue;
    const receipt = structuredClone(one.receipt);
    const within = place.slice(0, -1).reduce((value, name) => value[name], receipt);
    within[place.at(-1)] = otherValue(within[place.at(-1)]);
    assert.equal(await verdict(one, { receipt }), "unproven", place.join("/"));
  }
}

step("what cannot be checked is said not to be checked, and what is of no tree is not proven");
const header = { ...item.receipt, proof: { kind: "header", header: "0x00" } };
for (const [more, why] of [
  [{ receipt: header }, /another chain/], [{ receipt: header, anchor: null }, /another chain/],
  [{ anchor: null }, /no service certificate/], [{ root: null }, /whose contracts count/],
]) {
  const result = await judged(item, more);
  assert.equal(result.verdict, "unchecked");
  assert.match(result.why, why);
}
assert.equal(await verdict(item, { receipt: { ...item.receipt, proof: undefined } }), "unproven");
const entry = recorded();
const [written] = entry.items;
assert.equal(await verdict(written, { anchor: entry.serviceCertificate, root: null }), "valid");
assert.equal(await verdict(written, { anchor: entry.serviceCertificate }), "unproven");

const ledger = forger();
/** The proof of an event by a ledger that signs this claim about it, in place of the true one. */
function forged(one, change, document = {}) {
  const [claim] = structuredClone(one.receipt.proof.receipt.applicationClaims);
  const claims = change(claim.ethereumTransaction, claim) ?? [claim];
  return { ...structuredClone(one.receipt), ...document, proof: { kind: "ledger", receipt: ledger.receipt(claims) } };
}
const byForger = (one, change, document, more = {}) =>
  verdict(one, { receipt: forged(one, change, document), anchor: ledger.pem, ...more });
const nothing = () => {};

step("what is signed counts by the rules: it succeeded, called the contract, and left the record there");
assert.equal(await byForger(item, nothing), "valid");
assert.equal(await byForger(first, nothing), "valid");
assert.equal(await verdict(item, { receipt: forged(item, nothing) }), "unproven");
const hashOf = (text) => `0x${createHash("sha256").update(text).digest("hex")}`;
const word = (log, place, digits) => {
  log.data = `0x${log.data.slice(2, 2 + 64 * place)}${digits.padStart(64, "0")}${log.data.slice(2 + 64 * (place + 1))}`;
};
const inText = (log, from, to) => {
  const [was, is] = [from, to].map((text) => Buffer.from(text).toString("hex"));
  assert(log.data.includes(was) && was.length === is.length);
  log.data = log.data.replace(was, is);
};
for (const [what, change] of Object.entries({
  "it failed": (call) => { call.succeeded = false; },
  "it is another transaction": (call) => { call.transactionHash = other.transactionAddress; },
  "it called another contract": (call) => { call.to = bens.contractAddress; },
  "it called nobody": (call) => { call.to = null; },
  "it made the contract of another": (call) => { call.to = null; call.contractAddress = bens.contractAddress; },
  "another signed": (call) => { call.from = root; },
  "the record is of another account": (call) => { call.logs[0].topics[2] = `0x${root.slice(2).padStart(64, "0")}`; },
  "a contract beside wrote it": (call) => { call.logs[0].address = call.to; },
  "another participant's log has it": (call) => { call.logs[0].address = bens.receipt.log; },
  "it is another event of the log": (call) => { call.logs[0].topics[0] = `0x${"12".repeat(32)}`; },
  "it has the hash of something else": (call) => { call.logs[0].topics[3] = `0x${"12".repeat(32)}`; },
  "it has fewer topics": (call) => { call.logs[0].topics.pop(); },
  "there is none": (call) => { call.logs = []; },
  "it is another operation": (call) => word(call.logs[0], 2, "1"),
  "it is no operation": (call) => word(call.logs[0], 2, `1${"0".repeat(62)}0`),
  "it was elsewhere": (call) => inText(call.logs[0], "Mirador", "Miralba"),
  "it was aimed elsewhere": (call) => inText(call.logs[0], "field 3", "field 4"),
  "something else was done": (call) => inText(call.logs[0], "harvest-1 v1", "harvest-1 v2"),
  "a text is longer than the data": (call) => word(call.logs[0], 3, "f".repeat(12)),
  "the data ends early": (call) => { call.logs[0].data = call.logs[0].data.slice(0, 2 + 64 * 5); },
  "there is no data": (call) => { call.logs[0].data = "0x"; },
  "two are claimed": (_, claim) => [claim, claim],
  "none is claimed": () => [],
  "a digest is claimed": (_, claim) => [{ ...claim, kind: "ClaimDigest", digest: { protocol: "EthereumTransactionV1", value: "0".repeat(64) } }],
})) {
  assert.equal(await byForger(item, change), "unproven", what);
}
// Beside another's records it is found all the same.
assert.equal(await byForger(item, (call) => { call.logs.unshift({ ...call.logs[0], address: bens.receipt.log }); }), "valid");
// What the tree tells of itself has its own words for what it was, and not for where.
const [, , joining] = items;
const ofTree = (call) => call.logs.find(({ address }) => address === joining.receipt.log);
assert.equal(await byForger(joining, nothing), "valid");
assert.equal(await byForger(joining, (call) => inText(ofTree(call), "127.0.0.1", "127.0.0.2")), "unproven");
assert.equal(await byForger(joining, (call) => word(ofTree(call), 0, "0")), "unproven");

// The contracts want a word for where something was.
const nowhere = shown(item);
nowhere.event.where = "";
const text = item.receipt.event.replace("Huerta El Mirador", "");
const unplaced = (call) => {
  call.logs[0].topics[3] = hashOf(text);
  word(call.logs[0], 6, "1");
  call.logs[0].data = `${call.logs[0].data.slice(0, 2 + 64 * 7)}2d${call.logs[0].data.slice(4 + 64 * 7)}`;
};
assert.equal(await byForger(item, unplaced, { event: text }, { log: nowhere }), "valid");

step("another tree, and a place that is none, are found out");
/** The event in the log at this place of a tree: all of it fits together. */
function planted(tree, place) {
  const [log, contract] = [created(tree, place), place === 5 ? tree : created(tree, place - 1)];
  const receipt = forged(item, (call) => {
    call.to = contract;
    call.logs[0].address = log;
  }, { root: tree, place, log, contract });
  return { receipt, log: { ...shown(item), contractAddress: contract }, anchor: ledger.pem };
}
const evil = "0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0";
assert.equal(await verdict(item, { ...planted(evil, 7), root: evil }), "valid");
assert.equal(await verdict(item, planted(evil, 7)), "unproven");
const theirs = planted(evil, item.receipt.place);
const { log, contract } = theirs.receipt;
assert.equal(await byForger(item, (call) => { call.logs[0].address = log; }, { log }), "unproven");
assert.equal(await byForger(item, (call) => { call.to = contract; }, { contract }, { log: theirs.log }), "unproven");
const last = 5 + 2 * 2 ** 20;
for (const place of [5, 7, 9, last]) assert.equal(await verdict(item, planted(root, place)), "valid", `${place}`);
for (const place of [1, 3, 4, 6, 8, last + 2, 2 ** 53 + 1]) {
  assert.equal(await verdict(item, planted(root, place)), "unproven", `${place}`);
}
for (const place of [7, 11, `${item.receipt.place}`, item.receipt.place + 0.5, null, undefined]) {
  assert.equal(await byForger(item, nothing, { place }), "unproven", `${place}`);
}

step("a text that is no event, or in another form, is none whose hash was recorded");
const saying = (text) => byForger(item, (call) => { call.logs[0].topics[3] = hashOf(text); }, { event: text });
assert.equal(await saying(item.receipt.event), "valid");
const { type, ...rest } = JSON.parse(item.receipt.event);
for (const text of [
  "", "{}", "null", item.receipt.event.replace(":", ": "), JSON.stringify({ type, ...rest }),
  item.receipt.event.replace("event/1", "event/2"), item.receipt.event.replace('"record"', '"more":1,"record"'),
  item.receipt.event.replace('"did"', '"by":1,"did"'), item.receipt.event.replace('"version":1', '"version":1.0'), item.receipt.event.replace('"target":"field 3",', ""),
]) {
  assert.equal(await saying(text), "unproven", text);
}
