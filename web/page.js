// The page of a ledger: what it says of itself, its entries for whoever may read them, and the
// check of receipts. All text from outside is set as text, never as markup.

import { earlier, showChain } from "./chain.js";
import { NotValid, fingerprint, verify } from "./verify.js";

const VERSION = "api-version=2026-07-31-preview";
const POLL_MS = 2_000;

const at = (id) => document.getElementById(id);

/** A bearer token may come behind the `#` of the address, which is never sent to a server. */
let token = new URLSearchParams(location.hash.slice(1)).get("token");
let nextPage = null;

async function ask(path, headers = {}) {
  const answer = await fetch(path, { headers, cache: "no-store" });
  if (answer.ok) return answer.json();
  const error = await answer.json().catch(() => null);
  throw new Error(error?.error?.message ?? `The ledger answered ${answer.status}.`);
}

const read = (path) => ask(path, { authorization: `Bearer ${token}` });

// What the ledger says of itself.

async function introduce() {
  const [network, version] = await Promise.all([ask("/node/network"), ask("/node/version")]);
  at("virtual").hidden = version.platform !== "Virtual";
  at("anchor").value = network.service_certificate;
  await nameAnchor();
  await follow(network.service_status);
}

async function follow(status) {
  try {
    const { transaction_id: last } = await ask("/node/commit");
    at("status").textContent = `${status.toLowerCase()}, committed up to ${last}`;
  } catch {
    at("status").textContent = "the ledger does not answer";
  }
  setTimeout(() => follow(status), POLL_MS);
}

let ours = null;

async function nameAnchor() {
  const shown = at("fingerprint");
  try {
    shown.textContent = await fingerprint(at("anchor").value);
    ours ??= shown.textContent;
    at("anchor-name").textContent = shown.textContent === ours ? "this server's" : "yours";
  } catch (error) {
    shown.textContent = error.message;
    at("anchor-name").textContent = "none";
  }
}

// Entries.

async function browse() {
  await told("chain-problem", () => showChain(rpc, picked));
  await told("entries-problem", async () => {
    const { collections } = await read(`/app/collections?${VERSION}`);
    const names = collections.map((collection) => collection.collectionId);
    at("collection").replaceChildren(...names.map((name) => new Option(name)));
    at("sign-in").hidden = true;
    at("browse").hidden = false;
    if (names.length > 0) await list();
  });
}

async function list() {
  const collection = encodeURIComponent(at("collection").value);
  at("entries").replaceChildren();
  nextPage = `/app/transactions?${VERSION}&collectionId=${collection}`;
  await more();
}

const SHOWN_AT_ONCE = 12;
let waiting = [];

async function more() {
  if (waiting.length === 0 && nextPage) {
    const page = await read(nextPage);
    waiting = page.entries;
    nextPage = page.nextLink ?? null;
  }
  at("entries").append(...waiting.splice(0, SHOWN_AT_ONCE).map(row));
  at("more").hidden = waiting.length === 0 && !nextPage;
}

function row({ transactionId, contents }) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(span("id", transactionId), span("contents", contents));
  button.addEventListener("click", () => told("entries-problem", async () => {
    await picked(button, await read(`/app/transactions/${transactionId}/receipt?${VERSION}`));
  }));
  const item = document.createElement("li");
  item.append(button);
  return item;
}

/** Checks the receipt of what was picked. */
async function picked(button, receipt) {
  for (const other of document.querySelectorAll("[aria-current]")) {
    other.removeAttribute("aria-current");
  }
  button.setAttribute("aria-current", "true");
  at("receipt").value = JSON.stringify(receipt, null, 2);
  await check();
  at("check-title").scrollIntoView({ behavior: "smooth" });
}

// Contracts.

async function rpc(method, params) {
  const answer = await fetch("/rpc", {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
  });
  const said = await answer.json().catch(() => null);
  if (said?.error) throw new Error(said.error.message);
  if (!answer.ok) throw new Error(`The ledger answered ${answer.status}.`);
  return said.result;
}

function span(name, content) {
  const span = document.createElement("span");
  span.className = name;
  span.textContent = content;
  return span;
}

/** Does something, and says in this place of the page why it did not work. */
async function told(place, work) {
  const problem = at(place);
  problem.hidden = true;
  try {
    await work();
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = false;
  }
}

// Receipts.

async function check() {
  const steps = [];
  const add = (name, { rule, shown }) => {
    const item = document.createElement("li");
    item.className = name;
    item.append(rule, span("shown", shown));
    steps.push(item);
  };
  let stamp = "VALID";
  let said = "";
  try {
    const proven = await verify(at("receipt").value, at("anchor").value, (step) => add("", step));
    said = `Transaction ${proven.transaction} is committed, as shown, in the ledger of the service you trust.`;
  } catch (error) {
    if (!(error instanceof NotValid)) throw error;
    stamp = "NOT VALID";
    said = "Do not rely on it. The first rule that does not hold:";
    add("failed", { rule: error.message, shown: "" });
  }
  at("stamp").textContent = stamp;
  at("stamp").className = `stamp ${stamp === "VALID" ? "valid" : "not-valid"}`;
  at("said").textContent = said;
  at("steps").replaceChildren(...steps);
  at("verdict").hidden = false;
}

/** Changes one character of what is claimed, or of whatever is there, as a forger would. */
function tampered(receipt) {
  const contents = /"(contents"\s*:\s*"|gasUsed"\s*:\s*)/.exec(receipt);
  const place = contents ? contents.index + contents[0].length : receipt.length >> 1;
  const other = receipt[place] === "1" ? "2" : "1";
  return receipt.slice(0, place) + other + receipt.slice(place + 1);
}

at("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  token = at("token").value.trim();
  browse();
});
at("collection").addEventListener("change", () => told("entries-problem", list));
at("more").addEventListener("click", () => told("entries-problem", more));
at("earlier").addEventListener("click", () => told("chain-problem", earlier));
at("anchor").addEventListener("input", nameAnchor);
at("check").addEventListener("submit", (event) => {
  event.preventDefault();
  check();
});
at("tamper").addEventListener("click", () => {
  at("receipt").value = tampered(at("receipt").value);
  check();
});

if (token) {
  // Out of sight and out of the history.
  history.replaceState(null, "", location.pathname);
  browse();
}
introduce().catch((error) => {
  at("status").textContent = error.message;
});
