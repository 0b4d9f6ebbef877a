// The Bitacora: the events that somebody looks for, the newest first, page by page; and new ones as they come.

import { askAgain } from "./check.js";
import { Live } from "./live.js";
import { Lines } from "./log.js";
import { at } from "./parts.js";
import { resourceIn } from "./resource.js";
import { Refused, ask, forSignedIn, governs, signedIn } from "./session.js";
import { trust } from "./trust.js";

const AT_ONCE = 25;
const NEW_AT_ONCE = 100;
/** More lines make the page slow; the oldest go when new ones come. */
const LINES_MAX = 500;
/** Replicas' clocks differ by less. */
const OVERLAP_MS = 10_000;
const FILTERS = ["who", "record", "resource", "how", "from", "to"];
const MORE = ["record", "how", "from", "to"];
const TIMES = ["from", "to"];

const lines = new Lines(at("logs"));
const live = new Live(newer, liveSaid);

/** Where the next page begins, as a pair of a query; null on the last. */
let next = null;
/** What was asked for, in which order: answers to older questions are not shown. */
let question = 0;

async function begin() {
  askAgain();
  const query = new URLSearchParams(location.search);
  for (const name of FILTERS) {
    const value = query.get(name) ?? "";
    at(name).value = TIMES.includes(name) ? local(value) : value;
  }
  at("more-filters").open = MORE.some((name) => query.get(name));
  if (!FILTERS.some((name) => query.get(name))) at("who").value = usual();
  await list();
}

/** Who looks after others begins with the events of everybody, others with their own. */
const usual = () => (governs() ? "" : signedIn()?.id ?? "");

/** A moment as fields of a form have it: in the reader's time zone, to the minute. */
function local(text) {
  const time = new Date(text);
  if (text === "" || Number.isNaN(time.getTime())) return "";
  return new Date(time.getTime() - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

function asked() {
  const query = new URLSearchParams();
  for (const name of FILTERS) {
    const value = at(name).value.trim();
    if (value === "") continue;
    if (TIMES.includes(name)) query.set(name, new Date(value).toISOString());
    else query.set(name, name === "resource" ? resourceIn(value) : value);
  }
  return query;
}

async function list() {
  question += 1;
  lines.clear();
  next = null;
  const query = asked();
  // The same list when the page is loaded again.
  history.replaceState(null, "", query.size > 0 ? `/logs?${query}` : "/logs");
  const worked = await more();
  // What has an end in the past does not grow.
  at("live").hidden = !worked || query.has("to");
  if (at("live").hidden) live.stop();
  else live.start();
}

/** The next page; whether it came. */
async function more() {
  const mine = question;
  const query = asked();
  query.set("limit", AT_ONCE);
  if (next !== null) query.set(...next);
  said("Reading\u2026");
  at("more").hidden = true;
  try {
    const page = await ask(`/v1/logs?${query}`);
    if (mine !== question) return false;
    page.logs.forEach((log) => lines.put(log));
    next = page.next ? ["after", page.next] : null;
    count();
    return true;
  } catch (error) {
    if (mine === question) said(error.message, "problem");
    return false;
  } finally {
    at("more").hidden = next === null;
  }
}

function said(text, kind = "hint") {
  at("said").textContent = text;
  at("said").className = kind;
}

function count() {
  said(lines.count === 0 ? "Nothing is recorded that fits." : `${lines.count} shown, the newest first.${next ? "" : " That is all."}`);
  at("more").hidden = next === null;
}

/**
 * Looks for events that came since; where they are more than one page, that page is all that is shown. Answers
 * whether it said how many.
 */
async function newer() {
  const mine = question;
  const query = asked();
  query.set("limit", NEW_AT_ONCE);
  if (lines.newest !== undefined) {
    const since = new Date(Date.parse(lines.newest) - OVERLAP_MS).toISOString();
    if (since > (query.get("from") ?? "")) query.set("from", since);
  }
  const page = await ask(`/v1/logs?${query}`).catch((error) => {
    // Trying again would not help.
    if (error instanceof Refused && [401, 403].includes(error.status)) live.stop(error);
    throw error;
  });
  if (mine !== question || !live.isOn) return false;
  // The moments that are looked at twice may reach further back than what is shown: that is for the next page.
  const isFurtherBack = (log) => next !== null && !lines.has(log) && log.event.when <= lines.oldest;
  const logs = page.logs.filter((log) => !isFurtherBack(log));
  const fresh = logs.filter((log) => !lines.has(log)).length;
  if (fresh === NEW_AT_ONCE) {
    lines.clear();
    next = ["after", page.next];
  }
  logs.forEach((log) => lines.put(log));
  if (lines.count > LINES_MAX) {
    lines.keep(LINES_MAX);
    next = ["to", new Date(Date.parse(lines.oldest) + 1).toISOString()];
  }
  if (fresh === 0) return false;
  count();
  const many = fresh === NEW_AT_ONCE ? `More than ${fresh} new events came at once: these are the newest.` : `${fresh} new ${fresh === 1 ? "event" : "events"}.`;
  liveSaid(null, many);
  return true;
}

const STOPPED = {
  paused: "Paused: new events do not appear.",
  alone: "Paused, because nobody touched this page for an hour.",
};

function liveSaid(why, text = "New events appear here as they come.") {
  at("pause").textContent = live.isOn ? "Pause" : "Go on";
  at("live").classList.toggle("on", live.isOn && why === null);
  at("live-said").textContent = why === null ? text : STOPPED[why] ?? `${why.message}${live.isOn ? " Trying again\u2026" : ""}`;
}

at("pause").addEventListener("click", () => (live.isOn ? live.stop() : live.start()));
at("filter").addEventListener("submit", (event) => {
  event.preventDefault();
  list();
});
at("clear").addEventListener("click", () => {
  for (const name of FILTERS) at(name).value = "";
  at("who").value = usual();
  list();
});
at("more").addEventListener("click", more);
trust(() => {}).then(() => forSignedIn(at("browse"), begin));
