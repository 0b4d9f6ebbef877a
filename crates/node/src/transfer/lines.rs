//! The ways to the nodes that have the ledger, and what is known of those.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use store::arrival::ArrivalError;
use tokio::task::JoinSet;
use verify::{Digest, Seqno};

use super::fetch::FetchError;
use super::wire::{Answer, Offer, Question};
use crate::join::KnownNode;
use crate::peers::{Outgoing, PeerTls};

/// A node that does not answer by then is asked again later, and another one now.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// Without a byte for so long the start fails, to go on at the next.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two rounds of questions to nodes that could not be reached.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// A node to ask.
pub(super) struct Peer {
    pub(super) id: Digest,
    address: String,
}

/// The ways to other nodes, and what is known of those.
pub(super) struct Lines {
    tls: PeerTls,
    pub(super) peers: Vec<Peer>,
    /// Who sent what is not so.
    liars: Mutex<HashSet<usize>>,
    /// Who sent a file, by its name; part of it, where it came in parts.
    sources: Mutex<HashMap<String, usize>>,
    pub(super) bytes: AtomicU64,
    heard: Mutex<Instant>,
}

impl Lines {
    pub(super) fn new(tls: PeerTls, known: &[KnownNode]) -> Arc<Self> {
        let peers = known.iter().filter_map(|node| {
            Some(Peer {
                id: node.id.parse().ok()?,
                address: node.address.clone(),
            })
        });
        Arc::new(Self {
            tls,
            peers: peers.collect(),
            liars: Mutex::default(),
            sources: Mutex::default(),
            bytes: AtomicU64::new(0),
            heard: Mutex::new(Instant::now()),
        })
    }

    /// By their place among those known; those who lied are not.
    pub(super) fn good(&self) -> Vec<usize> {
        let liars = locked(&self.liars);
        (0..self.peers.len())
            .filter(|peer| !liars.contains(peer))
            .collect()
    }

    pub(super) fn any_is_good(&self) -> bool {
        !self.good().is_empty()
    }

    pub(super) async fn connect(&self, peer: usize) -> Option<Outgoing> {
        let Peer { id, address } = &self.peers[peer];
        let connected = self.tls.connect(*id, address).await;
        connected
            .inspect_err(|error| tracing::debug!(%id, address, %error, "a node cannot be reached"))
            .ok()
    }

    /// Asks, and reads the answer; `None` if there is none that can be read.
    pub(super) async fn ask(
        &self,
        peer: usize,
        connection: &mut Outgoing,
        question: Question,
    ) -> Option<Answer> {
        let encoded = question.encode();
        let asked = tokio::time::timeout(ANSWERED_WITHIN, connection.ask(&encoded));
        let answer = match asked.await {
            Ok(Ok(answer)) => Answer::decode(&answer).map_err(io::Error::other),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        let id = self.peers[peer].id;
        answer
            .inspect_err(|error| tracing::info!(%id, %error, "a node does not answer about files"))
            .ok()
    }

    /// The same question to everybody who is believed.
    async fn ask_all(self: &Arc<Self>, question: Question) -> Vec<(usize, Answer)> {
        let mut asked = JoinSet::new();
        for peer in self.good() {
            let lines = Arc::clone(self);
            asked.spawn(async move {
                let mut connection = lines.connect(peer).await?;
                let answer = lines.ask(peer, &mut connection, question).await?;
                Some((peer, answer))
            });
        }
        let answers = asked.join_all().await;
        answers.into_iter().flatten().collect()
    }

    pub(super) async fn offers(self: &Arc<Self>) -> Vec<(usize, Offer)> {
        let answers = self.ask_all(Question::Offer).await;
        let offers = answers
            .into_iter()
            .filter_map(|(peer, answer)| match answer {
                Answer::Offer(offer) if offer.last() > Seqno::ZERO => Some((peer, offer)),
                _ => None,
            });
        let mut offers: Vec<_> = offers.collect();
        offers.sort_by_key(|(peer, _)| *peer);
        offers
    }

    /// Has a snapshot made by whoever can; returns whether one can be expected.
    pub(super) async fn ask_all_to_make(self: &Arc<Self>) -> bool {
        let answers = self.ask_all(Question::Make).await;
        answers
            .iter()
            .any(|(_, answer)| *answer == Answer::Make(true))
    }

    pub(super) fn came(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        *locked(&self.heard) = Instant::now();
    }

    /// Nobody sends anything just now.
    pub(super) async fn wait_for_somebody(&self) -> Result<(), FetchError> {
        if locked(&self.heard).elapsed() > PATIENCE {
            return Err(FetchError::Interrupted);
        }
        tokio::time::sleep(ASK_AGAIN).await;
        Ok(())
    }

    pub(super) fn set_source(&self, name: String, peer: usize) {
        locked(&self.sources).insert(name, peer);
    }

    pub(super) fn source(&self, name: &str) -> Option<usize> {
        locked(&self.sources).get(name).copied()
    }

    pub(super) fn sent_by(&self, peer: usize) -> Vec<String> {
        let sources = locked(&self.sources);
        let sent = sources.iter().filter(|(_, source)| **source == peer);
        sent.map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn blame(&self, peer: Option<usize>, why: &ArrivalError) {
        match peer.map(|peer| (peer, &self.peers[peer])) {
            Some((number, Peer { id, address })) => {
                tracing::error!(
                    node = %id, address, %why,
                    "ALARM: a node sent what is not the ledger; it is not asked any more. Compare \
                     its ledger with the others' (`counterfoil ledger audit`)"
                );
                locked(&self.liars).insert(number);
            }
            // It came before this start; it is removed, and comes again.
            None => tracing::warn!(%why, "what came before is damaged, and comes again"),
        }
    }
}

/// A panic while the lock is held cannot leave these half changed.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
