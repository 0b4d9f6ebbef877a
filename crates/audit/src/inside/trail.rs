//! The trail as others ask for it.

use std::sync::Arc;

use aws_lc_rs::rand;
use serde_json::Value;

use super::{Peers, calls};
use crate::Problem;
use crate::model::capture::Captured;
use crate::model::{Operation, RecordId, ResourceId, Text};
use crate::telemetry::{Kind, timed};
use crate::trail::{
    Act, Answering, CaptureJob, Consulted, Cursor, Direction, Filter, Log, Page, Prepared,
    Question, Recorder, Stored, Trace, Trail,
};

/// The service that stores and consults, wherever it is. Cheap to clone.
#[derive(Debug, Clone)]
pub enum TrailAt {
    /// In this process.
    Here(Trail),
    /// In others.
    There(Arc<Peers>),
}

impl From<Trail> for TrailAt {
    fn from(trail: Trail) -> Self {
        Self::Here(trail)
    }
}

impl From<Peers> for TrailAt {
    fn from(peers: Peers) -> Self {
        Self::There(Arc::new(peers))
    }
}

calls! {
    TrailAt is Trail as trail, served by routes;

    /// Records an act that has a name of its own.
    insists record_once(act: Act) -> Stored = trail.store(act);
    /// See [`Trail::prepare`]: what is prepared twice expires.
    asks prepare(act: Act) -> Prepared = trail.prepare(act);
    /// See [`Trail::submit`].
    insists submit(who: Text, id: String, signed: String, may: Vec<Operation>) -> Stored =
        trail.submit(who, id, signed, may);
    /// See [`Trail::consult`].
    asks consult(question: Question) -> Consulted = trail.consult(question);
    /// See [`Trail::logs`].
    asks logs(filter: Filter) -> Page = trail.logs(filter);
    /// See [`Trail::newest`].
    asks newest(record: RecordId) -> (Log, Option<Value>) = trail.newest(&record);
    /// See [`Trail::trace`].
    asks trace(start: ResourceId, way: Direction) -> Trace = trail.trace(start, way);
    /// See [`Trail::capture`]: sent again, each event is recorded once.
    insists capture(who: Text, place: Text, events: Vec<Captured>) -> CaptureJob =
        trail.capture(&who, &place, events);
    /// See [`Trail::capture_job`].
    asks capture_job(who: Text, id: String) -> CaptureJob = trail.capture_job(&who, &id);
    /// See [`Trail::captured`].
    asks captured(after: Option<Cursor>, limit: u32) -> Vec<(Log, Value)> =
        trail.captured(after, limit);
    /// See [`Trail::captured_one`].
    asks captured_one(record: RecordId) -> (Log, Value) = trail.captured_one(&record);
    /// See [`Trail::account`].
    asks account(who: Text) -> Option<String> = trail.account(&who);
    /// See [`Trail::root`].
    asks root() -> Option<String> = trail.root();
    /// See [`Trail::is_well`].
    asks is_well() -> () = trail.is_well();
}

impl TrailAt {
    /// Records an act. Elsewhere it gets a name if it has none, so that it may be sent to another replica when
    /// one dies.
    ///
    /// # Errors
    /// See [`Trail::store`].
    pub(crate) async fn store(&self, mut act: Act) -> Result<Stored, Problem> {
        match self {
            Self::Here(trail) => timed("trail.store", Kind::Internal, trail.store(act)).await,
            Self::There(_) => {
                if act.once.is_none() {
                    act.once = Some(fresh()?);
                }
                self.record_once(act).await
            }
        }
    }
}

impl Recorder for TrailAt {
    fn record(&self, act: Act) -> Answering<'_, Stored> {
        Box::pin(self.store(act))
    }

    fn prepare(&self, act: Act) -> Answering<'_, Prepared> {
        Box::pin(Self::prepare(self, act))
    }

    fn submit(
        &self,
        who: Text,
        id: String,
        signed: String,
        may: Vec<Operation>,
    ) -> Answering<'_, Stored> {
        Box::pin(Self::submit(self, who, id, signed, may))
    }
}

fn fresh() -> Result<String, Problem> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|error| Problem::internal("drawing a name", &error))?;
    Ok(format!("gateway-{}", hex::encode(bytes)))
}
