//! The state store: what must be looked up by key, in an LSM tree on disk.
//!
//! ```text
//! values    \0applied 2                 seqno of the last batch, u64 BE
//!           \0view VIEW(u64 BE)         first seqno of the view, u64 BE
//!           TABLE \0 KEY                value, for public tables
//!           TAG(4) NAME(16)             sealed key and value, for private tables
//! streams   \0applied 2                 the same again
//!           NAME(12) FIRST(u64 BE)      which seqnos of the batch that starts with FIRST wrote the
//!                                       key: varints, each the distance from the one before
//! ```
//! TAG stands for the table. NAME is from a keyed hash of table and key, so that a thief of the disk
//! learns no key of a private table; values and streams have other parts of it. The 2 is the version of
//! this drawing. Everything here follows from the ledger files; nothing is synced but at checkpoints, and
//! writing a batch again changes nothing.

mod keys;
mod sealing;
mod streams;

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use fjall::{
    Database, Guard, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot, UserKey,
    UserValue,
};
use foldhash::fast::RandomState;
use ledger::tables::Kept;
use ledger::write_set::Domain;
use ledger::{LedgerSecret, Table, WriteSet};
use verify::{Seqno, TxId, View};

use self::keys::{Names, STREAM_LEN, table_prefix};
use self::sealing::{SealingKeys, seal, unseal};
use self::streams::{Streams, deltas, seqnos};
use crate::snapshot::file::{Row, Section};

const APPLIED: &[u8] = b"\0applied 2";
/// The same, in the version of the drawing that had no number.
const APPLIED_ONCE: &[u8] = b"\0applied";
const VIEW: &[u8] = b"\0view";

/// Memory for writes that are not in a table file yet: two of these can exist at a time, one being
/// written. Large enough that table files are not tiny, small enough not to matter.
const MEMTABLE_BYTES: u64 = 8 << 20;
/// Threads that write table files and merge them. Of several, fjall keeps one free for writing by having it
/// pass on what is to be merged, to itself again and again while another one merges: a whole core for
/// nothing.
const WORKERS: usize = 1;
/// The smallest that fjall takes: bounds what is replayed from its journal at a start.
const JOURNAL_BYTES: u64 = 64 << 20;

/// Whether opening failed for what lies in the folder, and not for the disk or somebody's lock.
///
/// Files may be missing, empty or left over: a store that was killed while it was made has some of
/// its files but not yet the one that says so, and then takes its own journal for somebody else's.
pub(crate) fn is_damage(error: &fjall::Error) -> bool {
    match error {
        fjall::Error::Locked => false,
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => matches!(
            error.kind(),
            ErrorKind::NotFound
                | ErrorKind::AlreadyExists
                | ErrorKind::UnexpectedEof
                | ErrorKind::InvalidData
                | ErrorKind::InvalidInput
        ),
        _ => true,
    }
}

/// Keys and values.
type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// The state store. Cheap to clone; clones share everything.
#[derive(Clone)]
pub(crate) struct StateStore {
    database: Database,
    values: Keyspace,
    streams: Keyspace,
    sealing: Arc<SealingKeys>,
    names: Arc<Names>,
}

impl StateStore {
    pub(crate) fn open(
        path: &Path,
        secret: Arc<LedgerSecret>,
        cache_bytes: u64,
    ) -> fjall::Result<Self> {
        let database = Database::builder(path)
            .cache_size(cache_bytes)
            .worker_threads(WORKERS)
            .max_journaling_size(JOURNAL_BYTES)
            .open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let values = database.keyspace("values", options)?;
        let streams = database.keyspace("streams", options)?;
        if values.contains_key(APPLIED_ONCE)? {
            let why = "its rows are those of an earlier version";
            return Err(io::Error::new(ErrorKind::InvalidData, why).into());
        }
        let names = Names::new(secret.derive(b"counterfoil state names"));
        Ok(Self {
            database,
            values,
            streams,
            sealing: Arc::new(SealingKeys::new(secret)),
            names: Arc::new(names),
        })
    }

    /// The last seqno whose batch is in here, by each of the two keyspaces; zero for none.
    ///
    /// They differ only if one of them was lost: then what is in here is not to be believed.
    pub(crate) fn applied(&self) -> fjall::Result<[Seqno; 2]> {
        let applied = |keyspace: &Keyspace| -> fjall::Result<Seqno> {
            let seqno = keyspace.get(APPLIED)?;
            Ok(Seqno(seqno.and_then(|bytes| number(&bytes)).unwrap_or(0)))
        };
        Ok([applied(&self.values)?, applied(&self.streams)?])
    }

    /// Every view with its first seqno.
    pub(crate) fn views(&self) -> fjall::Result<Vec<(View, Seqno)>> {
        let mut views = Vec::new();
        for row in self.values.prefix(VIEW) {
            let (key, value) = row.into_inner()?;
            let view = key.strip_prefix(VIEW).and_then(number);
            views.extend(
                view.zip(number(&value))
                    .map(|(view, first)| (View(view), Seqno(first))),
            );
        }
        Ok(views)
    }

    /// Takes over the writes of a batch, all or nothing: `writes[i]` belongs to `first + i`.
    /// `new_view` says that the batch is the first of its view.
    pub(crate) fn apply(
        &self,
        first: Seqno,
        view: View,
        new_view: bool,
        writes: &[WriteSet],
    ) -> fjall::Result<()> {
        let mut batch = self.database.batch();
        let mut streams = Streams::default();
        // Of what is written several times, such as counters, only the last is kept.
        let mut last = HashMap::with_hasher(RandomState::default());
        for (seqno, writes) in (first.0..).zip(writes) {
            for (index, write) in (0u32..).zip(writes.iter()) {
                let kept = write.table.kept();
                if matches!(kept, Kept::Stream | Kept::Versions) {
                    streams.add(&write.table, &write.key, seqno);
                }
                if matches!(kept, Kept::Value | Kept::Versions) {
                    let place = (&write.table, write.key.as_slice());
                    last.insert(place, (seqno, index, write.value.as_deref()));
                }
            }
        }
        let mut sealing = None;
        for ((table, key), (seqno, index, value)) in last {
            let place = self.names.value(table, key);
            let Some(value) = value else {
                batch.remove(&self.values, place);
                continue;
            };
            if table.domain() == Domain::Public {
                batch.insert(&self.values, place, value);
            } else {
                let with = sealing.get_or_insert_with(|| self.sealing.of(view.0));
                let sealed = seal(with, table, [view.0, seqno], index, key, value);
                batch.insert(&self.values, place, sealed);
            }
        }
        for ((table, key), seqnos) in streams.lists {
            let row = self.names.stream(table, key).at(first.0);
            batch.insert(&self.streams, row, deltas(first.0, &seqnos));
        }
        if new_view {
            let key = [VIEW, &view.0.to_be_bytes()].concat();
            batch.insert(&self.values, key, first.0.to_be_bytes());
        }
        let applied = first.0 + writes.len() as u64 - 1;
        batch.insert(&self.values, APPLIED, applied.to_be_bytes());
        batch.insert(&self.streams, APPLIED, applied.to_be_bytes());
        batch.commit()
    }

    /// Takes over the private writes of these entries, which follow each other and whose public writes
    /// are here already.
    pub(crate) fn apply_private(&self, entries: &[(TxId, WriteSet)]) -> fjall::Result<()> {
        let Some((first, _)) = entries.first() else {
            return Ok(());
        };
        let mut batch = self.database.batch();
        let mut streams = Streams::default();
        for (id, writes) in entries {
            let key = self.sealing.of(id.view.0);
            // Counted over all writes, as in `apply`: the same value is sealed alike.
            for (index, write) in (0u32..).zip(writes.iter()) {
                if write.table.domain() == Domain::Public {
                    continue;
                }
                let kept = write.table.kept();
                if matches!(kept, Kept::Stream | Kept::Versions) {
                    streams.add(&write.table, &write.key, id.seqno.0);
                }
                match (kept, &write.value) {
                    (Kept::InLedger | Kept::Stream, _) => {}
                    (Kept::Value | Kept::Versions, None) => {
                        batch.remove(&self.values, self.names.value(&write.table, &write.key));
                    }
                    (Kept::Value | Kept::Versions, Some(value)) => {
                        let place = self.names.value(&write.table, &write.key);
                        let place_in_ledger = [id.view.0, id.seqno.0];
                        let sealed = seal(
                            &key,
                            &write.table,
                            place_in_ledger,
                            index,
                            &write.key,
                            value,
                        );
                        batch.insert(&self.values, place, sealed);
                    }
                }
            }
        }
        for ((table, key), seqnos) in streams.lists {
            let row = self.names.stream(table, key).at(first.seqno.0);
            batch.insert(&self.streams, row, deltas(first.seqno.0, &seqnos));
        }
        batch.commit()
    }

    /// What is in here now, for as long as it is held, whatever is applied meanwhile.
    pub(crate) fn still(&self) -> Still {
        Still {
            snapshot: self.database.snapshot(),
            values: self.values.clone(),
            streams: self.streams.clone(),
        }
    }

    /// Fills an empty store with rows, ascending by section and key, and syncs them.
    pub(crate) fn load(&self, mut next: impl FnMut() -> io::Result<Option<Row>>) -> io::Result<()> {
        let mut row = next()?;
        for (section, keyspace) in [
            (Section::Values, &self.values),
            (Section::Streams, &self.streams),
        ] {
            let mut ingestion = keyspace.start_ingestion().map_err(io::Error::other)?;
            while let Some((_, key, value)) = row.take_if(|row| row.0 == section) {
                ingestion.write(key, value).map_err(io::Error::other)?;
                row = next()?;
            }
            ingestion.finish().map_err(io::Error::other)?;
        }
        self.sync().map_err(io::Error::other)
    }

    /// Makes everything applied so far survive power loss.
    pub(crate) fn sync(&self) -> fjall::Result<()> {
        self.database.persist(PersistMode::SyncAll)
    }

    pub(crate) fn value(&self, table: &Table, key: &[u8]) -> Result<Option<Vec<u8>>, Broken> {
        let bytes = self.values.get(self.names.value(table, key))?;
        self.opened(table, key, bytes)
    }

    /// The same, as it was when that view was taken.
    pub(crate) fn value_then(
        &self,
        still: &Still,
        table: &Table,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, Broken> {
        let bytes = still
            .snapshot
            .get(&still.values, self.names.value(table, key))?;
        self.opened(table, key, bytes)
    }

    fn opened(
        &self,
        table: &Table,
        key: &[u8],
        bytes: Option<UserValue>,
    ) -> Result<Option<Vec<u8>>, Broken> {
        let Some(bytes) = bytes else {
            return Ok(None);
        };
        if table.domain() == Domain::Public {
            return Ok(Some(bytes.to_vec()));
        }
        let (found, value) = unseal(&self.sealing, table, &bytes).ok_or(Broken::Sealed)?;
        // A keyed hash of 128 bits does not collide; a row moved by somebody would get here.
        if found == key {
            Ok(Some(value))
        } else {
            Err(Broken::Sealed)
        }
    }

    pub(crate) fn values(&self, table: &Table) -> Result<Rows, Broken> {
        let prefix = table_prefix(table);
        self.all_opened(table, &prefix, self.values.prefix(&prefix))
    }

    /// The same, as it was when that view was taken.
    pub(crate) fn values_then(&self, still: &Still, table: &Table) -> Result<Rows, Broken> {
        let prefix = table_prefix(table);
        let rows = still.snapshot.prefix(&still.values, &prefix);
        self.all_opened(table, &prefix, rows)
    }

    fn all_opened(
        &self,
        table: &Table,
        prefix: &[u8],
        rows: impl Iterator<Item = Guard>,
    ) -> Result<Rows, Broken> {
        let mut found = Vec::new();
        for row in rows {
            let (key, value) = row.into_inner()?;
            found.push(match table.domain() {
                Domain::Public => (key[prefix.len()..].to_vec(), value.to_vec()),
                Domain::Private => unseal(&self.sealing, table, &value).ok_or(Broken::Sealed)?,
            });
        }
        if table.domain() == Domain::Private {
            found.sort_unstable();
        }
        Ok(found)
    }

    /// Seqnos from `from` to `to` that wrote the key, ascending, at most `limit`.
    pub(crate) fn stream(
        &self,
        table: &Table,
        key: &[u8],
        from: Seqno,
        to: Seqno,
        limit: usize,
    ) -> fjall::Result<Vec<Seqno>> {
        let mut found = Vec::new();
        if from > to || limit == 0 {
            return Ok(found);
        }
        let row = self.names.stream(table, key);
        // The batch that `from` lies in may have started before it.
        let before = self.streams.range(row.at(0)..=row.at(from.0)).next_back();
        let start = match before {
            Some(guard) => number(&guard.key()?[STREAM_LEN..]).unwrap_or(0),
            None => from.0,
        };
        for guard in self.streams.range(row.at(start)..=row.at(to.0)) {
            let (key, list) = guard.into_inner()?;
            let first = number(&key[STREAM_LEN..]).unwrap_or(0);
            for seqno in seqnos(first, &list) {
                if seqno > to.0 || found.len() == limit {
                    return Ok(found);
                }
                if seqno >= from.0 {
                    found.push(Seqno(seqno));
                }
            }
        }
        Ok(found)
    }

    /// The last seqno up to `up_to` that wrote the key.
    pub(crate) fn latest(
        &self,
        table: &Table,
        key: &[u8],
        up_to: Seqno,
    ) -> fjall::Result<Option<Seqno>> {
        let row = self.names.stream(table, key);
        for guard in self.streams.range(row.at(0)..=row.at(up_to.0)).rev() {
            let (key, list) = guard.into_inner()?;
            let first = number(&key[STREAM_LEN..]).unwrap_or(0);
            let last = seqnos(first, &list)
                .take_while(|seqno| *seqno <= up_to.0)
                .last();
            if let Some(last) = last {
                return Ok(Some(Seqno(last)));
            }
        }
        Ok(None)
    }
}

/// A view of the store that does not change.
pub(crate) struct Still {
    snapshot: Snapshot,
    values: Keyspace,
    streams: Keyspace,
}

impl Still {
    /// The last seqno that is in here; `None` for none, or if a part was lost.
    pub(crate) fn applied(&self) -> fjall::Result<Option<Seqno>> {
        let applied = |keyspace: &Keyspace| -> fjall::Result<Option<Seqno>> {
            let seqno = self.snapshot.get(keyspace, APPLIED)?;
            Ok(seqno.and_then(|bytes| number(&bytes)).map(Seqno))
        };
        let (one, two) = (applied(&self.values)?, applied(&self.streams)?);
        Ok(one.filter(|_| one == two))
    }

    /// The view of that seqno.
    pub(crate) fn last_view(&self) -> fjall::Result<Option<View>> {
        let last = self.snapshot.prefix(&self.values, VIEW).next_back();
        let Some(row) = last else { return Ok(None) };
        let key = row.key()?;
        Ok(key.strip_prefix(VIEW).and_then(number).map(View))
    }

    /// The rows of a section, ascending.
    pub(crate) fn rows(
        &self,
        section: Section,
    ) -> impl Iterator<Item = fjall::Result<(UserKey, UserValue)>> {
        let keyspace = match section {
            Section::Values => &self.values,
            Section::Streams => &self.streams,
        };
        self.snapshot.iter(keyspace).map(Guard::into_inner)
    }
}

/// Why a value cannot be read: the state store is broken, and the process must end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the state store failed")]
    Store(#[from] fjall::Error),
    #[error("a sealed value in the state store does not open")]
    Sealed,
}

fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use ledger::tables::{PRIVATE_COLLECTIONS, PRIVATE_ENTRIES, USERS};
    use proptest::prelude::*;

    use super::*;

    fn store() -> (tempfile::TempDir, StateStore) {
        let dir = tempfile::tempdir().unwrap();
        let secret = Arc::new(LedgerSecret::new([7; 32]));
        let store = StateStore::open(&dir.path().join("state"), secret, 1 << 20).unwrap();
        (dir, store)
    }

    fn writes(table: &Table, key: &[u8], value: Option<&[u8]>) -> WriteSet {
        let mut writes = WriteSet::default();
        match value {
            Some(value) => writes.put(table.clone(), key, value),
            None => writes.remove(table.clone(), key),
        }
        writes
    }

    #[test]
    fn public_and_private_values_are_found_listed_and_removed() {
        let (_dir, store) = store();
        for table in [USERS, PRIVATE_COLLECTIONS] {
            let batch = [
                writes(&table, b"b", Some(b"2")),
                writes(&table, b"a", Some(b"1")),
                writes(&table, b"c", Some(b"3")),
                writes(&table, b"c", None),
            ];
            store.apply(Seqno(1), View(2), true, &batch).unwrap();
            assert_eq!(store.value(&table, b"a").unwrap().unwrap(), b"1");
            assert_eq!(store.value(&table, b"c").unwrap(), None);
            let all = [
                (b"a".to_vec(), b"1".to_vec()),
                (b"b".to_vec(), b"2".to_vec()),
            ];
            assert_eq!(store.values(&table).unwrap(), all);
        }
        assert_eq!(store.applied().unwrap(), [Seqno(4); 2]);
        assert_eq!(store.views().unwrap(), [(View(2), Seqno(1))]);
    }

    #[test]
    fn of_versions_the_latest_is_a_value_and_all_are_a_stream() {
        let (_dir, store) = store();
        let slot = ledger::tables::EVM_STORAGE;
        let batch = [b"1", b"2"].map(|value| writes(&slot, b"a", Some(value)));
        store.apply(Seqno(1), View(2), true, &batch).unwrap();
        let still = store.still();
        let gone = [writes(&slot, b"a", None)];
        store.apply(Seqno(3), View(2), false, &gone).unwrap();
        assert_eq!(store.value(&slot, b"a").unwrap(), None);
        let found = store.stream(&slot, b"a", Seqno(1), Seqno(9), 9).unwrap();
        assert_eq!(found, [Seqno(1), Seqno(2), Seqno(3)]);
        let then = store.value_then(&still, &slot, b"a").unwrap();
        assert_eq!(then.unwrap(), b"2");
        let then = store.values_then(&still, &slot).unwrap();
        assert_eq!(then, [(b"a".to_vec(), b"2".to_vec())]);
    }

    #[test]
    fn rows_of_an_earlier_version_are_damage_so_that_all_is_made_anew() {
        let (dir, store) = store();
        store.values.insert(APPLIED_ONCE, [0; 8]).unwrap();
        store.sync().unwrap();
        drop(store);
        let secret = Arc::new(LedgerSecret::new([7; 32]));
        let opened = StateStore::open(&dir.path().join("state"), secret, 1 << 20);
        assert!(is_damage(&opened.err().unwrap()));
    }

    #[test]
    fn writing_a_batch_again_changes_nothing() {
        let (_dir, store) = store();
        let batch = [writes(&PRIVATE_ENTRIES, b"a", Some(b"1"))];
        for _ in 0..2 {
            store.apply(Seqno(1), View(2), true, &batch).unwrap();
        }
        let found = store
            .stream(&PRIVATE_ENTRIES, b"a", Seqno(1), Seqno(9), 9)
            .unwrap();
        assert_eq!(found, [Seqno(1)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn streams_answer_like_a_list(
            batches in prop::collection::vec(prop::collection::vec(0u8..3, 1..300), 1..6),
            asked in prop::collection::vec((0u8..3, 0u64..900, 0u64..900, 0usize..50), 20),
        ) {
            let (_dir, store) = store();
            let mut lists = vec![Vec::new(); 3];
            let mut next = 1;
            for batch in batches {
                let sets: Vec<WriteSet> =
                    batch.iter().map(|key| writes(&PRIVATE_ENTRIES, &[*key], Some(b"v"))).collect();
                store.apply(Seqno(next), View(2), false, &sets).unwrap();
                for key in batch {
                    lists[usize::from(key)].push(Seqno(next));
                    next += 1;
                }
            }
            for (key, from, to, limit) in asked {
                let list = lists[usize::from(key)].iter().copied();
                let (from, to) = (Seqno(from), Seqno(to));
                let expected: Vec<Seqno> =
                    list.clone().filter(|seqno| (from..=to).contains(seqno)).take(limit).collect();
                let found = store.stream(&PRIVATE_ENTRIES, &[key], from, to, limit).unwrap();
                prop_assert_eq!(found, expected);
                let latest = list.rev().find(|seqno| *seqno <= to);
                prop_assert_eq!(store.latest(&PRIVATE_ENTRIES, &[key], to).unwrap(), latest);
            }
        }
    }
}
