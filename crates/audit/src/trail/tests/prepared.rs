//! Events that their participants sign.

use super::*;
use crate::limits::PREPARED_MAX;
use crate::trail::Prepared;

const ALL: [Operation; 3] = [Operation::Create, Operation::Update, Operation::Delete];

fn by_zoe(how: Operation, record: Option<&str>, content: Given) -> Act {
    Act {
        who: text("zoe"),
        ..act(how, record, content)
    }
}

fn creates(record: &str) -> Act {
    by_zoe(
        Operation::Create,
        Some(record),
        Given::Data(json!({"kg": 20})),
    )
}

fn updates(record: &str, kg: u32) -> Act {
    by_zoe(
        Operation::Update,
        Some(record),
        Given::Data(json!({"kg": kg})),
    )
}

async fn submitted(trail: &Trail, prepared: &Prepared) -> Result<Stored, Problem> {
    let signed = signature(&prepared.canonical);
    handed_in(trail, "zoe", prepared, &signed, &ALL).await
}

async fn handed_in(
    trail: &Trail,
    who: &str,
    prepared: &Prepared,
    signed: &str,
    may: &[Operation],
) -> Result<Stored, Problem> {
    let (id, signed) = (prepared.id.clone(), signed.to_owned());
    trail.submit(text(who), id, signed, may.to_vec()).await
}

async fn prepare_and_submit(trail: &Trail, act: Act) -> Stored {
    let prepared = trail.prepare(act).await.unwrap();
    submitted(trail, &prepared).await.unwrap()
}

#[tokio::test]
async fn an_event_is_prepared_signed_and_recorded_once_however_often_it_is_handed_in() {
    for journal in [true, false] {
        let world = world_of(journal).await;
        let World { trail, log, .. } = &world;
        let prepared = trail.prepare(creates("r1")).await.unwrap();
        assert_eq!(log.count(), 0);
        let asked = trail.consult(question("r1")).await.unwrap();
        assert_eq!(asked.verdict, Verdict::Unknown);
        assert_eq!(prepared.event.to_canonical(), prepared.canonical);
        let stored = submitted(trail, &prepared).await.unwrap();
        assert_eq!(
            (&stored.event, stored.salt),
            (&prepared.event, prepared.salt)
        );
        for _ in 0..3 {
            assert_eq!(submitted(trail, &prepared).await.unwrap(), stored);
        }
        assert_eq!(log.count(), 1);
        let asked = Question {
            data: Some(json!({"kg": 20})),
            ..question("r1")
        };
        let asked = trail.consult(asked).await.unwrap();
        assert_eq!(asked.verdict, Verdict::Valid);
        // The next versions, by the same way.
        let second = prepare_and_submit(trail, updates("r1", 21)).await;
        let deletes = by_zoe(Operation::Delete, Some("r1"), Given::Same);
        let third = prepare_and_submit(trail, deletes).await;
        assert_eq!((second.event.version, third.event.version), (2, 3));
        let after = trail.prepare(updates("r1", 22)).await.unwrap_err();
        assert_eq!(after.kind, "Deleted");
    }
}

#[tokio::test]
async fn who_keeps_a_key_signs_and_who_does_not_stores() {
    let world = world().await;
    let trail = &world.trail;
    let refused = trail.store(creates("r1")).await.unwrap_err();
    assert_eq!(refused.kind, "OtherSigner");
    let refused = trail.prepare(create("r1", json!(1))).await.unwrap_err();
    assert_eq!(refused.kind, "OtherSigner");
    // Neither left anything behind.
    trail.store(create("r1", json!(1))).await.unwrap();
}

#[tokio::test]
async fn what_was_not_signed_for_this_event_is_refused_and_the_right_one_still_counts() {
    let world = world().await;
    let World { trail, log, .. } = &world;
    let prepared = trail.prepare(creates("r1")).await.unwrap();
    let other = trail.prepare(creates("r2")).await.unwrap();
    let swapped = signature(&other.canonical);
    let refused = handed_in(trail, "zoe", &prepared, &swapped, &ALL).await;
    assert_eq!(refused.unwrap_err().pointer.as_deref(), Some("/signed"));
    let signed = signature(&prepared.canonical);
    let strangers = handed_in(trail, "eve", &prepared, &signed, &ALL).await;
    assert_eq!(strangers.unwrap_err().kind, "NotFound");
    let lost = [Operation::Update, Operation::Delete];
    let without_right = handed_in(trail, "zoe", &prepared, &signed, &lost).await;
    assert_eq!(without_right.unwrap_err().kind, "NotPermitted");
    assert_eq!(log.count(), 0);
    submitted(trail, &prepared).await.unwrap();
    // A stranger learns nothing of what is recorded either.
    let strangers = handed_in(trail, "eve", &prepared, &signed, &ALL).await;
    assert_eq!(strangers.unwrap_err().kind, "NotFound");
    assert_eq!(log.count(), 1);
}

#[tokio::test]
async fn an_event_that_was_overtaken_is_refused() {
    let world = world().await;
    let World { trail, log, .. } = &world;
    let first = trail.prepare(creates("r1")).await.unwrap();
    let second = trail.prepare(creates("r1")).await.unwrap();
    submitted(trail, &second).await.unwrap();
    assert_eq!(submitted(trail, &first).await.unwrap_err().kind, "Exists");
    let again = trail.prepare(creates("r1")).await.unwrap_err();
    assert_eq!(again.kind, "Exists");
    let early = trail.prepare(updates("r1", 1)).await.unwrap();
    let late = trail.prepare(updates("r1", 2)).await.unwrap();
    submitted(trail, &late).await.unwrap();
    let overtaken = submitted(trail, &early).await.unwrap_err();
    assert_eq!(overtaken.kind, "Concurrent");
    assert!(overtaken.detail.contains("prepare it again"), "{overtaken}");
    assert_eq!(log.count(), 2);
    // What stands there now can be followed.
    assert_eq!(
        prepare_and_submit(trail, updates("r1", 1))
            .await
            .event
            .version,
        3
    );
}

#[tokio::test]
async fn of_many_who_hand_in_the_same_and_of_two_for_one_place_one_is_recorded() {
    let world = world_of(false).await;
    let trail = &world.trail;
    let log = Arc::clone(&world.log) as Arc<dyn EventLog>;
    let replicas = [trail.clone(), Trail::new(open(&world.dir).await, log)];
    let rivals = [
        trail.prepare(creates("r1")).await.unwrap(),
        trail.prepare(creates("r1")).await.unwrap(),
    ];
    let races = (0..16).map(|number| {
        let (trail, one) = (replicas[number % 2].clone(), rivals[number / 2 % 2].clone());
        tokio::spawn(async move { submitted(&trail, &one).await })
    });
    let mut stored = Vec::new();
    for race in races.collect::<Vec<_>>() {
        match race.await.unwrap() {
            Ok(one) => stored.push(one),
            Err(problem) => assert!(
                problem.is_pending() || ["Exists", "Concurrent"].contains(&&*problem.kind),
                "{problem}"
            ),
        }
    }
    assert!(stored.iter().all(|one| *one == stored[0]) && !stored.is_empty());
    assert_eq!(world.log.count(), 1);
}

#[tokio::test]
async fn what_a_crash_leaves_goes_on_with_the_signature() {
    for journal in [true, false] {
        let world = world_of(journal).await;
        let World { trail, log, .. } = &world;
        let prepared = trail.prepare(creates("r1")).await.unwrap();
        let signed = signature(&prepared.canonical);
        // It is where it is not lost, and nobody sends it any more.
        let waiting = trail
            .store
            .waiting(&prepared.id, &text("zoe"))
            .await
            .unwrap();
        let row = store::Row {
            signed: Some(signed),
            ..waiting.unwrap().row
        };
        let event = prepared.event.clone();
        drop(
            trail
                .keep(store::Pending { event, row }.into())
                .await
                .unwrap(),
        );
        let after = match journal {
            true => {
                let events = Arc::clone(log) as Arc<dyn EventLog>;
                by_journal(&world.dir, &world.database, events).await
            }
            false => trail.clone(),
        };
        let problem = submitted(&after, &prepared).await.unwrap_err();
        assert!(problem.is_pending(), "{problem}");
        assert_eq!(after.resume().await.unwrap(), 1);
        let stored = tokio::time::timeout(std::time::Duration::from_secs(60), async {
            loop {
                match submitted(&after, &prepared).await {
                    Ok(stored) => return stored,
                    Err(problem) => assert!(problem.is_pending(), "{problem}"),
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        });
        assert_eq!(stored.await.unwrap().event, prepared.event);
        assert_eq!(log.count(), 1);
    }
}

#[tokio::test]
async fn an_answer_that_was_lost_or_a_refusal_leave_what_was_prepared_usable() {
    let world = world().await;
    let World { trail, log, .. } = &world;
    let prepared = trail.prepare(creates("r1")).await.unwrap();
    log.refuses.store(1, Ordering::SeqCst);
    submitted(trail, &prepared).await.unwrap_err();
    assert_eq!(log.count(), 0);
    log.lose.store(1, Ordering::SeqCst);
    submitted(trail, &prepared).await.unwrap();
    assert_eq!(log.count(), 1);
}

#[tokio::test]
async fn what_waits_for_a_signature_is_bounded_and_expires() {
    let world = world().await;
    let World {
        trail,
        log,
        database,
        ..
    } = &world;
    let mut all = Vec::new();
    for number in 0..PREPARED_MAX {
        all.push(trail.prepare(creates(&format!("r{number}"))).await.unwrap());
    }
    let refused = trail.prepare(creates("more")).await.unwrap_err();
    assert_eq!(refused.status, 429);
    assert!(refused.retry_after > Some(600), "{refused:?}");
    // Others have a share of their own, and what is recorded waits no more.
    submitted(trail, &all[0]).await.unwrap();
    let last = trail.prepare(creates("more")).await.unwrap();
    execute(
        trail,
        database,
        "UPDATE prepared SET expires = expires - 900000",
    )
    .await;
    let late = submitted(trail, &last).await.unwrap_err();
    assert_eq!((late.status, &*late.kind), (410, "Expired"));
    // Those that are over count no more, and go in the end. What is recorded is found for ever.
    trail.prepare(creates("more")).await.unwrap();
    execute(
        trail,
        database,
        "UPDATE prepared SET expires = expires - 1800000",
    )
    .await;
    trail.prepare(creates("again")).await.unwrap();
    let left = sqlx::query("SELECT id FROM prepared").fetch_all(database.pool());
    assert_eq!(left.await.unwrap().len(), 1);
    assert_eq!(submitted(trail, &last).await.unwrap_err().kind, "NotFound");
    submitted(trail, &all[0]).await.unwrap();
    assert_eq!(log.count(), 1);
}
