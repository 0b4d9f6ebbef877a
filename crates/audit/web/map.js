// Where events took place, drawn without a map service: nobody outside learns what is looked at.

import { make } from "./parts.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 400;
const HEIGHT_LEAST = 200;
const HEIGHT_MOST = 340;
const MARGIN = 40;
const KM_PER_DEGREE = 111.195;
const DEPTH_MAX = 8;

/** The place in a `geo:` URI (RFC 5870), or null. */
export function place(text) {
  const found = /^geo:(-?[0-9]{1,2}(?:\.[0-9]{1,12})?),(-?[0-9]{1,3}(?:\.[0-9]{1,12})?)(?:[,;].*)?$/i.exec(text);
  if (!found) return null;
  const [lat, lon] = [Number(found[1]), Number(found[2])];
  return Math.abs(lat) <= 90 && Math.abs(lon) <= 180 ? { lat, lon } : null;
}

/** The first place that an event or its data names. Where it was read comes before where it belongs. */
export function placeOf(event, data) {
  const texts = [event.where, event.target, data?.readPoint?.id, data?.bizLocation?.id];
  for (const text of texts) {
    const found = typeof text === "string" ? place(text) : null;
    if (found) return found;
  }
  return within(data, DEPTH_MAX);
}

function within(value, depth) {
  if (typeof value === "string") return place(value);
  if (depth === 0 || typeof value !== "object" || value === null) return null;
  for (const inner of Object.values(value)) {
    const found = within(inner, depth - 1);
    if (found) return found;
  }
  return null;
}

/** Draws stops in their order: `{ lat, lon, number, name }`. */
function drawMap(places) {
  const view = fitted(places);
  const drawing = node("svg", { viewBox: `0 0 ${WIDTH} ${view.height}`, role: "img", class: "map" });
  const title = node("title");
  title.textContent = `A map of ${places.length} places, in the order of the events.`;
  const dots = apart(places, view);
  drawing.append(title, ...grid(view), ...way(places, view), ...dots.map(dot), scale(view));
  return drawing;
}

/** Stops at one place, with all of their numbers. */
function gathered(stops) {
  const places = new Map();
  for (const stop of stops) {
    const key = `${stop.lat.toFixed(3)} ${stop.lon.toFixed(3)}`;
    if (!places.has(key)) places.set(key, { ...stop, numbers: [] });
    places.get(key).numbers.push(stop.number);
  }
  return [...places.values()];
}

const halfWidth = (numbers) => 9 + 4 * runs(numbers).length;

/** Places as dots. Those that would cover each other are one dot, with the numbers of both. */
function apart(places, view) {
  const dots = [];
  for (const { lat, lon, name, numbers } of places) {
    const [x, y] = [view.x(lon), view.y(lat)];
    const near = dots.find((other) =>
      Math.abs(other.x - x) < halfWidth(other.numbers) + halfWidth(numbers) && Math.abs(other.y - y) < 28);
    if (near) {
      near.numbers.push(...numbers);
      near.name += `; ${name}`;
    } else {
      dots.push({ x, y, name, numbers: [...numbers] });
    }
  }
  return dots;
}

/** Degrees of longitude are shortened as they are in the middle of the picture. */
function fitted(stops) {
  const lats = stops.map(({ lat }) => lat);
  const lons = stops.map(({ lon }) => lon);
  const middle = (values) => (Math.min(...values) + Math.max(...values)) / 2;
  const [lat, lon] = [middle(lats), middle(lons)];
  const shrink = Math.max(0.05, Math.cos((lat * Math.PI) / 180));
  // A single place is shown with its surroundings, some two kilometres.
  const span = (values, factor) => Math.max(0.02, (Math.max(...values) - Math.min(...values)) * factor);
  const perDegree = Math.min((WIDTH - 2 * MARGIN) / span(lons, shrink), (HEIGHT_MOST - 2 * MARGIN) / span(lats, 1));
  const height = Math.max(HEIGHT_LEAST, Math.ceil(span(lats, 1) * perDegree + 2 * MARGIN));
  return {
    perDegree,
    height,
    x: (value) => WIDTH / 2 + (value - lon) * shrink * perDegree,
    y: (value) => height / 2 - (value - lat) * perDegree,
    lonAt: (x) => lon + (x - WIDTH / 2) / (shrink * perDegree),
    latAt: (y) => lat - (y - height / 2) / perDegree,
  };
}

const STEPS = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 45];

function grid(view) {
  const lines = [];
  const wide = view.lonAt(WIDTH) - view.lonAt(0);
  const step = STEPS.find((each) => wide / each <= 4) ?? 60;
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const each = (from, to, draw) => {
    for (let value = Math.ceil(from / step) * step; value < to; value += step) draw(value);
  };
  each(view.lonAt(0), view.lonAt(WIDTH), (lon) => {
    const x = view.x(lon);
    lines.push(node("line", { x1: x, y1: 0, x2: x, y2: view.height, class: "grid" }));
    if (x > 20 && x < WIDTH - 60) lines.push(label(x + 4, view.height - 7, degrees(lon, "E", "W", digits)));
  });
  each(view.latAt(view.height), view.latAt(0), (lat) => {
    const y = view.y(lat);
    lines.push(node("line", { x1: 0, y1: y, x2: WIDTH, y2: y, class: "grid" }));
    if (y > 20 && y < view.height - 24) lines.push(label(6, y - 5, degrees(lat, "N", "S", digits)));
  });
  return lines;
}

const degrees = (value, positive, negative, digits) =>
  `${Math.abs(value).toFixed(digits)}\u00b0 ${value < 0 ? negative : positive}`;

function way(stops, view) {
  if (stops.length < 2) return [];
  const points = stops.map(({ lat, lon }) => `${view.x(lon).toFixed(1)},${view.y(lat).toFixed(1)}`);
  return [node("polyline", { points: points.join(" "), class: "way" })];
}

function dot({ x, y, name, numbers }) {
  const group = node("g", { class: "stop" });
  const title = node("title");
  title.textContent = name;
  const half = halfWidth(numbers);
  group.append(
    title,
    node("rect", { x: x - half, y: y - 13, width: 2 * half, height: 26, rx: 13 }),
    label(x, y + 5, runs(numbers), "number"),
  );
  return group;
}

/** `1, 2, 3, 7` as `1–3, 7`. */
export function runs(numbers) {
  const said = [];
  for (const number of [...numbers].sort((one, other) => one - other)) {
    const last = said.at(-1);
    if (last && last[1] === number - 1) last[1] = number;
    else said.push([number, number]);
  }
  return said.map(([from, to]) => (from === to ? `${from}` : `${from}\u2013${to}`)).join(", ");
}

function scale(view) {
  const perKm = view.perDegree / KM_PER_DEGREE;
  const lengths = [1, 2, 5].flatMap((digit) => [-1, 0, 1, 2, 3].map((power) => digit * 10 ** power));
  const km = lengths.sort((one, other) => other - one).find((length) => length * perKm <= 100) ?? 0.1;
  const [right, y] = [WIDTH - 12, 24];
  const group = node("g", { class: "scale" });
  const left = right - km * perKm;
  group.append(
    node("path", { d: `M${left} ${y - 6}V${y}H${right}V${y - 6}` }),
    label((left + right) / 2, y - 6, km < 1 ? `${km * 1000} m` : `${km} km`, "middle"),
  );
  return group;
}

function label(x, y, text, name = "degrees") {
  const element = node("text", { x, y, class: name });
  element.textContent = text;
  return element;
}

function node(name, attributes = {}) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** The picture, and the names of its places for those who do not see it. */
export function mapWithNames(stops) {
  const places = gathered(stops);
  const items = places.map(({ numbers, name, lat, lon }) =>
    make("li", make("b", runs(numbers)), ` ${name} `, make("span.hint", `${lat.toFixed(4)}, ${lon.toFixed(4)}`)));
  return [drawMap(places), make("ul.places", ...items)];
}
