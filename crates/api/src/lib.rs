//! Reach: the HTTP front. Whoever speaks Azure Confidential Ledger's REST API, CCF's `/node` API or
//! plain HTTPS can use a ledger through it, and the rest of the house knows nothing of HTTP.
//!
//! It parses, asks who is calling and whether they may, hands a transaction to the node and puts
//! the answer into the words of the API. It is not: a place for rules of the ledger (crate
//! `ledger`) nor for proofs (crate `verify`).
//!
//! - [`routes`]: the table of contents, one line per endpoint.
//! - [`server`], [`tls`]: from a TCP connection to a request and back.
//! - [`auth`]: who is calling, by client certificate or bearer token.
//! - `transactions`, `batch`, `watch`, `receipts`, `collections`, `users`, `roles`, `governance`,
//!   `node_routes`, `gov`, `identity`, `pages`: the endpoints.
//! - [`Mount`]: what other crates serve on the same port.
//! - [`dev`]: an administrator for trying things out.

mod answer;
mod app;
pub mod auth;
mod batch;
mod body;
mod call;
mod collections;
pub mod config;
mod cosigners;
pub mod dev;
mod error;
mod forward;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gov;
mod governance;
mod identity;
mod json;
pub mod limits;
mod lines;
mod metrics;
mod mount;
mod node_routes;
pub mod openapi;
mod pages;
mod quotes;
mod receipts;
mod roles;
pub mod routes;
pub mod server;
mod stream;
pub mod tls;
mod transactions;
mod users;
mod version;
mod watch;

pub use body::BodyError;
pub use config::{ApiConfig, JwksSource, JwtIssuer};
pub use forward::{NotAsked, ToLeader};
pub use mount::{Caller, Mount, MountBody, Mounted};
pub use server::{ServeError, Served, serve};
