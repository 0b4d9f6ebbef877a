// What users are and may do, by the rules of the service. It decides; pages leave out what it would refuse.

import { make } from "./parts.js";

/** The kinds of users, from above. */
export const KINDS = ["root", "administrator", "tuser", "consumer"];

/** Whether it was granted to them: the root has everything. */
export const has = (user, operation) => user.kind === "root" || user.grants.includes(operation);

/** Whether they may do it: the dictionary permits it to their kind, and it was granted to them. */
export function may(user, dictionary, operation) {
  const entry = dictionary.find(({ nameOfOperation }) => nameOfOperation === operation);
  return entry !== undefined && entry.permitAccessTo.includes(user.kind) && has(user, operation);
}

const OF = { administrator: "Administrator", tuser: "TUser", consumer: "TUser" };

/** The operation that does `deed` ("read", "update", "delete") to somebody; null where there is none. */
export function deed(name, me, user) {
  if (me.id === user.id) return `${name}Me`;
  return Object.hasOwn(OF, user.kind) ? `${name}${OF[user.kind]}` : null;
}

/** The kinds of users whom they may create. */
export function creates(me, dictionary) {
  const by = { root: ["administrator"], administrator: ["tuser", "administrator"] };
  return (by[me.kind] ?? []).filter((kind) => may(me, dictionary, `create${OF[kind]}`));
}

const STATES = { active: "Active", disabled: "Disabled", pending: "On the way to the ledger" };

/** What somebody is, whether they count, and how they show who they are: words, so that nobody needs colours. */
export const marks = (user) => [
  make("span.mark", user.kind),
  make(`span.mark.${user.status}`, STATES[user.status] ?? user.status),
  user.totp ? make("span.mark.active", "Second factor") : make("span.mark", "No second factor"),
];
