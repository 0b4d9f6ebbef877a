//! Reach: supply-chain events as the GS1 standards write them, read and identified by anybody.
//!
//! From bytes to typed EPCIS 2.0 events ([`Document`], [`Event`]), from an event to the identity
//! that its contents give it ([`EventHash`], the Event Hash ID of CBV 2.0), and from query parameters to a
//! filter ([`Query`]). Below them, identifiers ([`DigitalLink`], [`urn`]) and the standard's words
//! ([`Vocabulary`]).
//!
//! Pure functions: no I/O, no clock, no randomness, no threads, no async.
//!
//! It is not: a repository, a JSON-LD processor (it knows the EPCIS context and prefixes, and
//! fetches nothing), nor a reader of the XML binding.

mod canonical;
mod charset;
mod context;
pub mod digital_link;
pub mod document;
mod epc;
pub mod error;
pub mod event;
pub mod event_hash;
mod hash_order;
pub mod key;
pub mod limits;
mod place;
pub mod query;
mod query_params;
pub mod timestamp;
pub mod urn;
mod validate;
pub mod words;

pub use context::Namespaces;
pub use digital_link::{DigitalLink, LinkError};
pub use document::Document;
pub use epc::{EpcPattern, canonical_epc};
pub use error::{DocumentError, Problem};
pub use event::{Action, Event, EventType};
pub use event_hash::{EventHash, Rules, prehash};
pub use key::{Key, Qualifier, check_digit};
pub use query::{Query, QueryError};
pub use timestamp::{Timestamp, ZoneOffset};
pub use urn::UrnError;
pub use words::Vocabulary;
