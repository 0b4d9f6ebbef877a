//! A node among others: what a majority has synced is committed.

use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use ledger::governance::wishes;
use ledger::nodes::{NodeStatus, nodes};
use ledger::{LedgerSecrets, State};
use store::order::{Order, Vote};
use store::{Batch, Store};
use tokio::sync::{oneshot, watch};
use verify::{Cert, Digest, Frontier, Seqno, View};

use crate::committer::Closed;
use crate::config::PeerConfig;
use crate::consensus::log::{LogThread, Told};
use crate::consensus::outstanding::Outstanding;
use crate::consensus::tail::Tail;
use crate::consensus::{
    self, BeginError, Beginning, Crew, Executing, Handle, Judge, Means, Standing, members,
};
use crate::duties::Duties;
use crate::join::Admitted;
use crate::node::Node;
use crate::parts::Parts;
use crate::peers::PeerTls;
use crate::snapshots::Snapshots;
use crate::start::{
    StartError, Starting, begun_view, not_a_ledger, write_first, write_service_cert,
};
use crate::thread::spawn;
use crate::transfer::Host;

/// A founder that does not lead by then never will.
const FOUNDED_WITHIN: Duration = Duration::from_secs(30);

/// The nodes' agreement, as the node asks and ends it.
pub(crate) struct Agreement {
    handle: Handle,
    pub(crate) tail: Arc<Tail>,
    stop: Mutex<Option<oneshot::Sender<()>>>,
}

impl Agreement {
    /// The last seqno that this node has heard of, decided or not.
    pub(crate) fn last_seqno(&self) -> Seqno {
        self.tail.last_seqno()
    }

    /// Whether this node leads, as of now and not as of a moment ago.
    pub(crate) async fn confirm_leading(&self) -> bool {
        self.handle.confirm_leading().await
    }

    /// Somebody waits until a follower shows what is about to be committed.
    pub(crate) fn somebody_waits_for_a_follower(&self) {
        self.handle.somebody_waits_for_a_follower();
    }

    /// Hands over and ends.
    pub(crate) fn stop(&self) {
        let stop = self
            .stop
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // Nobody listens if it has ended already.
        stop.map(|stop| stop.send(()));
    }
}

pub(crate) fn start(
    mut starting: Starting<'_>,
    peers: &PeerConfig,
    mut store: Store,
    secrets: Arc<LedgerSecrets>,
) -> Result<Node, StartError> {
    let dir = &starting.config.dir;
    let id: Digest = starting
        .node_id
        .parse()
        .map_err(|_| not_a_ledger(dir, "node id"))?;
    let reader = store.reader();
    let admitted = Admitted::read(dir)?;
    let joins = admitted.is_some();
    let founds = !Order::exists(dir) && !joins;
    let listener = listen(dir, peers, &starting.node_id, &*reader)?;
    let local_addr = listener.local_addr().map_err(|source| BeginError::Listen {
        address: peers.listen,
        source,
    })?;
    let published = peers.published_address.clone();
    let address = published.unwrap_or_else(|| local_addr.to_string());
    starting.peer_address = Some(address.clone());
    let plan = starting.plan(&*reader, reader.committed().seqno == Seqno::ZERO)?;
    if founds {
        Order::begin(dir, members::encode(&members::alone(id, address)))?;
    } else if !Order::exists(dir) {
        Order::begin_empty(dir)?;
    }
    let undecided = store.take_undecided();
    let order = Order::open(dir, &reader, &undecided)?;
    if founds {
        // The first view of the network follows all that the node had alone.
        let begun = View(1).max(begun_view(dir)?).max(reader.committed().view);
        let vote = Vote {
            view: begun,
            node: starting.node_id.clone(),
            won: false,
        };
        order.keep_vote(&vote).map_err(store::OpenError::Write)?;
    }
    let vote = order.vote()?;
    let undecided: Vec<Arc<Batch>> = undecided.into_iter().map(Arc::new).collect();
    let tail = Tail::new(Arc::clone(&reader), order, &undecided, vote).map_err(BeginError::Log)?;
    let tail = Arc::new(tail);
    let parts = Arc::new(Parts::new(&starting, &store, secrets, &plan)?);
    parts.queue.close();

    let tls = PeerTls::new(
        parts.service.clone(),
        &plan.node_cert,
        &starting.secrets.node_key,
    )?;
    let tls = Arc::new(tls);
    let (commands, to_log) = mpsc::channel();
    let (committed, seen) = watch::channel(reader.committed());
    let cosigning = parts.cosigning(&starting, seen.clone(), Some(Arc::clone(&tls)))?;
    let (standing_sender, standing) = watch::channel(Standing::default());
    let (stop, stopped) = oneshot::channel();
    let (begun, handle) = mpsc::channel();
    let established = Arc::new(AtomicU64::new(reader.committed().view.0));
    let outstanding = Arc::new(Outstanding::default());
    let mut services = vec![parts.service.clone()];
    for earlier in admitted
        .iter()
        .flat_map(|admitted| &admitted.earlier_services)
    {
        let earlier = Cert::from_pem(earlier);
        services.push(earlier.map_err(|_| not_a_ledger(dir, "earlier service certificate"))?);
    }
    let log = LogThread::new(
        store,
        Arc::clone(&tail),
        Judge::new(services),
        undecided,
        Told {
            publisher: parts.publisher(committed),
            outstanding: Arc::clone(&outstanding),
            queue: Arc::clone(&parts.queue),
            established: Arc::clone(&established),
        },
    );
    let snapshots = Arc::new(Snapshots::new(
        dir.clone(),
        Arc::clone(&reader),
        Arc::clone(&parts.queue),
        Arc::clone(&parts.secrets),
        standing.clone(),
    ));
    let crew = LeaderCrew {
        parts: Arc::clone(&parts),
        duties: Duties::new(
            Arc::clone(&parts),
            dir,
            starting.node_id.clone(),
            starting.secrets.service_key.clone(),
            Arc::clone(&snapshots),
        ),
    };
    let host = Host::new(reader, Arc::clone(&tail), Arc::clone(&snapshots));
    let beginning = Beginning {
        listener,
        tls,
        tail: Arc::clone(&tail),
        means: Means {
            id,
            timing: peers.timing.clone(),
            commands,
            outstanding,
            queue: Arc::clone(&parts.queue),
            standing: standing_sender,
            hurry: Arc::default(),
            crew: Arc::new(crew),
        },
        cosigning: Arc::clone(&cosigning),
        host: Arc::new(host),
        stop: stopped,
        handle: begun,
    };
    let failed = |source| StartError::Io {
        path: dir.clone(),
        source,
    };
    let threads = vec![
        spawn("log", move || log.run(&to_log)).map_err(failed)?,
        spawn("agreement", move || consensus::run(beginning)).map_err(failed)?,
    ];
    let handle = handle.recv().map_err(|_| StartError::Stopped)??;
    let mut node = parts.node(&starting, &plan, seen, standing, established, cosigning)?;
    node.threads = Mutex::new(threads);
    node.snapshots = Some(snapshots);
    node.agreement = Some(Agreement {
        handle,
        tail,
        stop: Mutex::new(Some(stop)),
    });
    if founds {
        wait_for_reign(&node)?;
        write_first(&node.queue, plan.first_writes)?;
    }
    write_service_cert(dir, &plan.service_cert)?;
    Ok(node)
}

fn wait_for_reign(node: &Node) -> Result<(), StartError> {
    let until = Instant::now() + FOUNDED_WITHIN;
    while !node.standing().leads {
        if Instant::now() > until {
            return Err(StartError::Stopped);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Listens where it is said; where any port will do, on the one that others know already.
fn listen(
    dir: &Path,
    peers: &PeerConfig,
    id: &str,
    state: &dyn State,
) -> Result<TcpListener, StartError> {
    let mut address = peers.listen;
    if address.port() == 0 {
        let known = ledger::nodes::node(state, id).and_then(|row| row.peer_address);
        let known = match known {
            Some(known) => Some(known),
            None => Admitted::read(dir)?.map(|admitted| admitted.peer_address),
        };
        let port = known.and_then(|known| known.rsplit_once(':')?.1.parse().ok());
        address.set_port(port.unwrap_or(0));
    }
    let failed = |source: io::Error| BeginError::Listen { address, source };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

/// What a leader needs and does.
struct LeaderCrew {
    parts: Arc<Parts>,
    duties: Duties,
}

impl Crew for LeaderCrew {
    fn execute(
        &self,
        view: View,
        tree: Frontier,
        log: Box<dyn FnMut(Closed) -> bool + Send>,
    ) -> io::Result<Executing> {
        let last = tree.size() - 1;
        self.parts.executed.store(last, Ordering::Release);
        let executor = self
            .parts
            .executor(view, tree, log)
            .expect("the node's key was used before");
        let thread = spawn("executor", move || executor.run())?;
        Ok(Box::pin(async move {
            if tokio::task::spawn_blocking(move || thread.join())
                .await
                .is_err()
            {
                tracing::error!("the executor cannot be waited for");
            }
        }))
    }

    fn trusted(&self) -> Vec<(Digest, String)> {
        let state = &*self.parts.reader;
        let leaving = wishes::leaving(state);
        let trusted = nodes(state).into_iter().filter(|node| {
            node.status == NodeStatus::Trusted && node.cert.is_some() && !leaving.contains(&node.id)
        });
        trusted
            .filter_map(|node| Some((node.id.parse().ok()?, node.peer_address?)))
            .collect()
    }

    fn duties(&self, deciding: &[Digest]) {
        self.duties.look(deciding);
    }
}
