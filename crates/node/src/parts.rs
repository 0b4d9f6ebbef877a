//! What a node consists of, alone or among others.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use ledger::LedgerSecrets;
use store::{Reader, Store};
use tokio::sync::watch;
use verify::{Cert, Frontier, Seqno, TxId, View};
use zeroize::Zeroizing;

use crate::commit::Publisher;
use crate::committer::Closed;
use crate::consensus::Standing;
use crate::cosigner::Cosigner;
use crate::cosigning::Cosigning;
use crate::executor::Executor;
use crate::identity::{NodeSigner, ServiceSigner};
use crate::limits::GovernedLimits;
use crate::metrics::Metrics;
use crate::node::Node;
use crate::pace::Pace;
use crate::peers::PeerTls;
use crate::receipts::CoseRoots;
use crate::signer::{RootSigner, Signer};
use crate::speculative::Speculative;
use crate::start::{Plan, StartError, Starting, not_a_ledger};
use crate::submit::Queue;

/// The parts.
pub(crate) struct Parts {
    pub(crate) secrets: Arc<LedgerSecrets>,
    /// What was private before a disaster is being read again.
    pub(crate) restoring: Arc<AtomicBool>,
    pub(crate) reader: Arc<Reader>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) executed: Arc<AtomicU64>,
    pub(crate) access_version: Arc<AtomicU64>,
    pub(crate) service: Cert,
    pub(crate) service_signer: Arc<RootSigner>,
    pub(crate) metrics: Metrics,
    node_id: String,
    node_cert: String,
    node_key: Zeroizing<Vec<u8>>,
}

impl Parts {
    pub(crate) fn new(
        starting: &Starting<'_>,
        store: &Store,
        secrets: Arc<LedgerSecrets>,
        plan: &Plan,
    ) -> Result<Self, StartError> {
        let dir = &starting.config.dir;
        let service = Cert::from_pem(&plan.service_cert)
            .map_err(|_| not_a_ledger(dir, "service certificate"))?;
        let service_signer = Arc::new(RootSigner {
            key_id: service.key_digest().to_string(),
            key: ServiceSigner::new(&starting.secrets.service_key)?,
        });
        let reader = store.reader();
        let metrics = Metrics::default();
        let queue = Queue::new(starting.config.queue_entries, metrics.clone());
        Ok(Self {
            secrets,
            restoring: Arc::default(),
            executed: Arc::new(AtomicU64::new(reader.committed().seqno.0)),
            reader,
            queue: Arc::new(queue),
            access_version: Arc::new(AtomicU64::new(0)),
            service,
            service_signer,
            metrics,
            node_id: starting.node_id.clone(),
            node_cert: plan.node_cert.clone(),
            node_key: starting.secrets.node_key.clone(),
        })
    }

    pub(crate) fn publisher(&self, committed: watch::Sender<TxId>) -> Publisher {
        Publisher {
            committed,
            access_version: Arc::clone(&self.access_version),
            metrics: self.metrics.clone(),
        }
    }

    /// This node as a cosigner of what is committed, and what it needs to have its own history
    /// countersigned, by others where there are any.
    pub(crate) fn cosigning(
        &self,
        starting: &Starting<'_>,
        committed: watch::Receiver<TxId>,
        tls: Option<Arc<PeerTls>>,
    ) -> Result<Arc<Cosigning>, StartError> {
        let (service, reader) = (self.service.key_digest(), Arc::clone(&self.reader));
        let cosigner = Arc::new(Cosigner::new(&self.node_key, service, reader, committed)?);
        let own = self.node_id.parse();
        let own = own.map_err(|_| not_a_ledger(&starting.config.dir, "node id"))?;
        let service_key = &starting.secrets.service_key;
        let cosigning = Cosigning::new(&self.service, service_key, own, cosigner, tls)?;
        Ok(Arc::new(cosigning))
    }

    /// An executor that goes on from this tree in this view.
    pub(crate) fn executor(
        &self,
        view: View,
        tree: Frontier,
        log: Box<dyn FnMut(Closed) -> bool + Send>,
    ) -> Result<Executor, StartError> {
        Ok(Executor {
            view,
            secret: self
                .secrets
                .at(Seqno(tree.size()))
                .expect("the newest is known"),
            begun: None,
            secrets: Arc::clone(&self.secrets),
            state: Speculative::new(Arc::clone(&self.reader)),
            tree,
            signer: Signer {
                node_id: self.node_id.clone(),
                node_cert: self.node_cert.clone(),
                node: NodeSigner::new(&self.node_key)?,
                service: Arc::clone(&self.service_signer),
                service_signed: None,
            },
            queue: Arc::clone(&self.queue),
            log,
            executed: Arc::clone(&self.executed),
            pace: Pace::default(),
            metrics: self.metrics.clone(),
        })
    }

    pub(crate) fn node(
        &self,
        starting: &Starting<'_>,
        plan: &Plan,
        committed: watch::Receiver<TxId>,
        standing: watch::Receiver<Standing>,
        established: Arc<AtomicU64>,
        cosigning: Arc<Cosigning>,
    ) -> Result<Node, StartError> {
        let dir = &starting.config.dir;
        let node_cert =
            Cert::from_pem(&plan.node_cert).map_err(|_| not_a_ledger(dir, "node certificate"))?;
        Ok(Node {
            id: self.node_id.clone(),
            visibility: plan.visibility,
            limits: GovernedLimits::new(starting.config.limits),
            service_cert: plan.service_cert.clone(),
            node_cert_pem: plan.node_cert.clone(),
            node_cert,
            tls_key: self.node_key.clone(),
            state_secret: starting.secrets.state_secret.clone(),
            service_key: starting.secrets.service_key.clone(),
            secrets: Arc::clone(&self.secrets),
            restoring: Arc::clone(&self.restoring),
            reader: Arc::clone(&self.reader),
            queue: Arc::clone(&self.queue),
            committed,
            executed: Arc::clone(&self.executed),
            standing,
            established,
            agreement: None,
            snapshots: None,
            access_version: Arc::clone(&self.access_version),
            service_signer: Arc::clone(&self.service_signer),
            cose_roots: CoseRoots::default(),
            cosigning,
            metrics: self.metrics.clone(),
            threads: Mutex::default(),
        })
    }
}
