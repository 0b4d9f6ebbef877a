//! What an operator watches, in Prometheus' terms.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Counters and histograms of one node. Cheap to clone: all clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Entries committed, signature entries not counted.
    pub entries: Counter,
    /// Requests that the ledger's rules refused.
    pub rejected: Counter,
    /// Requests refused because the queue was full.
    pub busy: Counter,
    /// Batches committed; each has one signature entry and one sync.
    pub batches: Counter,
    /// Entries waiting for the executor.
    pub queued: Gauge,
    /// The last committed seqno.
    pub committed_seqno: Gauge,
    /// Bytes of all ledger files.
    pub ledger_bytes: Gauge,
    /// Entries in a batch.
    pub batch_entries: Histogram,
    /// Seconds for writing and syncing a batch.
    pub sync_seconds: Histogram,
    /// Seconds for signing a root, both signatures.
    pub sign_seconds: Histogram,
    /// Receipts made.
    pub receipts: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            entries: Counter::default(),
            rejected: Counter::default(),
            busy: Counter::default(),
            batches: Counter::default(),
            queued: Gauge::default(),
            committed_seqno: Gauge::default(),
            ledger_bytes: Gauge::default(),
            batch_entries: Histogram::new(exponential_buckets(1.0, 2.0, 16)),
            sync_seconds: Histogram::new(exponential_buckets(0.000_05, 2.0, 16)),
            sign_seconds: Histogram::new(exponential_buckets(0.000_05, 2.0, 12)),
            receipts: Counter::default(),
        }
    }
}

impl Metrics {
    /// Names them all in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("counterfoil");
        registry.register("entries", "Entries committed", self.entries.clone());
        registry.register(
            "rejected",
            "Requests refused by the rules",
            self.rejected.clone(),
        );
        registry.register(
            "busy",
            "Requests refused by a full queue",
            self.busy.clone(),
        );
        registry.register("batches", "Batches committed", self.batches.clone());
        registry.register(
            "queued_entries",
            "Entries waiting to be executed",
            self.queued.clone(),
        );
        registry.register(
            "committed_seqno",
            "Last committed seqno",
            self.committed_seqno.clone(),
        );
        registry.register(
            "ledger_bytes",
            "Bytes of all ledger files",
            self.ledger_bytes.clone(),
        );
        registry.register(
            "batch_entries",
            "Entries in a batch",
            self.batch_entries.clone(),
        );
        registry.register(
            "sync_seconds",
            "Seconds to write and sync a batch",
            self.sync_seconds.clone(),
        );
        registry.register(
            "sign_seconds",
            "Seconds to sign a root",
            self.sign_seconds.clone(),
        );
        registry.register("receipts", "Receipts made", self.receipts.clone());
    }
}
