// Consults the service about an event and judges it here; some at a time, so that a long trace does
// not ask for everything at once.

import { judge } from "./judge.js";
import { Refused, ask } from "./session.js";
import { anchor, root } from "./trust.js";

const AT_ONCE = 6;

/** What tells the events of all records apart. */
export const keyOf = ({ event }) => `${event.version} ${event.record}`;

/**
 * The proof of an event, as the service gives it. It is asked with the event's own hash, so that it
 * answers whether data is kept or not; what it thinks of the hash is not looked at.
 */
export async function consult({ event }) {
  const question = { record: event.record, version: event.version, hash: event.what.hash };
  try {
    return await ask("/v1/consult", question);
  } catch (error) {
    if (error instanceof Refused && [401, 403].includes(error.status)) return { verdict: "not_permitted" };
    if (error instanceof Refused && error.status === 404) return { verdict: "unknown" };
    throw error;
  }
}

/** The verdict of this browser on an event. */
export async function check(log, answer, data) {
  return judge({ log, answer, data, anchor: anchor(), root: root() });
}

export const unchecked = (why) => ({ verdict: "unchecked", why, steps: [], fields: [] });

/** Does `work` for each item, some at a time; an item that fails does not stop the others. */
export async function each(items, work) {
  const waiting = [...items];
  const worker = async () => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

let visitorsReadNothing = false;

/** A record as it is now, with its data if that is kept; null if this reader may not see it. */
async function recordNow(record) {
  if (visitorsReadNothing) return null;
  try {
    return await ask(`/v1/records/${encodeURIComponent(record)}`);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    // Without a login, what is refused once is refused for every record.
    visitorsReadNothing = error.status === 401;
    return null;
  }
}

const records = new Map();

/** The kept data of an event. Only a record's newest is to be had: others have another hash. */
export async function dataOf({ record, what }) {
  if (!records.has(record)) records.set(record, recordNow(record).catch(() => null));
  const now = await records.get(record);
  return now !== null && now.event.what.hash === what.hash ? now.data : undefined;
}

/** Somebody signed in: what was refused before may be seen now. */
export function askAgain() {
  visitorsReadNothing = false;
  records.clear();
}
