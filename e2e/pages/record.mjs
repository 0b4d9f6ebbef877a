// Makes the answers that the test of the audit service's pages serves: true events with true
// receipts, of a ledger that runs. The ledger is named as for page.mjs; the file to write is the
// argument. Only needed when the form of events or receipts changes.
import { createHash, randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:https";

import { canonical, contentHash } from "../../crates/audit/web/canonical.js";

const VERSION = "api-version=2026-07-31-preview";
const service = readFileSync(process.env.E2E_SERVICE_CERT, "utf8");
const agent = new Agent({ ca: service, keepAlive: true });
const authorization = `Bearer ${process.env.E2E_TOKEN}`;

function ask(method, path, body) {
  return new Promise((resolve, reject) => {
    const headers = { authorization, "content-type": "application/json" };
    const sent = request(process.env.E2E_URL + path, { method, agent, headers }, (answer) => {
      const pieces = [];
      answer.on("data", (piece) => pieces.push(piece));
      answer.on("end", () => {
        const text = Buffer.concat(pieces).toString();
        if (answer.statusCode === 200) resolve({ text, headers: answer.headers });
        else reject(new Error(`${path}: ${answer.statusCode} ${text}`));
      });
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

const items = [];

/** Records an event as the audit service does, and keeps what the service would keep. */
async function record({ data, keep = true, hash, commit = true, ...given }) {
  const before = items.filter(({ event }) => event.record === given.record).at(-1);
  const same = data === undefined && hash === undefined;
  const salt = same ? before.salt : hash === undefined ? randomBytes(32).toString("hex") : undefined;
  const digest = same ? before.event.what.hash : (hash ?? (await contentHash(data, salt)));
  const event = {
    record: given.record,
    version: (before?.event.version ?? 0) + 1,
    how: given.how,
    who: given.who,
    what: { about: given.about ?? before.event.what.about, did: given.did ?? "", hash: digest },
    when: given.when,
    where: given.where,
    target: given.target ?? "",
  };
  const item = { event };
  if (salt) item.salt = salt;
  if (!same && hash === undefined && keep) item.data = data;
  if (commit) {
    const contents = canonical({ type: "counterfoil.audit.event/1", ...event });
    const log = `bitacora:${given.who}`;
    const path = `/app/transactions?${VERSION}&collectionId=${encodeURIComponent(log)}`;
    const { headers } = await ask("POST", path, JSON.stringify({ contents }));
    item.transactionAddress = headers["x-ms-ccf-transaction-id"];
    item.contractAddress = log;
    const receipt = `/app/transactions/${item.transactionAddress}/receipt?${VERSION}`;
    for (;;) {
      const { text } = await ask("GET", receipt);
      item.receipt = JSON.parse(text);
      if (item.receipt.state !== "Loading") break;
    }
  }
  items.push(item);
}

const lot = (gtin, name) => `https://id.gs1.org/01/${gtin}/10/${name}`;
const A = lot("09521234543213", "HASS-22-0123");
const B = lot("09521234543213", "HASS-22-0131");
const C = lot("09521234543220", "BOX-22-0044");
const PALLET = "https://id.gs1.org/00/395212345000000013";
const input = (id) => ({ id, part: "input" });
const ANA = "ana@huerta.example";
const LUIS = "luis@alvarez.example";
const COLLECT = "acopio@uruapan.example";
const CARRIER = "turno2@transportes.example";
const SHOP = "recepcion@mercado.example";

const epcis = (bizStep, place, extra = {}) => ({
  type: "ObjectEvent",
  action: "OBSERVE",
  bizStep,
  eventTimeZoneOffset: "-06:00",
  readPoint: { id: place },
  ...extra,
});

const ORCHARD = "geo:19.3420,-102.0130";
const ORCHARD_B = "geo:19.3011,-102.1875";
const PACKING = "geo:19.4167,-102.0581";
const TOLUCA = "geo:19.2826,-99.6557";
const MARKET = "geo:19.3740,-99.0930";

await record({
  record: "harvest-0123", how: "create", who: ANA, about: [{ id: A }], did: "commissioning",
  when: "2026-10-12T14:05:00.000Z", where: "Huerta El Mirador",
  data: epcis("commissioning", ORCHARD, {
    action: "ADD",
    eventTime: "2026-10-12T08:00:00-06:00",
    quantityList: [{ epcClass: A, quantity: 812.5, uom: "KGM" }],
    ilmd: { variety: "Hass", harvestDate: "2026-10-12" },
  }),
});
await record({
  record: "harvest-0131", how: "create", who: LUIS, about: [{ id: B }], did: "commissioning",
  when: "2026-10-12T17:40:00.000Z", where: "203.0.113.44",
  data: epcis("commissioning", ORCHARD_B, { action: "ADD", quantityList: [{ epcClass: B, quantity: 640, uom: "KGM" }] }),
});
await record({
  record: "harvest-0123", how: "update", who: ANA, did: "weigh again",
  when: "2026-10-12T18:20:00.000Z", where: "Huerta El Mirador",
  data: epcis("commissioning", ORCHARD, {
    action: "ADD",
    eventTime: "2026-10-12T08:00:00-06:00",
    quantityList: [{ epcClass: A, quantity: 798.2, uom: "KGM" }],
    ilmd: { variety: "Hass", harvestDate: "2026-10-12" },
  }),
});
await record({
  record: "packing-0044", how: "create", who: COLLECT,
  about: [input(A), input(B), { id: C, part: "output" }], did: "packing",
  when: "2026-10-13T09:30:00.000Z", where: "Acopio Uruapan", target: "line 3",
  data: {
    type: "TransformationEvent", bizStep: "packing", readPoint: { id: PACKING },
    inputQuantityList: [{ epcClass: A, quantity: 798.2, uom: "KGM" }, { epcClass: B, quantity: 640, uom: "KGM" }],
    outputQuantityList: [{ epcClass: C, quantity: 140 }],
  },
});
await record({
  record: "quality-77", how: "create", who: COLLECT, about: [{ id: C }], did: "inspecting",
  when: "2026-10-13T11:00:00.000Z", where: "Acopio Uruapan",
  hash: createHash("sha256").update("the laboratory keeps its report").digest("hex"),
});
await record({
  record: "pallet-13", how: "create", who: COLLECT,
  about: [{ id: PALLET, part: "parent" }, { id: C, part: "child" }], did: "loading",
  when: "2026-10-13T12:15:00.000Z", where: "Acopio Uruapan",
  data: { type: "AggregationEvent", action: "ADD", bizStep: "loading", parentID: PALLET, childQuantityList: [{ epcClass: C, quantity: 140 }], readPoint: { id: PACKING } },
});
await record({
  record: "trip-900", how: "create", who: CARRIER, about: [{ id: PALLET }], did: "departing",
  when: "2026-10-13T13:02:00.000Z", where: "198.51.100.12", target: "truck 14",
  data: epcis("departing", PACKING, { disposition: "in_transit" }),
});
await record({
  record: "trip-900", how: "update", who: CARRIER, did: "transporting",
  when: "2026-10-13T19:45:00.000Z", where: "198.51.100.90",
  data: epcis("transporting", TOLUCA, {
    disposition: "in_transit",
    sensorElementList: [{ sensorReport: [{ type: "Temperature", value: 5.6, uom: "CEL" }] }],
  }),
});
await record({
  record: "trip-900", how: "read", who: SHOP,
  when: "2026-10-13T20:01:00.000Z", where: "192.0.2.200",
});
await record({
  record: "arrival-5", how: "create", who: SHOP, about: [{ id: PALLET }], did: "receiving",
  when: "2026-10-14T05:10:00.000Z", where: "Central de Abasto, dock 7",
  data: epcis("receiving", MARKET, { disposition: "in_progress", bizTransactionList: [{ type: "po", bizTransaction: "urn:example:po:8841" }] }),
});
await record({
  record: "offer-2", how: "create", who: SHOP, about: [{ id: PALLET }], did: "retail_selling",
  when: "2026-10-14T08:00:00.000Z", where: "192.0.2.200", keep: false,
  data: { price: "not for everybody" },
});
await record({
  record: "offer-2", how: "delete", who: SHOP, did: "entered twice",
  when: "2026-10-14T08:06:00.000Z", where: "192.0.2.200",
});
await record({
  record: "shelf-1", how: "create", who: SHOP, about: [{ id: PALLET }], did: "stocking",
  when: "2026-10-14T09:30:00.000Z", where: "192.0.2.200", commit: false,
  data: epcis("stocking", MARKET),
});

// What others may write into each field: all of it is text.
const EVIL = '<img src=x onerror="document.title=\'taken\'">';
await record({
  record: "evil-1", how: "create", who: `${EVIL}@x`,
  about: [{ id: "javascript:document.title='taken'" }, { id: "<svg/onload=document.title='taken'>" }],
  did: EVIL, when: "2026-10-15T08:00:00.000Z", where: `${EVIL}"'><script>document.title='taken'</script>`,
  target: "javascript:document.title='taken'",
  data: {
    [EVIL]: EVIL, "__proto__x": { toString: 1 }, link: "javascript:document.title='taken'", type: EVIL, bizStep: EVIL,
    readPoint: { id: "geo:1,2\"><script>" }, deep: [[[{ [EVIL]: [EVIL] }]]],
  },
});
await record({
  record: `long-${"x".repeat(123)}`, how: "create", who: "w".repeat(200),
  about: [{ id: `urn:long:${"9".repeat(480)}` }, { id: "javascript:document.title='taken'" }],
  did: "d".repeat(255), when: "2026-10-15T08:00:01.000Z", where: "\u{1f951}".repeat(60), target: "t".repeat(255),
  data: { note: "many words ".repeat(300), word: "n".repeat(3_000), ["k".repeat(300)]: 1 },
});
writeFileSync(process.argv[2], `${JSON.stringify({ serviceCertificate: service, items }, null, 1)}\n`);
console.log(`${items.length} events`);
agent.destroy();
