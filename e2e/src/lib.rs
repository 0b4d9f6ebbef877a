//! Reach: the release binary as its users meet it. Starts it on a free port of the loopback
//! interface and runs other people's clients against it.
//!
//! `cargo xtask test` builds the binary and installs the clients; run by hand, these tests expect
//! `target/release/counterfoil`, or the binary that `COUNTERFOIL_BIN` names.

mod anvil;
mod audit;
pub mod chaos;
mod client;
mod contracts;
pub mod evm;
mod guide;
mod history;
mod http;
mod network;
mod provider;
mod proxy;
mod random;
pub mod raw;
mod server;
pub mod wallet;
mod writers;

pub use anvil::{Anvil, rpc};
pub use audit::{Audit, PASSWORD, Person, Services, bitacoras};
pub use client::{Client, Place, client_certificate, packages};
pub use contracts::Chain;
pub use guide::{commands, run_commands, run_guide};
pub use history::{one_history, same_history};
pub use http::{Answer, Http};
pub use network::{Details, Network, Node};
pub use provider::{Browser, Provider};
pub use proxy::{Effect, Links, Nodes, Rule, Way};
pub use random::Random;
pub use server::{Launch, Ledger, Ready, counterfoil, next_release, said};
pub use writers::{Acknowledged, Writers};
pub use xtask::cache::folder as cache;
pub use xtask::postgres::{Keeps, Postgres};
