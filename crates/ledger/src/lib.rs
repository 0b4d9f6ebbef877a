//! Rule: the ledger is a function. Nothing in here reads a clock, draws a random number, starts a
//! thread or touches a file, so every replica and every auditor gets the same answer.
//!
//! - [`write_set`]: keys and values that a transaction leaves, and their bytes.
//! - [`entry`]: one transaction as it stands in the ledger: encoded, sealed, hashed.
//! - [`chunk`]: how entries lie in a ledger file.
//! - [`secret`], [`secrets`]: the ledger secret and what is derived from it; several of them.
//! - [`shamir`], [`shares`], [`recovery`]: what members hold against a disaster, and what follows one.
//! - [`tables`]: the names of all tables, who sees them and how they are kept.
//! - [`kv`]: what a transaction sees while it runs.
//! - [`signature`]: the entry that closes a batch, signed.
//! - [`contracts`]: what members fix for the chain of contracts.
//! - [`claims`]: what applications want attested about their transactions.
//! - [`entries`], [`users`], [`roles`], [`service`], [`nodes`], [`once`]: the rules of the ledger's own
//!   tables.
//! - [`governance`]: how members decide, and what they can decide.

pub mod chunk;
pub mod claims;
pub mod contracts;
pub mod entries;
pub mod entry;
pub mod governance;
pub mod kv;
pub mod limits;
pub mod nodes;
pub mod once;
pub mod recovery;
pub mod rekey;
pub mod roles;
pub mod secret;
pub mod secrets;
pub mod service;
pub mod shamir;
pub mod shares;
pub mod signature;
pub mod snapshot;
pub mod tables;
pub mod users;
pub mod write_set;

pub use entry::Entry;
pub use kv::{Rejection, State, Transaction, Tx};
pub use secret::LedgerSecret;
pub use secrets::LedgerSecrets;
pub use tables::Table;
pub use write_set::WriteSet;
