//! Verdicts: on data, on hashes, and on a database that somebody changed.

use super::*;
use crate::model::ContentHash;

#[tokio::test]
async fn what_was_stored_is_valid_and_what_differs_is_named() {
    let world = world().await;
    let World { trail, .. } = &world;
    let stored = trail
        .store(create("r1", json!({"kg": 20, "grade": "A"})))
        .await
        .unwrap();
    assert_eq!(
        (stored.event.version, stored.event.how),
        (1, Operation::Create)
    );
    for (data, verdict) in [
        (None, Verdict::Valid),
        (Some(json!({"grade": "A", "kg": 20.0})), Verdict::Valid),
        (
            Some(json!({"kg": 25, "grade": "A"})),
            Verdict::Altered {
                fields: vec!["/kg".to_owned()],
            },
        ),
    ] {
        let asked = Question {
            data,
            ..question("r1")
        };
        let consulted = trail.consult(asked).await.unwrap();
        assert_eq!(consulted.verdict, verdict);
        assert_eq!(consulted.event.as_ref(), Some(&stored.event));
        assert_eq!(consulted.receipt.as_ref(), Some(&stored.receipt));
    }
}

#[tokio::test]
async fn data_that_is_not_kept_is_checked_with_its_salt_all_the_same() {
    let world = world().await;
    let World {
        trail, database, ..
    } = &world;
    let mut unkept = create("r1", json!("a secret"));
    unkept.keep = false;
    let stored = trail.store(unkept).await.unwrap();
    let altered = Question {
        data: Some(json!("another")),
        ..question("r1")
    };
    let altered = trail.consult(altered).await.unwrap();
    assert_eq!(altered.verdict, Verdict::Altered { fields: vec![] });
    let nothing = trail.consult(question("r1")).await.unwrap_err();
    assert_eq!(nothing.kind, "InvalidInput");
    // Forgotten, it is proven by whoever has data and salt.
    execute(trail, database, "UPDATE events SET salt = ''").await;
    let mut asked = Question {
        data: Some(json!("a secret")),
        ..question("r1")
    };
    assert_eq!(
        trail.consult(asked.clone()).await.unwrap_err().kind,
        "InvalidInput"
    );
    asked.salt = stored.salt;
    assert_eq!(trail.consult(asked).await.unwrap().verdict, Verdict::Valid);
    let rows =
        sqlx::query("SELECT 1 FROM events WHERE event LIKE '%secret%' OR payload IS NOT NULL");
    assert!(rows.fetch_all(database.pool()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_hash_of_the_callers_own_is_compared_as_it_is() {
    let world = world().await;
    let World { trail, .. } = &world;
    let hash = ContentHash([9; 32]);
    trail
        .store(act(Operation::Create, Some("r1"), Given::Hash(hash)))
        .await
        .unwrap();
    let asked = |hash| Question {
        hash: Some(hash),
        ..question("r1")
    };
    assert_eq!(
        trail.consult(asked(hash)).await.unwrap().verdict,
        Verdict::Valid
    );
    let other = trail.consult(asked(ContentHash([8; 32]))).await.unwrap();
    assert_eq!(other.verdict, Verdict::Altered { fields: vec![] });
    let nothing = act(
        Operation::Create,
        Some("r2"),
        Given::Hash(ContentHash([0; 32])),
    );
    assert_eq!(trail.store(nothing).await.unwrap_err().kind, "InvalidInput");
}

#[tokio::test]
async fn a_changed_database_is_found_out_and_the_ledger_is_believed() {
    let world = world().await;
    let World {
        trail, database, ..
    } = &world;
    let stored = trail.store(create("r1", json!({"kg": 20}))).await.unwrap();
    execute(
        trail,
        database,
        r#"UPDATE events SET payload = '{"kg":25}'"#,
    )
    .await;
    let consulted = trail.consult(question("r1")).await.unwrap();
    assert_eq!(consulted.verdict, Verdict::Altered { fields: vec![] });
    // With event and hash changed too, as whoever runs the database could.
    let hash = crate::model::Content::of(&json!({"kg": 25}))
        .unwrap()
        .hash(&stored.salt.unwrap());
    let mut event = stored.event.clone();
    event.what.hash = hash;
    let forged = sqlx::query("UPDATE events SET event = $1, hash = $2")
        .bind(event.to_canonical())
        .bind(hash.to_string());
    forged.execute(database.pool()).await.unwrap();
    for data in [None, Some(json!({"kg": 25}))] {
        let consulted = trail
            .consult(Question {
                data,
                ..question("r1")
            })
            .await
            .unwrap();
        assert_eq!(consulted.verdict, Verdict::Altered { fields: vec![] });
        assert_eq!(consulted.event, Some(stored.event.clone()));
    }
    // With the whole row gone, the address still leads to it.
    execute(trail, database, "DELETE FROM events").await;
    let asked = Question {
        transaction_address: Some(stored.address.transaction_address.clone()),
        contract_address: Some(stored.address.contract_address.clone()),
        data: Some(json!({"kg": 20})),
        salt: stored.salt,
        ..Question::default()
    };
    assert_eq!(
        trail.consult(asked.clone()).await.unwrap().verdict,
        Verdict::Valid
    );
    let elsewhere = Question {
        transaction_address: Some("2.77".to_owned()),
        ..asked
    };
    assert_eq!(
        trail.consult(elsewhere).await.unwrap().verdict,
        Verdict::Unknown
    );
    assert_eq!(
        trail.consult(question("r9")).await.unwrap().verdict,
        Verdict::Unknown
    );
}
