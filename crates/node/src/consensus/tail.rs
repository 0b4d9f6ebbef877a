//! The log as the Raft library sees it: the order and the ledger, with the newest batches in memory.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use openraft::{EntryPayload, OptionalSend};
use store::order::{self, Order, Slot};
use store::{Batch, Reader};
use tokio::sync::oneshot;
use verify::{Seqno, View};

use super::log::Command;
use super::members;
use super::types::{Content, LogEntry, LogId, Proposal, Types, Vote, log_entry, log_id};
use super::wire::entry_len;

/// Batches that were applied are kept in memory up to this size for nodes that are a little behind;
/// what is older is read from the ledger.
const KEPT_BYTES: usize = 16 << 20;

/// One request to another node carries about this much, so that an answer comes in time.
const REQUEST_BYTES: usize = 4 << 20;

/// The log. Shared by the thread that writes it and all that read it.
pub(crate) struct Tail {
    reader: Arc<Reader>,
    order: Mutex<Order>,
    recent: Mutex<Recent>,
    vote: Mutex<Option<Vote>>,
}

/// What is at a place that is in memory.
pub(crate) struct Placed {
    pub(crate) index: u64,
    pub(crate) view: View,
    pub(crate) is_batch: bool,
}

/// The newest entries, without a gap.
#[derive(Default)]
struct Recent {
    entries: VecDeque<LogEntry>,
    bytes: usize,
    /// The place after the last that is applied.
    applied_next: u64,
    /// The place after the last.
    next: u64,
}

impl Tail {
    /// `undecided` are the batches behind what `reader` shows.
    pub(crate) fn new(
        reader: Arc<Reader>,
        order: Order,
        undecided: &[Arc<Batch>],
        vote: Option<order::Vote>,
    ) -> io::Result<Self> {
        let applied = order.place_of(reader.committed().seqno)?;
        let next = order.next();
        let tail = Self {
            reader,
            order: Mutex::new(order),
            recent: Mutex::new(Recent {
                applied_next: applied.map_or(0, |index| index + 1),
                next,
                ..Recent::default()
            }),
            vote: Mutex::new(vote.and_then(|vote| known_vote(&vote))),
        };
        let first = tail.applied_next();
        let mut batches = undecided.iter();
        for index in first..next {
            let slot = tail.order().slot(index)?;
            let entry = match slot {
                Some(Slot::Mark(mark)) => mark_entry(&mark)?,
                _ => {
                    let batch = batches.next().ok_or_else(|| missing(index))?;
                    let proposal = Proposal::known(Arc::clone(batch));
                    log_entry(batch.view, index, EntryPayload::Normal(proposal))
                }
            };
            tail.recent().push(entry);
        }
        Ok(tail)
    }

    pub(crate) fn order(&self) -> MutexGuard<'_, Order> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn vote(&self) -> MutexGuard<'_, Option<Vote>> {
        self.vote.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place after the last that is applied.
    pub(crate) fn applied_next(&self) -> u64 {
        self.recent().applied_next
    }

    /// Places from `first` on that are in memory.
    pub(crate) fn slots_from(&self, first: u64) -> impl Iterator<Item = Placed> {
        let recent = self.recent();
        let slots = recent.entries.iter().map(|entry| Placed {
            index: entry.log_id.index,
            view: View(entry.log_id.leader_id.term),
            is_batch: matches!(entry.payload, EntryPayload::Normal(_)),
        });
        let slots: Vec<_> = slots.filter(|slot| slot.index >= first).collect();
        slots.into_iter()
    }

    /// The batch at `index` was checked: no need to check it again.
    pub(crate) fn known(&self, index: u64, batch: &Arc<Batch>) {
        if let Some(entry) = self.recent().at(index) {
            entry.payload = EntryPayload::Normal(Proposal::known(Arc::clone(batch)));
        }
    }

    /// Everything up to `last` is applied.
    pub(crate) fn applied(&self, last: u64) {
        let mut recent = self.recent();
        recent.applied_next = last + 1;
        recent.forget();
    }

    /// The place of the last batch that is applied.
    pub(crate) fn last_applied(&self) -> io::Result<Option<LogId>> {
        let order = self.order();
        match order.place_of(self.reader.committed().seqno)? {
            Some(index) => Ok(Some(
                self.id_at(&order, index)?.ok_or_else(|| missing(index))?,
            )),
            None => Ok(None),
        }
    }

    /// Who decides as of the place `applied`, as a mark before it says.
    pub(crate) fn members_at(&self, applied: LogId) -> Option<(LogId, String)> {
        let order = self.order();
        let mut before = order.marks().filter(|mark| mark.index <= applied.index);
        let mark = before.rfind(|mark| mark.members.is_some())?;
        Some((log_id(mark.view, mark.index), mark.members.clone()?))
    }

    fn id_at(&self, order: &Order, index: u64) -> io::Result<Option<LogId>> {
        if let Some(entry) = self.recent().at(index) {
            return Ok(Some(entry.log_id));
        }
        Ok(match order.slot(index)? {
            Some(Slot::Mark(mark)) => Some(log_id(mark.view, index)),
            Some(Slot::Batch(first)) => self.reader.view_at(first).map(|view| log_id(view, index)),
            None => None,
        })
    }

    /// The last seqno that has a place, decided or not.
    pub(crate) fn last_seqno(&self) -> Seqno {
        let mut recent = self.recent();
        let mut index = recent.next;
        while let Some(before) = index.checked_sub(1) {
            match recent.at(before).map(|entry| &entry.payload) {
                Some(EntryPayload::Normal(proposal)) => return proposal.last,
                Some(_) => index = before,
                None => break,
            }
        }
        drop(recent);
        self.reader.committed().seqno
    }

    /// The entries from `start` to before `end` that there are; at least one if there is one, and
    /// not many more than `bytes`.
    fn read(&self, start: u64, end: u64, bytes: usize) -> io::Result<Vec<LogEntry>> {
        let mut found = Vec::new();
        let mut size = 0;
        let mut index = start;
        while index < end && size < bytes {
            let entry = match self.recent().at(index) {
                Some(entry) => Some(entry.clone()),
                None => self.old(index)?,
            };
            let Some(entry) = entry else { break };
            size += entry_len(&entry);
            found.push(entry);
            index += 1;
        }
        Ok(found)
    }

    /// An entry that is not in memory any more, so it is applied.
    fn old(&self, index: u64) -> io::Result<Option<LogEntry>> {
        let slot = self.order().slot(index)?;
        let first = match slot {
            None => return Ok(None),
            Some(Slot::Mark(mark)) => return mark_entry(&mark).map(Some),
            Some(Slot::Batch(first)) => first,
        };
        let (bytes, last) = self
            .reader
            .batch(first)
            .map_err(io::Error::other)?
            .ok_or_else(|| missing(index))?;
        let view = self.reader.view_at(first).ok_or_else(|| missing(index))?;
        let proposal = Proposal {
            first,
            last,
            content: Content::Received(Arc::new(bytes)),
        };
        Ok(Some(log_entry(view, index, EntryPayload::Normal(proposal))))
    }
}

impl Recent {
    fn at(&mut self, index: u64) -> Option<&mut LogEntry> {
        let first = self.entries.front()?.log_id.index;
        let at = usize::try_from(index.checked_sub(first)?).ok()?;
        self.entries.get_mut(at)
    }

    fn push(&mut self, entry: LogEntry) {
        self.bytes += entry_len(&entry);
        self.next = entry.log_id.index + 1;
        self.entries.push_back(entry);
    }

    fn truncate(&mut self, next: u64) {
        while self
            .entries
            .back()
            .is_some_and(|last| last.log_id.index >= next)
            && let Some(last) = self.entries.pop_back()
        {
            self.bytes -= entry_len(&last);
        }
        self.next = next;
    }

    /// Drops what is applied and more than a node that is a little behind needs.
    fn forget(&mut self) {
        let applied_next = self.applied_next;
        while self.bytes > KEPT_BYTES
            && self
                .entries
                .front()
                .is_some_and(|first| first.log_id.index < applied_next)
            && let Some(first) = self.entries.pop_front()
        {
            self.bytes -= entry_len(&first);
        }
    }
}

/// The log, for the library: reads it, and has the log thread write it.
#[derive(Clone)]
pub(crate) struct Log {
    pub(crate) tail: Arc<Tail>,
    pub(crate) thread: mpsc::Sender<Command>,
}

impl Log {
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> io::Result<T> {
        let (done, answer) = oneshot::channel();
        let gone = |_| io::Error::other("the log thread has ended");
        self.thread.send(command(done)).map_err(|_| gone(()))?;
        answer.await.map_err(|_| gone(()))
    }
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<LogEntry>> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => end + 1,
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        read(&self.tail, start, end, usize::MAX)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<LogEntry>> {
        read(&self.tail, start, end, REQUEST_BYTES)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(*self.tail.vote())
    }
}

/// A log that cannot be read must not be taken for a short one: others would be sent a wrong history.
fn read(tail: &Tail, start: u64, end: u64, bytes: usize) -> io::Result<Vec<LogEntry>> {
    tail.read(start, end, bytes)
        .or_else(|error| crate::fatal::fail_stop("the log cannot be read", &error))
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let order = self.tail.order();
        let last_log_id = match order.next().checked_sub(1) {
            Some(last) => self.tail.id_at(&order, last)?,
            None => None,
        };
        Ok(LogState {
            last_purged_log_id: None,
            last_log_id,
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let kept = order::Vote {
            view: View(vote.leader_id.term),
            node: vote.leader_id.voted_for.to_string(),
            won: vote.committed,
        };
        self.ask(|done| Command::Vote { vote: kept, done }).await?;
        *self.tail.vote() = Some(*vote);
        Ok(())
    }

    async fn append<I>(&mut self, entries: I, flushed: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = LogEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<LogEntry> = entries.into_iter().collect();
        let mut recent = self.tail.recent();
        for entry in &entries {
            recent.push(entry.clone());
        }
        drop(recent);
        self.thread
            .send(Command::Append { entries, flushed })
            .map_err(|_| io::Error::other("the log thread has ended"))
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let next = last.map_or(0, |last| last.index + 1);
        self.tail.recent().truncate(next);
        self.ask(|done| Command::Truncate { next, done }).await
    }

    /// Nothing is ever purged: the log is the ledger.
    async fn purge(&mut self, _: LogId) -> io::Result<()> {
        Ok(())
    }
}

fn mark_entry(mark: &order::Mark) -> io::Result<LogEntry> {
    let payload = match &mark.members {
        None => EntryPayload::Blank,
        Some(text) => {
            let members = members::decode(text);
            EntryPayload::Membership(members.ok_or_else(|| {
                io::Error::other(format!("the mark at place {} names no members", mark.index))
            })?)
        }
    };
    Ok(log_entry(mark.view, mark.index, payload))
}

fn known_vote(vote: &order::Vote) -> Option<Vote> {
    let node = vote.node.parse().ok()?;
    Some(if vote.won {
        Vote::new_committed(vote.view.0, node)
    } else {
        Vote::new(vote.view.0, node)
    })
}

fn missing(index: u64) -> io::Error {
    io::Error::other(format!("the batch at place {index} is not in the ledger"))
}
