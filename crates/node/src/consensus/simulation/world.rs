//! Three nodes, and what happens to them.

use std::sync::Arc;
use std::time::Duration;

use verify::{Digest, TxId};

use super::super::types::Runtime;
use super::links::Random;
use super::replica::{Common, Replica};

const NODES: usize = 3;
/// Faults in one life of a world.
const FAULTS: usize = 40;
/// How long the world may take to be well after the last fault.
const HEALED_WITHIN: Duration = Duration::from_secs(60);

/// A life of a world.
pub(super) struct Played {
    pub(super) violations: Vec<String>,
    pub(super) story: Vec<String>,
    pub(super) summary: String,
    pub(super) acknowledged: usize,
}

/// Plays a seed.
pub(super) fn play(seed: u64) -> Played {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(Runtime::scope(seed, async move {
        let mut world = World::new(seed).await;
        world.live().await;
        world.end().await
    }))
}

struct World {
    random: Random,
    common: Arc<Common>,
    replicas: Vec<Replica>,
    began: tokio::time::Instant,
    story: Vec<String>,
    standings: Vec<String>,
}

impl World {
    async fn new(seed: u64) -> Self {
        let common = Common::new(seed, NODES);
        let mut replicas: Vec<_> = (0..NODES).map(|at| Replica::new(&common, at)).collect();
        for replica in &mut replicas {
            replica.start().await;
        }
        Self {
            random: Random(seed.rotate_left(32)),
            common,
            replicas,
            began: tokio::time::Instant::now(),
            story: Vec::new(),
            standings: vec![String::new(); NODES],
        }
    }

    async fn live(&mut self) {
        self.pass(Duration::from_secs(3)).await;
        for _ in 0..FAULTS {
            self.fault().await;
            let pause = self.random.micros(10_000, 1_500_000);
            self.pass(pause).await;
        }
    }

    async fn end(mut self) -> Played {
        self.tell("all is well again");
        self.common.links.heal();
        self.trust(&[0, 1, 2]);
        for at in 0..NODES {
            self.up(at).await;
        }
        let healed = tokio::time::Instant::now() + HEALED_WITHIN;
        let before = self.furthest();
        while !self.is_well(before) {
            if tokio::time::Instant::now() > healed {
                self.common
                    .history
                    .violation("nothing is written though all is well".to_owned());
                break;
            }
            self.pass(Duration::from_millis(100)).await;
        }
        // In order, so that nothing is on its way; then as they were found.
        for at in 0..NODES {
            self.replicas[at].stop().await;
        }
        for at in 0..NODES {
            self.replicas[at].start().await;
        }
        let quiet = tokio::time::Instant::now() + HEALED_WITHIN;
        while self.furthest() != self.nearest() && tokio::time::Instant::now() < quiet {
            self.pass(Duration::from_millis(20)).await;
        }
        for replica in &mut self.replicas {
            replica.settle();
        }
        let counts = self.common.history.counts();
        let [committed, lost, doubtful, untold] = counts;
        let summary = format!(
            "{committed} entries acknowledged, {lost} lost, {doubtful} in doubt, {untold} untold; \
             {} at the end after {:?}",
            self.furthest(),
            self.began.elapsed()
        );
        for replica in &mut self.replicas {
            replica.kill().await;
        }
        Played {
            violations: self.common.history.violations(),
            story: self.story,
            summary,
            acknowledged: committed,
        }
    }

    async fn fault(&mut self) {
        let at = self.random.below(NODES as u64) as usize;
        let other = (at + 1 + self.random.below(2) as usize) % NODES;
        let id = |at: usize| self.common.id(at);
        match self.random.below(12) {
            0 | 1 => {
                self.tell(&format!("{at} is killed"));
                self.replicas[at].kill().await;
            }
            2 => {
                self.tell(&format!("{at} stops"));
                self.replicas[at].stop().await;
            }
            3 => {
                self.tell("all are killed");
                for replica in &mut self.replicas {
                    replica.kill().await;
                }
                for at in 0..NODES {
                    self.up(at).await;
                }
            }
            4 | 5 => {
                let refuses = self.random.percent(50);
                self.common.links.cut(id(at), id(other), refuses);
                self.tell(&format!("{other} does not hear {at}"));
            }
            6 => {
                let refuses = self.random.percent(50);
                for other in (0..NODES).filter(|other| *other != at) {
                    self.common.links.cut(id(at), id(other), refuses);
                    self.common.links.cut(id(other), id(at), refuses);
                }
                self.tell(&format!("{at} is alone"));
            }
            7 => {
                let slowest = 5_000 + self.random.below(600_000);
                let (lost, repeated) = (self.random.below(20), self.random.below(30));
                self.common.links.weather(slowest, lost, repeated);
                self.tell(&format!("weather: {slowest} us, {lost} %, {repeated} %"));
            }
            8 if self.replicas.iter().all(Replica::is_up) => {
                self.tell(&format!("{at} is not to decide"));
                let others: Vec<_> = (0..NODES).filter(|other| *other != at).collect();
                self.trust(&others);
            }
            9 => {
                self.tell("all are to decide");
                self.trust(&[0, 1, 2]);
            }
            _ => {
                self.tell("the links heal");
                self.common.links.heal();
                for at in 0..NODES {
                    self.up(at).await;
                }
            }
        }
    }

    async fn up(&mut self, at: usize) {
        if !self.replicas[at].is_up() {
            self.tell(&format!("{at} starts"));
            self.replicas[at].start().await;
        }
    }

    fn trust(&self, nodes: &[usize]) {
        let ids: Vec<Digest> = nodes.iter().map(|at| self.common.id(*at)).collect();
        *self.common.trusted.lock().unwrap() = ids;
    }

    /// Lets time pass, and looks.
    async fn pass(&mut self, time: Duration) {
        let until = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
            for at in 0..NODES {
                self.replicas[at].look();
                let said = self.standing(at);
                if said != self.standings[at] {
                    self.tell(&format!("{at}: {said}"));
                    self.standings[at] = said;
                }
            }
        }
    }

    /// Without ids, which are drawn anew each time.
    fn standing(&self, at: usize) -> String {
        let Some(standing) = self.replicas[at].standing() else {
            return "down".to_owned();
        };
        let name = |id: &String| {
            self.replicas
                .iter()
                .position(|one| one.id.to_string() == *id)
        };
        let leader = standing.leader.as_ref().and_then(name);
        let mut deciding: Vec<_> = standing.deciding.iter().filter_map(name).collect();
        deciding.sort_unstable();
        format!(
            "view {}, leader {leader:?}, leads {}, deciding {deciding:?}, at {}",
            standing.view,
            standing.leads,
            self.replicas[at].committed()
        )
    }

    fn furthest(&self) -> TxId {
        let all = self.replicas.iter().map(Replica::committed);
        all.max_by_key(|id| id.seqno).unwrap_or_default()
    }

    fn nearest(&self) -> TxId {
        let all = self.replicas.iter().map(Replica::committed);
        all.min_by_key(|id| id.seqno).unwrap_or_default()
    }

    /// All decide, and all have more than there was.
    fn is_well(&self, before: TxId) -> bool {
        let all_decide = self.replicas.iter().all(|replica| {
            let standing = replica.standing();
            standing.is_some_and(|standing| standing.deciding.len() == NODES)
        });
        all_decide && self.nearest().seqno > before.seqno
    }

    fn tell(&mut self, what: &str) {
        let at = self.began.elapsed().as_millis();
        self.story
            .push(format!("{:>3}.{:03} {what}", at / 1000, at % 1000));
    }
}
