//! What rows are called.
//!
//! A key of up to 20 bytes lies in the LSM tree's own nodes, and a search compares it without going
//! anywhere else: that is how long the keys of private tables and of streams are.

use fjall::UserKey;
use ledger::Table;
use ledger::write_set::Domain;
use verify::hmac_sha256;
use zeroize::Zeroizing;

/// Of a private table.
const TAG_LEN: usize = 4;
/// Of a key in a private table. Whoever finds a row compares the key that is sealed with it.
const NAME_LEN: usize = 16;
/// Of a table and a key that are kept as a stream: so many keys that two meet will never be written.
pub(super) const STREAM_LEN: usize = 12;

/// Names keys so that a thief of the disk learns none of a private table.
pub(super) struct Names(Zeroizing<[u8; 32]>);

impl Names {
    pub(super) const fn new(key: Zeroizing<[u8; 32]>) -> Self {
        Self(key)
    }

    /// Of the row that holds the latest value.
    pub(super) fn value(&self, table: &Table, key: &[u8]) -> UserKey {
        match table.domain() {
            Domain::Public => [table.name().as_bytes(), b"\0", key].concat().into(),
            Domain::Private => {
                let mut row = [0; TAG_LEN + NAME_LEN];
                row[..TAG_LEN].copy_from_slice(&tag(table));
                row[TAG_LEN..].copy_from_slice(&self.hashed(table, key)[..NAME_LEN]);
                row.into()
            }
        }
    }

    /// Of the rows that hold the places where the key was written.
    pub(super) fn stream(&self, table: &Table, key: &[u8]) -> StreamRows {
        let mut row = [0; STREAM_LEN + 8];
        let name = &self.hashed(table, key)[NAME_LEN..];
        row[..STREAM_LEN].copy_from_slice(&name[..STREAM_LEN]);
        StreamRows(row)
    }

    fn hashed(&self, table: &Table, key: &[u8]) -> [u8; 32] {
        hmac_sha256(&self.0, &[table.name().as_bytes(), b"\0", key]).0
    }
}

/// How the rows of a table's values begin.
pub(super) fn table_prefix(table: &Table) -> Vec<u8> {
    match table.domain() {
        Domain::Public => [table.name().as_bytes(), b"\0"].concat(),
        Domain::Private => tag(table).to_vec(),
    }
}

/// Stands for the name of a private table: FNV-1a. Its first bit is set, as in no text of a public one.
fn tag(table: &Table) -> [u8; TAG_LEN] {
    let bytes = table.name().bytes();
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    (hash | 1 << 31).to_be_bytes()
}

/// The keys of one stream's rows.
pub(super) struct StreamRows([u8; STREAM_LEN + 8]);

impl StreamRows {
    pub(super) fn at(&self, first: u64) -> [u8; STREAM_LEN + 8] {
        let mut key = self.0;
        key[STREAM_LEN..].copy_from_slice(&first.to_be_bytes());
        key
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_private_tables_have_one_tag() {
        let private = || Table::well_known().filter(|table| table.domain() == Domain::Private);
        let tags: HashSet<_> = private().map(tag).collect();
        assert_eq!(tags.len(), private().count());
        assert!(tags.iter().all(|tag| tag[0] >= 0x80));
    }

    #[test]
    fn keys_of_private_tables_and_of_streams_need_no_memory_of_their_own() {
        let names = Names::new(Zeroizing::new([7; 32]));
        let table = ledger::tables::EVM_STORAGE;
        assert!(names.value(&table, &[1; 52]).len() <= 20);
        assert!(names.stream(&table, &[1; 52]).at(1).len() <= 20);
    }
}
