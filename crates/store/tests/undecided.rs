//! Batches that are synced and may yet be undone: nodes decide together what is committed.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod common;

use std::path::Path;

use common::{Party, assert_intact, copy_folder, folder, private_entry, small_chunks};
use ledger::WriteSet;
use ledger::governance::wishes::CHUNK;
use ledger::tables::WISHES;
use proptest::prelude::*;
use store::{Batch, OpenError, Store, StoreOptions, Tail};
use verify::{Seqno, View};

const SMALL: u64 = 4_000;

fn undecided(chunk_bytes: u64) -> StoreOptions {
    StoreOptions {
        tail: Tail::Undecided,
        ..small_chunks(chunk_bytes)
    }
}

/// Appends a batch of two entries and applies nothing.
fn append(party: &Party, store: &mut Store, view: u64, number: u64) -> Batch {
    let writes = vec![private_entry(number), private_entry(number + 1)];
    let batch = party.batch(store.frontier(), View(view), writes);
    store.append(&batch).unwrap();
    batch
}

fn chunks(dir: &Path) -> Vec<String> {
    let files = common::files(&dir.join("ledger"));
    let name = |path: &std::path::PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    files.iter().map(name).collect()
}

#[test]
fn what_is_not_applied_is_not_shown_and_comes_back_undecided() {
    let (party, dir) = (Party::new(), folder());
    let (mut store, mut batches) = party.ledger(dir.path(), undecided(SMALL), 9);
    let tail: Vec<Batch> = (0..9)
        .map(|number| append(&party, &mut store, 3, number))
        .collect();
    let committed = batches.last().unwrap().last();
    assert_eq!(store.reader().committed().seqno, committed);
    assert_eq!(store.reader().entry(committed.next()).unwrap(), None);
    let frontier = store.frontier().clone();
    drop(store);

    let mut store = party.open(dir.path(), undecided(SMALL)).unwrap();
    assert_eq!(store.reader().committed().seqno, committed);
    assert_eq!(store.frontier(), &frontier);
    let found = store.take_undecided();
    let bytes = |batches: &[Batch]| -> Vec<Vec<u8>> {
        batches.iter().map(|batch| batch.bytes.clone()).collect()
    };
    assert_eq!(bytes(&found), bytes(&tail));
    for batch in &found {
        store.apply(batch).unwrap();
    }
    batches.extend(tail);
    assert_intact(&party, &store, &batches);
    drop(store);
    let store = party.open(dir.path(), undecided(SMALL)).unwrap();
    assert_intact(&party, &store, &batches);
}

#[test]
fn a_batch_that_a_full_disk_left_half_applied_is_applied() {
    let (party, dir) = (Party::new(), folder());
    let (mut store, mut batches) = party.ledger(dir.path(), undecided(1 << 20), 3);
    let batch = append(&party, &mut store, 3, 0);
    let half = folder();
    copy_folder(dir.path(), half.path());
    store.apply(&batch).unwrap();
    drop(store);
    for name in ["hashes", "seqnos"] {
        let whole = std::fs::read(dir.path().join("index").join(name)).unwrap();
        let path = half.path().join("index").join(name);
        let before = std::fs::read(&path).unwrap().len();
        // One entry of three.
        let part = if name == "hashes" {
            32
        } else {
            (whole.len() - before) / 3
        };
        std::fs::write(&path, &whole[..before + part]).unwrap();
    }
    let mut store = party.open(half.path(), undecided(1 << 20)).unwrap();
    assert_eq!(store.take_undecided().len(), 0);
    batches.push(batch);
    assert_intact(&party, &store, &batches);
}

#[test]
fn what_is_undone_does_not_come_back_even_across_files() {
    for keep in 0..6 {
        let (party, dir) = (Party::new(), folder());
        let (mut store, mut batches) = party.ledger(dir.path(), undecided(SMALL), 3);
        let committed = batches.last().unwrap().last();
        let tail: Vec<Batch> = (0..6)
            .map(|number| append(&party, &mut store, 3, number))
            .collect();
        let last = tail[..keep].last().map_or(committed, Batch::last);
        store.truncate(last).unwrap();
        assert_eq!(store.last_appended(), last);
        if keep % 2 == 0 {
            // Whether the process lived on or not makes no difference.
            drop(store);
            store = party.open(dir.path(), undecided(SMALL)).unwrap();
            assert_eq!(store.take_undecided().len(), keep);
            assert_eq!(store.last_appended(), last);
        }
        for batch in &tail[..keep] {
            store.apply(batch).unwrap();
        }
        batches.extend_from_slice(&tail[..keep]);
        for number in 0..6 {
            let batch = append(&party, &mut store, 4, 100 + number);
            store.apply(&batch).unwrap();
            batches.push(batch);
        }
        assert_intact(&party, &store, &batches);
        drop(store);
        let store = party.open(dir.path(), undecided(SMALL)).unwrap();
        assert_intact(&party, &store, &batches);
    }
}

#[test]
fn what_is_applied_cannot_be_undone_and_no_batch_is_cut_in_two() {
    let (party, dir) = (Party::new(), folder());
    let (mut store, batches) = party.ledger(dir.path(), undecided(SMALL), 3);
    let committed = batches.last().unwrap().last();
    let tail = append(&party, &mut store, 3, 1);
    drop(store);
    for last in [Seqno(committed.0 - 1), tail.first, Seqno(tail.last().0 + 1)] {
        let mut store = party.open(dir.path(), undecided(SMALL)).unwrap();
        assert!(store.truncate(last).is_err(), "{last}");
    }
}

#[test]
fn files_are_the_same_wherever_the_commits_fell() {
    let (party, reference) = (Party::new(), folder());
    let (mut store, batches) = party.ledger(reference.path(), undecided(SMALL), 30);
    store.checkpoint().unwrap();
    for ahead in [1, 3, 12] {
        let dir = folder();
        let mut store = party.open(dir.path(), undecided(SMALL)).unwrap();
        let mut applied = 0;
        for (number, batch) in batches.iter().enumerate() {
            store.append(batch).unwrap();
            while applied + ahead <= number {
                store.apply(&batches[applied]).unwrap();
                applied += 1;
            }
        }
        for batch in &batches[applied..] {
            store.apply(batch).unwrap();
        }
        assert_eq!(chunks(dir.path()), chunks(reference.path()));
        for name in chunks(dir.path()) {
            let read = |dir: &Path| std::fs::read(dir.join("ledger").join(&name)).unwrap();
            assert!(read(dir.path()) == read(reference.path()), "{name}");
        }
    }
}

#[test]
fn a_close_that_was_interrupted_before_other_open_files_is_done_again() {
    let (party, dir) = (Party::new(), folder());
    let (whole, batches) = party.ledger(dir.path(), undecided(SMALL), 9);
    drop(whole);
    // Many files are open, because nothing is decided yet; then the first was being closed.
    let open = folder();
    let mut store = party.open(open.path(), undecided(SMALL)).unwrap();
    for batch in &batches {
        store.append(batch).unwrap();
    }
    drop(store);
    let closed = std::fs::read(dir.path().join("ledger").join(&chunks(dir.path())[0])).unwrap();
    let first = open.path().join("ledger/ledger_1");
    let entries = std::fs::read(&first).unwrap();
    assert!(chunks(open.path()).len() > 3 && closed.len() > entries.len());
    let positions = &closed[entries.len()..];
    for lost in [0, 1, positions.len() / 2, positions.len() - 1] {
        let written = &positions[..positions.len() - lost];
        for tail in [written, &vec![0; written.len()], &vec![0xa7; written.len()]] {
            let other = folder();
            copy_folder(open.path(), other.path());
            let file = other.path().join("ledger/ledger_1");
            std::fs::write(&file, [&entries, tail].concat()).unwrap();
            let mut store = party.open(other.path(), undecided(SMALL)).unwrap();
            for batch in store.take_undecided() {
                store.apply(&batch).unwrap();
            }
            assert_intact(&party, &store, &batches);
            assert_eq!(chunks(other.path()), chunks(dir.path()));
        }
    }
    // More than positions, or a file that does not go on there: that is damage.
    let other = folder();
    copy_folder(open.path(), other.path());
    let file = other.path().join("ledger/ledger_1");
    std::fs::write(&file, [&entries, positions, &[0; 4]].concat()).unwrap();
    let refused = party.open(other.path(), undecided(SMALL)).err().unwrap();
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
    std::fs::write(&file, &entries[..entries.len() - 1]).unwrap();
    assert!(party.open(other.path(), undecided(SMALL)).is_err());
}

#[test]
fn a_file_is_closed_where_members_want_it_even_after_a_crash() {
    let (party, dir) = (Party::new(), folder());
    let options = undecided(1 << 20);
    let (mut store, mut batches) = party.ledger(dir.path(), options, 3);
    let mut taken = WriteSet::default();
    taken.remove(WISHES, CHUNK.as_bytes());
    let closing = party.batch(store.frontier(), View(2), vec![private_entry(1), taken]);
    store.append(&closing).unwrap();
    let last = closing.last();
    batches.push(closing);
    batches.push(append(&party, &mut store, 2, 7));
    drop(store);

    let mut store = party.open(dir.path(), options).unwrap();
    for batch in store.take_undecided() {
        store.apply(&batch).unwrap();
    }
    batches.push(append(&party, &mut store, 2, 8));
    store.apply(batches.last().unwrap()).unwrap();
    let names = [
        format!("ledger_1-{last}.committed"),
        format!("ledger_{}", last.next()),
    ];
    assert_eq!(chunks(dir.path()), names);
    assert_intact(&party, &store, &batches);
}

#[test]
fn a_batch_is_taken_from_another_node_only_if_it_continues_the_ledger() {
    let (party, dir, other) = (Party::new(), folder(), folder());
    let (store, batches) = party.ledger(dir.path(), undecided(SMALL), 6);
    let mut follower = party.open(other.path(), undecided(SMALL)).unwrap();
    for batch in &batches {
        let (bytes, last) = store.reader().batch(batch.first).unwrap().unwrap();
        assert_eq!((&bytes, last), (&batch.bytes, batch.last()));
        // The signature entry itself is covered by the next root, and by its signature.
        for (place, bit) in [(40, 1), (200, 4), (bytes.len() - 1, 128)] {
            let mut changed = bytes.clone();
            changed[place] ^= bit;
            assert!(follower.received(changed).is_err(), "{place}");
        }
        assert!(
            follower
                .received(bytes[..bytes.len() - 1].to_vec())
                .is_err()
        );
        assert!(follower.received([&bytes[..], &bytes].concat()).is_err());
        let (received, signed) = follower.received(bytes.clone()).unwrap();
        assert_eq!(
            (received.first, received.last()),
            (batch.first, batch.last())
        );
        assert_eq!(signed.id.seqno, batch.last());
        follower.append(&received).unwrap();
        assert!(follower.received(bytes).is_err(), "twice");
        follower.apply(&received).unwrap();
    }
    assert_intact(&party, &follower, &batches);
}

#[test]
fn what_was_received_may_be_appended_after_others_were_undone_or_not_at_all() {
    let (party, dir, other) = (Party::new(), folder(), folder());
    let (store, batches) = party.ledger(dir.path(), undecided(SMALL), 2);
    let mut follower = party.open(other.path(), undecided(SMALL)).unwrap();
    let bytes = |at: usize| store.reader().batch(batches[at].first).unwrap().unwrap().0;
    let receive = |follower: &mut Store, at| follower.received(bytes(at)).unwrap().0;
    let first = receive(&mut follower, 0);
    follower.append(&first).unwrap();
    follower.apply(&first).unwrap();
    let second = receive(&mut follower, 1);
    // What the store remembers of it is of no use to another one in its place.
    let mut another = second.clone();
    another.bytes.truncate(another.entries[0].length as usize);
    another.entries.truncate(1);
    another.writes.truncate(1);
    follower.append(&another).unwrap();
    assert_eq!(follower.last_appended(), another.last());
    follower.truncate(first.last()).unwrap();
    follower.append(&second).unwrap();
    let third = receive(&mut follower, 2);
    follower.truncate(first.last()).unwrap();
    follower.append(&second).unwrap();
    follower.append(&third).unwrap();
    follower.apply(&second).unwrap();
    follower.apply(&third).unwrap();
    assert_intact(&party, &follower, &batches);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]
    /// Appends, commits, undoes and crashes in any order leave what a list would.
    #[test]
    fn the_tail_behaves_like_a_list(steps in prop::collection::vec((0u8..5, 0u64..4), 1..40)) {
        let (party, dir) = (Party::new(), folder());
        let mut store = party.open(dir.path(), undecided(3_000)).unwrap();
        let genesis = party.batch(store.frontier(), View(2), party.genesis());
        store.append(&genesis).unwrap();
        store.apply(&genesis).unwrap();
        let mut all = vec![genesis];
        let mut applied = 1;
        let mut view = 2;
        for (step, count) in steps {
            let count = count as usize;
            match step {
                0 | 1 => for number in 0..=count {
                    all.push(append(&party, &mut store, view, number as u64));
                },
                2 => for batch in all.iter().skip(applied).take(count) {
                    store.apply(batch).unwrap();
                    applied += 1;
                },
                3 => {
                    all.truncate(all.len().saturating_sub(count).max(applied));
                    store.truncate(all.last().unwrap().last()).unwrap();
                    view += 1;
                }
                _ => {
                    let copy = folder();
                    drop(store);
                    if count.is_multiple_of(2) {
                        copy_folder(dir.path(), copy.path());
                        std::fs::remove_dir_all(dir.path().join("ledger")).unwrap();
                        copy_folder(&copy.path().join("ledger"), &dir.path().join("ledger"));
                    }
                    store = party.open(dir.path(), undecided(3_000)).unwrap();
                    prop_assert_eq!(store.take_undecided().len(), all.len() - applied);
                }
            }
        }
        for batch in &all[applied..] {
            store.apply(batch).unwrap();
        }
        assert_intact(&party, &store, &all);
    }
}
