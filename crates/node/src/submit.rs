//! The door for writes: a bounded queue in front of the executor.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

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
    /// Another node leads, or none does just now. Nothing was recorded: ask the leader.
    #[error("this node does not lead; nothing was recorded, ask the leader")]
    NotLeading,
    /// The leader lost its reign before others had it. Nothing was recorded: try again.
    #[error("the leader changed; nothing was recorded, try again")]
    Lost,
    /// The leader changed before it was known whether others have it. Ask for the status of this
    /// transaction until it is committed or invalid; do not send it again before.
    #[error("the leader changed; whether {id} is recorded is not known yet, ask for its status")]
    InDoubt {
        /// The first transaction that was submitted together.
        id: TxId,
    },
}

/// The executor's answer about one transaction.
pub(crate) type Answer = Result<TxId, Rejection>;

/// Where answers go.
pub(crate) enum Reply {
    One(oneshot::Sender<Result<Answer, SubmitError>>),
    Many(oneshot::Sender<Result<Vec<Answer>, SubmitError>>),
    /// For a thread that blocks, while the node starts.
    Blocking(mpsc::Sender<Result<Vec<Answer>, SubmitError>>),
}

impl Reply {
    /// Answers. Whoever has stopped waiting is no error.
    pub(crate) fn send(self, mut answers: Vec<Answer>) {
        match self {
            Self::One(sender) => {
                let answer = answers.pop().expect("a submission of one has one answer");
                let _ = sender.send(Ok(answer));
            }
            Self::Many(sender) => {
                let _ = sender.send(Ok(answers));
            }
            Self::Blocking(sender) => {
                let _ = sender.send(Ok(answers));
            }
        }
    }

    /// Tells why there is no answer.
    pub(crate) fn fail(self, error: SubmitError) {
        match self {
            Self::One(sender) => drop(sender.send(Err(error))),
            Self::Many(sender) => drop(sender.send(Err(error))),
            Self::Blocking(sender) => drop(sender.send(Err(error))),
        }
    }
}

/// Transactions that were submitted together, and who waits for them.
pub(crate) struct Submission {
    pub(crate) transactions: Vec<Box<dyn Transaction>>,
    pub(crate) wait: Wait,
    pub(crate) reply: Reply,
}

/// The door between callers, the executor and the log.
///
/// Waking a sleeping thread costs both sides more than executing an entry does. So the executor says
/// what it is waiting for, and is left asleep until that is there.
pub(crate) struct Queue {
    inbox: Mutex<Inbox>,
    wake: Condvar,
    /// Entries that were let in and not yet taken over by a batch.
    waiting: AtomicUsize,
    limit: usize,
    metrics: Metrics,
}

#[derive(Default)]
struct Inbox {
    submissions: VecDeque<Submission>,
    log_free: bool,
    stopping: bool,
    /// Nobody executes: this node does not lead.
    closed: bool,
    /// This node cannot tell whether it still leads.
    paused: bool,
    /// The executor sleeps until this many submissions are there,
    wake_at: usize,
    /// or the log is free.
    wake_for_log: bool,
}

impl Inbox {
    /// Whether there is something that the executor should know.
    fn has(&self, wanted: Wanted) -> bool {
        let enough = self.submissions.len() >= wanted.submissions;
        enough || self.stopping || self.closed || (wanted.log && self.log_free)
    }
}

/// What the executor waits for; whichever comes first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// This many submissions.
    pub(crate) submissions: usize,
    /// The log, free to take a batch.
    pub(crate) log: bool,
    /// The end of this time.
    pub(crate) patience: Option<Duration>,
}

/// What there was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct News {
    /// Submissions were added.
    pub(crate) submissions: usize,
    /// The log has become free since the last time.
    pub(crate) log_free: bool,
    /// Nothing will be let in any more.
    pub(crate) stopping: bool,
    /// This node does not lead any more: whatever is not handed to the log is refused.
    pub(crate) deposed: bool,
}

impl Queue {
    pub(crate) fn new(limit: usize, metrics: Metrics) -> Self {
        Self {
            inbox: Mutex::default(),
            wake: Condvar::new(),
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
        let mut inbox = self.inbox();
        let refused = match (inbox.stopping, inbox.closed || inbox.paused) {
            (true, _) => Some(SubmitError::Stopping),
            (false, true) => Some(SubmitError::NotLeading),
            (false, false) => None,
        };
        if let Some(refused) = refused {
            drop(inbox);
            self.release(places);
            return Err(refused);
        }
        inbox.submissions.push_back(submission);
        let enough = inbox.submissions.len() >= inbox.wake_at;
        drop(inbox);
        if enough {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// A batch has taken over `places`.
    pub(crate) fn release(&self, places: usize) {
        self.waiting.fetch_sub(places, Ordering::AcqRel);
    }

    /// Entries in the queue.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// The log has synced a batch and can take the next one.
    pub(crate) fn log_is_free(&self) {
        let mut inbox = self.inbox();
        inbox.log_free = true;
        let awaited = inbox.wake_for_log;
        drop(inbox);
        if awaited {
            self.wake.notify_one();
        }
    }

    /// Lets in nothing until it is opened: this node does not lead. What was let in and is not taken
    /// over yet is refused, and the executor is told to end.
    pub(crate) fn close(&self) {
        let mut inbox = self.inbox();
        inbox.closed = true;
        let refused = std::mem::take(&mut inbox.submissions);
        drop(inbox);
        self.wake.notify_one();
        for submission in refused {
            self.release(submission.transactions.len());
            submission.reply.fail(SubmitError::NotLeading);
        }
    }

    /// Lets in nothing while `paused`; what was let in goes on.
    pub(crate) fn pause(&self, paused: bool) {
        self.inbox().paused = paused;
    }

    /// Lets in what comes: this node leads, and the log is free.
    pub(crate) fn open(&self) {
        let mut inbox = self.inbox();
        inbox.closed = false;
        inbox.paused = false;
        inbox.log_free = false;
    }

    /// Lets in nothing after what is in the queue now.
    pub(crate) fn stop(&self) {
        self.inbox().stopping = true;
        self.wake.notify_one();
    }

    /// Waits for what is wanted, or for the order to stop, and adds all submissions to `taken`.
    pub(crate) fn next(&self, wanted: Wanted, taken: &mut VecDeque<Submission>) -> News {
        let deadline = wanted.patience.map(|patience| Instant::now() + patience);
        let mut inbox = self.inbox();
        inbox.wake_at = wanted.submissions;
        inbox.wake_for_log = wanted.log;
        while !inbox.has(wanted) {
            let Some(deadline) = deadline else {
                inbox = self
                    .wake
                    .wait(inbox)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let woken = self.wake.wait_timeout(inbox, left);
            inbox = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        let news = News {
            submissions: inbox.submissions.len(),
            log_free: std::mem::take(&mut inbox.log_free),
            stopping: inbox.stopping,
            deposed: inbox.closed,
        };
        taken.append(&mut inbox.submissions);
        news
    }

    /// A panic while the lock is held cannot leave the inbox half changed.
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn queue() -> Queue {
        Queue::new(3, Metrics::default())
    }

    const NOW: Wanted = Wanted {
        submissions: 1,
        log: true,
        patience: Some(Duration::ZERO),
    };

    #[test]
    fn a_full_queue_says_busy_and_records_nothing() {
        let queue = queue();
        queue.submit(submission(2)).unwrap();
        assert!(matches!(
            queue.submit(submission(2)),
            Err(SubmitError::Busy { .. })
        ));
        queue.submit(submission(1)).unwrap();
        assert_eq!(queue.next(NOW, &mut VecDeque::new()).submissions, 2);
        assert_eq!(queue.waiting(), 3);
    }

    #[test]
    fn a_submission_larger_than_the_queue_gets_in_when_it_is_empty() {
        let queue = queue();
        queue.submit(submission(10)).unwrap();
        assert!(queue.submit(submission(1)).is_err());
        queue.release(10);
        queue.submit(submission(1)).unwrap();
    }

    #[test]
    fn after_the_stop_nothing_is_let_in_and_what_was_is_handed_out() {
        let queue = queue();
        queue.submit(submission(1)).unwrap();
        queue.stop();
        assert_eq!(queue.submit(submission(1)), Err(SubmitError::Stopping));
        let mut taken = VecDeque::new();
        let wanted = Wanted {
            submissions: 9,
            log: false,
            patience: None,
        };
        let news = queue.next(wanted, &mut taken);
        assert_eq!((news.submissions, news.stopping, taken.len()), (1, true, 1));
    }

    #[test]
    fn that_the_log_is_free_is_told_once() {
        let queue = queue();
        queue.log_is_free();
        assert!(queue.next(NOW, &mut VecDeque::new()).log_free);
        assert!(!queue.next(NOW, &mut VecDeque::new()).log_free);
    }

    #[test]
    fn a_sleeping_executor_is_woken_when_enough_is_there() {
        let queue = std::sync::Arc::new(queue());
        let sleeper = std::sync::Arc::clone(&queue);
        let wanted = Wanted {
            submissions: 2,
            log: false,
            patience: None,
        };
        let woken = std::thread::spawn(move || sleeper.next(wanted, &mut VecDeque::new()));
        queue.submit(submission(1)).unwrap();
        queue.submit(submission(1)).unwrap();
        assert_eq!(woken.join().unwrap().submissions, 2);
    }
}
