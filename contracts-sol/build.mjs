// Compiles src/, test/ and bench/ with the pinned compiler and writes artifacts/, or, with --check, rebuilds
// and compares with what is committed. A warning of the compiler is an error here.
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
// The compiler is installed here, or in the folder that PACKAGES names.
const solc = createRequire(join(process.env.PACKAGES ?? here, "package.json"))("solc");
const CODE_LIMIT = 24_576; // EIP-170: what a deployed contract may have, in bytes
const INITCODE_LIMIT = 49_152; // EIP-3860: what a deployment may have, in bytes

// Prague: every chain and client of today runs it; Osaka would add one opcode we do not need.
// Metadata is left out of the bytecode, so that comments and paths do not change it.
const settings = {
  evmVersion: "prague",
  viaIR: false,
  optimizer: { enabled: true, runs: 200 },
  metadata: { appendCBOR: false, bytecodeHash: "none" },
};

const check = process.argv.includes("--check");
const FOLDERS = ["src", "test", "bench"];
const built = new Map(FOLDERS.flatMap((folder) => [...compile(folder)]));
const committed = readArtifacts();
if (check) compare(built, committed);
else write(built, committed);

function compile(folder) {
  const sources = { ...sourcesIn("src"), ...(folder === "src" ? {} : sourcesIn(folder)) };
  const outputSelection = {};
  for (const file of Object.keys(sources)) {
    if (file.startsWith(`${folder}/`)) {
      outputSelection[file] = {
        "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "evm.methodIdentifiers"],
      };
    }
  }
  const input = { language: "Solidity", sources, settings: { ...settings, outputSelection } };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  if (output.errors?.length) {
    fail(output.errors.map((error) => error.formattedMessage).join("\n"));
  }
  const digest = createHash("sha256").update(JSON.stringify(settings)).digest("hex");
  const artifacts = new Map();
  for (const [file, contracts] of Object.entries(output.contracts ?? {})) {
    if (!file.startsWith(`${folder}/`)) continue;
    for (const [contractName, { abi, evm }] of Object.entries(contracts)) {
      const bytecode = evm.bytecode.object;
      // Internal libraries and files of types have nothing to offer to a caller.
      if (abi.every((item) => item.type === "error")) continue;
      // Nor has what tests only inherit from.
      if (folder === "test" && !bytecode) continue;
      limit(contractName, "deployed code", evm.deployedBytecode.object, CODE_LIMIT);
      limit(contractName, "initcode", bytecode, INITCODE_LIMIT);
      const artifact = {
        contractName,
        source: file,
        compiler: solc.version(),
        settings,
        settingsDigest: `sha256:${digest}`,
        abi,
        methodIdentifiers: evm.methodIdentifiers,
        bytecode: `0x${bytecode}`,
        deployedBytecode: `0x${evm.deployedBytecode.object}`,
      };
      const name = folder === "src" ? `${contractName}.json` : `${folder}/${contractName}.json`;
      if (artifacts.has(name)) fail(`two contracts are called ${contractName}: rename one`);
      artifacts.set(name, `${JSON.stringify(artifact, null, 2)}\n`);
    }
  }
  return artifacts;
}

function sourcesIn(folder) {
  const files = readdirSync(join(here, folder)).filter((file) => file.endsWith(".sol")).sort();
  return Object.fromEntries(
    files.map((file) => [`${folder}/${file}`, { content: readFileSync(join(here, folder, file), "utf8") }]),
  );
}

function limit(contractName, what, hex, most) {
  if (hex.length / 2 > most) {
    fail(`${contractName}: ${what} has ${hex.length / 2} bytes, more than the ${most} a chain takes: split it`);
  }
}

function readArtifacts() {
  const found = new Map();
  for (const folder of ["", "test/", "bench/"]) {
    let names = [];
    try {
      names = readdirSync(join(here, "artifacts", folder));
    } catch (error) {
      if (error.code !== "ENOENT") throw error;
    }
    for (const name of names.filter((name) => name.endsWith(".json"))) {
      found.set(folder + name, readFileSync(join(here, "artifacts", folder, name), "utf8"));
    }
  }
  return found;
}

function compare(built, committed) {
  const faults = [];
  for (const [name, text] of built) {
    const old = committed.get(name);
    if (old === undefined) faults.push(`artifacts/${name} is missing`);
    else if (old !== text) faults.push(`artifacts/${name} differs in ${differences(old, text)}`);
  }
  for (const name of committed.keys()) {
    if (!built.has(name)) faults.push(`artifacts/${name} has no source any more`);
  }
  if (faults.length) fail(`${faults.join("\n")}\nRun \`node build.mjs\` and commit artifacts/.`);
  console.log(`${built.size} artifacts are what the sources compile to with solc ${solc.version()}`);
}

function differences(old, text) {
  let before;
  try {
    before = JSON.parse(old);
  } catch {
    return "everything: it is not JSON";
  }
  const after = JSON.parse(text);
  const fields = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  const names = fields.filter((field) => JSON.stringify(before[field]) !== JSON.stringify(after[field]));
  return names.join(", ") || "layout";
}

function write(built, committed) {
  for (const folder of FOLDERS.slice(1)) {
    mkdirSync(join(here, "artifacts", folder), { recursive: true });
  }
  for (const name of committed.keys()) {
    if (!built.has(name)) rmSync(join(here, "artifacts", name));
  }
  for (const [name, text] of built) writeFileSync(join(here, "artifacts", name), text);
  for (const [name, text] of built) {
    const { deployedBytecode, bytecode } = JSON.parse(text);
    console.log(`${name.padEnd(40)} code ${deployedBytecode.length / 2 - 1} initcode ${bytecode.length / 2 - 1}`);
  }
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
