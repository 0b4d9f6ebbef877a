//! What proves an event that a chain has: the event's own text, and how to see that the chain has its hash.
//!
//! ```json
//! {"type": "counterfoil.audit.chain-event/1", "event": "{…}",
//!  "root": "0x…", "contract": "0x…", "log": "0x…", "place": 7,
//!  "proof": {"kind": "ledger", "receipt": {…}}}
//! ```
//!
//! The tree is the one thing to know beforehand, by the address of its root, together with what the proof
//! rests on: a ledger's service certificate, or the hash of a block. A contract's address follows from who
//! made it as which of its contracts. The root makes the code of its tree as the first four, its own log as
//! the fifth, and then for every participant a contract and a log. So a log of the tree is told from all
//! others by its place, without asking anybody:
//!
//! ```text
//! log      = CREATE(root, place), an odd place from 5
//! contract = CREATE(root, place - 1); the root itself where the place is 5
//! ```

use alloy_primitives::{Address, TxHash};
use connector::proof::Proof;
use connector::{Shown, Trust};
use serde::{Deserialize, Serialize};
use verify::ethereum::Hex;

use super::abi::{Recorded, content_hash};
use super::accounts::written;
use crate::limits::PARTICIPANTS_MAX;
use crate::model::Event;
use crate::trail::{Receipt, act};

/// The kind of document, and its version.
pub(super) const TYPE: &str = "counterfoil.audit.chain-event/1";

/// The place of the root's own log.
pub(super) const ROOT_PLACE: u64 = 5;

/// An event that a tree of contracts has.
#[derive(Debug, Clone, PartialEq)]
pub struct InTree {
    /// The event.
    pub event: Event,
    /// Where it is.
    pub address: act::Address,
    /// The root of the tree. Anybody can plant one: it is for the reader to know theirs.
    pub root: Hex<20>,
    /// The account that signed the transaction, for the reader to compare with the participant's.
    pub sender: Hex<20>,
}

/// The document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    r#type: String,
    /// The event, canonical JSON.
    pub(super) event: String,
    /// The root of the tree.
    pub(super) root: Address,
    /// The participant's contract.
    contract: Address,
    /// The participant's Bitacora.
    log: Address,
    /// Its place among the contracts that the root made.
    place: u64,
    /// How to see that.
    pub(super) proof: Proof,
}

impl Document {
    /// A document about an event in a log of a tree.
    pub(super) fn new(event: &str, root: Address, place: u64, proof: Proof) -> Self {
        Self {
            r#type: TYPE.to_owned(),
            event: event.to_owned(),
            root,
            contract: contract_at(root, place),
            log: root.create(place),
            place,
            proof,
        }
    }

    pub(super) fn read(receipt: &Receipt) -> Result<Self, String> {
        serde_json::from_str(receipt.as_str()).map_err(|error| error.to_string())
    }

    pub(super) fn to_receipt(&self) -> Receipt {
        Receipt::of(self)
    }

    /// The event that it proves to be at an address of a tree, to one who trusts this.
    pub(super) fn event(
        &self,
        address: &act::Address,
        root: Address,
        chain: u64,
        trust: Trust<'_>,
    ) -> Result<Event, String> {
        let proven = self.proven(root, Some(chain), trust)?;
        match proven.address == *address {
            true => Ok(proven.event),
            false => Err("it is about another transaction or contract".to_owned()),
        }
    }

    /// What it proves to be in a tree, to one who trusts this.
    pub(super) fn proven(
        &self,
        root: Address,
        chain: Option<u64>,
        trust: Trust<'_>,
    ) -> Result<InTree, String> {
        let wrong = |why: &str| Err(why.to_owned());
        if self.r#type != TYPE {
            return Err(format!("it says {:?}", self.r#type));
        }
        if self.root != root {
            return wrong("it is about another tree");
        }
        if !is_log(self.place)
            || self.log != root.create(self.place)
            || self.contract != contract_at(root, self.place)
        {
            return wrong("the log is none of the tree's, or another participant's");
        }
        let shown = self.proof.shows(trust).map_err(|error| in_words(&error))?;
        if shown.to.or(shown.contract_address) != Some(self.contract) || !shown.succeeded {
            return wrong("the transaction did not call the contract, or failed");
        }
        let signed_for = shown.header.map(|header| header.chain_id);
        if chain.is_some_and(|chain| signed_for.is_some_and(|signed| signed != Some(chain))) {
            return wrong("the transaction was signed for another chain");
        }
        let event = Event::from_canonical(&self.event).map_err(|error| error.to_string())?;
        match self.is_recorded(&event, &shown) {
            true => Ok(InTree {
                event,
                address: act::Address {
                    transaction_address: written_hash(shown.hash),
                    contract_address: written(self.contract),
                },
                root: Hex(root.0.0),
                sender: Hex(shown.from.0.0),
            }),
            false => wrong("the log does not have this event"),
        }
    }

    fn is_recorded(&self, event: &Event, shown: &Shown) -> bool {
        let hash = content_hash(&self.event);
        let mut records = shown.logs.iter().filter_map(Recorded::of);
        records.any(|record| {
            (record.log, record.who, record.hash) == (self.log, shown.from, hash)
                && record.tells_of(event)
        })
    }
}

const fn is_log(place: u64) -> bool {
    place >= ROOT_PLACE && place % 2 == 1 && place <= ROOT_PLACE + 2 * PARTICIPANTS_MAX
}

fn contract_at(root: Address, place: u64) -> Address {
    match place {
        0 | ROOT_PLACE => root,
        _ => root.create(place - 1),
    }
}

/// The place of a participant's log by the participant's contract; first those behind `last` are tried.
pub(super) fn place_of(root: Address, contract: Address, last: u64) -> Option<u64> {
    let first = ROOT_PLACE + 2 * (last.saturating_sub(ROOT_PLACE) / 2);
    let end = ROOT_PLACE + 2 * PARTICIPANTS_MAX;
    let mut places = (first..=end)
        .chain(ROOT_PLACE..first)
        .filter(|place| is_log(*place));
    places.find(|place| contract_at(root, *place) == contract)
}

/// A transaction's hash as it is written everywhere here.
pub(super) fn written_hash(hash: TxHash) -> String {
    format!("0x{}", hex::encode(hash))
}

pub(super) fn in_words(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let why: Vec<String> = causes.map(ToString::to_string).collect();
    why.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_log_is_found_wherever_one_begins_to_look() {
        let root = Address::repeat_byte(7);
        assert_eq!(place_of(root, root, 0), Some(ROOT_PLACE));
        for last in [0, 5, 7, 9, 11, 999] {
            assert_eq!(place_of(root, root.create(8), last), Some(9), "{last}");
        }
        assert_eq!(contract_at(root, 9), root.create(8));
        assert!(!is_log(3) && !is_log(6) && is_log(7));
    }
}
