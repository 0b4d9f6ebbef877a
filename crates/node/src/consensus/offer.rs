//! Handing a reign's batches to the library, one after the other.
//!
//! A batch continues the one before it, so none may be taken after one that was refused. The executor
//! closes a batch when the one before is synced: at most one is on its way into the log, and one that
//! has to wait holds back those that would follow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openraft::errors::{ClientWriteError, ForwardReason};
use store::Batch;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use verify::View;

use super::outstanding::Outstanding;
use super::types::{CommittedLeader, Proposal, Raft, Tell, Types};
use crate::committer::Closed;

/// How long a batch waits that a leader cannot take because it has not heard of a majority.
const AGAIN: Duration = Duration::from_millis(10);

/// How a reign stands, as those see it who offer its batches.
#[derive(Default)]
pub(crate) struct Course {
    /// A batch was refused for good: what was executed after it hangs in the air.
    pub(crate) broken: AtomicBool,
    /// It ended: nothing is offered any more.
    pub(crate) over: AtomicBool,
}

/// Offers what an executor closed in this view.
pub(crate) struct Offering {
    pub(crate) raft: Raft,
    pub(crate) outstanding: Arc<Outstanding>,
    pub(crate) course: Arc<Course>,
    pub(crate) view: View,
}

/// A batch that has to wait, and where it comes back to if it has to again.
struct Waiting {
    batch: Arc<Batch>,
    again: UnboundedSender<Self>,
}

impl Offering {
    /// Runs until the executor has ended and each of its batches is decided on.
    pub(crate) async fn run(self, mut closed: UnboundedReceiver<Closed>) {
        let (again, mut waiting) = unbounded_channel();
        loop {
            tokio::select! {
                biased;
                Some(wait) = waiting.recv() => self.offer_again(wait).await,
                next = closed.recv() => match next {
                    Some(Closed { batch, waiting }) => {
                        let batch = Arc::new(batch);
                        self.outstanding.wait(self.view, batch.last(), waiting);
                        self.offer(batch, again.clone()).await;
                    }
                    None => break,
                },
            }
        }
        // Who tells what became of a batch holds a sender, so this ends.
        drop(again);
        while let Some(wait) = waiting.recv().await {
            self.offer_again(wait).await;
        }
    }

    async fn offer_again(&self, waiting: Waiting) {
        tokio::time::sleep(AGAIN).await;
        if self.course.over.load(Ordering::Acquire) {
            self.outstanding.refused(self.view, waiting.batch.last());
        } else {
            self.offer(waiting.batch, waiting.again).await;
        }
    }

    async fn offer(&self, batch: Arc<Batch>, again: UnboundedSender<Waiting>) {
        let (view, last) = (self.view, batch.last());
        let (told, course) = (Arc::clone(&self.outstanding), Arc::clone(&self.course));
        let refused = Arc::clone(&batch);
        // An error means that it never came into the log, or that it was cut from it for another
        // leader's. What is committed is answered when it is applied.
        let tell = Tell(Box::new(move |result: Result<_, _>| {
            let Err(error) = result else { return };
            let error: ClientWriteError<Types> = error;
            if has_to_wait(&error) {
                let waiting = Waiting {
                    batch: refused,
                    again: again.clone(),
                };
                if again.send(waiting).is_ok() {
                    return;
                }
            }
            tracing::warn!(view = view.0, last = last.0, %error, "a batch was refused");
            course.broken.store(true, Ordering::Release);
            told.refused(view, last);
        }));
        let proposed = self
            .raft
            .write(Proposal::known(batch))
            .with_leader(CommittedLeader::new(view.0))
            .responder(tell)
            .await;
        if proposed.is_err() {
            self.course.broken.store(true, Ordering::Release);
            self.outstanding.refused(view, last);
        }
    }
}

/// Whether this node leads still and only has to hear of a majority again.
fn has_to_wait(error: &ClientWriteError<Types>) -> bool {
    matches!(error, ClientWriteError::ForwardToLeader(forward)
        if forward.reason == ForwardReason::LeaseExpired)
}
