// What this browser can say about an event that a service shows: from the ledger's receipt, the
// certificate of the service that is trusted, where events are in contracts the root of the tree that
// is trusted, and the bytes of the event. What the server says about them counts for nothing here.
// Runs in browsers and in Node.js alike.

import { EVENT, altered, canonical, contentHash, eventIn } from "./canonical.js";
import { isInContract, recordedInTree, takesBlock } from "./contracts.js";
import { NotValid, verify } from "./verify.js";

/** What each verdict is called, and what it means and cannot mean. */
export const VERDICTS = {
  valid: {
    name: "Valid",
    means: "The ledger recorded exactly what is shown here, and nobody has changed it since.",
    limits: "It does not say that what was recorded was true.",
  },
  altered: {
    name: "Altered",
    means: "What is shown here is not what the ledger recorded.",
    limits: "It does not say who changed it, nor why.",
  },
  unproven: {
    name: "Not proven",
    means: "The proof that came with this event does not hold. Do not rely on the event.",
    limits: "It does not say that the event is false: only that nothing here shows that it is true.",
  },
  unknown: {
    name: "Unknown",
    means: "The service shows no proof for this event. Treat it as something that anybody could say.",
    limits: "It does not say that nothing happened: only that nothing here proves it.",
  },
  not_permitted: {
    name: "Not permitted",
    means: "You may not see the proof of this event. Somebody who may can give it to you as a file.",
    limits: "It says nothing about the event itself.",
  },
  pending: {
    name: "Pending",
    means: "The service says that this event is on its way to the ledger. Nothing is proven yet.",
    limits: "It does not say that the ledger will have it. Look again in a minute.",
  },
  unchecked: {
    name: "Not checked",
    means: "The check could not be made now.",
    limits: "It says nothing about the event itself.",
  },
};

/**
 * Judges an event as it is shown (`log`: the event and its addresses) by what the service answers
 * when it is consulted, by the certificate (PEM) of the service that is trusted, and by the address of
 * the root of the tree of contracts that is. Each is null if none is known; where there is a root, what is
 * not in its tree is not proven.
 *
 * `data` is the record's content as of this event; `undefined` if it is not shown here. The result
 * has the verdict, the steps with what they rest on, the fields that differ, and whether the data is
 * the recorded one (`data`: matches, differs, absent, unsalted).
 */
export async function judge({ log, answer, data, anchor, root = null }) {
  const steps = [];
  const found = (verdict, why, more = {}) => ({ verdict, why, steps, fields: [], ...more });
  if (answer?.verdict === "not_permitted") return found("not_permitted");
  if (!answer?.receipt) return found(answer?.verdict === "pending" ? "pending" : "unknown");
  const missing = missingFor(answer.receipt, anchor, root);
  if (missing !== null) return found("unchecked", missing);
  try {
    const contents = await provenContents(answer.receipt, anchor, root, log, steps);
    const recorded = eventIn(contents);
    if (recorded === null) throw new NotValid("What was recorded is no event.");
    const shown = { type: EVENT, ...log.event };
    if (recorded.record !== shown.record || recorded.version !== shown.version) {
      throw new NotValid("The proof is of another event.");
    }
    if (contents !== canonical(shown)) {
      const fields = altered(recorded, shown).map((field) => `event ${field}`);
      const why = "Fields of the event differ from what the ledger has.";
      return found("altered", why, { fields, recorded });
    }
    steps.push({ rule: "What was recorded is this event, byte for byte.", shown: contents });
    return { ...found("valid"), ...(await judgeData(recorded, answer.salt, data, steps)), recorded };
  } catch (error) {
    if (!(error instanceof NotValid || error instanceof TypeError)) throw error;
    steps.push({ rule: error.message, shown: "", failed: true });
    return found("unproven", error.message);
  }
}

/**
 * Compares data that somebody holds with what an event recorded. `kept` is the data that the service
 * keeps: if that is genuine, it tells which fields differ.
 */
export async function compare({ event, salt, kept, held }) {
  if (!salt) return { same: null, fields: [] };
  if ((await contentHash(held, salt)) === event.what.hash) return { same: true, fields: [] };
  const genuine = kept !== undefined && (await contentHash(kept, salt)) === event.what.hash;
  return { same: false, fields: genuine ? altered(kept, held) : [] };
}

/** Why a receipt cannot be checked with what is known here; null if it can. */
function missingFor(receipt, anchor, root) {
  if (takesBlock(receipt)) return "This event is in a contract of another chain, and this page does not know which blocks are in that chain. Download its proof, and check it with the hash of its block from a source that you trust.";
  if (anchor === null) return "There is no service certificate to check with.";
  if (isInContract(receipt) && root === null) return "This event is in a contract, and it is not known here whose contracts count: there is no address of their root.";
  return null;
}

/** The text of the one event that a receipt proves to be where the event that is shown is said to be. */
async function provenContents(receipt, anchor, root, shown, steps) {
  // Whoever may write entries is not thereby in the tree.
  if (root !== null && !isInContract(receipt)) throw new NotValid("The proof is of an entry, and not of the tree of contracts that you trust.");
  const recorded = isInContract(receipt) ? recordedInTree(receipt, anchor, root, steps) : recordedInEntry(receipt, anchor, steps);
  const proven = await recorded;
  if (shown.transactionAddress !== undefined && shown.transactionAddress !== proven.transaction) {
    throw new NotValid(`The proof is of transaction ${proven.transaction}.`);
  }
  if (shown.contractAddress !== undefined && shown.contractAddress !== proven.log) {
    throw new NotValid(`The proof is of the log ${proven.log}.`);
  }
  return proven.contents;
}

/**
 * The one entry that a receipt proves, and where it is.
 *
 * The verifier gives back of a claim only what its digest covers.
 */
async function recordedInEntry(receipt, anchor, steps) {
  const { claims, transaction } = await verify(JSON.stringify(receipt), anchor, (step) => steps.push(step));
  const [claim, ...others] = Array.isArray(claims) ? claims : [];
  const entry = claim?.kind === "LedgerEntry" && own(claim, "ledgerEntry");
  if (!entry || others.length > 0) throw new NotValid("The receipt shows no entry of the ledger.");
  const [contents, log] = [own(entry, "contents"), own(entry, "collectionId")];
  if (typeof contents !== "string" || typeof log !== "string") {
    throw new NotValid("The receipt's entry has a spelling that is not known here.");
  }
  return { contents, transaction, log };
}

async function judgeData(recorded, salt, data, steps) {
  if (data === undefined) return { data: "absent" };
  if (!salt) return { data: "unsalted" };
  const hash = await contentHash(data, salt);
  if (hash === recorded.what.hash) {
    steps.push({ rule: "The data that is shown has the hash in that event.", shown: hash });
    return { data: "matches" };
  }
  steps.push({ rule: "The data that is shown has another hash.", shown: hash, failed: true });
  const why = "The kept data is not the recorded data. The ledger has only its hash, so which parts differ is not known.";
  return { verdict: "altered", data: "differs", why };
}

const own = (object, name) => (Object.hasOwn(object, name) ? object[name] : undefined);
