//! Reach: the ledger as programs use it. Typed calls over HTTPS, and every receipt is checked here,
//! by the party that relies on it, unless the caller says not to.
//!
//! The only trust anchor is the service certificate that the caller names: neither the system's
//! roots nor the server's word count. Requests that were throttled are sent again; a write whose
//! fate is unknown never is, so nothing is recorded twice.
//!
//! ```no_run
//! use counterfoil_client::{Client, Credential, NewEntry};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let ledger = Client::builder("https://127.0.0.1:8443")
//!     .service_cert(std::fs::read_to_string("ledger/service_cert.pem")?)
//!     .credential(Credential::bearer("..."))
//!     .build()?;
//! let recorded = ledger.append(&NewEntry::new("lot 7 harvested").collection("lots")).await?;
//! println!("{} is committed, and its receipt holds", recorded.id);
//! # Ok(())
//! # }
//! ```
//!
//! It is not: a verifier (crate `verify` is; this crate calls it), nor a second implementation of
//! the ledger's rules.

pub mod limits;
pub mod model;

mod builder;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gov;
mod governance;
mod http;
mod identity;
mod lines;
mod node;
mod proof;
mod receipts;
mod rpc;
mod sse;
mod transactions;
mod users;
mod watch;

pub use builder::{API_VERSION, Client, ClientBuilder, Credential};
pub use error::{ClientError, Refusal};
pub use gov::{GoverningMember, Proposal, SharesGiven};
pub use identity::fetch_identity_on_first_use;
pub use model::{BatchAnswer, Entry, EntryRange, NewEntry, Proven, Recorded};
pub use receipts::receipt_json;
pub use rpc::{RpcError, RpcRefusal};
pub use transactions::WrittenBatch;
