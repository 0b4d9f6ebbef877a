//! Makes the nodes that decide those that the ledger trusts.
//!
//! Members decide which nodes are trusted; that is in the ledger, for auditors to read. Here it is
//! carried out, one step at a time, by whoever leads: a node that is trusted learns first, and decides
//! when it has caught up; one that is trusted no more stops deciding. A leader that finds
//! something half done goes on with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use tokio::time::Instant;
use verify::Digest;

use super::types::{NodeId, Peer, Raft};

/// A node that lacks no more entries than this has caught up. From the moment that it decides, the
/// next write may have to wait until it has all that it lacks, and each entry costs it a sync.
const CAUGHT_UP: u64 = 2;
/// A node that lacks no more than this has nearly caught up;
const NEARLY: u64 = 64;
/// if it gets no further for so long, it is as fast as it will be, and decides. Or else a node with a
/// slow disk would never do so under load.
const NO_NEARER: Duration = Duration::from_secs(10);

pub(crate) struct Reconciler {
    raft: Raft,
    /// A step is under way.
    busy: Arc<AtomicBool>,
    /// Since when nodes have nearly caught up.
    nearly: BTreeMap<NodeId, Instant>,
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// The second half of a change: from both sets of nodes to the new one.
    Finish,
    Learn(NodeId, Peer),
    Move(NodeId, Peer),
    Decide(NodeId),
    Leave(NodeId),
    Forget(NodeId),
}

impl Reconciler {
    pub(crate) fn new(raft: Raft) -> Self {
        Self {
            raft,
            busy: Arc::default(),
            nearly: BTreeMap::new(),
        }
    }

    /// Begins the next step towards `trusted`, if there is one and none is under way.
    pub(crate) fn look(&mut self, trusted: &[(Digest, String)]) {
        if self.busy.load(Ordering::Acquire) {
            return;
        }
        let metrics = self.raft.metrics().borrow_watched().clone();
        let members = metrics.membership_config.membership();
        let nodes = members
            .nodes()
            .map(|(id, peer)| (*id, peer.address.clone()))
            .collect();
        let voters = members.voter_ids().collect();
        let last = metrics.last_log_index.unwrap_or(0);
        let matched = metrics.replication.into_iter().flatten();
        let lacking =
            matched.filter_map(|(id, matched)| Some((id, last.saturating_sub(matched?.index))));
        let near = caught_up(&mut self.nearly, lacking, Instant::now());
        // A leader that was lost between the two halves of a change leaves the second to the next.
        let step = if members.get_joint_config().len() > 1 {
            Some(Step::Finish)
        } else {
            next_step(trusted, &nodes, &voters, &near)
        };
        let Some(step) = step else { return };
        self.busy.store(true, Ordering::Release);
        let (raft, busy) = (self.raft.clone(), Arc::clone(&self.busy));
        tokio::spawn(async move {
            tracing::info!(?step, "changing who decides");
            if let Err(error) = take(&raft, step).await {
                tracing::warn!(error, "who decides could not be changed yet");
            }
            busy.store(false, Ordering::Release);
        });
    }
}

async fn take(raft: &Raft, step: Step) -> Result<(), String> {
    let changed = match step {
        Step::Finish => {
            let change = ChangeMembers::AddVoterIds(BTreeSet::new());
            raft.change_membership(change, true).await
        }
        Step::Learn(id, peer) => raft.add_learner(id, peer, false).await,
        Step::Move(id, peer) => {
            let change = ChangeMembers::SetNodes(BTreeMap::from([(id, peer)]));
            raft.change_membership(change, true).await
        }
        Step::Decide(id) => {
            let change = ChangeMembers::AddVoterIds(BTreeSet::from([id]));
            raft.change_membership(change, true).await
        }
        Step::Leave(id) => {
            let change = ChangeMembers::RemoveVoters(BTreeSet::from([id]));
            raft.change_membership(change, true).await
        }
        Step::Forget(id) => {
            let change = ChangeMembers::RemoveNodes(BTreeSet::from([id]));
            raft.change_membership(change, true).await
        }
    };
    changed.map(|_| ()).map_err(|error| error.to_string())
}

/// The nodes that may begin to decide: of all, with the number of entries that each lacks.
fn caught_up(
    nearly: &mut BTreeMap<NodeId, Instant>,
    lacking: impl Iterator<Item = (NodeId, u64)>,
    now: Instant,
) -> BTreeSet<NodeId> {
    let near: BTreeMap<NodeId, u64> = lacking.filter(|(_, lacks)| *lacks <= NEARLY).collect();
    nearly.retain(|id, _| near.contains_key(id));
    let near = near.into_iter().filter(|(id, lacks)| {
        let since = *nearly.entry(*id).or_insert(now);
        *lacks <= CAUGHT_UP || now.saturating_duration_since(since) >= NO_NEARER
    });
    near.map(|(id, _)| id).collect()
}

fn next_step(
    trusted: &[(Digest, String)],
    nodes: &BTreeMap<NodeId, String>,
    voters: &BTreeSet<NodeId>,
    near: &BTreeSet<NodeId>,
) -> Option<Step> {
    for (id, address) in trusted {
        let peer = || Peer {
            address: address.clone(),
        };
        match nodes.get(id) {
            None => return Some(Step::Learn(*id, peer())),
            Some(before) if before != address => return Some(Step::Move(*id, peer())),
            Some(_) if !voters.contains(id) && near.contains(id) => return Some(Step::Decide(*id)),
            Some(_) => {}
        }
    }
    let gone = |id: &&NodeId| !trusted.iter().any(|(trusted, _)| trusted == *id);
    // Never the last one: a network without a node that decides is lost.
    if voters.len() > 1
        && let Some(id) = voters.iter().find(gone)
    {
        return Some(Step::Leave(*id));
    }
    let gone = nodes.keys().filter(|id| !voters.contains(id)).find(gone);
    gone.map(|id| Step::Forget(*id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> NodeId {
        Digest([number; 32])
    }

    fn named(numbers: &[u8]) -> Vec<(Digest, String)> {
        numbers
            .iter()
            .map(|number| (id(*number), format!("host{number}:1")))
            .collect()
    }

    fn step(trusted: &[u8], nodes: &[u8], voters: &[u8], near: &[u8]) -> Option<Step> {
        let ids = |numbers: &[u8]| numbers.iter().map(|number| id(*number)).collect();
        let nodes = named(nodes).into_iter().collect();
        next_step(&named(trusted), &nodes, &ids(voters), &ids(near))
    }

    #[test]
    fn a_trusted_node_learns_before_it_decides() {
        let peer = Peer {
            address: "host2:1".to_owned(),
        };
        assert_eq!(
            step(&[1, 2], &[1], &[1], &[]),
            Some(Step::Learn(id(2), peer))
        );
        assert_eq!(step(&[1, 2], &[1, 2], &[1], &[]), None, "it is far behind");
        assert_eq!(
            step(&[1, 2], &[1, 2], &[1], &[2]),
            Some(Step::Decide(id(2)))
        );
        assert_eq!(step(&[1, 2], &[1, 2], &[1, 2], &[2]), None);
    }

    #[test]
    fn a_node_decides_when_it_has_caught_up_or_gets_no_nearer() {
        let mut nearly = BTreeMap::new();
        let began = Instant::now();
        let mut look = |lacks, after| {
            let lacking = [(id(2), lacks)].into_iter();
            caught_up(&mut nearly, lacking, began + after).contains(&id(2))
        };
        let moment = Duration::from_millis(100);
        assert!(look(CAUGHT_UP, Duration::ZERO));
        assert!(!look(NEARLY + 1, moment));
        assert!(!look(NEARLY, 2 * moment));
        assert!(
            !look(CAUGHT_UP + 1, NO_NEARER),
            "it came nearer a moment ago"
        );
        assert!(look(CAUGHT_UP + 1, 2 * moment + NO_NEARER));
        assert!(!look(NEARLY + 1, 3 * moment + NO_NEARER), "it fell back");
        assert!(!look(NEARLY, 4 * moment + NO_NEARER));
    }

    #[test]
    fn a_node_that_is_trusted_no_more_leaves_and_is_forgotten() {
        assert_eq!(step(&[1], &[1, 2], &[1, 2], &[]), Some(Step::Leave(id(2))));
        assert_eq!(step(&[1], &[1, 2], &[1], &[]), Some(Step::Forget(id(2))));
        assert_eq!(step(&[], &[1], &[1], &[]), None, "the last one stays");
    }
}
