// The Bitacora: the events that somebody looks for, page by page, the newest first.

import { askAgain, check, consult, dataOf, unchecked } from "./check.js";
import { openDrawer } from "./drawer.js";
import { at, button, made, make, moment, short, shortWho, titleOf } from "./parts.js";
import { nameOf, resourceIn, tracePath } from "./resource.js";
import { ask, resume, signInForm, signedIn } from "./session.js";
import { trust } from "./trust.js";

const AT_ONCE = 25;
const FILTERS = ["who", "record", "resource", "how", "from", "to"];
const MORE = ["record", "how", "from", "to"];
const TIMES = ["from", "to"];

let next = null;

async function start() {
  await resume();
  await trust(() => {});
  if (signedIn() === null) {
    at("sign-in").hidden = false;
    at("sign-in-form").replaceChildren(signInForm(begin));
    return;
  }
  await begin();
}

async function begin() {
  at("sign-in").hidden = true;
  askAgain();
  at("browse").hidden = false;
  const query = new URLSearchParams(location.search);
  for (const name of FILTERS) {
    const value = query.get(name) ?? "";
    at(name).value = TIMES.includes(name) ? local(value) : value;
  }
  at("more-filters").open = MORE.some((name) => query.get(name));
  if (!FILTERS.some((name) => query.get(name))) at("who").value = signedIn()?.id ?? "";
  await list();
}

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
  at("logs").replaceChildren();
  next = null;
  const query = asked();
  // The same list when the page is loaded again.
  history.replaceState(null, "", query.size > 0 ? `/logs?${query}` : "/logs");
  await more();
}

async function more() {
  const query = asked();
  query.set("limit", AT_ONCE);
  if (next !== null) query.set("after", next);
  at("said").textContent = "Reading\u2026";
  at("said").className = "hint";
  at("more").hidden = true;
  try {
    const page = await ask(`/v1/logs?${query}`);
    at("logs").append(...page.logs.map(row));
    next = page.next ?? null;
    const count = at("logs").children.length;
    at("said").textContent = count === 0 ? "Nothing is recorded that fits." : `${count} shown, the newest first.${next ? "" : " That is all."}`;
    at("more").hidden = next === null;
  } catch (error) {
    at("said").textContent = error.message;
    at("said").className = "problem";
    at("more").hidden = next === null;
  }
}

function row(log) {
  const { event } = log;
  const evidence = button("Evidence", async () => {
    evidence.disabled = true;
    let [answer, data, result] = [];
    try {
      answer = await consult(log);
      data = await dataOf(event);
      result = await check(log, answer, data);
    } catch (error) {
      result = unchecked(error.message);
    }
    evidence.disabled = false;
    openDrawer({ log, answer, result, data });
  });
  evidence.setAttribute("aria-haspopup", "dialog");
  const first = event.what.about[0]?.id;
  const others = event.what.about.length - 1;
  return make(
    "li.log",
    make("p.when", moment(event.when), make("span.how", event.how)),
    make(
      "div.log-main",
      make("h3", titleOf(event)),
      first === undefined ? null : make("p", "About ", made("a", { href: tracePath(first) }, short(nameOf(first).title, 70)), others > 0 ? ` and ${others} more` : null),
      make("p.hint", `Record ${short(event.record, 70)}, version ${event.version}`),
    ),
    make("p.who", "By ", made("b", { title: event.who }, shortWho(event.who)), event.where ? ` at ${short(event.where, 60)}` : null, log.transactionAddress === undefined ? make("span", " ", make("span.badge.pending", "Pending")) : null),
    evidence,
  );
}

at("filter").addEventListener("submit", (event) => {
  event.preventDefault();
  list();
});
at("clear").addEventListener("click", () => {
  for (const name of FILTERS) at(name).value = "";
  at("who").value = signedIn()?.id ?? "";
  list();
});
at("more").addEventListener("click", more);
start();
