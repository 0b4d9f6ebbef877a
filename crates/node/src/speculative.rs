//! The state that the executor runs on: what is committed, and what is on its way to be.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::RandomState;
use ledger::tables::Kept;
use ledger::{State, Table, WriteSet};
use store::Reader;
use verify::{Digest, Seqno};

/// Keys held in memory before those that are committed are dropped. A busy ledger looks up the
/// same few collections again and again; the bound keeps memory flat for one that does not.
const CACHED_KEYS_MAX: usize = 65_536;

/// Of these, keys that were asked for and are not there. What each transaction asks for in vain is among
/// the first; names that a caller makes up do not push out what is there.
const ABSENT_KEYS_MAX: usize = 4_096;

/// Owned by the executor's thread. Drop it, and everything speculative is rolled back.
pub(crate) struct Speculative {
    reader: Arc<Reader>,
    cache: RefCell<BTreeMap<Table, Keys>>,
    cached_keys: RefCell<usize>,
    absent_keys: Cell<usize>,
    /// Where batches end that may not be committed yet, and the roots that were signed there.
    closed: RefCell<VecDeque<(Seqno, Digest)>>,
}

type Keys = HashMap<Vec<u8>, Cached, RandomState>;

struct Cached {
    value: Option<Vec<u8>>,
    /// Zero for a value that was only read.
    written_at: Seqno,
}

impl Speculative {
    pub(crate) fn new(reader: Arc<Reader>) -> Self {
        Self {
            reader,
            cache: RefCell::default(),
            cached_keys: RefCell::new(0),
            absent_keys: Cell::new(0),
            closed: RefCell::default(),
        }
    }

    /// A batch ends with this signature of this root.
    pub(crate) fn closed(&self, signature: Seqno, root: Digest) {
        let committed = self.reader.committed().seqno;
        let mut closed = self.closed.borrow_mut();
        closed.retain(|(end, _)| *end > committed);
        closed.push_back((signature, root));
    }

    /// Takes over what the transaction at `seqno` leaves.
    pub(crate) fn apply(&self, seqno: Seqno, writes: &WriteSet) {
        for write in writes
            .iter()
            .filter(|write| matches!(write.table.kept(), Kept::Value | Kept::Versions))
        {
            let cached = Cached {
                value: write.value.clone(),
                written_at: seqno,
            };
            self.insert(&write.table, write.key.clone(), cached);
        }
        if *self.cached_keys.borrow() > CACHED_KEYS_MAX {
            self.forget_committed();
        }
    }

    fn insert(&self, table: &Table, key: Vec<u8>, cached: Cached) {
        let mut cache = self.cache.borrow_mut();
        let keys = match cache.get_mut(table) {
            Some(keys) => keys,
            None => cache.entry(table.clone()).or_default(),
        };
        if keys.insert(key, cached).is_none() {
            *self.cached_keys.borrow_mut() += 1;
        }
    }

    fn forget_committed(&self) {
        let committed = self.reader.committed().seqno;
        let mut cache = self.cache.borrow_mut();
        for keys in cache.values_mut() {
            keys.retain(|_, cached| cached.written_at > committed);
        }
        *self.cached_keys.borrow_mut() = cache.values().map(HashMap::len).sum();
        self.absent_keys.set(0);
    }
}

impl State for Speculative {
    fn value(&self, table: &Table, key: &[u8]) -> Option<Vec<u8>> {
        if let Some(cached) = self
            .cache
            .borrow()
            .get(table)
            .and_then(|keys| keys.get(key))
        {
            return cached.value.clone();
        }
        let value = self.reader.value(table, key);
        let absent = usize::from(value.is_none());
        let absent_keys = self.absent_keys.get() + absent;
        if absent_keys <= ABSENT_KEYS_MAX && *self.cached_keys.borrow() < CACHED_KEYS_MAX {
            self.absent_keys.set(absent_keys);
            let cached = Cached {
                value: value.clone(),
                written_at: Seqno::ZERO,
            };
            self.insert(table, key.to_vec(), cached);
        }
        value
    }

    fn values(&self, table: &Table) -> Vec<(Vec<u8>, Vec<u8>)> {
        // Read the committed rows first: what is committed meanwhile is in the cache as well.
        let mut rows: BTreeMap<_, _> = self.reader.values(table).into_iter().collect();
        for (key, cached) in self.cache.borrow().get(table).into_iter().flatten() {
            match &cached.value {
                Some(value) => rows.insert(key.clone(), value.clone()),
                None => rows.remove(key),
            };
        }
        rows.into_iter().collect()
    }

    fn signed_root(&self, seqno: Seqno) -> Option<Digest> {
        // What is committed meanwhile is still here.
        let committed = State::signed_root(&*self.reader, seqno);
        committed.or_else(|| {
            let closed = self.closed.borrow();
            let covering = closed.iter().find(|(end, _)| *end >= seqno);
            covering.map(|(_, root)| *root)
        })
    }
}
