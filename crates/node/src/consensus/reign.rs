//! From winning an election to executing, and back.
//!
//! A leader executes when everything before its reign is applied here: then the tree is the one that
//! its first batch continues. When it leads no more, its executor ends, and whoever waits for a batch
//! that is on its way is answered by what becomes of it ([`super::outstanding`]).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::Instant as _;
use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;
use tokio::sync::oneshot;
use tokio::time::Instant;
use verify::{Digest, Frontier, View};

use super::log::Command;
use super::offer::{Course, Offering};
use super::reconcile::Reconciler;
use super::types::Raft;
use super::{Executing, Means, Standing};
use crate::fatal::fail_stop;

/// How often to look whether everything is applied, for a leader that waits to reign.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// How often to look after what takes its time.
const TICK: Duration = Duration::from_millis(100);
/// How long a node that stops waits for what was proposed and for another leader.
const FAREWELL: Duration = Duration::from_secs(5);

pub(crate) struct Reigning {
    raft: Raft,
    means: Means,
    reconciler: Reconciler,
    reign: Option<Reign>,
    /// The last view that this node reigned in. It does so once in each: what another executor of the
    /// same view gave out would be given out again.
    spent: View,
}

struct Reign {
    view: View,
    executor: Executing,
    course: Arc<Course>,
}

/// Why a leader gives way to any other, itself after a restart included.
#[derive(Debug, thiserror::Error)]
#[error("a batch of view {} was refused for good, though this node leads", .0.0)]
struct BrokenReign(View);

/// The library's tasks are gone.
#[derive(Debug, thiserror::Error)]
#[error("node {0} takes part no more")]
struct Ended(Digest);

/// What the library says.
struct Seen {
    view: View,
    leader: Option<Digest>,
    leads: bool,
    /// A majority answered it lately.
    heard: bool,
    deciding: Vec<Digest>,
}

impl Reigning {
    pub(crate) fn new(raft: Raft, means: Means) -> Self {
        let reconciler = Reconciler::new(raft.clone());
        Self {
            raft,
            means,
            reconciler,
            reign: None,
            spent: View::default(),
        }
    }

    /// Follows the elections until told to stop, then hands over.
    pub(crate) async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        let mut changes = self.raft.server_metrics();
        loop {
            let seen = self.seen();
            let waits = self.follow(&seen).await;
            let reigning = self.reign.as_ref().map(|reign| reign.view);
            self.means
                .outstanding
                .doubt(reigning, Instant::now().into_std());
            if reigning.is_some() {
                self.reconciler.look(&self.means.crew.trusted());
                self.means.crew.duties(&seen.deciding);
            }
            let pause = if waits { LOOK_AGAIN } else { TICK };
            tokio::select! {
                biased;
                _ = &mut stop => break,
                changed = changes.changed() => if changed.is_err() {
                    fail_stop("the agreement has ended by itself", &Ended(self.means.id));
                },
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.hand_over().await;
    }

    fn seen(&self) -> Seen {
        // Cloned at once: whoever holds the reference keeps the library waiting.
        let metrics = self.raft.metrics().borrow_watched().clone();
        let leader = metrics.current_leader;
        let deciding: Vec<Digest> = metrics.membership_config.voter_ids().collect();
        // A leader that hears of no majority may have been replaced: it must not let callers wait.
        let heard = deciding.len() == 1
            || metrics
                .last_quorum_acked
                .is_some_and(|at| at.into_inner().elapsed() < 2 * self.means.timing.election);
        Seen {
            view: View(metrics.current_term),
            leader,
            leads: metrics.state == ServerState::Leader && leader == Some(self.means.id),
            heard,
            deciding,
        }
    }

    /// Begins or ends a reign. Returns whether one is about to begin.
    async fn follow(&mut self, seen: &Seen) -> bool {
        let over = |reign: &Reign| {
            !seen.leads || reign.view != seen.view || reign.course.broken.load(Ordering::Acquire)
        };
        if self.reign.as_ref().is_some_and(over) {
            self.end().await;
        }
        if seen.leads && self.reign.is_none() {
            if seen.view <= self.spent {
                self.give_way().await;
            } else if let Some(tree) = self.tree(seen.view).await {
                self.means.outstanding.established(seen.view);
                self.begin(seen.view, tree);
            }
        }
        if self.reign.is_some() {
            self.means.queue.pause(!seen.heard);
        }
        let reigns = self.reign.is_some() && seen.heard;
        let standing = Standing {
            view: seen.view,
            leader: seen.leader.map(|id| id.to_string()),
            leads: reigns,
            deciding: seen.deciding.iter().map(Digest::to_string).collect(),
        };
        self.means.standing.send_if_modified(|before| {
            let changed = *before != standing;
            if changed {
                let deciding = standing.deciding.len();
                tracing::info!(
                    view = standing.view.0,
                    leader = standing.leader.as_deref().unwrap_or("none"),
                    leads = reigns,
                    deciding,
                    "where this node stands"
                );
                *before = standing;
            }
            changed
        });
        seen.leads && self.reign.is_none()
    }

    async fn tree(&self, view: View) -> Option<Frontier> {
        let (frontier, tree) = oneshot::channel();
        self.means
            .commands
            .send(Command::Lead { view, frontier })
            .ok()?;
        tree.await.ok()?
    }

    fn begin(&mut self, view: View, tree: Frontier) {
        let (propose, proposals) = tokio::sync::mpsc::unbounded_channel();
        let course = Arc::<Course>::default();
        self.spent = view;
        let offering = Offering {
            raft: self.raft.clone(),
            outstanding: Arc::clone(&self.means.outstanding),
            course: Arc::clone(&course),
            view,
        };
        tokio::spawn(offering.run(proposals));
        let log = Box::new(move |closed| propose.send(closed).is_ok());
        // Open first: an executor that finds the door closed takes itself for deposed.
        self.means.queue.open();
        match self.means.crew.execute(view, tree, log) {
            Ok(executor) => {
                self.reign = Some(Reign {
                    view,
                    executor,
                    course,
                });
            }
            // Another node can lead; this one looks again.
            Err(error) => {
                self.means.queue.close();
                tracing::error!(%error, "no thread to execute on");
            }
        }
    }

    async fn end(&mut self) {
        let Some(reign) = self.reign.take() else {
            return;
        };
        reign.course.over.store(true, Ordering::Release);
        self.means.queue.close();
        tracing::info!(view = reign.view.0, "this node leads no more");
        reign.executor.await;
    }

    /// The queue was told to stop: what is in it is executed, proposed and decided, and another node
    /// is asked to lead, before this one goes.
    async fn hand_over(mut self) {
        let until = Instant::now() + FAREWELL;
        let reign = self.reign.take();
        if let Some(mut reign) = reign {
            let executed = tokio::time::timeout_at(until, &mut reign.executor).await;
            if executed.is_err() {
                // No majority takes its last batch.
                reign.course.over.store(true, Ordering::Release);
                self.means.queue.close();
                reign.executor.await;
            }
            while !self.means.outstanding.is_empty() && self.seen().leads && Instant::now() < until
            {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        } else {
            self.means.queue.close();
        }
        if self.seen().leads {
            self.appoint(until.min(Instant::now() + 2 * self.means.timing.election))
                .await;
        }
        self.means.outstanding.give_up();
    }

    /// This node cannot reign in this view any more, and the library takes it for its leader.
    async fn give_way(&self) {
        self.appoint(Instant::now() + 2 * self.means.timing.election)
            .await;
        let seen = self.seen();
        if seen.leads && seen.view <= self.spent {
            fail_stop(
                "this node cannot lead any more and finds nobody who does",
                &BrokenReign(seen.view),
            );
        }
    }

    /// Asks the follower that has most to lead, and waits until somebody does.
    async fn appoint(&self, until: Instant) {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let voters = self.seen().deciding;
        let followers = metrics.replication.into_iter().flatten();
        let best = followers
            .filter(|(id, _)| *id != self.means.id && voters.contains(id))
            .max_by_key(|(_, matched)| matched.map(|matched| matched.index));
        let Some((heir, _)) = best else { return };
        if self.raft.trigger().transfer_leader(heir).await.is_err() {
            return;
        }
        while Instant::now() < until {
            let seen = self.seen();
            if seen.leader.is_some() && !seen.leads {
                tracing::info!(leader = ?seen.leader, "the leadership is handed over");
                return;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}
