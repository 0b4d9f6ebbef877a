// What the scripts about the operator's pages share: somebody who calls the services, and somebody who looks at
// their pages.
//
// PEOPLE_AUDIT is the services' address, PEOPLE_PASSWORD everybody's password.
import assert from "node:assert/strict";

import { PHONE, launch, pale, tame, unnamed, visited } from "./looks.mjs";

export const { PEOPLE_AUDIT: audit, PEOPLE_PASSWORD: password } = process.env;
export const step = (text) => console.log("-", text);
export const email = (name) => (name === "root" ? "root@example.org" : `${name}@${["ben", "marta"].includes(name) ? "mercado" : "huerta"}.example`);

export const EVIL = "<img src=x onerror=\"document.title='taken'\">";

export const browser = await launch();
const outside = await browser.newContext({ ignoreHTTPSErrors: true });

/** Somebody who calls the services without a page. */
export async function api(name) {
  const call = async (method, path, data, token) => {
    const headers = token ? { authorization: `Bearer ${token}` } : {};
    const answer = await outside.request.fetch(audit + path, { method, headers, data });
    const text = await answer.text();
    return { status: answer.status(), said: text === "" ? null : JSON.parse(text) };
  };
  const { status, said } = await call("POST", "/v1/login", { email: email(name), password });
  assert.equal(status, 200, JSON.stringify(said));
  const signed = (method, path, data) => call(method, path, data, said.access_token);
  return { id: said.user.id, call: signed };
}

/** Shows a page to somebody who signs in there; all that the services answered is kept. */
export async function visit(path, name, look, options = {}) {
  const all = { viewport: PHONE, locale: "en-GB", reducedMotion: "reduce", ignoreHTTPSErrors: true, ...options };
  await visited(browser, audit + path, all, async (page, context) => {
    const answers = [];
    page.on("response", (answer) => {
      if (new URL(answer.url()).pathname.startsWith("/v1/")) answers.push(answer.text().catch(() => ""));
    });
    if (name) {
      await page.locator("#email").fill(email(name));
      await page.locator("#password").fill(password);
      await page.getByRole("button", { name: "Sign in" }).click();
      await page.locator("#session").getByText("Signed in as").waitFor();
    }
    const told = async () => (await Promise.all(answers)).join("\n");
    await look(page, { context, told });
    await tame(page);
    assert.deepEqual(await page.evaluate(unnamed), []);
    assert.deepEqual(await page.evaluate(pale), []);
  });
}

export const names = (page) => page.locator(".person-name > a").allInnerTexts();
export const whole = (page) => page.getByText(/That is all\./).waitFor();
export const row = (page, name) => page.locator(".person-row").filter({ has: page.locator(".person-name").getByRole("link", { name, exact: true }) });

export async function find(page, text) {
  await page.getByLabel("Name, email address or id").fill(text);
  await page.getByRole("button", { name: "Show", exact: true }).click();
  await page.getByText(/shown, by name|Nobody below you fits/).waitFor();
}

/** The page of somebody who is found by name. */
export async function open(page, name) {
  await find(page, name);
  await page.getByRole("link", { name, exact: true }).click();
  await page.getByRole("heading", { name, level: 1 }).waitFor();
  await page.locator("#changed .log").first().waitFor();
}
