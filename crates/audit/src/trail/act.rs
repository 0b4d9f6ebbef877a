//! What somebody did, on its way to becoming an event, and what comes back.

use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use verify::ethereum::Hex;

use super::receipt::Receipt;
use crate::Problem;
use crate::model::{ContentHash, Event, Mention, Operation, RecordId, Salt, Text};

/// What somebody did. The service that sends it has found out who that is, and that they may.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Act {
    /// Who: the user's id.
    pub who: Text,
    /// How.
    pub how: Operation,
    /// To which record. Creating one without a name gives it one.
    #[serde(default)]
    pub record: Option<RecordId>,
    /// To which resources; none: those of the version before.
    #[serde(default)]
    pub about: Vec<Mention>,
    /// What was done, in one's own words.
    #[serde(default)]
    pub did: Text,
    /// Where the request came from.
    #[serde(rename = "where")]
    pub place: Text,
    /// What it was aimed at.
    #[serde(default)]
    pub target: Text,
    /// The content after it.
    pub content: Given,
    /// Whether the data is kept beside the ledger, so that it can be shown and compared field by field.
    #[serde(default)]
    pub keep: bool,
    /// The caller's name for this request: sent again, it is recorded once. Scoped by `who`.
    #[serde(default)]
    pub once: Option<String>,
    /// Whether the record may begin with this, whatever was done: it is older than the audit of it.
    #[serde(default)]
    pub adopt: bool,
    /// Whether it is about what the services themselves keep: users, permissions, sessions. Who may change
    /// those is for the users' service to say, and not only who made them.
    #[serde(default)]
    pub ours: bool,
    /// Whom it brings into the tree of participants, if anybody. A ledger takes such an event like any
    /// other; on a chain it is the transaction that makes the participant's contract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrol: Option<Enrolment>,
}

/// Somebody who comes into the tree of participants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// The new participant's id.
    pub participant: Text,
    /// What it is in the tree.
    pub kind: Kind,
    /// What a user is outside: producer, carrier, ...; 1 to 31 bytes. Others have none.
    #[serde(default)]
    pub role: String,
    /// Under whom; none: under whoever acts. The root is under nobody.
    #[serde(default)]
    pub parent: Option<Text>,
    /// The account of a participant that keeps its key itself; none: this service makes a key and keeps it.
    #[serde(default)]
    pub key: Option<Hex<20>>,
}

/// What a participant is in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The first one, under which all are.
    Root,
    /// Brings others in.
    Administrator,
    /// Does what is audited (the paper's TUser).
    TUser,
}

impl Kind {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Administrator => "administrator",
            Self::TUser => "tuser",
        }
    }
}

/// A record's content as somebody gives it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Given {
    /// The data itself; it gets a salt.
    Data(Value),
    /// A hash that the caller made, by whatever rule: the data is the caller's to keep.
    Hash(ContentHash),
    /// What it was: of a record that is read or deleted.
    Same,
}

/// A committed event, and all that its owner needs to prove it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// The event as the ledger has it.
    pub event: Event,
    /// The salt of its hash; missing where the caller gave a hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<Salt>,
    /// Where it is.
    #[serde(flatten)]
    pub address: Address,
    /// The ledger's receipt, checked: proves the event offline.
    pub receipt: Receipt,
}

/// Where an event is: the paper's pair *Atran* and *Asc*.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Address {
    /// The transaction: its id in a ledger, or its hash on a chain.
    pub transaction_address: String,
    /// The log that it went to: a collection of a ledger, or a contract on a chain.
    pub contract_address: String,
}

/// An answer under way.
pub type Answering<'a, T> = Pin<Box<dyn Future<Output = Result<T, Problem>> + Send + 'a>>;
