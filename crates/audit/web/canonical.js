// JSON in the one form that is hashed (RFC 8785), events in it, the hash of a record's content, and where
// two versions of data differ. The rules are those of the service that recorded: its model::content and
// model::event.
// Runs in browsers and in Node.js alike.

const text = new TextEncoder();

// Separates these hashes from all others.
const DOMAIN = "counterfoil.audit.content/1\0";
const FIELDS_MAX = 100;

/**
 * The canonical form of a JSON value. JavaScript's own way to write numbers and texts is the
 * standard's definition.
 * @throws {TypeError} it has none: a number that is not finite, half of a surrogate pair, no JSON
 */
export function canonical(value) {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw new TypeError("JSON has finite numbers only.");
    return JSON.stringify(value);
  }
  if (typeof value === "string") {
    if (/\p{Surrogate}/u.test(value)) throw new TypeError("A text has half of a surrogate pair.");
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object") throw new TypeError(`JSON has no ${typeof value}.`);
  // Sorted by UTF-16 code units, as the standard wants it and as JavaScript does it.
  const names = Object.keys(value).sort();
  return `{${names.map((name) => `${canonical(name)}:${canonical(value[name])}`).join(",")}}`;
}

/** The kind of document that a recorded event is, and its version. */
export const EVENT = "counterfoil.audit.event/1";

/** The event that a text is; null if it is none, or not in the canonical form that events are recorded in. */
export function eventIn(contents) {
  try {
    const event = JSON.parse(contents);
    const has = (object, names) => Object.keys(object).join(" ") === names;
    const isEvent = canonical(event) === contents && event.type === EVENT
      && has(event, "how record target type version what when where who") && has(event.what, "about did hash");
    return isEvent ? event : null;
  } catch {
    return null;
  }
}

/** The hash of a record's content, in hexadecimal digits. */
export async function contentHash(data, salt) {
  if (!/^[0-9a-f]{64}$/.test(salt)) throw new TypeError("A salt has 64 hex digits.");
  const bytes = salt.match(/../g).map((byte) => Number.parseInt(byte, 16));
  const whole = [...text.encode(DOMAIN), ...bytes];
  const content = text.encode(canonical(data));
  const preimage = new Uint8Array(whole.length + content.length);
  preimage.set(whole);
  preimage.set(content, whole.length);
  const digest = await crypto.subtle.digest("SHA-256", preimage);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Where two values differ, as JSON pointers (RFC 6901); an empty pointer is the whole. */
export function altered(kept, given) {
  const fields = [];
  compare(kept, given, "", fields);
  return fields;
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** What is missing (`undefined`) is not null, which is a value like any other. */
function compare(kept, given, at, fields) {
  if (fields.length >= FIELDS_MAX) return;
  if (isObject(kept) && isObject(given)) {
    const names = new Set([...Object.keys(kept).sort(), ...Object.keys(given).sort()]);
    const own = (object, name) => (Object.hasOwn(object, name) ? object[name] : undefined);
    for (const name of names) {
      const escaped = name.replaceAll("~", "~0").replaceAll("/", "~1");
      compare(own(kept, name), own(given, name), `${at}/${escaped}`, fields);
    }
  } else if (Array.isArray(kept) && Array.isArray(given)) {
    for (let index = 0; index < Math.max(kept.length, given.length); index += 1) {
      compare(kept[index], given[index], `${at}/${index}`, fields);
    }
  } else if (kept !== given) {
    fields.push(at);
  }
}
