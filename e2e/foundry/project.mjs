// A project of forge in a scratch folder, and foundry's programs. Both trust what SSL_CERT_FILE has; cast
// sends what ETH_RPC_HEADERS says.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, copyFileSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const here = fileURLToPath(new URL(".", import.meta.url));
const scratch = join(process.env.E2E_SCRATCH, "foundry");
const token = process.env.E2E_TOKEN;

export const url = process.env.E2E_RPC;
export const wsUrl = process.env.E2E_WS ?? url.replace(/^http/, "ws");
/** forge sends no headers with all that it asks: the token is the password in the URL. */
export const urlWithToken = (() => {
  const whole = new URL(url);
  if (token) whole.password = token;
  return whole.href;
})();
export const step = (text) => console.log("-", text);
export const newKey = () => `0x${randomBytes(32).toString("hex")}`;
/** The program itself: what the npm packages link to ends with 0 whatever the program ends with. */
export function program(name) {
  const file = join(process.env.E2E_PACKAGES, `node_modules/@foundry-rs/${name}-linux-amd64/bin`, name);
  assert(existsSync(file), `foundry's programs are installed on Linux on x86-64 only: ${file} is missing`);
  return file;
}

// What foundry keeps for its user is kept in the scratch folder.
const env = { ...process.env, HOME: scratch, NO_COLOR: "1" };
if (process.env.E2E_CA) env.SSL_CERT_FILE = process.env.E2E_CA;
const castEnv = token ? { ...env, ETH_RPC_HEADERS: `Authorization: Bearer ${token}` } : env;

/** The environment of one of the programs. */
export const envOf = (name) => (name === "cast" ? castEnv : env);

/** Lays the project out, and tells where. */
export function project() {
  for (const folder of ["src", "script"]) mkdirSync(join(scratch, folder), { recursive: true });
  copyFileSync(join(here, "../sol/Counter.sol"), join(scratch, "src/Counter.sol"));
  copyFileSync(join(here, "Deploy.s.sol"), join(scratch, "script/Deploy.s.sol"));
  copyFileSync(join(here, "foundry.toml"), join(scratch, "foundry.toml"));
  copyFileSync(join(here, "solc"), join(scratch, "solc"));
  chmodSync(join(scratch, "solc"), 0o755);
  return scratch;
}

const runs = promisify(execFile);

/** Runs one of the programs; tells what it printed. */
export async function run(name, args) {
  mkdirSync(scratch, { recursive: true });
  const options = { cwd: scratch, env: envOf(name), timeout: 120_000, maxBuffer: 1 << 26 };
  const { stdout } = await runs(program(name), args, options);
  return stdout.trim();
}

/** Runs one that must fail, and say something like this. */
export async function refused(name, args, says) {
  await assert.rejects(run(name, args), (error) => {
    assert.match(error.stderr, says);
    return true;
  });
}
