// The operator's pages on services that run: who did something, what may be done, what happens now; and texts of
// strangers in all of it.
//
// More stands in operator.mjs.
import assert from "node:assert/strict";

import { DESK, PHONE, pale, picture, tame, unnamed } from "./looks.mjs";
import { EVIL, api, audit, browser, find, open, row, step, visit, whole } from "./operator.mjs";

const root = await api("root");
const tomas = await api("tomas");
const record = (text) => tomas.call("POST", "/v1/records", { about: ["lot:8"], did: text, data: { text } });

step("the trace names those whom the reader may see, and visitors see no names");
await visit("/trace?resource=lot:7", null, async (page, { told }) => {
  await page.waitForSelector("#said .stamp");
  assert.equal(await page.locator(".stage .who a").count(), 0);
  assert.doesNotMatch(await told(), /Tom\u00e1s|Marta/);
});
await visit("/", "root", async (page) => {
  await page.goto(`${audit}/trace?resource=lot:7`);
  await page.locator(".stage .who").getByRole("link", { name: "Marta Vega" }).waitFor();
  await picture(page, "trace-names");
  await page.locator(".stage").first().getByRole("button", { name: /Evidence/ }).click();
  await page.getByRole("dialog").getByText("called Tom\u00e1s Ruiz here today").waitFor();
  assert.match(await page.getByRole("dialog").innerText(), new RegExp(tomas.id));
  await page.keyboard.press("Escape");
  await page.locator(".stage .who").getByRole("link", { name: "Tom\u00e1s Ruiz" }).click();
  await page.getByRole("heading", { name: "Tom\u00e1s Ruiz" }).waitFor();
});

step("texts of strangers are texts: names, events, operations");
await visit("/people", "root", async (page) => {
  await find(page, "<img");
  await page.locator(".person-name a").click();
  await page.getByRole("heading", { name: EVIL, level: 1 }).waitFor();
  await page.locator("#did .log").first().waitFor();
  await picture(page, "person-strangers");
  await page.locator("#did").getByRole("link", { name: "In the logs" }).click();
  await page.locator(".log .who").getByRole("link", { name: EVIL }).first().waitFor();
  await picture(page, "logs-names");
  await tame(page);
  await page.goto(`${audit}/people?find=long@`);
  await whole(page);
  await page.locator(".person-name a").click();
  await page.locator("#changed .log").first().waitFor();
  await picture(page, "person-long");
});

step("the root changes the dictionary, and cannot lock itself out");
await visit("/", "root", async (page) => {
  await page.goto(`${audit}/permissions`);
  await page.locator(".permission").nth(15).waitFor();
  await picture(page, "permissions");
  await page.getByText("Add an operation").click();
  const add = page.locator("#add");
  await add.getByLabel("Name").fill("inspectLot");
  await add.getByLabel("What it is").fill(EVIL);
  await add.getByLabel("Service").fill("quality");
  await add.getByLabel("tuser").check();
  await picture(page, "permissions-add");
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await page.getByText("inspectLot is added.").waitFor();
  await page.getByText("Change inspectLot").click();
  await page.locator(".permission").getByLabel("consumer").check();
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("inspectLot is changed.").waitFor();
  const { said: dictionary } = await root.call("GET", "/v1/permissions");
  const entry = dictionary.find(({ nameOfOperation }) => nameOfOperation === "inspectLot");
  assert.deepEqual(entry.permitAccessTo, ["tuser", "consumer"]);
  await page.getByText("Change inspectLot").click();
  await page.getByRole("button", { name: "Take it out" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Take it out" }).click();
  await page.getByText("inspectLot is taken out.").waitFor();
  await page.getByText("Change loginUser").click();
  await page.locator(".permission").getByLabel("root").uncheck();
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("The root has to be able to log in").waitFor();
  await page.goto(`${audit}/logs?record=permission-inspectLot`);
  await page.getByText("3 shown").waitFor();
  await page.goto(`${audit}/permissions`);
  await page.getByRole("link", { name: "Who was granted createData" }).click();
  await page.getByText("50 shown, by name.").waitFor();
});

step("events appear as they come, and not while one pauses");
// More than a page of them in the moments that the page looks at twice: none of these is new.
for (let times = 0; times < 30; times++) await record("sort");
await visit("/", "root", async (page) => {
  await page.goto(`${audit}/logs`);
  await page.locator(".log").first().waitFor();
  await record("weigh");
  await page.locator(".log h3", { hasText: "Weigh" }).waitFor();
  assert.equal(await page.locator(".log h3").first().innerText(), "Weigh");
  await page.getByText("1 new event.").waitFor();
  await page.getByRole("button", { name: "Pause" }).click();
  await record("wash");
  const asked = page.waitForRequest(/\/v1\/logs/, { timeout: 5_000 }).then(() => true, () => false);
  assert.equal(await asked, false);
  await page.getByRole("button", { name: "Go on" }).click();
  await page.locator(".log h3", { hasText: "Wash" }).waitFor();
  await picture(page, "logs-live");
  // A filter holds for what comes, too.
  await page.getByLabel("About which resource").fill("lot:9");
  await page.getByRole("button", { name: "Show", exact: true }).click();
  await page.getByText("Nothing is recorded that fits.").waitFor();
  await record("pack");
  await tomas.call("POST", "/v1/records", { about: ["lot:9"], did: "ship", data: {} });
  await page.locator(".log h3", { hasText: "Ship" }).waitFor();
  assert.equal(await page.locator(".log").count(), 1);
});

step("every page fits a phone and a desk, in light and dark, with names and contrast");
for (const viewport of [PHONE, DESK]) {
  for (const colorScheme of ["light", "dark"]) {
    await visit("/people", "ana", async (page) => {
      await open(page, "Tom\u00e1s Ruiz");
      const checked = async () => {
        assert.deepEqual(await page.evaluate(unnamed), []);
        assert.deepEqual(await page.evaluate(pale), []);
      };
      await checked();
      await page.goto(`${audit}/permissions`);
      await page.locator(".permission").first().waitFor();
      await checked();
      await page.goto(`${audit}/people`);
      await row(page, "Cleo D\u00edaz").waitFor();
    }, { viewport, colorScheme });
  }
}

await browser.close();
