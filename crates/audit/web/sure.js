// Asks once more before something that cannot be taken back.

import { button, made, make } from "./parts.js";

/** Whether the reader is sure; `act` is what the button says that does it. */
export function sure(title, text, act) {
  return new Promise((resolve) => {
    const head = made("h2", { id: "sure-title" }, title);
    const dialog = made("dialog.sure", { "aria-labelledby": "sure-title" }, head, make("p", text));
    const end = (answer) => () => {
      resolve(answer);
      dialog.close();
    };
    // What changes nothing comes first, and has the focus.
    dialog.append(make("div.row", button("Leave it as it is", end(false)), button(act, end(true), "button.bad")));
    dialog.addEventListener("close", () => {
      resolve(false);
      dialog.remove();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
