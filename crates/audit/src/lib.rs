//! Reach: any cloud system stores who did what, where, when and how, and anybody can check it later.
//!
//! Three services in one crate, each of which runs alone or beside the others in one process:
//!
//! - [`gateway`]: the single entry; finds out who calls, and maps HTTP to events.
//! - [`users`]: the tree of participants, their passwords, tokens and permissions.
//! - [`trail`]: stores events, and says later whether a record is still what it was.
//!
//! In processes of their own they ask each other by what is in [`inside`]. They reach a ledger through
//! [`trail::log`] alone, which knows it by its public API. The rules are in
//! [`model`]: no HTTP, no await. What is kept beside the ledger is in a [`database`].

mod address;
mod body;
pub mod database;
pub mod edge;
pub mod gateway;
pub mod inside;
pub mod limits;
pub mod metrics;
pub mod model;
mod problem;
pub mod proxy;
pub mod serve;
mod source;
pub mod telemetry;
pub mod trail;
mod upstreams;
pub mod users;

pub use problem::Problem;
