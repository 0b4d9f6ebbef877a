//! Stores events, and says later whether a record is still what it was.

mod act;
mod batches;
mod captures;
pub mod chain;
mod consulting;
mod fresh;
mod journal;
mod keeping;
mod ledger;
pub mod log;
mod ours;
mod preparing;
mod query;
mod receipt;
mod recorder;
mod sending;
mod store;
mod storing;
#[cfg(test)]
mod tests;
mod trace;
mod turns;
mod write;
mod writer;

use std::io;
use std::path::Path;
use std::sync::Arc;

pub use act::{Act, Address, Answering, Enrolment, Given, Kind, Stored};
pub use captures::CaptureJob;
pub use chain::ChainLog;
pub use consulting::{Consulted, Log, Page, Question};
pub use ledger::LedgerLog;
pub use preparing::Prepared;
pub use query::{Cursor, Filter};
pub use receipt::Receipt;
pub use recorder::Recorder;
pub(crate) use storing::{CONCURRENT, OTHER_REQUEST, now};
pub use trace::{Direction, Link, Trace};

use crate::database::{Database, Kind as Databases};
use crate::model::{Operation, Text};
use fresh::About;
use journal::{Journal, Left};
use log::EventLog;
use ours::Sending;
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
    /// Whoever prepares an event.
    preparing: Arc<tokio::sync::Mutex<()>>,
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
            preparing: Arc::default(),
            sending: Arc::new(Sending::of(name)),
        }
    }

    /// The same, with a journal in this folder, which nobody else uses: what it has that the database does not is
    /// brought there. On PostgreSQL, which several replicas ask, events go straight into the database.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn by_journal(
        name: &str,
        database: Database,
        log: Arc<dyn EventLog>,
        folder: &Path,
    ) -> Result<Self, JournalError> {
        let name: Arc<str> = name.into();
        let (kind, store) = (database.kind(), Store::new(database));
        keeping::bring_back(&store, &name, Left::read(folder)?).await?;
        let (writer, store) = match kind {
            Databases::Sqlite => Writer::by_journal(store, &name, Journal::open(folder)?),
            Databases::Postgres => (Writer::start(&store, &name), store),
        };
        Ok(Self {
            writer,
            store,
            log,
            turns: Arc::default(),
            preparing: Arc::default(),
            sending: Arc::new(Sending::of(name)),
        })
    }

    /// Waits until the database has all that was stored.
    ///
    /// # Errors
    /// It does not take it.
    pub async fn settled(&self) -> Result<(), crate::Problem> {
        Ok(self.store.settled(About::All).await?)
    }

    /// The address of the root of the tree of contracts that events are in, where they are in one; none before
    /// there is a root.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn root(&self) -> Result<Option<String>, crate::Problem> {
        self.log.root().await
    }

    /// The account that signs what somebody does, where events go to a chain and they have one.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn account(&self, who: &Text) -> Result<Option<String>, crate::Problem> {
        self.log.account(who).await
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn is_well(&self) -> Result<(), crate::Problem> {
        Ok(self.store.ping().await?)
    }
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It cannot be read or written, or is not what was written.
    #[error("the journal of events")]
    Files(#[from] io::Error),
    /// The database does not take what it has.
    #[error("bringing the journal's events into the database")]
    Database(#[from] sqlx::Error),
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
