//! The thread that owns the files of a node among others: it appends what the nodes are about to
//! agree on, undoes what they did not, and applies what they did.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use openraft::EntryPayload;
use openraft::storage::IOFlushed;
use store::order::Vote;
use store::{Batch, Store};
use tokio::sync::oneshot;
use verify::{Frontier, Seqno, View};

use super::judge::Judge;
use super::members;
use super::outstanding::Outstanding;
use super::tail::Tail;
use super::types::{Content, LogEntry, Proposal, Types};
use crate::commit::Publisher;
use crate::fatal::fail_stop;
use crate::submit::Queue;

/// What the thread is asked to do, in this order.
pub(crate) enum Command {
    /// Append entries, the first of which takes the next place.
    Append {
        entries: Vec<LogEntry>,
        flushed: IOFlushed<Types>,
    },
    /// Undo everything from this place on.
    Truncate {
        next: u64,
        done: oneshot::Sender<()>,
    },
    /// Keep a vote.
    Vote {
        vote: Vote,
        done: oneshot::Sender<()>,
    },
    /// Apply everything up to and with this place.
    Apply { last: u64 },
    /// Say so when all that was asked before is done.
    Settle { done: oneshot::Sender<()> },
    /// End, and leave the files ready for a quick start.
    Stop,
    /// Tell the tree, if all that there is was applied and the last place was taken in this view:
    /// then whoever leads in it can go on from there.
    Lead {
        view: View,
        frontier: oneshot::Sender<Option<Frontier>>,
    },
}

/// Appended and not applied.
struct Pending {
    index: u64,
    view: View,
    /// `None` for a mark.
    batch: Option<Arc<Batch>>,
}

/// What the thread tells, and whom.
pub(crate) struct Told {
    pub(crate) publisher: Publisher,
    pub(crate) outstanding: Arc<Outstanding>,
    pub(crate) queue: Arc<Queue>,
    /// The view of the last place that was applied: nothing of an older view can be committed any
    /// more.
    pub(crate) established: Arc<AtomicU64>,
}

pub(crate) struct LogThread {
    store: Store,
    tail: Arc<Tail>,
    judge: Judge,
    pending: VecDeque<Pending>,
    told: Told,
}

impl LogThread {
    /// `undecided` is what the store found behind what it knows to be committed.
    pub(crate) fn new(
        store: Store,
        tail: Arc<Tail>,
        judge: Judge,
        undecided: Vec<Arc<Batch>>,
        told: Told,
    ) -> Self {
        let first = tail.applied_next();
        let mut batches = undecided.into_iter();
        let pending = tail.slots_from(first).map(|slot| Pending {
            index: slot.index,
            view: slot.view,
            batch: if slot.is_batch { batches.next() } else { None },
        });
        let pending = pending.collect();
        Self {
            store,
            tail,
            judge,
            pending,
            told,
        }
    }

    /// Runs until nobody can ask any more, then leaves the files ready for a quick start.
    pub(crate) fn run(mut self, commands: &mpsc::Receiver<Command>) {
        while let Ok(command) = commands.recv() {
            if matches!(command, Command::Stop) {
                break;
            }
            self.obey(command);
        }
        if let Err(error) = self.store.checkpoint() {
            fail_stop("the last checkpoint failed", &error);
        }
    }

    /// Does one of the things that it is asked.
    pub(super) fn obey(&mut self, command: Command) {
        // Whoever asked may be gone: that changes nothing.
        match command {
            Command::Append { entries, flushed } => {
                for entry in entries {
                    self.append(entry);
                }
                flushed.io_completed(Ok(()));
            }
            Command::Truncate { next, done } => {
                self.truncate(next);
                let _ = done.send(());
            }
            Command::Vote { vote, done } => {
                let kept = self.tail.order().keep_vote(&vote);
                or_stop(kept, "the vote cannot be kept");
                let _ = done.send(());
            }
            Command::Apply { last } => self.apply(last),
            Command::Settle { done } => {
                let _ = done.send(());
            }
            Command::Stop => {}
            Command::Lead { view, frontier } => {
                let ready = self.pending.is_empty()
                    && self.told.established.load(Ordering::Acquire) == view.0;
                let _ = frontier.send(ready.then(|| self.store.frontier().clone()));
            }
        }
    }

    fn append(&mut self, entry: LogEntry) {
        let (view, index) = (View(entry.log_id.leader_id.term), entry.log_id.index);
        let after = self.store.last_appended();
        let (placed, batch) = match entry.payload {
            EntryPayload::Normal(proposal) => {
                let batch = self.checked(proposal, view);
                let began = Instant::now();
                or_stop(self.store.append(&batch), "the ledger cannot be written");
                self.told.publisher.synced(began);
                (self.tail.order().push_batch(batch.first), Some(batch))
            }
            EntryPayload::Blank => (self.tail.order().push_mark(view, after, None), None),
            EntryPayload::Membership(members) => {
                let members = members::encode(&members);
                let placed = self.tail.order().push_mark(view, after, Some(members));
                (placed, None)
            }
        };
        let placed = or_stop(placed, "the order cannot be written");
        assert_eq!(placed, index, "places are taken one after the other");
        if let Some(batch) = &batch {
            self.tail.known(index, batch);
        }
        self.pending.push_back(Pending { index, view, batch });
    }

    /// A batch of our own, or one that another node made and that is right.
    fn checked(&mut self, proposal: Proposal, view: View) -> Arc<Batch> {
        let batch = match proposal.content {
            Content::Known(batch) => batch,
            Content::Received(bytes) => match self.store.received(bytes.to_vec()) {
                Ok((batch, signed)) => {
                    if let Err(why) = self.judge.judge(&signed) {
                        alarm(proposal.first, &why);
                    }
                    Arc::new(batch)
                }
                Err(why) => alarm(proposal.first, &why),
            },
        };
        if batch.view != view || batch.first != proposal.first || batch.last() != proposal.last {
            alarm(
                proposal.first,
                "it is not the batch that the leader announced",
            );
        }
        batch
    }

    fn truncate(&mut self, next: u64) {
        let mut undone = None;
        while self.pending.back().is_some_and(|last| last.index >= next) {
            let last = self.pending.pop_back();
            undone = last.and_then(|last| last.batch).or(undone);
        }
        if let Some(first) = undone {
            let last = Seqno(first.first.0 - 1);
            tracing::info!(after = last.0, "undoing what was not agreed on");
            or_stop(self.store.truncate(last), "the ledger cannot be cut");
        }
        or_stop(self.tail.order().truncate(next), "the order cannot be cut");
    }

    fn apply(&mut self, last: u64) {
        while self
            .pending
            .front()
            .is_some_and(|first| first.index <= last)
            && let Some(Pending { index, view, batch }) = self.pending.pop_front()
        {
            if let Some(batch) = batch {
                or_stop(self.store.apply(&batch), "the state cannot be written");
                let reached = self.tail.order().reached(index, batch.first);
                or_stop(reached, "the order cannot be written");
                self.told
                    .publisher
                    .publish(&batch, self.store.reader().ledger_bytes());
                self.told.outstanding.decided(batch.view, batch.last());
            }
            self.told.established.fetch_max(view.0, Ordering::AcqRel);
        }
        self.tail.applied(last);
        self.told.queue.log_is_free();
    }
}

/// After a failed write nothing is known about the disk: the process ends.
fn or_stop<T, E: std::error::Error>(result: Result<T, E>, what: &str) -> T {
    match result {
        Ok(value) => value,
        Err(error) => fail_stop(what, &error),
    }
}

/// The leader's ledger is not ours. One of the two was changed or runs other code: a node that went
/// on would vouch for a second history.
fn alarm(first: Seqno, why: &str) -> ! {
    #[derive(Debug, thiserror::Error)]
    #[error(
        "the batch from seqno {first}: {why}. Compare this node's ledger with the others' \
             (`counterfoil ledger audit`) before it is started again"
    )]
    struct Differs<'a> {
        first: Seqno,
        why: &'a str,
    }
    fail_stop(
        "ALARM: the leader sent a batch that does not continue this node's ledger",
        &Differs { first, why },
    )
}
