//! Reach: supply-chain events as the GS1 standards write them, read and identified by anybody.
//!
//! Identifiers ([`DigitalLink`], [`urn`]) and the standard's words ([`Vocabulary`]).
//!
//! Pure functions: no I/O, no clock, no randomness, no threads, no async.
//!
//! It is not: a repository, a JSON-LD processor (it knows the EPCIS context and prefixes, and
//! fetches nothing), nor a reader of the XML binding.

mod charset;
pub mod digital_link;
pub mod key;
pub mod limits;
pub mod urn;
pub mod words;

pub use digital_link::{DigitalLink, LinkError};
pub use key::{Key, Qualifier, check_digit};
pub use urn::UrnError;
pub use words::Vocabulary;
