// Prints the ABI and the code of Counter.sol as JSON. The compiler is that of contracts-sol, in the
// folder that SOLC_PACKAGES names.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const solc = createRequire(join(process.env.SOLC_PACKAGES, "package.json"))("solc");
const content = readFileSync(new URL("Counter.sol", import.meta.url), "utf8");
const settings = {
  evmVersion: "prague",
  optimizer: { enabled: true, runs: 200 },
  outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } },
};
const input = { language: "Solidity", sources: { "Counter.sol": { content } }, settings };
const { contracts, errors } = JSON.parse(solc.compile(JSON.stringify(input)));
if (errors?.length) throw new Error(errors.map((error) => error.formattedMessage).join("\n"));
const { abi, evm } = contracts["Counter.sol"].Counter;
console.log(JSON.stringify({ abi, bytecode: `0x${evm.bytecode.object}` }));
