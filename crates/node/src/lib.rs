//! Rule: the running replica. Everything that can surprise us (disk, clock, randomness, keys,
//! threads) meets the pure ledger here and nowhere above.
//!
//! A write goes through [`Node::submit`] to the *executor*, which owns the speculative state, runs
//! requests one after the other and closes a batch whenever the log is free; the *committer*
//! persists the batch with one sync, makes it visible and answers. A batch ends with a signature
//! entry, so whatever is committed is signed.
//!
//! - [`config`], [`platform`], [`identity`]: what it starts from.
//! - `start`: creates a ledger or recovers one.
//! - `executor`, `speculative`, `pace`, `signer`, `committer`: the life of a write.
//! - [`reads`], [`receipts`]: what can be asked later.

mod committer;
pub mod config;
mod executor;
mod fatal;
pub mod identity;
pub mod metrics;
mod node;
mod pace;
pub mod platform;
pub mod reads;
pub mod receipts;
mod signer;
mod speculative;
mod start;
mod submit;

pub use config::NodeConfig;
pub use metrics::Metrics;
pub use node::{Node, SERVICE_CERT_FILE};
pub use reads::{EntryPage, EntryQuery, Placed, ReadError};
pub use start::StartError;
pub use submit::{SubmitError, Wait};
