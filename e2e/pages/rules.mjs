// What the pages of the audit service compute, without a browser: canonical JSON, hashes of content,
// names of resources, and verdicts, which take true events and no forged ones.
import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { join } from "node:path";

import { laidOut, recorded } from "./serve.mjs";

const folder = laidOut();
const load = (name) => import(join(folder, name));
const { altered, canonical, contentHash } = await load("canonical.js");
const { compare, judge } = await load("judge.js");
const { digitalLink, nameOf, resourceIn, resourceOf } = await load("resource.js");
const { place, placeOf, runs } = await load("map.js");
const step = (text) => console.log("-", text);

step("canonical JSON is that of RFC 8785, its own examples");
// Section 3.2.2, and its canonical form in section 3.2.3.
const example = `{
  "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
  "string": "\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\"\\/",
  "literals": [null, true, false]
}`;
assert.equal(
  canonical(JSON.parse(example)),
  '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],' +
    '"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
);
// Section 3.2.3: names are sorted by UTF-16 code units.
const names = { "\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\u{1f600}": 5, "\u0080": 6, "\u00f6": 7 };
assert.equal(canonical(names), '{"\\r":2,"1":4,"\u0080":6,"\u00f6":7,"\u20ac":1,"\u{1f600}":5,"\ufb33":3}');
// Appendix B: doubles by their bits.
for (const [bits, expected] of [
  ["0000000000000000", "0"], ["8000000000000000", "0"], ["0000000000000001", "5e-324"],
  ["8000000000000001", "-5e-324"], ["7fefffffffffffff", "1.7976931348623157e+308"],
  ["ffefffffffffffff", "-1.7976931348623157e+308"], ["4340000000000000", "9007199254740992"],
  ["c340000000000000", "-9007199254740992"], ["4430000000000000", "295147905179352830000"],
  ["44b52d02c7e14af5", "9.999999999999997e+22"], ["44b52d02c7e14af6", "1e+23"],
  ["44b52d02c7e14af7", "1.0000000000000001e+23"], ["444b1ae4d6e2ef4e", "999999999999999700000"],
  ["444b1ae4d6e2ef4f", "999999999999999900000"], ["444b1ae4d6e2ef50", "1e+21"],
  ["3eb0c6f7a0b5ed8c", "9.999999999999997e-7"], ["3eb0c6f7a0b5ed8d", "0.000001"],
  ["41b3de4355555553", "333333333.3333332"], ["41b3de4355555554", "333333333.33333325"],
  ["41b3de4355555555", "333333333.3333333"], ["41b3de4355555556", "333333333.3333334"],
  ["41b3de4355555557", "333333333.33333343"], ["becbf647612f3696", "-0.0000033333333333333333"],
  ["43143ff3c1cb0959", "1424953923781206.2"],
]) {
  assert.equal(canonical(Buffer.from(bits, "hex").readDoubleBE()), expected, bits);
}
for (const wrong of [Number.NaN, Number.POSITIVE_INFINITY, "\ud800", { "\udead": 1 }, undefined, [undefined], 1n]) {
  assert.throws(() => canonical(wrong), TypeError);
}
assert.equal(canonical(JSON.parse('{"__proto__":1}')), '{"__proto__":1}');

step("the hash of content is the service's: domain, zero, salt, canonical JSON");
const salt = "07".repeat(32);
const hash = createHash("sha256");
hash.update("counterfoil.audit.content/1\0").update(Buffer.alloc(32, 7)).update('{"lot":7}');
assert.equal(await contentHash({ lot: 7 }, salt), hash.digest("hex"));
await assert.rejects(contentHash(1, "07"), TypeError);

step("fields that differ are named as the service names them");
const kept = { a: 1, b: { "c/d": [1, 2, 3], e: null }, f: "x" };
assert.deepEqual(altered(kept, { a: 1, b: { "c/d": [1, 9], g: 1 }, f: "y" }), ["/b/c~1d/1", "/b/c~1d/2", "/b/e", "/b/g", "/f"]);
assert.deepEqual(altered(1, [1]), [""]);
assert.equal(altered(Array.from({ length: 500 }, (_, index) => index), []).length, 100);

step("resources are known by links, by codes and by their names");
const lot = "https://id.gs1.org/01/09521234543213/10/HASS-22";
assert.equal(digitalLink("/01/09521234543213/10/HASS-22"), lot);
assert.equal(digitalLink("/shop/01/9521234543213/10/HASS-22"), lot);
assert.equal(digitalLink("/01/12/10/A"), null);
assert.equal(digitalLink("/v1/traces"), null);
assert.equal(resourceIn("(01)09521234543213(10)HASS-22"), lot);
assert.equal(resourceIn("(21)7(10)HASS-22(01)9521234543213"), `${lot}/21/7`);
assert.equal(resourceIn(` https://brand.example/01/09521234543213/10/HASS-22?17=271231 `), lot);
assert.equal(resourceIn("https://audit.example/trace?resource=lot%3A7"), "lot:7");
assert.equal(resourceIn("javascript:alert(1)"), "javascript:alert(1)");
assert.equal(resourceIn("https://["), "https://[");
assert.equal(resourceOf({ pathname: "/trace", search: "?resource=a%26b" }), "a&b");
assert.equal(resourceOf({ pathname: "/trace", search: "" }), null);
assert.equal(nameOf(lot).title, "Lot HASS-22");
assert.equal(nameOf("https://id.gs1.org/01/x/10/%zz").title, "Lot %zz");
assert.equal(nameOf("https://id.gs1.org/toString/1").title, "https://id.gs1.org/toString/1");

step("places are those of geo: addresses, and no others");
assert.deepEqual(place("geo:19.342,-102.013;u=35"), { lat: 19.342, lon: -102.013 });
for (const wrong of ["geo:91,0", "geo:0,181", "geo:1", "geo:1,2\"><script>", "https://x/geo:1,2", "geo:NaN,0"]) assert.equal(place(wrong), null);
assert.deepEqual(placeOf({ where: "here", target: "" }, { a: [{ b: "geo:1,2" }] }), { lat: 1, lon: 2 });
assert.equal(runs([3, 1, 2, 7]), "1\u20133, 7");

step("true events are valid, and their data");
const { serviceCertificate: anchor, items } = recorded();
const shown = ({ event, transactionAddress, contractAddress }) => structuredClone({ event, transactionAddress, contractAddress });
const asked = ({ receipt, salt: own, event }) => structuredClone({ verdict: "altered", event, receipt, salt: own });
const committed = items.filter(({ receipt }) => receipt);
for (const item of committed) {
  const result = await judge({ log: shown(item), answer: asked(item), data: item.data, anchor });
  assert.equal(result.verdict, "valid", result.why);
  assert.equal(result.data, item.data === undefined ? "absent" : "matches");
}
const hashed = committed.find((item) => !item.salt);
assert.equal((await judge({ log: shown(hashed), answer: asked(hashed), data: {}, anchor })).data, "unsalted");

step("whatever is changed in an event is noticed, and named");
const [item] = committed;
for (const [field, change] of [
  ["event /who", (log) => { log.event.who += "x"; }],
  ["event /where", (log) => { log.event.where = ""; }],
  ["event /when", (log) => { log.event.when = "2026-10-12T14:05:00.001Z"; }],
  ["event /how", (log) => { log.event.how = "update"; }],
  ["event /what/did", (log) => { log.event.what.did = "commissionin"; }],
  ["event /what/hash", (log) => { log.event.what.hash = "0".repeat(64); }],
  ["event /what/about/0/id", (log) => { log.event.what.about[0].id += "4"; }],
  ["event /what/about/0/part", (log) => { log.event.what.about[0].part = "input"; }],
  ["event /more", (log) => { log.event.more = 1; }],
  ["event /target", (log) => { delete log.event.target; }],
]) {
  const log = shown(item);
  change(log);
  const result = await judge({ log, answer: asked(item), data: item.data, anchor });
  assert.deepEqual([result.verdict, result.fields], ["altered", [field]], field);
}
const changed = await judge({ log: shown(item), answer: asked(item), data: { ...item.data, action: "DELETE" }, anchor });
assert.deepEqual([changed.verdict, changed.data], ["altered", "differs"]);
const own = { event: item.event, salt: item.salt, kept: item.data, held: { ...item.data, action: "DELETE" } };
assert.deepEqual(await compare(own), { same: false, fields: ["/action"] });
assert.deepEqual(await compare({ ...own, kept: {} }), { same: false, fields: [] });
assert.deepEqual(await compare({ ...own, held: JSON.parse(JSON.stringify(item.data)) }), { same: true, fields: [] });

step("what is not proven is not valid, whatever the server says of it");
const verdict = async (log, answer, trusted = anchor) => (await judge({ log, answer, data: undefined, anchor: trusted })).verdict;
const forged = (change) => {
  const answer = { ...asked(item), verdict: "valid" };
  change(answer.receipt);
  return answer;
};
const claim = (receipt) => receipt.applicationClaims[0];
const other = committed[3];
assert.equal(await verdict(shown(item), { verdict: "valid", event: item.event }), "unknown");
assert.equal(await verdict(shown(item), { verdict: "pending" }), "pending");
assert.equal(await verdict(shown(item), { verdict: "not_permitted" }), "not_permitted");
assert.equal(await verdict(shown(item), null), "unknown");
assert.equal(await verdict(shown(item), { verdict: "valid", receipt: { type: "counterfoil.audit.chain-event/1" } }), "unchecked");
assert.equal(await verdict(shown(item), { ...asked(other), verdict: "valid" }), "unproven");
assert.equal(await verdict({ ...shown(item), transactionAddress: "2.9" }, asked(item)), "unproven");
assert.equal(await verdict({ ...shown(item), contractAddress: "bitacora:x" }, asked(item)), "unproven");
assert.equal(await verdict(shown(item), asked(item), anchor.replace("MIIB", "MIIC")), "unproven");
for (const change of [
  (receipt) => delete receipt.applicationClaims,
  (receipt) => { receipt.applicationClaims = []; },
  (receipt) => { receipt.applicationClaims.push(receipt.applicationClaims[0]); },
  (receipt) => { claim(receipt).ledgerEntry.contents = claim(receipt).ledgerEntry.contents.replace("ana@", "eva@"); },
  (receipt) => { claim(receipt).ledgerEntry.collectionId = "bitacora:x"; },
  (receipt) => { receipt.receipt.signature = other.receipt.receipt.signature; },
  (receipt) => { receipt.receipt.proof = []; },
]) {
  assert.equal(await verdict(shown(item), forged(change)), "unproven");
}

step("a claim that shows one thing and hashes another proves nothing");
// An entry's digest can be written as a claim of a digest: what stands beside it then is not hashed.
const entry = claim(item.receipt).ledgerEntry;
const mac = (text) => {
  const secret = Buffer.from(entry.secretKey, "base64");
  return createHmac("sha256", secret).update(text).digest();
};
const inner = createHash("sha256").update(Buffer.concat([mac(entry.collectionId), mac(entry.contents)])).digest("hex");
const lying = { ...shown(item), event: { ...item.event, who: "eva@huerta.example" } };
const contents = canonical({ type: "counterfoil.audit.event/1", ...lying.event });
const digest = { protocol: "LedgerEntryV1", value: inner };
for (const forgery of [
  { kind: "ClaimDigest", digest, ledgerEntry: { ...entry, contents } },
  { kind: "LedgerEntry", digest, ledgerEntry: null, ledger_entry: { ...entry, contents } },
]) {
  const answer = forged((receipt) => { receipt.applicationClaims = [forgery]; });
  assert.equal(await verdict(lying, answer), "unproven");
}
// The other spelling of the entry that was recorded is that entry, and not what is shown.
const spelled = { kind: "LedgerEntry", ledger_entry: { ...entry } };
const answer = forged((receipt) => { receipt.applicationClaims = [spelled]; });
assert.equal(await verdict(lying, answer), "altered");
