// The trace of a resource: what happened to it and to what it came from, or became; each event with
// the verdict of this browser.

import { askAgain, check, consult, dataOf, each, keyOf, unchecked } from "./check.js";
import { badge, fields, openDrawer } from "./drawer.js";
import { VERDICTS } from "./judge.js";
import { mapWithNames, placeOf } from "./map.js";
import { calledToday, whoView } from "./names.js";
import { at, button, dataView, made, make, moment, short, titleOf } from "./parts.js";
import { labelPath, nameOf, resourceOf, tracePath } from "./resource.js";
import { Refused, ask, resume, signInForm, signedIn } from "./session.js";
import { anchor, isCompared, root, trust } from "./trust.js";

const LINKS_SHOWN = 6;

const resource = resourceOf(location);
const way = new URLSearchParams(location.search).get("direction") === "forward" ? "forward" : "back";

let trace = null;
/** What is known of each event, by its key: the log, its number, the answer, the verdict, its card. */
let stages = new Map();

async function start() {
  if (resource === null) {
    at("title").textContent = "Nothing is named";
    return say("This address names no resource. ", made("a", { href: "/" }, "Look one up"));
  }
  const { title, exactly } = nameOf(resource);
  document.title = `${short(title, 60)} \u2013 Counterfoil`;
  at("title").textContent = short(title, 120);
  at("exactly").textContent = exactly;
  at("resource").textContent = resource;
  at("label").href = labelPath(resource);
  for (const [id, direction] of [["back", "back"], ["forward", "forward"]]) {
    at(id).href = tracePath(resource, direction);
    if (direction === way) at(id).setAttribute("aria-current", "page");
  }
  at("ways").hidden = false;
  await Promise.all([resume(), trust(checkAll)]);
  await load();
}

function say(...what) {
  at("said").replaceChildren(...what);
}

async function load() {
  say("Reading the trace\u2026");
  at("chapters").replaceChildren();
  try {
    const query = new URLSearchParams({ resource, direction: way });
    trace = await ask(`/v1/traces?${query}`);
  } catch (error) {
    return failed(error);
  }
  show();
  await checkAll();
}

function failed(error) {
  const signIn = error instanceof Refused && [401, 403].includes(error.status) && signedIn() === null;
  const next = signIn
    ? signInForm(async () => {
        askAgain();
        await load();
      })
    : button("Try again", load);
  say(signIn ? make("p", "Traces are not open to visitors here. Sign in to see this one.") : make("p.problem", error.message), next);
}

// The events, by what they happened to.

const HOMES = ["output", "parent", "about", "child", "input"];

/** The resource of the trace that an event happened to, first of all. */
function home({ what }, known) {
  for (const part of HOMES) {
    const found = what.about.find((mention) => (mention.part ?? "about") === part && known.has(mention.id));
    if (found) return found.id;
  }
  return resource;
}

function show() {
  stages = new Map();
  const known = new Set(trace.resources);
  const chapters = new Map();
  for (const log of trace.logs) {
    const place = home(log.event, known);
    if (!chapters.has(place)) chapters.set(place, []);
    const stage = { log, number: null };
    chapters.get(place).push(stage);
    stages.set(keyOf(log), stage);
  }
  let number = 0;
  const shown = [];
  for (const [id, chapter] of chapters) {
    for (const stage of chapter) {
      if (stage.log.event.how !== "read") number += 1;
      stage.number = stage.log.event.how === "read" ? null : number;
      stage.home = id;
    }
    shown.push(chapterView(id, chapter, chapters));
  }
  at("chapters").replaceChildren(...shown);
  overview(chapters);
  readings();
  at("truncated").hidden = !trace.truncated;
  if (trace.logs.length === 0) say("Nothing is recorded about it. The name may be mistyped, or its events are kept elsewhere.");
}

const anchorOf = new Map();

/** The id of a chapter in this page: names from outside are no ids. */
function chapterId(id) {
  if (!anchorOf.has(id)) anchorOf.set(id, `chapter-${anchorOf.size + 1}`);
  return anchorOf.get(id);
}

function chapterView(id, chapter, chapters) {
  const { title, exactly } = nameOf(id);
  const heading = make("h2", short(title, 100));
  const section = made("section.chapter", { id: chapterId(id) }, make(
    "header.chapter-head", heading, exactly ? make("p.hint", exactly) : null,
    linked("Came from", id, "to", "from", chapters), linked("Went into", id, "from", "to", chapters),
  ), make("ol.timeline", ...chapter.map(stageView)));
  return section;
}

/** Which resources this one came from, or went into, by the links of the trace. */
function linked(word, id, here, there, chapters) {
  const others = new Set(trace.links.filter((link) => link[here] === id && isWay(link)).map((link) => link[there]));
  return links(word, [...others], chapters);
}

/** Links of what holds and what is held go both ways; what is held went into what holds it. */
function isWay({ from, to, record, version }) {
  const about = stages.get(keyOf({ event: { record, version } }))?.log.event.what.about ?? [];
  const part = (id) => about.find((mention) => mention.id === id)?.part;
  return !(part(from) === "parent" && part(to) === "child");
}

function links(word, ids, chapters) {
  if (ids.length === 0) return null;
  const shown = ids.slice(0, LINKS_SHOWN).flatMap((id, place) => {
    const href = chapters?.has(id) ? `#${chapterId(id)}` : tracePath(id, way);
    return [place === 0 ? " " : ", ", made("a", { href }, short(nameOf(id).title, 60))];
  });
  const more = ids.length - LINKS_SHOWN;
  return make("p.links", make("span.word", word), ...shown, more > 0 ? ` and ${more} more` : null);
}

function stageView(stage) {
  const { event } = stage.log;
  const about = (part) => event.what.about.filter((mention) => mention.part === part && mention.id !== stage.home);
  const ids = (part) => about(part).map(({ id }) => id);
  stage.verdict = make("span.verdict-row", make("span.badge.checking", "Checking\u2026"));
  stage.why = make("div.whys");
  stage.details = make("div.kept");
  stage.evidence = button("Evidence", () => evidence(stage));
  stage.evidence.disabled = true;
  const mine = event.what.about.find(({ id }) => id === stage.home)?.part;
  stage.evidence.setAttribute("aria-haspopup", "dialog");
  const others = event.what.about.filter(({ id, part }) => part === undefined && id !== stage.home);
  stage.card = make(
    `li.stage.${stage.number === null ? "reading" : "act"}`,
    make("span.number", stage.number === null ? "" : String(stage.number)),
    make(
      "div.card",
      make("p.when", moment(event.when), make("span.how", event.how)),
      make("h3", titleOf(event)),
      make("p.who", "By ", whoView(event.who), event.where ? ` at ${short(event.where, 80)}` : null),
      event.target ? make("p.target", `Aimed at ${short(event.target, 80)}`) : null,
      links(mine === "input" ? "Together with" : "From", ids("input")),
      links(mine === "child" ? "Together with" : "Holds", ids("child")), links("In", ids("parent")),
      links(mine === "input" ? "Into" : "Also made", ids("output")), links("Also about", others.map(({ id }) => id)),
      make("div.checked", stage.verdict, stage.evidence), stage.why, stage.details,
    ),
  );
  return stage.card;
}

function overview(chapters) {
  const ids = [...chapters.keys()];
  at("overview").hidden = ids.length < 2;
  at("overview").replaceChildren(...ids.map((id) =>
    make("li", made("a", { href: `#${chapterId(id)}` }, short(nameOf(id).title, 60)))));
}

/** Who looked at records is recorded as well; it is shown on request, or nothing else would be seen. */
function readings() {
  const count = [...stages.values()].filter(({ number }) => number === null).length;
  at("readings").hidden = count === 0;
  at("readings-name").textContent = count === 1 ? "Show the one time that somebody looked" : `Show the ${count} times that somebody looked`;
}

// The verdicts.

async function checkAll() {
  if (trace === null || trace.logs.length === 0) return;
  const all = [...stages.values()];
  let done = 0;
  summary(all, done);
  await each(all, async (stage) => {
    await checkOne(stage);
    done += 1;
    summary(all, done);
  });
  drawPlaces(all);
}

async function checkOne(stage) {
  try {
    stage.answer = await consult(stage.log);
    stage.data = await dataOf(stage.log.event);
    stage.result = await check(stage.log, stage.answer, stage.data);
  } catch (error) {
    stage.result = unchecked(error.message);
  }
  showVerdict(stage);
}

const DETAILS = { matches: "Details", differs: "Details, which are not the recorded ones" };

function showVerdict(stage) {
  const { result, data, log } = stage;
  const isValid = result.verdict === "valid";
  const scope = result.data === "matches" ? "event and data" : "event";
  stage.verdict.replaceChildren(badge(result.verdict), isValid ? make("span.hint", scope) : "");
  stage.why.replaceChildren(
    isValid ? "" : make("p", VERDICTS[result.verdict].means),
    result.why ? make("p.why", result.why) : "",
    fields(result) ?? "",
  );
  for (const verdict of Object.keys(VERDICTS)) stage.card.classList.toggle(verdict, verdict === result.verdict);
  stage.evidence.disabled = false;
  stage.evidence.setAttribute("aria-label", `Evidence: ${titleOf(log.event)}, version ${log.event.version} of ${short(log.event.record)}`);
  if (data !== undefined) {
    const open = stage.details.querySelector("details")?.open ?? false;
    const details = make("details", make("summary", DETAILS[result.data] ?? "Details, not checked"), dataView(data));
    details.open = open;
    stage.details.replaceChildren(details);
  }
}

function evidence({ log, answer, result, data }) {
  openDrawer({ log, answer, result, data, calledToday });
}

const OPEN = {
  pending: "still on the way to the ledger",
  not_permitted: "not for you to check",
  unchecked: "not checked",
};

/** How many events are open, and why. */
function open(all) {
  const said = Object.entries(OPEN).map(([verdict, why]) => {
    const count = all.filter(({ result }) => result.verdict === verdict).length;
    return count > 0 && `${count} ${count === 1 ? "is" : "are"} ${why}`;
  });
  return `${said.filter(Boolean).join(", ")}.`;
}

const BAD = ["altered", "unproven", "unknown"];

function summary(all, done) {
  const count = (verdicts) => all.filter(({ result }) => verdicts.includes(result?.verdict)).length;
  if (done < all.length) return say(make("p", `Checking in this browser: ${done} of ${all.length}\u2026`));
  const [valid, bad] = [count(["valid"]), count(BAD)];
  const events = (number) => (number === 1 ? "1 event" : `${number} events`);
  const parts = [];
  if (bad > 0) {
    parts.push(make("p.stamp.not-valid", "NOT VALID"), make("p", `${events(bad)} of ${all.length} cannot be relied on: see below which. ${valid === 0 ? "None is" : valid === 1 ? "1 event is" : `${valid} events are`} valid.`));
  } else if (valid === all.length) {
    parts.push(make("p.stamp.valid", "VALID"), make("p", all.length === 1 ? "The one event is in the ledger exactly as it is shown here." : `All ${events(valid)} are in the ledger exactly as they are shown here.`));
  } else {
    parts.push(make("p.stamp.open", "INCOMPLETE"), make("p", `${events(valid)} of ${all.length} ${valid === 1 ? "is" : "are"} valid. ${open(all)} What is open is neither proven nor disproven.`));
  }
  const alone = all.filter(({ result }) => result.verdict === "valid" && result.data !== "matches").length;
  if (alone > 0) {
    const which = alone === valid ? "Their" : `For ${alone} of them, the`;
    parts.push(make("p.hint", `${which} data is not shown to you here, so the event alone was checked.`));
  }
  if (anchor() !== null && !isCompared()) {
    const given = root() === null ? "a certificate" : "a certificate and a tree of contracts";
    parts.push(make("p.hint", `Checked in this browser with ${given} that this server gave. `, made("a", { href: "#trust-title" }, "What that means"), "."));
  }
  if (count(["unchecked"]) > 0) parts.push(make("div.row", button("Check again", checkAll)));
  say(...parts);
}

// The map.

function drawPlaces(all) {
  const stops = [];
  for (const { log, data, number } of all) {
    const found = number === null ? null : placeOf(log.event, data);
    if (found) stops.push({ ...found, number, name: short(log.event.where, 60) });
  }
  at("map").hidden = stops.length === 0;
  if (stops.length > 0) at("places").replaceChildren(...mapWithNames(stops));
}

at("show-readings").addEventListener("change", (event) => {
  at("chapters").classList.toggle("with-readings", event.target.checked);
});
start().catch((error) => failed(error));
