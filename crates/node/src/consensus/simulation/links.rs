//! The way between nodes: it loses, delays, repeats and reorders what is on it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use openraft::AsyncRuntime;
use verify::Digest;

use super::super::line::{Connection, Way};
use super::super::network::answer;
use super::super::types::{NodeId, Raft, Runtime};
use super::super::wire::Request;

/// Chance out of a seed (SplitMix64, Steele et al., OOPSLA 2014).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// In so many of a hundred cases.
    pub(super) fn percent(&mut self, cases: u64) -> bool {
        self.below(100) < cases
    }

    pub(super) fn micros(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_micros(from + self.below(to - from))
    }
}

/// All links.
pub(super) struct Links(Mutex<State>);

struct State {
    random: Random,
    running: BTreeMap<NodeId, Raft>,
    /// From, to.
    cut: BTreeSet<(NodeId, NodeId)>,
    /// Breaks at once, or takes and loses.
    refuses: bool,
    /// The longest that a message takes, microseconds.
    slowest: u64,
    lost_percent: u64,
    repeated_percent: u64,
}

/// What becomes of a message.
enum Fate {
    Arrives(Duration),
    Breaks,
    IsLost,
}

impl Links {
    pub(super) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            random: Random(seed),
            running: BTreeMap::new(),
            cut: BTreeSet::new(),
            refuses: false,
            slowest: 5_000,
            lost_percent: 0,
            repeated_percent: 0,
        })))
    }

    pub(super) fn runs(&self, id: NodeId, raft: Option<Raft>) {
        let mut state = self.state();
        match raft {
            Some(raft) => drop(state.running.insert(id, raft)),
            None => drop(state.running.remove(&id)),
        }
    }

    pub(super) fn cut(&self, from: NodeId, to: NodeId, refuses: bool) {
        let mut state = self.state();
        state.cut.insert((from, to));
        state.refuses = refuses;
    }

    /// From now on messages take up to so many microseconds; some are lost, some come twice.
    pub(super) fn weather(&self, slowest: u64, lost_percent: u64, repeated_percent: u64) {
        let mut state = self.state();
        state.slowest = slowest;
        state.lost_percent = lost_percent;
        state.repeated_percent = repeated_percent;
    }

    pub(super) fn heal(&self) {
        self.state().cut.clear();
        self.weather(5_000, 0, 0);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn fate(&self, from: NodeId, to: NodeId) -> Fate {
        let mut state = self.state();
        let (slowest, lost) = (state.slowest, state.lost_percent);
        let delay = state.random.micros(100, slowest);
        let lost = state.random.percent(lost);
        if state.cut.contains(&(from, to)) {
            if state.refuses {
                Fate::Breaks
            } else {
                Fate::IsLost
            }
        } else if lost {
            Fate::IsLost
        } else {
            Fate::Arrives(delay)
        }
    }

    async fn travel(&self, from: NodeId, to: NodeId) -> io::Result<()> {
        match self.fate(from, to) {
            Fate::Arrives(delay) => tokio::time::sleep(delay).await,
            Fate::Breaks => return Err(io::ErrorKind::ConnectionReset.into()),
            Fate::IsLost => std::future::pending().await,
        }
        Ok(())
    }

    fn running(&self, id: NodeId) -> io::Result<Raft> {
        let running = self.state().running.get(&id).cloned();
        running.ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
    }

    fn repeats(&self) -> Option<Duration> {
        let mut state = self.state();
        let percent = state.repeated_percent;
        let delay = state.random.micros(1_000, 900_000);
        state.random.percent(percent).then_some(delay)
    }
}

/// One node's way to all others.
pub(super) struct Simulated {
    pub(super) links: Arc<Links>,
    pub(super) own: NodeId,
}

/// A connection, until something on it is lost.
pub(super) struct Pair {
    links: Arc<Links>,
    own: NodeId,
    target: NodeId,
}

impl Way for Simulated {
    type Connection = Pair;

    async fn connect(&self, target: Digest, _: &str) -> io::Result<Pair> {
        self.links.travel(self.own, target).await?;
        self.links.running(target)?;
        self.links.travel(target, self.own).await?;
        Ok(Pair {
            links: Arc::clone(&self.links),
            own: self.own,
            target,
        })
    }
}

impl Connection for Pair {
    async fn ask(&mut self, question: &[u8]) -> io::Result<Vec<u8>> {
        self.links.travel(self.own, self.target).await?;
        let raft = self.links.running(self.target)?;
        if let Some(later) = self.links.repeats() {
            let (links, target, question) =
                (Arc::clone(&self.links), self.target, question.to_vec());
            Runtime::spawn(async move {
                tokio::time::sleep(later).await;
                if let Ok(raft) = links.running(target) {
                    let _ = reply(&question, &raft).await;
                }
            });
        }
        // Whoever asked may give up: the question is there all the same.
        let question = question.to_vec();
        let answering = Runtime::spawn(async move { reply(&question, &raft).await });
        let answer = answering.await.map_err(io::Error::other)??;
        self.links.travel(self.target, self.own).await?;
        Ok(answer)
    }
}

async fn reply(question: &[u8], raft: &Raft) -> io::Result<Vec<u8>> {
    let request = Request::decode(question).map_err(io::Error::other)?;
    Ok(answer(request, raft).await?.encode())
}
