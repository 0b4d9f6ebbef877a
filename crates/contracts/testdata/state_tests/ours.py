"""Our own state tests: what came after 2015, by name, and programs made by chance from seeds.

    python ours.py > cases.json && python fill.py ours cases.json > ours/ours.json
"""

import json
import random
import sys

from ethereum.crypto.hash import keccak256
from coincurve import PrivateKey
from ethereum_rlp import rlp

FORKS = ["Cancun", "Prague", "Osaka"]
KEY = "0x45a915e4d060149eb4365960e6a7a45f334393093061116b197e3240065ff2d8"
SENDER = "0xa94f5374fce5edbc8e2a8697c15331677e6ebf0b"
AUTHORITY = 0x1234
A, B, C, D = (f"0x{0x1000 + 0x100 * n:040x}" for n in range(4))
COINBASE = "0x2adc25665018aa1fe0e6bc666dac8fc2697ff9ba"

OPS = {
    "STOP": 0x00, "ADD": 0x01, "MUL": 0x02, "SUB": 0x03, "DIV": 0x04, "SDIV": 0x05, "MOD": 0x06, "SMOD": 0x07,
    "ADDMOD": 0x08, "MULMOD": 0x09, "EXP": 0x0A, "SIGNEXTEND": 0x0B, "LT": 0x10, "GT": 0x11, "SLT": 0x12,
    "SGT": 0x13, "EQ": 0x14, "ISZERO": 0x15, "AND": 0x16, "OR": 0x17, "XOR": 0x18, "NOT": 0x19, "BYTE": 0x1A,
    "SHL": 0x1B, "SHR": 0x1C, "SAR": 0x1D, "CLZ": 0x1E, "KECCAK256": 0x20, "ADDRESS": 0x30, "BALANCE": 0x31,
    "ORIGIN": 0x32, "CALLER": 0x33, "CALLVALUE": 0x34, "CALLDATALOAD": 0x35, "CALLDATASIZE": 0x36,
    "CALLDATACOPY": 0x37, "CODESIZE": 0x38, "CODECOPY": 0x39, "GASPRICE": 0x3A, "EXTCODESIZE": 0x3B,
    "EXTCODECOPY": 0x3C, "RETURNDATASIZE": 0x3D, "RETURNDATACOPY": 0x3E, "EXTCODEHASH": 0x3F, "BLOCKHASH": 0x40,
    "COINBASE": 0x41, "TIMESTAMP": 0x42, "NUMBER": 0x43, "PREVRANDAO": 0x44, "GASLIMIT": 0x45, "CHAINID": 0x46,
    "SELFBALANCE": 0x47, "BASEFEE": 0x48, "BLOBHASH": 0x49, "BLOBBASEFEE": 0x4A, "POP": 0x50, "MLOAD": 0x51,
    "MSTORE": 0x52, "MSTORE8": 0x53, "SLOAD": 0x54, "SSTORE": 0x55, "JUMP": 0x56, "JUMPI": 0x57, "PC": 0x58,
    "MSIZE": 0x59, "GAS": 0x5A, "JUMPDEST": 0x5B, "TLOAD": 0x5C, "TSTORE": 0x5D, "MCOPY": 0x5E, "PUSH0": 0x5F,
    "DUP1": 0x80, "DUP2": 0x81, "SWAP1": 0x90, "LOG0": 0xA0, "LOG1": 0xA1, "LOG2": 0xA2, "LOG4": 0xA4,
    "CREATE": 0xF0, "CALL": 0xF1, "CALLCODE": 0xF2, "RETURN": 0xF3, "DELEGATECALL": 0xF4, "CREATE2": 0xF5,
    "STATICCALL": 0xFA, "REVERT": 0xFD, "INVALID": 0xFE, "SELFDESTRUCT": 0xFF,
}


def push(value):
    if isinstance(value, str):
        value = int(value, 16)
    raw = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return bytes([0x5F + len(raw)]) + raw


def code(*words):
    """Names are instructions, numbers and addresses are pushed, bytes stand as they are."""
    made = b""
    for word in words:
        if isinstance(word, bytes):
            made += word
        elif isinstance(word, str) and not word.startswith("0x"):
            made += b"".join(bytes([OPS[name]]) for name in word.split())
        else:
            made += push(word)
    return made


def store(slot, *words):
    return code(*words, slot, "SSTORE")


def call(to, value=0, gas=None, kind="CALL", size=0, answer=0):
    """Calls with the first `size` bytes of memory; leaves whether it succeeded."""
    money = [value] if kind in ("CALL", "CALLCODE") else []
    return code(answer, 0, size, 0, *money, to, "GAS" if gas is None else gas, kind)


def memory(raw):
    """Puts bytes at the beginning of memory."""
    made = b""
    for at in range(0, len(raw), 32):
        made += code(int.from_bytes(raw[at : at + 32].ljust(32, b"\0"), "big"), at, "MSTORE")
    return made


def deploying(body):
    head = code(len(body), "DUP1")
    tail = code("PUSH0", "CODECOPY", "PUSH0", "RETURN")
    at = len(head) + 2 + len(tail)
    return head + bytes([0x60, at]) + tail + body


def create(init, value=0, salt=None):
    """Leaves the address of what was made."""
    made = memory(init)
    return made + (code(len(init), 0, value, "CREATE") if salt is None else code(salt, len(init), 0, value, "CREATE2"))


TESTS = {}


def account(body=b"", balance=0, nonce=0, storage=None):
    return {
        "balance": hex(balance), "nonce": hex(nonce), "code": "0x" + body.hex(),
        "storage": {hex(k): hex(v) for k, v in (storage or {}).items()},
    }


def test(name, accounts, to=A, data=b"", gas=2_000_000, value=0, env=None, forks=None, **sent):
    pre = {SENDER: account(balance=10**20)}
    for address, pre_account in accounts.items():
        # The specification takes no accounts with nothing in them: there are none since EIP-161.
        pre[address] = pre_account if isinstance(pre_account, dict) else account(pre_account, balance=0 if pre_account else 1)
    transaction = {
        "data": ["0x" + data.hex()], "gasLimit": [hex(gas)], "value": [hex(value)], "nonce": "0x0",
        "to": to, "secretKey": KEY,
    }
    if "maxFeePerGas" not in sent and "gasPrice" not in sent:
        sent["gasPrice"] = "0xa"
    transaction |= {key: value for key, value in sent.items() if value is not None}
    number = 1000
    around = {
        "currentCoinbase": COINBASE, "currentDifficulty": "0x0", "currentRandom": "0x" + "07" * 32,
        "currentGasLimit": hex(30_000_000), "currentNumber": hex(number), "currentTimestamp": hex(1_700_000_000),
        "currentBaseFee": "0x7", "currentExcessBlobGas": "0x0",
    }
    assert name not in TESTS, name
    TESTS[name] = {
        "env": around | (env or {}), "pre": pre, "transaction": transaction,
        "post": {fork: [] for fork in forks or FORKS},
    }


def authorization(key, to, nonce=0, chain=1):
    signer = PrivateKey(key.to_bytes(32, "big"))
    digest = keccak256(b"\x05" + rlp.encode([chain.to_bytes(1, "big").lstrip(b"\0"), bytes.fromhex(to[2:]), nonce.to_bytes(8, "big").lstrip(b"\0")]))
    signed = signer.sign_recoverable(bytes(digest), hasher=None)
    return {
        "chainId": hex(chain), "address": to, "nonce": hex(nonce), "v": hex(signed[64]), "yParity": hex(signed[64]),
        "r": "0x" + signed[:32].hex().lstrip("0"), "s": "0x" + signed[32:64].hex().lstrip("0"),
    }


def address_of(key):
    public = PrivateKey(key.to_bytes(32, "big")).public_key.format(compressed=False)[1:]
    return "0x" + keccak256(public)[12:].hex()


def named():
    fees = {"maxFeePerGas": "0x14", "maxPriorityFeePerGas": "0x3"}
    empty = f"0x{0xDEAD:040x}"
    # Fees, and who gets them.
    test("a legacy transaction pays", {A: store(0, "GASPRICE")})
    test("an access list is paid for and warms", {A: store(0, "GAS", 5, "SLOAD", "POP", "GAS", "SWAP1", "SUB")},
         accessLists=[[{"address": A, "storageKeys": ["0x" + "00" * 31 + "05"]}]])
    test("a dynamic fee pays the tip", {A: store(0, "GASPRICE", "BASEFEE", "SUB")}, **fees)
    test("a fee below that of the block is refused", {A: store(0, 1)}, gasPrice="0x6")
    test("a tip above the fee is refused", {A: store(0, 1)}, maxFeePerGas="0xa", maxPriorityFeePerGas="0xb")
    test("no tip leaves no account of the one who gets it", {A: store(0, 1)}, gasPrice="0x7")
    test("too little gas is refused", {A: store(0, 1)}, gas=20_999)
    test("a floor on what data costs", {A: b""}, data=b"\xff" * 4000, gas=100_000)
    test("data below the floor is refused since Prague", {A: b""}, data=b"\xff" * 4000, gas=21_000 + 64_100)
    test("value without funds is refused", {A: b""}, value=10**21)
    test("value is given", {A: b""}, value=12345)
    test("value to nobody makes them", {}, to=empty, value=1)
    test("nothing to nobody leaves nobody", {}, to=empty)
    test("a wrong nonce is refused", {SENDER: account(balance=10**20, nonce=3), A: b""})
    test("a sender with code is refused", {SENDER: account(b"\x00", balance=10**20), A: b""})
    test("more gas than Osaka lets a transaction have", {A: store(0, 1)}, gas=(1 << 24) + 1)
    test("as much gas as Osaka lets a transaction have", {A: store(0, 1)}, gas=1 << 24)
    test("more gas than the block has is refused", {A: b""}, gas=30_000_001)
    # Accounts without code.
    test("the hash of code of nobody and of one without code", {
        A: store(0, empty, "EXTCODEHASH") + store(1, B, "EXTCODEHASH") + store(2, C, "EXTCODEHASH"),
        B: account(balance=1), C: b"\x00"})
    # Storage and its refunds.
    test("slots are cleared", {A: account(store(1, 0) + store(2, 7) + store(3, 3), storage={1: 5, 2: 5, 3: 3})})
    test("a slot is cleared and set again", {A: account(store(1, 0) + store(1, 5) + store(2, 1) + store(2, 0), storage={1: 5})})
    test("a reverted slot stays", {A: store(0, call(B)) + store(1, 1), B: account(store(9, 1) + code(0, 0, "REVERT"), storage={9: 8})})
    test("a whole transaction reverts", {A: account(store(1, 2) + code(0, 0, "LOG0", 0, 0, "REVERT"), storage={1: 1})}, value=4)
    test("a whole transaction halts", {A: account(store(1, 2) + code("INVALID"), storage={1: 1})})
    test("an endless loop runs out", {A: store(1, 2) + code("JUMPDEST", len(store(1, 2)), "JUMP")}, gas=100_000)
    test("storage with the largest key and value", {A: store(2**256 - 1, 2**256 - 1) + store(2**255, 1 << 248)})
    test("too little gas left for a slot", {A: store(0, call(B, gas=2300)), B: store(0, 1)})
    # Transient storage (EIP-1153).
    test("transient storage ends with the transaction", {A: account(code(9, 1, "TSTORE") + store(1, 1, "TLOAD"), storage={1: 1})})
    test("transient storage is one's own", {A: code(9, 1, "TSTORE") + store(0, call(B)) + store(1, 1, "TLOAD"), B: store(0, 1, "TLOAD") + code(5, 1, "TSTORE")})
    test("transient storage is delegated", {A: code(9, 1, "TSTORE") + store(0, call(B, kind="DELEGATECALL")) + store(1, 1, "TLOAD"), B: code(5, 1, "TSTORE")})
    test("transient storage reverts", {A: code(9, 1, "TSTORE") + store(0, call(B, kind="DELEGATECALL")) + store(1, 1, "TLOAD"), B: code(5, 1, "TSTORE", 0, 0, "REVERT")})
    test("transient storage is not written in a static call", {A: store(0, call(B, kind="STATICCALL")), B: code(5, 1, "TSTORE")})
    # Memory (EIP-5656).
    test("memory is copied over itself", {A: memory(bytes(range(64))) + code(40, 0, 10, "MCOPY") + store(0, 32, "MLOAD") + store(1, "MSIZE")})
    test("memory is copied far away", {A: code(1, 0, 100_000, "MCOPY") + store(1, "MSIZE")})
    test("too much memory", {A: code(1, 2**64, "MSTORE")}, gas=1_000_000)
    # What ends (EIP-6780).
    test("a contract of before only gives its money", {A: store(0, call(B)), B: account(code(C, "SELFDESTRUCT"), balance=7, storage={1: 1})})
    test("a contract that gives to itself keeps it", {A: store(0, call(B)), B: account(code("ADDRESS", "SELFDESTRUCT"), balance=7, storage={1: 1})})
    test("a contract of the same transaction goes", {A: account(create(deploying(code(1, 1, "SSTORE", C, "SELFDESTRUCT")), 3) + code("DUP1") + b"\x60\x00\x55" + code(0, 0, 0, 0, 0) + bytes([0x85]) + code("GAS", "CALL", 1, "SSTORE"), balance=9)})
    test("a contract that ends as it is made", {A: account(store(0, create(code(1, 1, "SSTORE", C, "SELFDESTRUCT"), 3)), balance=9)})
    test("a contract that ends as it is made and gives to itself", {A: account(store(0, create(code(1, 1, "SSTORE", "ADDRESS", "SELFDESTRUCT"), 3)), balance=9)})
    test("a transaction's contract ends as it is made", {}, to="", data=code(1, 1, "SSTORE", C, "SELFDESTRUCT"), value=3)
    # What is made.
    test("a transaction makes a contract", {}, to="", data=deploying(store(0, 1)), value=3)
    test("a transaction makes a contract with storage", {}, to="", data=store(7, 8) + deploying(b"\x00"))
    test("a transaction makes a contract without code", {}, to="", data=store(7, 8))
    test("a transaction makes nothing as it reverts", {}, to="", data=store(7, 8) + code(0, 0, "REVERT"), value=3)
    test("code that begins with 0xef is refused", {}, to="", data=deploying(b"\xef\x00"))
    test("the largest code", {}, to="", data=code(24576, 0, "RETURN"), gas=6_000_000)
    test("code above the largest", {}, to="", data=code(24577, 0, "RETURN"), gas=6_000_000)
    test("the largest code that makes code", {}, to="", data=b"\x00" * 49152, gas=6_000_000)
    test("code that makes code above the largest is refused", {}, to="", data=b"\x00" * 49153, gas=6_000_000)
    test("a contract makes two", {A: store(0, create(deploying(b"\x01"))) + store(1, create(deploying(b"\x02")))})
    test("a contract makes the same twice", {A: store(0, create(deploying(b"\x01"), salt=5)) + store(1, create(deploying(b"\x01"), salt=5)) + store(2, create(deploying(b"\x01"), salt=6))})
    made = "0x" + keccak256(rlp.encode([bytes.fromhex(SENDER[2:]), b""]))[12:].hex()
    test("an address with money is made a contract", {made: account(balance=9)}, to="", data=deploying(b"\x01"), value=3)
    test("an address with a nonce is not made a contract", {made: account(nonce=1)}, to="", data=deploying(b"\x01"))
    test("an address with code is not made a contract", {made: account(b"\x00")}, to="", data=deploying(b"\x01"))
    test("a contract makes none in a static call", {A: store(0, call(B, kind="STATICCALL")), B: create(deploying(b"\x01"))})
    test("a contract with the last nonce makes none", {A: account(store(0, create(deploying(b"\x01"))), nonce=2**64 - 2) | {"nonce": hex(2**64 - 1)}})
    # Calls.
    test("calls go deep", {A: code(store(0, "GAS"), call(A))}, gas=5_000_000)
    test("calls of each kind", {A: account(b"".join(store(n, call(B, kind=kind)) for n, kind in enumerate(["CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"])), balance=50), B: store(9, "CALLER") + store(8, "ADDRESS") + store(7, "CALLVALUE")}, value=3)
    test("value that is not there", {A: store(0, call(B, 5)) + store(1, 1)})
    test("what a call said", {A: store(0, call(B, answer=64)) + store(1, 0, "MLOAD") + store(2, "RETURNDATASIZE") + code(32, 0, 64, "RETURNDATACOPY") + store(3, 64, "MLOAD"), B: memory(b"\x55" * 64) + code(64, 0, "RETURN")})
    test("what a call did not say", {A: store(0, 1) + call(B) + code(33, 0, 0, "RETURNDATACOPY"), B: code(32, 0, "RETURN")})
    test("logs of each kind", {A: memory(b"\x66" * 32) + code(32, 0, "LOG0", 1, 32, 0, "LOG1", 2, 1, 31, 1, "LOG2", 4, 3, 2, 1, 0, 0, "LOG4")})
    test("logs of a call that failed are gone", {A: store(0, call(B)) + code(0, 0, "LOG0"), B: code(0, 0, "LOG0", "INVALID")})
    # The block.
    test("what code sees of the block", {A: b"".join(store(n, *words) for n, words in enumerate([
        ["COINBASE"], ["TIMESTAMP"], ["NUMBER"], ["PREVRANDAO"], ["GASLIMIT"], ["CHAINID"], ["SELFBALANCE"], ["BASEFEE"], ["BLOBBASEFEE"], ["ORIGIN"]]))})
    test("hashes of blocks", {A: b"".join(store(n, at, "BLOCKHASH") for n, at in enumerate([999, 1000, 1001, 744, 743, 900, 2**64, 2**255]))})
    test("blob base fees", {A: store(0, "BLOBBASEFEE")}, env={"currentExcessBlobGas": hex(30_000_000)})
    # Blobs (EIP-4844): no such transaction gets into this ledger, but the machine has them.
    blobs = {"maxFeePerBlobGas": "0xff", "blobVersionedHashes": ["0x01" + "aa" * 31, "0x01" + "bb" * 31]} | fees
    test("blobs are paid for", {A: store(0, 0, "BLOBHASH") + store(1, 1, "BLOBHASH") + store(2, 2, "BLOBHASH")}, **blobs)
    test("blobs cost more when there are many", {A: store(0, "BLOBBASEFEE")}, env={"currentExcessBlobGas": hex(12_000_000)}, **blobs)
    test("blobs that cost more than is offered are refused", {A: store(0, 1)}, env={"currentExcessBlobGas": hex(40_000_000)}, **blobs)
    test("no blobs are refused", {A: b""}, **(blobs | {"blobVersionedHashes": []}))
    test("blobs of another version are refused", {A: b""}, **(blobs | {"blobVersionedHashes": ["0x02" + "aa" * 31]}))
    for many in (6, 7, 9, 10):
        test(f"{many} blobs", {A: store(0, 1)}, **(blobs | {"blobVersionedHashes": ["0x01" + "aa" * 31] * many}))
    # Code for accounts (EIP-7702).
    authority, later = address_of(AUTHORITY), ["Prague", "Osaka"]
    delegated = bytes.fromhex("ef0100" + B[2:])

    def setting(name, accounts, *signed, **more):
        test(name, accounts, authorizationList=list(signed), forks=later, **(fees | more))

    acts = store(1, "CALLER") + store(2, "ADDRESS") + code(0, 0, "LOG0")
    setting("an account is given code", {B: acts}, authorization(AUTHORITY, B), to=authority, value=2)
    setting("an account that is there is given code", {B: acts, authority: account(balance=5, nonce=3)}, authorization(AUTHORITY, B, 3), to=authority)
    setting("an account's code is taken away", {authority: account(delegated, balance=5, nonce=3, storage={1: 9})}, authorization(AUTHORITY, "0x" + "00" * 20, 3), to=A)
    setting("an account's code is taken away and nothing is left to see", {authority: account(delegated)}, authorization(AUTHORITY, "0x" + "00" * 20), to=authority)
    setting("an account's code is changed", {C: acts, authority: account(delegated, nonce=1)}, authorization(AUTHORITY, C, 1), to=authority)
    setting("an authorization with another nonce does nothing", {B: acts}, authorization(AUTHORITY, B, 1), to=authority)
    setting("an authorization for another chain does nothing", {B: acts}, authorization(AUTHORITY, B, 0, 5), to=authority)
    setting("an authorization for any chain", {B: acts}, authorization(AUTHORITY, B, 0, 0), to=authority)
    setting("two authorizations of one", {B: acts, C: code(0, 0, "LOG0")}, authorization(AUTHORITY, B), authorization(AUTHORITY, C, 1), to=authority)
    setting("an authorization stays when the rest reverts", {B: acts, A: code(0, 0, "REVERT")}, authorization(AUTHORITY, B))
    setting("the sender is given code", {B: acts}, authorization(int(KEY, 16), B, 1), to=SENDER)
    setting("a contract cannot be given code", {B: acts, authority: account(b"\x00")}, authorization(AUTHORITY, B), to=authority)
    setting("no authorizations are refused", {A: b""})
    setting("given code is seen as a mark", {B: acts, authority: account(delegated), A: store(0, authority, "EXTCODESIZE") + store(1, authority, "EXTCODEHASH") + store(2, call(authority)) + store(3, call(authority, kind="DELEGATECALL"))}, authorization(0x77, B))
    setting("code that is given to each other", {B: acts, A: store(0, call(authority))}, authorization(AUTHORITY, address_of(0x77)), authorization(0x77, authority))
    test("a sender with given code may send", {SENDER: account(delegated, balance=10**20), B: acts, A: store(0, 1)}, forks=later)
    test("given code ends itself", {authority: account(delegated, balance=7), B: code(C, "SELFDESTRUCT")}, to=authority, forks=later)
    # Precompiles.
    g1 = (1).to_bytes(32, "big") + (2).to_bytes(32, "big")
    modexp = lambda base, exponent, modulus: b"".join(len(x).to_bytes(32, "big") for x in (base, exponent, modulus)) + base + exponent + modulus
    pad = lambda x: b"\0" * 16 + x.to_bytes(48, "big")
    bls = pad(0x17F1D3A73197D7942695638C4FA9AC0FC3688C4F9774B905A14E3A3F171BAC586C55E83FF97A1AEFFB3AF00ADB22C6BB) + pad(0x08B3F481E3AAA0F1A09E30ED741D8AE4FCF5E095D5D00AF600DB18CB2C04B3EDD03CC744A2888AE40CAA232946C5E7E1)
    p256 = bytes.fromhex("4cee90eb86eaa050036147a12d49004b6b9c72bd725d39d4785011fe190f0b4da73bd4903f0ce3b639bbbf6e8e80d16931ff4bcf5993d58468e8fb19086e8cac36dbcd03009df8c59286b162af3bd7fcc0450c9aa81be5d10d312af6c66b1d604aebd3099c618202fcfe16ae7770b0c49ab5eadf74b754204a3bb6060e44eff37618b065f9832de4ca6ca971a7a1adc826d0f7c00181a5fb2ddf79ae00b4e10e")
    inputs = {
        "sha256": (2, b"abc", 32), "ripemd": (3, b"abc", 32), "identity": (4, b"abc" * 30, 90),
        "modexp": (5, modexp(b"\x03", b"\xff" * 4, b"\x01" + b"\0" * 30 + b"\x7f"), 32),
        "modexp of 1024 bytes": (5, modexp(b"\x03" * 8, b"\x03", b"\x05" * 1024), 32),
        "modexp of 1025 bytes": (5, modexp(b"\x03" * 8, b"\x03", b"\x05" * 1025), 32),
        "modexp of nothing": (5, b"", 32),
        "bn add": (6, g1 + g1, 64), "bn mul": (7, g1 + (9).to_bytes(32, "big"), 64), "bn off the curve": (6, g1 + b"\x01" * 64, 64),
        "bn pairing of nothing": (8, b"", 32), "blake": (9, b"\0\0\0\x0c" + b"\x07" * 208 + b"\x01", 64), "blake of a wrong flag": (9, b"\0\0\0\x0c" + b"\x07" * 208 + b"\x02", 64),
        "point evaluation of nonsense": (10, b"\x01" * 192, 64),
        "bls add": (11, bls + bls, 128), "bls msm": (12, bls + (5).to_bytes(32, "big"), 128), "bls off the curve": (11, bls + pad(1) + pad(1), 128),
        "bls map": (16, pad(5), 128), "p256": (0x100, p256, 32), "p256 of nonsense": (0x100, p256[::-1], 32), "ecrecover of nonsense": (1, b"\x01" * 128, 32),
    }
    for name, (number, given, said) in inputs.items():
        body = memory(given) + store(0, code(said, 2048, len(given), 0, 0, number, "GAS", "CALL")) + store(1, 2048, "MLOAD") + store(2, 2080, "MLOAD") + store(3, "RETURNDATASIZE")
        test("precompile " + name, {A: body}, gas=4_000_000)
    test("a precompile is given money", {A: account(call("0x" + "00" * 19 + "04", 5) + code("POP"), balance=9)})
    test("a precompile that fails gives money back", {A: account(store(0, call("0x" + "00" * 19 + "09", 5)), balance=9)})
    test("a transaction to a precompile", {}, to="0x" + "00" * 19 + "04", data=b"abc", value=1)
    test("a precompile of Osaka is nobody before", {A: account(call("0x" + "00" * 18 + "0100", 5) + code("POP"), balance=9)})
    # Osaka.
    test("leading zeros are counted", {A: b"".join(store(n, value, "CLZ") for n, value in enumerate([0, 1, 2**255, 2**128])) + store(9, 1)})
    # Prague keeps hashes of blocks in a contract (EIP-2935); a state test runs none of its own calls.
    test("push zero", {A: store("0x0", "PUSH0", "ISZERO")})


def by_chance(seed):
    """Three contracts of instructions by chance that call each other; most words are small, or addresses."""
    chance = random.Random(seed)
    pure = ["ADD", "MUL", "SUB", "DIV", "SDIV", "MOD", "SMOD", "LT", "GT", "SLT", "SGT", "EQ", "AND", "OR", "XOR", "BYTE", "SHL", "SHR", "SAR", "EXP", "SIGNEXTEND"]
    reads = ["ADDRESS", "CALLER", "CALLVALUE", "CALLDATASIZE", "CODESIZE", "GASPRICE", "RETURNDATASIZE", "COINBASE", "SELFBALANCE", "MSIZE", "GAS", "PC", "NUMBER", "PREVRANDAO"]
    asks = ["BALANCE", "EXTCODESIZE", "EXTCODEHASH", "SLOAD", "TLOAD", "ISZERO", "NOT", "CALLDATALOAD", "BLOBHASH", "CLZ"]

    def word():
        return chance.choice([
            lambda: chance.randrange(8), lambda: chance.randrange(256), lambda: int(chance.choice([A, B, C, D]), 16),
            lambda: chance.getrandbits(256), lambda: 2**256 - 1 - chance.randrange(4), lambda: 1 << chance.randrange(256)])()

    def value():
        kind = chance.randrange(6)
        if kind < 2:
            return code(word())
        if kind == 2:
            return code(chance.choice(reads))
        if kind == 3:
            return value() + code(chance.choice(asks))
        return value() + value() + code(chance.choice(pure))

    def small():
        return chance.randrange(6)

    def step(depth):
        kind = chance.randrange(14)
        target = chance.choice([A, B, C, D, "0x4", "0x2", "0x5"])
        if kind < 4:
            return value() + code(small(), "SSTORE")
        if kind == 4:
            return value() + code(small(), "TSTORE")
        if kind == 5:
            return value() + code(32 * small(), "MSTORE")
        if kind == 6:
            return code(chance.randrange(64), chance.randrange(64), chance.choice(["LOG0"])) if chance.random() < 0.5 else value() + code(chance.randrange(64), 0, "LOG1")
        if kind == 7:
            return code(chance.randrange(96), chance.randrange(96), chance.randrange(96), chance.choice(["MCOPY", "CALLDATACOPY", "CODECOPY"]))
        if kind == 8 and depth:
            body = b"".join(step(0) for _ in range(chance.randrange(1, 4)))
            init = chance.choice([deploying(body), body, body + deploying(b"\0"), body + code(C, "SELFDESTRUCT")])
            return create(init, chance.choice([0, 0, 1, 10**9]), chance.choice([None, 7])) + code(small(), "SSTORE")
        if kind == 9 and chance.random() < 0.2:
            return chance.choice([code(D, "SELFDESTRUCT"), code(0, 0, "REVERT"), code(32, 0, "RETURN"), code("INVALID"), code(32, 0, "REVERT")])
        kinds = ["CALL", "CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"]
        gas = chance.choice([None, 30_000, 90_000, 2300])
        return call(target, chance.choice([0, 0, 1, 77]), gas, chance.choice(kinds), 64, 32) + code(small(), "SSTORE")

    contracts = {}
    for name in (A, B, C):
        body = b"".join(step(1) for _ in range(chance.randrange(4, 12)))
        storage = {slot: chance.randrange(1, 9) for slot in range(6) if chance.random() < 0.5}
        contracts[name] = account(body, balance=chance.choice([0, 5, 1000]), nonce=1, storage=storage)
    kind = chance.randrange(4)
    sent = [{}, {"accessLists": [[{"address": B, "storageKeys": ["0x" + "00" * 31 + "01"]}]]}, {"maxFeePerGas": "0x14", "maxPriorityFeePerGas": "0x3"}, {}][kind]
    made = chance.random() < 0.2
    data = deploying(contracts[B]["code"].encode()[:9]) if made else bytes(chance.randrange(256) for _ in range(chance.randrange(80)))
    if made:
        data = bytes.fromhex(contracts.pop(A)["code"][2:]) + deploying(b"\0")
    test(f"by chance {seed}", contracts, to="" if made else A, data=data, gas=chance.choice([60_000, 200_000, 1_000_000]), value=chance.choice([0, 3]), **sent)


if __name__ == "__main__":
    named()
    for seed in range(int(sys.argv[1]) if len(sys.argv) > 1 else 150):
        by_chance(seed)
    json.dump(TESTS, sys.stdout)
