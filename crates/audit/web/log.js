// A line of a list of events.

import { check, consult, dataOf, keyOf, unchecked } from "./check.js";
import { openDrawer } from "./drawer.js";
import { calledToday, whoView } from "./names.js";
import { button, made, make, moment, short, titleOf } from "./parts.js";
import { nameOf, tracePath } from "./resource.js";

/** An event, and the way to its evidence. */
export function logView(log) {
  const { event } = log;
  const evidence = button("Evidence", async () => {
    evidence.disabled = true;
    let [answer, data, result] = [];
    try {
      answer = await consult(log);
      data = await dataOf(event);
      result = await check(log, answer, data);
    } catch (error) {
      result = unchecked(error.message);
    }
    evidence.disabled = false;
    openDrawer({ log, answer, result, data, calledToday });
  });
  evidence.setAttribute("aria-haspopup", "dialog");
  return make(
    "li.log",
    ...happened(log),
    make("p.who", "By ", whoView(event.who), event.where ? ` at ${short(event.where, 60)}` : null, log.transactionAddress === undefined ? make("span", " ", make("span.badge.pending", "Pending")) : null),
    evidence,
  );
}

/** When something happened, and what: the beginning of a line. */
export function happened({ event }) {
  const first = event.what.about[0]?.id;
  const others = event.what.about.length - 1;
  return [
    make("p.when", moment(event.when), make("span.how", event.how)),
    make(
      "div.log-main",
      make("h3", titleOf(event)),
      first === undefined ? null : make("p", "About ", resourceView(first), others > 0 ? ` and ${others} more` : null),
      make("p.hint", `Record ${short(event.record, 70)}, version ${event.version}`),
    ),
  ];
}

/** A resource, and the way to its trace; or a user, and the way to their page. */
function resourceView(id) {
  const user = /^user:([0-9a-f]{32})$/.exec(id)?.[1];
  return user ? whoView(user) : made("a", { href: tracePath(id) }, short(nameOf(id).title, 70));
}

/** The events of a page, each once, the newest first. */
export class Lines {
  /** @param {HTMLElement} place the list that shows them */
  constructor(place) {
    this.place = place;
    this.clear();
  }

  clear() {
    this.lines = [];
    this.byKey = new Map();
    this.place.replaceChildren();
  }

  get count() {
    return this.lines.length;
  }

  /** When the newest of them was, and the oldest. */
  get newest() {
    return this.lines[0]?.when;
  }

  get oldest() {
    return this.lines.at(-1)?.when;
  }

  has(log) {
    return this.byKey.has(keyOf(log));
  }

  /** Shows an event at its place. One that is shown is replaced if it has been committed since. */
  put(log) {
    const known = this.byKey.get(keyOf(log));
    if (known) {
      if (known.isPending && log.transactionAddress !== undefined) {
        known.isPending = false;
        const view = logView(log);
        known.view.replaceWith(view);
        known.view = view;
      }
      return;
    }
    const { when } = log.event;
    const line = { key: keyOf(log), when, isPending: log.transactionAddress === undefined, view: logView(log) };
    const older = this.lines.findIndex((other) => other.when <= when);
    const at = older < 0 ? this.lines.length : older;
    this.place.insertBefore(line.view, this.lines[at]?.view ?? null);
    this.lines.splice(at, 0, line);
    this.byKey.set(line.key, line);
  }

  /** Takes the oldest off until so many are left. */
  keep(most) {
    for (const { key, view } of this.lines.splice(most)) {
      this.byKey.delete(key);
      view.remove();
    }
  }
}
