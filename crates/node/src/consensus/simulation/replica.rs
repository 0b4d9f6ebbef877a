//! A node without its front: it leads or follows, writes its ledger, dies and comes back.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use ledger::rekey::NewSecret;
use ledger::secrets::KeptSecret;
use ledger::shares::seal_earlier;
use ledger::tables::{
    EARLIER_SECRETS, LEDGER_SECRETS, NODE_CERTS, NODES, PRIVATE_COLLECTIONS, SERVICE, SINGLETON,
};
use ledger::{LedgerSecret, LedgerSecrets, WriteSet, entry};
use openraft::AsyncRuntime;
use store::order::Order;
use store::{Batch, BatchEntry, Reader, Store, StoreOptions, Tail as Undecided};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use verify::{Cert, Digest, Frontier, Seqno, TxId, View};

use super::super::log::{Command, LogThread, Told};
use super::super::outstanding::Outstanding;
use super::super::reign::Reigning;
use super::super::tail::Tail;
use super::super::types::{Peer, Raft, Runtime};
use super::super::{Crew, Executing, Judge, Means, Standing, Timing, members, raft};
use super::history::{History, row_of};
use super::links::{Links, Random, Simulated};
use crate::commit::Publisher;
use crate::committer::Closed;
use crate::identity::{self, NodeSigner, ServiceSigner};
use crate::metrics::Metrics;
use crate::platform::Secrets;
use crate::sealing::seal_secret;
use crate::signer::{RootSigner, Signer};
use crate::start;
use crate::submit::{Queue, Reply, Wanted};

/// Small, so that files are closed often.
const CHUNK_BYTES: u64 = 6_000;
/// Does not wait.
const NOW: Wanted = Wanted {
    submissions: usize::MAX,
    log: false,
    patience: Some(Duration::ZERO),
};

/// What all nodes of a world have in common.
pub(super) struct Common {
    pub(super) links: Arc<Links>,
    pub(super) history: History,
    /// The nodes that are to decide.
    pub(super) trusted: Mutex<Vec<Digest>>,
    pub(super) random: Mutex<Random>,
    nodes: Vec<(Secrets, String)>,
    service: String,
}

impl Common {
    /// For so many nodes.
    pub(super) fn new(seed: u64, nodes: usize) -> Arc<Self> {
        let founder = identity::draw_secrets().unwrap();
        let now = OffsetDateTime::now_utc();
        let service = identity::service_cert(&founder.service_key, now).unwrap();
        let mut nodes: Vec<_> = (0..nodes)
            .map(|_| {
                let secrets = Secrets {
                    ledger_secrets: founder.ledger_secrets.clone(),
                    state_secret: founder.state_secret.clone(),
                    service_key: founder.service_key.clone(),
                    node_key: identity::draw_key().unwrap(),
                };
                let names = ["localhost".to_owned()];
                let cert = identity::node_cert(&secrets, &names, now).unwrap();
                (secrets, cert)
            })
            .collect();
        // Keys are drawn anew each time; the order of ids must not depend on them.
        nodes.sort_by_key(|(_, cert)| Cert::from_pem(cert).unwrap().key_digest());
        let common = Self {
            links: Links::new(seed),
            history: History::default(),
            trusted: Mutex::default(),
            random: Mutex::new(Random(!seed)),
            nodes,
            service,
        };
        let ids = (0..common.nodes.len()).map(|at| common.id(at)).collect();
        *common.trusted.lock().unwrap() = ids;
        Arc::new(common)
    }

    /// The id of a node.
    pub(super) fn id(&self, at: usize) -> Digest {
        Cert::from_pem(&self.nodes[at].1).unwrap().key_digest()
    }

    fn peers(&self) -> Vec<(Digest, Peer)> {
        let ids = (0..self.nodes.len()).map(|at| self.id(at));
        ids.map(|id| {
            (
                id,
                Peer {
                    address: id.to_string(),
                },
            )
        })
        .collect()
    }

    fn signer(&self, at: usize) -> Signer {
        let (secrets, cert) = &self.nodes[at];
        let service = Cert::from_pem(&self.service).unwrap();
        Signer {
            node_id: self.id(at).to_string(),
            node_cert: cert.clone(),
            node: NodeSigner::new(&secrets.node_key).unwrap(),
            service: Arc::new(RootSigner {
                key_id: service.key_digest().to_string(),
                key: ServiceSigner::new(&secrets.service_key).unwrap(),
            }),
            service_signed: None,
        }
    }

    /// A new ledger secret that begins at `version`, and what tells the nodes.
    fn rekey(&self, previous: &KeptSecret, version: Seqno) -> (KeptSecret, WriteSet) {
        let secret = identity::draw_secret().unwrap();
        let keys = self.nodes.iter().map(|(secrets, _)| &secrets.node_key);
        let sealed = (0..).zip(keys).map(|(at, key)| {
            let key = identity::public_key(key).unwrap();
            (self.id(at).to_string(), seal_secret(&key, &secret).unwrap())
        });
        let row = NewSecret {
            version: version.0,
            previous_version: previous.0.0,
            encrypted_secrets: sealed.collect(),
        };
        let mut writes = WriteSet::default();
        let row = serde_json::to_vec(&row).unwrap();
        writes.put(LEDGER_SECRETS, SINGLETON, row);
        let new = (version, secret);
        let pair = LedgerSecrets::new(&[previous.clone(), new.clone()]);
        for earlier in seal_earlier(&pair) {
            let row = serde_json::to_vec(&earlier).unwrap();
            writes.put(EARLIER_SECRETS, previous.0.0.to_le_bytes(), row);
        }
        (new, writes)
    }

    /// The first entry: who the service and its nodes are.
    fn genesis(&self) -> WriteSet {
        let mut writes = WriteSet::default();
        let service = serde_json::json!({ "cert": self.service, "status": "Open" });
        writes.put(SERVICE, SINGLETON, service.to_string().into_bytes());
        for (at, (_, cert)) in self.nodes.iter().enumerate() {
            let id = self.id(at).to_string();
            writes.put(NODES, id.as_bytes(), br#"{"status":"Trusted"}"#.to_vec());
            writes.put(NODE_CERTS, id.as_bytes(), cert.clone().into_bytes());
        }
        writes
    }

    fn micros(&self, from: u64, to: u64) -> Duration {
        self.random.lock().unwrap().micros(from, to)
    }
}

/// A node's folder, and its process while it runs.
pub(super) struct Replica {
    at: usize,
    pub(super) id: Digest,
    common: Arc<Common>,
    folder: TempDir,
    life: Option<Life>,
    /// What was looked at.
    looked: Seqno,
}

struct Life {
    raft: Raft,
    reader: Arc<Reader>,
    standing: watch::Receiver<Standing>,
    stop: Option<oneshot::Sender<()>>,
    reigning: JoinHandle<()>,
    disk: JoinHandle<()>,
    dead: Arc<AtomicBool>,
}

impl Replica {
    pub(super) fn new(common: &Arc<Common>, at: usize) -> Self {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() {
            tempfile::tempdir_in(memory)
        } else {
            tempfile::tempdir()
        };
        Self {
            at,
            id: common.id(at),
            common: Arc::clone(common),
            folder: folder.unwrap(),
            life: None,
            looked: Seqno::ZERO,
        }
    }

    pub(super) const fn is_up(&self) -> bool {
        self.life.is_some()
    }

    pub(super) fn standing(&self) -> Option<Standing> {
        Some(self.life.as_ref()?.standing.borrow().clone())
    }

    /// Shows what is committed here to the history.
    pub(super) fn look(&mut self) {
        if let Some(life) = &self.life {
            let name = format!("node {}", self.at);
            self.looked = self.common.history.look(&name, &life.reader, self.looked);
        }
    }

    /// Compares all that there is, from the beginning.
    pub(super) fn settle(&mut self) {
        self.looked = Seqno::ZERO;
        self.look();
        let life = self.life.as_ref().expect("it runs");
        self.common
            .history
            .settle(&format!("node {}", self.at), &life.reader);
    }

    pub(super) fn committed(&self) -> TxId {
        self.life
            .as_ref()
            .map_or(TxId::default(), |life| life.reader.committed())
    }

    pub(super) async fn start(&mut self) {
        assert!(self.life.is_none());
        let dir = self.folder.path();
        let own = &self.common.nodes[self.at].0;
        let secrets = Arc::new(start::ledger_secrets(own).unwrap());
        let options = StoreOptions {
            chunk_bytes: CHUNK_BYTES,
            cache_bytes: 1 << 20,
            tail: Undecided::Undecided,
        };
        let mut store = Store::open(dir, start::store_secrets(own, &secrets), options).unwrap();
        if !Order::exists(dir) {
            let peers = self.common.peers();
            let voters = peers.iter().map(|(id, _)| *id).collect();
            let nodes = peers
                .into_iter()
                .collect::<std::collections::BTreeMap<_, _>>();
            let all = super::super::types::Members::new(vec![voters], nodes).unwrap();
            Order::begin(dir, members::encode(&all)).unwrap();
        }
        let reader = store.reader();
        let undecided = store.take_undecided();
        let order = Order::open(dir, &reader, &undecided).unwrap();
        let vote = order.vote().unwrap();
        let undecided: Vec<Arc<Batch>> = undecided.into_iter().map(Arc::new).collect();
        let tail = Tail::new(Arc::clone(&reader), order, &undecided, vote).unwrap();
        let tail = Arc::new(tail);
        let queue = Arc::new(Queue::new(1_000, Metrics::default()));
        queue.close();
        let outstanding = Arc::new(Outstanding::default());
        let (committed, _) = watch::channel(reader.committed());
        let log = LogThread::new(
            store,
            Arc::clone(&tail),
            Judge::new(vec![Cert::from_pem(&self.common.service).unwrap()]),
            undecided,
            Told {
                publisher: Publisher {
                    committed,
                    access_version: Arc::default(),
                    metrics: Metrics::default(),
                },
                outstanding: Arc::clone(&outstanding),
                queue: Arc::clone(&queue),
                established: Arc::new(AtomicU64::new(reader.committed().view.0)),
            },
        );
        let (commands, to_log) = mpsc::channel();
        let disk = Runtime::spawn(write(log, to_log, Arc::clone(&self.common)));
        let dead = Arc::<AtomicBool>::default();
        let author = Author {
            at: self.at,
            common: Arc::clone(&self.common),
            secrets,
            queue: Arc::clone(&queue),
            dead: Arc::clone(&dead),
        };
        let (told, standing) = watch::channel(Standing::default());
        let means = Means {
            id: self.id,
            timing: Timing::default(),
            commands,
            outstanding,
            queue,
            standing: told,
            hurry: Arc::default(),
            crew: Arc::new(author),
        };
        let way = Simulated {
            links: Arc::clone(&self.common.links),
            own: self.id,
        };
        let raft = raft(&means, &tail, Arc::new(way)).await.unwrap();
        self.common.links.runs(self.id, Some(raft.clone()));
        let (stop, stopped) = oneshot::channel();
        let reigning = Runtime::spawn(Reigning::new(raft.clone(), means).run(stopped));
        self.life = Some(Life {
            raft,
            reader,
            standing,
            stop: Some(stop),
            reigning,
            disk,
            dead,
        });
    }

    /// Ends at once: whatever the log was asked and has not done is not done.
    pub(super) async fn kill(&mut self) {
        if let Some(life) = self.life.take() {
            life.dead.store(true, Ordering::Release);
            self.common.links.runs(self.id, None);
            life.reigning.abort();
            let _ = life.reigning.await;
            life.disk.abort();
            let _ = life.disk.await;
            // It finds that its log is gone, and ends.
            let _ = life.raft.shutdown().await;
            gone(life.reader).await;
        }
    }

    /// Ends in order: hands over, and takes part until then.
    pub(super) async fn stop(&mut self) {
        if let Some(mut life) = self.life.take() {
            life.stop.take().map(|stop| stop.send(()));
            let _ = life.reigning.await;
            life.dead.store(true, Ordering::Release);
            self.common.links.runs(self.id, None);
            let _ = life.raft.shutdown().await;
            life.disk.abort();
            let _ = life.disk.await;
            gone(life.reader).await;
        }
    }
}

/// Waits until no task of a life that ended holds its files.
async fn gone(reader: Arc<Reader>) {
    for _ in 0..10_000 {
        if Arc::strong_count(&reader) == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("somebody holds the files of a node that ended");
}

/// The log's thread as a task: each step takes its time, and it may be the last.
async fn write(mut log: LogThread, commands: mpsc::Receiver<Command>, common: Arc<Common>) {
    loop {
        match commands.try_recv() {
            Ok(Command::Stop) | Err(mpsc::TryRecvError::Disconnected) => return,
            Ok(command) => {
                let slow = common.random.lock().unwrap().percent(1);
                let longest = if slow { 300_000 } else { 2_000 };
                tokio::time::sleep(common.micros(100, longest)).await;
                log.obey(command);
            }
            Err(mpsc::TryRecvError::Empty) => tokio::time::sleep(Duration::from_micros(500)).await,
        }
    }
}

/// Writes entries while its node leads.
struct Author {
    at: usize,
    common: Arc<Common>,
    secrets: Arc<LedgerSecrets>,
    queue: Arc<Queue>,
    dead: Arc<AtomicBool>,
}

impl Crew for Author {
    fn execute(
        &self,
        view: View,
        tree: Frontier,
        log: Box<dyn FnMut(Closed) -> bool + Send>,
    ) -> io::Result<Executing> {
        self.common.history.reigns(view, self.common.id(self.at));
        let writing = Writing {
            common: Arc::clone(&self.common),
            queue: Arc::clone(&self.queue),
            dead: Arc::clone(&self.dead),
            signer: self.common.signer(self.at),
            secret: self.secrets.kept().pop().unwrap(),
            view,
            tree,
            log,
        };
        let task = Runtime::spawn(writing.run());
        Ok(Box::pin(async move { task.await.unwrap() }))
    }

    fn trusted(&self) -> Vec<(Digest, String)> {
        let trusted = self.common.trusted.lock().unwrap();
        trusted.iter().map(|id| (*id, id.to_string())).collect()
    }

    fn duties(&self, _: &[Digest]) {}
}

struct Writing {
    common: Arc<Common>,
    queue: Arc<Queue>,
    dead: Arc<AtomicBool>,
    signer: Signer,
    secret: KeptSecret,
    view: View,
    tree: Frontier,
    log: Box<dyn FnMut(Closed) -> bool + Send>,
}

impl Writing {
    async fn run(mut self) {
        let mut log_free = true;
        loop {
            let news = self.queue.next(NOW, &mut Default::default());
            log_free |= news.log_free;
            if news.deposed || news.stopping || self.dead.load(Ordering::Acquire) {
                return;
            }
            if log_free {
                let (closed, told) = self.close();
                if !(self.log)(closed) {
                    return;
                }
                Runtime::spawn(told);
                log_free = false;
            }
            tokio::time::sleep(self.common.micros(500, 20_000)).await;
        }
    }

    /// A batch of a few entries, and what waits until its author is told what became of it.
    fn close(&mut self) -> (Closed, impl Future<Output = ()> + Send + 'static) {
        let mut batch = Batch {
            first: Seqno(self.tree.size()),
            view: self.view,
            bytes: Vec::new(),
            entries: Vec::new(),
            writes: Vec::new(),
        };
        if batch.first == Seqno::FIRST {
            self.push(&mut batch, self.common.genesis());
        }
        let (mut numbers, mut ids) = (Vec::new(), Vec::new());
        let count = 1 + self.common.random.lock().unwrap().below(3);
        for _ in 0..count {
            let (number, id) = (self.common.history.number(), self.next());
            let mut writes = WriteSet::default();
            writes.put(PRIVATE_COLLECTIONS, number.to_be_bytes(), row_of(id));
            self.push(&mut batch, writes);
            numbers.push(number);
            ids.push(id);
        }
        let mut begun = None;
        if self.common.random.lock().unwrap().percent(3) {
            let (secret, writes) = self
                .common
                .rekey(&self.secret, self.next().seqno.next().next());
            self.push(&mut batch, writes);
            begun = Some(secret);
        }
        let signed = self.signer.sign(self.next(), &self.tree);
        self.push(&mut batch, signed.to_writes());
        if let Some(begun) = begun {
            self.secret = begun;
        }
        let (reply, answer) = oneshot::channel();
        let answers = ids.iter().map(|id| Ok(*id)).collect();
        let closed = Closed {
            batch,
            waiting: vec![(Reply::Many(reply), answers)],
        };
        let common = Arc::clone(&self.common);
        let told = async move {
            // Nobody is told anything by a node that was killed.
            if let Ok(answer) = answer.await {
                common.history.told(&numbers, &ids, answer.map(|_| ()));
            }
        };
        (closed, told)
    }

    fn next(&self) -> TxId {
        TxId::new(self.view, Seqno(self.tree.size()))
    }

    fn push(&mut self, batch: &mut Batch, writes: WriteSet) {
        let before = batch.bytes.len();
        let id = self.next();
        let secret = LedgerSecret::new(*self.secret.1);
        let leaf = entry::encode(&mut batch.bytes, id, &writes, Digest::ZERO, &secret).leaf();
        self.tree.append(leaf, |_, _| {});
        batch.entries.push(BatchEntry {
            length: (batch.bytes.len() - before) as u32,
            leaf,
        });
        batch.writes.push(writes);
    }
}
