// The pages of the audit service in a real browser: what they show, what they notice, what they do
// with texts of strangers, and that they can be used without a mouse, without colours, on a phone.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { fits, launch, pale, picture, unnamed } from "./looks.mjs";
import { shown, signIn, world } from "./serve.mjs";

const pictures = process.env.E2E_PICTURES;
const step = (text) => console.log("-", text);

const PALLET = "https://id.gs1.org/00/395212345000000013";
const LOT = "https://id.gs1.org/01/09521234543213/10/HASS-22-0123";
const EVIL = "javascript:document.title='taken'";
const traceOf = (resource) => `/trace?resource=${encodeURIComponent(resource)}`;

const browser = await launch();

const visit = (path, settings, look, options) => shown(browser, path, settings, look, options);

const settled = (page) => page.waitForSelector("#said .stamp");
const said = (page) => page.locator("#said").innerText();
const badges = (page) => page.locator(".stage .badge").allTextContents();

step("the first page looks up what is typed, as it stands below a code");
await visit("/", {}, async (page) => {
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await page.getByLabel("Email address").waitFor();
  await picture(page, "front");
  await page.getByRole("button", { name: /Scan/ }).click();
  await page.locator("#scan-problem").waitFor();
  assert.match(await page.locator("#scan-problem").innerText(), /phone.s camera/);
  await page.getByLabel("The code or name of a thing").fill("(01)09521234543213(10)HASS-22-0123");
  await page.keyboard.press("Enter");
  await settled(page);
  assert.equal(new URL(page.url()).searchParams.get("resource"), LOT);
});

step("a scanned code leads to this server only");
await visit("/", {}, async (page, { server }) => {
  await page.evaluate(() => {
    window.BarcodeDetector = class {
      static getSupportedFormats = async () => ["qr_code"];
      detect = async () => [{ rawValue: "https://elsewhere.example/01/09521234543213/10/HASS-22-0123?x=1" }];
    };
    const canvas = document.createElement("canvas");
    canvas.getContext("2d");
    navigator.mediaDevices.getUserMedia = async () => canvas.captureStream(5);
    HTMLMediaElement.prototype.play = async () => {};
  });
  await page.getByRole("button", { name: /Scan/ }).click();
  await settled(page);
  assert.equal(new URL(page.url()).origin, server.url);
  assert.equal(new URL(page.url()).searchParams.get("resource"), LOT);
});

step("signing in: a wrong password is told, the access token is kept nowhere, a new page renews it");
await visit("/", {}, async (page) => {
  await signIn(page, "wrong");
  await page.getByRole("alert").filter({ hasText: "password is wrong" }).waitFor();
  await signIn(page);
  await page.getByText("You are signed in as Ana Torres.").waitFor();
  const kept = await page.evaluate(() => JSON.stringify([{ ...sessionStorage }, { ...localStorage }, document.cookie]));
  assert(!kept.includes("access-"));
  await picture(page, "front-signed-in");
  await page.getByRole("link", { name: "See the logs" }).click();
  await page.locator(".log").first().waitFor();
  await page.getByText("Signed in as Ana Torres", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("Email address").waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
});

await visit("/", { totp: true }, async (page) => {
  await signIn(page);
  await page.getByText("Enter the code that your authenticator shows").waitFor();
  await page.keyboard.type("123456");
  await page.keyboard.press("Enter");
  await page.getByText("You are signed in as Ana Torres.").waitFor();
});

step("who leaves a page while the session is renewed stays signed in");
await visit("/", {}, async (page, { server, world: here }) => {
  await signIn(page);
  await page.getByText("You are signed in").waitFor();
  here.delay = 400;
  await page.goto(`${server.url}/label?resource=x`);
  await page.goto(`${server.url}/`);
  await page.getByRole("link", { name: "Logs" }).click();
  await page.getByText("Signed in as Ana Torres", { exact: true }).waitFor();
  await page.locator(".log").first().waitFor();
});

step("a visitor sees a trace, oldest first, and the verdicts of their own browser");
await visit(traceOf(PALLET), {}, async (page) => {
  await settled(page);
  assert.match(await said(page), /INCOMPLETE/);
  const found = await badges(page);
  assert.equal(found.filter((badge) => badge === "Valid").length, 12);
  assert.equal(found.filter((badge) => badge === "Pending").length, 1);
  const heads = await page.locator(".chapter h2").allTextContents();
  assert.deepEqual(heads, ["Lot HASS-22-0123", "Lot HASS-22-0131", "Lot BOX-22-0044", "Logistic unit 395212345000000013"]);
  assert(await page.locator("#map").isHidden());
  await picture(page, "trace-visitor");
});

step("who is signed in sees the kept data and the map, and the data is checked too");
await visit("/", {}, async (page, { server }) => {
  await signIn(page);
  await page.getByText("You are signed in").waitFor();
  await page.goto(server.url + traceOf(PALLET));
  await settled(page);
  await page.locator("#map svg").waitFor();
  assert.equal(await page.locator("#map .places li").count(), 5);
  // Three of them are so near each other that they are one dot.
  assert.deepEqual(await page.locator("#map .stop .number").allTextContents(), ["2\u20134, 6", "8", "9, 12"]);
  await page.getByText("Show the one time that somebody looked").click();
  assert.equal(await page.locator(".stage.reading:visible").count(), 1);
  await page.locator(".stage .kept summary").nth(0).click();
  await picture(page, "trace");
});

step("all is valid: the stamp says so, and what it rests on can be remembered");
const done = (items) => items.filter(({ receipt, event }) => receipt && !/^(evil|long)/.test(event.record));
await visit(traceOf(LOT), { items: done(world().items) }, async (page) => {
  await settled(page);
  assert.match(await said(page), /VALID\s+All 3 events are in the ledger exactly as they are shown here/);
  await page.getByRole("button", { name: /It is the same/ }).click();
  await page.getByText("the service certificate that you compared").waitFor();
  await page.waitForFunction(() => !document.getElementById("said").textContent.includes("this server gave"));
  await page.reload();
  await page.getByText("the service certificate that you compared").waitFor();
});

step("a Digital Link is the trace of what it names, and what became of it is one way further");
await visit("/01/09521234543213/10/HASS-22-0123?17=271231", {}, async (page) => {
  await settled(page);
  assert.equal(await page.locator("#resource").innerText(), LOT);
  await page.getByRole("link", { name: "What became of it" }).click();
  await settled(page);
  const heads = await page.locator(".chapter h2").allTextContents();
  assert.deepEqual(heads.slice(0, 2), ["Lot HASS-22-0123", "Lot BOX-22-0044"]);
});

step("whatever the server changes is noticed: an event, its data, its receipt, its certificate");
await visit(traceOf(PALLET), {
  dataOpen: true,
  change(path, answer) {
    if (path === "/v1/traces") {
      const trip = answer.logs.find(({ event }) => event.record === "trip-900" && event.version === 2);
      trip.event.who = "turno1@transportes.example";
    }
    if (path === "/v1/records/arrival-5") answer.data.disposition = "damaged";
    if (path === "/v1/consult" && answer.event?.record === "pallet-13") answer.receipt.receipt.proof.pop();
    if (path === "/v1/consult" && answer.event?.record === "harvest-0131") delete answer.receipt;
    // The server claims that all is well.
    if (path === "/v1/consult") answer.verdict = "valid";
    return structuredClone(answer);
  },
}, async (page) => {
  await settled(page);
  assert.match(await said(page), /NOT VALID/);
  assert.equal((await badges(page)).filter((badge) => badge === "Altered").length, 2);
  assert.equal((await badges(page)).filter((badge) => badge === "Not proven").length, 1);
  assert.equal((await badges(page)).filter((badge) => badge === "Unknown").length, 2);
  await page.getByText("event /who").waitFor();
  await page.getByText("turno2@transportes.example").first().waitFor();
  await picture(page, "trace-altered");
  await page.locator(".stage.altered").first().getByRole("button").click();
  await picture(page, "drawer-altered", false);
});
await visit(traceOf(LOT), {}, async (page, { world: here }) => {
  await settled(page);
  await page.getByRole("button", { name: /It is the same/ }).click();
  const { readFileSync: read } = await import("node:fs");
  const other = read(new URL("../../crates/verify/testdata/azure-service-2023.pem", import.meta.url), "utf8");
  here.serviceCertificate = other;
  await page.reload();
  await settled(page);
  await page.getByText("The server shows another certificate than yours.").waitFor();
  assert.match(await said(page), /^VALID/);
  await page.getByRole("button", { name: "Forget it" }).click();
  await page.waitForFunction(() => document.getElementById("said").textContent.includes("NOT VALID"));
  await picture(page, "trace-other-certificate");
});

step("the evidence of an event has all of it, and its proof is what verifiers of receipts read");
await visit(traceOf(LOT), { dataOpen: true }, async (page) => {
  await settled(page);
  const card = page.locator(".stage").nth(1);
  await card.getByRole("button", { name: /^Evidence/ }).focus();
  await page.keyboard.press("Enter");
  const drawer = page.getByRole("dialog");
  for (const text of ["ana@huerta.example", "Huerta El Mirador", "2026-10-12T18:20:00.000Z", "update", "harvest-0123, version 2", "bitacora:ana@huerta.example"]) {
    await drawer.getByText(text, { exact: true }).first().waitFor();
  }
  await picture(page, "drawer", false);
  await drawer.getByText("Compare data that I hold").click();
  await drawer.getByLabel("Data (JSON)").fill('{"action": "DELETE"}');
  await drawer.getByRole("button", { name: "Compare" }).click();
  await drawer.getByText(/Not the same. These differ: .*\/action/).waitFor();
  const [saved] = await Promise.all([page.waitForEvent("download"), drawer.getByText("Download the proof").click()]);
  const proof = JSON.parse(readFileSync(await saved.path(), "utf8"));
  assert.equal(saved.suggestedFilename(), "proof-harvest-0123-2.json");
  assert.equal(proof.audit.event.version, 2);
  assert.equal(proof.applicationClaims[0].kind, "LedgerEntry");
  await page.keyboard.press("Escape");
  assert.equal(await page.getByRole("dialog").count(), 0);
  const focused = await page.evaluate(() => document.activeElement.textContent);
  assert.equal(focused, "Evidence");
});

step("texts of strangers are texts, in every field, and long ones fit");
await visit(traceOf(EVIL), { dataOpen: true }, async (page) => {
  await settled(page);
  assert.match(await said(page), /VALID\s+All 2 events/);
  for (const summary of await page.locator(".stage summary").all()) await summary.click();
  await picture(page, "trace-strangers");
  for (const place of [0, 1]) {
    await page.locator(".stage").nth(place).getByRole("button").click();
    for (const summary of await page.locator("dialog summary").all()) await summary.click();
    await fits(page);
    await picture(page, `drawer-strangers-${place}`, false);
    await page.keyboard.press("Escape");
  }
});

step("a trace of nothing, and no name at all");
await visit(traceOf("lot:none"), {}, async (page) => {
  await page.getByText("Nothing is recorded about it.").waitFor();
  await picture(page, "trace-empty");
});
await visit("/trace", {}, async (page) => {
  await page.getByText("This address names no resource.").waitFor();
});

step("traces that are not open ask to sign in, in place");
await visit(traceOf(LOT), { open: false }, async (page) => {
  await page.getByText("Traces are not open to visitors here.").waitFor();
  await picture(page, "trace-closed");
  await signIn(page);
  await settled(page);
  assert.match(await said(page), /^VALID/);
});

step("offline, and an answer that breaks off, are told, and can be tried again");
await visit(traceOf(LOT), { down: new Set(["/v1/traces"]) }, async (page, { world: here }) => {
  await page.getByText("The service cannot be reached.").waitFor();
  await picture(page, "trace-offline");
  here.down.clear();
  await page.getByRole("button", { name: "Try again" }).click();
  await settled(page);
  here.down.add("/v1/consult");
  await page.reload();
  await settled(page);
  assert.match(await said(page), /INCOMPLETE/);
  here.down.clear();
  await page.getByRole("button", { name: "Check again" }).click();
  await page.waitForFunction(() => document.querySelector("#said .stamp")?.textContent === "VALID");
});
await visit(traceOf(LOT), { serviceCertificate: null }, async (page) => {
  await settled(page);
  await page.getByText("without one, nothing can be checked").waitFor();
  assert.equal((await badges(page)).filter((badge) => badge === "Not checked").length, 3);
});

step("slow answers are said to be slow");
await visit(traceOf(LOT), { delay: 5_000 }, async (page) => {
  await page.getByText("The service is slow to answer.").waitFor({ timeout: 20_000 });
  await picture(page, "trace-slow");
  await page.waitForSelector("#said .stamp", { timeout: 60_000 });
  assert(await page.locator("#slow").isHidden());
});

step("logs: one's own at first, by filters, page by page");
const many = () => {
  const { items } = world();
  const [first] = items;
  // Events that nobody consults here: their receipts are another's.
  const more = Array.from({ length: 40 }, (_, place) => ({
    ...first,
    event: { ...first.event, record: `weighing-${place}`, when: new Date(Date.UTC(2026, 9, 20, 6, place)).toISOString() },
  }));
  return [...items, ...more];
};
await visit("/logs", { items: many() }, async (page) => {
  await page.getByText("Sign in to see logs").waitFor();
  await signIn(page);
  await page.locator(".log").first().waitFor();
  assert.equal(await page.locator(".log").count(), 25);
  await page.getByRole("button", { name: "Older" }).click();
  await page.getByText("42 shown, the newest first. That is all.").waitFor();
  await page.getByLabel("Who").fill("");
  await page.getByLabel("About which resource").fill("(00)395212345000000013");
  await page.getByRole("button", { name: "Show", exact: true }).click();
  await page.waitForFunction(() => document.querySelectorAll(".log").length === 8);
  await picture(page, "logs");
  await page.getByText("More filters").click();
  await page.getByLabel("How").selectOption("read");
  await page.getByLabel("Not before").fill("2026-10-13T14:00");
  await page.getByRole("button", { name: "Show", exact: true }).click();
  await page.getByText("1 shown").waitFor();
  assert.match(page.url(), /from=2026-10-13T20%3A00/);
  await page.reload();
  await page.getByText("1 shown").waitFor();
  await page.getByRole("button", { name: "Evidence" }).click();
  await page.getByRole("dialog").getByText("VALID").waitFor();
  await page.keyboard.press("Escape");
});
await visit("/logs", {}, async (page) => {
  await signIn(page);
  await page.locator(".log").first().waitFor();
  await page.getByLabel("Who").fill("");
  await page.getByRole("button", { name: "Show", exact: true }).click();
  await page.waitForFunction(() => document.querySelectorAll(".log").length === 15);
  await picture(page, "logs-strangers");
});

step("labels are black on white, as many as wanted");
const code = process.env.E2E_LABEL
  ? readFileSync(process.env.E2E_LABEL, "utf8")
  : '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M2 2h5v5h-5z"/></svg>';
await visit(`/label?resource=${encodeURIComponent(LOT)}`, { code }, async (page) => {
  await page.locator(".label img").waitFor();
  assert.equal(await page.locator("#problem").isHidden(), true);
  await page.getByLabel("Copies").fill("5");
  await page.getByLabel("Width").selectOption("large");
  assert.equal(await page.locator(".label").count(), 5);
  await picture(page, "label");
  await page.emulateMedia({ media: "print" });
  assert(await page.locator(".making").isHidden());
  if (pictures) await page.pdf({ path: join(pictures, "label.pdf"), format: "A4" });
  await page.emulateMedia({ media: "screen" });
});
await visit(`/label?resource=${encodeURIComponent(EVIL)}`, {}, async (page) => {
  await page.getByText("The server made no code for this name.").waitFor();
});

step("every field has a name, every text enough contrast, everything is reached by keys");
for (const [path, ready] of [["/", "#email"], [traceOf(PALLET), "#said .stamp"], ["/logs", "#email"], [`/label?resource=x`, ".label"]]) {
  for (const colorScheme of ["light", "dark"]) {
    await visit(path, { dataOpen: true, code }, async (page) => {
      await page.waitForSelector(ready);
      assert.deepEqual(await page.evaluate(unnamed), []);
      assert.deepEqual(await page.evaluate(pale), []);
    }, { colorScheme, reducedMotion: "reduce" });
  }
}

await browser.close();
