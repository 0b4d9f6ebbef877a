//! Somebody changes a file: it is refused, or noticed, and never served.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod common;

use std::path::Path;

use common::{
    PRIVATE_TEXT, Party, assert_intact, copy_folder, files, folder, private_entry, small_chunks,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use store::{AuditError, AuditOptions, Batch, Store, audit_with};
use verify::{Digest, Frontier, Seqno, View};

fn audited(dir: &Path, party: &Party) -> Result<store::AuditReport, AuditError> {
    let options = AuditOptions {
        service: Some(party.service.clone()),
        index: Some(dir.join("index")),
        threads: std::num::NonZeroUsize::new(1),
    };
    audit_with(&dir.join("ledger"), &options, |_| {})
}

/// Whether everything that the readers hand out is what was written; refusing is fine.
fn serves_only_truth(store: &Store, batches: &[Batch]) -> bool {
    let reader = store.reader();
    batches.iter().all(|batch| {
        let mut rest = &batch.bytes[..];
        (batch.first.0..)
            .map(Seqno)
            .zip(&batch.entries)
            .all(|(seqno, entry)| {
                let (bytes, after) = rest.split_at(entry.length as usize);
                rest = after;
                let entry_is_true = match reader.entry(seqno) {
                    Ok(found) => found.as_deref() == Some(bytes),
                    Err(_) => true,
                };
                let size = batch.last().0;
                let proof_is_true = seqno.0 >= size
                    || match (reader.leaf(seqno), reader.prove(seqno, size)) {
                        (Ok(leaf), Ok(proof)) => {
                            let signed = reader.signed_root(batch.last());
                            signed.is_err()
                                || proof.root(leaf.unwrap()) == signed.unwrap().unwrap().root
                        }
                        _ => true,
                    };
                let signature_is_true = match reader.signature_covering(seqno) {
                    Ok(found) => found.is_some_and(|found| found >= seqno),
                    Err(_) => true,
                };
                entry_is_true && proof_is_true && signature_is_true
            })
    })
}

#[test]
fn a_sound_ledger_passes_the_audit() {
    let party = Party::new();
    let dir = folder();
    let (mut store, mut batches) = party.ledger(dir.path(), small_chunks(6_000), 10);
    batches.push(party.write(&mut store, View(5), vec![private_entry(1)]));
    let mut seen = Vec::new();
    let report = store::audit(&dir.path().join("ledger"), |progress| seen.push(progress)).unwrap();
    assert_eq!(report.last, store.reader().committed());
    assert_eq!(report.entries, store.reader().committed().seqno.0);
    assert_eq!(report.signatures, batches.len() as u64);
    assert_eq!(report.bytes, store.reader().ledger_bytes());
    assert_eq!(report.service, party.service);
    assert_eq!(report.service_status, "Open");
    assert_eq!(report.views, store.reader().view_history());
    assert_eq!(report.unfinished_bytes, 0);
    assert_eq!(seen.len() as u64, report.files);
    assert!(report.files > 2);
    assert_eq!(seen.last().unwrap().bytes, report.bytes);
    assert!(audited(dir.path(), &party).unwrap().index_compared);
}

#[test]
fn the_ledger_of_another_service_is_not_taken_for_the_expected_one() {
    let (party, other) = (Party::new(), Party::new());
    let dir = folder();
    drop(party.ledger(dir.path(), small_chunks(6_000), 2));
    assert!(matches!(
        audited(dir.path(), &other),
        Err(AuditError::OtherService { .. })
    ));
}

#[test]
fn a_ledger_rewritten_by_a_stranger_with_the_same_shape_is_refused() {
    let (party, stranger) = (Party::new(), Party::new());
    let dir = folder();
    let mut store = party.open(dir.path(), small_chunks(1 << 20)).unwrap();
    party.write(&mut store, View(2), party.genesis());
    // The stranger knows the ledger secret and writes a batch under its own node key.
    let batch = stranger.batch(store.frontier(), View(2), vec![private_entry(1)]);
    store.append(&batch).unwrap();
    drop(store);
    let audit = store::audit(&dir.path().join("ledger"), |_| {});
    let Err(AuditError::Broken { truth_ends, .. }) = audit else {
        panic!("{audit:?}")
    };
    assert_eq!(truth_ends, Seqno(3));
}

#[test]
fn an_empty_folder_is_not_a_sound_ledger() {
    let dir = folder();
    assert!(matches!(
        store::audit(dir.path(), |_| {}),
        Err(AuditError::Empty { .. })
    ));
}

#[test]
fn a_write_under_way_is_reported_but_a_lost_batch_is_not_taken_for_one() {
    let party = Party::new();
    let dir = folder();
    let (store, batches) = party.ledger(dir.path(), small_chunks(1 << 20), 3);
    drop(store);
    let path = dir.path().join("ledger/ledger_1");
    let whole = std::fs::read(&path).unwrap();
    let last = batches.last().unwrap();
    let begins = whole.len() - last.bytes.len();
    std::fs::write(&path, &whole[..begins + 300]).unwrap();
    let report = store::audit(&dir.path().join("ledger"), |_| {}).unwrap();
    assert_eq!(report.unfinished_bytes, 300);
    assert_eq!(report.last.seqno.next(), last.first);
    // The index knows better.
    assert!(matches!(
        audited(dir.path(), &party),
        Err(AuditError::Broken { .. })
    ));
}

#[test]
fn any_changed_byte_is_refused_at_the_start_or_noticed_by_the_audit_and_never_served() {
    let party = Party::new();
    let dir = folder();
    let (mut store, batches) = party.ledger(dir.path(), small_chunks(9_000), 5);
    store.checkpoint().unwrap();
    drop(store);
    let targets: Vec<_> = files(&dir.path().join("ledger"))
        .into_iter()
        .chain([
            dir.path().join("index/hashes"),
            dir.path().join("index/seqnos"),
        ])
        .map(|path| (path.clone(), std::fs::read(&path).unwrap()))
        .collect();
    let total: usize = targets.iter().map(|(_, bytes)| bytes.len()).sum();
    let mut config = Config::with_cases(2_000);
    config.rng_seed = RngSeed::Fixed(1);
    config.failure_persistence = None;
    let work = folder();
    copy_folder(dir.path(), work.path());
    let mut runner = TestRunner::new(config);
    let (mut refused, mut noticed) = (0, 0);
    let strategy = (0..total, 0..8u32);
    for _ in 0..2_000 {
        let (mut at, bit) = strategy.new_tree(&mut runner).unwrap().current();
        let (path, bytes) = targets
            .iter()
            .find(|(_, bytes)| {
                let here = at < bytes.len();
                at = if here { at } else { at - bytes.len() };
                here
            })
            .unwrap();
        let mut changed = bytes.clone();
        changed[at] ^= 1 << bit;
        let path = work.path().join(path.strip_prefix(dir.path()).unwrap());
        std::fs::write(&path, &changed).unwrap();
        let what = format!("byte {at}, bit {bit} of {}", path.display());
        let audit = audited(work.path(), &party);
        assert!(audit.is_err(), "{what} is not noticed by the audit");
        noticed += 1;
        // Opening costs more, so only some are opened.
        if noticed % 6 == 0 {
            let copy = folder();
            copy_folder(work.path(), copy.path());
            match party.open(copy.path(), small_chunks(9_000)) {
                Ok(store) => assert!(serves_only_truth(&store, &batches), "{what} is served"),
                Err(_) => refused += 1,
            }
        }
        std::fs::write(&path, bytes).unwrap();
    }
    assert!(refused > 10, "{refused}");
    assert_intact(
        &party,
        &party.open(work.path(), small_chunks(9_000)).unwrap(),
        &batches,
    );
}

#[test]
fn the_audit_blames_the_file_that_was_changed() {
    let party = Party::new();
    let dir = folder();
    let (mut store, batches) = party.ledger(dir.path(), small_chunks(1 << 20), 5);
    store.checkpoint().unwrap();
    drop(store);
    // No root covers the last signature entry, so who is to blame for it cannot be said.
    let last = batches.last().unwrap().bytes.len();
    for (name, step, spared) in [
        ("ledger/ledger_1", 19, last),
        ("index/hashes", 61, 0),
        ("index/seqnos", 11, 0),
    ] {
        let path = dir.path().join(name);
        let sound = std::fs::read(&path).unwrap();
        for at in (0..sound.len() - spared).step_by(step) {
            let mut changed = sound.clone();
            changed[at] ^= 1;
            std::fs::write(&path, &changed).unwrap();
            match audited(dir.path(), &party) {
                Err(AuditError::Broken { file, .. }) => assert_eq!(file, path, "byte {at}"),
                other => panic!("byte {at} of {name}: {other:?}"),
            }
        }
        std::fs::write(&path, &sound).unwrap();
    }
}

#[test]
fn a_changed_state_store_is_refused_or_rebuilt_but_not_believed() {
    let party = Party::new();
    let dir = folder();
    let (mut store, batches) = party.ledger(dir.path(), small_chunks(9_000), 20);
    store.checkpoint().unwrap();
    let expected = observed(&store);
    drop(store);
    let targets: Vec<_> = files(&dir.path().join("state"))
        .into_iter()
        .map(|path| (path.clone(), std::fs::read(&path).unwrap()))
        .filter(|(_, bytes)| !bytes.is_empty())
        .collect();
    let mut config = Config::with_cases(1);
    config.rng_seed = RngSeed::Fixed(2);
    let mut runner = TestRunner::new(config);
    let strategy = (0..targets.len(), any::<prop::sample::Index>(), 0..8u32);
    let (mut refused, mut rebuilt) = (0, 0);
    for _ in 0..100 {
        let (target, at, bit) = strategy.new_tree(&mut runner).unwrap().current();
        let (path, bytes) = &targets[target];
        let mut changed = bytes.clone();
        // Files are mostly blank behind what was written.
        let used = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(1, |last| last + 1);
        let at = at.index(used);
        changed[at] ^= 1 << bit;
        let copy = folder();
        copy_folder(dir.path(), copy.path());
        std::fs::write(
            copy.path().join(path.strip_prefix(dir.path()).unwrap()),
            changed,
        )
        .unwrap();
        let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let store = party.open(copy.path(), small_chunks(9_000)).map_err(drop)?;
            assert_intact(&party, &store, &batches);
            Ok::<_, ()>(observed(&store))
        }));
        match opened {
            Ok(Ok(found)) => {
                assert_eq!(
                    found,
                    expected,
                    "byte {at}, bit {bit} of {}",
                    path.display()
                );
                rebuilt += 1;
            }
            Ok(Err(())) | Err(_) => refused += 1,
        }
    }
    assert!(rebuilt > 0, "{rebuilt} and {refused}");
}

#[test]
fn every_leaf_is_proven_against_every_signed_root() {
    let party = Party::new();
    let dir = folder();
    let (store, batches) = party.ledger(dir.path(), small_chunks(6_000), 12);
    let reader = store.reader();
    let leaves: Vec<Digest> = batches
        .iter()
        .flat_map(|batch| &batch.entries)
        .map(|entry| entry.leaf)
        .collect();
    for batch in &batches {
        let size = batch.last().0;
        let root = naive_root(&leaves[..size as usize - 1]);
        assert_eq!(
            reader.signed_root(batch.last()).unwrap().unwrap().root,
            root
        );
        for seqno in 1..size {
            let proof = reader.prove(Seqno(seqno), size).unwrap();
            assert_eq!(
                proof.root(leaves[seqno as usize - 1]),
                root,
                "{seqno} of {size}"
            );
            assert_eq!(proof.leaf_index(size), Some(seqno));
        }
    }
    let last = batches.last().unwrap().last();
    assert!(reader.prove(last, last.0).is_err());
    assert!(reader.prove(Seqno(1), last.0 + 2).is_err());
}

/// The tree as its definition reads: level by level, a lone right-most node promoted.
fn naive_root(leaves: &[Digest]) -> Digest {
    let mut level = vec![Digest::ZERO];
    level.extend(leaves);
    while level.len() > 1 {
        let pairs = level.chunks(2);
        level = pairs
            .map(|pair| {
                if let [left, right] = pair {
                    Digest::node(left, right)
                } else {
                    pair[0]
                }
            })
            .collect();
    }
    level[0]
}

#[test]
fn no_private_plaintext_is_in_any_file() {
    let party = Party::new();
    let dir = folder();
    let (mut store, _) = party.ledger(dir.path(), small_chunks(20_000), 60);
    store.checkpoint().unwrap();
    drop(store);
    // A second start flushes and compacts what the first one left.
    drop(party.open(dir.path(), small_chunks(20_000)).unwrap());
    let needle = PRIVATE_TEXT.as_bytes();
    for path in files(dir.path()) {
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(needle.len()).any(|window| window == needle);
        assert!(!found, "{}", path.display());
    }
}

proptest! {
    #![proptest_config(Config { cases: 24, failure_persistence: None, ..Config::default() })]
    #[test]
    fn a_replay_gives_what_the_first_run_gave(
        sizes in prop::collection::vec(1usize..12, 1..8),
        chunk_bytes in 1_000u64..30_000,
        numbers in prop::collection::vec(any::<u16>(), 100),
    ) {
        let party = Party::new();
        let dir = folder();
        let mut store = party.open(dir.path(), small_chunks(chunk_bytes)).unwrap();
        let mut batches = vec![party.write(&mut store, View(2), party.genesis())];
        let mut numbers = numbers.into_iter().map(u64::from);
        for (view, size) in (2..).zip(sizes) {
            let writes = numbers.by_ref().take(size).map(private_entry).collect();
            batches.push(party.write(&mut store, View(2 + view / 3), writes));
        }
        let first_run = observed(&store);
        drop(store);
        for lost in [&[][..], &["state"], &["index"], &["index", "state"]] {
            for name in lost {
                std::fs::remove_dir_all(dir.path().join(name)).unwrap();
            }
            let store = party.open(dir.path(), small_chunks(chunk_bytes)).unwrap();
            assert_intact(&party, &store, &batches);
            prop_assert_eq!(observed(&store), first_run.clone());
        }
    }
}

type Observed = (
    Vec<(Vec<u8>, Vec<u8>)>,
    Vec<Vec<Seqno>>,
    Vec<(View, Seqno)>,
    Frontier,
    Vec<Option<Seqno>>,
);

fn observed(store: &Store) -> Observed {
    use ledger::State;
    use ledger::tables::{PRIVATE_COLLECTIONS, PRIVATE_ENTRIES};
    let reader = store.reader();
    let key = |number: u64| format!("collection {PRIVATE_TEXT} {number}").into_bytes();
    let all = Seqno(1)..=Seqno(u64::MAX);
    let streams = |number| {
        reader
            .stream(&PRIVATE_ENTRIES, &key(number), all.clone(), 999)
            .unwrap()
    };
    let latest = |number| {
        reader
            .latest(&PRIVATE_ENTRIES, &key(number), Seqno(u64::MAX))
            .unwrap()
    };
    (
        reader.values(&PRIVATE_COLLECTIONS),
        (0..3).map(streams).collect(),
        reader.view_history(),
        store.frontier().clone(),
        (0..3).map(latest).collect(),
    )
}
