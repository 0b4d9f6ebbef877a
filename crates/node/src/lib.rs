//! Rule: the running replica. Everything that can surprise us (disk, clock, randomness, keys,
//! threads) meets the pure ledger here and nowhere above.
//!
//! A write goes through [`Node::submit`] to the *executor*, which owns the speculative state, runs
//! requests one after the other and closes a batch whenever the log is free. Alone, the *committer*
//! persists the batch with one sync, makes it visible and answers; among others, a majority has to
//! have it first. A batch ends with a signature entry, so whatever is committed is signed.
//!
//! - [`config`], [`platform`], [`identity`]: what it starts from.
//! - `start`: creates a ledger or recovers one; `alone` and `among` others set it going.
//! - `consensus`, `peers`: how nodes agree, and how they talk.
//! - [`join`], `admission`, `transfer`: how a node comes to be part of a network, and gets its ledger.
//! - `executor`, `speculative`, `pace`, `signer`, `committer`: the life of a write.
//! - [`reads`], [`receipts`]: what can be asked later.
//! - `cosigner`, `cosigning`: what this node countersigns, and what it has countersigned.

mod admission;
mod alone;
mod among;
mod application;
mod cbor;
mod commit;
mod committer;
pub mod config;
mod consensus;
mod cosigner;
mod cosigning;
mod duties;
mod executor;
mod fatal;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod identity;
pub mod join;
mod limits;
pub mod metrics;
mod node;
mod pace;
mod parts;
mod peers;
pub mod platform;
pub mod reads;
pub mod receipts;
pub mod recover;
mod rekey;
mod sealing;
mod shares;
mod signer;
mod snapshots;
mod speculative;
mod start;
mod submit;
mod thread;
mod transfer;

pub use admission::AdmitError;
pub use application::Past;
pub use config::{NodeConfig, PeerConfig};
pub use consensus::{BeginError, Standing, Timing};
pub use cosigning::KnownCosigner;
pub use metrics::Metrics;
pub use node::{Node, SERVICE_CERT_FILE};
pub use peers::PeerTlsError;
pub use reads::{EntryPage, EntryQuery, Placed, ReadError};
pub use recover::{PREVIOUS_SERVICE_CERT_FILE, RecoverError, Recovered, recover};
pub use shares::{ShareError, ShareTaken};
pub use start::StartError;
pub use submit::{SubmitError, Wait};
pub use transfer::FetchError;
