//! Weight: keeps Ethereum's transactions away from those who use the ledger alone.
//!
//! The same contracts and the same calls on any Ethereum network that speaks JSON-RPC: Besu, Quorum,
//! a public chain, or a ledger of ours. Nothing that is sent is lost or sent twice with two numbers:
//! every signed transaction is on disk before a node sees it, and what is not known to be final after a
//! crash goes out again as the same bytes.
//!
//! - [`network`]: a chain as a [`Profile`] describes it; whoever answers for another chain is refused.
//! - [`fees`]: what a transaction offers. [`signer`]: who signs it.
//! - [`call`]: what a transaction should do.
//! - [`presigned`]: transactions that are signed beside an outbox, and [`delivery`], which brings them to the chain.
//! - [`outbox`]: sends, sends again, and says what became of it. `journal`: its file. [`lines`]: files that show
//!   what a crash tore.
//! - [`merkle`]: many records under one root, as RFC 9162 builds it.
//! - [`anchors`]: takes digests of records, anchors their root, hands out proofs.
//! - [`bundle`]: the proof of a record, and [`proof`] of a transaction, checked offline. `trie` and `header`: what a
//!   block's hash covers.

pub mod anchors;
pub mod bundle;
pub mod call;
pub mod collector;
pub mod delivery;
mod durable;
pub mod error;
pub mod fees;
mod follow;
mod header;
mod journal;
pub mod limits;
pub mod lines;
pub mod merkle;
pub mod network;
pub mod outbox;
pub mod presigned;
pub mod proof;
mod rpc;
pub mod signer;
pub mod status;
mod together;
mod trie;

pub use anchors::{Anchors, Batch};
pub use bundle::Bundle;
pub use call::Call;
pub use collector::{Batching, Collector};
pub use error::{AnchorError, BundleError, NetworkError, OutboxError};
pub use fees::{Fees, Market, Replace};
pub use network::{Evidence, Finality, Gas, Network, Profile, Receipt, Sending};
pub use outbox::{Outbox, Ticket};
pub use presigned::{Presigned, PresignedError, Priced, ToSign};
pub use proof::{LedgerReceipt, Proof, Shown, Trust};
pub use signer::{FileKey, HeldKey, Signer, SignerError, signer_of_message};
pub use status::{Place, Settled, Status};
