// The evidence of one event: all that is known of it, what was checked, and the proof as a file.

import { isInContract, takesBlock } from "./contracts.js";
import { VERDICTS, compare } from "./judge.js";
import { button, dataView, definitions, made, make, titleOf } from "./parts.js";
import { nameOf, tracePath } from "./resource.js";

const MENTIONS_SHOWN = 100;

/** The verdict as a badge: a sign and a word, so that nobody needs the colour. */
export const badge = (verdict) => make(`span.badge.${verdict}`, VERDICTS[verdict].name);

/**
 * Shows the evidence of an event: `log` as the service lists it, `answer` as it was consulted,
 * `result` as this browser judged it, `data` if it is shown. `calledToday` gives what stands beside the id of
 * whoever did it, where there are names.
 */
export function openDrawer({ log, answer, result, data, calledToday = () => null }) {
  const { event } = log;
  const title = make("h2", titleOf(event));
  title.id = "drawer-title";
  const close = button("Close", () => dialog.close());
  const dialog = made(
    "dialog.drawer", { "aria-labelledby": "drawer-title" },
    make("div.drawer-head", title, close),
    verdictOf(result),
    definitions([
      ["Who", make("span", make("span", event.who), calledToday(event.who))],
      ["What", what(event)],
      ["About", mentions(event)],
      ["Where", event.where],
      ["Aimed at", event.target],
      ["When", event.when],
      ["How", event.how],
      ["Record", `${event.record}, version ${event.version}`],
    ]),
    make("h3", "Addresses and hashes"),
    definitions([
      ["Transaction address", log.transactionAddress ?? "none yet"],
      ["Contract address", log.contractAddress ?? "none yet"],
      ["Hash of the content", event.what.hash],
      ["Salt of the hash", answer?.salt ?? "none is shown"],
    ], "dl.facts.hashes"),
    data !== undefined && make("details", make("summary", "The kept data"), dataView(data)),
    steps(result),
    answer?.receipt && comparing(log, answer, data),
    answer?.receipt && download(log, answer, data),
  );
  dialog.addEventListener("close", () => dialog.remove());
  // A click beside the drawer closes it, as people expect.
  dialog.addEventListener("click", (clicked) => {
    if (clicked.target === dialog) dialog.close();
  });
  document.body.append(dialog);
  dialog.showModal();
}

function verdictOf(result) {
  const { means, limits } = VERDICTS[result.verdict];
  return make(
    `div.verdict.${result.verdict}`,
    make("p.stamp", VERDICTS[result.verdict].name.toUpperCase()),
    make("p", means),
    result.why && result.why !== means && make("p.why", result.why),
    fields(result),
    dataSaid(result) && make("p", dataSaid(result)),
    make("p.hint", limits),
  );
}

/** The fields that differ, with what the ledger has of them. */
export function fields({ fields: names, recorded }) {
  if (names.length === 0) return null;
  const shown = names.slice(0, 20).map((name) => {
    const at = name.startsWith("event /") ? valueAt(recorded, name.slice("event ".length)) : undefined;
    const value = at === undefined ? null : make("span", ": the ledger has ", make("q", String(at)));
    return make("li", make("code", name), value);
  });
  return make("ul.fields", ...shown);
}

function valueAt(event, pointer) {
  let value = event;
  for (const step of pointer.slice(1).split("/")) {
    const name = step.replaceAll("~1", "/").replaceAll("~0", "~");
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return "nothing there";
    value = value[name];
  }
  return typeof value === "object" ? JSON.stringify(value) : value;
}

/** What the verdict says about the data of the record. */
export function dataSaid({ verdict, data }) {
  if (verdict !== "valid") return null;
  return {
    matches: "The data has the hash that the event recorded.",
    absent: "The data of this event is not shown here, so only the event was checked.",
    unsalted: "The hash was made by whoever recorded it, by a rule of their own, so the data was not compared.",
  }[data];
}

const what = (event) => event.what.did || "(not said)";

function mentions(event) {
  const items = event.what.about.slice(0, MENTIONS_SHOWN).map(({ id, part }) => {
    const { title, exactly } = nameOf(id);
    const link = made("a", { href: tracePath(id) }, exactly ? `${title} ${exactly}` : title);
    return make("li", link, part ? make("span.hint", ` as ${part}`) : null, exactly ? make("span.id", id) : null);
  });
  const more = event.what.about.length - items.length;
  if (more > 0) items.push(make("li", `and ${more} more, which the proof names`));
  return make("ul.mentions", ...items);
}

function steps({ steps: all }) {
  if (all.length === 0) return null;
  const items = all.map(({ rule, shown, failed }) => make(failed ? "li.failed" : "li", rule, make("span.shown", shown)));
  return made("details", {}, make("summary", `What this browser checked (${all.length})`), make("ol.steps", ...items));
}

/** Lets a reader compare data of their own. It does not leave the browser. */
function comparing(log, answer, kept) {
  const held = made("textarea", { id: "held", rows: 4, spellcheck: "false", autocomplete: "off" });
  const said = made("p", { role: "status" });
  const act = button("Compare", async () => {
    said.className = "";
    try {
      const { same, fields: names } = await compare({
        event: log.event, salt: answer.salt, kept, held: JSON.parse(held.value),
      });
      if (same === null) said.textContent = "This hash has no salt here: whoever recorded it made it by a rule of their own.";
      else if (same) said.textContent = "The same: its hash is the recorded one.";
      else if (names.length > 0) said.textContent = `Not the same. These differ: ${names.join(", ")}`;
      else said.textContent = "Not the same: its hash is another one.";
      said.className = same ? "good" : "problem";
    } catch (error) {
      said.className = "problem";
      said.textContent = error instanceof SyntaxError ? "That is not JSON." : error.message;
    }
  });
  return make(
    "details", make("summary", "Compare data that I hold"),
    make("p.hint", "It is hashed in this browser and sent nowhere. The order of names and blanks do not count."),
    made("label", { for: "held" }, "Data (JSON)"), held, make("div.row", act), said,
  );
}

/**
 * The proof as a file: the ledger's receipt as every verifier of receipts reads it, and beside it what
 * only this service knows.
 */
function download(log, answer, data) {
  const audit = { ...log, salt: answer.salt, data };
  const proof = JSON.stringify({ ...answer.receipt, audit }, null, 2);
  const link = made("a.button", { download: `proof-${log.event.record}-${log.event.version}.json` }, "Download the proof");
  link.href = URL.createObjectURL(new Blob([proof], { type: "application/json" }));
  return make(
    "div.download", make("div.row", link),
    make("p.hint", "Anybody checks it without this server: ", make("code", commandFor(answer.receipt))),
  );
}

/** How the command line checks a proof: by what its reader got elsewhere. */
function commandFor(receipt) {
  const by = takesBlock(receipt) ? "--block HASH" : "--service-cert service_cert.pem";
  return `counterfoil verify proof.json ${by}${isInContract(receipt) ? " --root ADDRESS" : ""}`;
}
