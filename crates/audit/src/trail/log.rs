//! Where events are recorded so that nobody can change them: a log, as this service needs it.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::act::{Act, Address, Answering, Enrolment};
use super::receipt::Receipt;
use crate::Problem;
use crate::model::{Event, Text};
use crate::telemetry::Failure;

/// An answer of a log, under way.
pub type Asking<'a, T> = Pin<Box<dyn Future<Output = Result<T, LogError>> + Send + 'a>>;

/// Why a log did not do it.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It does not take what this service sends, or asks: whoever runs it has to look. What was sent before may be in
    /// the log.
    #[error("the log refuses: {0}")]
    Refused(String),
    /// It never will, whatever was sent before: the event does not fit, or something else stands in its place.
    #[error("the log will never have it: {0}")]
    Never(String),
    /// It may have, or may later: look before sending again.
    #[error("the log does not answer: {0}")]
    InDoubt(String),
    /// It shows something that does not hold. Nobody should rely on it; and the event may be in the log.
    #[error("the log's proof does not hold: {0}")]
    Proof(String),
    /// Whoever asks is to blame, and is told what is said here; the event is not in the log.
    #[error("{0}")]
    Told(Problem),
}

impl LogError {
    /// Whether the event is not in the log, and will not be. `again`: it may have been sent before.
    pub(super) const fn is_final(&self, again: bool) -> bool {
        match self {
            Self::Never(_) | Self::Told(_) => true,
            Self::Refused(_) => !again,
            Self::InDoubt(_) | Self::Proof(_) => false,
        }
    }
}

impl Failure for LogError {
    fn word(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Refused(_) => "Refused",
            Self::Never(_) => "Never",
            Self::InDoubt(_) => "InDoubt",
            Self::Proof(_) => "Proof",
            Self::Told(_) => "Told",
        })
    }

    fn is_ours(&self) -> bool {
        !matches!(self, Self::Told(_))
    }
}

/// An event that is committed.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Where.
    pub address: Address,
    /// The receipt, checked.
    pub receipt: Receipt,
}

/// An event on its way to a log.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The log: see [`EventLog::log_of`].
    pub log: &'a str,
    /// The event.
    pub event: &'a Event,
    /// The event as the log gets it: canonical JSON.
    pub text: &'a str,
    /// Whom it brings into the tree of participants, if anybody.
    pub enrol: Option<&'a Enrolment>,
    /// The transaction that its participant signed, in hexadecimal digits, where it is not signed here.
    pub signed: Option<&'a str>,
}

/// Who signs the transaction of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    /// This service, with a key that it keeps; or nobody, where a log has no signatures.
    Service,
    /// The participant, who keeps the key.
    Participant,
}

/// A transaction for a participant to sign. Number, gas and fees are proposals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToSign {
    /// Its fields, in the words of Ethereum's JSON-RPC.
    pub transaction: Value,
    /// The same as bytes without a signature, as wallets read them: `0x` and hexadecimal digits.
    pub unsigned: String,
    /// What the key signs: the Keccak-256 digest of those bytes.
    pub signing_hash: String,
    /// By which the transaction names the event: the SHA-256 digest of its canonical JSON, which stands in the input.
    pub event_hash: String,
}

/// An append-only log with receipts.
pub trait EventLog: Send + Sync {
    /// The log that the event of an act goes to (the paper's Bitacora), before it is sent; where the event opens a
    /// log, what is known of its name.
    ///
    /// # Errors
    /// Whoever is to sign for it has no key, or has to do it by another way.
    fn log_of<'a>(&'a self, act: &'a Act, signer: Signer) -> Asking<'a, String>;

    /// The transaction that records an event, for its participant to sign.
    fn to_sign<'a>(&'a self, _unsigned: Outgoing<'a>) -> Asking<'a, ToSign> {
        Box::pin(async { Err(LogError::Told(no_signatures())) })
    }

    /// That what a participant signed records this event and nothing else, and that it can be sent now.
    fn check_signed<'a>(&'a self, _sent: Outgoing<'a>, _signed: &'a str) -> Asking<'a, ()> {
        Box::pin(async { Err(LogError::Told(no_signatures())) })
    }

    /// Records an event in its participant's log and waits until it is committed. Sent again with the same
    /// bytes within some seconds, it is recorded once; who comes later looks with [`EventLog::find`].
    fn record<'a>(&'a self, sent: Outgoing<'a>) -> Asking<'a, Recorded>;

    /// Looks for an event in its log, behind the transaction `after`.
    fn find<'a>(
        &'a self,
        sent: Outgoing<'a>,
        after: Option<&'a str>,
    ) -> Asking<'a, Option<Recorded>>;

    /// The event at an address, with its receipt; `None` if there is none.
    fn fetch<'a>(&'a self, address: &'a Address) -> Asking<'a, Option<(Event, Receipt)>>;

    /// The address of the root of the tree that its events are in, where they are in a tree of contracts, once
    /// there is one: whoever trusts a receipt has to know it, beside the log's trust anchor.
    ///
    /// # Errors
    /// The database does not answer.
    fn root(&self) -> Answering<'_, Option<String>> {
        Box::pin(async { Ok(None) })
    }

    /// The event that a receipt proves to be at an address, by the log's trust anchor alone. Nobody is asked
    /// where that is a certificate; a chain that has none is asked for a block's hash.
    ///
    /// # Errors
    /// [`LogError::Proof`]: it proves no event, or another place.
    fn proven<'a>(&'a self, address: &'a Address, receipt: &'a Receipt) -> Asking<'a, Event>;

    /// The account that signs a participant's transactions; `None` where there are none, or it has none yet.
    fn account<'a>(&'a self, _who: &'a Text) -> Answering<'a, Option<String>> {
        Box::pin(async { Ok(None) })
    }
}

pub(super) fn no_signatures() -> Problem {
    Problem::conflict(
        "NothingToSign",
        "events go to the ledger without transactions, so there is nothing to sign: store it",
    )
}
