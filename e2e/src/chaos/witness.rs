//! What clients were told, and what cannot be together.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use verify::{Seqno, TxId, View};

/// Violations that are worth reading.
const VIOLATIONS_MAX: usize = 30;
/// Characters of each end of a violation.
const ENDS: usize = 700;

/// What became of a write, as its writer knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is committed, in this place.
    Acknowledged(TxId),
    /// It is certainly not recorded.
    Refused,
    /// It has this place, and may or may not be committed.
    Doubt(TxId),
    /// Nobody knows.
    Unknown,
}

/// A write, in the order in which its writer sent it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Write {
    pub(crate) number: usize,
    pub(crate) outcome: Outcome,
}

/// What all clients together have seen.
#[derive(Debug, Default)]
pub(crate) struct Witness(Mutex<Seen>);

#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The writes of each writer.
    pub(crate) writes: Vec<Vec<Write>>,
    /// Receipts that came with answers: of which write, and its bytes.
    pub(crate) receipts: Vec<(TxId, usize, usize, Vec<u8>)>,
    /// The view of each seqno that somebody said is committed.
    committed: HashMap<Seqno, View>,
    /// Transactions that somebody said will never be.
    invalid: HashSet<TxId>,
    /// The newest entry of each writer's collection that anybody was told of.
    newest: Vec<Seqno>,
    /// What was told and can still be asked about.
    told: Vec<(TxId, usize, usize)>,
    /// Reads that were compared.
    pub(crate) reads: usize,
    violations: Vec<String>,
}

impl Witness {
    pub(crate) fn of(writers: usize) -> Self {
        Self(Mutex::new(Seen {
            writes: vec![Vec::new(); writers],
            newest: vec![Seqno::ZERO; writers],
            ..Seen::default()
        }))
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened that must not.
    pub(crate) fn violation(&self, what: String) {
        self.seen().violation(what);
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.seen().violations.clone()
    }
}

impl Seen {
    fn violation(&mut self, what: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(abridged(&what));
        }
    }

    /// A write came to its end.
    pub(crate) fn wrote(&mut self, writer: usize, number: usize, outcome: Outcome) {
        self.writes[writer].push(Write { number, outcome });
        match outcome {
            Outcome::Acknowledged(id) => {
                self.told.push((id, writer, number));
                self.newer(writer, id.seqno);
                self.committed(id, "an answer to a write");
            }
            Outcome::Doubt(id) => self.told.push((id, writer, number)),
            Outcome::Refused | Outcome::Unknown => {}
        }
    }

    /// Somebody said that this is committed.
    pub(crate) fn committed(&mut self, id: TxId, who: &str) {
        let before = *self.committed.entry(id.seqno).or_insert(id.view);
        if before != id.view {
            let seqno = id.seqno;
            self.violation(format!(
                "{who} says that {id} is committed, and {before}.{seqno} was"
            ));
        }
        if self.invalid.contains(&id) {
            self.violation(format!(
                "{who} says that {id} is committed, and it was invalid"
            ));
        }
    }

    /// Somebody said that this will never be.
    pub(crate) fn invalid(&mut self, id: TxId, who: &str) {
        self.invalid.insert(id);
        if self.committed.get(&id.seqno) == Some(&id.view) {
            self.violation(format!(
                "{who} says that {id} is invalid, and it was committed"
            ));
        }
    }

    /// Somebody was told of this entry of a writer's collection.
    pub(crate) fn newer(&mut self, writer: usize, seqno: Seqno) {
        self.newest[writer] = self.newest[writer].max(seqno);
    }

    pub(crate) fn newest(&self, writer: usize) -> Seqno {
        self.newest[writer]
    }

    /// A write whose place was told, of those that came last or of all.
    pub(crate) fn any_told(&self, choice: u64) -> Option<(TxId, usize, usize)> {
        let count = self.told.len();
        if count == 0 {
            return None;
        }
        let choice = usize::try_from(choice).unwrap_or(0);
        let back = if choice.is_multiple_of(2) { 20 } else { count };
        Some(self.told[count - 1 - (choice / 2) % back.min(count)])
    }
}

/// The beginning and the end of a long text: a node's whole log is beside it on the disk.
fn abridged(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= 2 * ENDS {
        return text.to_owned();
    }
    let (head, tail) = (&chars[..ENDS], &chars[chars.len() - ENDS..]);
    format!(
        "{} ... {}",
        head.iter().collect::<String>(),
        tail.iter().collect::<String>()
    )
}

/// What a writer writes. All of it follows from these numbers.
pub(crate) fn contents(writer: usize, number: usize) -> String {
    let times = match number % 29 {
        0 => 400,
        rest => rest,
    };
    format!("{writer}/{number}/{}", "lot 7, \"ripe\" 🫒 ".repeat(times))
}

/// The collection of a writer.
pub(crate) fn collection(writer: usize) -> String {
    format!("w{writer}")
}

/// Which write of this writer it is, if nothing of its contents is missing or changed.
pub(crate) fn number(writer: usize, text: &str) -> Option<usize> {
    let number = text.split('/').nth(1)?.parse().ok()?;
    (contents(writer, number) == text).then_some(number)
}
