// What each script about contracts needs: where the chain is, the contract, and patience.
//
// E2E_RPC is the URL of the chain, E2E_WS the one for WebSocket (without it, the same), E2E_TOKEN a
// bearer token (without it, none is sent). Node.js trusts the service certificate because whoever starts
// the script sets NODE_EXTRA_CA_CERTS.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

export const packages = createRequire(join(process.env.E2E_PACKAGES, "package.json"));
export const url = process.env.E2E_RPC;
export const wsUrl = process.env.E2E_WS ?? url.replace(/^http/, "ws");
export const token = process.env.E2E_TOKEN;
export const headers = token ? { Authorization: `Bearer ${token}` } : {};
export const step = (text) => console.log("-", text);

/** The compiled Counter.sol: what can be added at once is the argument of its constructor. */
export const artifact = () => JSON.parse(readFileSync(process.env.E2E_ARTIFACT, "utf8"));

/** Waits until something holds. */
export async function until(what, holds) {
  const patience = Date.now() + 15_000;
  while (!(await holds())) {
    assert(Date.now() < patience, `in vain: ${what}`);
    await new Promise((soon) => setTimeout(soon, 20));
  }
}
