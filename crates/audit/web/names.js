// What users are called, where the reader may see it. A name is what the service says now, and no part of an
// event: that has an id, which stays where nobody tells a name.

import { made, shortWho } from "./parts.js";
import { ask, called, governs, personPath, signedIn } from "./session.js";

const ID = /^[0-9a-f]{32}$/;

/** Users who are asked for in one page; the others keep their ids. */
const ASKED_MAX = 100;

/** What is called how, or will be, by id; null is nobody whom the reader may see. */
const names = new Map();
let asked = 0;
let line = Promise.resolve();

/** Remembers somebody whom the service has shown. */
export const know = (user) => names.set(user.id, Promise.resolve(user.name));

/** What somebody is called; null if the reader may not see it. */
export async function nameOfUser(id) {
  const me = signedIn();
  if (me === null || !ID.test(id)) return null;
  if (me.id === id) return called(me);
  if (!names.has(id)) {
    // Others than those who look after somebody see nobody.
    if (!governs() || asked >= ASKED_MAX) return null;
    asked += 1;
    line = line.then(() => ask(`/v1/users/${id}`)).then(({ name }) => name).catch(() => null);
    names.set(id, line);
  }
  return names.get(id);
}

/** Who did something: some digits of their id, and their name and page as soon as that is known. */
export function whoView(who) {
  const place = made("b", { title: who }, shortWho(who));
  nameOfUser(who).then((name) => {
    if (name !== null) place.replaceChildren(made("a", { href: personPath(who) }, name));
  });
  return place;
}

/** What stands beside an id: an event has the id, and the service a name for it today. */
export function calledToday(id) {
  const place = made("span.hint", {});
  nameOfUser(id).then((name) => {
    if (name !== null) place.replaceChildren(" called ", made("a", { href: personPath(id) }, name), " here today");
  });
  return place;
}

/** By whom somebody was created, to go on a sentence: nothing for the root. */
export function createdBy(user, isReader) {
  if (user.parent === undefined) return [];
  if (user.kind === "consumer") return [" by themselves"];
  return isReader ? [" by somebody above you"] : [" by ", whoView(user.parent)];
}
