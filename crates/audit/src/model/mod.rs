//! The rules of auditing: what an event is, what it says about data, who may do what. Pure.

pub mod capture;
pub mod content;
pub mod event;
pub mod operation;
pub mod strict;
pub mod verdict;

pub use content::{Content, ContentError, ContentHash, Salt};
pub(crate) use event::millis;
pub use event::{Event, EventError, Mention, Part, RecordId, ResourceId, Text, Timestamp, What};
pub use operation::Operation;
pub use verdict::Verdict;
