//! Several replicas on one database, and what those leave who are gone.

use std::time::Duration;

use super::*;
use crate::database::Kind;
use crate::limits::ORPHAN_AGE;

/// Another replica of the same service.
pub(super) async fn another(world: &World) -> Trail {
    let log = Arc::clone(&world.log) as Arc<dyn EventLog>;
    Trail::new(open(&world.dir).await, log)
}

/// As if the database had never heard that these are committed, and the ledger had forgotten their names.
pub(super) async fn unnoted(world: &World, statement: &'static str) {
    world.log.keys.lock().unwrap().clear();
    execute(&world.trail, &world.database, statement).await;
}

/// As if nobody had heard of any replica for long.
pub(super) async fn unheard_of(world: &World) {
    let statement = "UPDATE senders SET until = 0";
    execute(&world.trail, &world.database, statement).await;
}

pub(super) async fn is_valid(trail: &Trail, record: &str) {
    let consulted = async {
        while trail.consult(question(record)).await.unwrap().verdict == Verdict::Pending {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        trail.consult(question(record)).await.unwrap().verdict
    };
    let verdict = tokio::time::timeout(Duration::from_secs(60), consulted).await;
    assert_eq!(verdict.unwrap(), Verdict::Valid, "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_that_race_under_one_name_record_once() {
    let world = world_of(false).await;
    let replicas = [world.trail.clone(), another(&world).await];
    for round in 0..20 {
        let mut same = act(Operation::Create, None, Given::Data(json!(round)));
        same.once = Some(format!("request-{round}"));
        let races = (0..8).map(|number| {
            let (trail, same) = (replicas[number % 2].clone(), same.clone());
            tokio::spawn(async move { trail.store(same).await })
        });
        let mut stored = Vec::new();
        for race in races.collect::<Vec<_>>() {
            match race.await.unwrap() {
                Ok(one) => stored.push(one),
                // The other replica has it on its way: the same name asks for it.
                Err(problem) => assert!(problem.is_pending(), "{problem}"),
            }
        }
        let known = replicas[0].store(same.clone()).await.unwrap();
        assert!(stored.iter().all(|one| *one == known));
        assert_eq!(replicas[1].store(same).await.unwrap(), known);
        assert_eq!(world.log.count(), round + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_that_race_for_a_record_make_one_version_after_the_other() {
    let world = world_of(false).await;
    let replicas = [world.trail.clone(), another(&world).await];
    let races = (0..8).map(|number| {
        let (trail, new) = (replicas[number % 2].clone(), create("r1", json!(number)));
        tokio::spawn(async move { trail.store(new).await })
    });
    let mut made = 0;
    for race in races.collect::<Vec<_>>() {
        match race.await.unwrap() {
            Ok(_) => made += 1,
            Err(problem) => assert!(
                ["Concurrent", "Exists"].contains(&&*problem.kind),
                "{problem}"
            ),
        }
    }
    assert_eq!(made, 1);
    let updates = (0..20).map(|number| {
        let trail = replicas[number % 2].clone();
        let update = act(Operation::Update, Some("r1"), Given::Data(json!(number)));
        tokio::spawn(async move {
            loop {
                match trail.store(update.clone()).await {
                    Ok(stored) => return stored.event.version,
                    Err(problem) => assert_eq!(problem.kind, "Concurrent"),
                }
            }
        })
    });
    let mut versions = Vec::new();
    for update in updates.collect::<Vec<_>>() {
        versions.push(update.await.unwrap());
    }
    versions.sort_unstable();
    assert_eq!(versions, (2..=21).collect::<Vec<_>>());
    let entries = world.log.entries.lock().unwrap().clone();
    let order = entries.iter();
    let order = order.map(|(_, contents)| Event::from_canonical(contents).unwrap().version);
    assert_eq!(order.collect::<Vec<_>>(), (1..=21).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_a_replica_left_that_is_gone_another_takes_up() {
    let world = world_of(false).await;
    world.trail.resume().await.unwrap();
    for record in ["r1", "r2"] {
        world.trail.store(create(record, json!(1))).await.unwrap();
    }
    // The ledger has the first, and not the second.
    world.log.entries.lock().unwrap().pop();
    unnoted(&world, "UPDATE events SET tx = NULL, receipt = NULL").await;
    let other = another(&world).await;
    if world.database.kind() == Kind::Postgres {
        assert_eq!(other.resume().await.unwrap(), 0, "the first is alive");
        unheard_of(&world).await;
    }
    assert_eq!(other.resume().await.unwrap(), 2);
    assert_eq!(other.resume().await.unwrap(), 0, "it sends them");
    for record in ["r1", "r2"] {
        is_valid(&other, record).await;
    }
    assert_eq!(world.log.count(), 2);
}

#[tokio::test]
async fn two_replicas_that_send_the_same_record_it_once() {
    let world = world_of(false).await;
    world.trail.store(create("r1", json!(1))).await.unwrap();
    unnoted(&world, "UPDATE events SET tx = NULL, receipt = NULL").await;
    world.log.entries.lock().unwrap().clear();
    let mut taken = 0;
    // Each takes the other for dead, and the first answers are lost.
    world.log.lose.store(2, Ordering::SeqCst);
    for replica in [another(&world).await, another(&world).await] {
        unheard_of(&world).await;
        taken += replica.resume().await.unwrap();
    }
    assert!(taken > 0);
    is_valid(&world.trail, "r1").await;
    assert_eq!(world.log.count(), 1);
}

#[tokio::test]
async fn what_nobody_sends_any_more_is_sent_though_its_replica_is_alive() {
    let world = world_of(false).await;
    world.trail.resume().await.unwrap();
    world.trail.store(create("r1", json!(1))).await.unwrap();
    world.log.entries.lock().unwrap().clear();
    unnoted(&world, "UPDATE events SET tx = NULL, receipt = NULL").await;
    let young = world.trail.take_up(ORPHAN_AGE).await.unwrap();
    assert_eq!(young, 0, "somebody may be about to send it");
    execute(
        &world.trail,
        &world.database,
        "UPDATE events SET at = at - 60000",
    )
    .await;
    assert_eq!(world.trail.take_up(ORPHAN_AGE).await.unwrap(), 1);
    is_valid(&world.trail, "r1").await;
    assert_eq!(world.log.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_while_their_event_waits_and_asks_again_has_it_once() {
    let world = world_of(false).await;
    // Nothing is written as long as this is under way.
    let mut busy = world.database.begin().await.unwrap();
    if world.database.kind() == Kind::Postgres {
        let lock = sqlx::query("LOCK TABLE events IN SHARE ROW EXCLUSIVE MODE");
        lock.execute(&mut *busy).await.unwrap();
    }
    let while_busy = Duration::from_millis(200);
    let store = |act: Act| {
        let trail = world.trail.clone();
        tokio::spawn(async move { trail.store(act).await })
    };
    let other = store(create("r0", json!(0)));
    tokio::time::sleep(while_busy).await;
    let mut same = create("r1", json!(1));
    same.once = Some("request".to_owned());
    let left = tokio::time::timeout(while_busy, world.trail.store(same.clone()));
    assert!(left.await.is_err());
    let again = store(same);
    tokio::time::sleep(while_busy).await;
    busy.rollback().await.unwrap();
    other.await.unwrap().unwrap();
    // That it is on its way, or that somebody was faster: it was their own.
    let _ = again.await.unwrap();
    let long_ago = "UPDATE events SET at = at - 60000";
    execute(&world.trail, &world.database, long_ago).await;
    world.trail.take_up(ORPHAN_AGE).await.unwrap();
    is_valid(&world.trail, "r1").await;
    let record = RecordId::parse("r1").unwrap();
    let kept = world.trail.store.version(&record, 1).await.unwrap();
    let entries = world.log.entries.lock().unwrap();
    let recorded: Vec<_> = entries.iter().map(|(_, contents)| contents).collect();
    assert_eq!(recorded.len(), 2, "{recorded:?}");
    assert!(recorded.contains(&&kept.unwrap().event), "{recorded:?}");
}

#[tokio::test]
async fn an_event_is_found_in_the_ledger_before_later_ones_of_the_same_log() {
    let world = world_of(false).await;
    for record in ["r1", "r2", "r3"] {
        world.trail.store(create(record, json!(1))).await.unwrap();
    }
    let forget = "UPDATE events SET tx = NULL, receipt = NULL WHERE record = 'r2'";
    unnoted(&world, forget).await;
    let other = another(&world).await;
    unheard_of(&world).await;
    assert_eq!(other.resume().await.unwrap(), 1);
    is_valid(&other, "r2").await;
    assert_eq!(world.log.count(), 3);
}

#[tokio::test]
async fn the_database_learns_of_an_event_when_it_answers_again() {
    let world = world_of(false).await;
    // Nothing can be noted as long as this stands in the way.
    let (stop, go) = match world.database.kind() {
        Kind::Sqlite => (
            "CREATE TRIGGER away BEFORE UPDATE OF tx ON events BEGIN SELECT RAISE(FAIL, 'away'); END",
            "DROP TRIGGER away",
        ),
        Kind::Postgres => (
            "ALTER TABLE events ADD CONSTRAINT away CHECK (tx IS NULL) NOT VALID",
            "ALTER TABLE events DROP CONSTRAINT away",
        ),
    };
    execute(&world.trail, &world.database, stop).await;
    let trail = world.trail.clone();
    let storing = tokio::spawn(async move { trail.store(create("r1", json!(1))).await });
    while world.log.count() == 0 && !storing.is_finished() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!storing.is_finished());
    execute(&world.trail, &world.database, go).await;
    assert_eq!(storing.await.unwrap().unwrap().event.version, 1);
    is_valid(&world.trail, "r1").await;
    assert_eq!(world.log.count(), 1);
}
