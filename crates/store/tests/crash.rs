//! Power loss and kill -9, at every byte.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod common;

use std::path::{Path, PathBuf};

use common::{Party, assert_intact, copy_folder, files, folder, private_entry, small_chunks};
use store::{Batch, OpenError};
use verify::View;

const MANY: u64 = 1 << 20;

/// A ledger in one open chunk, stopped without a checkpoint.
struct Written {
    party: Party,
    dir: tempfile::TempDir,
    batches: Vec<Batch>,
}

fn written(batches: u64) -> Written {
    let party = Party::new();
    let dir = folder();
    let (_store, batches) = party.ledger(dir.path(), small_chunks(MANY), batches);
    Written {
        party,
        dir,
        batches,
    }
}

impl Written {
    fn open_chunk(&self) -> Vec<u8> {
        std::fs::read(self.dir.path().join("ledger/ledger_1")).unwrap()
    }

    /// Where the last batch begins in the chunk.
    fn last_begins(&self) -> usize {
        self.open_chunk().len() - self.batches.last().unwrap().bytes.len()
    }

    /// What the disk has when nothing but the ledger files was written back before the power went.
    fn with_chunk(&self, bytes: &[u8]) -> tempfile::TempDir {
        let dir = folder();
        std::fs::create_dir(dir.path().join("ledger")).unwrap();
        std::fs::write(dir.path().join("ledger/ledger_1"), bytes).unwrap();
        dir
    }
}

fn chunk(dir: &Path) -> PathBuf {
    dir.join("ledger/ledger_1")
}

#[test]
fn a_batch_cut_at_any_byte_is_cut_whole_and_all_before_it_is_intact() {
    let written = written(3);
    let whole = written.open_chunk();
    let (last, earlier) = written.batches.split_last().unwrap();
    for length in written.last_begins()..=whole.len() {
        let dir = written.with_chunk(&whole[..length]);
        let mut store = written.party.open(dir.path(), small_chunks(MANY)).unwrap();
        let complete = length == whole.len();
        let expected = if complete {
            &written.batches[..]
        } else {
            earlier
        };
        assert_intact(&written.party, &store, expected);
        if length % 97 == 0 {
            // It goes on from there as if nothing had been.
            let mut expected = expected.to_vec();
            expected.push(
                written
                    .party
                    .write(&mut store, View(3), vec![private_entry(7)]),
            );
            drop(store);
            let store = written.party.open(dir.path(), small_chunks(MANY)).unwrap();
            assert_intact(&written.party, &store, &expected);
        }
        assert_eq!(last.first, earlier.last().unwrap().last().next());
    }
}

#[test]
fn a_torn_batch_with_holes_or_garbage_is_cut_whole() {
    let written = written(3);
    let whole = written.open_chunk();
    let begins = written.last_begins();
    let (_, earlier) = written.batches.split_last().unwrap();
    for from in (begins..whole.len()).step_by(61) {
        for (fill, to) in [
            (0, whole.len()),
            (0xa5, whole.len()),
            (0, (from + 512).min(whole.len())),
        ] {
            let mut torn = whole.clone();
            torn[from..to].fill(fill);
            if torn == whole {
                continue;
            }
            let dir = written.with_chunk(&torn);
            let store = written.party.open(dir.path(), small_chunks(MANY)).unwrap();
            assert_intact(&written.party, &store, earlier);
        }
    }
}

#[test]
fn bytes_after_the_last_batch_are_cut() {
    let written = written(2);
    for garbage in [
        &[0; 1][..],
        &[0; 4096],
        &[1, 0, 200, 0, 0, 0, 0, 0, 5],
        &[0xff; 100],
    ] {
        let dir = written.with_chunk(&[&written.open_chunk(), garbage].concat());
        let store = written.party.open(dir.path(), small_chunks(MANY)).unwrap();
        assert_intact(&written.party, &store, &written.batches);
        assert_eq!(
            std::fs::read(chunk(dir.path())).unwrap(),
            written.open_chunk()
        );
    }
}

#[test]
fn what_was_applied_is_never_cut() {
    let written = written(3);
    let whole = written.open_chunk();
    let begins = written.last_begins();
    for length in (begins..whole.len()).step_by(37) {
        let dir = folder();
        copy_folder(written.dir.path(), dir.path());
        std::fs::write(chunk(dir.path()), &whole[..length]).unwrap();
        let opened = written.party.open(dir.path(), small_chunks(MANY));
        match opened {
            Err(OpenError::Damaged {
                file,
                truth_ends,
                known,
                ..
            }) => {
                assert_eq!(file, chunk(dir.path()));
                assert_eq!(truth_ends.next(), written.batches.last().unwrap().first);
                assert_eq!(known, written.batches.last().unwrap().last());
            }
            // Cut exactly between two batches: the file looks whole, but is too short.
            Err(OpenError::MissingChunk { from, to, .. }) => {
                assert_eq!(length, begins);
                assert_eq!(from, written.batches.last().unwrap().first);
                assert_eq!(to, written.batches.last().unwrap().last());
            }
            other => panic!("{length}: {other:?}"),
        }
        // Nothing was removed: with the file restored it opens.
        std::fs::write(chunk(dir.path()), &whole).unwrap();
        let store = written.party.open(dir.path(), small_chunks(MANY)).unwrap();
        assert_intact(&written.party, &store, &written.batches);
    }
}

#[test]
fn damage_before_the_last_batch_is_not_taken_for_a_torn_write_even_without_witnesses() {
    let written = written(4);
    let whole = written.open_chunk();
    let before_last = written.last_begins() - written.batches[3].bytes.len();
    for at in (8..before_last).step_by(53) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        let dir = written.with_chunk(&damaged);
        let opened = written.party.open(dir.path(), small_chunks(MANY));
        assert!(
            matches!(opened, Err(OpenError::Damaged { .. })),
            "byte {at}: {opened:?}"
        );
        assert_eq!(
            std::fs::read(chunk(dir.path())).unwrap(),
            damaged,
            "nothing was removed"
        );
    }
}

#[test]
fn a_killed_process_leaves_everything_it_acknowledged() {
    let party = Party::new();
    let dir = folder();
    let (store, mut batches) = party.ledger(dir.path(), small_chunks(6_000), 3);
    drop(store);
    for round in 0..30 {
        let mut store = party.open(dir.path(), small_chunks(6_000)).unwrap();
        assert_intact(&party, &store, &batches);
        let view = store.reader().committed().view.next();
        batches.push(party.write(&mut store, view, vec![private_entry(round)]));
        // Appended, but the process dies before it shows it: it is on the disk, so it counts.
        let batch = party.batch(store.frontier(), view, vec![private_entry(round)]);
        store.append(&batch).unwrap();
        batches.push(batch);
    }
    assert!(files(&dir.path().join("ledger")).len() > 10);
}

#[test]
fn an_interrupted_close_is_completed_or_undone() {
    let party = Party::new();
    let dir = folder();
    let (mut store, batches) = party.ledger(dir.path(), small_chunks(MANY), 3);
    store.checkpoint().unwrap();
    drop(store);
    let entries = std::fs::read(chunk(dir.path())).unwrap();
    let offsets: Vec<u8> = {
        let mut at = 8u32;
        let lengths = batches
            .iter()
            .flat_map(|batch| &batch.entries)
            .map(|entry| entry.length);
        lengths
            .flat_map(|length| {
                let offset = at;
                at += length;
                offset.to_le_bytes()
            })
            .collect()
    };
    let last = batches.last().unwrap().last();
    // Power lost while the positions were written: they are cut.
    for length in 0..=offsets.len() {
        let other = folder();
        copy_folder(dir.path(), other.path());
        std::fs::write(chunk(other.path()), [&entries, &offsets[..length]].concat()).unwrap();
        let store = party.open(other.path(), small_chunks(MANY)).unwrap();
        assert_intact(&party, &store, &batches);
        assert_eq!(std::fs::read(chunk(other.path())).unwrap(), entries);
    }
    // Lost after the header was written: the rename is made up for.
    let mut closed = [&entries[..], &offsets].concat();
    closed[..8].copy_from_slice(&(entries.len() as u64).to_le_bytes());
    std::fs::write(chunk(dir.path()), &closed).unwrap();
    let store = party.open(dir.path(), small_chunks(MANY)).unwrap();
    assert_intact(&party, &store, &batches);
    let name = format!("ledger/ledger_1-{last}.committed");
    assert_eq!(std::fs::read(dir.path().join(name)).unwrap(), closed);
}

#[test]
fn a_chunk_that_was_only_created_is_used() {
    let party = Party::new();
    for bytes in [&[][..], &[0; 3], &[0; 8]] {
        let dir = folder();
        std::fs::create_dir(dir.path().join("ledger")).unwrap();
        std::fs::write(chunk(dir.path()), bytes).unwrap();
        let mut store = party.open(dir.path(), small_chunks(MANY)).unwrap();
        let batch = party.write(&mut store, View(2), party.genesis());
        assert_intact(&party, &store, &[batch]);
    }
}

#[test]
fn what_is_derived_from_the_ledger_may_be_lost_in_any_combination() {
    let party = Party::new();
    let dir = folder();
    let (mut store, mut batches) = party.ledger(dir.path(), small_chunks(6_000), 8);
    store.checkpoint().unwrap();
    // An older copy of everything that is derived: what a disk shows after power loss.
    let old = folder();
    copy_folder(dir.path(), old.path());
    for number in 0..3 {
        batches.push(party.write(&mut store, View(2), vec![private_entry(number)]));
    }
    drop(store);
    let derived = ["index/hashes", "index/seqnos", "index/checkpoint", "state"];
    for lost in 0..1u32 << derived.len() {
        for rolled_back in [false, true] {
            let other = folder();
            copy_folder(dir.path(), other.path());
            for (place, name) in derived.iter().enumerate() {
                if lost >> place & 1 == 1 {
                    let path = other.path().join(name);
                    if path.is_dir() {
                        std::fs::remove_dir_all(&path).unwrap();
                    } else {
                        std::fs::remove_file(&path).unwrap();
                    }
                    let from = old.path().join(name);
                    match (rolled_back, from.is_dir()) {
                        (true, true) => copy_folder(&from, &path),
                        (true, false) => drop(std::fs::copy(&from, &path).unwrap()),
                        (false, _) => {}
                    }
                }
            }
            let store = party.open(other.path(), small_chunks(6_000)).unwrap();
            assert_intact(&party, &store, &batches);
        }
    }
}

#[test]
fn a_state_store_that_was_only_half_made_is_made_anew() {
    let written = written(6);
    let state = written.dir.path().join("state");
    for lost in files(&state) {
        let lost = lost.strip_prefix(&state).unwrap();
        // What a kill while it was being made leaves: some files not there yet, or there and empty.
        for empty in [false, true] {
            let dir = folder();
            copy_folder(written.dir.path(), dir.path());
            let path = dir.path().join("state").join(lost);
            std::fs::remove_file(&path).unwrap();
            if empty {
                std::fs::write(&path, b"").unwrap();
            }
            let store = written.party.open(dir.path(), small_chunks(MANY)).unwrap();
            assert_intact(&written.party, &store, &written.batches);
        }
    }
    let dir = folder();
    copy_folder(written.dir.path(), dir.path());
    std::fs::remove_dir_all(dir.path().join("state")).unwrap();
    std::fs::create_dir(dir.path().join("state")).unwrap();
    std::fs::write(dir.path().join("state/0.jnl"), [0; 100]).unwrap();
    let store = written.party.open(dir.path(), small_chunks(MANY)).unwrap();
    assert_intact(&written.party, &store, &written.batches);
}

#[test]
fn only_one_process_opens_a_folder() {
    let party = Party::new();
    let dir = folder();
    let store = party.open(dir.path(), small_chunks(MANY)).unwrap();
    match party.open(dir.path(), small_chunks(MANY)) {
        Err(OpenError::Locked { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    drop(store);
    party.open(dir.path(), small_chunks(MANY)).unwrap();
}

#[test]
fn a_missing_ledger_file_is_named() {
    let party = Party::new();
    let dir = folder();
    let (store, _) = party.ledger(dir.path(), small_chunks(4_000), 8);
    drop(store);
    let all = files(&dir.path().join("ledger"));
    assert!(all.len() > 3);
    for path in all {
        let other = folder();
        copy_folder(dir.path(), other.path());
        let name = path.file_name().unwrap();
        std::fs::remove_file(other.path().join("ledger").join(name)).unwrap();
        let opened = party.open(other.path(), small_chunks(4_000));
        let Err(OpenError::MissingChunk { from, to, .. }) = opened else {
            panic!("{name:?}: {opened:?}");
        };
        let name = name.to_str().unwrap();
        assert!(
            name.starts_with(&format!("ledger_{from}")),
            "{name}: {from} to {to}"
        );
    }
}

#[test]
fn another_secret_is_refused() {
    let mut party = Party::new();
    let dir = folder();
    drop(party.ledger(dir.path(), small_chunks(MANY), 2));
    party.secret = std::sync::Arc::new(ledger::LedgerSecret::new([8; 32]));
    std::fs::remove_dir_all(dir.path().join("state")).unwrap();
    let opened = party.open(dir.path(), small_chunks(MANY));
    assert!(
        matches!(opened, Err(OpenError::WrongSecret { .. })),
        "{opened:?}"
    );
}
