//! The executor: one thread that runs all writes, one after the other, and closes batches.
//!
//! A batch is closed as soon as the log is free. At low load that is at once, so a write waits for
//! nobody; under load everything that came during the last sync becomes one batch, so batches grow
//! by themselves.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ledger::write_set::Domain;
use ledger::{LedgerSecret, LedgerSecrets, Rejection, Transaction, Tx, WriteSet, entry};
use store::{Batch, BatchEntry};
use verify::{Digest, Frontier, Seqno, TxId, View};

use crate::committer::Closed;
use crate::metrics::Metrics;
use crate::pace::Pace;
use crate::signer::Signer;
use crate::speculative::Speculative;
use crate::submit::{Answer, Queue, Reply, Submission, SubmitError, Wait, Wanted};

/// A batch takes no further submission beyond this; it bounds the memory of the two batches under
/// way and the time that one sync takes.
const BATCH_BYTES_MAX: usize = 8 << 20;

/// While the log is busy, this many submissions are worth waking up for: they are executed while the
/// disk works, and one waking serves them all.
const HANDFUL: usize = 16;

/// Takes what is there and waits for nothing.
const WHAT_IS_THERE: Wanted = Wanted {
    submissions: 0,
    log: false,
    patience: None,
};

pub(crate) struct Executor {
    pub(crate) view: View,
    pub(crate) secrets: Arc<LedgerSecrets>,
    /// The one of this batch.
    pub(crate) secret: Arc<LedgerSecret>,
    /// The one of the next batch, where this one has a rekey.
    pub(crate) begun: Option<Arc<LedgerSecret>>,
    pub(crate) state: Speculative,
    /// The tree ahead of the commit. Its frontier is all that is needed to sign.
    pub(crate) tree: Frontier,
    pub(crate) signer: Signer,
    pub(crate) queue: Arc<Queue>,
    /// Takes batches; says no when it is gone.
    pub(crate) log: Box<dyn FnMut(Closed) -> bool + Send>,
    /// The last seqno that was given out, for transaction status.
    pub(crate) executed: Arc<AtomicU64>,
    pub(crate) pace: Pace,
    pub(crate) metrics: Metrics,
}

/// The batch that is being filled.
struct Filling {
    batch: Batch,
    waiting: Vec<(Reply, Vec<Answer>)>,
    /// Submissions in it, whether somebody waits for the commit or not.
    callers: usize,
}

impl Filling {
    fn has_room(&self) -> bool {
        self.batch.bytes.len() < BATCH_BYTES_MAX
    }

    fn is_empty(&self) -> bool {
        self.batch.entries.is_empty()
    }
}

impl Executor {
    /// Runs until it is told to stop and everything before that is handed to the log.
    pub(crate) fn run(mut self) {
        let mut filling = Self::empty_batch(Seqno(self.tree.size()), self.view, 0);
        // Taken while the batch was full. Still counted by the queue, so bounded.
        let mut backlog = VecDeque::new();
        let mut log_free = true;
        let mut stopping = false;
        loop {
            while self.takes_more(&filling)
                && let Some(submission) = backlog.pop_front()
            {
                self.execute(submission, &mut filling);
            }
            if stopping && filling.is_empty() {
                return;
            }
            let wanted = self.wanted(&filling, log_free, stopping);
            let news = match wanted {
                Some(wanted) => self.queue.next(wanted, &mut backlog),
                None => self.queue.next(WHAT_IS_THERE, &mut backlog),
            };
            if news.deposed {
                return self.abdicate(filling, backlog);
            }
            stopping |= news.stopping;
            if news.log_free {
                log_free = true;
                self.pace.log_is_free(filling.callers, Instant::now());
            }
            let nothing_more = !self.takes_more(&filling) || news.submissions == 0;
            if wanted.is_none() && log_free && nothing_more {
                let closed = self.close(&mut filling);
                // A log that is gone has ended the process, or is about to.
                if !(self.log)(closed) {
                    return;
                }
                log_free = false;
            }
        }
    }

    /// Another node leads now: nobody has heard of what is here.
    fn abdicate(&self, filling: Filling, backlog: VecDeque<Submission>) {
        for (reply, _) in filling.waiting {
            reply.fail(SubmitError::Lost);
        }
        for submission in backlog {
            self.queue.release(submission.transactions.len());
            submission.reply.fail(SubmitError::NotLeading);
        }
    }

    /// What to wait for; `None` to close the batch.
    fn wanted(&self, filling: &Filling, log_free: bool, stopping: bool) -> Option<Wanted> {
        let wanted = |submissions, patience| Wanted {
            submissions,
            log: !log_free && !filling.is_empty(), // with nothing to hand to it, it may wait
            patience,
        };
        if filling.is_empty() {
            return Some(wanted(1, None));
        }
        if !log_free {
            let submissions = if self.takes_more(filling) {
                HANDFUL
            } else {
                usize::MAX
            };
            return Some(wanted(submissions, None));
        }
        if stopping || !self.takes_more(filling) {
            return None;
        }
        let patience = self.pace.wait(filling.callers, Instant::now())?;
        Some(wanted(patience.callers.min(HANDFUL), Some(patience.left)))
    }

    /// A rekey is the last of its batch.
    fn takes_more(&self, filling: &Filling) -> bool {
        filling.has_room() && self.begun.is_none()
    }

    fn execute(&mut self, submission: Submission, filling: &mut Filling) {
        let Submission {
            transactions,
            wait,
            reply,
        } = submission;
        self.queue.release(transactions.len());
        self.metrics
            .queued
            .set(i64::try_from(self.queue.waiting()).unwrap_or(i64::MAX));
        let answers: Vec<Answer> = transactions
            .into_iter()
            .map(|transaction| self.run_one(transaction, &mut filling.batch))
            .collect();
        filling.callers += 1;
        let nothing_recorded = answers.iter().all(Result::is_err);
        if wait == Wait::Executed || nothing_recorded {
            reply.send(answers);
        } else {
            filling.waiting.push((reply, answers));
        }
    }

    fn run_one(&mut self, transaction: Box<dyn Transaction>, batch: &mut Batch) -> Answer {
        let id = TxId::new(self.view, Seqno(self.tree.size()));
        if self.begun.is_some() {
            let why = "the ledger is being rekeyed; ask again";
            return Err(Rejection::Conflict(why.to_owned()));
        }
        let tx = Tx::new(&self.state, id, self.secret.claims_key(id));
        let mut tx = tx.in_batch(batch.first);
        let claims = match transaction.run(&mut tx) {
            Ok(claims) => claims,
            Err(rejection) => {
                self.metrics.rejected.inc();
                return Err(rejection);
            }
        };
        let writes = tx.into_writes();
        let is_private = |write: &ledger::write_set::Write| write.table.domain() == Domain::Private;
        if writes.iter().any(is_private) && !self.secrets.is_complete() {
            // What is private is not there to be seen, so it must not be written.
            let why = "the ledger is being recovered: nothing private can be written before the \
                       members gave their shares";
            return Err(Rejection::Conflict(why.to_owned()));
        }
        let begun = self.secrets.begun_by(id, &writes);
        let begun = begun.map_err(|error| Rejection::Conflict(error.to_string()))?;
        self.begun = begun.map(|(_, bytes)| Arc::new(LedgerSecret::new(*bytes)));
        self.state.apply(id.seqno, &writes);
        self.append(batch, id, writes, claims);
        self.executed.store(id.seqno.0, Ordering::Release);
        Ok(id)
    }

    fn append(&mut self, batch: &mut Batch, id: TxId, writes: WriteSet, claims: Digest) {
        let start = batch.bytes.len();
        let components = entry::encode(&mut batch.bytes, id, &writes, claims, &self.secret);
        let leaf = components.leaf();
        let length = u32::try_from(batch.bytes.len() - start).expect("entries are under 64 MiB");
        self.tree.append(leaf, |_, _| {});
        batch.entries.push(BatchEntry { length, leaf });
        batch.writes.push(writes);
    }

    /// Ends the batch with its signature entry, and begins the next one.
    fn close(&mut self, filling: &mut Filling) -> Closed {
        let began = Instant::now();
        let id = TxId::new(self.view, Seqno(self.tree.size()));
        let bytes = filling.batch.bytes.len();
        let empty = Self::empty_batch(id.seqno.next(), self.view, bytes);
        let Filling {
            mut batch,
            waiting,
            callers,
        } = std::mem::replace(filling, empty);
        self.pace.closed(callers);
        let signed = self.signer.sign(id, &self.tree);
        self.metrics
            .sign_seconds
            .observe(began.elapsed().as_secs_f64());
        self.state.closed(id.seqno, signed.root);
        self.append(&mut batch, id, signed.to_writes(), Digest::ZERO);
        self.executed.store(id.seqno.0, Ordering::Release);
        if let Some(begun) = self.begun.take() {
            self.secret = begun;
        }
        Closed { batch, waiting }
    }

    /// An empty batch, with room for as many bytes as the last one had: growing it step by step
    /// would copy it each time.
    fn empty_batch(first: Seqno, view: View, last_bytes: usize) -> Filling {
        let batch = Batch {
            first,
            view,
            bytes: Vec::with_capacity(last_bytes + last_bytes / 4),
            entries: Vec::new(),
            writes: Vec::new(),
        };
        Filling {
            batch,
            waiting: Vec::new(),
            callers: 0,
        }
    }
}
