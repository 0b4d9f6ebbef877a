// Signing in by an identity provider, in a browser: from our page by a click to the provider's, and back to
// where one was. The services and the provider are real.
//
// E2E_AUDIT is where the services are; E2E_USERS has two names that may sign in, and the token of the second.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";

import { fits, launch, pale, unnamed } from "./looks.mjs";

const audit = process.env.E2E_AUDIT;
const [first, second, token] = process.env.E2E_USERS.split(" ");
const step = (text) => console.log("-", text);
const browser = await launch();

/** Shows `path` to `look`, in a browser that was never there. What a page's policy forbids is a failure. */
async function visit(path, look) {
  const context = await browser.newContext({ viewport: { width: 390, height: 844 }, ignoreHTTPSErrors: true });
  const page = await context.newPage();
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(error.stack));
  page.on("console", (message) => {
    const ours = message.location().url.startsWith(audit);
    const refused = /Failed to load resource/.test(message.text());
    if (message.type() === "error" && ours && !refused) wrong.push(message.text());
  });
  await page.goto(audit + path);
  await look(page, context);
  await fits(page);
  assert.deepEqual(wrong, []);
  await context.close();
}

async function atProvider(page, name) {
  await page.getByPlaceholder("Enter any login").fill(name);
  await page.getByPlaceholder("and password").fill("any");
  await page.getByRole("button", { name: "Sign-in" }).click();
  await page.getByRole("button", { name: "Continue" }).click();
}

const leave = (page) => page.getByRole("link", { name: "Sign in with Acme & Sons" }).click();
const signedIn = (page) => page.getByRole("button", { name: "Sign out" }).waitFor();

await visit("/logs?how=create", async (page, context) => {
  step("one comes back to where one was, and is signed in");
  await page.getByRole("link", { name: "Sign in with Acme & Sons" }).waitFor();
  assert.deepEqual(await page.evaluate(unnamed), []);
  assert.deepEqual(await page.evaluate(pale), []);
  await leave(page);
  await atProvider(page, first);
  await page.waitForURL(`${audit}/logs?how=create**`);
  await signedIn(page);
  step("nothing of it is left in the browser but the session");
  assert.equal(await page.evaluate(() => document.cookie), "");
  const cookies = await context.cookies(audit);
  assert.deepEqual(cookies.filter(({ name }) => name.startsWith("__Host-")), []);
  step("it lasts as one by a password does");
  await page.reload();
  await signedIn(page);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("button", { name: "Sign in", exact: true }).waitFor();
});

await visit("/", async (page) => {
  step("who has no account is told so, and may try again");
  await leave(page);
  await atProvider(page, "stranger");
  const problem = page.getByRole("alert").filter({ hasText: "nobody here has your email address" });
  await problem.waitFor();
  assert.equal(new URL(page.url()).search, "", "the code is not in the address");
  assert.deepEqual(await page.evaluate(unnamed), []);
  assert.deepEqual(await page.evaluate(pale), []);
  await page.getByRole("link", { name: "Sign in with Acme & Sons" }).waitFor();
});

await visit("/oidc?error=access_denied&state=x", async (page) => {
  step("who is not let in by the provider is told so");
  await page.getByText("The identity provider did not let you in").waitFor();
});

await visit("/oidc?code=stolen&state=guessed", async (page) => {
  step("an answer that this browser did not ask for is none");
  await page.getByRole("alert").filter({ hasText: "begin again" }).waitFor();
});

/** The code that an app would show now (RFC 6238). */
function code(uri) {
  const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  const bits = [...new URL(uri).searchParams.get("secret")].map((digit) => digits.indexOf(digit).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
  const tag = createHmac("sha1", key).update(counter).digest();
  const at = tag[19] & 15;
  return String((tag.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

await visit("/", async (page, context) => {
  step("a second factor is asked for after the provider");
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const begun = await (await context.request.post(`${audit}/v1/totp`, { headers })).json();
  const used = code(begun.uri);
  const confirmed = await context.request.put(`${audit}/v1/totp`, { headers, data: { code: used } });
  assert.equal(confirmed.status(), 200);
  await leave(page);
  await atProvider(page, second);
  await page.getByRole("textbox", { name: "One-time code" }).fill(used);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByRole("alert").filter({ hasText: "was used before" }).waitFor();
  assert.deepEqual(await page.evaluate(unnamed), []);
  // The next one is good too, for clocks that differ, and is not long to wait for.
  let next = used;
  while (next === used) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    next = code(begun.uri);
  }
  await page.getByRole("textbox", { name: "One-time code" }).fill(next);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await signedIn(page);
  assert.equal(page.url(), `${audit}/`);
});

await browser.close();
