//! What everybody saw, and what must hold of it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use ledger::State;
use ledger::tables::PRIVATE_COLLECTIONS;
use store::Reader;
use verify::{Digest, Seqno, TxId, View};

use crate::submit::SubmitError;

/// What became of an entry, as its author was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Committed(TxId),
    /// It is not recorded and never will be.
    Lost,
    InDoubt,
}

/// Shared by all that write and look.
#[derive(Default)]
pub(super) struct History(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    /// By the entry's number.
    entries: BTreeMap<u64, Told>,
    /// The entries that some node had as committed.
    committed: BTreeMap<Seqno, (View, Digest)>,
    leaders: BTreeMap<View, Digest>,
    violations: Vec<String>,
}

impl History {
    /// A new entry's number.
    pub(super) fn number(&self) -> u64 {
        let mut seen = self.seen();
        let number = seen.entries.len() as u64;
        seen.entries.insert(number, Told::Nothing);
        number
    }

    /// What the author of these entries, in the places `ids`, was told.
    pub(super) fn told(&self, numbers: &[u64], ids: &[TxId], told: Result<(), SubmitError>) {
        let mut seen = self.seen();
        for (number, id) in numbers.iter().zip(ids) {
            let told = match told {
                Ok(()) => Told::Committed(*id),
                Err(SubmitError::InDoubt { .. }) => Told::InDoubt,
                Err(_) => Told::Lost,
            };
            seen.entries.insert(*number, told);
        }
    }

    /// A node executes in a view.
    pub(super) fn reigns(&self, view: View, node: Digest) {
        let mut seen = self.seen();
        if let Some(before) = seen.leaders.insert(view, node) {
            let told = format!("view {view} has two reigns, of {before} and of {node}");
            seen.violations.push(told);
        }
    }

    /// Looks at what a node has committed after `from`; returns where it ends.
    pub(super) fn look(&self, name: &str, reader: &Reader, from: Seqno) -> Seqno {
        let last = reader.committed().seqno;
        let mut seen = self.seen();
        for seqno in (from.0 + 1..=last.0).map(Seqno) {
            let leaf = reader.leaf(seqno).unwrap().expect("it is committed");
            let view = reader.view_at(seqno).expect("it is committed");
            let before = *seen.committed.entry(seqno).or_insert((view, leaf));
            if before != (view, leaf) {
                let told = format!("{name} has another entry {view}.{seqno} than {before:?}");
                seen.violations.push(told);
            }
        }
        last
    }

    /// Compares what authors were told with what a node has, once nothing is on its way.
    pub(super) fn settle(&self, name: &str, reader: &Reader) {
        let mut seen = self.seen();
        let mut violations = Vec::new();
        for (number, told) in &seen.entries {
            let there = reader.value(&PRIVATE_COLLECTIONS, &number.to_be_bytes());
            let place = there.as_deref().map(id_of);
            match told {
                Told::Committed(id) if place != Some(*id) => {
                    violations.push(format!("{name}: entry {number}, told {id}, is {place:?}"));
                }
                Told::Lost if place.is_some() => {
                    violations.push(format!("{name}: entry {number}, told lost, is {place:?}"));
                }
                _ => {}
            }
        }
        if reader.committed().seqno != seen.committed.keys().last().copied().unwrap_or_default() {
            violations.push(format!("{name} ends at {}", reader.committed()));
        }
        seen.violations.append(&mut violations);
    }

    pub(super) fn violation(&self, what: String) {
        self.seen().violations.push(what);
    }

    pub(super) fn violations(&self) -> Vec<String> {
        self.seen().violations.clone()
    }

    /// Committed, lost, in doubt, never told.
    pub(super) fn counts(&self) -> [usize; 4] {
        let seen = self.seen();
        let count = |wanted: fn(&Told) -> bool| seen.entries.values().filter(|t| wanted(t)).count();
        [
            count(|told| matches!(told, Told::Committed(_))),
            count(|told| *told == Told::Lost),
            count(|told| *told == Told::InDoubt),
            count(|told| *told == Told::Nothing),
        ]
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap()
    }
}

/// What an entry's row says: where it is.
pub(super) fn row_of(id: TxId) -> Vec<u8> {
    id.to_string().into_bytes()
}

fn id_of(row: &[u8]) -> TxId {
    std::str::from_utf8(row).unwrap().parse().unwrap()
}
