// Who uses the page, and what is asked of the service in their name. The access token is kept in
// memory only; the one that renews it is kept until the tab is closed.

import { at, button, made, make } from "./parts.js";

const KEPT = "counterfoil.session";
const CAME_FROM = "counterfoil.came-from";
const PATIENCE_MS = 30_000;
const SLOW_MS = 4_000;

/** The service did not do it, and said why. */
export class Refused extends Error {
  constructor(status, kind, detail) {
    super(detail);
    this.status = status;
    this.kind = kind;
  }
}

let access = null;
let renewing = null;
let user = null;

/** Who is signed in, as the service says; null for a visitor. */
export const signedIn = () => (access === null ? null : user);

/** What to call them. */
export const called = (who) => who?.name ?? who?.email ?? who?.id ?? "you";

/** Whether they look after others, so that the service tells them more. */
export const governs = (who = signedIn()) => who?.kind === "root" || who?.kind === "administrator";

/**
 * Asks the service. Without an answer in time, and without a network, it throws an error that says so.
 * @throws {Refused} the service refused
 */
export async function ask(path, body, method = body === undefined ? "GET" : "POST") {
  const first = await send(path, body, method);
  if (first.status !== 401 || access === null || !(await renew())) return answered(first);
  return answered(await send(path, body, method));
}

async function send(path, body, method, credentials = "omit") {
  const headers = { accept: "application/json" };
  if (access !== null) headers.authorization = `Bearer ${access}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  const options = {
    method,
    headers,
    cache: "no-store",
    credentials,
    redirect: "error",
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: AbortSignal.timeout(PATIENCE_MS),
  };
  let told = false;
  const slow = setTimeout(() => {
    told = true;
    waiting(1);
  }, SLOW_MS);
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "TimeoutError") throw new Error("The service did not answer within 30 seconds.");
    throw new Error("The service cannot be reached. Are you online?");
  } finally {
    clearTimeout(slow);
    if (told) waiting(-1);
  }
}

async function answered(answer) {
  if (answer.status === 204) return null;
  const said = await answer.json().catch(() => null);
  if (answer.ok && said !== null) return said;
  if (answer.ok) throw new Error("The service answered with something that is no JSON.");
  const detail = typeof said?.detail === "string" ? said.detail : `The service answered ${answer.status}.`;
  throw new Refused(answer.status, said?.type, sentence(detail));
}

/** Details of problems are clauses; a page has sentences. */
const sentence = (text) => {
  const begun = text[0].toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
};

let slowOnes = 0;

/** Says that the service is slow while anything waits for it. */
function waiting(change) {
  slowOnes += change;
  const place = at("slow");
  if (!place) return;
  place.hidden = slowOnes <= 0;
  place.textContent = "The service is slow to answer. Still waiting\u2026";
}

/** Takes up the session of this tab, if it has one. */
export async function resume() {
  user = kept()?.user ?? null;
  if (kept()) {
    // Without the service one is a visitor for now, and the session stays.
    await renew().catch(() => false);
  }
  showSession();
}

/** Several requests may find the token expired at once; it is renewed once. */
function renew() {
  renewing ??= (async () => {
    const refresh = kept()?.refresh;
    if (!refresh) return false;
    access = null;
    try {
      start(await answered(await send("/v1/renew", { refresh_token: refresh }, "POST")));
      return true;
    } catch (error) {
      if (error instanceof Refused && error.status < 500 && error.status !== 429) forget();
      return false;
    }
  })().finally(() => {
    renewing = null;
  });
  return renewing;
}

// A renewal is good once: who leaves the page before its answer is kept has lost the session. So a link
// waits for it.
document.addEventListener("click", async (event) => {
  const link = event.target.closest?.("a[href]");
  if (renewing === null || !link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  await renewing;
  location.assign(link.href);
});

async function signIn(email, password, totp) {
  access = null;
  const body = totp ? { email, password, totp } : { email, password };
  start(await answered(await send("/v1/login", body, "POST")));
}

/**
 * Takes up what the identity provider sent this browser back with. The one cookie there is goes along: it
 * says that this browser was sent there.
 * @throws {Refused} the service does not believe it, or asks for a code first (TotpRequired)
 */
export async function finishElsewhere(code, state, iss) {
  access = null;
  const body = iss === null ? { code, state } : { code, state, iss };
  start(await answered(await send("/v1/oidc/session", body, "POST", "same-origin")));
}

/**
 * The same, with a code of a second factor.
 * @throws {Refused} the code is wrong, or it took too long
 */
export async function finishWithCode(totp) {
  start(await answered(await send("/v1/oidc/totp", { totp }, "POST", "same-origin")));
}

/** The page where somebody went off to the identity provider: one of ours, whatever is kept. */
export function cameFrom() {
  let path = null;
  try {
    path = sessionStorage.getItem(CAME_FROM);
    sessionStorage.removeItem(CAME_FROM);
  } catch {
    // A browser that keeps nothing.
  }
  const url = new URL(path ?? "/", location.origin);
  return url.origin === location.origin && url.pathname !== location.pathname ? url.href : "/";
}

/** The button that leads to the identity provider, if the service has one. */
function elsewhere() {
  const button = at("provider")?.content.cloneNode(true) ?? null;
  button?.querySelector("a").addEventListener("click", () => {
    try {
      sessionStorage.setItem(CAME_FROM, location.pathname + location.search);
    } catch {
      // Then one comes back to the first page.
    }
  });
  return button;
}

async function signOut() {
  // Whether the service hears of it or not, this tab forgets.
  await ask("/v1/logout", {}).catch(() => null);
  leave();
}

/** Forgets the session, which has ended, and goes to the first page. */
export function leave() {
  forget();
  location.assign("/");
}

function start({ access_token: token, refresh_token: refresh, user: whom }) {
  access = token;
  user = whom ?? user;
  try {
    sessionStorage.setItem(KEPT, JSON.stringify({ refresh, user }));
  } catch {
    // A browser that keeps nothing: one signs in again on the next page.
  }
}

function forget() {
  access = null;
  user = null;
  try {
    sessionStorage.removeItem(KEPT);
  } catch {
    // There is nothing then.
  }
}

function kept() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT));
  } catch {
    return null;
  }
}

/** Says in the page's head who is signed in, and leads those who look after others to them. */
export function showSession() {
  const place = at("session");
  if (!place) return;
  const who = signedIn();
  if (who === null) place.replaceChildren();
  else place.replaceChildren(make("span", "Signed in as ", made("a", { href: personPath(who.id) }, called(who))), button("Sign out", signOut, "button.plain"));
  for (const link of document.querySelectorAll(".site nav a")) {
    if (link.classList.contains("governs")) link.hidden = !governs(who);
    if (link.pathname === location.pathname) link.setAttribute("aria-current", "page");
  }
}

/** The page of a user. */
export const personPath = (id) => `/people/${encodeURIComponent(id)}`;

/**
 * Shows `section` to who is signed in, and does `begin` there; others sign in first, in the section `sign-in`.
 */
export async function forSignedIn(section, begin) {
  await resume();
  const show = async () => {
    at("sign-in").hidden = true;
    at("sign-in-form").replaceChildren();
    section.hidden = false;
    await begin();
  };
  if (signedIn() !== null) return show();
  at("sign-in").hidden = false;
  at("sign-in-form").replaceChildren(signInForm(show));
}

/** For who has forgotten their password, and was given a code by somebody above them. */
function forgotten(email) {
  const said = made("p", { role: "status" });
  const problem = made("p.problem", { role: "alert", hidden: "" });
  const code = made("input", { id: "reset-code", autocomplete: "off", required: "", maxlength: 100, spellcheck: "false" });
  const password = made("input", { id: "chosen-password", type: "password", autocomplete: "new-password", required: "", minlength: 12 });
  const send = made("button.quiet", { type: "submit" }, "Choose it");
  const form = made(
    "form.sign-in", { "aria-label": "A new password" },
    make("p.hint", "Ask an administrator above you for a code. Enter your email address above, and here:"),
    made("label", { for: "reset-code" }, "The code"), code,
    made("label", { for: "chosen-password" }, "New password"), password,
    make("div.row", send), problem, said,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.hidden = true;
    said.textContent = "";
    send.disabled = true;
    try {
      await ask("/v1/password-reset", { email: email.value.trim(), code: code.value.trim(), password: password.value });
      form.reset();
      said.textContent = "Done: sign in with it.";
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    } finally {
      send.disabled = false;
    }
  });
  return make("details", make("summary", "Forgotten your password?"), form);
}

/** A form to sign in; `then` is called when it worked. */
export function signInForm(then) {
  const problem = made("p.problem", { role: "alert", hidden: "" });
  const email = made("input", { id: "email", type: "email", autocomplete: "username", required: "", maxlength: 254 });
  const password = made("input", { id: "password", type: "password", autocomplete: "current-password", required: "" });
  const totp = made("input", {
    id: "totp", inputmode: "numeric", autocomplete: "one-time-code", pattern: "[0-9]{6}", maxlength: 6,
  });
  const send = made("button", { type: "submit" }, "Sign in");
  const form = made(
    "form.sign-in", { "aria-label": "Sign in" },
    made("label", { for: "email" }, "Email address"), email,
    made("label", { for: "password" }, "Password"), password,
    made("label", { for: "totp" }, "One-time code, if you use an authenticator"), totp,
    make("div.row", send), problem, elsewhere(),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.hidden = true;
    send.disabled = true;
    try {
      await signIn(email.value.trim(), password.value, totp.value.trim());
      password.value = "";
      showSession();
      await then();
    } catch (error) {
      const isFirst = error.kind === "TotpRequired" && totp.value === "";
      problem.textContent = isFirst ? "Enter the code that your authenticator shows, too." : error.message;
      problem.hidden = false;
      if (isFirst) totp.focus();
    } finally {
      send.disabled = false;
    }
  });
  return make("div", form, forgotten(email));
}
