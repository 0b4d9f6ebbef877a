//! Makes snapshots: when members wish one, and when a node that joins would have to replay too much.
//!
//! Not now and then by themselves: only whoever joins, or lost its state, needs one, and making one
//! costs as long as replaying some hundred thousand entries. It is made on a thread of its own, from a
//! view of the state that does not change, so that writes go on meanwhile; then its digest is recorded
//! as a transaction.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ledger::LedgerSecrets;
use ledger::snapshot::RecordSnapshot;
use store::Reader;
use store::snapshot::{self, Made, SnapshotError, SnapshotName};
use tokio::sync::watch;

use crate::consensus::Standing;
use crate::submit::{Queue, Reply, Submission, SubmitError, Wait};

/// After an attempt, the next one begins this much later.
const AGAIN: Duration = Duration::from_secs(2);

/// Why a snapshot was not recorded.
#[derive(Debug, thiserror::Error)]
enum NotRecorded {
    #[error(transparent)]
    Making(#[from] SnapshotError),
    #[error(transparent)]
    Submit(#[from] SubmitError),
    #[error(transparent)]
    Rejected(#[from] ledger::Rejection),
    #[error("the node stops")]
    Stopped,
    #[error("giving it its name")]
    Keep(#[source] std::io::Error),
}

/// The snapshots of a node.
pub(crate) struct Snapshots {
    dir: PathBuf,
    reader: Arc<Reader>,
    queue: Arc<Queue>,
    secrets: Arc<LedgerSecrets>,
    standing: watch::Receiver<Standing>,
    attempt: Mutex<Attempt>,
    stop: AtomicBool,
}

#[derive(Default)]
struct Attempt {
    began: Option<Instant>,
    thread: Option<JoinHandle<()>>,
}

impl Snapshots {
    pub(crate) fn new(
        dir: PathBuf,
        reader: Arc<Reader>,
        queue: Arc<Queue>,
        secrets: Arc<LedgerSecrets>,
        standing: watch::Receiver<Standing>,
    ) -> Self {
        Self {
            dir,
            reader,
            queue,
            secrets,
            standing,
            attempt: Mutex::default(),
            stop: AtomicBool::new(false),
        }
    }

    /// The newest snapshot here that is recorded, and its length.
    pub(crate) fn newest(&self) -> Option<(SnapshotName, u64)> {
        let name = snapshot::list(&self.dir).ok()?.pop()?;
        let bytes = std::fs::metadata(self.path(name)).ok()?.len();
        Some((name, bytes))
    }

    pub(crate) fn path(&self, name: SnapshotName) -> PathBuf {
        snapshot::folder(&self.dir).join(name.to_string())
    }

    /// Begins to make one, unless that is under way. Returns whether one can be expected: only who
    /// leads can record it. After a disaster the state lacks what is private until members gave their
    /// shares; until then no snapshot is made of it.
    pub(crate) fn make(self: &Arc<Self>) -> bool {
        if !self.secrets.is_complete() {
            return false;
        }
        if !self.standing.borrow().leads || self.stop.load(Ordering::Acquire) {
            return false;
        }
        let mut attempt = self.attempt();
        let under_way = attempt
            .thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished());
        let lately = attempt.began.is_some_and(|began| began.elapsed() < AGAIN);
        if under_way || lately {
            return true;
        }
        attempt.began = Some(Instant::now());
        let snapshots = Arc::clone(self);
        match crate::thread::spawn("snapshot", move || snapshots.make_now()) {
            Ok(thread) => attempt.thread = Some(thread),
            Err(error) => tracing::warn!(%error, "no thread to make a snapshot on"),
        }
        true
    }

    /// Gives up what is under way.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Waits for the end of what was under way, once whoever it waits for has ended.
    pub(crate) fn join(&self) {
        let thread = self.attempt().thread.take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that makes snapshots panicked");
        }
    }

    fn make_now(&self) {
        let began = Instant::now();
        let made = snapshot::make(&self.reader, &|| self.stop.load(Ordering::Acquire));
        let recorded = made.map_err(NotRecorded::from).and_then(|made| {
            let bytes = made.bytes();
            Ok((self.record(made)?, bytes))
        });
        match recorded {
            Ok((name, bytes)) => tracing::info!(
                seqno = name.seqno.0,
                evidence = name.evidence.0,
                bytes,
                millis = began.elapsed().as_millis() as u64,
                "a snapshot is made and recorded"
            ),
            Err(error) => tracing::warn!(%error, "a snapshot could not be made"),
        }
    }

    fn record(&self, made: Made) -> Result<SnapshotName, NotRecorded> {
        let (sender, answers) = mpsc::channel();
        self.queue.submit(Submission {
            transactions: vec![Box::new(RecordSnapshot(made.evidence()))],
            wait: Wait::Committed,
            reply: Reply::Blocking(sender),
        })?;
        let answers = answers.recv().map_err(|_| NotRecorded::Stopped)??;
        let id = answers.into_iter().next().ok_or(NotRecorded::Stopped)??;
        made.keep(id.seqno).map_err(NotRecorded::Keep)
    }

    /// A panic while the lock is held cannot leave it half changed.
    fn attempt(&self) -> std::sync::MutexGuard<'_, Attempt> {
        self.attempt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
