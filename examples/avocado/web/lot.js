// The journey of a lot: what each company says of it today, compared here with what the ledger proves.

import { badge, openDrawer } from "./drawer.js";
import { VERDICTS, compare, judge } from "./judge.js";
import { mapWithNames, placeOf } from "./map.js";
import { at, button, definitions, made, make, short, words } from "./parts.js";
import { nameOf, resourceOf } from "./resource.js";
import { fingerprint } from "./verify.js";

const PATIENCE_MS = 30_000;
const AT_ONCE = 4;
const BAD = ["altered", "unproven", "unknown"];

const resource = resourceOf(location);
let companies = new Map();
let anchor = null;
let root = null;
let steps = [];

/** Asks the association's own server; null where there is nothing. */
async function ask(path, body) {
  const post = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const options = { cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(PATIENCE_MS) };
  const answer = await fetch(path, body === undefined ? options : { ...options, ...post });
  if (answer.status === 404) return null;
  const said = await answer.json().catch(() => null);
  if (!answer.ok) throw new Error(typeof said?.detail === "string" ? said.detail : `The answer was ${answer.status}.`);
  return said;
}

async function start() {
  if (resource === null) {
    at("title").textContent = "Which one?";
    return say(make("p", "This address names no lot. ", made("a", { href: "/" }, "Look one up"), "."));
  }
  const { title, exactly } = nameOf(resource);
  document.title = `${short(title, 60)} \u2013 Aguacate Claro`;
  at("title").textContent = short(title, 120);
  at("exactly").textContent = exactly;
  const directory = await ask("/api/directory");
  companies = new Map(directory.companies.map((company) => [company.id, company]));
  anchor = directory.serviceCertificate;
  root = directory.root;
  at("fingerprint").textContent = await fingerprint(anchor);
  const trace = await ask(`/api/trace?resource=${encodeURIComponent(resource)}`);
  steps = newest(trace.logs).map((log) => ({ log, company: companies.get(log.event.who) }));
  if (steps.length === 0) {
    return say(make("div.verdict-box.open", make("p.stamp", "UNKNOWN"), make("p", "Nobody recorded anything about this lot. The code may be mistyped, or false.")));
  }
  await checkAll();
}

/** Of a record that was corrected, what counts now. */
function newest(logs) {
  const records = new Map();
  for (const log of logs) {
    const known = records.get(log.event.record);
    if (known === undefined || known.event.version < log.event.version) records.set(log.event.record, log);
  }
  return [...records.values()];
}

const say = (...what) => at("said").replaceChildren(...what);

async function checkAll() {
  let done = 0;
  const waiting = [...steps];
  const worker = async () => {
    for (let step = waiting.shift(); step !== undefined; step = waiting.shift()) {
      await checkOne(step);
      done += 1;
      say(make("p", `Checking in your browser: ${done} of ${steps.length}\u2026`));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  // In the order in which things happened, by the companies' own clocks.
  steps.sort((one, other) => timeOf(one).localeCompare(timeOf(other)));
  steps.forEach((step, place) => {
    step.number = place + 1;
  });
  at("journey").hidden = false;
  at("steps").replaceChildren(...steps.map(stepView));
  drawPlaces();
  summary();
}

const timeOf = ({ shown, log }) => new Date(shown?.eventTime ?? log.event.when).toISOString();

/** Compares what a company says today with what it recorded. */
async function checkOne(step) {
  const { event } = step.log;
  const record = encodeURIComponent(event.record);
  try {
    const question = { record: event.record, version: event.version, hash: event.what.hash };
    const [answer, kept, claim] = await Promise.all([
      ask("/api/consult", question),
      ask(`/api/records/${record}`).catch(() => null),
      step.company ? ask(`/api/claims/${event.who}/${record}`) : null,
    ]);
    // Kept data has the hash of the record's newest version.
    step.kept = kept?.event.what.hash === event.what.hash ? kept.data : undefined;
    step.answer = answer;
    step.claim = claim;
    step.shown = claim ?? step.kept;
    step.result = await verdictOf(step);
  } catch (error) {
    step.result = { verdict: "unchecked", why: error.message, steps: [], fields: [] };
  }
}

async function verdictOf({ log, answer, kept, claim, company }) {
  const event = await judge({ log, answer, data: undefined, anchor, root });
  // Whom the association does not know it cannot ask: what they recorded stands for itself.
  if (event.verdict !== "valid" || company === undefined) return event;
  const { name } = company;
  if (claim === null) {
    return { ...event, verdict: "unknown", why: `${name} has nothing about this step today, although it recorded it.` };
  }
  const { same, fields } = await compare({ event: event.recorded, salt: answer.salt, kept, held: claim });
  if (same === null) return { ...event, verdict: "unchecked", why: "The hash of this step has no salt here." };
  if (same) return { ...event, data: "matches" };
  const failed = { rule: `What ${name} says today has another hash.`, shown: event.recorded.what.hash, failed: true };
  return {
    ...event, verdict: "altered", data: "differs", fields, steps: [...event.steps, failed],
    why: `${name} says something else today than what it recorded.`,
  };
}

// The steps.

const NAMES = {
  commissioning: "Picked",
  packing: "Packed",
  loading: "Put on a pallet",
  departing: "Left the packing house",
  arriving: "Came to town",
  receiving: "Came to the shop",
  stocking: "Put on the shelf",
};

/** What people call a field, and its unit, in the order in which they want to know. */
const FACTS = {
  "cbvmda:harvestStartDate": ["Harvest date"],
  quantity: ["Quantity"],
  "avo:crates": ["Crates"],
  "avo:variety": ["Variety"],
  "avo:dryMatter": ["Dry matter", "%"],
  "avo:crew": ["Picked by"],
  "avo:calibre": ["Fruits in a case"],
  "cbvmda:bestBeforeDate": ["Best before"],
  "avo:line": ["Line"],
  "avo:chamberTemperature": ["Cold chamber", "\u00b0C"],
  "avo:truck": ["Truck"],
  "avo:setPoint": ["Cooling set to", "\u00b0C"],
  "avo:kilometres": ["Distance", "km"],
  minValue: ["Coldest", "\u00b0C"],
  meanValue: ["Mean", "\u00b0C"],
  maxValue: ["Warmest", "\u00b0C"],
  "avo:pesosPerKilogram": ["Price", "pesos/kg"],
};
const QUANTITIES = { inputQuantityList: "From fruit", outputQuantityList: "Packed into" };
const PLACES = Object.keys(FACTS);

const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });

/** A value of a field as people read it. */
function shownValue(value, own) {
  const text = String(value);
  if (/^[0-9]{4}-[0-9]{2}-[0-9]{2}$/.test(text)) return DAY.format(new Date(`${text}T00:00:00Z`));
  return own ? `${short(text, 80)} ${own}` : short(text, 80);
}

/** What people call the field at a pointer; the pointer itself where they have no word. */
function fieldName(pointer) {
  const steps = pointer.split("/");
  return QUANTITIES[steps[1]] ?? FACTS[steps.at(-1)]?.[0] ?? pointer;
}

/** The facts of an event that say something to people: name, value, and where they stand. */
function factsOf(event) {
  const facts = [];
  const visit = (value, pointer, unit) => {
    if (typeof value === "object" && value !== null) {
      for (const [name, inner] of Object.entries(value)) visit(inner, `${pointer}/${name}`, value.uom);
      return;
    }
    const key = pointer.split("/").at(-1);
    if (!Object.hasOwn(FACTS, key)) return;
    const own = key === "quantity" ? (unit === "KGM" ? "kg" : "cases") : FACTS[key][1];
    facts.push({ name: fieldName(pointer), value: shownValue(value, own), pointer, place: PLACES.indexOf(key) });
  };
  visit(event, "", undefined);
  facts.sort((one, other) => one.place - other.place);
  // One reading is no range.
  const range = facts.filter(({ pointer }) => /\/(min|mean|max)Value$/.test(pointer));
  if (range.length === 3 && new Set(range.map(({ value }) => value)).size === 1) {
    return [...facts.filter((fact) => !range.includes(fact)), { ...range[0], name: "In the fruit" }];
  }
  return facts;
}

const MOMENT = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", timeZone: "America/Mexico_City" });

function stepView(step) {
  const { shown, log, company, result } = step;
  const title = NAMES[shown?.bizStep] ?? words(log.event.what.did || log.event.how);
  const facts = factsOf(shown ?? {}).map(({ name, value, pointer }) => {
    const differs = result.fields.includes(pointer);
    return make(differs ? "div.differs" : "div", make("dt", name), make("dd", value));
  });
  const time = made("time", { datetime: timeOf(step) }, MOMENT.format(new Date(timeOf(step))));
  const evidence = button("Evidence", () => openDrawer({ log, answer: step.answer, result, data: step.kept }));
  evidence.disabled = step.answer === undefined;
  evidence.setAttribute("aria-label", `Evidence: ${title}`);
  evidence.setAttribute("aria-haspopup", "dialog");
  const name = company?.name ?? "Somebody whom the association does not know";
  return made(
    `li.stage.act.${result.verdict}`, { id: `step-${step.number}` },
    make("span.number", String(step.number)),
    make(
      "div.card",
      make("h3", title),
      make("p.company", name),
      make("p.at", time, shown?.["avo:place"] ? ` \u00b7 ${short(shown["avo:place"], 80)}` : ""),
      facts.length > 0 && make("dl.facts", ...facts),
      result.verdict !== "valid" && make("div.differences", make("p", result.why ?? VERDICTS[result.verdict].means), ...differences(step)),
      make("div.checked", make("span.verdict-row", badge(result.verdict)), evidence),
    ),
  );
}

/** What a company says today beside what it recorded, field by field as far as that is known. */
function differences({ result, claim, kept }) {
  if (result.verdict !== "altered" || !claim) return [];
  return result.fields.slice(0, 20).map((pointer) => {
    const value = (event) => make("b", shownValue(valueAt(event, pointer) ?? "nothing"));
    return make(
      "dl.difference", make("dt", fieldName(pointer)),
      make("dd.now", make("span", "They say today"), value(claim)),
      make("dd.then", make("span", "They recorded"), value(kept)),
    );
  });
}

function valueAt(value, pointer) {
  let found = value;
  for (const step of pointer.split("/").slice(1)) {
    const name = step.replaceAll("~1", "/").replaceAll("~0", "~");
    found = typeof found === "object" && found !== null && Object.hasOwn(found, name) ? found[name] : undefined;
  }
  return typeof found === "object" ? JSON.stringify(found) : found;
}

function summary() {
  const count = (verdicts) => steps.filter(({ result }) => verdicts.includes(result.verdict)).length;
  const [valid, bad] = [count(["valid"]), count(BAD)];
  const all = steps.length;
  const box = (name, stamp, ...what) => say(make(`div.verdict-box.${name}`, make("p.stamp", stamp), ...what));
  if (bad > 0) {
    const who = [...new Set(steps.filter(({ result }) => BAD.includes(result.verdict)).map(({ company }) => company?.name ?? "somebody unknown"))];
    const step = steps.find(({ result }) => BAD.includes(result.verdict));
    const is = step.result.verdict === "altered" ? "ALTERED" : "NOT VALID";
    box("altered", is, make(
      "p", `${bad === 1 ? "One" : bad} of ${all} steps ${bad === 1 ? "is" : "are"} not what was recorded: `,
      made("a", { href: `#step-${step.number}` }, `step ${step.number}`), `, by ${who.join(", ")}.`,
    ), ...differences(step));
  } else if (valid === all) {
    box("valid", "VALID", make("p", `All ${all} steps are what the companies recorded when they happened.`));
  } else {
    box("open", "INCOMPLETE", make("p", `${valid} of ${all} steps are valid. The others could not be checked now.`), make("div.row", button("Check again", checkAll)));
  }
}

function drawPlaces() {
  const stops = steps.flatMap(({ log, shown, number }) => {
    const found = placeOf(log.event, shown);
    return found ? [{ ...found, number, name: short(shown?.["avo:place"] ?? "", 60) }] : [];
  });
  at("map").hidden = stops.length === 0;
  if (stops.length > 0) at("places").replaceChildren(...mapWithNames(stops));
}

start().catch((error) => {
  say(make("p.problem", error.message), make("div.row", button("Try again", () => location.reload())));
});
