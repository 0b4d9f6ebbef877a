//! What a log, or a database, does not do; and what of it is final.

use std::time::Duration;

use super::replicas::{another, is_valid, unheard_of, unnoted};
use super::*;
use crate::database::Kind;

#[tokio::test]
async fn what_was_acknowledged_stays_though_the_log_answers_no_questions_now() {
    let world = world_of(false).await;
    world.trail.store(create("r1", json!(1))).await.unwrap();
    unnoted(&world, "UPDATE events SET tx = NULL, receipt = NULL").await;
    unheard_of(&world).await;
    world.log.says_nothing.store(3, Ordering::SeqCst);
    let other = another(&world).await;
    assert_eq!(other.resume().await.unwrap(), 1);
    is_valid(&other, "r1").await;
    assert_eq!(world.log.count(), 1);
}

#[tokio::test]
async fn what_was_recorded_stays_though_its_proof_does_not_hold_now() {
    for journal in [true, false] {
        let world = world_of(journal).await;
        world.log.disproves.store(1, Ordering::SeqCst);
        let stored = world.trail.store(create("r1", json!(1))).await.unwrap();
        assert_eq!((stored.event.version, world.log.count()), (1, 1));
        is_valid(&world.trail, "r1").await;
    }
}

#[tokio::test]
async fn a_refusal_is_not_final_of_what_may_have_been_sent_before() {
    for journal in [true, false] {
        let world = world_of(journal).await;
        world.log.drop.store(1, Ordering::SeqCst);
        let trail = world.trail.clone();
        let storing = tokio::spawn(async move { trail.store(create("r1", json!(1))).await });
        while world.log.drop.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
        world.log.refuses.store(1, Ordering::SeqCst);
        assert_eq!(storing.await.unwrap().unwrap().event.version, 1);
        assert_eq!(world.log.refuses.load(Ordering::SeqCst), 0);
        is_valid(&world.trail, "r1").await;
        assert_eq!(world.log.count(), 1);
    }
}

#[tokio::test]
async fn what_cannot_be_recorded_now_holds_up_no_other_log() {
    let world = world_of(false).await;
    for (record, who) in [("r1", "ana"), ("r2", "ben"), ("r3", "ana")] {
        let act = Act {
            who: text(who),
            ..create(record, json!(1))
        };
        world.trail.store(act).await.unwrap();
    }
    world.log.entries.lock().unwrap().clear();
    unnoted(&world, "UPDATE events SET tx = NULL, receipt = NULL").await;
    unheard_of(&world).await;
    *world.log.stuck.lock().unwrap() = Some("of:ana".to_owned());
    let other = another(&world).await;
    assert_eq!(other.resume().await.unwrap(), 3);
    is_valid(&other, "r2").await;
    assert_eq!(world.log.count(), 1);
    *world.log.stuck.lock().unwrap() = None;
    for record in ["r1", "r3"] {
        is_valid(&other, record).await;
    }
}

#[tokio::test]
async fn an_answer_to_a_commit_that_is_lost_is_no_refusal() {
    let world = world_of(false).await;
    if world.database.kind() == Kind::Sqlite {
        // A file is not elsewhere: its answers are not lost.
        return;
    }
    for statement in [
        "CREATE FUNCTION away() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$",
        "CREATE CONSTRAINT TRIGGER away AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION away()",
    ] {
        execute(&world.trail, &world.database, statement).await;
    }
    for once in [None, Some("request".to_owned())] {
        let act = Act {
            once,
            ..create("r1", json!(1))
        };
        let answer = world.trail.store(act).await.unwrap_err();
        assert!(answer.is_pending(), "{answer}");
    }
    execute(&world.trail, &world.database, "DROP TRIGGER away ON events").await;
    let act = Act {
        once: Some("request".to_owned()),
        ..create("r1", json!(1))
    };
    world.trail.store(act).await.unwrap();
    assert_eq!(world.log.count(), 1);
}

#[tokio::test]
async fn what_was_refused_is_not_sent_after_a_crash() {
    let world = world().await;
    world.log.refuses.store(1, Ordering::SeqCst);
    let refused = world.trail.store(create("r1", json!(1))).await.unwrap_err();
    assert_eq!(refused.kind, "LedgerRefuses");
    if world.database.kind() == Kind::Postgres {
        assert_eq!(another(&world).await.resume().await.unwrap(), 0);
        return;
    }
    let dir = journal::crashed(&world);
    let database = open(&dir).await;
    let log = Arc::clone(&world.log) as Arc<dyn EventLog>;
    let again = by_journal(&dir, &database, log).await;
    assert_eq!(again.resume().await.unwrap(), 0);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(world.log.count(), 0);
}
