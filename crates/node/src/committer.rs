//! The committer: one thread that owns the files. It persists a batch with one sync, makes it
//! visible and answers those who wait. When nothing can be acknowledged any more it ends the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use ledger::tables::{ROLES, USERS};
use store::{Batch, Store};
use tokio::sync::watch;
use verify::{Seqno, TxId};

use crate::fatal::fail_stop;
use crate::metrics::Metrics;
use crate::submit::{Answer, Queue, Reply};

/// A batch that ends with its signature entry, and who waits for it.
pub(crate) struct Closed {
    pub(crate) batch: Batch,
    pub(crate) waiting: Vec<(Reply, Vec<Answer>)>,
}

pub(crate) struct Committer {
    pub(crate) store: Store,
    pub(crate) batches: mpsc::Receiver<Closed>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) committed: watch::Sender<TxId>,
    /// Counts commits that changed who may do what.
    pub(crate) access_version: Arc<AtomicU64>,
    pub(crate) metrics: Metrics,
}

impl Committer {
    /// Runs until the executor is gone, then leaves the files ready for a quick start.
    pub(crate) fn run(mut self) {
        while let Ok(closed) = self.batches.recv() {
            self.commit(closed);
        }
        if let Err(error) = self.store.checkpoint() {
            fail_stop("the last checkpoint failed", &error);
        }
    }

    fn commit(&mut self, closed: Closed) {
        let Closed { batch, waiting } = closed;
        let began = Instant::now();
        if let Err(error) = self.store.append(&batch) {
            fail_stop("the ledger cannot be written", &error);
        }
        self.metrics
            .sync_seconds
            .observe(began.elapsed().as_secs_f64());
        // From here on the batch survives; the next one may be signed while this one is applied.
        self.queue.log_is_free();
        if let Err(error) = self.store.apply(&batch) {
            fail_stop("the state cannot be written", &error);
        }
        self.publish(&batch);
        for (reply, answers) in waiting {
            reply.send(answers);
        }
    }

    fn publish(&self, batch: &Batch) {
        let entries = batch.entries.len() as u64;
        let last = TxId::new(batch.view, Seqno(batch.first.0 + entries - 1));
        let changes_access = |table: &ledger::Table| *table == USERS || *table == ROLES;
        if batch
            .writes
            .iter()
            .flat_map(|writes| writes.iter())
            .any(|w| changes_access(&w.table))
        {
            self.access_version.fetch_add(1, Ordering::Release);
        }
        self.committed.send_replace(last);
        let metrics = &self.metrics;
        metrics.entries.inc_by(entries - 1);
        metrics.batches.inc();
        metrics.batch_entries.observe(entries as f64);
        metrics
            .committed_seqno
            .set(i64::try_from(last.seqno.0).unwrap_or(i64::MAX));
        let bytes = self.store.reader().ledger_bytes();
        metrics
            .ledger_bytes
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}
