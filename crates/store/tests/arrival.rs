//! Snapshots, and ledgers that come from another node.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod common;

use std::path::Path;

use common::{Party, assert_intact, copy_folder, files, folder, private_entry, small_chunks};
use ledger::signature::SignedRoot;
use ledger::snapshot::RecordSnapshot;
use ledger::tables::{PRIVATE_COLLECTIONS, SINGLETON, SNAPSHOT_EVIDENCE};
use ledger::{State, WriteSet};
use store::arrival::{Arrival, ArrivalError, Chunk};
use store::order::{Mark, Order, Slot, ToldOrder};
use store::snapshot::{self, SnapshotName};
use store::{Batch, Reader, Store, StoreOptions, Tail};
use verify::{Seqno, View};

fn options() -> StoreOptions {
    small_chunks(4_000)
}

fn among() -> StoreOptions {
    StoreOptions {
        tail: Tail::Undecided,
        ..options()
    }
}

/// Makes a snapshot and records it in a batch of its own.
fn record(party: &Party, store: &mut Store, all: &mut Vec<Batch>) -> SnapshotName {
    let made = snapshot::make(&store.reader(), &|| false).unwrap();
    let RecordSnapshot(evidence) = RecordSnapshot(made.evidence());
    assert_eq!(evidence.seqno(), store.last_appended());
    let mut writes = WriteSet::default();
    let row = serde_json::to_vec(&evidence).unwrap();
    writes.put(SNAPSHOT_EVIDENCE, SINGLETON, row);
    let batch = party.write(store, View(2), vec![writes]);
    let name = made.keep(batch.first).unwrap();
    all.push(batch);
    name
}

fn more(party: &Party, store: &mut Store, all: &mut Vec<Batch>, count: u64) {
    let view = all.last().map_or(View(2), |batch| batch.view);
    for number in 0..count {
        let writes = (0..3)
            .map(|place| private_entry(number * 7 + place))
            .collect();
        all.push(party.write(store, view, writes));
    }
}

/// A ledger with a snapshot in its midst.
fn ledger(party: &Party, dir: &Path) -> (Store, Vec<Batch>, SnapshotName) {
    let (mut store, mut all) = party.ledger(dir, options(), 30);
    let name = record(party, &mut store, &mut all);
    more(party, &mut store, &mut all, 20);
    (store, all, name)
}

fn bring(arrival: &Arrival, from: &Reader, chunks: &[Chunk]) {
    for chunk in chunks {
        let mut part = arrival.chunk(chunk).unwrap();
        while part.length() < chunk.bytes {
            let missing = (chunk.bytes - part.length()).min(1_000) as usize;
            let bytes = from
                .file_bytes(chunk.first, part.length(), missing)
                .unwrap();
            part.write(&bytes).unwrap();
        }
        part.finish().unwrap();
        assert!(part.is_whole());
    }
}

fn bring_snapshot(arrival: &Arrival, dir: &Path, name: SnapshotName, change: Option<usize>) {
    let mut bytes = std::fs::read(snapshot::folder(dir).join(name.to_string())).unwrap();
    if let Some(at) = change {
        let at = at % bytes.len();
        bytes[at] ^= 1;
    }
    let mut part = arrival.snapshot(name, bytes.len() as u64).unwrap();
    part.write(&bytes).unwrap();
    part.finish().unwrap();
}

/// The first mark of a network that one node began alone, and one behind its fifth batch.
fn told(all: &[Batch]) -> ToldOrder {
    let mark = |index, after, members| Mark {
        index,
        view: View(2),
        after,
        members,
    };
    ToldOrder {
        marks: vec![
            mark(0, Seqno::ZERO, Some("us".to_owned())),
            mark(6, all[4].last(), None),
        ],
        place: all.len() as u64 + 1,
    }
}

fn same_state(one: &Store, other: &Store) {
    let [one, other] = [one, other].map(|store| {
        let made = snapshot::make(&store.reader(), &|| false).unwrap();
        made.evidence()
    });
    assert_eq!(one, other);
}

#[test]
fn a_state_store_that_is_lost_is_made_from_the_snapshot() {
    let (party, dir) = (Party::new(), folder());
    let (mut store, all, name) = ledger(&party, dir.path());
    store.checkpoint().unwrap();
    drop(store);
    let whole = folder();
    copy_folder(dir.path(), whole.path());
    std::fs::remove_dir_all(dir.path().join("state")).unwrap();
    std::fs::remove_dir_all(whole.path().join("state")).unwrap();
    std::fs::remove_dir_all(snapshot::folder(whole.path())).unwrap();
    let from_snapshot = party.open(dir.path(), options()).unwrap();
    let from_ledger = party.open(whole.path(), options()).unwrap();
    assert_intact(&party, &from_snapshot, &all);
    same_state(&from_snapshot, &from_ledger);
    let rows = from_snapshot.reader().values(&PRIVATE_COLLECTIONS);
    assert_eq!(rows.len(), 3);
    assert_eq!(snapshot::list(dir.path()).unwrap(), [name]);
}

#[test]
fn a_snapshot_with_a_changed_byte_is_not_used_and_the_ledger_is_read_instead() {
    let (party, dir) = (Party::new(), folder());
    let (mut store, all, name) = ledger(&party, dir.path());
    store.checkpoint().unwrap();
    drop(store);
    let path = snapshot::folder(dir.path()).join(name.to_string());
    let good = std::fs::read(&path).unwrap();
    for at in [9, 40, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&path, bad).unwrap();
        std::fs::remove_dir_all(dir.path().join("state")).unwrap();
        let store = party.open(dir.path(), options()).unwrap();
        assert_intact(&party, &store, &all);
        let noted = snapshot::make(&store.reader(), &|| false)
            .unwrap()
            .evidence();
        assert_eq!(noted.seqno(), all.last().unwrap().last());
    }
}

#[test]
fn no_private_text_is_in_a_snapshot() {
    let (party, dir) = (Party::new(), folder());
    drop(ledger(&party, dir.path()));
    let text = common::PRIVATE_TEXT.as_bytes();
    for file in files(&snapshot::folder(dir.path())) {
        let bytes = std::fs::read(file).unwrap();
        assert!(!bytes.windows(text.len()).any(|window| window == text));
    }
}

#[test]
fn the_newest_two_snapshots_are_kept() {
    let (party, dir) = (Party::new(), folder());
    let (mut store, mut all, first) = ledger(&party, dir.path());
    let names = [(); 3].map(|()| record(&party, &mut store, &mut all));
    assert!(names[0] > first);
    assert_eq!(snapshot::list(dir.path()).unwrap(), names[1..]);
    let stopped = snapshot::make(&store.reader(), &|| true);
    assert!(stopped.is_err());
    assert_eq!(
        files(&snapshot::folder(dir.path())).len(),
        2,
        "nothing is left over"
    );
}

#[test]
fn a_ledger_that_arrives_is_the_one_it_comes_from() {
    for with_snapshot in [true, false] {
        let (party, dir, to) = (Party::new(), folder(), folder());
        let (store, all, name) = ledger(&party, dir.path());
        let reader = store.reader();
        let chunks = reader.files().unwrap();
        assert!(chunks.len() > 5 && !chunks.last().unwrap().closed);
        assert!(Arrival::is_due(to.path()));
        let arrival = Arrival::begin(to.path()).unwrap().unwrap();
        bring(&arrival, &reader, &chunks);
        arrival.check(&chunks, &party.service, told(&all)).unwrap();
        let snapshot = with_snapshot.then_some(name);
        if with_snapshot {
            bring_snapshot(&arrival, dir.path(), name, None);
            arrival.check_snapshot(&chunks, name, Seqno::FIRST).unwrap();
        }
        arrival.finish(&chunks, snapshot).unwrap();
        assert!(!Arrival::is_due(to.path()));

        let arrived = party.open(to.path(), among()).unwrap();
        assert_intact(&party, &arrived, &all);
        same_state(&arrived, &store);
        let [from, came] = [dir.path(), to.path()].map(|dir| files(&dir.join("ledger")));
        assert_eq!(from.len(), came.len());
        for (from, came) in from.iter().zip(&came) {
            assert_eq!(from.file_name(), came.file_name());
            assert_eq!(std::fs::read(from).unwrap(), std::fs::read(came).unwrap());
        }
        let order = Order::open(to.path(), &arrived.reader(), &[]).unwrap();
        assert_eq!(order.next(), all.len() as u64 + 2);
        assert_eq!(
            order.slot(6).unwrap(),
            Some(Slot::Mark(told(&all).marks[1].clone()))
        );
        assert_eq!(order.slot(7).unwrap(), Some(Slot::Batch(all[5].first)));
    }
}

#[test]
fn a_changed_byte_of_a_ledger_file_is_found_in_that_file() {
    let (party, dir, to) = (Party::new(), folder(), folder());
    let (store, all, _) = ledger(&party, dir.path());
    let reader = store.reader();
    let chunks = reader.files().unwrap();
    for (number, chunk) in chunks.iter().enumerate() {
        let at = 8 + 37 * (number as u64 + 1) % (chunk.bytes - 8);
        let arrival = Arrival::begin(to.path()).unwrap().unwrap();
        bring(&arrival, &reader, &chunks);
        let path = to
            .path()
            .join("arriving/ledger")
            .join(chunk.name().to_string());
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[at as usize] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        match arrival.check(&chunks, &party.service, told(&all)) {
            Err(ArrivalError::Chunk { chunk: found, .. }) => assert_eq!(found, *chunk),
            other => panic!("{other:?}"),
        }
        assert!(!path.exists(), "it can come again");
    }
    let arrival = Arrival::begin(to.path()).unwrap().unwrap();
    bring(&arrival, &reader, &chunks);
    let stranger = Party::new();
    let foreign = arrival.check(&chunks, &stranger.service, told(&all));
    assert!(
        matches!(foreign, Err(ArrivalError::Chunk { .. })),
        "{foreign:?}"
    );
}

#[test]
fn a_ledger_of_two_services_arrives_if_the_second_endorses_all_of_the_first() {
    let (party, dir) = (Party::new(), folder());
    let (mut store, mut all, name) = ledger(&party, dir.path());
    store.checkpoint().unwrap();
    drop(store);
    // The root in the last signature entry.
    let last = all.last().unwrap();
    let signed = last.writes.last().unwrap();
    let signed = SignedRoot::from_writes(signed).unwrap().unwrap();
    let before = &all[all.len() - 2];
    let other = SignedRoot::from_writes(before.writes.last().unwrap());
    let other = other.unwrap().unwrap();
    let since = last.last().next();

    let new = Party::new();
    for (root, fits) in [(signed, true), (other, false)] {
        let (copy, to) = (folder(), folder());
        copy_folder(dir.path(), copy.path());
        let mut store = party.open(copy.path(), options()).unwrap();
        let follows = new.follows(&party, root.id, root.root);
        let batch = new.write(&mut store, View(4), vec![follows]);
        assert_eq!(batch.first, since);
        all.push(batch);
        more(&new, &mut store, &mut all, 20);
        let reader = store.reader();
        let chunks = reader.files().unwrap();
        let arrival = Arrival::begin(to.path()).unwrap().unwrap();
        bring(&arrival, &reader, &chunks);
        let checked = arrival.check(&chunks, &new.service, told(&all));
        if fits {
            assert_eq!(checked.unwrap(), since);
            bring_snapshot(&arrival, dir.path(), name, None);
            let refused = arrival.check_snapshot(&chunks, name, since);
            assert!(
                matches!(refused, Err(ArrivalError::Snapshot { .. })),
                "{refused:?}"
            );
            let earlier = arrival.check(&chunks, &party.service, told(&all));
            assert!(
                matches!(earlier, Err(ArrivalError::Chunk { .. })),
                "{earlier:?}"
            );
            bring(&arrival, &reader, &chunks);
            arrival.check(&chunks, &new.service, told(&all)).unwrap();
            arrival.finish(&chunks, None).unwrap();
            let arrived = new.open(to.path(), among()).unwrap();
            assert_eq!(arrived.reader().committed(), reader.committed());
        } else {
            let refused = checked.unwrap_err();
            assert!(
                matches!(refused, ArrivalError::Chunk { chunk, .. }
                    if chunk.first <= since && since <= chunk.last),
                "{refused}"
            );
        }
        let first = all.iter().position(|batch| batch.first == since).unwrap();
        all.truncate(first);
    }
}

#[test]
fn marks_and_snapshots_that_do_not_fit_are_refused() {
    let (party, dir, to) = (Party::new(), folder(), folder());
    let (store, all, name) = ledger(&party, dir.path());
    let reader = store.reader();
    let chunks = reader.files().unwrap();
    let arrival = Arrival::begin(to.path()).unwrap().unwrap();
    bring(&arrival, &reader, &chunks);
    let mut shifted = told(&all);
    shifted.marks[1].index = 7;
    let mut behind = told(&all);
    behind.marks[1].index = 1_000;
    let mut fewer = told(&all);
    fewer.marks.pop();
    for wrong in [shifted, behind, fewer] {
        let refused = arrival.check(&chunks, &party.service, wrong);
        assert!(
            matches!(refused, Err(ArrivalError::Order(_))),
            "{refused:?}"
        );
    }
    arrival.check(&chunks, &party.service, told(&all)).unwrap();
    let elsewhere = SnapshotName {
        evidence: name.evidence.next(),
        ..name
    };
    for (change, name) in [(Some(5), name), (Some(500), name), (None, elsewhere)] {
        let bytes = std::fs::read_dir(snapshot::folder(dir.path())).unwrap();
        let file = bytes.map(|file| file.unwrap().path()).next().unwrap();
        let mut content = std::fs::read(file).unwrap();
        if let Some(at) = change {
            content[at] ^= 1;
        }
        let mut part = arrival.snapshot(name, content.len() as u64).unwrap();
        part.write(&content).unwrap();
        part.finish().unwrap();
        let refused = arrival.check_snapshot(&chunks, name, Seqno::FIRST);
        assert!(
            matches!(refused, Err(ArrivalError::Snapshot { .. })),
            "{refused:?}"
        );
        assert!(
            !to.path()
                .join("arriving/snapshots")
                .join(name.to_string())
                .exists()
        );
    }
    bring_snapshot(&arrival, dir.path(), name, None);
    arrival.check_snapshot(&chunks, name, Seqno::FIRST).unwrap();
    arrival.abandon().unwrap();
    assert!(files(to.path()).is_empty());
}
