//! What a transaction leaves behind: keys and values, by table.
//!
//! The bytes are those of CCF's key-value domains (`docs/formats/entry.md`): for each table its
//! name, a read version, a read count of 0, the writes, the removals. All integers are little-endian
//! u64. Public and private tables are encoded into two separate domains.

use crate::limits::TABLE_NAME_BYTES_MAX;
use crate::tables::Table;

/// One key written or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The table.
    pub table: Table,
    /// The key.
    pub key: Vec<u8>,
    /// The new value, or `None` where the key is removed.
    pub value: Option<Vec<u8>>,
}

/// Keys and values that a transaction leaves, at most one write for a key.
///
/// Kept sorted by table and key: every replica must hash the same bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteSet {
    writes: Vec<Write>,
}

/// Which of an entry's two domains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// Readable by everybody who holds the ledger file.
    Public,
    /// Sealed with the ledger secret.
    Private,
}

/// The bytes are not a key-value domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the write set is damaged at byte {at}: {what}")]
pub struct DamagedWriteSet {
    /// Offset from the start of the domain's maps.
    pub at: usize,
    /// What was expected there.
    pub what: &'static str,
}

impl WriteSet {
    /// Writes `value` under `key`, in place of any earlier write of that key.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.set(table, key.into(), Some(value.into()));
    }

    /// Removes `key`.
    pub fn remove(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.set(table, key.into(), None);
    }

    /// What this transaction wrote under `key`: nothing, a removal, or a value.
    pub fn written(&self, table: &Table, key: &[u8]) -> Option<Option<&[u8]>> {
        let found = self.find(table, key).ok()?;
        Some(self.writes[found].value.as_deref())
    }

    /// All writes, sorted by table and key.
    pub fn iter(&self) -> impl Iterator<Item = &Write> {
        self.writes.iter()
    }

    /// The writes to one table, sorted by key.
    pub fn of_table(&self, table: &Table) -> &[Write] {
        let start = self.writes.partition_point(|write| write.table < *table);
        let end = self.writes.partition_point(|write| write.table <= *table);
        &self.writes[start..end]
    }

    /// All writes, sorted by table and key.
    pub fn into_writes(self) -> Vec<Write> {
        self.writes
    }

    /// Whether the transaction leaves nothing.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Appends the maps of one domain to `out`.
    pub fn encode(&self, domain: Domain, out: &mut Vec<u8>) {
        let tables = self.writes.chunk_by(|a, b| a.table == b.table);
        for writes in tables.filter(|writes| writes[0].table.domain() == domain) {
            put_bytes(out, writes[0].table.name().as_bytes());
            put_u64(out, 0); // read version: reserved
            put_u64(out, 0); // read count: reads are not recorded
            put_u64(
                out,
                count(writes.iter().filter(|write| write.value.is_some()).count()),
            );
            for write in writes {
                if let Some(value) = &write.value {
                    put_bytes(out, &write.key);
                    put_bytes(out, value);
                }
            }
            put_u64(
                out,
                count(writes.iter().filter(|write| write.value.is_none()).count()),
            );
            for write in writes.iter().filter(|write| write.value.is_none()) {
                put_bytes(out, &write.key);
            }
        }
    }

    /// Adds the maps in `bytes` to this write set.
    ///
    /// # Errors
    /// The bytes are cut short, a length points outside them, a name is not UTF-8 or belongs into
    /// the other domain, or reads are recorded.
    pub fn decode(&mut self, domain: Domain, bytes: &[u8]) -> Result<(), DamagedWriteSet> {
        let mut reader = Reader { bytes, at: 0 };
        while reader.at < bytes.len() {
            let table = reader.table(domain)?;
            reader.u64("a read version")?;
            if reader.u64("a read count")? != 0 {
                return Err(reader.damaged("a read count of 0"));
            }
            for _ in 0..reader.u64("a write count")? {
                let key = reader.bytes("a key")?.to_vec();
                let value = reader.bytes("a value")?.to_vec();
                self.set(table.clone(), key, Some(value));
            }
            for _ in 0..reader.u64("a removal count")? {
                let key = reader.bytes("a removed key")?.to_vec();
                self.set(table.clone(), key, None);
            }
        }
        Ok(())
    }

    fn set(&mut self, table: Table, key: Vec<u8>, value: Option<Vec<u8>>) {
        match self.find(&table, &key) {
            Ok(found) => self.writes[found].value = value,
            Err(place) => self.writes.insert(place, Write { table, key, value }),
        }
    }

    fn find(&self, table: &Table, key: &[u8]) -> Result<usize, usize> {
        self.writes.binary_search_by(|write| {
            write
                .table
                .cmp(table)
                .then_with(|| write.key.as_slice().cmp(key))
        })
    }
}

fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u64(out, count(bytes.len()));
    out.extend_from_slice(bytes);
}

fn count(length: usize) -> u64 {
    length as u64
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn u64(&mut self, what: &'static str) -> Result<u64, DamagedWriteSet> {
        let bytes = self.take(8, what)?;
        Ok(u64::from_le_bytes(bytes.try_into().expect("took 8 bytes")))
    }

    fn bytes(&mut self, what: &'static str) -> Result<&'a [u8], DamagedWriteSet> {
        let length = self.u64(what)?;
        let length = usize::try_from(length).map_err(|_| self.damaged(what))?;
        self.take(length, what)
    }

    fn table(&mut self, domain: Domain) -> Result<Table, DamagedWriteSet> {
        let name = self.bytes("a table name")?;
        if name.len() > TABLE_NAME_BYTES_MAX {
            return Err(self.damaged("a table name of bounded length"));
        }
        let name = std::str::from_utf8(name).map_err(|_| self.damaged("a table name in UTF-8"))?;
        let table = Table::from_name(name);
        if table.domain() == domain {
            Ok(table)
        } else {
            Err(self.damaged("a table of this domain"))
        }
    }

    fn take(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], DamagedWriteSet> {
        let rest = &self.bytes[self.at..];
        if rest.len() < length {
            return Err(self.damaged(what));
        }
        self.at += length;
        Ok(&rest[..length])
    }

    const fn damaged(&self, what: &'static str) -> DamagedWriteSet {
        DamagedWriteSet { at: self.at, what }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tables;

    #[test]
    fn the_last_write_of_a_key_stands() {
        let mut writes = WriteSet::default();
        writes.put(tables::CONSTITUTION, b"k", b"one");
        writes.put(tables::CONSTITUTION, b"k", b"two");
        assert_eq!(
            writes.written(&tables::CONSTITUTION, b"k"),
            Some(Some(&b"two"[..]))
        );
        writes.remove(tables::CONSTITUTION, b"k");
        assert_eq!(writes.written(&tables::CONSTITUTION, b"k"), Some(None));
        assert_eq!(writes.iter().count(), 1);
    }

    #[test]
    fn public_and_private_tables_are_encoded_apart() {
        let mut writes = WriteSet::default();
        writes.put(Table::from_name("public:a"), b"key", b"clear");
        writes.put(Table::from_name("b"), b"key", b"hidden");
        let mut public = Vec::new();
        writes.encode(Domain::Public, &mut public);
        assert!(public.windows(5).any(|window| window == b"clear"));
        assert!(!public.windows(6).any(|window| window == b"hidden"));
        assert!(
            WriteSet::default()
                .decode(Domain::Private, &public)
                .is_err()
        );
    }

    proptest! {
        #[test]
        fn a_write_set_is_read_as_it_was_written(
            writes in prop::collection::vec(
                ("(public:)?[a-c]", prop::collection::vec(any::<u8>(), 0..4),
                 prop::option::of(prop::collection::vec(any::<u8>(), 0..20))), 0..20)
        ) {
            let mut set = WriteSet::default();
            for (table, key, value) in writes {
                set.set(Table::from_name(&table), key, value);
            }
            let mut back = WriteSet::default();
            for domain in [Domain::Public, Domain::Private] {
                let mut bytes = Vec::new();
                set.encode(domain, &mut bytes);
                back.decode(domain, &bytes).unwrap();
            }
            prop_assert_eq!(set, back);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = WriteSet::default().decode(Domain::Private, &bytes);
        }
    }
}
