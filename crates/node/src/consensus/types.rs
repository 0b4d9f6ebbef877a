//! The names under which the Raft library knows our things.
//!
//! A *term* is a view, a log entry is a batch or a mark, and a log index is its place in the order
//! ([`store::order`]). The word "term" stays in this module's siblings.

use std::fmt;
use std::sync::Arc;

use openraft::entry::RaftEntry;
use openraft::impls::leader_id_std;
use openraft::raft::responder::Responder;
use openraft::vote::RaftLeaderId;
use openraft::{EntryPayload, RaftTypeConfig, StoredMembership};
use serde::{Deserialize, Serialize};
use store::Batch;
use verify::{Digest, Seqno, View};

/// A node's id: the digest of its public key.
pub(crate) type NodeId = Digest;

/// How others reach a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Peer {
    /// `host:port` where it listens for other nodes.
    pub(crate) address: String,
}

/// What a leader proposes: a batch, made here or received.
#[derive(Clone)]
pub(crate) struct Proposal {
    pub(crate) first: Seqno,
    pub(crate) last: Seqno,
    pub(crate) content: Content,
}

/// The bytes of a batch, and what they say where that is known already.
#[derive(Clone)]
pub(crate) enum Content {
    /// Made or checked here.
    Known(Arc<Batch>),
    /// As another node sent it.
    Received(Arc<Vec<u8>>),
}

impl Proposal {
    /// A batch that is known.
    pub(crate) fn known(batch: Arc<Batch>) -> Self {
        Self {
            first: batch.first,
            last: batch.last(),
            content: Content::Known(batch),
        }
    }

    /// The encoded entries.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.content {
            Content::Known(batch) => &batch.bytes,
            Content::Received(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch {}..={}", self.first, self.last)
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Is called with what became of a proposal.
pub(crate) struct Tell<T>(pub(crate) Box<dyn FnOnce(T) + Send>);

impl<T: 'static> Responder<Types, T> for Tell<T> {
    fn on_complete(self, result: T) {
        (self.0)(result);
    }
}

/// Our types, for the library.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Types;

impl RaftTypeConfig for Types {
    type D = Proposal;
    type R = ();
    type NodeId = NodeId;
    type Node = Peer;
    type Term = u64;
    // One leader in a term: or else a view would not tell who made a batch.
    type LeaderId = LeaderId;
    type Vote = openraft::impls::Vote<LeaderId>;
    type Payload = EntryPayload<Proposal, NodeId, Peer>;
    type Entry = openraft::impls::Entry<CommittedLeader, Self::Payload>;
    type AsyncRuntime = Runtime;
    type Responder<T>
        = Tell<T>
    where
        T: Send + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: Send + 'static;
    type ErrorSource = openraft::AnyError;
}

/// What runs the library's tasks.
#[cfg(not(test))]
pub(crate) type Runtime = openraft::TokioRuntime;
/// What runs the library's tasks in a simulation: chance comes from a seed.
#[cfg(test)]
pub(crate) type Runtime = super::simulation::runtime::Simulation;

/// The library's handle.
pub(crate) type Raft = openraft::Raft<Types, super::machine::Machine>;
type LeaderId = leader_id_std::LeaderId<u64, NodeId>;
pub(crate) type CommittedLeader = <LeaderId as RaftLeaderId>::Committed;
pub(crate) type LogId = openraft::type_config::alias::LogIdOf<Types>;
pub(crate) type Vote = openraft::type_config::alias::VoteOf<Types>;
pub(crate) type LogEntry = openraft::type_config::alias::EntryOf<Types>;
pub(crate) type Members = openraft::Membership<NodeId, Peer>;
pub(crate) type StoredMembers = StoredMembership<CommittedLeader, NodeId, Peer>;

/// The place `index` in the reign `view`.
pub(crate) fn log_id(view: View, index: u64) -> LogId {
    LogId::new(CommittedLeader::new(view.0), index)
}

/// An entry of the library's log.
pub(crate) fn log_entry(
    view: View,
    index: u64,
    payload: EntryPayload<Proposal, NodeId, Peer>,
) -> LogEntry {
    LogEntry::new(log_id(view, index), payload)
}
