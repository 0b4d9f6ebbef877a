// The first page: look something up, by name or by its code; sign in.

import { at, make, made } from "./parts.js";
import { resourceIn, tracePath } from "./resource.js";
import { called, resume, signInForm, signedIn } from "./session.js";
import { scan } from "./scan.js";

at("look-up").addEventListener("submit", (event) => {
  event.preventDefault();
  const resource = resourceIn(at("name").value);
  if (resource !== "") location.assign(tracePath(resource));
});

at("scan").addEventListener("click", async () => {
  const problem = at("scan-problem");
  problem.hidden = true;
  try {
    const text = await scan(at("camera"));
    if (text !== null) location.assign(tracePath(resourceIn(text)));
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = false;
  }
});

function showAccount() {
  if (signedIn() === null) {
    at("account").replaceChildren(signInForm(showAccount));
    return;
  }
  at("account-title").textContent = "Your account";
  at("account").replaceChildren(
    make("p", `You are signed in as ${called(signedIn())}.`),
    make("p.hint", "The session ends when you close this tab or sign out."),
    make("div.row", made("a.button", { href: "/logs" }, "See the logs")),
  );
}

await resume();
showAccount();
