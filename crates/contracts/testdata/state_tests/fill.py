"""What each state test comes to, by the executable specification of Ethereum (PyPI `ethereum-execution`).

    python fill.py public STATE_TESTS_FOLDER [FORK ...] > public.txt   # results for the tests of npm `ethereum-tests`
    python fill.py ours cases.json > ours.json                         # our own tests, with their results

The specification is slow, so this is run by hand when tests or forks are added, and the results are kept.
"""

import json
import logging
import sys
from copy import deepcopy
from io import StringIO
from pathlib import Path

from ethereum.crypto.hash import keccak256
from ethereum_spec_tools.evm_tools import create_parser
from ethereum_spec_tools.evm_tools.t8n import T8N, ForkCache

FORKS = [
    "Frontier", "Homestead", "EIP150", "EIP158", "Byzantium", "ConstantinopleFix", "Istanbul", "Berlin", "London",
    "Merge", "Shanghai", "Cancun", "Prague", "Osaka",
]

# Blocks of 2015 had room for more gas than today's programs count.
GAS_LIMIT_MAX = 2**63 - 1

# They do much more than the others, or are given more gas than Osaka lets a transaction have.
SLOW = ("stMemoryStressTest", "stQuadraticComplexityTest")


def number(value):
    """The tests of 2015 write numbers in either base, with or without a prefix, and nothing for zero."""
    if isinstance(value, int):
        return hex(value)
    value = value or "0"
    return hex(int(value, 16) if value.startswith("0x") else int(value))


def data(value):
    """Bytes, with a prefix."""
    return "0x" + value.removeprefix("0x")


def words(storage):
    return {hex(int(data(k) if k != "0x" else "0x0", 16)): hex(int(v if v != "0x" else "0x0", 16)) for k, v in storage.items()}


def block_hashes(at):
    """State tests agree on this: the hash of a block is that of its number in decimal digits."""
    return {hex(n): "0x" + keccak256(str(n).encode()).hex() for n in range(max(0, at - 256), at)}


def public(test):
    """A test of 2015 as one of today: what it did not know is zero."""
    env = test["env"]
    at = int(number(env["currentNumber"]), 16)
    difficulty = number(env["currentDifficulty"])
    sent = test["transaction"]
    return {
        "env": {
            "currentCoinbase": data(env["currentCoinbase"]),
            "currentDifficulty": difficulty,
            "currentRandom": "0x" + difficulty[2:].rjust(64, "0"),
            "currentGasLimit": hex(min(int(number(env["currentGasLimit"]), 16), GAS_LIMIT_MAX)),
            "currentNumber": hex(at),
            "currentTimestamp": number(env["currentTimestamp"]),
            "currentBaseFee": "0x0",
            "currentExcessBlobGas": "0x0",
            "blockHashes": block_hashes(at),
            "withdrawals": [],
        },
        "pre": {
            data(address): {
                "balance": number(account["balance"]),
                "nonce": number(account["nonce"]),
                "code": data(account["code"]),
                "storage": words(account["storage"]),
            }
            for address, account in test["pre"].items()
        },
        "tx": {
            "input": data(sent["data"]),
            "gas": number(sent["gasLimit"]),
            "gasPrice": number(sent["gasPrice"]),
            "nonce": number(sent["nonce"]),
            "to": data(sent["to"]) if sent["to"] else "",
            "value": number(sent["value"]),
            "secretKey": data(sent["secretKey"]),
            "protected": False,
        },
    }


def run(test, fork, cache):
    """(state root, digest of the logs, whether it was refused)"""
    parts = {"env": test["env"], "alloc": test["pre"], "txs": [test["tx"]]}
    arguments = ["t8n", "--input.alloc", "stdin", "--input.env", "stdin", "--input.txs", "stdin"]
    arguments += ["--state.fork", fork, "--state-test"]
    options = create_parser().parse_args(arguments)
    t8n = T8N(options, StringIO(), StringIO(json.dumps(deepcopy(parts))), cache)
    t8n.run_state_test()
    result = t8n.result
    return "0x" + result.state_root.hex(), "0x" + result.logs_hash.hex(), bool(result.rejected)


def fill_public(folder, forks):
    with ForkCache() as cache:
        for path in sorted(Path(folder).rglob("*.json")):
            if path.stem in SLOW:
                continue
            for name, test in sorted(json.loads(path.read_text()).items()):
                test, results = public(test), {}
                for fork in forks:
                    results.setdefault(run(test, fork, cache), []).append(fork)
                for (root, logs, refused), same in results.items():
                    said = "refused" if refused else "run"
                    print(path.stem, name, root, logs, said, ",".join(same), sep="\t", flush=True)


def fill_ours(path):
    tests = json.loads(Path(path).read_text())
    with ForkCache() as cache:
        for name, test in tests.items():
            sent = test["transaction"]
            if "secretKey" not in sent:
                raise ValueError(name)
            tx = {key: value for key, value in sent.items() if key not in ("data", "gasLimit", "value", "accessLists", "sender")}
            tx |= {"input": sent["data"][0], "gas": sent["gasLimit"][0], "value": sent["value"][0]}
            if sent.get("accessLists"):
                tx["accessList"] = sent["accessLists"][0]
            one = {"env": test["env"], "pre": test["pre"], "tx": tx}
            one["env"] = {"withdrawals": [], "blockHashes": block_hashes(int(test["env"]["currentNumber"], 16)), **test["env"]}
            for fork in test["post"]:
                root, logs, refused = run(one, fork, cache)
                post = {"hash": root, "logs": logs, "indexes": {"data": 0, "gas": 0, "value": 0}}
                if refused:
                    post["expectException"] = "refused"
                test["post"][fork] = [post]
    json.dump(tests, sys.stdout, indent=0, sort_keys=True)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    sys.setrecursionlimit(100_000)
    if sys.argv[1] == "public":
        fill_public(sys.argv[2], sys.argv[3:] or FORKS)
    else:
        fill_ours(sys.argv[2])
