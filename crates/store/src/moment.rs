//! The state as it is at one time, for reads that belong together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;

use foldhash::fast::RandomState;
use ledger::{State, Table};
use verify::{Digest, Seqno};

use crate::reader::{Reader, broken};
use crate::state::Still;

/// Memory for what was looked up in the newest state, keys and values, bytes.
const KNOWN_BYTES_MAX: usize = 8 << 20;

/// What is applied now, for as long as it is held, whatever is applied meanwhile: what is read from
/// it belongs together.
pub struct Moment<'r> {
    reader: &'r Reader,
    still: Still,
    /// Missing where it is not known which state this is.
    known: Option<Arc<Known>>,
}

impl Reader {
    /// The state as it is now: entries, proofs and streams show all that it has. Holding it for long keeps
    /// what was replaced meanwhile on the disk.
    pub fn moment(&self) -> Moment<'_> {
        let changes = self.newest.changes();
        let still = self.state.still();
        let applied = still.applied().unwrap_or_else(|error| broken(&error));
        // A batch is applied and then, at once, shown: this is between the two.
        while applied.is_some_and(|applied| self.committed_seqno() < applied) {
            thread::yield_now();
        }
        Moment {
            reader: self,
            still,
            known: applied.and_then(|applied| self.newest.known(applied, changes)),
        }
    }
}

impl State for Moment<'_> {
    fn value(&self, table: &Table, key: &[u8]) -> Option<Vec<u8>> {
        let place = [table.name().as_bytes(), b"\0", key].concat();
        if let Some(known) = self.known.as_ref().and_then(|known| known.value(&place)) {
            return known;
        }
        let value = self.reader.state.value_then(&self.still, table, key);
        let value = value.unwrap_or_else(|error| broken(&error));
        if let Some(known) = &self.known {
            known.keep(place, value.clone());
        }
        value
    }

    fn values(&self, table: &Table) -> Vec<(Vec<u8>, Vec<u8>)> {
        let values = self.reader.state.values_then(&self.still, table);
        values.unwrap_or_else(|error| broken(&error))
    }

    fn signed_root(&self, seqno: Seqno) -> Option<Digest> {
        State::signed_root(self.reader, seqno)
    }
}

/// What was looked up in the newest state that somebody looked at. Between two batches many ask for the
/// same, and opening a row costs more than most of what is done with it.
#[derive(Default)]
pub(crate) struct Newest(Mutex<Looked>);

#[derive(Default)]
struct Looked {
    /// After which entry, and what is known.
    at: Option<(Seqno, Arc<Known>)>,
    /// How often a state was changed without a new entry.
    changes: u64,
}

impl Newest {
    fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// What is known of the state after this entry, where it was changed so often before; `None` if a
    /// newer one was looked at.
    fn known(&self, applied: Seqno, changes: u64) -> Option<Arc<Known>> {
        let mut looked = self.lock();
        if looked.changes != changes {
            return None;
        }
        match &looked.at {
            Some((at, _)) if *at > applied => None,
            Some((at, known)) if *at == applied => Some(Arc::clone(known)),
            _ => {
                let known = Arc::default();
                looked.at = Some((applied, Arc::clone(&known)));
                Some(known)
            }
        }
    }

    /// The state was changed without a new entry: forgets it all.
    pub(crate) fn forget(&self) {
        let mut looked = self.lock();
        looked.at = None;
        looked.changes += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Looked> {
        // A panic elsewhere cannot leave it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// By table, NUL and key.
type Values = HashMap<Vec<u8>, Option<Vec<u8>>, RandomState>;

/// What was looked up in one state, as far as there is memory for it.
#[derive(Default)]
struct Known(RwLock<(Values, usize)>);

impl Known {
    fn value(&self, place: &[u8]) -> Option<Option<Vec<u8>>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.0.get(place).cloned()
    }

    fn keep(&self, place: Vec<u8>, value: Option<Vec<u8>>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let (values, bytes) = &mut *known;
        // What a row takes beside its bytes is about as much as a short one.
        let more = 128 + place.len() + value.as_ref().map_or(0, Vec::len);
        if *bytes + more > KNOWN_BYTES_MAX {
            return;
        }
        if values.insert(place, value).is_none() {
            *bytes += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_of_one_state_and_an_older_one_does_not_replace_it() {
        let newest = Newest::default();
        let known = |at| newest.known(Seqno(at), newest.changes());
        let of_five = known(5).unwrap();
        of_five.keep(b"a".to_vec(), Some(vec![1]));
        assert_eq!(known(5).unwrap().value(b"a"), Some(Some(vec![1])));
        assert_eq!(known(6).unwrap().value(b"a"), None);
        assert!(known(5).is_none());
        // Whoever still looks at the old one keeps what is known of it.
        assert_eq!(of_five.value(b"a"), Some(Some(vec![1])));
    }

    #[test]
    fn a_state_that_is_changed_without_an_entry_is_looked_at_anew() {
        let newest = Newest::default();
        let before = newest.changes();
        let known = newest.known(Seqno(5), before).unwrap();
        known.keep(b"a".to_vec(), None);
        newest.forget();
        assert!(newest.known(Seqno(5), before).is_none());
        let after = newest.known(Seqno(5), newest.changes()).unwrap();
        assert_eq!(after.value(b"a"), None);
    }

    #[test]
    fn more_than_there_is_memory_for_is_not_kept() {
        let known = Known::default();
        known.keep(b"large".to_vec(), Some(vec![0; KNOWN_BYTES_MAX]));
        known.keep(b"absent".to_vec(), None);
        assert_eq!(known.value(b"large"), None);
        assert_eq!(known.value(b"absent"), Some(None));
    }
}
