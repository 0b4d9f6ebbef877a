// What the verdicts of a page rest on: the certificate of the ledger's service, and where it is from.
// A certificate that somebody compared, or was given, is remembered in this browser and used from
// then on, whatever the server shows.

import { at, button, made, make } from "./parts.js";
import { ask } from "./session.js";
import { fingerprint } from "./verify.js";

const KEPT = "counterfoil.service-certificate";

let shown = null;
let mine = null;
let changed = () => {};

/** The certificate that is trusted, as PEM; null if there is none. */
export const anchor = () => mine?.pem ?? shown?.pem ?? null;

/** Whether its reader has compared it, or brought it. */
export const isCompared = () => mine !== null;

/** Reads both certificates and shows them; `again` is called when another one is to be used. */
export async function trust(again) {
  changed = again;
  mine = await known(remembered());
  try {
    shown = await known((await ask("/v1/identity")).serviceCertificate);
  } catch {
    shown = null;
  }
  show();
}

async function known(pem) {
  if (typeof pem !== "string") return null;
  try {
    return { pem, print: await fingerprint(pem) };
  } catch {
    return null;
  }
}

function remembered() {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null;
  }
}

function remember(certificate) {
  mine = certificate;
  try {
    if (certificate === null) localStorage.removeItem(KEPT);
    else localStorage.setItem(KEPT, certificate.pem);
  } catch {
    // A browser that keeps nothing uses it for this page.
  }
  show();
  changed();
}

function show() {
  const place = at("trust");
  const print = (text) => make("span.fingerprint", text);
  const says = [];
  if (mine === null && shown === null) {
    says.push(make("p.problem", "The server shows no service certificate: without one, nothing can be checked. Paste the one that you were given."));
  } else if (mine === null) {
    says.push(
      make("p", "These verdicts rest on the ledger\u2019s service certificate with this fingerprint (SHA-256):", print(shown.print)),
      make("p.hint", "The certificate came from this server. Compare the fingerprint with one that you got in another way: from the ledger\u2019s operator, or from another participant."),
      make("div.row", button("It is the same: remember it", () => remember(shown))),
    );
  } else {
    if (shown !== null && shown.print !== mine.print) {
      says.push(make(
        "p.warning", make("strong", "The server shows another certificate than yours. "),
        "The verdicts use yours. A ledger that was recovered has a new one, and its operator can tell you so; otherwise do not rely on this server.",
        print(shown.print),
      ));
    }
    says.push(
      make("p", "These verdicts rest on the service certificate that you compared, with this fingerprint (SHA-256):", print(mine.print)),
      make("div.row", button("Forget it", () => remember(null))),
    );
  }
  place.replaceChildren(...says, pasting());
}

function pasting() {
  const pem = made("textarea", { id: "pem", rows: 4, spellcheck: "false", autocomplete: "off" });
  const problem = made("p.problem", { role: "alert", hidden: "" });
  const use = button("Use this one", async () => {
    const certificate = await known(pem.value);
    problem.hidden = certificate !== null;
    problem.textContent = "That is no certificate of a service: paste all of it, with its first and last line.";
    if (certificate !== null) remember(certificate);
  });
  return make(
    "details", make("summary", "Use a certificate that I was given"),
    made("label", { for: "pem" }, "Service certificate (PEM)"), pem, make("div.row", use), problem,
  );
}
