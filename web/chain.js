// The chain of contracts: its newest blocks and what is in them. A transaction is picked to see its
// receipt checked.

const AT_ONCE = 10;

const at = (id) => document.getElementById(id);
const number = (quantity) => Number.parseInt(quantity, 16);

/** `0x1234...cdef`, to be told apart at a glance. */
const short = (hex) => `${hex.slice(0, 8)}\u2026${hex.slice(-6)}`;

let ask;
let pick;
let below = null;

/**
 * Shows the newest blocks, if there are any. `rpc` calls a method of the chain; `picked` gets the
 * receipt of a transaction that was picked.
 */
export async function showChain(rpc, picked) {
  [ask, pick] = [rpc, picked];
  below = number(await ask("eth_blockNumber", []));
  at("blocks").replaceChildren();
  at("chain").hidden = below === 0;
  await earlier();
}

/** Shows the next older blocks. */
export async function earlier() {
  const last = Math.max(0, below - AT_ONCE);
  for (; below > last; below -= 1) {
    const block = await ask("eth_getBlockByNumber", [`0x${below.toString(16)}`, true]);
    if (block) at("blocks").append(...rows(block));
  }
  at("earlier").hidden = below === 0;
}

function rows(block) {
  const head = document.createElement("li");
  const time = new Date(number(block.timestamp) * 1_000);
  head.append(part("id", `block ${number(block.number)}`), part("hint", time.toLocaleString()));
  head.className = "block";
  return [head, ...block.transactions.map(row)];
}

function row({ hash, from, to }) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(part("id", short(hash)), part("contents", `${short(from)} \u2192 ${to ? short(to) : "a new contract"}`));
  button.addEventListener("click", async () => pick(button, await ask("counterfoil_getReceipt", [hash])));
  const item = document.createElement("li");
  item.append(button);
  return item;
}

function part(name, content) {
  const span = document.createElement("span");
  span.className = name;
  span.textContent = content;
  return span;
}
