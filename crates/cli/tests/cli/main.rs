//! The real binary, used as people and scripts use it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;
mod gov;
mod ledger;
mod node;
mod usage;
