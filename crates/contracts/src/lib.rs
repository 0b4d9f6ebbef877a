//! Weight: keeps the EVM, and all that it brings along, in a leaf.
//!
//! Smart contracts as an application on the ledger: an Ethereum chain without mining, fees or forks.
//! The leader executes a transaction once ([`Execute`]) and its write set travels; a follower applies
//! bytes and runs no contract. A committed batch that has such transactions is a block, so there is
//! never another one in its place.
//!
//! - [`signed`]: a transaction as a wallet sends it, and who signed it.
//! - [`chain`]: which block is being filled, and where earlier ones begin.
//! - [`accounts`]: nonces, balances, code and storage in the ledger's tables.
//! - [`evm`]: the machine itself; the one module that names `revm`.
//! - [`outcome`]: what became of a transaction: what the ledger keeps and the receipt proves.
//! - [`owners`]: which user an account belongs to.
//! - [`history`]: blocks, transactions and logs as a node has them.
//! - [`gaps`]: transactions that came before those they follow.
//! - [`rpc`]: what wallets and tools ask, over HTTP and WebSocket.
//! - [`execute`]: all of these as one transaction of the ledger.

pub mod accounts;
pub mod chain;
pub mod evm;
pub mod execute;
pub mod gaps;
pub mod history;
pub mod limits;
pub mod outcome;
pub mod owners;
pub mod rpc;
pub mod signed;
#[cfg(test)]
mod solidity;
#[cfg(test)]
mod testing;

pub use execute::{Execute, Refused};
pub use outcome::Outcome;
pub use signed::{Signed, SignedError};
