// A project of Hardhat 2 with its ethers plugin; it is used as it would be by hand, but for the compiler,
// which is the npm package of contracts-sol (Hardhat would download one).
const { createRequire } = require("node:module");
const { join } = require("node:path");
const { subtask } = require("hardhat/config");
const { TASK_COMPILE_SOLIDITY_GET_SOLC_BUILD } = require("hardhat/builtin-tasks/task-names");
require("@nomicfoundation/hardhat-ethers");

const compiler = createRequire(join(process.env.SOLC_PACKAGES, "package.json"));
const longVersion = compiler("solc").version().replace(".Emscripten.clang", "");
const version = longVersion.split("+")[0];

subtask(TASK_COMPILE_SOLIDITY_GET_SOLC_BUILD, async () => {
  const compilerPath = join(process.env.SOLC_PACKAGES, "node_modules/solc/soljson.js");
  return { compilerPath, isSolcJs: true, version, longVersion };
});

const token = process.env.E2E_TOKEN;

module.exports = {
  solidity: { version, settings: { evmVersion: "prague", optimizer: { enabled: true, runs: 200 } } },
  networks: {
    counterfoil: {
      url: process.env.E2E_RPC,
      accounts: [process.env.E2E_KEY],
      httpHeaders: token ? { Authorization: `Bearer ${token}` } : {},
    },
  },
  defaultNetwork: "counterfoil",
};
