//! The handle of a running node.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ledger::entries::{EntryLimits, Visibility};
use ledger::{LedgerSecret, LedgerSecrets, Rejection, State, Transaction, nodes};
use store::Reader;
use tokio::sync::{oneshot, watch};
use verify::{Cert, Seqno, TxId, TxStatus, View};
use zeroize::Zeroizing;

use crate::among::Agreement;
use crate::config::NodeConfig;
use crate::consensus::Standing;
use crate::cosigning::Cosigning;
use crate::limits::GovernedLimits;
use crate::metrics::Metrics;
use crate::platform;
use crate::reads::ReadError;
use crate::receipts::CoseRoots;
use crate::signer::RootSigner;
use crate::snapshots::Snapshots;
use crate::start::{StartError, start};
use crate::submit::{Queue, Reply, Submission, SubmitError, Wait};

/// A running node. Shared as `Arc<Node>`; dropping the last one stops it like [`Node::stop`].
pub struct Node {
    pub(crate) id: String,
    pub(crate) visibility: Visibility,
    pub(crate) limits: GovernedLimits,
    pub(crate) service_cert: String,
    pub(crate) node_cert_pem: String,
    pub(crate) node_cert: Cert,
    /// What the state is kept under; the same at all nodes, so that snapshots are.
    pub(crate) state_secret: Zeroizing<[u8; 32]>,
    pub(crate) tls_key: Zeroizing<Vec<u8>>,
    pub(crate) service_key: Zeroizing<Vec<u8>>,
    pub(crate) secrets: Arc<LedgerSecrets>,
    pub(crate) restoring: Arc<AtomicBool>,
    pub(crate) reader: Arc<Reader>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) committed: watch::Receiver<TxId>,
    pub(crate) executed: Arc<AtomicU64>,
    pub(crate) standing: watch::Receiver<Standing>,
    /// The view of the last place that is decided: nothing older can be committed any more.
    pub(crate) established: Arc<AtomicU64>,
    /// `None` for a node that is alone.
    pub(crate) agreement: Option<Agreement>,
    /// `None` until the node is set going.
    pub(crate) snapshots: Option<Arc<Snapshots>>,
    pub(crate) access_version: Arc<AtomicU64>,
    pub(crate) service_signer: Arc<RootSigner>,
    pub(crate) cose_roots: CoseRoots,
    pub(crate) cosigning: Arc<Cosigning>,
    pub(crate) metrics: Metrics,
    pub(crate) threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Node {
    /// Creates a ledger in an empty folder, or goes on with the one that is there.
    ///
    /// Blocks while files are read and recovered: that takes as long as the tail of the ledger, not
    /// as its whole.
    ///
    /// # Errors
    /// See [`StartError`]. A damaged ledger is refused, never repaired by guessing.
    pub fn start(config: NodeConfig) -> Result<Arc<Self>, StartError> {
        start(&config).map(Arc::new)
    }

    /// Stops: what was submitted before is committed and answered, what comes later is refused, and
    /// the files are left ready for a quick start.
    pub async fn stop(self: &Arc<Self>) {
        let node = Arc::clone(self);
        tokio::task::spawn_blocking(move || node.stop_and_wait())
            .await
            .expect("joining threads does not panic");
    }

    fn stop_and_wait(&self) {
        self.queue.stop();
        if let Some(agreement) = &self.agreement {
            agreement.stop();
        }
        if let Some(snapshots) = &self.snapshots {
            snapshots.stop();
        }
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the node panicked while it stopped");
            }
        }
        if let Some(snapshots) = &self.snapshots {
            snapshots.join();
        }
    }

    /// Runs a transaction and waits as asked.
    ///
    /// The inner result is the ledger's answer: a place, or a rejection, in which case nothing was
    /// recorded. With [`Wait::Committed`] a place means: durable, and covered by a signed root.
    ///
    /// # Errors
    /// Nothing was recorded: see [`SubmitError`].
    pub async fn submit(
        &self,
        transaction: Box<dyn Transaction>,
        wait: Wait,
    ) -> Result<Result<TxId, Rejection>, SubmitError> {
        let (sender, answer) = oneshot::channel();
        let transactions = vec![transaction];
        self.queue.submit(Submission {
            transactions,
            wait,
            reply: Reply::One(sender),
        })?;
        answer.await.unwrap_or(Err(SubmitError::Stopping))
    }

    /// Runs transactions in this order, each accepted or refused by itself. They stand next to each
    /// other in the ledger, and are committed together.
    ///
    /// # Errors
    /// Nothing was recorded: see [`SubmitError`].
    pub async fn submit_many(
        &self,
        transactions: Vec<Box<dyn Transaction>>,
        wait: Wait,
    ) -> Result<Vec<Result<TxId, Rejection>>, SubmitError> {
        if transactions.is_empty() {
            return Ok(Vec::new());
        }
        let (sender, answers) = oneshot::channel();
        self.queue.submit(Submission {
            transactions,
            wait,
            reply: Reply::Many(sender),
        })?;
        answers.await.unwrap_or(Err(SubmitError::Stopping))
    }

    /// Waits as asked for a transaction that was submitted before, by a request that is repeated now.
    ///
    /// # Errors
    /// It was lost meanwhile, or that is not known yet: see [`SubmitError`].
    pub async fn repeated(&self, id: TxId, wait: Wait) -> Result<TxId, SubmitError> {
        if wait == Wait::Executed {
            return Ok(id);
        }
        let mut committed = self.committed.clone();
        let decided = committed.wait_for(|committed| committed.seqno >= id.seqno);
        let decided = tokio::time::timeout(REPEATED_WITHIN, decided).await;
        match (decided, self.status(id)) {
            (Ok(Ok(_)), TxStatus::Committed) => Ok(id),
            (_, TxStatus::Invalid) => Err(SubmitError::Lost),
            _ => Err(SubmitError::InDoubt { id }),
        }
    }

    /// Hex digest of the node's public key.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The view that is, as far as this node knows.
    pub fn view(&self) -> View {
        self.standing.borrow().view
    }

    /// Who leads, as far as this node knows.
    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Whether this node leads and takes writes.
    pub fn leads(&self) -> bool {
        self.standing.borrow().leads
    }

    /// Whether there are no other nodes to agree with.
    pub const fn is_alone(&self) -> bool {
        self.agreement.is_none()
    }

    /// Waits until a transaction is here that another node told of; not longer than `patience`.
    pub async fn wait_for(&self, id: TxId, patience: Duration) {
        if self.is_alone() || self.leads() || id.view < self.established() {
            return;
        }
        let mut committed = self.committed.clone();
        let arrived = committed.wait_for(|committed| committed.seqno >= id.seqno);
        // Late or never: whoever asks is told what is known.
        let _ = tokio::time::timeout(patience, arrived).await;
    }

    /// Somebody waits until another node shows what is about to be committed: it is told at once,
    /// not with the next batch.
    pub fn somebody_waits_for_a_follower(&self) {
        if let Some(agreement) = &self.agreement {
            agreement.somebody_waits_for_a_follower();
        }
    }

    /// Tells of every change of who leads.
    pub fn standing_changes(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Where clients reach the leader, `host:port`; `None` while there is none but this node.
    pub fn leader_address(&self) -> Option<String> {
        // A leader that does not reign yet, or hears of no majority, sends nobody to itself.
        let leader = self.standing().leader.filter(|leader| *leader != self.id)?;
        Some(nodes::node(self.state(), &leader)?.address)
    }

    /// Makes sure that what is read here next is as new as anything that was ever answered: this
    /// node leads, and still does.
    ///
    /// # Errors
    /// It does not, or cannot tell.
    pub async fn confirm_leading(&self) -> Result<(), SubmitError> {
        match &self.agreement {
            None => Ok(()),
            Some(agreement) if agreement.confirm_leading().await => Ok(()),
            Some(_) => Err(SubmitError::NotLeading),
        }
    }

    /// Whether contents are sealed.
    pub const fn visibility(&self) -> Visibility {
        self.visibility
    }

    /// What the ledger takes of entries: what members decided, else what the operator says.
    pub fn limits(&self) -> EntryLimits {
        // Read before the state: what is read after it is at least as new as it says.
        let version = self.access_version();
        self.limits.at(version, self.state())
    }

    /// The platform that protects this node; `Virtual` means none.
    pub const fn platform(&self) -> &'static str {
        platform::VIRTUAL
    }

    /// The service's certificate when the node started, PEM: the trust anchor of TLS and receipts. A
    /// renewed one, of the same key, stands in the state.
    pub fn service_cert(&self) -> &str {
        &self.service_cert
    }

    /// The node's certificate when it started, PEM, endorsed by the service. A renewed one, of the same
    /// key, stands in the state.
    pub fn node_cert(&self) -> &str {
        &self.node_cert_pem
    }

    /// The private key of [`Node::node_cert`], PKCS#8 DER.
    pub fn tls_key_pkcs8(&self) -> &[u8] {
        &self.tls_key
    }

    /// What is committed, table by table.
    pub fn state(&self) -> &dyn State {
        &*self.reader
    }

    /// Changes whenever a commit changed who may do what: users, roles, who vouches for users, and
    /// the settings of features.
    pub fn access_version(&self) -> u64 {
        self.access_version.load(Ordering::Acquire)
    }

    /// The last committed transaction: always a signature entry.
    pub fn committed(&self) -> TxId {
        *self.committed.borrow()
    }

    /// Tells of every commit.
    pub fn committed_changes(&self) -> watch::Receiver<TxId> {
        self.committed.clone()
    }

    /// The last signature entry that is committed.
    pub fn last_signed(&self) -> Seqno {
        self.committed().seqno
    }

    /// Where each view began.
    pub fn view_history(&self) -> Vec<(View, Seqno)> {
        self.reader.view_history()
    }

    /// Counters and histograms.
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The last seqno that has an entry here, decided or not.
    pub(crate) fn executed(&self) -> Seqno {
        match &self.agreement {
            Some(agreement) if !self.standing.borrow().leads => agreement.last_seqno(),
            _ => Seqno(self.executed.load(Ordering::Acquire)),
        }
    }

    /// Nothing of an older view can be committed any more.
    pub(crate) fn established(&self) -> View {
        View(self.established.load(Ordering::Acquire))
    }

    pub(crate) fn service_cert_digest(&self) -> verify::Digest {
        Cert::from_pem(&self.service_cert)
            .expect("it was read when the node started")
            .key_digest()
    }

    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Whether the ledger can be read from its first entry on. After a disaster it cannot until
    /// enough members gave their shares; until then nothing private is read or written.
    pub fn is_complete(&self) -> bool {
        self.secrets.is_complete()
    }

    /// The ledger secret of the entry at `seqno`.
    pub(crate) fn secret_of(&self, seqno: Seqno) -> Result<Arc<LedgerSecret>, ReadError> {
        self.secrets.at(seqno).ok_or(ReadError::NotRecovered(seqno))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop_and_wait();
    }
}

/// A commit takes milliseconds, an election seconds.
const REPEATED_WITHIN: Duration = Duration::from_secs(5);

/// The file in a node's folder that holds the service's certificate, for clients to be given.
pub const SERVICE_CERT_FILE: &str = "service_cert.pem";
