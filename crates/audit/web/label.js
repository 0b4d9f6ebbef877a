// A label to print: the code leads to the trace of a resource.

import { at, make } from "./parts.js";
import { nameOf, resourceOf, tracePath } from "./resource.js";

const COPIES_MAX = 60;

const resource = resourceOf(location);

function sheet() {
  const { title, exactly } = nameOf(resource);
  const copies = Math.min(COPIES_MAX, Math.max(1, Number.parseInt(at("copies").value, 10) || 1));
  const labels = Array.from({ length: copies }, () => {
    const code = make("img.code");
    code.src = `/v1/labels?resource=${encodeURIComponent(resource)}`;
    code.alt = "A code that leads to the trace";
    code.addEventListener("error", () => {
      at("problem").hidden = false;
    });
    return make("li.label", code, make("div", make("b", title), exactly ? make("span", exactly) : null, make("span.id", resource)));
  });
  at("sheet").replaceChildren(...labels);
  at("sheet").className = `sheet ${at("size").value}`;
}

if (resource === null) {
  at("missing").hidden = false;
  at("making").hidden = true;
} else {
  at("trace").href = tracePath(resource);
  sheet();
}
for (const id of ["size", "copies"]) at(id).addEventListener("change", () => resource && sheet());
at("print").addEventListener("click", () => window.print());
