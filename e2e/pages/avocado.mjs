// The season of the case study in a browser: the consumers' page about a lot that was altered and about one that
// was not, on a phone and on a desk, and the audit's own page about it. All servers are real ones.
//
// AVOCADO_APP is the consumers' address, AVOCADO_AUDIT the audit's; AVOCADO_ALTERED and AVOCADO_VALID are the
// paths of two lots; AVOCADO_IMAGES the folder of the documents' pictures.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { PHONE, launch, pale, unnamed, visited } from "./looks.mjs";
import { held } from "./pictures.mjs";

const { AVOCADO_APP: app, AVOCADO_AUDIT: audit, AVOCADO_ALTERED: altered, AVOCADO_VALID: valid } = process.env;
const step = (text) => console.log("-", text);
const DESK = { width: 1200, height: 860 };

const browser = await launch();

/** Shows a page, whose looks are checked too. */
async function visit(url, viewport, look, options = {}) {
  // The audit's certificate is one that it made itself.
  const all = { viewport, locale: "en-GB", reducedMotion: "reduce", ignoreHTTPSErrors: true, ...options };
  await visited(browser, url, all, async (page, context) => {
    await look(page, context);
    assert.deepEqual(await page.evaluate(unnamed), []);
    assert.deepEqual(await page.evaluate(pale), []);
  });
}

/** What a page says, without what differs from run to run. */
async function text(page) {
  const said = await page.locator("main").innerText();
  return said
    .replace(/\b[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){31}\b|\b[0-9a-f]{64}\b/g, "(digest)")
    .replace(/\b[0-9a-f]{6}\u2026[0-9a-f]{4}\b/g, "(user)")
    .replace(/\s+/g, " ")
    .trim();
}

const image = (name) => join(process.env.AVOCADO_IMAGES, `${name}.png`);
const settled = (page) => page.waitForSelector("#said .stamp");
const stamp = (page) => page.locator("#said .stamp").innerText();
const badges = (page) => page.locator(".stage .badge").allTextContents();

for (const [name, viewport] of [["phone", PHONE], ["desk", DESK]]) {
  step(`${name}: the altered lot is shown to be altered, with what its company says and what it recorded`);
  await visit(app + altered, viewport, async (page) => {
    await settled(page);
    assert.equal(await stamp(page), "ALTERED");
    assert.deepEqual(await badges(page), ["Valid", "Altered", "Valid", "Valid", "Valid", "Valid", "Valid"]);
    // At the top, and again at its step.
    for (const place of ["#said", ".stage.altered"]) {
      const differs = await page.locator(`${place} .difference`).innerText();
      assert.match(differs, /Harvest date\s+They say today\s+\d+ \w+ 2026\s+They recorded\s+\d+ \w+ 2026/);
    }
    assert.equal(await page.locator("#map svg").count(), 1);
    await held(page, image(`avocado-altered-${name}`), await text(page));
  });

  step(`${name}: another lot is valid`);
  await visit(app + valid, viewport, async (page) => {
    await settled(page);
    assert.equal(await stamp(page), "VALID");
    assert.deepEqual(await badges(page), Array(7).fill("Valid"));
    assert.equal(await page.locator(".differences").count(), 0);
    await held(page, image(`avocado-valid-${name}`), await text(page));
  });

  step(`${name}: the audit's own page shows what was recorded, which nobody altered`);
  await visit(audit + altered, viewport, async (page) => {
    await settled(page);
    assert.equal(await stamp(page), "VALID");
    const moments = (said) => said.replace(/\d{1,2} \w{3} \d{4}, \d\d:\d\d/g, "(moment)");
    await held(page, image(`avocado-audit-${name}`), moments(await text(page)));
  });
}

step("phone: the step that was altered, and its evidence");
await visit(app + altered, PHONE, async (page, context) => {
  await settled(page);
  const step = page.locator(".stage.altered");
  await step.scrollIntoViewIfNeeded();
  await page.evaluate(() => document.querySelector(".stage.altered").scrollIntoView());
  await held(page, image("avocado-step-phone"), await step.innerText());
  await step.getByRole("button", { name: /Evidence/ }).click();
  const drawer = page.getByRole("dialog");
  await drawer.getByText("ALTERED").waitFor();
  await drawer.getByText("/ilmd/cbvmda:harvestStartDate").waitFor();
  const [saved] = await Promise.all([page.waitForEvent("download"), drawer.getByText("Download the proof").click()]);
  const proof = JSON.parse(readFileSync(await saved.path(), "utf8"));
  assert.equal(proof.audit.data.bizStep, "packing");
  writeFileSync(join(process.env.E2E_SCRATCH, "downloaded.json"), JSON.stringify(proof));
  await page.keyboard.press("Escape");
  assert.equal(context.pages().length, 1);
});

step("in the dark");
await visit(app + altered, PHONE, settled, { colorScheme: "dark" });

step("whatever the association's server changes is noticed: it cannot make altered data valid, nor an event another");
const lies = {
  "the verdict": (path, said) => path.startsWith("/api/consult") && Object.assign(said, { verdict: "valid", fields: [] }),
  "the kept data": (path, said) => path.startsWith("/api/records/") && said.data.ilmd && Object.assign(said.data.ilmd, { "cbvmda:harvestStartDate": "2026-01-01" }),
  "the salt": (path, said) => path.startsWith("/api/consult") && Object.assign(said, { salt: "0".repeat(64) }),
  "who did it": (path, said) => path.startsWith("/api/trace") && said.logs.forEach(({ event }) => Object.assign(event, { where: "elsewhere" })),
};
for (const [what, lie] of Object.entries(lies)) {
  await visit(app + altered, PHONE, async (page, context) => {
    await context.route("**/api/**", async (route) => {
      const answer = await route.fetch();
      const said = await answer.json();
      lie(new URL(route.request().url()).pathname, said);
      await route.fulfill({ response: answer, json: said });
    });
    await page.reload();
    await settled(page);
    assert.notEqual(await stamp(page), "VALID", what);
  });
}

step("a lot that nobody recorded, and a code that is typed");
await visit(`${app}/01/19521102000104/10/NONE`, PHONE, async (page) => {
  await settled(page);
  assert.equal(await stamp(page), "UNKNOWN");
});
await visit(`${app}/`, PHONE, async (page) => {
  const [, gtin, lot] = /^\/01\/(\d+)\/10\/(.+)$/.exec(valid);
  await page.getByLabel("The code on the case").fill(`(01)${gtin}(10)${lot}`);
  await page.getByRole("button", { name: "Show its journey" }).click();
  await settled(page);
  assert.equal(await stamp(page), "VALID");
});

await browser.close();
