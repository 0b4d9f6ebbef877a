// Those below the reader: as a tree that opens step by step, or those whom one looks for as a list.

import { createdBy, know } from "./names.js";
import { at, button, made, make, moment } from "./parts.js";
import { creates, marks } from "./rights.js";
import { ask, forSignedIn, personPath } from "./session.js";

const AT_ONCE = 50;
const FILTERS = ["find", "kind", "status", "granted"];
const MORE = ["status", "granted"];

let me = null;
/** What was asked for, in which order: answers to older questions are not shown. */
let question = 0;
let next = null;

async function begin() {
  let dictionary = [];
  try {
    [me, dictionary] = await Promise.all([ask("/v1/session"), ask("/v1/permissions")]);
  } catch (error) {
    return said(error.message, "problem");
  }
  know(me);
  at("granted").append(...dictionary.map(({ nameOfOperation }) => make("option", nameOfOperation)));
  const query = new URLSearchParams(location.search);
  for (const name of FILTERS) at(name).value = query.get(name) ?? "";
  at("more-filters").open = MORE.some((name) => query.get(name));
  // Not before: what somebody had typed meanwhile would be lost.
  at("filter").hidden = false;
  const kinds = creates(me, dictionary);
  at("newcomer").hidden = kinds.length === 0;
  at("new-kind").replaceChildren(...kinds.map((kind) => make("option", kind)));
  await show();
}

function asked() {
  const pairs = FILTERS.map((name) => [name, at(name).value.trim()]);
  return new URLSearchParams(pairs.filter(([, value]) => value !== ""));
}

async function show() {
  question += 1;
  next = null;
  at("people").replaceChildren();
  at("more").hidden = true;
  const query = asked();
  history.replaceState(null, "", query.size > 0 ? `/people?${query}` : "/people");
  if (query.size > 0) return more();
  said("");
  const { item, open } = node(me);
  at("people").append(item);
  await open?.();
}

function said(text, kind = "hint") {
  at("said").textContent = text;
  at("said").className = kind;
}

/** A page of users, in the order of their names. */
async function page(query, after) {
  query.set("order", "name");
  query.set("limit", AT_ONCE);
  if (after) query.set("after", after);
  const found = await ask(`/v1/users?${query}`);
  found.users.forEach(know);
  return found;
}

// The list.

async function more() {
  const mine = question;
  said("Reading\u2026");
  at("more").hidden = true;
  try {
    const found = await page(asked(), next);
    if (mine !== question) return;
    next = found.next ?? null;
    at("people").append(...found.users.map((user) => make("li.person", row(user))));
    const count = at("people").children.length;
    said(count === 0 ? "Nobody below you fits." : `${count} shown, by name.${next ? "" : " That is all."}`);
  } catch (error) {
    if (mine === question) said(error.message, "problem");
  }
  at("more").hidden = next === null;
}

// The tree.

/** Somebody with those directly below them, who are asked for when they are opened. */
function node(user) {
  const item = make("li.person", row(user));
  if (!["root", "administrator"].includes(user.kind)) return { item };
  const below = made("ul.tree", { hidden: "", "aria-label": `Below ${user.name}` });
  const toggle = button("", () => (below.hidden ? open() : close()), "button.toggle");
  const label = (isOpen) => {
    toggle.setAttribute("aria-expanded", String(isOpen));
    toggle.replaceChildren(made("span.sign", { "aria-hidden": "true" }), isOpen ? "Hide those below" : "Show those below");
    toggle.setAttribute("aria-label", `${isOpen ? "Hide" : "Show"} those below ${user.name}`);
  };
  const close = () => {
    below.hidden = true;
    label(false);
  };
  const open = async () => {
    below.hidden = false;
    label(true);
    if (below.children.length === 0) await fill(below, user, null);
  };
  label(false);
  item.append(toggle, below);
  return { item, open };
}

async function fill(below, user, after) {
  const waiting = make("li.hint", "Reading\u2026");
  below.append(waiting);
  try {
    const found = await page(new URLSearchParams({ parent: user.id }), after);
    below.append(...found.users.map((one) => node(one).item));
    if (below.children.length === 1) below.append(make("li.hint", "Nobody."));
    if (found.next) {
      const on = make("li", button("More", () => {
        on.remove();
        fill(below, user, found.next);
      }));
      below.append(on);
    }
  } catch (error) {
    const again = make("li.problem", `${error.message} `, button("Try again", () => {
      again.remove();
      fill(below, user, after);
    }));
    below.append(again);
  }
  waiting.remove();
}

function row(user) {
  const isMe = user.id === me.id;
  return make(
    "div.person-row",
    make("div", make("p.person-name", made("a", { href: personPath(user.id) }, user.name), isMe ? make("span.hint", " \u2013 you") : null), make("p.hint", user.email)),
    make("p.marks", ...marks(user)),
    make("p.hint", "Created ", moment(user.created), ...createdBy(user, isMe)),
  );
}

// Somebody new.

at("create").addEventListener("submit", async (event) => {
  event.preventDefault();
  const problem = at("new-problem");
  const send = event.submitter;
  problem.hidden = true;
  send.disabled = true;
  try {
    const { id } = await ask("/v1/users", {
      kind: at("new-kind").value, name: at("new-name").value.trim(), email: at("new-email").value.trim(), password: at("new-password").value,
    });
    location.assign(personPath(id));
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = false;
  }
  send.disabled = false;
});

at("filter").addEventListener("submit", (event) => {
  event.preventDefault();
  show();
});
at("clear").addEventListener("click", () => {
  for (const name of FILTERS) at(name).value = "";
  show();
});
at("more").addEventListener("click", more);
forSignedIn(at("browse"), begin);
