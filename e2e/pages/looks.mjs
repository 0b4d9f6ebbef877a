// A browser, and what every page has to be in it: as wide as the screen, named, with enough contrast, quiet.
//
// E2E_PICTURES is a folder for pictures of pages, to be looked at.
// E2E_PACKAGES is the folder with this folder's packages; E2E_BROWSER the browser, if it is not
// /usr/bin/chromium.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.E2E_PACKAGES ?? import.meta.dirname, "index.js"));
const { chromium } = require("playwright-core");

export const launch = () => chromium.launch({
  executablePath: process.env.E2E_BROWSER ?? "/usr/bin/chromium",
  args: [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
});

export const PHONE = { width: 390, height: 844 };
export const DESK = { width: 1200, height: 900 };

/**
 * Shows an address to `look`, in a context of its own. Whatever the page asks of others, whatever its policy
 * forbids and whatever it throws is a failure.
 */
export async function visited(browser, url, options, look) {
  const context = await browser.newContext({ viewport: PHONE, timezoneId: "America/Mexico_City", ...options });
  const wrong = [];
  const { origin } = new URL(url);
  await context.route("**/*", (route) => {
    if (new URL(route.request().url()).origin === origin) return route.continue();
    wrong.push(`asked ${route.request().url()}`);
    return route.abort();
  });
  const page = await context.newPage();
  page.on("pageerror", (error) => wrong.push(error.stack));
  page.on("dialog", (dialog) => {
    wrong.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("console", (message) => {
    // What is refused or not reached is told in the page.
    const network = /Failed to load resource/.test(message.text());
    if (message.type() === "error" && !network) wrong.push(message.text());
  });
  await page.goto(url);
  await look(page, context);
  await fits(page);
  assert.deepEqual(wrong, []);
  await context.close();
}

/** Nothing of a stranger's text has become markup, or was run. */
export async function tame(page) {
  assert.notEqual(await page.title(), "taken");
  const inside = await page.evaluate(() => document.querySelectorAll("img[onerror], main script, svg[onload], a[href^='javascript']").length);
  assert.equal(inside, 0);
}

/** A page on a phone and on a desk, by day and by night, if somebody wants to look at it. */
export async function picture(page, name, whole = true) {
  const folder = process.env.E2E_PICTURES;
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  for (const viewport of [PHONE, DESK]) {
    for (const colorScheme of ["light", "dark"]) {
      await page.setViewportSize(viewport);
      await page.emulateMedia({ colorScheme });
      await fits(page);
      await page.screenshot({ path: join(folder, `${name}-${viewport.width}-${colorScheme}.png`), fullPage: whole });
    }
  }
  await page.setViewportSize(PHONE);
  await page.emulateMedia({ colorScheme: "light" });
}

/** Nothing is wider than the screen. */
export async function fits(page) {
  const wide = await page.evaluate(() => {
    const room = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= room) return null;
    const all = [...document.querySelectorAll("body *")].filter((element) => element.getBoundingClientRect().right > room + 1);
    return all.map((element) => element.outerHTML.slice(0, 120));
  });
  assert.equal(wide, null);
}

/** Fields and buttons that have no name. Runs in the page. */
export function unnamed() {
  const all = [...document.querySelectorAll("input, select, textarea, button, a[href], img, dialog, svg[role]")];
  const named = (element) =>
    element.labels?.length > 0 || element.getAttribute("aria-label") || element.getAttribute("aria-labelledby")
    || element.textContent.trim() !== "" || element.getAttribute("alt");
  return all.filter((element) => !named(element)).map((element) => element.outerHTML.slice(0, 100));
}

/** Texts with less contrast than 4.5 to 1 (WCAG 2.2, 1.4.3). Runs in the page. */
export function pale() {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([red, green, blue]) => {
    const [r, g, b] = [red, green, blue].map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = rgb(getComputedStyle(at).backgroundColor);
      if (color[3] === 255) return color;
    }
    return rgb("Canvas");
  };
  const found = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (walker.currentNode.data.trim() === "" || !element.checkVisibility() || element.closest("svg, noscript")) continue;
    if (element.closest(":disabled")) continue;
    const [one, other] = [light(rgb(getComputedStyle(element).color)), light(behind(element))];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (contrast < 4.5) found.add(`${contrast.toFixed(2)} ${element.outerHTML.slice(0, 100)}`);
  }
  return [...found];
}
