//! How a node that joins gets the ledger: as files, from all nodes that have them.
//!
//! Batch by batch, as the agreement would send it, a long ledger takes long: each batch is appended,
//! synced and agreed on again. Here ledger files come as they are, some at a time, and the state comes
//! as a snapshot. Nothing is believed for who sent it ([`store::arrival`]). What happened meanwhile
//! comes as it always does. Where no node sends files, everything does.
//!
//! - [`wire`]: the questions, beside those of the agreement on the same connections.
//! - [`host`]: answers them, away from the agreement's thread.
//! - [`fetch`]: asks them, before the node begins, over [`lines`] to all nodes, with some [`worker`]s.

mod fetch;
mod host;
mod lines;
#[cfg(test)]
mod tests;
pub(crate) mod wire;
mod worker;

pub use fetch::FetchError;
pub(crate) use fetch::arrive;
pub(crate) use host::Host;
pub(crate) use wire::is_question;
