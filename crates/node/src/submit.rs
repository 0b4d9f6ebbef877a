//! The door for writes: a bounded queue in front of the executor.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use ledger::{Rejection, Transaction};
use tokio::sync::oneshot;
use verify::TxId;

use crate::metrics::Metrics;

/// What a caller waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The transaction has a place in the ledger; it can still be lost.
    Executed,
    /// It is durable, and covered by a signed root.
    Committed,
}

/// Why there is no answer about a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Too much is waiting. Nothing was recorded: try again after the given time.
    #[error("the ledger is busy; nothing was recorded, try again in {retry_after_secs} s")]
    Busy {
        /// Seconds to wait.
        retry_after_secs: u64,
    },
    /// The node stops. Nothing was recorded: try again when it is back.
    #[error("the node is stopping; nothing was recorded")]
    Stopping,
}

/// The executor's answer about one transaction.
pub(crate) type Answer = Result<TxId, Rejection>;

/// Where answers go.
pub(crate) enum Reply {
    One(oneshot::Sender<Answer>),
    Many(oneshot::Sender<Vec<Answer>>),
    /// For a thread that blocks, while the node starts.
    Blocking(mpsc::Sender<Vec<Answer>>),
}

impl Reply {
    /// Answers. Whoever has stopped waiting is no error.
    pub(crate) fn send(self, mut answers: Vec<Answer>) {
        match self {
            Self::One(sender) => {
                let answer = answers.pop().expect("a submission of one has one answer");
                let _ = sender.send(answer);
            }
            Self::Many(sender) => {
                let _ = sender.send(answers);
            }
            Self::Blocking(sender) => {
                let _ = sender.send(answers);
            }
        }
    }
}

/// Transactions that were submitted together, and who waits for them.
pub(crate) struct Submission {
    pub(crate) transactions: Vec<Box<dyn Transaction>>,
    pub(crate) wait: Wait,
    pub(crate) reply: Reply,
}

/// What wakes the executor.
pub(crate) enum Input {
    Submission(Submission),
    /// The committer has synced a batch: the log can take the next one.
    LogFree,
    /// Everything before this is still to be committed, nothing after it.
    Stop,
}

/// The sending side of the queue. The channel itself is unbounded; this counts what is in it.
pub(crate) struct Queue {
    sender: mpsc::Sender<Input>,
    waiting: AtomicUsize,
    limit: usize,
    metrics: Metrics,
}

impl Queue {
    pub(crate) fn new(sender: mpsc::Sender<Input>, limit: usize, metrics: Metrics) -> Self {
        Self {
            sender,
            waiting: AtomicUsize::new(0),
            limit,
            metrics,
        }
    }

    /// Submits transactions together; each takes one place in the queue.
    ///
    /// A single submission larger than the whole queue is let in when the queue is empty, or it
    /// could never be.
    pub(crate) fn submit(&self, submission: Submission) -> Result<(), SubmitError> {
        let places = submission.transactions.len();
        let before = self.waiting.fetch_add(places, Ordering::AcqRel);
        if before > 0 && before + places > self.limit {
            self.release(places);
            self.metrics.busy.inc_by(places as u64);
            return Err(SubmitError::Busy {
                retry_after_secs: 1,
            });
        }
        self.sender
            .send(Input::Submission(submission))
            .map_err(|_| {
                self.release(places);
                SubmitError::Stopping
            })
    }

    /// The executor has taken `places` out of the queue.
    pub(crate) fn release(&self, places: usize) {
        self.waiting.fetch_sub(places, Ordering::AcqRel);
    }

    /// Entries in the queue.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// Lets in nothing after what is in the queue now.
    pub(crate) fn stop(&self) {
        // An executor that is gone has stopped already.
        let _ = self.sender.send(Input::Stop);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submission(places: usize) -> Submission {
        let transaction = || -> Box<dyn Transaction> {
            Box::new(|_: &mut ledger::Tx<'_>| Ok(verify::Digest::ZERO))
        };
        let transactions = (0..places).map(|_| transaction()).collect();
        let (sender, _) = oneshot::channel();
        Submission {
            transactions,
            wait: Wait::Committed,
            reply: Reply::Many(sender),
        }
    }

    #[test]
    fn a_full_queue_says_busy_and_records_nothing() {
        let (sender, inputs) = mpsc::channel();
        let queue = Queue::new(sender, 3, Metrics::default());
        queue.submit(submission(2)).unwrap();
        assert!(matches!(
            queue.submit(submission(2)),
            Err(SubmitError::Busy { .. })
        ));
        queue.submit(submission(1)).unwrap();
        assert_eq!(inputs.try_iter().count(), 2);
        assert_eq!(queue.waiting(), 3);
    }

    #[test]
    fn a_submission_larger_than_the_queue_gets_in_when_it_is_empty() {
        let (sender, _inputs) = mpsc::channel();
        let queue = Queue::new(sender, 3, Metrics::default());
        queue.submit(submission(10)).unwrap();
        assert!(queue.submit(submission(1)).is_err());
        queue.release(10);
        queue.submit(submission(1)).unwrap();
    }

    #[test]
    fn after_the_executor_is_gone_nothing_is_taken() {
        let (sender, inputs) = mpsc::channel();
        let queue = Queue::new(sender, 3, Metrics::default());
        drop(inputs);
        assert_eq!(queue.submit(submission(1)), Err(SubmitError::Stopping));
        assert_eq!(queue.waiting(), 0);
    }
}
