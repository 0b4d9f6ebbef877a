//! Many writers share one sync: what arrives while the database is busy becomes its next transaction.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::store::{Committed, Row, Store};
use crate::Problem;
use crate::limits::{WRITES_TOGETHER_MAX, WRITES_WAITING_MAX};
use crate::model::Event;

/// Takes events and what became of them into the database. Ends when the last clone is gone.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    inserts: mpsc::Sender<Write<Box<(Event, Row)>, bool>>,
    commits: mpsc::Sender<Write<Committed, ()>>,
}

#[derive(Debug)]
struct Write<T, A> {
    what: T,
    tell: oneshot::Sender<Result<A, Arc<sqlx::Error>>>,
}

impl Writer {
    pub(crate) fn start(store: &Store) -> Self {
        let (inserts, to_insert) = mpsc::channel(WRITES_WAITING_MAX);
        let (commits, to_commit) = mpsc::channel(WRITES_WAITING_MAX);
        let (for_inserts, for_commits) = (store.clone(), store.clone());
        tokio::spawn(together(to_insert, move |rows: Vec<Box<(Event, Row)>>| {
            let store = for_inserts.clone();
            async move {
                let rows: Vec<(Event, Row)> = rows.into_iter().map(|row| *row).collect();
                store.insert(&rows).await
            }
        }));
        tokio::spawn(together(to_commit, move |committed: Vec<Committed>| {
            let store = for_commits.clone();
            async move {
                store.commit(&committed).await?;
                Ok(vec![(); committed.len()])
            }
        }));
        Self { inserts, commits }
    }

    /// Puts an event that is on its way; it is synced when this answers. `false`: its version or its
    /// request's name is taken.
    ///
    /// # Errors
    /// Too many wait, or the database does not take it.
    pub(crate) async fn insert(&self, event: Event, row: Row) -> Result<bool, Problem> {
        write(&self.inserts, Box::new((event, row)), false).await
    }

    /// Notes that an event is committed. This waits for its turn: the event is in the ledger already.
    ///
    /// # Errors
    /// The database does not take it.
    pub(crate) async fn commit(&self, committed: Committed) -> Result<(), Problem> {
        write(&self.commits, committed, true).await
    }
}

async fn write<T, A>(
    queue: &mpsc::Sender<Write<T, A>>,
    what: T,
    patient: bool,
) -> Result<A, Problem> {
    let (tell, told) = oneshot::channel();
    let write = Write { what, tell };
    let stopping = || Problem::unavailable("Stopping", "this service is stopping; try again");
    if patient {
        queue.send(write).await.map_err(|_| stopping())?;
    } else {
        queue.try_send(write).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Problem::busy(
                "too many events at once: nothing was recorded, try again in a second",
            ),
            mpsc::error::TrySendError::Closed(_) => stopping(),
        })?;
    }
    match told.await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(shared(&error)),
        Err(_) => Err(stopping()),
    }
}

/// All that wait, in one transaction; then the next.
async fn together<T, A, F>(
    mut queue: mpsc::Receiver<Write<T, A>>,
    mut run: impl FnMut(Vec<T>) -> F + Send,
) where
    F: Future<Output = Result<Vec<A>, sqlx::Error>> + Send,
{
    let mut writes = Vec::with_capacity(WRITES_TOGETHER_MAX);
    while queue.recv_many(&mut writes, WRITES_TOGETHER_MAX).await > 0 {
        let (what, tell): (Vec<_>, Vec<_>) = writes
            .drain(..)
            .map(|write| (write.what, write.tell))
            .unzip();
        // Whoever does not wait any more needs no answer.
        match run(what).await {
            Ok(answers) => {
                for (tell, answer) in tell.into_iter().zip(answers) {
                    let _ = tell.send(Ok(answer));
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for tell in tell {
                    let _ = tell.send(Err(Arc::clone(&error)));
                }
            }
        }
    }
}

/// One error for all whose write was in the transaction.
fn shared(error: &sqlx::Error) -> Problem {
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) | sqlx::Error::PoolClosed => {
            Problem::unavailable(
                "DatabaseUnavailable",
                "the database does not answer now; try again",
            )
        }
        error => Problem::internal("writing to the database", error),
    }
}
