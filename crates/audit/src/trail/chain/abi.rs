//! What is said to the contracts, and what they say: `contracts-sol/src`, as bytes.

use std::sync::OnceLock;

use alloy_primitives::{Address, B256, Bytes, Log, U256, keccak256};
use alloy_sol_types::SolValue;
use serde::Deserialize;
use verify::Digest;

use crate::model::{Event, Operation, Text};

/// The code of the contract that a tree begins with, and of all others of the tree in it.
const ROOT: &str = include_str!("../../../../../contracts-sol/artifacts/Root.json");

/// Stands for a text that must say something and has nothing to say.
const NOTHING: &str = "-";

/// What the chain keeps of an event besides its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Words {
    how: u8,
    place: String,
    target: String,
    what: String,
}

impl Words {
    /// Those of an event.
    pub(super) fn of(event: &Event) -> Self {
        let how = match event.how {
            Operation::Create => 0,
            Operation::Read => 1,
            Operation::Update => 2,
            Operation::Delete => 3,
        };
        let place = match event.place.as_str() {
            "" => NOTHING,
            place => place,
        };
        let what = format!("{} v{} {}", event.record, event.version, event.what.did);
        Self {
            how,
            place: place.to_owned(),
            target: event.target.to_string(),
            what: Text::fitting(what.trim_end()).to_string(),
        }
    }
}

/// The digest of an event that a chain has: of its canonical JSON.
pub(super) fn content_hash(text: &str) -> B256 {
    Digest::of(text.as_bytes()).0.into()
}

/// `addEvent` of a participant.
pub(super) fn add_event(words: &Words, hash: B256) -> Bytes {
    let how = U256::from(words.how);
    let (place, target, what) = (&words.place[..], &words.target[..], &words.what[..]);
    call(
        "addEvent(uint8,string,string,string,bytes32)",
        (how, place, target, what, hash).abi_encode_params(),
    )
}

/// The making of a root.
pub(super) fn root(words: &Words, hash: B256) -> Bytes {
    let arguments = (&words.place[..], hash).abi_encode_params();
    [root_code(), &arguments].concat().into()
}

/// `addAdministrator` of a root or an administrator.
pub(super) fn add_administrator(key: Address, words: &Words, hash: B256) -> Bytes {
    call(
        "addAdministrator(address,string,bytes32)",
        (key, &words.place[..], hash).abi_encode_params(),
    )
}

/// `addUser` of an administrator.
pub(super) fn add_user(key: Address, role: &str, words: &Words, hash: B256) -> Bytes {
    call(
        "addUser(address,string,string,bytes32)",
        (key, role, &words.place[..], hash).abi_encode_params(),
    )
}

fn call(signature: &str, arguments: Vec<u8>) -> Bytes {
    [&keccak256(signature)[..4], &arguments].concat().into()
}

fn root_code() -> &'static [u8] {
    #[derive(Deserialize)]
    struct Artifact {
        bytecode: Bytes,
    }
    static CODE: OnceLock<Bytes> = OnceLock::new();
    CODE.get_or_init(|| {
        let artifact: Artifact = serde_json::from_str(ROOT).expect("the artifact is JSON");
        artifact.bytecode
    })
}

fn recorded_topic() -> B256 {
    keccak256("Recorded(uint256,address,bytes32,address,uint64,uint8,string,string,string)")
}

fn registered_topic() -> B256 {
    keccak256("Registered(address,address,address,uint8)")
}

/// A record of a Bitacora, as its event has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recorded {
    /// The Bitacora.
    pub(super) log: Address,
    /// The account that acted.
    pub(super) who: Address,
    pub(super) hash: B256,
    subject: Address,
    words: Words,
}

impl Recorded {
    /// The record that a log of a transaction tells of, if it does.
    pub(super) fn of(log: &Log) -> Option<Self> {
        let [topic, _id, who, hash] = log.topics() else {
            return None;
        };
        if *topic != recorded_topic() {
            return None;
        }
        type Data = (Address, U256, U256, String, String, String);
        let (subject, _when, how, place, target, what) =
            Data::abi_decode_params(&log.data.data).ok()?;
        Some(Self {
            log: log.address,
            who: Address::from_word(*who),
            hash: *hash,
            subject,
            words: Words {
                how: u8::try_from(how).ok()?,
                place,
                target,
                what,
            },
        })
    }

    /// Whether it tells of this event what the event says. What the tree did by itself has the tree's own
    /// words for what it was.
    pub(super) fn tells_of(&self, event: &Event) -> bool {
        let words = Words::of(event);
        match self.subject.is_zero() {
            true => self.words == words,
            false => (self.words.how, &self.words.place) == (words.how, &words.place),
        }
    }
}

/// Account and contract of somebody who has come into the tree, as its root told.
pub(super) fn registered(log: &Log, root: Address) -> Option<(Address, Address)> {
    match log.topics() {
        [topic, key, participant, _parent]
            if *topic == registered_topic() && log.address == root =>
        {
            Some((Address::from_word(*key), Address::from_word(*participant)))
        }
        _ => None,
    }
}

/// The name of what a contract refused with.
pub(super) fn refusal(data: &str) -> Option<&'static str> {
    const ERRORS: [(&str, &str); 9] = [
        ("NotOwner(address)", "the account does not own the contract"),
        (
            "NotAdministrator(address)",
            "only administrators bring others in",
        ),
        ("KeyTaken(address)", "the key is a member's already"),
        ("ZeroKey()", "the zero address is nobody's key"),
        (
            "EmptyText(string)",
            "a text that must say something is empty",
        ),
        ("TextTooLong(string,uint256,uint256)", "a text is too long"),
        (
            "EmptyContentHash()",
            "a hash of nothing but zeros binds nothing",
        ),
        ("AlreadyInitialised()", "the contract has its owner already"),
        (
            "NotParticipant(address)",
            "the log is another participant's",
        ),
    ];
    let selector = data.strip_prefix("0x")?.get(..8)?;
    let mut errors = ERRORS.iter();
    let found = errors.find(|(error, _)| hex::encode(&keccak256(error)[..4]) == selector)?;
    Some(found.1)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn artifact(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn contracts_are_called_by_the_selectors_of_their_artifacts() {
        let administrator =
            include_str!("../../../../../contracts-sol/artifacts/Administrator.json");
        let methods = &artifact(administrator)["methodIdentifiers"];
        for signature in [
            "addEvent(uint8,string,string,string,bytes32)",
            "addAdministrator(address,string,bytes32)",
            "addUser(address,string,string,bytes32)",
        ] {
            let selector = hex::encode(&call(signature, Vec::new())[..4]);
            assert_eq!(methods[signature], selector, "{signature}");
        }
    }

    #[test]
    fn events_have_the_digests_of_their_signatures() {
        let code = hex::encode(root_code());
        for topic in [recorded_topic(), registered_topic()] {
            assert!(code.contains(&hex::encode(topic)));
        }
    }

    #[test]
    fn what_a_contract_refuses_with_is_named() {
        let data = format!(
            "0x{}{}",
            hex::encode(&keccak256("NotOwner(address)")[..4]),
            "0".repeat(64)
        );
        assert_eq!(
            refusal(&data),
            Some("the account does not own the contract")
        );
        for data in ["", "0x", "0x1234", "0xffffffff", "é"] {
            assert_eq!(refusal(data), None, "{data}");
        }
    }
}
