//! Agreement among nodes: the adapter to the Raft library, and nothing of it shows outside.
//!
//! A batch is one entry of the library's log, so whatever is agreed on ends with a signed root, and
//! the library's protocol stays as it is. The ledger file is the log's storage ([`store::order`]).
//! Whoever leads executes; all others check each batch against their own tree and stop if it does
//! not continue it.
//!
//! - [`tail`], [`log`]: the log, and the thread that writes it; [`machine`]: what is agreed on.
//! - [`network`], [`wire`]: questions to other nodes.
//! - [`reign`]: from winning an election to executing, and back.
//! - [`reconcile`]: makes the nodes that decide those that the ledger trusts.

mod gather;
mod judge;
mod line;
pub(crate) mod log;
mod machine;
pub(crate) mod members;
mod network;
mod offer;
pub(crate) mod outstanding;
mod reconcile;
mod reign;
#[cfg(test)]
mod simulation;

pub(crate) mod tail;
pub(crate) mod types;
pub(crate) mod wire;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};
use tokio::sync::{oneshot, watch};
use verify::{Digest, View};

use self::gather::Hurry;
pub(crate) use self::judge::Judge;
use self::line::Way;
use self::log::Command;
use self::machine::Machine;
use self::network::Network;
use self::outstanding::Outstanding;
use self::reign::Reigning;
use self::tail::{Log, Tail};
use self::types::{LogId, Raft, StoredMembers};
use crate::cosigning::Cosigning;
use crate::peers::PeerTls;
use crate::submit::Queue;
use crate::transfer::Host;

/// Entries in one request. The reader stops before, at a few MiB.
const REQUEST_ENTRIES: u64 = 256;

/// How long a node that stops waits for a piece of a file that is being read.
const FILES_CLOSED_WITHIN: Duration = Duration::from_secs(2);

/// Who leads, as far as this node knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// The view that the leader reigns in, or that is being decided on.
    pub view: View,
    /// The leader's id; `None` while there is none.
    pub leader: Option<String>,
    /// This node leads, and takes writes.
    pub leads: bool,
    /// The nodes that decide, by id; a majority of them must have what is to be committed.
    pub deciding: Vec<String>,
}

/// How the nodes of a network keep in touch.
#[derive(Debug, Clone)]
pub struct Timing {
    /// A leader lets hear of itself this often.
    pub heartbeat: Duration,
    /// A node that has heard of no leader for so long tries to become one; up to twice as long, by
    /// chance, so that not all try at once.
    pub election: Duration,
}

impl Default for Timing {
    /// Fit for nodes in one region: a lost leader is replaced within a second or two.
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(80),
            election: Duration::from_millis(400),
        }
    }
}

impl Timing {
    fn config(&self) -> Result<Arc<Config>, openraft::ConfigError> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let election = millis(self.election);
        Config {
            cluster_name: "counterfoil".to_owned(),
            heartbeat_interval: millis(self.heartbeat),
            // A follower that has just answered to entries needs no heartbeat as well.
            heartbeat_min_interval: Some(millis(self.heartbeat)),
            election_timeout_min: election,
            election_timeout_max: 2 * election,
            max_payload_entries: REQUEST_ENTRIES,
            // The log is the ledger: nothing is ever cut from its beginning.
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: u64::MAX,
            replication_lag_threshold: u64::MAX,
            enable_pre_vote: Some(true),
            // A leader that hears of no majority lets those that hear it find another.
            quorum_loss_probe_interval: Some(4 * election),
            enable_leader_restore: Some(false),
            allow_log_reversion: Some(false),
            ..Config::default()
        }
        .validate()
        .map(Arc::new)
    }
}

/// What the agreement needs to begin.
pub(crate) struct Beginning {
    pub(crate) listener: std::net::TcpListener,
    pub(crate) tls: Arc<PeerTls>,
    pub(crate) tail: Arc<Tail>,
    pub(crate) means: Means,
    pub(crate) cosigning: Arc<Cosigning>,
    /// Sends files to nodes that join.
    pub(crate) host: Arc<Host>,
    /// Closed when the node is to stop.
    pub(crate) stop: oneshot::Receiver<()>,
    pub(crate) handle: mpsc::Sender<Result<Handle, BeginError>>,
}

/// What a node needs to lead.
pub(crate) struct Means {
    pub(crate) id: Digest,
    pub(crate) timing: Timing,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) outstanding: Arc<Outstanding>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) standing: watch::Sender<Standing>,
    /// Whether somebody waits for followers.
    pub(crate) hurry: Arc<Hurry>,
    pub(crate) crew: Arc<dyn Crew>,
}

/// Ends when an executor has.
pub(crate) type Executing = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// Does what only a leader does.
pub(crate) trait Crew: Send + Sync {
    /// Executes in this view from this tree on, until the queue is closed or told to stop.
    ///
    /// # Errors
    /// There is no thread to do it on.
    fn execute(
        &self,
        view: View,
        tree: verify::Frontier,
        log: Box<dyn FnMut(crate::committer::Closed) -> bool + Send>,
    ) -> io::Result<Executing>;

    /// The nodes that are to decide, and where each listens for other nodes: those that the ledger
    /// trusts and that nobody wants removed.
    fn trusted(&self) -> Vec<(Digest, String)>;

    /// Called now and then while this node leads and takes writes, with the nodes that decide.
    fn duties(&self, deciding: &[Digest]);
}

/// Why the agreement cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// Another program listens there, or the address is not this machine's.
    #[error("listening for other nodes on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The heartbeat must be well below the election timeout.
    #[error("the times between nodes do not fit together")]
    Timing(#[source] openraft::ConfigError),
    /// The log cannot be read.
    #[error("reading what the nodes agreed on")]
    Log(#[source] io::Error),
    /// The system gives no thread.
    #[error("starting the thread that talks to other nodes")]
    Thread(#[source] io::Error),
    /// The library refuses to go on from what is on the disk.
    #[error("going on with the agreement: {0}")]
    Library(String),
}

/// Asks the agreement from other threads.
#[derive(Clone)]
pub(crate) struct Handle {
    raft: Raft,
    runtime: tokio::runtime::Handle,
    commands: mpsc::Sender<Command>,
    hurry: Arc<Hurry>,
}

impl Handle {
    /// Makes sure that this node leads, as of now: whatever was committed before the question can be
    /// read here when this returns.
    pub(crate) async fn confirm_leading(&self) -> bool {
        let raft = self.raft.clone();
        let confirmed = self.runtime.spawn(async move {
            raft.ensure_linearizable(openraft::ReadPolicy::ReadIndex)
                .await
        });
        if !matches!(confirmed.await, Ok(Ok(_))) {
            return false;
        }
        // For the library something is applied when the log's thread is told to.
        let (done, all_done) = oneshot::channel();
        self.commands.send(Command::Settle { done }).is_ok() && all_done.await.is_ok()
    }

    /// Somebody waits until a follower shows what is about to be committed.
    pub(crate) fn somebody_waits_for_a_follower(&self) {
        self.hurry.somebody_waits();
    }
}

/// Runs the agreement on this thread until it is told to stop.
pub(crate) fn run(beginning: Beginning) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    // Files are read and sealed elsewhere, so that the agreement is not kept waiting.
    let files = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(2)
        .thread_name("files")
        .enable_time()
        .build();
    match (runtime, files) {
        (Ok(runtime), Ok(files)) => {
            let agreed = agree(beginning, files.handle().clone());
            // In this crate's own tests the library takes chance out of a seed, wherever it runs.
            #[cfg(test)]
            let agreed = types::Runtime::scope(7, agreed);
            runtime.block_on(agreed);
            files.shutdown_timeout(FILES_CLOSED_WITHIN);
        }
        (Err(error), _) | (_, Err(error)) => {
            drop(beginning.handle.send(Err(BeginError::Thread(error))));
        }
    }
}

async fn agree(beginning: Beginning, files: tokio::runtime::Handle) {
    let handle = beginning.handle.clone();
    let (raft, tasks) = match begin(&beginning, files).await {
        Ok((raft, tasks)) => {
            let runtime = tokio::runtime::Handle::current();
            let begun = Handle {
                raft: raft.clone(),
                runtime,
                commands: beginning.means.commands.clone(),
                hurry: Arc::clone(&beginning.means.hurry),
            };
            let _ = handle.send(Ok(begun));
            (raft, tasks)
        }
        Err(error) => {
            let _ = handle.send(Err(error));
            let _ = beginning.means.commands.send(Command::Stop);
            return;
        }
    };
    drop(handle);
    let commands = beginning.means.commands.clone();
    Reigning::new(raft.clone(), beginning.means)
        .run(beginning.stop)
        .await;
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    if let Err(error) = raft.shutdown().await {
        tracing::warn!(%error, "the agreement did not end in order");
    }
    // The log thread may have ended the process.
    let _ = commands.send(Command::Stop);
}

async fn begin(
    beginning: &Beginning,
    files: tokio::runtime::Handle,
) -> Result<(Raft, [tokio::task::JoinHandle<()>; 2]), BeginError> {
    let listener = beginning.listener.try_clone().map_err(BeginError::Log)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(BeginError::Log)?;
    let raft = raft(
        &beginning.means,
        &beginning.tail,
        Arc::clone(&beginning.tls),
    )
    .await?;
    let answering = network::Answering {
        raft: raft.clone(),
        cosigner: Arc::clone(beginning.cosigning.cosigner()),
        host: Arc::clone(&beginning.host),
        files,
    };
    let server = tokio::spawn(network::serve(
        listener,
        Arc::clone(&beginning.tls),
        answering,
    ));
    let comparing = tokio::spawn(Arc::clone(&beginning.cosigning).compare());
    Ok((raft, [server, comparing]))
}

/// The library, going on from what is on the disk.
async fn raft<W: Way>(means: &Means, tail: &Arc<Tail>, way: Arc<W>) -> Result<Raft, BeginError> {
    let config = means.timing.config().map_err(BeginError::Timing)?;
    let applied = tail.last_applied().map_err(BeginError::Log)?;
    let members = match applied.and_then(|applied| tail.members_at(applied)) {
        Some((id, text)) => stored(id, &text).map_err(BeginError::Log)?,
        None => StoredMembers::default(),
    };
    let machine = Machine {
        thread: means.commands.clone(),
        applied,
        members,
    };
    let log = Log {
        tail: Arc::clone(tail),
        thread: means.commands.clone(),
    };
    let own = means.id;
    let network = Network {
        way,
        own,
        hurry: Arc::clone(&means.hurry),
    };
    Raft::new(own, config, network, log, machine)
        .await
        .map_err(|error| BeginError::Library(error.to_string()))
}

fn stored(id: LogId, text: &str) -> io::Result<StoredMembers> {
    let members = members::decode(text);
    let members = members.ok_or_else(|| io::Error::other("a mark names no members"))?;
    Ok(StoredMembers::new(Some(id), members))
}
