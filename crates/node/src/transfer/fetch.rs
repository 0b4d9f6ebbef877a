//! Gets the ledger's files from other nodes, before the node begins.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use store::OpenError;
use store::arrival::{Arrival, ArrivalError, Chunk};
use store::snapshot::SnapshotName;
use tokio::task::JoinSet;
use verify::{Cert, Seqno};

use super::lines::{Lines, locked};
use super::wire::Offer;
use super::worker::{Wanted, What, Worker};
use crate::config::NodeConfig;
use crate::join::Admitted;
use crate::peers::{PeerTls, PeerTlsError};
use crate::platform::Secrets;

/// Files that come at a time. Each has one piece in memory.
const AT_A_TIME: usize = 4;
/// Nodes that send files, and one that leads and makes a snapshot, show by then.
const FOUND_WITHIN: Duration = Duration::from_secs(3);
/// Between two looks whether a snapshot is made.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Between two requests to make one.
const WISH_AGAIN: Duration = Duration::from_secs(5);
/// A snapshot that is not made by then is done without.
const MADE_WITHIN: Duration = Duration::from_secs(30);
/// What is written while files come comes as files too, if it is more than this.
const WORTH_ANOTHER_ROUND: u64 = 32 << 20;
/// Under load there is always more: the rest comes batch by batch.
const ROUNDS_MAX: u32 = 8;
/// How often the log says how far it is.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// Why a node that joins cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The disk fails, or is full.
    #[error("keeping the ledger that comes from other nodes")]
    Disk(#[source] OpenError),
    /// Start again when they can be reached: it goes on where it stopped.
    #[error(
        "the nodes that sent the ledger do not answer any more; start this node again when they do, \
         and it goes on where it stopped"
    )]
    Interrupted,
    /// The node's certificate or key do not do for TLS.
    #[error(transparent)]
    Tls(#[from] PeerTlsError),
    /// The system gives no threads.
    #[error("starting the threads that get the ledger from other nodes")]
    Threads(#[source] io::Error),
}

/// Gets the ledger for a node that joined and has none. Returns whether it came; if not, it comes
/// batch by batch, as from a node that sends no files.
///
/// # Errors
/// See [`FetchError`].
pub(crate) fn arrive(
    config: &NodeConfig,
    admitted: &Admitted,
    secrets: &Secrets,
) -> Result<bool, FetchError> {
    let Some(peers) = config
        .peers
        .as_ref()
        .filter(|_| Arrival::is_due(&config.dir))
    else {
        return Ok(false);
    };
    let Ok(service) = Cert::from_pem(&admitted.service_cert) else {
        return Ok(false);
    };
    let tls = PeerTls::new(service.clone(), &admitted.node_cert, &secrets.node_key)?;
    let Some(arrival) = Arrival::begin(&config.dir).map_err(FetchError::Disk)? else {
        return Ok(true);
    };
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get().min(4));
    // Its own threads: whoever starts a node may be part of another runtime.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("arrival")
        .enable_all()
        .build()
        .map_err(FetchError::Threads)?;
    let fetch = Fetch {
        lines: Lines::new(tls, &admitted.peers),
        arrival: Arc::new(arrival),
        service,
        replay_entries: peers.replay_entries,
    };
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || runtime.block_on(fetch.run()));
        thread.join().unwrap_or_else(|_| {
            let panicked = io::Error::other("a thread panicked");
            Err(FetchError::Threads(panicked))
        })
    })
}

pub(super) struct Fetch {
    pub(super) lines: Arc<Lines>,
    pub(super) arrival: Arc<Arrival>,
    pub(super) service: Cert,
    pub(super) replay_entries: u64,
}

/// That a snapshot be made.
struct Wish {
    since: Instant,
    /// It should be of this entry or a later one.
    reach: Seqno,
    asked: Option<Instant>,
    /// Somebody makes one.
    heard: bool,
}

/// What one round decides on.
struct Round {
    offers: Vec<(usize, Offer)>,
    /// Which of them is followed: the one that has most.
    best: usize,
}

impl Fetch {
    pub(super) async fn run(self) -> Result<bool, FetchError> {
        let began = Instant::now();
        // Whoever sent something before will do so again.
        let mut ever = self.arrival.goes_on();
        let mut wish: Option<Wish> = None;
        let mut rounds = 0;
        loop {
            let Some(round) = self.round().await else {
                let over = !ever && began.elapsed() > FOUND_WITHIN;
                if over || !self.lines.any_is_good() {
                    tracing::warn!("no node sends files: the ledger comes batch by batch");
                    self.give_up()?;
                    return Ok(false);
                }
                self.lines.wait_for_somebody().await?;
                continue;
            };
            ever = true;
            let offer = &round.offers[round.best].1;
            let waits = self.waits_for_snapshot(offer, &mut wish).await;
            let closed = offer.chunks.iter().filter(|chunk| chunk.closed);
            let before = self.lines.bytes.load(Ordering::Relaxed);
            let chunks: Vec<Chunk> = closed.copied().collect();
            let all = self.download_chunks(&round, &chunks).await?;
            let came = self.lines.bytes.load(Ordering::Relaxed) - before;
            if !all {
                self.lines.wait_for_somebody().await?;
                continue;
            }
            if came > WORTH_ANOTHER_ROUND && rounds < ROUNDS_MAX {
                rounds += 1;
                continue;
            }
            if waits {
                tokio::time::sleep(LOOK_AGAIN).await;
                continue;
            }
            let open = offer.chunks.iter().filter(|chunk| !chunk.closed);
            let open: Vec<Chunk> = open.copied().collect();
            if !self.download_chunks(&round, &open).await? {
                self.lines.wait_for_somebody().await?;
                continue;
            }
            let snapshot = self.download_snapshot(&round).await?;
            if self.take(&round, snapshot).await? {
                tracing::info!(
                    entries = offer.last().0,
                    bytes = self.lines.bytes.load(Ordering::Relaxed),
                    snapshot = snapshot.is_some(),
                    seconds = began.elapsed().as_secs_f64(),
                    "the ledger has come, and is checked"
                );
                return Ok(true);
            }
        }
    }

    /// Whether a better snapshot than those offered is on its way. Wishes for one where there is none
    /// that leaves little to replay; one that was made after the wish is good enough, or a busy ledger
    /// would always want another one.
    async fn waits_for_snapshot(&self, offer: &Offer, wish: &mut Option<Wish>) -> bool {
        let state = offer.snapshot.map_or(Seqno::ZERO, |(name, _)| name.seqno);
        if offer.last().0.saturating_sub(state.0) <= self.replay_entries {
            return false;
        }
        let now = Instant::now();
        let wish = wish.get_or_insert(Wish {
            since: now,
            reach: offer.last(),
            asked: None,
            heard: false,
        });
        if state >= wish.reach {
            return false;
        }
        if !wish.heard || wish.asked.is_none_or(|asked| asked.elapsed() > WISH_AGAIN) {
            wish.asked = Some(now);
            wish.heard = self.lines.ask_all_to_make().await;
        }
        let patience = if wish.heard {
            MADE_WITHIN
        } else {
            FOUND_WITHIN
        };
        wish.since.elapsed() < patience
    }

    /// Asks everybody what they have; `None` if nobody says.
    async fn round(&self) -> Option<Round> {
        let offers = self.lines.offers().await;
        let best = (0..offers.len()).max_by_key(|at| offers[*at].1.last())?;
        Some(Round { offers, best })
    }

    /// Gets files that are not here yet; returns whether all are here.
    async fn download_chunks(&self, round: &Round, chunks: &[Chunk]) -> Result<bool, FetchError> {
        let mut holders: HashMap<Chunk, Vec<usize>> = HashMap::new();
        for (peer, offer) in &round.offers {
            for chunk in &offer.chunks {
                holders.entry(*chunk).or_default().push(*peer);
            }
        }
        let files = chunks.iter().map(|chunk| Wanted {
            what: What::Chunk(*chunk),
            from: holders.remove(chunk).unwrap_or_default(),
        });
        self.download(files.collect()).await
    }

    /// Gets the newest snapshot that there is, if it saves anything and can be had.
    async fn download_snapshot(&self, round: &Round) -> Result<Option<SnapshotName>, FetchError> {
        let last = round.offers[round.best].1.last();
        let offered = || {
            round
                .offers
                .iter()
                .filter_map(|(peer, offer)| Some((*peer, offer.snapshot?)))
        };
        let useful = offered().map(|(_, snapshot)| snapshot);
        let newest = useful.filter(|(name, _)| name.evidence <= last).max();
        let Some((name, bytes)) = newest.filter(|_| last.0 > self.replay_entries) else {
            return Ok(None);
        };
        let from = offered().filter(|(_, found)| *found == (name, bytes));
        let wanted = Wanted {
            what: What::Snapshot(name, bytes),
            from: from.map(|(peer, _)| peer).collect(),
        };
        let came = self.download(vec![wanted]).await?;
        Ok(came.then_some(name))
    }

    async fn download(&self, files: Vec<Wanted>) -> Result<bool, FetchError> {
        let count = files.len();
        let all: u64 = files.iter().map(|file| file.what.bytes()).sum();
        let queue = Arc::new(Mutex::new(
            files.into_iter().enumerate().collect::<VecDeque<_>>(),
        ));
        let told = Arc::new(Mutex::new(Instant::now()));
        let mut workers = JoinSet::new();
        for _ in 0..AT_A_TIME.min(count) {
            let (queue, told) = (Arc::clone(&queue), Arc::clone(&told));
            let (lines, arrival) = (Arc::clone(&self.lines), Arc::clone(&self.arrival));
            workers.spawn(async move {
                let mut worker = Worker::new(lines, arrival);
                let mut got = 0;
                loop {
                    let Some((number, file)) = locked(&queue).pop_front() else {
                        return Ok(got);
                    };
                    got += usize::from(worker.get(number, &file).await?);
                    let mut told = locked(&told);
                    if told.elapsed() > TELL_EVERY {
                        *told = Instant::now();
                        let left = locked(&queue).len();
                        let bytes = worker.lines.bytes.load(Ordering::Relaxed);
                        tracing::info!(bytes, of = all, files_left = left, "the ledger is coming");
                    }
                }
            });
        }
        let mut got = 0;
        while let Some(worker) = workers.join_next().await {
            let worker = worker.map_err(|error| FetchError::Threads(io::Error::other(error)))?;
            got += worker.map_err(|error: OpenError| FetchError::Disk(error))?;
        }
        Ok(got == count)
    }

    /// Checks all and moves it to its place; returns whether it was right. What was not is removed,
    /// and whoever sent it is not asked again.
    async fn take(
        &self,
        round: &Round,
        snapshot: Option<SnapshotName>,
    ) -> Result<bool, FetchError> {
        let (teller, offer) = &round.offers[round.best];
        let (chunks, order) = (offer.chunks.clone(), offer.order.clone());
        let (arrival, service) = (Arc::clone(&self.arrival), self.service.clone());
        let check = tokio::task::spawn_blocking(move || {
            let since = arrival.check(&chunks, &service, order)?;
            if let Some(name) = snapshot {
                arrival.check_snapshot(&chunks, name, since)?;
            }
            arrival.finish(&chunks, snapshot)?;
            Ok(())
        });
        let checked = check.await;
        let checked = checked.map_err(|error| FetchError::Threads(io::Error::other(error)))?;
        let blamed = match &checked {
            Ok(()) => return Ok(true),
            Err(ArrivalError::Disk(_)) => None,
            Err(ArrivalError::Chunk { chunk, .. }) => self.lines.source(&chunk.name().to_string()),
            Err(ArrivalError::Snapshot { name, .. }) => self.lines.source(&name.to_string()),
            Err(ArrivalError::Order(_)) => Some(*teller),
        };
        match checked {
            Ok(()) => Ok(true),
            Err(ArrivalError::Disk(error)) => Err(FetchError::Disk(error)),
            Err(error) => {
                self.lines.blame(blamed, &error);
                for name in blamed
                    .map(|peer| self.lines.sent_by(peer))
                    .unwrap_or_default()
                {
                    let removed = self.arrival.discard(&name);
                    removed.map_err(|source| {
                        FetchError::Disk(OpenError::Io {
                            doing: "remove",
                            path: name.into(),
                            source,
                        })
                    })?;
                }
                Ok(false)
            }
        }
    }

    fn give_up(&self) -> Result<(), FetchError> {
        self.arrival.abandon().map_err(FetchError::Disk)
    }
}
