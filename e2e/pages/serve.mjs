// The audit service as its pages see it, for tests alone: the pages, in their frame, and scripts as they are in
// the sources, with the headers that the service sends, and answers from true events that were recorded.
import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { tame, visited } from "./looks.mjs";

const here = (path) => new URL(path, import.meta.url);
const WEB = here("../../crates/audit/web/");
const SHARED = ["verify.js", "style.css", "icon.svg"];
const TYPES = { js: "text/javascript", css: "text/css", svg: "image/svg+xml", html: "text/html" };

export const recorded = () => JSON.parse(readFileSync(new URL("testdata/recorded.json", WEB), "utf8"));

let folder = null;

/** All files of `/web/`, and the pages, in one folder, as they are served. */
export function laidOut() {
  if (folder !== null) return folder;
  folder = mkdtempSync(join(tmpdir(), "pages-"));
  for (const name of readdirSync(WEB)) {
    if (name.endsWith(".html")) writeFileSync(join(folder, name), framed(name));
    else if (name.includes(".")) cpSync(new URL(name, WEB), join(folder, name));
  }
  for (const name of SHARED) cpSync(here(`../../web/${name}`), join(folder, name));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A page in the frame that all have: its first three lines and the others go where the frame has a comment, in order. */
function framed(name) {
  const [title, script, without, ...page] = readFileSync(new URL(name, WEB), "utf8").split("\n");
  const frame = readFileSync(new URL("frame.html", WEB), "utf8");
  return [title, script, without, page.join("\n").trim()].reduce((whole, own) => whole.replace(/<!-- .* -->/, () => own), frame);
}

/** The policy that the service sends, from its source: the test must not be kinder. */
function policy() {
  const source = readFileSync(here("../../crates/audit/src/gateway/pages.rs"), "utf8");
  const [, text] = /"(default-src 'none'; script-src[^"]*)"/.exec(source);
  return text.replace(/\\\n\s*/g, "");
}

/** What the service knows, and how it behaves; tests change it. */
export function world() {
  const { serviceCertificate, items } = recorded();
  return {
    serviceCertificate,
    items,
    open: true,
    dataOpen: false,
    delay: 0,
    down: new Set(),
    user: { id: "ana@huerta.example", name: "Ana Torres", email: "ana@huerta.example", kind: "tuser" },
    asked: [],
    code: null,
    change: (path, answer) => answer,
  };
}

const SESSION = /^Bearer access-[0-9]+$/;

/** What the service refuses. */
export class Problem extends Error {
  constructor(status, type, detail) {
    super(detail);
    Object.assign(this, { status, type });
  }
}

const log = ({ event, transactionAddress, contractAddress }) =>
  transactionAddress ? { event, transactionAddress, contractAddress } : { event };

const LEADS = {
  back: { output: "input", parent: "child", child: "parent" },
  forward: { input: "output", parent: "child", child: "parent" },
};

function trace({ items }, start, way) {
  const resources = [start];
  const [links, found] = [[], new Set()];
  for (const here of resources) {
    for (const item of items) {
      const { about } = item.event.what;
      const mine = about.find(({ id }) => id === here);
      if (!mine) continue;
      found.add(item);
      for (const { id, part } of about) {
        if (!part || part !== LEADS[way][mine.part]) continue;
        const [from, to] = way === "back" ? [id, here] : [here, id];
        links.push({ from, to, record: item.event.record, version: item.event.version });
        if (!resources.includes(id)) resources.push(id);
      }
    }
  }
  const logs = [...found].sort((one, other) => (one.event.when < other.event.when ? -1 : 1)).map(log);
  return { resources, links, logs, truncated: false };
}

function consult({ items }, { record, version, hash }) {
  const item = items.find(({ event }) => event.record === record && event.version === version);
  if (!item) return { verdict: "unknown" };
  if (!item.receipt) return { verdict: "pending" };
  // The event that the ledger has, whatever the database says by now.
  const event = JSON.parse(item.receipt.applicationClaims[0].ledgerEntry.contents);
  delete event.type;
  return {
    ...(hash === event.what.hash ? { verdict: "valid" } : { verdict: "altered" }),
    ...log({ ...item, event }),
    salt: item.salt,
    receipt: item.receipt,
  };
}

function list({ items }, query) {
  const { who, record, resource, how, from, to, after, limit } = Object.fromEntries(query);
  const fits = ({ event }) =>
    (!who || event.who === who) &&
    (!record || event.record === record) &&
    (!resource || event.what.about.some(({ id }) => id === resource)) &&
    (!how || event.how === how) &&
    (!from || event.when >= from) &&
    (!to || event.when < to);
  const all = items.filter(fits).sort((one, other) => (one.event.when < other.event.when ? 1 : -1));
  const begin = after ? Number(after) : 0;
  const logs = all.slice(begin, begin + Number(limit)).map(log);
  return logs.length < Number(limit) ? { logs } : { logs, next: `${begin + logs.length}` };
}

function now({ items }, record) {
  const versions = items.filter(({ event }) => event.record === record);
  const newest = versions.at(-1);
  if (!newest) throw new Problem(404, "NotFound", `there is no record ${record}`);
  const { data } = versions.filter(({ event }) => ["create", "update"].includes(event.how)).at(-1);
  return { ...log(newest), data };
}

const refresh = (number) => createHash("sha256").update(`refresh ${number}`).digest("hex");

function answer(world, method, url, body, authorization) {
  const known = SESSION.test(authorization ?? "");
  const needed = (open) => {
    if (!known && !open) throw new Problem(401, "Unauthenticated", "sign in first");
  };
  const started = (number) => ({
    access_token: `access-${number}`, token_type: "Bearer", expires_in: 600, refresh_token: refresh(number),
    session: "5e5510", user: world.user,
  });
  const path = url.pathname;
  if (path === "/v1/identity") return { serviceCertificate: world.serviceCertificate };
  if (path === "/v1/login" && method === "POST") {
    if (body.password !== "correct horse") throw new Problem(401, "Unauthenticated", "the email address or the password is wrong");
    if (world.totp && !body.totp) throw new Problem(401, "TotpRequired", "send a code of the second factor too");
    world.sessions = 1;
    return started(1);
  }
  if (path === "/v1/renew") {
    if (body.refresh_token !== refresh(world.sessions)) throw new Problem(401, "Unauthenticated", "the session has ended");
    world.sessions += 1;
    return started(world.sessions);
  }
  if (path === "/v1/logout") return null;
  if (path === "/v1/consult") {
    if (!known && !world.open) return { verdict: "not_permitted" };
    return consult(world, body);
  }
  if (path === "/v1/traces") {
    needed(world.open);
    return trace(world, url.searchParams.get("resource"), url.searchParams.get("direction") ?? "back");
  }
  if (path === "/v1/logs") {
    needed(false);
    return list(world, url.searchParams);
  }
  if (path.startsWith("/v1/records/")) {
    needed(world.dataOpen);
    return now(world, decodeURIComponent(path.slice("/v1/records/".length)));
  }
  throw new Problem(404, "NotFound", "there is nothing here");
}

const PAGES = { "/": "index.html", "/trace": "trace.html", "/label": "label.html", "/logs": "logs.html", "/oidc": "oidc.html" };

/** Serves a world on this machine until it is closed. */
export async function serve(world) {
  const folder = laidOut();
  const csp = policy();
  const server = createServer(async (request, response) => {
    const url = new URL(request.url, "http://localhost");
    world.asked.push(url.pathname + url.search);
    const name = PAGES[url.pathname] ?? (/^\/(01|00|414)\//.test(url.pathname) ? "trace.html" : null)
      ?? /^\/web\/([a-z]+\.[a-z]+)$/.exec(url.pathname)?.[1];
    if (name) {
      response.writeHead(200, {
        "content-type": `${TYPES[name.split(".")[1]]}; charset=utf-8`,
        "content-security-policy": csp,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",
      });
      return response.end(readFileSync(join(folder, name)));
    }
    if (url.pathname === "/v1/labels" && world.code) {
      response.writeHead(200, { "content-type": "image/svg+xml" });
      return response.end(world.code);
    }
    let text = "";
    for await (const piece of request) text += piece;
    if (world.delay > 0) await new Promise((resolve) => setTimeout(resolve, world.delay));
    if (world.down.has(url.pathname)) return request.socket.destroy();
    let [status, said] = [200, null];
    try {
      const body = text ? JSON.parse(text) : undefined;
      said = world.change(url.pathname, answer(world, request.method, url, body, request.headers.authorization), body);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      [status, said] = [error.status, { type: error.type, status: error.status, detail: error.message }];
    }
    if (said === null) return response.writeHead(204).end();
    response.writeHead(status, { "content-type": "application/json" });
    return response.end(JSON.stringify(said));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://localhost:${server.address().port}`, close: () => server.close() };
}

/** Shows a page of a world to `look`. */
export async function shown(browser, path, settings, look, options = {}) {
  const here = Object.assign(world(), settings);
  const server = await serve(here);
  await visited(browser, server.url + path, options, async (page, context) => {
    await look(page, { server, world: here, context });
    await tame(page);
  });
  server.close();
}

/** Signs in where a page has the form for it. */
export async function signIn(page, password = "correct horse") {
  await page.getByLabel("Email address", { exact: true }).fill("ana@huerta.example");
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
}
