//! Stores events, and says later whether a record is still what it was.

mod act;

pub use act::{Act, Address, Answering, Given, Recorder, Stored};
