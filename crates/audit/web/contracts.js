// What proves an event that a tree of contracts has, on a ledger of ours: the event's own text, and the
// ledger's receipt for the transaction that left the text's hash in its participant's log. The rules are those
// of the service that recorded: its trail::chain::document. Runs in browsers and in Node.js alike.
//
// Anybody can make a tree. Which one counts is for the reader to know, by the address of its root. Other
// addresses follow from that one and from a place among the contracts that the root made: the log at an odd
// place from 5, its participant's contract at the one before; at 5 is the log of the root itself.

import { eventIn } from "./canonical.js";
import { keccak256 } from "./keccak.js";
import { NotValid, verify } from "./verify.js";

const TYPE = "counterfoil.audit.chain-event/1";
const RECORDED = topicOf("Recorded(uint256,address,bytes32,address,uint64,uint8,string,string,string)");
const ROOT_PLACE = 5;
const PARTICIPANTS_MAX = 2 ** 20;
const TEXT_BYTES_MAX = 255;
/** Stands for a text that must say something and has nothing to say. */
const NOTHING = "-";
const OPERATIONS = ["create", "read", "update", "delete"];

/** Whether a receipt is of an event in a contract. */
export const isInContract = (receipt) => receipt?.type === TYPE;

/** Whether it takes a block of another chain to check it. */
export const takesBlock = (receipt) => isInContract(receipt) && receipt.proof?.kind === "header";

/**
 * The text of the event that a receipt proves to be in the tree of this root, to one who trusts this service
 * certificate (PEM), and where: transaction and contract.
 * @throws {NotValid} the first rule that does not hold
 */
export async function recordedInTree(receipt, anchor, root, steps) {
  const { contract, log } = placeIn(root, receipt);
  steps.push({ rule: "The log is one of the tree that you trust.", shown: `${log}, of the root ${root}` });
  const call = await transactionIn(receipt.proof, anchor, steps);
  must(call.succeeded && call.contract === contract, "The transaction did not call the participant\u2019s contract, or failed.");
  const text = own(receipt, "event");
  const event = eventIn(text);
  must(event !== null, "The text in the proof is no event.");
  const hash = await sha256(text);
  const isThere = call.logs.some((left) => left.address === log && tells(left, call.from, hash, wordsOf(event)));
  must(isThere, "The participant\u2019s log does not have this event.");
  steps.push({ rule: "The transaction left the hash of this event in that log, for the account that signed.", shown: hash });
  return { contents: text, transaction: call.hash, log: contract };
}

/** A participant's contract and log, which the root made. */
function placeIn(root, receipt) {
  const tree = addressIn(root);
  must(addressIn(own(receipt, "root")) === tree, "The proof is of another tree of contracts than the one that you trust.");
  const [contract, log, place] = [addressIn(own(receipt, "contract")), addressIn(own(receipt, "log")), own(receipt, "place")];
  const isLog = Number.isSafeInteger(place) && place >= ROOT_PLACE && place % 2 === 1 && place <= ROOT_PLACE + 2 * PARTICIPANTS_MAX;
  const isOurs = isLog && log === created(tree, place) && contract === (place === ROOT_PLACE ? tree : created(tree, place - 1));
  must(isOurs, "The log is none of the tree\u2019s, or another participant\u2019s.");
  return { contract, log };
}

// Participants are few, and a hash takes a phone some milliseconds.
const made = new Map();

/** The address of the contract that another one makes as its number `nonce` (Ethereum's CREATE). */
export function created(maker, nonce) {
  const key = `${maker} ${nonce}`;
  if (!made.has(key)) {
    const number = [];
    for (let rest = nonce; rest > 0; rest = Math.floor(rest / 256)) number.unshift(rest % 256);
    // Both in RLP, as in verify.js: an address has 20 bytes.
    if (number.length !== 1 || number[0] >= 0x80) number.unshift(0x80 + number.length);
    const list = [0xc0 + 21 + number.length, 0x80 + 20, ...bytesOf(maker.slice(2)), ...number];
    made.set(key, `0x${hex(keccak256(new Uint8Array(list)).subarray(12))}`);
  }
  return made.get(key);
}

/** What a transaction did, as the ledger's receipt proves it: the verifier gives back what its digest covers. */
async function transactionIn(proof, anchor, steps) {
  must(own(proof, "kind") === "ledger", "The proof is of a kind that is not known here.");
  const receipt = JSON.stringify(own(proof, "receipt") ?? null);
  const proven = await verify(receipt, anchor, (step) => steps.push(step));
  const [claim, ...others] = Array.isArray(proven.claims) ? proven.claims : [];
  const isOne = claim?.kind === "EthereumTransaction" && others.length === 0;
  must(isOne, "The receipt is not of a contract\u2019s transaction.");
  const { transactionHash, from, to, contractAddress, succeeded, logs } = claim.ethereumTransaction;
  return {
    hash: transactionHash.toLowerCase(),
    from: addressIn(from),
    contract: addressIn(to ?? contractAddress),
    succeeded,
    logs: logs.map(({ address, topics, data }) => ({
      address: addressIn(address), topics: topics.map((topic) => topic.toLowerCase()), data: data.slice(2),
    })),
  };
}

/** Whether what a log has is a record by this account, of this hash and in these words. */
function tells({ topics, data }, account, hash, words) {
  const [topic, , who, content] = topics;
  if (topic !== RECORDED || who !== `0x${account.slice(2).padStart(64, "0")}` || content !== `0x${hash}`) return false;
  // Subject, time, operation, and where the three texts are.
  const number = (at) => Number.parseInt(data.slice(2 * at, 2 * at + 64), 16);
  const text = (at) => textAt(data, number(at), number(number(at)));
  if (number(64) !== words.how || text(96) !== words.place) return false;
  // What the tree did by itself has the tree's own words for what it was.
  const isOfTree = !/^0{64}/.test(data);
  return isOfTree || (text(128) === words.target && text(160) === words.what);
}

/** A text as the ABI has it, behind its length; null if there is not so much. */
function textAt(digits, at, length) {
  const [start, end] = [2 * (at + 32), 2 * (at + 32 + length)];
  if (!(end <= digits.length)) return null;
  // A mark at the beginning belongs to the text.
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytesOf(digits.slice(start, end)));
}

/** What the contracts keep of an event besides its hash. */
function wordsOf({ how, record, version, what, where, target }) {
  const told = `${record} v${version} ${what.did}`.replace(/\p{White_Space}+$/u, "");
  return { how: OPERATIONS.indexOf(how), place: where || NOTHING, target, what: fitting(told) };
}

/** As much of a text as the contracts take. */
function fitting(text) {
  const kept = [...text];
  while (utf8(kept.join("")).length > TEXT_BYTES_MAX) kept.pop();
  return kept.join("");
}

function addressIn(text) {
  must(typeof text === "string" && /^0x[0-9a-fA-F]{40}$/.test(text), "An address has 0x and 40 hex digits.");
  return text.toLowerCase();
}

function topicOf(signature) {
  return `0x${hex(keccak256(utf8(signature)))}`;
}

async function sha256(text) {
  return hex(new Uint8Array(await crypto.subtle.digest("SHA-256", utf8(text))));
}

function utf8(text) {
  return new TextEncoder().encode(text);
}

function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function bytesOf(digits) {
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

function own(object, name) {
  return typeof object === "object" && object !== null && Object.hasOwn(object, name) ? object[name] : undefined;
}

function must(holds, otherwise) {
  if (!holds) throw new NotValid(otherwise);
}
