//! Many writers share one sync: what arrives while the database is busy becomes its next transaction.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::fresh::Fresh;
use super::journal::Journal;
use super::keeping::{bring, keep};
use super::ours::Ours;
use super::store::{Committed, Pending, Store};
use super::write::{Together, Write, given, tell};
use crate::Problem;
use crate::limits::{WRITES_TOGETHER_MAX, WRITES_WAITING_MAX};
use crate::model::Event;

/// The word for a service that takes nothing more.
pub(crate) const STOPPING: &str = "Stopping";

/// Takes events and what became of them, into the database or into a journal before it. Ends when the last clone is
/// gone.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Write>,
    fresh: Option<Arc<Fresh>>,
}

impl Writer {
    /// A writer for the replica of this name, straight into the database.
    pub(super) fn start(store: &Store, sender: &Arc<str>) -> Self {
        let (queue, writes) = mpsc::channel(WRITES_WAITING_MAX);
        tokio::spawn(write_all(store.clone(), Arc::clone(sender), writes));
        Self { queue, fresh: None }
    }

    /// The same by a journal, of which nothing is left that the database does not have; and what has to be asked
    /// instead of the database.
    pub(super) fn by_journal(store: Store, sender: &Arc<str>, journal: Journal) -> (Self, Store) {
        let (queue, writes) = mpsc::channel(WRITES_WAITING_MAX);
        let (fresh, before) = (Arc::new(Fresh::new()), journal.before());
        let bringing = bring(
            store.clone(),
            Arc::clone(sender),
            Arc::clone(&fresh),
            before,
        );
        tokio::spawn(bringing);
        tokio::spawn(keep(store.clone(), Arc::clone(&fresh), journal, writes));
        let store = store.behind(Arc::clone(&fresh));
        let fresh = Some(fresh);
        (Self { queue, fresh }, store)
    }

    /// Puts an event that is on its way; it is synced when this answers, and its place is given back. `None`: its
    /// version or its request's name is taken.
    ///
    /// # Errors
    /// Too many wait, or the database does not take it.
    pub(super) async fn insert(
        &self,
        pending: Arc<Pending>,
        ours: Ours,
    ) -> Result<Option<Ours>, Problem> {
        let (tell, told) = oneshot::channel();
        let write = Write::Event(pending, ours, tell);
        self.queue.try_send(write).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Problem::busy(
                "too many events at once: nothing was recorded, try again in a second",
            ),
            mpsc::error::TrySendError::Closed(_) => stopping(),
        })?;
        answer(told).await
    }

    /// Notes that an event is committed. The database has it when this answers; where there is a journal, before it
    /// is asked next.
    ///
    /// # Errors
    /// The database does not take it.
    pub(super) async fn commit(&self, committed: Arc<Committed>) -> Result<(), Problem> {
        if let Some(fresh) = &self.fresh {
            fresh.commit(committed);
            return Ok(());
        }
        let (tell, told) = oneshot::channel();
        let write = Write::Committed(committed, tell);
        self.queue.send(write).await.map_err(|_| stopping())?;
        answer(told).await
    }

    /// Forgets an event that the ledger will never have, for good when this answers. `false`: the database may have it.
    ///
    /// # Errors
    /// The journal does not take that: the event stays, and will be sent again.
    pub(super) async fn take_back(&self, event: &Event) -> Result<bool, Problem> {
        let Some(fresh) = &self.fresh else {
            return Ok(false);
        };
        let key = (event.record.clone(), event.version);
        let (tell, told) = oneshot::channel();
        let write = Write::TakenBack(key.clone(), tell);
        self.queue.send(write).await.map_err(|_| stopping())?;
        answer(told).await?;
        Ok(fresh.take_back(&key))
    }
}

async fn answer<A>(told: oneshot::Receiver<Result<A, Problem>>) -> Result<A, Problem> {
    told.await.unwrap_or_else(|_| Err(stopping()))
}

fn stopping() -> Problem {
    Problem::unavailable(STOPPING, "this service is stopping; try again")
}

/// All that wait, in one transaction; then the next.
async fn write_all(store: Store, sender: Arc<str>, mut queue: mpsc::Receiver<Write>) {
    let mut writes = Vec::with_capacity(WRITES_TOGETHER_MAX);
    while queue.recv_many(&mut writes, WRITES_TOGETHER_MAX).await > 0 {
        // What is taken back is written only where there is a journal.
        let Together {
            events,
            places,
            to_events,
            committed,
            to_committed,
            ..
        } = writes.drain(..).collect();
        let all_noted = vec![(); committed.len()];
        let written = store.write(&sender, &events, &committed).await;
        match written.map_err(Problem::from) {
            Ok(are_in) => {
                tell(to_events, Ok(given(places, are_in)));
                tell(to_committed, Ok(all_noted));
            }
            Err(problem) if events.is_empty() => tell(to_committed, Err(problem)),
            Err(problem) => {
                // Whether they are there may not be known, so they are not written again here.
                drop(places);
                tell(to_events, Err(problem));
                // What is committed does not wait for an event that the database does not take.
                if !committed.is_empty() {
                    let noted = store.write(&sender, &[], &committed).await;
                    let noted = noted.map(|_| all_noted).map_err(Problem::from);
                    tell(to_committed, noted);
                }
            }
        }
    }
}
