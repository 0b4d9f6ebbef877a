//! The trail as those see it who have something recorded, wherever it is.

use super::act::{Act, Answering, Stored};
use super::log::no_signatures;
use super::preparing::Prepared;
use crate::model::{Operation, Text};

/// Whoever records acts: the trail in this process, or one elsewhere.
pub trait Recorder: Send + Sync {
    /// Records an act: when this answers, the event is committed, and durable.
    ///
    /// # Errors
    /// It was refused and nothing is recorded; or ([`crate::Problem::is_pending`]) it will be, and the same `once`
    /// asks for it.
    fn record(&self, act: Act) -> Answering<'_, Stored>;

    /// Makes an event of an act for its participant to sign: see `Trail::prepare`.
    ///
    /// # Errors
    /// It would be refused, or nobody signs here.
    fn prepare(&self, _act: Act) -> Answering<'_, Prepared> {
        Box::pin(async { Err(no_signatures()) })
    }

    /// Records what was prepared under this name: see `Trail::submit`.
    ///
    /// # Errors
    /// Nothing waits under this name, or the signature is not the one; or as for recording.
    fn submit(
        &self,
        _who: Text,
        _id: String,
        _signed: String,
        _may: Vec<Operation>,
    ) -> Answering<'_, Stored> {
        Box::pin(async { Err(no_signatures()) })
    }
}
