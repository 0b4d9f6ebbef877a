// The dictionary: what may be done, by which kinds of users. The root changes it.

import { at, button, made, make } from "./parts.js";
import { KINDS, has, may } from "./rights.js";
import { ask, forSignedIn, governs } from "./session.js";
import { sure } from "./sure.js";

const TYPES = ["create", "read", "update", "delete", "authentication"];

let me = null;
let dictionary = [];

async function begin() {
  try {
    me = await ask("/v1/session");
    await load();
  } catch (error) {
    failed(error);
  }
}

async function load() {
  dictionary = await ask("/v1/permissions");
  const services = new Set(dictionary.map(({ serviceName }) => serviceName));
  const of = (service) => dictionary.filter(({ serviceName }) => serviceName === service);
  at("dictionary").replaceChildren(...[...services].map((service) =>
    make("div.service", make("h2", service), make("ul.permissions", ...of(service).map(entryView)))));
  if (me.kind !== "root") return;
  at("add").hidden = false;
  at("add").open = false;
  at("add-form").replaceChildren(form(null));
}

function failed(error) {
  at("said").textContent = "";
  at("problem").textContent = error.message;
  at("problem").hidden = false;
}

function entryView(entry) {
  const { nameOfOperation: name, description, permitAccessTo: kinds, stage } = entry;
  const who = governs(me) ? make("p", made("a", { href: `/people?granted=${encodeURIComponent(name)}` }, `Who was granted ${name}`)) : null;
  const item = make(
    "li.permission",
    make("div", make("p.operation", name), make("p.hint", [description, stage && `stage: ${stage}`].filter(Boolean).join(", "))),
    make("p.marks", ...KINDS.map((kind) => kindView(kind, kinds.includes(kind)))),
    make("div.mine", make("p", yours(name)), who),
  );
  if (me.kind === "root") {
    const change = make("details", make("summary", `Change ${name}`));
    // Made when somebody wants it: a page of a thousand forms would be slow.
    change.addEventListener("toggle", () => {
      if (change.open && change.children.length === 1) change.append(form(entry));
    });
    item.append(change);
  }
  return item;
}

/** A sign and a word: a kind that may, or one that may not. */
const kindView = (kind, mayDo) => make(mayDo ? "span.mark.active" : "span.mark.not", mayDo ? kind : make("s", kind));

function yours(name) {
  if (may(me, dictionary, name)) return make("span.good", "You may.");
  if (!has(me, name)) return "It was not granted to you.";
  return governs(me) ? "Not for you to do, but to grant." : "It was granted to you, and is not for your kind.";
}

// What the root changes.

function form(entry) {
  const own = `entry-${entry?.nameOfOperation ?? ""}`;
  const field = (name, label, attributes) => {
    const input = made("input", { id: `${own}-${name}`, maxlength: 255, autocomplete: "off", ...attributes });
    return [input, make("div", made("label", { for: input.id }, label), input)];
  };
  const [name, nameField] = field("name", "Name", { required: "", pattern: "[A-Za-z][A-Za-z0-9]{0,63}", title: "A letter, and letters and digits after it", autocapitalize: "off", spellcheck: "false" });
  const [description, descriptionField] = field("description", "What it is", { value: entry?.description });
  const [service, serviceField] = field("service", "Service", { required: "", value: entry?.serviceName });
  const [stage, stageField] = field("stage", "Stage of the business, if of one", { value: entry?.stage });
  const type = made("select", { id: `${own}-type` }, ...TYPES.map((one) => made("option", { selected: one === entry?.typeOfOperation && "" }, one)));
  const kinds = KINDS.map((kind) => {
    const box = made("input", { type: "checkbox", value: kind });
    box.checked = entry?.permitAccessTo.includes(kind) ?? false;
    return [box, make("label.choice", box, " ", kind)];
  });
  const save = made("button", { type: "submit" }, entry ? "Save" : "Add");
  const whole = make(
    "form.filter.entry",
    entry ? null : nameField, descriptionField, serviceField, stageField,
    make("div", made("label", { for: type.id }, "Type"), type),
    make("fieldset", make("legend", "Who may, if it is granted to them"), ...kinds.map(([, label]) => label)),
    make("div.row", save, entry && button("Take it out", () => takeOut(entry.nameOfOperation), "button.bad")),
  );
  whole.addEventListener("submit", (event) => {
    event.preventDefault();
    const said = entry ? entry.nameOfOperation : name.value.trim();
    change(save, `${said} is ${entry ? "changed" : "added"}.`, {
      stage: stage.value.trim(),
      serviceName: service.value.trim(),
      typeOfOperation: type.value,
      nameOfOperation: said,
      permitAccessTo: kinds.filter(([box]) => box.checked).map(([box]) => box.value),
      description: description.value.trim(),
    });
  });
  return whole;
}

async function takeOut(name) {
  if (!(await sure(`Take ${name} out?`, "Nobody may do it then, whatever they were granted, until it is put in again.", "Take it out"))) return;
  await change(null, `${name} is taken out.`, null, name);
}

/** Puts an entry in, or takes one out, and shows what came of it. */
async function change(pressed, done, entry, out) {
  at("problem").hidden = true;
  at("said").textContent = "One moment\u2026";
  if (pressed) pressed.disabled = true;
  try {
    if (entry) await ask("/v1/permissions", entry, "PUT");
    else await ask(`/v1/permissions/${out}`, undefined, "DELETE");
    await load();
    at("said").textContent = done;
    at("permissions-title").focus();
  } catch (error) {
    failed(error);
  }
  if (pressed) pressed.disabled = false;
}

forSignedIn(at("browse"), begin);
