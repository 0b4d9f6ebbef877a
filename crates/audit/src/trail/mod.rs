//! Stores events, and says later whether a record is still what it was.

mod act;
mod batches;
mod captures;
pub mod chain;
mod consulting;
mod ledger;
pub mod log;
mod query;
mod receipt;
mod sending;
mod store;
mod storing;
#[cfg(test)]
mod tests;
mod trace;
mod turns;
mod writer;

use std::sync::Arc;

pub use act::{Act, Address, Answering, Enrolment, Given, Kind, Recorder, Stored};
pub use captures::CaptureJob;
pub use chain::ChainLog;
pub use consulting::{Consulted, Log, Page, Question};
pub use ledger::LedgerLog;
pub use query::{Cursor, Filter};
pub use receipt::Receipt;
pub(crate) use storing::now;
pub use trace::{Direction, Link, Trace};

use crate::database::Database;
use log::EventLog;
use sending::Sending;
use store::Store;
use turns::Turns;
use writer::Writer;

/// The service that stores and consults. Cheap to clone.
#[derive(Clone)]
pub struct Trail {
    store: Store,
    writer: Writer,
    log: Arc<dyn EventLog>,
    turns: Arc<Turns>,
    sending: Arc<Sending>,
}

impl Trail {
    /// A trail in this database, whose events go to this log, as a replica that nobody knows yet. Call
    /// [`Trail::resume`] once it runs.
    pub fn new(database: Database, log: Arc<dyn EventLog>) -> Self {
        Self::of_replica(storing::fresh().as_str(), database, log)
    }

    /// The same, as the replica of this name, which is another's than that of any other that runs: started
    /// again, it goes on at once with what it left.
    pub fn of_replica(name: &str, database: Database, log: Arc<dyn EventLog>) -> Self {
        let store = Store::new(database);
        let name: Arc<str> = name.into();
        Self {
            writer: Writer::start(&store, &name),
            store,
            log,
            turns: Arc::default(),
            sending: Arc::new(Sending::of(name)),
        }
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn is_well(&self) -> Result<(), crate::Problem> {
        Ok(self.store.ping().await?)
    }
}

impl std::fmt::Debug for Trail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trail")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl Recorder for Trail {
    fn record(&self, act: Act) -> Answering<'_, Stored> {
        Box::pin(self.store(act))
    }
}
