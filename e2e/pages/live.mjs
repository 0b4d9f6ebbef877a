// The audit service's logs in a real browser, while new events come: what appears, and when nothing is asked for.
import assert from "node:assert/strict";

import { launch } from "./looks.mjs";
import { Problem, shown, signIn, world } from "./serve.mjs";

const step = (text) => console.log("-", text);

const browser = await launch();
const visit = (path, settings, look) => shown(browser, path, settings, look);

step("new events come by themselves: each once, committed when they are, and the newest if there are too many");
const event = (record, when) => {
  const [first] = world().items;
  return { ...first, event: { ...first.event, record, when: new Date(when).toISOString() } };
};
const NOON = Date.UTC(2026, 9, 20, 12);
await visit("/logs", {}, async (page, { world: here }) => {
  await signIn(page);
  await page.locator(".log").first().waitFor();
  const records = () => page.locator(".log .hint").allTextContents();
  const on = here.items.length;
  const { transactionAddress, ...pending } = event("first", NOON);
  here.items.push(pending);
  await page.getByText("1 new event.").waitFor();
  await page.locator(".log .badge.pending").waitFor();
  here.items[on] = { ...pending, transactionAddress };
  await page.waitForFunction(() => document.querySelector(".log .badge.pending") === null);
  // Another replica's clock is slower.
  here.items.push(event("second", NOON - 5_000), event("third", NOON + 1));
  await page.getByText("2 new events.").waitFor();
  assert.deepEqual((await records()).slice(0, 3), ["Record third, version 1", "Record first, version 1", "Record second, version 1"]);
  assert.equal(new Set(await records()).size, await page.locator(".log").count());
  for (let place = 0; place < 150; place += 1) here.items.push(event(`flood-${place}`, NOON + 1_000 + place));
  await page.getByText("More than 100 new events came at once").waitFor();
  assert.equal(await page.locator(".log").count(), 100);
  await page.getByRole("button", { name: "Older" }).click();
  await page.waitForFunction(() => document.querySelectorAll(".log").length === 125);
  assert.equal((await records()).at(-1), "Record flood-25, version 1");
});

step("who looks for new events is told when that fails, and nothing is asked for while nobody looks");
await visit("/logs", {}, async (page, { world: here }) => {
  await signIn(page);
  await page.locator(".log").first().waitFor();
  here.down.add("/v1/logs");
  await page.getByText("The service cannot be reached. Are you online? Trying again\u2026").waitFor();
  here.items.push(event("later", NOON));
  here.down.clear();
  await page.getByText("Record later, version 1").waitFor();
  const visibility = (state) => page.evaluate((to) => {
    Object.defineProperty(document, "hidden", { value: to, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, state);
  await visibility(true);
  const before = here.asked.length;
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  // One may have been on its way.
  assert(here.asked.length <= before + 1);
  here.items.push(event("unseen", NOON + 1));
  await visibility(false);
  await page.getByText("Record unseen, version 1").waitFor();
  here.change = (path, answer) => {
    if (path === "/v1/logs") throw new Problem(403, "NotPermitted", "readData is not permitted, or was not granted, to you");
    return answer;
  };
  await page.getByText("ReadData is not permitted, or was not granted, to you.").waitFor();
  await page.getByRole("button", { name: "Go on" }).waitFor();
  // What has an end in the past does not grow.
  here.change = (_, answer) => answer;
  await page.getByText("More filters").click();
  await page.getByLabel("Before", { exact: true }).fill("2026-10-13T14:00");
  await page.getByRole("button", { name: "Show", exact: true }).click();
  await page.waitForFunction(() => document.getElementById("live").hidden);
});

step("a page that nobody touches asks for nothing after an hour");
await visit("/logs", {}, async (page, { world: here }) => {
  await page.clock.install();
  await signIn(page);
  await page.getByText("New events appear here as they come.").waitFor();
  await page.clock.fastForward(50 * 60_000);
  await page.keyboard.press("Shift");
  await page.clock.fastForward(50 * 60_000);
  assert.equal(await page.getByRole("button", { name: "Pause" }).count(), 1);
  await page.clock.fastForward(20 * 60_000);
  await page.getByText("Paused, because nobody touched this page for an hour.").waitFor();
  here.items.push(event("later", NOON));
  await page.getByRole("button", { name: "Go on" }).click();
  await page.clock.fastForward(3_000);
  await page.getByText("Record later, version 1").waitFor();
});

await browser.close();
