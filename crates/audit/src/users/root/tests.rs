use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::super::testing::{Answer, House, caller, credentials, kind_of, place};
use super::super::{Kind, Secret, Status};

#[tokio::test]
async fn the_root_is_the_first_event_of_all() {
    let house = House::open().await;
    let slot = house.users.reserve_root("na").await.unwrap();
    assert_eq!(slot.na, "na");
    assert!(house.trail.acts().is_empty());
    let made = house.create_root(&slot, "root");
    let root = made.await.unwrap();
    assert_eq!((root.kind, root.status), (Kind::Root, Status::Active));
    assert_eq!(root.address.unwrap().transaction_address, "2.1");
    let acts = house.trail.acts();
    assert_eq!(acts.len(), 1);
    assert_eq!(acts[0].did.as_str(), "createRoot");
    assert_eq!(acts[0].who.as_str(), root.id.as_str());
    assert_eq!(acts[0].about[0].id.as_str(), format!("user:{}", root.id));
    assert_eq!(kind_of(house.users.reserve_root("na").await), "RootExists");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_sixty_four_who_race_on_two_replicas_one_becomes_root() {
    let house = House::open().await;
    let replicas = [Arc::clone(&house.users), house.replica().await];
    let mut racing = JoinSet::new();
    for runner in 0..64 {
        let users = Arc::clone(&replicas[runner % 2]);
        racing.spawn(async move {
            let slot = users.reserve_root(&format!("n{runner}")).await?;
            let credentials = credentials(&format!("r{runner}"));
            users
                .create_root(&slot.session, &slot.nb, credentials, &place())
                .await
        });
    }
    let mut outcomes = BTreeMap::new();
    while let Some(outcome) = racing.join_next().await {
        let word = match outcome.unwrap() {
            Ok(_) => "root".to_owned(),
            Err(problem) => problem.kind,
        };
        *outcomes.entry(word).or_insert(0) += 1;
    }
    assert_eq!(outcomes.remove("root"), Some(1), "{outcomes:?}");
    outcomes.remove("RootReserved");
    outcomes.remove("RootExists");
    assert!(outcomes.is_empty(), "{outcomes:?}");
    assert_eq!(house.trail.did(), ["createRoot"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_slot_that_is_used_by_many_at_once_makes_one_root() {
    let house = House::open().await;
    let slot = house.users.reserve_root("na").await.unwrap();
    let mut racing = JoinSet::new();
    for runner in 0..16 {
        let (users, slot) = (Arc::clone(&house.users), slot.clone());
        racing.spawn(async move {
            let credentials = credentials(&format!("r{runner}"));
            users
                .create_root(&slot.session, &slot.nb, credentials, &place())
                .await
        });
    }
    let outcomes = racing.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(house.trail.did(), ["createRoot"]);
}

#[tokio::test]
async fn who_skips_a_step_or_has_another_nonce_is_refused() {
    let house = House::open().await;
    let create = |session: String, nb: Secret| {
        let users = Arc::clone(&house.users);
        async move {
            users
                .create_root(&session, &nb, credentials("root"), &place())
                .await
        }
    };
    let skipped = create("a".repeat(32), Secret::from("b")).await;
    assert_eq!(kind_of(skipped), "RootNotReserved");
    let slot = house.users.reserve_root("na").await.unwrap();
    let other = create("a".repeat(32), slot.nb.clone()).await;
    assert_eq!(kind_of(other), "RootNotReserved");
    let guessed = create(slot.session.clone(), Secret::from("guess")).await;
    assert_eq!(kind_of(guessed), "RootWrongNonce");
    assert!(house.trail.acts().is_empty());
    create(slot.session.clone(), slot.nb.clone()).await.unwrap();
    assert_eq!(kind_of(create(slot.session, slot.nb).await), "RootExists");
    for nonce in ["", "a b", "é", &"x".repeat(129)] {
        assert_eq!(
            kind_of(house.users.reserve_root(nonce).await),
            "InvalidInput"
        );
    }
}

#[tokio::test]
async fn who_comes_late_is_refused_and_the_slot_goes_to_the_next() {
    let house = House::open().await;
    let late = house.users.reserve_root("a").await.unwrap();
    house.clock.forward(Duration::from_millis(9_999));
    assert_eq!(kind_of(house.users.reserve_root("b").await), "RootReserved");
    house.clock.forward(Duration::from_millis(1));
    let made = house.create_root(&late, "late");
    assert_eq!(kind_of(made.await), "RootTooLate");
    let slot = house.users.reserve_root("b").await.unwrap();
    let made = house.create_root(&late, "late");
    assert_eq!(kind_of(made.await), "RootNotReserved");
    let made = house.create_root(&slot, "root");
    made.await.unwrap();
}

#[tokio::test]
async fn a_root_that_cannot_be_recorded_is_none_and_another_may_try() {
    let house = House::open().await;
    house.trail.will(Answer::Refused);
    let slot = house.users.reserve_root("a").await.unwrap();
    let made = house.create_root(&slot, "root");
    assert_eq!(kind_of(made.await), "LedgerUnavailable");
    house.trail.will(Answer::Stored);
    let root = house.root().await;
    assert_eq!(
        house
            .users
            .read_user(&root, &root.user)
            .await
            .unwrap()
            .version,
        1
    );
}

#[tokio::test]
async fn a_root_on_its_way_keeps_its_place() {
    let house = House::open().await;
    house.trail.will(Answer::Pending);
    let slot = house.users.reserve_root("a").await.unwrap();
    let made = house.create_root(&slot, "root");
    assert_eq!(kind_of(made.await), "Pending");
    house.clock.forward(Duration::from_secs(31));
    assert_eq!(kind_of(house.users.reserve_root("b").await), "RootExists");
    house.trail.will(Answer::Stored);
    assert_eq!(house.users.finish_pending().await.unwrap(), 1);
    let root = house.login("root").await.user;
    assert_eq!(caller(&root).kind, Kind::Root);
}
