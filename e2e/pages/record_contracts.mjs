// Makes crates/audit/web/testdata/contracts.json: true events in a tree of contracts with true receipts, as
// audit services that run on a ledger give them (connector = "contracts", nobody has signed in yet). AUDIT_URL
// is their gateway, AUDIT_CERTIFICATE the file with its certificate; the file to write is the argument. Only
// needed when the form of events or receipts changes.
import { readFileSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:https";

const agent = new Agent({ ca: readFileSync(process.env.AUDIT_CERTIFICATE), keepAlive: true });
const PASSWORD = "correct horse battery";

function ask(method, path, body, token) {
  return new Promise((resolve, reject) => {
    const sent = body === undefined ? "" : JSON.stringify(body);
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(sent) };
    if (token) headers.authorization = `Bearer ${token}`;
    const asked = request(process.env.AUDIT_URL + path, { method, agent, headers }, (answer) => {
      const pieces = [];
      answer.on("data", (piece) => pieces.push(piece));
      answer.on("end", () => {
        const text = Buffer.concat(pieces).toString();
        if (answer.statusCode < 300) resolve(JSON.parse(text));
        else reject(new Error(`${path}: ${answer.statusCode} ${text}`));
      });
    });
    asked.on("error", reject);
    asked.end(sent);
  });
}

const person = (name) => ({ email: `${name}@huerta.example`, name, password: PASSWORD });
const signIn = async (name) => (await ask("POST", "/v1/login", { email: `${name}@huerta.example`, password: PASSWORD })).access_token;

const { session, nb } = await ask("POST", "/v1/root/slot", { na: "1" });
await ask("POST", "/v1/root", { session, nb, root: person("root") });
const root = await signIn("root");
await ask("POST", "/v1/users", { ...person("ada"), kind: "administrator" }, root);
const ada = await signIn("ada");
for (const name of ["ana", "ben"]) await ask("POST", "/v1/users", { ...person(name), kind: "tuser" }, ada);

const tokens = { ana: await signIn("ana"), ben: await signIn("ben") };
const kept = new Map();
async function store(who, method, record, said) {
  const path = method === "POST" ? "/v1/records" : `/v1/records/${record}`;
  const body = method === "POST" ? { record, ...said } : said;
  const { event } = await ask(method, path, body, tokens[who]);
  if (said.data !== undefined) kept.set(`${event.record} ${event.version}`, said.data);
}
const LOT = ["https://id.gs1.org/01/09521234543213/10/HASS-22-0123"];
await store("ana", "POST", "harvest-1", { about: LOT, did: "harvest", target: "field 3", where: "Huerta El Mirador", data: { kg: 20 } });
await store("ana", "PUT", "harvest-1", { about: LOT, did: "weigh again", data: { kg: 19.5 } });
await store("ana", "DELETE", "harvest-1", { did: "entered twice" });
await store("ben", "POST", "packing-1", { about: LOT, did: "packing", data: { cases: 3 } });
// Texts that the contracts take in part, and such that readers take apart in different ways.
await store("ben", "POST", `long-${"x".repeat(100)}`, { about: LOT, did: "\u{1f951}".repeat(60), target: "\ufefft\u00e9xt", data: [] });
await store("ben", "POST", "blanks-1", { about: LOT, did: "ends with \u3000\ufeff", data: [] });
await store("ben", "POST", "blanks-2", { about: LOT, did: "ends with \u3000", data: [] });

const { logs } = await ask("GET", "/v1/logs?limit=100", undefined, root);
const items = [];
for (const { event } of logs.reverse()) {
  const path = `/v1/records/${event.record}/versions/${event.version}`;
  items.push({ ...(await ask("GET", path, undefined, root)), data: kept.get(`${event.record} ${event.version}`) });
}
const trusted = await ask("GET", "/v1/identity");
writeFileSync(process.argv[2], `${JSON.stringify({ ...trusted, items }, null, 1)}\n`);
console.log(`${items.length} events, root ${trusted.root}`);
agent.destroy();
