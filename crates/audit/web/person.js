// Somebody: who they are, what they may do, what happened; and what whoever is above them can change.

import { happened } from "./log.js";
import { createdBy, know } from "./names.js";
import { at, button, definitions, made, make, moment } from "./parts.js";
import { deed, has, marks, may } from "./rights.js";
import { ask, forSignedIn, governs, leave, personPath } from "./session.js";
import { sure } from "./sure.js";

const EVENTS_SHOWN = 5;

const id = decoded(location.pathname.slice("/people/".length));
const path = `/v1/users/${encodeURIComponent(id)}`;

let me = null;
let user = null;
let dictionary = [];

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function begin() {
  at("missing").hidden = true;
  try {
    [me, user, dictionary] = await Promise.all([ask("/v1/session"), ask(path), ask("/v1/permissions")]);
  } catch (error) {
    at("missing").textContent = error.message;
    at("missing").hidden = false;
    return;
  }
  know(me);
  know(user);
  at("person").hidden = false;
  show();
  await events();
}

function show() {
  document.title = `${user.name} \u2013 Counterfoil`;
  at("name").textContent = user.name;
  at("marks").replaceChildren(...marks(user));
  at("facts").replaceChildren(facts());
  at("grants").replaceChildren(...grants());
  const can = acts();
  at("access").hidden = can.length === 0;
  at("acts").replaceChildren(...can);
}

const isMe = () => me.id === user.id;
/** Whether the reader may do this to them. */
const mayDo = (name) => user.status === "active" && may(me, dictionary, deed(name, me, user));

function facts() {
  return definitions([
    ["Email", user.email],
    ["Created", make("span", moment(user.created), ...createdBy(user, isMe()))],
    ["Changes", make("span", `${user.version} recorded`, user.transactionAddress ? make("span.hint", `, the newest as transaction ${user.transactionAddress}`) : null)],
    ["Key", user.key],
    ["Id", make("span.id", user.id)],
  ]);
}

// What they were granted.

function grants() {
  const known = dictionary.map((entry) => entry.nameOfOperation);
  const others = user.grants.filter((name) => !known.includes(name));
  return [...dictionary.map(grantView), ...others.map((name) => grantView({ nameOfOperation: name, description: "not in the dictionary any more", permitAccessTo: [] }))];
}

function grantView({ nameOfOperation: name, description, permitAccessTo: kinds }) {
  const granted = has(user, name);
  const isOfKind = kinds.includes(user.kind);
  return make(
    granted && isOfKind ? "li.grant.may" : "li.grant",
    make("div.what", make("p.operation", name), make("p.hint", description, granted && !isOfKind ? make("span", " \u2013 granted to pass on: not for this kind of user") : null)),
    make("p.granted", granted ? "Granted" : "Not granted"),
    granting(name, granted),
  );
}

/** Nobody grants what they do not have; the root's cannot be taken. */
function granting(name, granted) {
  if (!mayDo("update") || user.kind === "root" || (!granted && (isMe() || !has(me, name)))) return make("span");
  const pressed = button(granted ? "Withdraw" : "Grant", async () => {
    if (isMe() && !(await sure(`Give ${name} up?`, "You cannot grant it to yourself again: somebody above you can.", "Give it up"))) return;
    await changed(pressed, () => ask(`${path}/grants/${name}`, undefined, granted ? "DELETE" : "PUT"), granted ? `${name} is withdrawn.` : `${name} is granted.`);
  });
  pressed.id = `grant-${name}`;
  pressed.setAttribute("aria-label", `${granted ? "Withdraw" : "Grant"} ${name}`);
  return pressed;
}

// What else can be changed.

function acts() {
  const all = [
    mayDo("update") && act("end-sessions", "End all sessions", isMe() ? "On every device, this one too." : "They have to sign in again, on every device.", endSessions),
    mayDo("update") && !isMe() && user.status === "active" && act("give-code", "Give a code for a new password", "For who has forgotten it. Make sure that it is they who ask, and tell nobody else.", giveCode),
    mayDo("update") && !isMe() && user.totp && act("take-totp", "Take the second factor away", "For who has lost it. Make sure that it is they who ask: the password alone lets them in then.", takeFactor),
    mayDo("delete") && user.kind !== "root" && act("disable", isMe() ? "End this account" : "Disable", "They can do nothing more, and what they did stays. It cannot be taken back.", disable),
  ];
  return all.filter(Boolean);
}

function act(name, title, text, work) {
  const pressed = button(title, () => work(pressed), name === "disable" ? "button.bad" : "button.quiet");
  pressed.id = name;
  return make("li", pressed, make("p.hint", text));
}

async function endSessions(pressed) {
  await changed(pressed, async () => {
    await ask(`${path}/sessions`, undefined, "DELETE");
    if (isMe()) leave();
    return user;
  }, "All their sessions have ended.");
}

async function giveCode(pressed) {
  if (!(await sure(`Give ${user.name} a code?`, "Whoever has it chooses the password, for an hour and once. That you gave it is recorded.", "Give it"))) return;
  let given;
  await changed(pressed, async () => {
    given = await ask(`${path}/password-reset`, {});
    return ask(path);
  }, "Their code, which is not shown again:");
  if (given !== undefined) at("said").append(" ", make("code.secret", given.code), " It is good until ", moment(given.expires), ", where they sign in.");
}

async function takeFactor(pressed) {
  if (!(await sure("Take the second factor away?", `Whoever has the password of ${user.name} is let in then, until they enrol another one.`, "Take it away"))) return;
  await changed(pressed, () => ask(`${path}/totp`, undefined, "DELETE"), "They have no second factor any more.");
}

async function disable(pressed) {
  if (!(await sure(`Disable ${user.name}?`, "All their sessions end, and they are never let in again: this cannot be taken back.", "Disable"))) return;
  await changed(pressed, async () => {
    const gone = await ask(path, undefined, "DELETE");
    if (isMe()) leave();
    return gone;
  }, "They are disabled.");
}

/** Does it, says so or why not, and shows what came of it. */
async function changed(pressed, work, done) {
  const name = pressed.id;
  pressed.disabled = true;
  at("problem").hidden = true;
  at("said").textContent = "One moment\u2026";
  try {
    user = await work();
    at("said").textContent = done;
    show();
    // Where the button was, or at the top if it is gone.
    (at(name) ?? at("name")).focus();
    await events();
  } catch (error) {
    at("said").textContent = "";
    at("problem").textContent = error.message;
    at("problem").hidden = false;
    pressed.disabled = false;
  }
}

// What happened.

async function events() {
  const own = governs(me) || isMe();
  await Promise.all([
    list("did", own ? { who: user.id } : null),
    list("changed", { record: `user-${user.id}` }),
  ]);
}

async function list(place, filter) {
  at(place).replaceChildren();
  if (filter === null) return;
  const query = new URLSearchParams(filter);
  try {
    const { logs, next } = await ask(`/v1/logs?${query}&limit=${EVENTS_SHOWN}`);
    const items = logs.map((log) => make("li.log", ...happened(log)));
    if (items.length === 0) items.push(make("li.hint", "Nothing is recorded."));
    const all = made("a", { href: `/logs?${query}` }, next ? "All of them, and what comes" : "In the logs");
    at(place).replaceChildren(...items, make("li", all));
  } catch (error) {
    at(place).replaceChildren(make("li.hint", error.message));
  }
}

forSignedIn(at("browse"), begin);
