// What the verdicts of a page rest on: the certificate of the ledger's service and, where events are in
// contracts, the address of the root of their tree; and where both are from. What somebody compared, or was
// given, is remembered in this browser and used from then on, whatever the server shows.

import { at, button, made, make } from "./parts.js";
import { ask } from "./session.js";
import { fingerprint } from "./verify.js";

const KEPT = { pem: "counterfoil.service-certificate", root: "counterfoil.tree-root" };
const NOTHING = { pem: null, print: null, root: null };

let shown = NOTHING;
let mine = NOTHING;
let changed = () => {};

/** The certificate that is trusted, as PEM; null if there is none. */
export const anchor = () => mine.pem ?? shown.pem;

/** The address of the root of the tree of contracts that is trusted; null if there is none. */
export const root = () => mine.root ?? shown.root;

/** Whether its reader has compared all of it, or brought it. */
export const isCompared = () => anchor() === mine.pem && root() === mine.root;

/** Reads what is remembered and what the server shows, and shows it; `again` is called when that changes. */
export async function trust(again) {
  changed = again;
  mine = await known(remembered("pem"), remembered("root"));
  try {
    const { serviceCertificate, root: address } = await ask("/v1/identity");
    shown = await known(serviceCertificate, address);
  } catch {
    shown = NOTHING;
  }
  show();
}

/** What can be used of a certificate and an address. */
async function known(pem, address) {
  const isAddress = typeof address === "string" && /^0x[0-9a-fA-F]{40}$/.test(address.trim());
  const print = typeof pem === "string" ? await fingerprint(pem).catch(() => null) : null;
  return { pem: print === null ? null : pem, print, root: isAddress ? address.trim().toLowerCase() : null };
}

function remembered(what) {
  try {
    return localStorage.getItem(KEPT[what]);
  } catch {
    return null;
  }
}

function remember(ours) {
  mine = ours;
  try {
    for (const [what, name] of Object.entries(KEPT)) {
      if (ours[what] === null) localStorage.removeItem(name);
      else localStorage.setItem(name, ours[what]);
    }
  } catch {
    // A browser that keeps nothing uses it for this page.
  }
  show();
  changed();
}

const print = (text) => make("span.fingerprint", text);
const TREE = "the root of the tree of contracts with this address:";

function show() {
  const says = [];
  if (anchor() === null && root() !== null) {
    says.push(
      ...warnings(),
      make("p", "The server shows no service certificate of a ledger, and ", TREE, print(root())),
      make("p.hint", "Where that is on another chain, this page cannot check its events: it does not know which blocks are in that chain. Download a proof from the evidence of an event, and check it with the hash of its block."),
    );
  } else if (anchor() === null) {
    says.push(make("p.problem", "The server shows no service certificate: without one, nothing can be checked. Paste the one that you were given."));
  } else if (isCompared()) {
    says.push(...warnings(), make(
      "p", "These verdicts rest on the service certificate that you compared, with this fingerprint (SHA-256):", print(mine.print),
      ...(mine.root === null ? [] : [`and on ${TREE}`, print(mine.root)]),
    ));
  } else {
    says.push(...warnings(), ...asking());
  }
  if ((mine.pem ?? mine.root) !== null) says.push(make("div.row", button("Forget it", () => remember(NOTHING))));
  at("trust").replaceChildren(...says, pasting());
}

/** What came from the server alone, and how to make sure of it. */
function asking() {
  const all = { pem: anchor(), print: mine.print ?? shown.print, root: root() };
  const tree = all.root === null ? [] : [`and on ${TREE}`, print(all.root)];
  const isBoth = mine.pem === null && all.root !== mine.root;
  const came = isBoth
    ? "Both came from this server. Compare them with ones"
    : mine.pem === null
      ? "The certificate came from this server. Compare the fingerprint with one"
      : "The address came from this server. Compare it with one";
  return [
    make("p", "These verdicts rest on the ledger\u2019s service certificate with this fingerprint (SHA-256):", print(all.print), ...tree),
    make("p.hint", `${came} that you got in another way: from the ledger\u2019s operator, or from another participant.`),
    make("div.row", button(isBoth ? "Both are the same: remember them" : "It is the same: remember it", () => remember(all))),
  ];
}

/** Where the server shows something else than its reader has. */
function warnings() {
  const warning = (what, why, other) => make("p.warning", make("strong", what), why, other === null ? null : print(other));
  const all = [];
  if (mine.pem !== null && shown.pem !== null && shown.print !== mine.print) {
    all.push(warning(
      "The server shows another certificate than yours. ",
      "The verdicts use yours. A ledger that was recovered has a new one, and its operator can tell you so; otherwise do not rely on this server.",
      shown.print,
    ));
  }
  if (mine.root !== null && shown !== NOTHING && shown.root !== mine.root) {
    all.push(warning(
      shown.root === null ? "The server shows no tree of contracts, and you have one. " : "The server shows another tree of contracts than yours. ",
      "The verdicts use yours: a tree never changes its root, so do not rely on this server.",
      shown.root,
    ));
  }
  return all;
}

function pasting() {
  const pem = made("textarea", { id: "pem", rows: 4, spellcheck: "false", autocomplete: "off" });
  const tree = made("input", { id: "root", spellcheck: "false", autocomplete: "off", placeholder: "0x\u2026" });
  const problem = made("p.problem", { role: "alert", hidden: "" });
  const use = button("Use this one", async () => {
    const ours = await known(pem.value, tree.value);
    const isRead = ours.pem !== null && (ours.root !== null || tree.value.trim() === "");
    problem.hidden = isRead;
    problem.textContent = ours.pem === null
      ? "That is no certificate of a service: paste all of it, with its first and last line."
      : "That is no address: it has 0x and 40 hex digits.";
    if (isRead) remember({ ...ours, root: ours.root ?? mine.root });
  });
  return make(
    "details", make("summary", "Use a certificate that I was given"),
    made("label", { for: "pem" }, "Service certificate (PEM)"), pem,
    made("label", { for: "root" }, "Address of the root, where events are in contracts"), tree,
    make("div.row", use), problem,
  );
}
