//! The state as it is at one time, read while it goes on.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod common;

use std::thread;

use common::{Party, folder, small_chunks};
use ledger::tables::{EVM_ACCOUNTS, EVM_STORAGE, USERS};
use ledger::{State, Table, WriteSet};
use store::Store;
use verify::View;

fn write(party: &Party, store: &mut Store, table: &Table, value: Option<&[u8]>) {
    let mut writes = WriteSet::default();
    match value {
        Some(value) => writes.put(table.clone(), b"key", value),
        None => writes.remove(table.clone(), b"key"),
    }
    let batch = party.batch(store.frontier(), View(3), vec![writes]);
    store.append(&batch).unwrap();
    store.apply(&batch).unwrap();
}

#[test]
fn what_a_moment_has_is_shown_by_everything_else() {
    const WRITES: u64 = 1_000;
    /// More than cores, so that the writer is stopped anywhere.
    const READERS: usize = 6;
    let (party, dir) = (Party::new(), folder());
    let (mut store, _) = party.ledger(dir.path(), small_chunks(1 << 20), 1);
    let reader = store.reader();
    let before = reader.committed().seqno.0;
    let read = || {
        loop {
            let value = reader.moment().value(&EVM_ACCOUNTS, b"key");
            let shown = reader.committed().seqno.0 - before;
            let number = value.map_or(0, |value| u64::from_be_bytes(value.try_into().unwrap()));
            // Each write is one entry, and one signs it.
            assert!(shown >= 2 * number, "{number} writes, {shown} entries");
            if number == WRITES {
                break;
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(read);
        }
        for number in 1..=WRITES {
            let value = number.to_be_bytes();
            write(&party, &mut store, &EVM_ACCOUNTS, Some(&value));
        }
    });
}

#[test]
fn a_moment_stays_as_it_is_and_the_next_one_sees_what_was_written() {
    let (party, dir) = (Party::new(), folder());
    let (mut store, _) = party.ledger(dir.path(), small_chunks(1 << 20), 1);
    let reader = store.reader();
    for table in [EVM_ACCOUNTS, EVM_STORAGE, USERS] {
        let before = reader.moment();
        // Twice: what was looked up is known the second time, absent or not.
        let read = |moment: &store::Moment<'_>| {
            let first = moment.value(&table, b"key");
            assert_eq!(moment.value(&table, b"key"), first);
            first
        };
        assert_eq!(read(&before), None);
        write(&party, &mut store, &table, Some(b"1"));
        let one = reader.moment();
        assert_eq!(read(&one).as_deref(), Some(&b"1"[..]));
        write(&party, &mut store, &table, Some(b"2"));
        let two = reader.moment();
        assert_eq!(read(&two).as_deref(), Some(&b"2"[..]));
        write(&party, &mut store, &table, None);
        assert_eq!(read(&reader.moment()), None);
        assert_eq!(read(&two).as_deref(), Some(&b"2"[..]));
        assert_eq!(read(&one).as_deref(), Some(&b"1"[..]));
        assert_eq!(read(&before), None);
    }
}
