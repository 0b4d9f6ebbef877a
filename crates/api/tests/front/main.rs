//! The front as its callers see it: a real node in a folder of its own, real TLS, port 0.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod auth;
mod entries;
mod gov;
mod node_api;
mod recovery;
mod server;
mod streams;
mod support;
mod users;
