// Hardhat 2 with its ethers plugin, unmodified, in a project of its own: compiles and runs use.cjs.
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const project = join(process.env.E2E_SCRATCH, "hardhat");
const packages = join(process.env.E2E_PACKAGES, "node_modules");

mkdirSync(join(project, "contracts"), { recursive: true });
copyFileSync(join(here, "../sol/Counter.sol"), join(project, "contracts/Counter.sol"));
for (const file of ["hardhat.config.cjs", "use.cjs"]) copyFileSync(join(here, file), join(project, file));
// Hardhat wants to stand in the project that it is used for.
if (!existsSync(join(project, "node_modules"))) symlinkSync(packages, join(project, "node_modules"));
// Without one it takes the folder of whoever started it for the project.
copyFileSync(join(process.env.E2E_PACKAGES, "package.json"), join(project, "package.json"));

const env = {
  ...process.env,
  HOME: project,
  E2E_KEY: `0x${randomBytes(32).toString("hex")}`,
  HARDHAT_DISABLE_TELEMETRY_PROMPT: "true",
};
execFileSync(join(packages, ".bin/hardhat"), ["run", "use.cjs"], { cwd: project, env, stdio: "inherit" });
