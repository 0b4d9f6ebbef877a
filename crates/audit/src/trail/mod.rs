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
}

impl Trail {
    /// A trail in this database, whose events go to this log. Call [`Trail::resume`] once it runs.
    pub fn new(database: Database, log: Arc<dyn EventLog>) -> Self {
        let store = Store::new(database);
        Self {
            writer: Writer::start(&store),
            store,
            log,
            turns: Arc::default(),
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
