//! Events that the journal has and the database not.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

/// What a machine has after it lost power: the files as they are now, in a folder of their own.
pub(super) fn crashed(world: &World) -> TempDir {
    let copy = TempDir::new().unwrap();
    fs::create_dir(copy.path().join("journal")).unwrap();
    for file in files(world.dir.path())
        .into_iter()
        .chain(files(&world.dir.path().join("journal")))
    {
        let name = file.strip_prefix(world.dir.path()).unwrap();
        fs::copy(&file, copy.path().join(name)).unwrap();
    }
    copy
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.is_file()).collect()
}

/// PostgreSQL has every event before the ledger: there is nothing of this then.
fn has_journal(world: &World) -> bool {
    world.database.kind() == Databases::Sqlite
}

async fn count(database: &Database) -> i64 {
    let count = sqlx::query_scalar("SELECT count(*) FROM events");
    count.fetch_one(database.pool()).await.unwrap()
}

#[tokio::test]
async fn what_only_the_journal_had_is_recorded_once_after_a_crash() {
    let world = world().await;
    let World { trail, log, .. } = &world;
    if !has_journal(&world) {
        return;
    }
    trail.store(create("r1", json!(1))).await.unwrap();
    // The ledger has this one, and nobody heard of it; and of that one it has not heard.
    log.lose.store(usize::MAX, Ordering::SeqCst);
    let lost = tokio::spawn({
        let trail = trail.clone();
        async move { trail.store(create("r2", json!(2))).await }
    });
    while log.count() < 2 {
        tokio::task::yield_now().await;
    }
    log.drop.store(usize::MAX, Ordering::SeqCst);
    let unsent = tokio::spawn({
        let trail = trail.clone();
        async move { trail.store(create("r3", json!(3))).await }
    });
    let dir = loop {
        let dir = crashed(&world);
        let journal = files(&dir.path().join("journal")).pop().unwrap();
        if fs::read_to_string(journal).unwrap().contains("r3") {
            break dir;
        }
        tokio::task::yield_now().await;
    };
    lost.abort();
    unsent.abort();
    log.lose.store(0, Ordering::SeqCst);
    log.drop.store(0, Ordering::SeqCst);
    log.keys.lock().unwrap().clear();
    let database = open(&dir).await;
    let again = by_journal(&dir, &database, Arc::clone(log) as Arc<dyn EventLog>).await;
    assert!(again.resume().await.unwrap() >= 2);
    for record in ["r1", "r2", "r3"] {
        let consulted = async {
            while again.consult(question(record)).await.unwrap().verdict != Verdict::Valid {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let valid = tokio::time::timeout(Duration::from_secs(60), consulted).await;
        assert!(valid.is_ok(), "{record}");
    }
    let mine = log.entries.lock().unwrap().clone();
    for record in ["r1", "r2", "r3"] {
        let name = format!("\"record\":\"{record}\"");
        let entries = mine.iter().filter(|(_, text)| text.contains(&name)).count();
        assert_eq!(entries, 1, "{record}");
    }
}

#[tokio::test]
async fn a_database_that_takes_nothing_delays_questions_and_no_event() {
    let world = world().await;
    let World {
        trail, database, ..
    } = &world;
    if !has_journal(&world) {
        return;
    }
    let full = "CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'full'); END";
    execute(trail, database, full).await;
    trail.store(create("r1", json!(1))).await.unwrap();
    let taken = trail.store(create("r1", json!(2))).await.unwrap_err();
    assert_eq!(taken.status, 503, "{taken}");
    let asked = trail.consult(question("r1")).await.unwrap_err();
    assert_eq!((asked.status, &*asked.kind), (503, "DatabaseUnavailable"));
    sqlx::query("DROP TRIGGER full")
        .execute(database.pool())
        .await
        .unwrap();
    while trail.consult(question("r1")).await.is_err() {
        tokio::task::yield_now().await;
    }
    let verdict = trail.consult(question("r1")).await.unwrap().verdict;
    assert_eq!(verdict, Verdict::Valid);
    assert_eq!(
        trail.store(create("r1", json!(2))).await.unwrap_err().kind,
        "Exists"
    );
}

#[tokio::test]
async fn names_are_taken_as_soon_as_the_journal_has_them() {
    let world = world().await;
    let World { trail, log, .. } = &world;
    let once = |record, data| Act {
        once: Some("k1".to_owned()),
        ..create(record, data)
    };
    let stored = trail.store(once("r1", json!(1))).await.unwrap();
    assert_eq!(trail.store(once("r1", json!(1))).await.unwrap(), stored);
    let other = trail.store(once("r2", json!(1))).await.unwrap_err();
    assert_eq!(other.kind, "OtherRequest");
    assert_eq!(
        trail.store(create("r1", json!(1))).await.unwrap_err().kind,
        "Exists"
    );
    assert_eq!(log.count(), 1);
}

#[tokio::test]
async fn what_the_ledger_refuses_does_not_come_back() {
    let world = world().await;
    let World { trail, log, .. } = &world;
    log.refuses.store(1, Ordering::SeqCst);
    trail.store(create("r1", json!(1))).await.unwrap_err();
    trail.store(create("r2", json!(2))).await.unwrap();
    trail.settled().await.unwrap();
    assert_eq!(count(&world.database).await, 1);
    if has_journal(&world) {
        let dir = crashed(&world);
        let database = open(&dir).await;
        by_journal(&dir, &database, Arc::clone(log) as Arc<dyn EventLog>).await;
        assert_eq!(count(&database).await, 1);
    }
    trail.store(create("r1", json!(1))).await.unwrap();
}

#[tokio::test]
async fn a_journal_that_was_changed_is_refused_and_one_that_was_torn_is_not() {
    let world = world().await;
    if !has_journal(&world) {
        return;
    }
    for record in ["r1", "r2"] {
        world.trail.store(create(record, json!(1))).await.unwrap();
    }
    let dir = loop {
        let dir = crashed(&world);
        let journal = files(&dir.path().join("journal")).pop().unwrap();
        if fs::read_to_string(journal).unwrap().lines().count() == 2 {
            break dir;
        }
        tokio::task::yield_now().await;
    };
    let path = files(&dir.path().join("journal")).pop().unwrap();
    let whole = fs::read_to_string(&path).unwrap();
    let log = || Arc::clone(&world.log) as Arc<dyn EventLog>;
    let opened = async || {
        let database = open(&dir).await;
        let folder = dir.path().join("journal");
        Trail::by_journal("one", database, log(), &folder).await
    };
    fs::write(&path, whole.replacen("r1", "r9", 1)).unwrap();
    let error = opened().await.unwrap_err();
    let words = std::error::Error::source(&error).map(ToString::to_string);
    assert!(words.unwrap_or_default().contains("line 1 was changed"));
    // Power went before the last event was synced.
    fs::write(&path, &whole[..whole.len() - 7]).unwrap();
    let trail = opened().await.unwrap();
    trail.resume().await.unwrap();
    for record in ["r1", "r2"] {
        while trail.consult(question(record)).await.unwrap().verdict == Verdict::Pending {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert_eq!(world.log.count(), 2);
}
