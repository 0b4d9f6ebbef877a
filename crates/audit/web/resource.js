// Names of resources: as they are typed, scanned, or standing in an address, and as people say them.
// Runs in browsers and in Node.js alike.

const GS1 = "https://id.gs1.org";

// The keys that begin a GS1 Digital Link, and what each names.
const KEYS = {
  "00": "Logistic unit",
  "01": "Product",
  253: "Document",
  255: "Coupon",
  401: "Consignment",
  402: "Shipment",
  414: "Place",
  417: "Party",
  8003: "Returnable asset",
  8004: "Asset",
  8006: "Part of a product",
  8010: "Component",
  8013: "Model",
  8017: "Provider",
  8018: "Recipient",
};
const QUALIFIERS = { 22: "variant", 10: "lot", 21: "serial number", 235: "serial number", 254: "extension" };
const TRADE_ITEM = "01";

/**
 * The GS1 Digital Link in a path, as the resource that EPCIS events name; null if it has none. What
 * stands before the key is a brand's own affair.
 */
export function digitalLink(path) {
  const parts = path.split("/").filter((part) => part !== "");
  const start = parts.findIndex((part) => Object.hasOwn(KEYS, part));
  if (start < 0 || (parts.length - start) % 2 !== 0) return null;
  const link = parts.slice(start);
  if (link[0] === TRADE_ITEM) {
    if (!/^([0-9]{8}|[0-9]{12,14})$/.test(link[1])) return null;
    link[1] = link[1].padStart(14, "0");
  }
  return `${GS1}/${link.join("/")}`;
}

/** The resource that a page's address names, or null. */
export function resourceOf({ pathname, search }) {
  return new URLSearchParams(search).get("resource") || digitalLink(pathname);
}

/** The resource in what somebody typed or scanned: a link to a page like this, a Digital Link, or a name. */
export function resourceIn(text) {
  const said = text.trim();
  if (/^https?:\/\//i.test(said) && URL.canParse(said)) {
    const url = new URL(said);
    if (/\/(trace|label)$/.test(url.pathname)) return url.searchParams.get("resource") || said;
    return digitalLink(url.pathname) ?? said;
  }
  return elementString(said) ?? said;
}

/** As it stands in clear under a bar code: `(01)09521234543213(10)HASS-22`. */
function elementString(text) {
  if (!/^(\([0-9]{2,4}\)[^()]+)+$/.test(text)) return null;
  const parts = Array.from(text.matchAll(/\(([0-9]{2,4})\)([^()]+)/g), ([, key, value]) => [key, value.trim()]);
  const key = parts.find(([name]) => Object.hasOwn(KEYS, name));
  if (!key) return null;
  // The order in which a link has them: variant, lot, serial.
  const order = ["22", "10", "21", "235", "254"];
  const qualifiers = order.flatMap((name) => parts.filter(([other]) => other === name));
  return digitalLink([key, ...qualifiers].flat().map(encodeURIComponent).join("/"));
}

/** What people call it: a title, and what it is more exactly. */
export function nameOf(resource) {
  if (!resource.startsWith(`${GS1}/`)) return { title: resource, exactly: "" };
  const parts = resource.slice(GS1.length + 1).split("/").map(decoded);
  const [key, value, ...qualifiers] = parts;
  if (!Object.hasOwn(KEYS, key) || !value) return { title: resource, exactly: "" };
  const whole = `${KEYS[key]} ${value}`;
  const last = qualifiers.at(-2);
  if (!last || !Object.hasOwn(QUALIFIERS, last)) return { title: whole, exactly: "" };
  const word = QUALIFIERS[last];
  return { title: `${word[0].toUpperCase()}${word.slice(1)} ${qualifiers.at(-1)}`, exactly: `of ${whole.toLowerCase()}` };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export const tracePath = (resource, way = "back") =>
  `/trace?resource=${encodeURIComponent(resource)}${way === "forward" ? "&direction=forward" : ""}`;

export const labelPath = (resource) => `/label?resource=${encodeURIComponent(resource)}`;
