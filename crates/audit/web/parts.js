// Pieces of a page. Whatever comes from outside becomes text: nothing here takes markup, and links
// lead to this server only.

export const at = (id) => document.getElementById(id);

/** An element: `make("p.hint", "text", other)`. What is null or false is left out. */
export function make(name, ...children) {
  const [tag, ...classes] = name.split(".");
  const made = document.createElement(tag);
  if (classes.length > 0) made.className = classes.join(" ");
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** The same with attributes that the page itself decides on. */
export function made(name, attributes, ...children) {
  const element = make(name, ...children);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value);
  }
  return element;
}

export function button(text, act, name = "button.quiet") {
  const element = made(name, { type: "button" }, text);
  element.addEventListener("click", act);
  return element;
}

/** The pairs of a list of definitions; pairs without a value are left out. */
export function definitions(pairs, name = "dl.facts") {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return make(name, ...shown.map(([term, value]) => make("div", make("dt", term), make("dd", value))));
}

const MOMENT = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });

/** A moment in the reader's time zone, and exactly on request. */
export function moment(when) {
  const time = new Date(when);
  const shown = Number.isNaN(time.getTime()) ? String(when) : MOMENT.format(time);
  return made("time", { datetime: when, title: when }, shown);
}

/** `weigh_again` as words. Only words that are plain: other texts are shown as they are. */
export function words(text) {
  if (!/^[a-z][a-z_ ]*$/.test(text)) return text;
  const spaced = text.replaceAll("_", " ");
  return spaced[0].toUpperCase() + spaced.slice(1);
}

const DONE = { create: "Recorded", read: "Looked at", update: "Changed", delete: "Withdrawn" };

/** What was done: in the words of whoever did it, if they said some. */
export const titleOf = ({ how, what }) => short(words(what.did || DONE[how] || how), 120);

/** The end of a long text is left out; whoever needs all of it finds it in the evidence. */
export function short(text, most = 80) {
  const characters = Array.from(text);
  return characters.length <= most ? text : `${characters.slice(0, most - 1).join("")}\u2026`;
}

/** A user's id is 32 digits that nobody reads: a few tell them apart. */
export const shortWho = (who) =>
  /^[0-9a-f]{32}$/.test(who) ? `${who.slice(0, 6)}\u2026${who.slice(-4)}` : short(who, 60);

const SHOWN_MAX = 200;

/** Data of any shape as nested lists, up to a bound; what is beyond is in the downloaded proof. */
export function dataView(data) {
  let left = SHOWN_MAX;
  const view = (value, depth) => {
    if (typeof value !== "object" || value === null) return make("span.value", short(String(value), 600));
    const pairs = Object.entries(value);
    if (pairs.length === 0) return make("span.value", Array.isArray(value) ? "(empty list)" : "(empty)");
    if (depth > 5) return make("span.value", short(JSON.stringify(value), 500));
    const rows = [];
    for (const [name, inner] of pairs) {
      if (left <= 0) break;
      left -= 1;
      const term = Array.isArray(value) ? `${Number(name) + 1}.` : short(name, 120);
      const nested = typeof inner === "object" && inner !== null && Object.keys(inner).length > 0;
      rows.push(make(nested ? "div.nested" : "div", make("dt", term), make("dd", view(inner, depth + 1))));
    }
    return make("dl.data", ...rows);
  };
  const shown = view(data, 0);
  if (left > 0) return shown;
  return make("div", shown, make("p.hint", "There is more. The downloaded proof has all of it."));
}
