//! The order on which nodes agree, beside the ledger.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod common;

use std::path::Path;

use common::{Party, folder, private_entry, small_chunks};
use store::order::{Mark, Order, Slot, Vote};
use store::{Batch, OpenError, Store, StoreOptions, Tail};
use verify::{Digest, Seqno, View};

fn options() -> StoreOptions {
    StoreOptions {
        tail: Tail::Undecided,
        ..small_chunks(4_000)
    }
}

fn open(party: &Party, dir: &Path) -> (Store, Order) {
    let mut store = party.open(dir, options()).unwrap();
    let undecided = store.take_undecided();
    let order = Order::open(dir, &store.reader(), &undecided).unwrap();
    (store, order)
}

fn append(party: &Party, store: &mut Store, order: &mut Order, view: u64) -> Batch {
    let writes = vec![private_entry(1), private_entry(2)];
    let batch = party.batch(store.frontier(), View(view), writes);
    store.append(&batch).unwrap();
    order.push_batch(batch.first).unwrap();
    batch
}

fn slots(order: &Order) -> Vec<Slot> {
    (0..order.next())
        .map(|index| order.slot(index).unwrap().unwrap())
        .collect()
}

#[test]
fn places_are_found_again_from_the_ledger_and_the_marks() {
    let (party, dir) = (Party::new(), folder());
    let (store, batches) = party.ledger(dir.path(), options(), 5);
    drop(store);
    assert!(!Order::exists(dir.path()));
    Order::begin(dir.path(), "us".to_owned()).unwrap();
    let (mut store, mut order) = open(&party, dir.path());
    assert_eq!(order.next(), 7, "the first mark and six batches");
    let after = batches.last().unwrap().last();
    order.push_mark(View(3), after, None).unwrap();
    let one = append(&party, &mut store, &mut order, 3);
    store.apply(&one).unwrap();
    let two = append(&party, &mut store, &mut order, 3);
    let members = Some("us and them".to_owned());
    order
        .push_mark(View(3), two.last(), members.clone())
        .unwrap();
    let three = append(&party, &mut store, &mut order, 3);
    let before = slots(&order);
    assert_eq!(before[8], Slot::Batch(one.first));
    let mark = Mark {
        index: 10,
        view: View(3),
        after: two.last(),
        members,
    };
    assert_eq!(before[10], Slot::Mark(mark));
    assert_eq!(order.place_of(three.last()).unwrap(), Some(11));
    assert_eq!(order.place_of(two.last()).unwrap(), Some(9));
    assert_eq!(order.place_of(batches[0].first).unwrap(), Some(1));
    drop((store, order));
    // What was never synced is made again.
    std::fs::remove_file(dir.path().join("consensus/positions")).unwrap();
    let (mut store, mut order) = open(&party, dir.path());
    assert_eq!(slots(&order), before);

    store.truncate(one.last()).unwrap();
    order.truncate(9).unwrap();
    append(&party, &mut store, &mut order, 4);
    let before = slots(&order);
    drop((store, order));
    let (store, order) = open(&party, dir.path());
    assert_eq!(slots(&order), before);
    assert_eq!(order.marks().count(), 2);
    drop((store, order));
    // Nor does a milepost need what was lost before it.
    let path = dir.path().join("consensus/marks");
    let mut marks = std::fs::read_to_string(&path).unwrap();
    let milepost = format!(r#"{{"milepost":{{"index":8,"first":{}}}}}"#, one.first);
    let sum = hex::encode(&Digest::of(milepost.as_bytes()).0[..8]);
    marks.push_str(&format!("{sum} {milepost}\n"));
    std::fs::write(&path, marks).unwrap();
    std::fs::remove_file(dir.path().join("consensus/positions")).unwrap();
    let (_, order) = open(&party, dir.path());
    assert_eq!(slots(&order), before);
}

#[test]
fn a_crash_between_cutting_the_ledger_and_the_order_undoes_both() {
    let (party, dir) = (Party::new(), folder());
    let (store, batches) = party.ledger(dir.path(), options(), 2);
    drop(store);
    Order::begin(dir.path(), "us".to_owned()).unwrap();
    let (mut store, mut order) = open(&party, dir.path());
    let one = append(&party, &mut store, &mut order, 3);
    order.push_mark(View(3), one.last(), None).unwrap();
    store.truncate(batches.last().unwrap().last()).unwrap();
    drop((store, order));
    let (_, order) = open(&party, dir.path());
    assert_eq!(order.next(), 4);
    assert_eq!(order.marks().count(), 1);
}

#[test]
fn the_order_of_another_ledger_is_refused() {
    let (party, dir, other) = (Party::new(), folder(), folder());
    drop(party.ledger(dir.path(), options(), 4));
    drop(party.ledger(other.path(), options(), 1));
    Order::begin(dir.path(), "us".to_owned()).unwrap();
    let (mut store, mut order) = open(&party, dir.path());
    let one = append(&party, &mut store, &mut order, 3);
    store.apply(&one).unwrap();
    order
        .push_mark(View(3), Seqno(one.last().0 - 1), None)
        .unwrap();
    let reader = store.reader();
    let again = Order::open(dir.path(), &reader, &[]);
    assert!(matches!(again, Err(OpenError::DamagedOrder { .. })));
}

#[test]
fn a_vote_is_kept_as_it_was_given() {
    let (party, dir) = (Party::new(), folder());
    drop(party.ledger(dir.path(), options(), 1));
    Order::begin(dir.path(), "us".to_owned()).unwrap();
    let (_, order) = open(&party, dir.path());
    assert_eq!(order.vote().unwrap(), None);
    for won in [false, true] {
        let vote = Vote {
            view: View(7),
            node: "ab".repeat(32),
            won,
        };
        order.keep_vote(&vote).unwrap();
        assert_eq!(order.vote().unwrap(), Some(vote));
    }
}
