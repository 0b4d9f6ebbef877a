// The page of a trace whose events are in contracts, on services and a ledger that run: what it proves by
// itself, and that the server does not choose in whose tree an event counts.
//
// TREE_AUDIT is the services' address; the argument says what their database is by now: valid or altered.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import { DESK, PHONE, launch, pale, picture, unnamed, visited } from "./looks.mjs";

const trace = `${process.env.TREE_AUDIT}/trace?resource=lot%3A7`;
const step = (text) => console.log("-", text);
const browser = await launch();

async function visit(look, viewport = PHONE) {
  // The services' certificate is one that they made themselves.
  await visited(browser, trace, { viewport, locale: "en-GB", ignoreHTTPSErrors: true }, async (page, context) => {
    await settled(page);
    await look(page, context);
    assert.deepEqual(await page.evaluate(unnamed), []);
    assert.deepEqual(await page.evaluate(pale), []);
  });
}

const settled = (page) => page.waitForSelector("#said .stamp");
const stamp = (page) => page.locator("#said .stamp").innerText();
const badges = (page) => page.locator(".stage .badge").allTextContents();
const trusted = (page) => page.locator("#trust").innerText();
const becomes = (page, word) => page.waitForFunction((name) => document.querySelector("#said .stamp")?.textContent === name, word);

const looks = {
  async valid() {
    const identity = {};
    step("events in contracts are valid, by a check in the page, and it says what that rests on");
    for (const viewport of [PHONE, DESK]) {
      await visit(async (page) => {
        assert.equal(await stamp(page), "VALID");
        assert.deepEqual(await badges(page), ["Valid", "Valid", "Valid"]);
        Object.assign(identity, await page.evaluate(async () => (await fetch("/v1/identity")).json()));
        assert.match(await trusted(page), new RegExp(`the root of the tree of contracts with this address:\\s+${identity.root}`));
        await page.getByText("Both came from this server.").waitFor();
        await page.getByText("a certificate and a tree of contracts that this server gave").waitFor();
      }, viewport);
    }
    await visit(async (page) => {
      await picture(page, "tree-valid");
      await page.locator(".stage").nth(1).getByRole("button").click();
      const drawer = page.getByRole("dialog");
      await drawer.getByText(/^What this browser checked/).click();
      for (const rule of ["The log is one of the tree that you trust.", "The service that you trust endorsed that node.", /^The transaction left the hash/]) {
        await drawer.getByText(rule).waitFor();
      }
      await drawer.getByText("counterfoil verify proof.json --service-cert service_cert.pem --root ADDRESS").waitFor();
      await picture(page, "tree-evidence", false);
      const [saved] = await Promise.all([page.waitForEvent("download"), drawer.getByText("Download the proof").click()]);
      const proof = JSON.parse(readFileSync(await saved.path(), "utf8"));
      assert.deepEqual([proof.root, proof.audit.event.version], [identity.root, 2]);
    });

    step("another tree of the server's is not taken for one's own, nor is none");
    await visit(async (page, context) => {
      await page.getByRole("button", { name: "Both are the same: remember them" }).click();
      await page.getByText("the service certificate that you compared").waitFor();
      await page.waitForFunction(() => !document.getElementById("said").textContent.includes("this server gave"));
      let shown = `0x${"12".repeat(20)}`;
      await context.route("**/v1/identity", (route) => route.fulfill({ json: { ...identity, root: shown } }));
      await page.reload();
      await settled(page);
      await page.getByText("The server shows another tree of contracts than yours.").waitFor();
      assert.equal(await stamp(page), "VALID");
      await picture(page, "tree-other");
      shown = undefined;
      await page.reload();
      await settled(page);
      await page.getByText("The server shows no tree of contracts, and you have one.").waitFor();
      assert.equal(await stamp(page), "VALID");
      await page.getByRole("button", { name: "Forget it" }).click();
      await becomes(page, "INCOMPLETE");
      assert.deepEqual(await badges(page), Array(3).fill("Not checked"));
      await page.getByText("it is not known here whose contracts count").first().waitFor();
      shown = `0x${"12".repeat(20)}`;
      await page.reload();
      await becomes(page, "NOT VALID");
      assert.deepEqual(await badges(page), Array(3).fill("Not proven"));

      step("a certificate and an address that somebody was given count from then on");
      await page.getByText("Use a certificate that I was given").click();
      await page.getByLabel("Service certificate (PEM)").fill(identity.serviceCertificate);
      await page.getByLabel("Address of the root").fill("0x12");
      await page.getByRole("button", { name: "Use this one" }).click();
      await page.getByText("That is no address").waitFor();
      await page.getByLabel("Address of the root").fill(identity.root);
      await page.getByRole("button", { name: "Use this one" }).click();
      await becomes(page, "VALID");
      await page.getByText("The server shows another tree of contracts than yours.").waitFor();
    });
  },

  async altered() {
    step("an event that was changed in the database is altered, and the page says what was recorded");
    for (const viewport of [PHONE, DESK]) {
      await visit(async (page) => {
        assert.equal(await stamp(page), "NOT VALID");
        assert.deepEqual(await badges(page), ["Valid", "Altered", "Valid"]);
        assert.match(await page.locator(".stage.altered .fields").innerText(), /event \/what\/did: the ledger has weigh again/);
        await picture(page, "tree-altered");
      }, viewport);
    }
  },
};
await looks[process.argv[2]]();
await browser.close();
