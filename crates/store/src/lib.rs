//! Rule: nothing that was acknowledged is lost, and nothing that was changed is served.
//!
//! Files in a folder, one writer, any number of readers; synchronous.
//!
//! ```text
//! DIR/ledger/            the ledger, in CCF's format: all that an auditor needs to copy
//! DIR/index/hashes       digests of the Merkle tree      } derived from the ledger files,
//! DIR/index/seqnos       where each entry lies           } written without a sync,
//! DIR/state/             what is looked up by key        } rebuilt where they are missing
//! DIR/index/checkpoint   how far the three are synced
//! DIR/snapshots/         the state at a seqno, recorded in the ledger
//! DIR/consensus/         what nodes agreed on beside the ledger's bytes, where there are several
//! DIR/lock               held by the process that has the folder open
//! ```
//!
//! Only the ledger files are synced for each batch. Everything after the last checkpoint is read
//! from them again when the folder is opened, so a restart costs time in proportion to the tail.
//!
//! - [`Store`]: append, apply, checkpoint; what happens at power loss.
//! - [`Moment`]: the state as it is now, while it goes on.
//! - [`Reader`]: entries, proofs, streams and values, as committed.
//! - [`snapshot`]: the state at a seqno in one file; [`arrival`]: a ledger that comes from others.
//! - [`order`]: places of batches among what nodes agree on.
//! - [`audit`]: checking a folder of ledger files without its secret.
//! - [`durable`]: replacing a small file.
//!
//! It is not: a judge of what may be written (crate `ledger`), nor of when (crate `node`).

pub mod arrival;
pub mod audit;
pub mod durable;

mod batch;
mod checkpoint;
mod chunks;
mod error;
mod index;
mod lock;
mod moment;
pub mod order;
mod reader;
mod recovery;
mod replay;
mod restore;
mod secrets;
pub mod snapshot;
mod state;
mod store;
mod trust;

pub use audit::{AuditError, AuditOptions, AuditReport, Progress, audit, audit_each, audit_with};
pub use batch::{BATCH_BYTES_MAX, Batch, BatchEntry};
pub use error::{OpenError, ReadError, StoreError};
pub use moment::Moment;
pub use reader::Reader;
pub use restore::RestoreError;
pub use secrets::StoreSecrets;
pub use store::{CHUNK_BYTES_MAX, Store, StoreOptions, Tail};
