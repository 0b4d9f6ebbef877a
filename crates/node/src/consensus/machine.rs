//! What is agreed on, for the library: has the log thread apply it.

use std::io;
use std::sync::mpsc;

use futures_util::{Stream, StreamExt};
use openraft::entry::RaftEntry;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend};

use super::log::Command;
use super::types::{CommittedLeader, LogId, NodeId, Peer, StoredMembers, Types};

type SnapshotMeta = openraft::storage::SnapshotMeta<CommittedLeader, NodeId, Peer>;
type Snapshot = openraft::storage::Snapshot<CommittedLeader, NodeId, Peer, ()>;

/// The state machine.
pub(crate) struct Machine {
    pub(crate) thread: mpsc::Sender<Command>,
    pub(crate) applied: Option<LogId>,
    pub(crate) members: StoredMembers,
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = ();
    type SnapshotBuilder = NoSnapshots;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembers)> {
        Ok((self.applied, self.members.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        let mut last = None;
        let mut responders = Vec::new();
        while let Some(entry) = entries.next().await {
            let (entry, responder) = entry?;
            let id = entry.log_id();
            if let EntryPayload::Membership(members) = &entry.payload {
                self.members = StoredMembers::new(Some(id), members.clone());
            }
            responders.extend(responder);
            last = Some(id);
        }
        let Some(last) = last else { return Ok(()) };
        // Not waited for: the thread does one thing after the other, and ends the process if it cannot.
        // Whoever has to know that it is done asks the thread (`Command::Settle`).
        let command = Command::Apply { last: last.index };
        let gone = |_| io::Error::other("the log thread has ended");
        self.thread.send(command).map_err(gone)?;
        self.applied = Some(last);
        for responder in responders {
            responder.send(());
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> NoSnapshots {
        NoSnapshots
    }

    async fn install_snapshot(&mut self, _: &SnapshotMeta, (): ()) -> io::Result<()> {
        Err(never())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        Ok(None)
    }
}

/// The log is the ledger and never gets shorter, so no node is ever so far behind that it would need
/// more than that.
pub(crate) struct NoSnapshots;

impl RaftSnapshotBuilder<Types> for NoSnapshots {
    type SnapshotData = ();

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        Err(never())
    }
}

fn never() -> io::Error {
    io::Error::other("the log is whole, so there are no snapshots in its place")
}
