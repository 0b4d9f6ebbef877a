// The operator's pages on services that run: whom each reader sees, what they change, and that nobody sees more than
// the service tells them.
//
// PEOPLE_IMAGES is the folder of the documents' pictures; more stands in operator.mjs.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { join } from "node:path";

import { DESK, picture } from "./looks.mjs";
import { EVIL, api, audit, browser, email, find, names, open, password, row, step, visit, whole } from "./operator.mjs";
import { held } from "./pictures.mjs";

step("the root sees everybody, as a tree that opens step by step");
await visit("/people", "root", async (page) => {
  await row(page, "Benito Cruz").waitFor();
  assert.deepEqual(await names(page), ["Root", "Ana Torres", "Benito Cruz", "Carl"]);
  assert.match(await row(page, "Carl").innerText(), /consumer[^]*Active[^]*No second factor[^]*Created [^]* by themselves/);
  assert.match(await row(page, "Ana Torres").innerText(), /administrator[^]*by Root/);
  await page.getByRole("button", { name: "Show those below Ana Torres" }).focus();
  await page.keyboard.press("Enter");
  await row(page, "Cleo D\u00edaz").waitFor();
  await page.getByRole("button", { name: "Show those below Cleo D\u00edaz" }).click();
  await row(page, "Diego Luna").waitFor();
  assert.match(await row(page, "Diego Luna").innerText(), /by Cleo D\u00edaz/);
  // Fifty at a time.
  await page.getByRole("button", { name: "More", exact: true }).click();
  await row(page, "Tom\u00e1s Ruiz").waitFor();
  await picture(page, "people-tree");
  await page.getByRole("button", { name: "Hide those below Ana Torres" }).click();
  assert.equal(await row(page, "Tom\u00e1s Ruiz").isVisible(), false);
});

step("people are looked for, page by page, and the address keeps the question");
await visit("/people", "ana", async (page) => {
  await find(page, "PICKER");
  assert.equal((await names(page)).length, 50);
  await page.getByRole("button", { name: "More", exact: true }).click();
  await whole(page);
  const all = await names(page);
  assert.equal(all.length, 52);
  assert.deepEqual(all, all.toSorted());
  await find(page, "picker 3");
  await whole(page);
  await page.reload();
  await whole(page);
  assert.equal((await names(page)).length, 10);
  await picture(page, "people-found");
  await page.getByLabel("Kind").selectOption("administrator");
  await page.getByRole("button", { name: "Show", exact: true }).click();
  await page.getByText("Nobody below you fits.").waitFor();
  await find(page, "");
  assert.deepEqual(await names(page), ["Ana Torres", "Cleo D\u00edaz"]);
});

step("an administrator creates somebody, and sees it recorded");
await visit("/people", "ana", async (page) => {
  await row(page, "Ana Torres").waitFor();
  await page.getByLabel("What they will be").selectOption("tuser");
  await page.getByLabel("Name", { exact: true }).fill("Nora <b>Paz</b>");
  await page.getByLabel("Email address", { exact: true }).fill("nora@huerta.example");
  await page.getByLabel("First password").fill("short");
  await page.getByRole("button", { name: "Create" }).click();
  assert.equal(new URL(page.url()).pathname, "/people");
  await page.getByLabel("First password").fill(password);
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByRole("heading", { name: "Nora <b>Paz</b>" }).waitFor();
  await page.locator("#changed .log").first().waitFor();
  assert.match(await page.locator("#changed").innerText(), /createTUser/);
  assert.match(await page.locator("#facts").innerText(), /by Ana Torres/);
  // An address that is taken is said to be.
  await page.goto(`${audit}/people`);
  await row(page, "Ana Torres").waitFor();
  await page.getByLabel("Name", { exact: true }).fill("Another");
  await page.getByLabel("Email address", { exact: true }).fill("nora@huerta.example");
  await page.getByLabel("First password").fill(password);
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByText("The email address belongs to another user.").waitFor();
});

step("grants are withdrawn and given back, each time as an event");
const tomas = await api("tomas");
const record = (text) => tomas.call("POST", "/v1/records", { about: ["lot:8"], did: text, data: { text } });
await visit("/people", "ana", async (page) => {
  await open(page, "Tom\u00e1s Ruiz");
  await page.getByText("harvest", { exact: false }).first().waitFor();
  await picture(page, "person");
  await page.getByRole("button", { name: "Withdraw createData" }).click();
  await page.getByText("createData is withdrawn.").waitFor();
  const focused = await page.evaluate(() => document.activeElement.id);
  assert.equal(focused, "grant-createData");
  await page.locator("#changed h3", { hasText: "revoke createData" }).waitFor();
  assert.equal((await record("too late")).status, 403);
  await page.getByRole("button", { name: "Grant createData" }).click();
  await page.getByText("createData is granted.").waitFor();
  assert.equal((await record("again")).status, 201);
  // What the administrator does not have, they are not offered.
  assert.equal(await page.getByRole("button", { name: /(Grant|Withdraw) createTUser/ }).count(), 1);
});
const root = await api("root");
const ana = await api("ana");
await root.call("DELETE", `/v1/users/${ana.id}/grants/createTUser`);
await visit("/people", "ana", async (page) => {
  await page.locator(".person-row").first().waitFor();
  // Nor what they may not create.
  assert.deepEqual(await page.locator("#new-kind option").allInnerTexts(), ["administrator"]);
  await open(page, "Tom\u00e1s Ruiz");
  assert.equal(await page.getByRole("button", { name: "Grant createTUser" }).count(), 0);
});
await root.call("PUT", `/v1/users/${ana.id}/grants/createTUser`);

step("who has forgotten their password chooses a new one by a code, which somebody above gave");
let given;
await visit("/people", "ana", async (page) => {
  await open(page, "Picker 02");
  await page.getByRole("button", { name: "Give a code for a new password" }).click();
  await page.getByRole("button", { name: "Give it" }).click();
  given = await page.locator("#said .secret").innerText();
  assert.match(await page.locator("#said").innerText(), /It is good until \d+ \w+ \d+, \d\d:\d\d/);
  await page.locator("#changed h3", { hasText: "resetPassword" }).waitFor();
  await picture(page, "person-code");
});
await visit("/people", null, async (page) => {
  const send = page.getByRole("button", { name: "Choose it" });
  await page.getByText("Forgotten your password?").click();
  await page.locator("#email").fill(email("picker02"));
  await page.locator("#reset-code").fill("wrong");
  await page.locator("#chosen-password").fill("a password of my own");
  await send.click();
  await page.getByText(/the code is wrong/).waitFor();
  await page.locator("#reset-code").fill(given);
  await picture(page, "forgotten-password");
  await send.click();
  await page.getByText("Done: sign in with it.").waitFor();
  await page.locator("#password").fill("a password of my own");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.locator("#session").getByText("Signed in as").waitFor();
});

step("sessions end, a lost second factor goes, and who is disabled is out for good");
const picker = await api("picker01");
const { said: enrolled } = await picker.call("POST", "/v1/totp", {});
await picker.call("PUT", "/v1/totp", { code: code(new URL(enrolled.uri).searchParams.get("secret")) });
await visit("/people", "ana", async (page) => {
  await open(page, "Picker 01");
  await page.locator("#marks").getByText("Second factor", { exact: true }).waitFor();
  await page.getByRole("button", { name: "End all sessions" }).click();
  await page.getByText("All their sessions have ended.").waitFor();
  assert.equal((await picker.call("GET", "/v1/session")).status, 401);
  await page.getByRole("button", { name: "Take the second factor away" }).click();
  await page.getByRole("button", { name: "Leave it as it is" }).click();
  assert.equal(await page.locator("#marks").getByText("Second factor", { exact: true }).count(), 1);
  await page.getByRole("button", { name: "Take the second factor away" }).click();
  await page.getByRole("button", { name: "Take it away" }).click();
  await page.locator("#marks").getByText("No second factor").waitFor();
  const again = await api("picker01");
  await page.getByRole("button", { name: "Disable" }).click();
  await picture(page, "person-disable", false);
  await page.getByRole("dialog").getByRole("button", { name: "Disable" }).click();
  await page.locator("#marks").getByText("Disabled").waitFor();
  assert.equal((await again.call("GET", "/v1/session")).status, 401);
  assert.equal(await page.locator("#access").isVisible(), false);
  assert.equal(await page.locator(".grant button").count(), 0);
  await page.locator("#changed h3", { hasText: "deleteTUser" }).waitFor();
  await picture(page, "person-disabled");
});

step("another administrator sees their own people alone, whatever they ask for");
const hidden = /Ana Torres|Tom\u00e1s|huerta|Picker|Cleo/;
await visit("/people", "ben", async (page, { told }) => {
  await row(page, "Marta Vega").waitFor();
  assert.deepEqual(await names(page), ["Benito Cruz", "Marta Vega"]);
  for (const text of ["ana", "Picker", "huerta", ana.id, "%"]) {
    await find(page, text);
    assert.deepEqual(await names(page), [], text);
  }
  await page.goto(`${audit}/people?granted=createData`);
  await whole(page);
  assert.deepEqual(await names(page), ["Benito Cruz", "Marta Vega"]);
  for (const id of [tomas.id, ana.id, root.id, "..%2fben", encodeURIComponent(EVIL)]) {
    await page.goto(`${audit}/people/${id}`);
    await page.locator("#missing").waitFor();
    assert.equal(await page.locator("#person").isVisible(), false);
  }
  // What Tomás did about the lot is for all who may read; what he is called is not.
  await page.goto(`${audit}/trace?resource=lot:7`);
  await page.locator(".stage .who").getByRole("link", { name: "Marta Vega" }).waitFor();
  const by = await page.locator(".stage .who b").allInnerTexts();
  assert.deepEqual(by.map((text) => /^[0-9a-f]{6}\u2026[0-9a-f]{4}$/.test(text)), [true, false]);
  await page.goto(`${audit}/logs`);
  await page.locator(".log").first().waitFor();
  assert.doesNotMatch(await page.locator("main").innerText(), hidden);
  const answers = await told();
  assert.match(answers, /Marta Vega/);
  assert.doesNotMatch(answers, hidden);
});

step("a user of the system sees themselves, and is not led to others");
await visit("/people", "marta", async (page, { told }) => {
  await row(page, "Marta Vega").waitFor();
  assert.deepEqual(await names(page), ["Marta Vega"]);
  assert.equal(await page.getByRole("link", { name: "Permissions" }).count(), 0);
  assert.equal(await page.locator("#newcomer").isVisible(), false);
  await find(page, "a");
  assert.deepEqual(await names(page), []);
  await page.getByRole("link", { name: "Marta Vega" }).click();
  await page.locator("#changed .log").first().waitFor();
  assert.deepEqual(await page.locator("#acts button").allInnerTexts(), ["End all sessions", "End this account"]);
  assert.equal(await page.getByRole("button", { name: /^Grant/ }).count(), 0);
  await page.getByRole("button", { name: "Withdraw deleteData" }).click();
  await page.getByRole("button", { name: "Leave it as it is" }).click();
  await page.getByRole("button", { name: "Withdraw deleteData" }).click();
  await page.getByRole("button", { name: "Give it up" }).click();
  await page.getByText("deleteData is withdrawn.").waitFor();
  assert.equal(await page.getByRole("button", { name: "Withdraw deleteData" }).count(), 0);
  assert.equal(await page.evaluate(() => document.activeElement.id), "name");
  for (const id of [tomas.id, ana.id, root.id]) {
    await page.goto(`${audit}/people/${id}`);
    await page.getByText("There is no such user, or not for you.").waitFor();
  }
  await page.goto(`${audit}/logs?who=${tomas.id}`);
  await page.getByText("Name a record, a resource, or yourself").waitFor();
  await page.goto(`${audit}/permissions`);
  await page.locator(".permission").first().waitFor();
  assert.equal(await page.locator(".permission details, #add:visible").count(), 0);
  assert.doesNotMatch(await told(), hidden);
});

step("the record of a user's changes is for all, what it says of them is not");
const marta = await api("marta");
for (const [reader, sees] of [[ana, true], [tomas, true], [root, true], [marta, false], [await api("ben"), false]]) {
  const { status, said } = await reader.call("GET", `/v1/records/user-${tomas.id}`);
  assert.equal(status, 200);
  assert.equal(said.data?.email, sees ? email("tomas") : undefined);
  // Nor can it be guessed field by field.
  const guess = { record: `user-${tomas.id}`, data: { email: email("tomas"), name: "Tom" } };
  const { said: judged } = await reader.call("POST", "/v1/consult", guess);
  assert.equal(judged.verdict, "altered");
  assert.equal((judged.fields ?? []).includes("/name"), sees);
  assert.equal(judged.salt !== undefined, sees);
  const { said: all } = await reader.call("POST", "/v1/consult/bulk", { questions: [guess] });
  assert.deepEqual(all.answers[0].fields, judged.fields);
}

step("the documents' picture: somebody's page, and what is done there");
for (const text of ["weigh", "wash", "pack"]) assert.equal((await record(text)).status, 201);
await visit("/people", "ana", async (page) => {
  await open(page, "Tom\u00e1s Ruiz");
  await page.locator("#did .log").nth(4).waitFor();
  const said = await page.locator("main").innerText();
  const text = said
    .replace(/\d{1,2} \w{3} \d{4}, \d\d:\d\d/g, "(moment)")
    .replace(/\b[0-9a-f]{32}\b/g, "(id)")
    .replace(/\btransaction \d+\.\d+/g, "(transaction)")
    .replace(/\s+/g, " ")
    .trim();
  await held(page, join(process.env.PEOPLE_IMAGES, "audit-person-desk.png"), text);
}, { viewport: DESK });

await browser.close();

/** The code that an app shows now for a secret (RFC 6238). */
function code(secret) {
  const bits = Array.from(secret, (letter) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => Number.parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
  const digest = createHmac("sha1", key).update(counter).digest();
  const number = digest.readUInt32BE(digest.at(-1) & 15) & 0x7fffffff;
  return String(number % 1_000_000).padStart(6, "0");
}
