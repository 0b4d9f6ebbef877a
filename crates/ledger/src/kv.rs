//! What a transaction sees while it runs on the leader.

use std::collections::BTreeMap;

use verify::{Digest, Seqno, TxId};

use crate::governance::Refusal;
use crate::tables::Table;
use crate::write_set::WriteSet;

/// The state that a transaction runs on: everything before it, committed or about to be.
pub trait State {
    /// The value under `key`, for tables that are kept by value.
    fn value(&self, table: &Table, key: &[u8]) -> Option<Vec<u8>>;

    /// All keys and values of a table that is kept by value, sorted by key.
    fn values(&self, table: &Table) -> Vec<(Vec<u8>, Vec<u8>)>;

    /// The root that was signed at the end of the batch with this transaction; `None` where it is not
    /// signed yet, or where nobody asks for roots.
    fn signed_root(&self, seqno: Seqno) -> Option<Digest> {
        let _ = seqno;
        None
    }
}

/// One request, to be run once, on the leader.
///
/// Followers never run it; they apply the write set that it leaves. So it may depend on anything
/// that it carries, but not on a clock or on randomness that it draws itself.
pub trait Transaction: Send {
    /// Runs against `tx` and returns the digest of the claims that the receipt will prove;
    /// [`Digest::ZERO`] for none.
    ///
    /// # Errors
    /// The request is refused; nothing that it wrote is kept, and it gets no place in the ledger.
    fn run(self: Box<Self>, tx: &mut Tx<'_>) -> Result<Digest, Rejection>;
}

impl<F> Transaction for F
where
    F: FnOnce(&mut Tx<'_>) -> Result<Digest, Rejection> + Send,
{
    fn run(self: Box<Self>, tx: &mut Tx<'_>) -> Result<Digest, Rejection> {
        self(tx)
    }
}

/// Why a transaction is refused. The requester is to blame, and nothing was recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Use an existing collection, or ask the operator for a higher limit.
    #[error("the ledger has {limit} collections, which is its limit")]
    CollectionCapacityExceeded {
        /// Collections that the ledger may have.
        limit: u64,
    },
    /// Choose a shorter name.
    #[error("the collection id of {length} bytes exceeds the limit of {limit} bytes")]
    CollectionIdTooLong {
        /// Bytes of the id.
        length: usize,
        /// Bytes that a new id may have.
        limit: usize,
    },
    /// Split the entry, or store a digest of it.
    #[error("Entry contents of {length} bytes exceed the limit of {limit} bytes.")]
    EntrySizeCapacityExceeded {
        /// Bytes of the contents.
        length: usize,
        /// Bytes that contents may have.
        limit: usize,
    },
    /// Use an existing tag.
    #[error("the ledger has {limit} tags, which is its limit")]
    TagCapacityExceeded {
        /// Tags that the ledger may have.
        limit: u64,
    },
    /// Any other request that cannot be: the text says why.
    #[error("{0}")]
    InvalidInput(String),
    /// The same request was recorded before, and this is its place.
    #[error("the same request was recorded before, as {0}")]
    Repeated(TxId),
    /// The named thing does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The thing exists already, or is in a state that forbids the request.
    #[error("{0}")]
    Conflict(String),
    /// A member's request is refused.
    #[error(transparent)]
    Governance(#[from] Refusal),
}

/// A transaction under way: reads the state and its own writes.
pub struct Tx<'a> {
    state: &'a dyn State,
    id: TxId,
    batch: Seqno,
    claims_key: [u8; 32],
    writes: WriteSet,
}

impl<'a> Tx<'a> {
    /// A transaction that will be `id` if it is not refused.
    pub fn new(state: &'a dyn State, id: TxId, claims_key: [u8; 32]) -> Self {
        Self {
            state,
            id,
            batch: id.seqno,
            claims_key,
            writes: WriteSet::default(),
        }
    }

    /// The same, in the batch that begins with `first` rather than with itself.
    #[must_use]
    pub const fn in_batch(mut self, first: Seqno) -> Self {
        self.batch = first;
        self
    }

    /// The transaction id it will have if it is not refused.
    pub const fn id(&self) -> TxId {
        self.id
    }

    /// Its place in the ledger.
    pub const fn seqno(&self) -> Seqno {
        self.id.seqno
    }

    /// Where its batch begins: transactions of the same batch are committed together.
    pub const fn batch(&self) -> Seqno {
        self.batch
    }

    /// The key that blinds this transaction's claims ([`crate::LedgerSecret::claims_key`]).
    pub const fn claims_key(&self) -> &[u8; 32] {
        &self.claims_key
    }

    /// The value under `key`, this transaction's own writes included.
    pub fn value(&self, table: &Table, key: &[u8]) -> Option<Vec<u8>> {
        match self.writes.written(table, key) {
            Some(written) => written.map(<[u8]>::to_vec),
            None => self.state.value(table, key),
        }
    }

    /// All keys and values of a table, this transaction's own writes included, sorted by key.
    pub fn values(&self, table: &Table) -> Vec<(Vec<u8>, Vec<u8>)> {
        let before = self.state.values(table);
        let own = self.writes.of_table(table);
        if own.is_empty() {
            return before;
        }
        let mut rows: BTreeMap<_, _> = before.into_iter().collect();
        for write in own {
            match &write.value {
                Some(value) => rows.insert(write.key.clone(), value.clone()),
                None => rows.remove(&write.key),
            };
        }
        rows.into_iter().collect()
    }

    /// Writes what an attempt left that ran on this transaction as its state.
    pub fn take_over(&mut self, attempt: WriteSet) {
        for write in attempt.into_writes() {
            match write.value {
                Some(value) => self.writes.put(write.table, write.key, value),
                None => self.writes.remove(write.table, write.key),
            }
        }
    }

    /// Writes `value` under `key`.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.writes.put(table, key, value);
    }

    /// Removes `key`.
    pub fn remove(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.writes.remove(table, key);
    }

    /// What it leaves.
    pub fn into_writes(self) -> WriteSet {
        self.writes
    }
}

/// A transaction is the state of an attempt within it: what is written there counts only if the
/// attempt succeeds ([`Tx::take_over`]).
impl State for Tx<'_> {
    fn value(&self, table: &Table, key: &[u8]) -> Option<Vec<u8>> {
        Tx::value(self, table, key)
    }

    fn values(&self, table: &Table) -> Vec<(Vec<u8>, Vec<u8>)> {
        Tx::values(self, table)
    }

    fn signed_root(&self, seqno: Seqno) -> Option<Digest> {
        self.state.signed_root(seqno)
    }
}

/// A state in memory, for auditors and for tests of rules.
#[derive(Debug, Default, Clone)]
pub struct MemoryState {
    tables: BTreeMap<Table, BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl MemoryState {
    /// Runs a transaction and takes over its writes.
    ///
    /// # Errors
    /// It is refused; the state stays as it was.
    pub fn run(&mut self, transaction: impl Transaction) -> Result<WriteSet, Rejection> {
        self.run_at(TxId::default(), transaction)
    }

    /// The same, for a transaction that depends on its id.
    ///
    /// # Errors
    /// It is refused; the state stays as it was.
    pub fn run_at(
        &mut self,
        id: TxId,
        transaction: impl Transaction,
    ) -> Result<WriteSet, Rejection> {
        let mut tx = Tx::new(self, id, [0; 32]);
        Box::new(transaction).run(&mut tx)?;
        let writes = tx.into_writes();
        self.apply(&writes);
        Ok(writes)
    }

    /// Takes over the writes of a transaction that was accepted.
    pub fn apply(&mut self, writes: &WriteSet) {
        for write in writes.iter() {
            let table = self.tables.entry(write.table.clone()).or_default();
            match &write.value {
                Some(value) => table.insert(write.key.clone(), value.clone()),
                None => table.remove(&write.key),
            };
        }
    }
}

impl State for MemoryState {
    fn value(&self, table: &Table, key: &[u8]) -> Option<Vec<u8>> {
        self.tables.get(table)?.get(key).cloned()
    }

    fn values(&self, table: &Table) -> Vec<(Vec<u8>, Vec<u8>)> {
        let table = self.tables.get(table);
        table
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::USERS;

    #[test]
    fn a_transaction_sees_its_own_writes_among_the_rows() {
        let mut state = MemoryState::default();
        let done = |_: &Tx<'_>| Ok(Digest::ZERO);
        state
            .run(move |tx: &mut Tx<'_>| {
                tx.put(USERS, *b"a", *b"1");
                tx.put(USERS, *b"b", *b"2");
                done(tx)
            })
            .unwrap();
        state
            .run(move |tx: &mut Tx<'_>| {
                tx.remove(USERS, *b"a");
                tx.put(USERS, *b"c", *b"3");
                let keys: Vec<_> = tx.values(&USERS).into_iter().map(|(key, _)| key).collect();
                assert_eq!(keys, [b"b", b"c"]);
                done(tx)
            })
            .unwrap();
    }

    #[test]
    fn an_attempt_that_is_dropped_leaves_nothing() {
        let mut state = MemoryState::default();
        let writes = state
            .run(|tx: &mut Tx<'_>| {
                let mut attempt = Tx::new(&*tx, tx.id(), [0; 32]);
                attempt.put(USERS, *b"a", *b"1");
                drop(attempt);
                let mut attempt = Tx::new(&*tx, tx.id(), [0; 32]);
                attempt.put(USERS, *b"b", *b"2");
                let writes = attempt.into_writes();
                tx.take_over(writes);
                Ok(Digest::ZERO)
            })
            .unwrap();
        assert_eq!(writes.iter().count(), 1);
    }
}
