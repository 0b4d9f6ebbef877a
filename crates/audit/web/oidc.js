// Where the identity provider sends browsers back to: what it sent along is given to the service, which
// answers with a session, or asks for a code of a second factor first.

import { at, made, make } from "./parts.js";
import { cameFrom, finishElsewhere, finishWithCode, signInForm } from "./session.js";

const query = new URLSearchParams(location.search);
// A code is good once: it stays neither in the address nor in the history.
history.replaceState(null, "", location.pathname);

const leave = () => location.replace(cameFrom());

function failed(text) {
  at("said").hidden = true;
  at("problem").textContent = text;
  at("problem").hidden = false;
  at("next").replaceChildren(signInForm(leave));
}

async function finish() {
  const error = query.get("error");
  if (error !== null) {
    failed(
      error === "access_denied"
        ? "The identity provider did not let you in, or you did not want it to."
        : `The identity provider did not let you in. It says: ${error.slice(0, 80)}`,
    );
    return;
  }
  try {
    await finishElsewhere(query.get("code") ?? "", query.get("state") ?? "", query.get("iss"));
    leave();
  } catch (problem) {
    if (problem.kind === "TotpRequired") askForCode();
    else failed(problem.message);
  }
}

function askForCode() {
  at("said").textContent = "Enter the code that your authenticator shows.";
  const code = made("input", {
    id: "totp", inputmode: "numeric", autocomplete: "one-time-code", pattern: "[0-9]{6}", maxlength: 6, required: "",
  });
  const send = made("button", { type: "submit" }, "Sign in");
  const form = made("form.sign-in", { "aria-label": "Second factor" }, made("label", { for: "totp" }, "One-time code"), code, make("div.row", send));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    at("problem").hidden = true;
    send.disabled = true;
    try {
      await finishWithCode(code.value.trim());
      leave();
    } catch (problem) {
      at("problem").textContent = problem.message;
      at("problem").hidden = false;
      send.disabled = false;
    }
  });
  at("next").replaceChildren(form);
  code.focus();
}

finish();
