// ethers 6, unmodified: signs what the audit services prepared, as it is or altered.
//
// E2E_SCRATCH/to_sign.json is a list of {key, unsigned, change}; the signed transactions go to signed.json. A message
// in place of a transaction is signed as wallets sign messages.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const packages = createRequire(join(process.env.E2E_PACKAGES, "package.json"));
const { Transaction, Wallet } = packages("ethers");

const file = (name) => join(process.env.E2E_SCRATCH, name);
const all = JSON.parse(readFileSync(file("to_sign.json"), "utf8"));
const sign = ({ key, unsigned, change, message }) => {
  const wallet = new Wallet(key);
  if (message !== undefined) return wallet.signMessage(message);
  const transaction = Transaction.from(unsigned);
  return wallet.signTransaction(Object.assign(transaction, change));
};
writeFileSync(file("signed.json"), JSON.stringify(await Promise.all(all.map(sign))));
console.log("-", all.length, "signed");
