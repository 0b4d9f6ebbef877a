//! Many writers share one sync: what arrives while the database is busy becomes its next transaction.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::store::{Committed, Row, Store};
use crate::Problem;
use crate::database::problem;
use crate::limits::{WRITES_TOGETHER_MAX, WRITES_WAITING_MAX};
use crate::model::Event;

/// The word for a service that takes nothing more.
pub(crate) const STOPPING: &str = "Stopping";

/// Takes events and what became of them into the database. Ends when the last clone is gone.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Write>,
}

/// What somebody wants written, and where they wait.
#[derive(Debug)]
enum Write {
    Event(Box<(Event, Row)>, Tell<bool>),
    Committed(Committed, Tell<()>),
}

type Tell<A> = oneshot::Sender<Result<A, Arc<sqlx::Error>>>;

impl Writer {
    /// A writer for the replica of this name.
    pub(crate) fn start(store: &Store, sender: &Arc<str>) -> Self {
        let (queue, writes) = mpsc::channel(WRITES_WAITING_MAX);
        tokio::spawn(write_all(store.clone(), Arc::clone(sender), writes));
        Self { queue }
    }

    /// Puts an event that is on its way; it is synced when this answers. `false`: its version or its
    /// request's name is taken.
    ///
    /// # Errors
    /// Too many wait, or the database does not take it.
    pub(crate) async fn insert(&self, event: Event, row: Row) -> Result<bool, Problem> {
        let (tell, told) = oneshot::channel();
        let write = Write::Event(Box::new((event, row)), tell);
        self.queue.try_send(write).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Problem::busy(
                "too many events at once: nothing was recorded, try again in a second",
            ),
            mpsc::error::TrySendError::Closed(_) => stopping(),
        })?;
        answer(told).await
    }

    /// Notes that an event is committed. This waits for its turn: the event is in the ledger already.
    ///
    /// # Errors
    /// The database does not take it.
    pub(crate) async fn commit(&self, committed: Committed) -> Result<(), Problem> {
        let (tell, told) = oneshot::channel();
        let write = Write::Committed(committed, tell);
        self.queue.send(write).await.map_err(|_| stopping())?;
        answer(told).await
    }
}

async fn answer<A>(told: oneshot::Receiver<Result<A, Arc<sqlx::Error>>>) -> Result<A, Problem> {
    match told.await {
        Ok(Ok(answer)) => Ok(answer),
        // One error for all whose write was in the transaction.
        Ok(Err(error)) => Err(problem(&error)),
        Err(_) => Err(stopping()),
    }
}

fn stopping() -> Problem {
    Problem::unavailable(STOPPING, "this service is stopping; try again")
}

/// All that wait, in one transaction; then the next.
async fn write_all(store: Store, sender: Arc<str>, mut queue: mpsc::Receiver<Write>) {
    let mut writes = Vec::with_capacity(WRITES_TOGETHER_MAX);
    while queue.recv_many(&mut writes, WRITES_TOGETHER_MAX).await > 0 {
        let (mut events, mut to_events) = (Vec::new(), Vec::new());
        let (mut committed, mut to_committed) = (Vec::new(), Vec::new());
        for write in writes.drain(..) {
            match write {
                Write::Event(event, tell) => {
                    events.push(*event);
                    to_events.push(tell);
                }
                Write::Committed(one, tell) => {
                    committed.push(one);
                    to_committed.push(tell);
                }
            }
        }
        let noted = |result: Result<Vec<bool>, _>| result.map(|_| vec![(); committed.len()]);
        match store.write(&sender, &events, &committed).await {
            Ok(inserted) => {
                tell(to_events, Ok(inserted));
                tell(to_committed, noted(Ok(Vec::new())));
            }
            // What is committed does not wait for an event that the database does not take.
            Err(_) if !events.is_empty() && !committed.is_empty() => {
                tell(
                    to_committed,
                    noted(store.write(&sender, &[], &committed).await),
                );
                tell(to_events, store.write(&sender, &events, &[]).await);
            }
            Err(error) if events.is_empty() => tell(to_committed, noted(Err(error))),
            Err(error) => tell(to_events, Err(error)),
        }
    }
}

/// Tells each what became of theirs. Whoever does not wait any more needs no answer.
fn tell<A>(waiting: Vec<Tell<A>>, answers: Result<Vec<A>, sqlx::Error>) {
    match answers {
        Ok(answers) => {
            for (tell, answer) in waiting.into_iter().zip(answers) {
                let _ = tell.send(Ok(answer));
            }
        }
        Err(error) => {
            let error = Arc::new(error);
            for tell in waiting {
                let _ = tell.send(Err(Arc::clone(&error)));
            }
        }
    }
}
