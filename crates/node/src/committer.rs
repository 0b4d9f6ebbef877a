//! The committer of a node alone: one thread that owns the files. It persists a batch with one sync,
//! makes it visible and answers those who wait. When nothing can be acknowledged any more it ends
//! the process.

use std::sync::{Arc, mpsc};
use std::time::Instant;

use store::{Batch, Store};

use crate::commit::Publisher;
use crate::fatal::fail_stop;
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
    pub(crate) publisher: Publisher,
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
        self.publisher.synced(began);
        // From here on the batch survives; the next one may be signed while this one is applied.
        self.queue.log_is_free();
        if let Err(error) = self.store.apply(&batch) {
            fail_stop("the state cannot be written", &error);
        }
        let bytes = self.store.reader().ledger_bytes();
        self.publisher.publish(&batch, bytes);
        for (reply, answers) in waiting {
            reply.send(answers);
        }
    }
}
