//! What is told when a batch is committed, whoever decided that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ledger::tables::{CA_CERT_BUNDLES, FEATURES, JWT_ISSUERS, JWT_KEYS, ROLES, Table, USERS};
use store::Batch;
use tokio::sync::watch;
use verify::TxId;

use crate::metrics::Metrics;

/// Who may do what, who vouches for it, and within which limits.
static ACCESS: [Table; 6] = [
    USERS,
    ROLES,
    JWT_ISSUERS,
    JWT_KEYS,
    CA_CERT_BUNDLES,
    FEATURES,
];

/// Tells of commits.
pub(crate) struct Publisher {
    pub(crate) committed: watch::Sender<TxId>,
    /// Counts commits that changed who may do what.
    pub(crate) access_version: Arc<AtomicU64>,
    pub(crate) metrics: Metrics,
}

impl Publisher {
    /// A batch was synced; that began at this time.
    pub(crate) fn synced(&self, began: Instant) {
        self.metrics
            .sync_seconds
            .observe(began.elapsed().as_secs_f64());
    }

    /// A batch is committed and can be read.
    pub(crate) fn publish(&self, batch: &Batch, ledger_bytes: u64) {
        let entries = batch.entries.len() as u64;
        let last = TxId::new(batch.view, batch.last());
        let changes_access = |table: &Table| ACCESS.contains(table);
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
        metrics
            .ledger_bytes
            .set(i64::try_from(ledger_bytes).unwrap_or(i64::MAX));
    }
}
