//! Several replicas that sign for the same accounts: the database numbers their transactions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use connector::fees::Replace;
use connector::{Fees, Profile};
use e2e::wallet::quantity;
use e2e::{Anvil, Keeps, Postgres, Way, rpc};
use serde_json::{Value, json};
use sqlx::{AnyPool, Row};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::world::{World, create, enrolling, is_valid, ours, refused, replica, text, tree};
use audit::trail::{Kind, Stored};

/// What did not come about by then never does.
const WITHIN: Duration = Duration::from_secs(120);

/// Those who act.
const ALL: [&str; 4] = ["root", "ada", "ana", "ben"];

/// How many of each stand in the database's columns.
async fn counted(pool: &AnyPool, what: &str) -> Result<i64> {
    let select = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {what}"));
    Ok(sqlx::query(select).fetch_one(pool).await?.try_get(0)?)
}

/// How many transactions each account has on the chain, and how many numbers the database gave out.
async fn numbers(world: &World, url: &str) -> Result<BTreeMap<String, (u64, u64)>> {
    let select = "SELECT account, next FROM accounts WHERE next IS NOT NULL";
    let rows = sqlx::query(select).fetch_all(world.database.pool()).await?;
    let mut all = BTreeMap::new();
    for row in rows {
        let (account, next): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        let count = rpc(url, "eth_getTransactionCount", json!([account, "latest"])).await?;
        all.insert(account, (quantity(&count)?, next.unsigned_abs()));
    }
    Ok(all)
}

/// Waits until nothing is on its way.
async fn settled(world: &World) -> Result<()> {
    let begun = Instant::now();
    while counted(world.database.pool(), "events WHERE tx IS NULL").await? > 0 {
        ensure!(begun.elapsed() < WITHIN, "events are still on their way");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_sign_for_one_account_at_once_and_leave_no_gap() -> Result<()> {
    let (ledger, profile, cert) = ours().await?;
    let plain = ledger.ready().rpc_url.clone().context("no address")?;
    let (dir, database) = (TempDir::new()?, Postgres::start(Keeps::Nothing)?);
    let open = async || replica(&database.url(), dir.path(), &profile, Some(&cert)).await;
    let replicas = [open().await?, open().await?, open().await?];
    // One makes the tree, and the others learn of it.
    tree(&replicas[0].trail).await?;
    let root = replicas[0].log.root().await?;
    ensure!(root.is_some() && replicas[2].log.root().await? == root);
    let mut storing = Vec::new();
    for round in 0..40 {
        for (number, who) in ALL.into_iter().enumerate() {
            let trail = replicas[(round + number) % 3].trail.clone();
            let act = create(who, &format!("lot:{who}-{round}"));
            storing.push(tokio::spawn(async move { trail.store(act).await }));
        }
        // Whoever brings somebody in signs beside them.
        if round % 10 == 0 {
            let trail = replicas[round % 3].trail.clone();
            let act = enrolling("ada", &format!("new{round}"), Kind::TUser);
            storing.push(tokio::spawn(async move { trail.store(act).await }));
        }
    }
    let mut places = BTreeSet::new();
    let mut all: Vec<Stored> = Vec::new();
    for stored in storing {
        let stored = stored.await??;
        ensure!(places.insert(stored.address.transaction_address.clone()));
        all.push(stored);
    }
    for (number, stored) in all.iter().enumerate() {
        is_valid(&replicas[number % 3].trail, stored).await?;
    }
    let numbers = numbers(&replicas[0], &plain).await?;
    ensure!(numbers.len() == 4, "{numbers:?}");
    ensure!(
        numbers.values().all(|(chain, ours)| chain == ours),
        "{numbers:?}"
    );
    let sent: u64 = numbers.values().map(|(count, _)| count).sum();
    // The tree's four are among them.
    ensure!(sent == all.len() as u64 + 4, "{sent} of {}", all.len());
    ensure!(!dir.path().join("outboxes").exists());
    Ok(())
}

/// Tasks that all end at once, as those of a process that dies.
struct Apart(Option<Runtime>);

impl Apart {
    fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.0
            .as_ref()
            .expect("it is there until it is dropped")
            .spawn(task)
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_signed_and_did_not_send_is_sent_by_another_first() -> Result<()> {
    let (ledger, profile, cert) = ours().await?;
    let plain = ledger.ready().rpc_url.clone().context("no address")?;
    let (dir, database) = (TempDir::new()?, Postgres::start(Keeps::Nothing)?);
    let way = Way::to(&profile.url)?;
    let cut_off = Profile {
        url: way.url().to_owned(),
        ..profile.clone()
    };
    let own = Apart(Some(Runtime::new()?));
    let (url, folder, its_cert) = (database.url(), dir.path().to_owned(), cert.clone());
    let lost = own.spawn(async move { replica(&url, &folder, &cut_off, Some(&its_cert)).await });
    let lost = lost.await??;
    let alive = replica(&database.url(), dir.path(), &profile, Some(&cert)).await?;
    tree(&lost.trail).await?;
    // The chain is asked for the first number alone.
    lost.trail.store(create("ana", "lot:first")).await?;
    way.cut();
    for number in 0..5 {
        let (trail, act) = (lost.trail.clone(), create("ana", &format!("lost:{number}")));
        own.spawn(async move { trail.store(act).await });
    }
    let begun = Instant::now();
    let signed = "events WHERE tx IS NULL AND signed IS NOT NULL";
    while counted(alive.database.pool(), signed).await? < 5 {
        ensure!(begun.elapsed() < WITHIN, "they are not signed");
        sleep(Duration::from_millis(20)).await;
    }
    let before: Vec<Value> = transactions(alive.database.pool()).await?;
    drop(own);
    // What comes next has a number behind those, and does not wait until somebody takes them up.
    let stored = alive.trail.store(create("ana", "lot:next")).await?;
    is_valid(&alive.trail, &stored).await?;
    ensure!(alive.trail.resume().await? <= 5);
    tokio::spawn({
        let trail = alive.trail.clone();
        async move { trail.keep_sending(Default::default()).await }
    });
    settled(&alive).await?;
    ensure!(transactions(alive.database.pool()).await? == before);
    let numbers = numbers(&alive, &plain).await?;
    ensure!(
        numbers.values().all(|(chain, ours)| chain == ours),
        "{numbers:?}"
    );
    let ana = alive.log.account(&text("ana")).await?.context("ana")?;
    ensure!(numbers[&ana.to_string()].0 == 7, "{numbers:?}");
    drop(lost);
    Ok(())
}

/// The transactions of what was lost, as they are signed.
async fn transactions(pool: &AnyPool) -> Result<Vec<Value>> {
    let select = "SELECT record, signed FROM events WHERE record LIKE 'lost:%' ORDER BY record";
    let rows = sqlx::query(select).fetch_all(pool).await?;
    let one = |row: &sqlx::any::AnyRow| -> Result<Value> {
        let (record, signed): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        Ok(json!([record, signed]))
    };
    rows.iter().map(one).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_the_chain_has_is_noticed_and_the_chain_asked_anew() -> Result<()> {
    let (_ledger, profile, cert) = ours().await?;
    let (dir, database) = (TempDir::new()?, Postgres::start(Keeps::Nothing)?);
    let world = replica(&database.url(), dir.path(), &profile, Some(&cert)).await?;
    tree(&world.trail).await?;
    for number in 0..3 {
        let act = create("ana", &format!("lot:{number}"));
        world.trail.store(act).await?;
    }
    // As in a database that was restored from before these.
    let set = async |next: &'static str| {
        sqlx::query(next).execute(world.database.pool()).await?;
        anyhow::Ok(())
    };
    set("UPDATE accounts SET next = 1 WHERE participant = 'ana'").await?;
    let refused = refused(&world.trail, create("ana", "lot:3")).await?;
    ensure!(refused.kind == "LedgerRefuses", "{refused}");
    let record = "events WHERE record = 'lot:3'";
    ensure!(counted(world.database.pool(), record).await? == 0);
    // Others are not held up, and what is told to operators helps.
    world.trail.store(create("ben", "lot:4")).await?;
    set("UPDATE accounts SET next = NULL").await?;
    let stored = world.trail.store(create("ana", "lot:3")).await?;
    is_valid(&world.trail, &stored).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_cheap_for_a_chain_is_offered_more_under_the_same_number() -> Result<()> {
    let anvil = Anvil::start(&["--base-fee", "2000", "--block-time", "1"])?;
    let replace = Replace {
        after: Duration::from_secs(1),
        bump_percent: 300,
        cap: 1_000_000_000_000,
    };
    let profile = Profile {
        fees: Fees::Legacy {
            price: 1,
            replace: Some(replace),
        },
        poll: Duration::from_millis(50),
        resend_after: Duration::from_millis(500),
        ..Profile::consortium(anvil.url(), Anvil::CHAIN)
    };
    let (dir, database) = (TempDir::new()?, Postgres::start(Keeps::Nothing)?);
    let world = replica(&database.url(), dir.path(), &profile, None).await?;
    let trail = world.trail.clone();
    let storing =
        tokio::spawn(async move { trail.store(enrolling("root", "root", Kind::Root)).await });
    let begun = Instant::now();
    let account = loop {
        let row = sqlx::query("SELECT account FROM accounts").fetch_optional(world.database.pool());
        if let Some(row) = row.await? {
            break row.try_get::<String, _>(0)?;
        }
        ensure!(begun.elapsed() < WITHIN, "no account is made");
        sleep(Duration::from_millis(20)).await;
    };
    let wealth = json!([account, "0xde0b6b3a7640000"]);
    anvil.ask("anvil_setBalance", wealth).await?;
    // The caller may have been told that it takes a while.
    let stored = storing.await?;
    settled(&world).await?;
    let signed: String = sqlx::query("SELECT signed FROM events")
        .fetch_one(world.database.pool())
        .await?
        .try_get(0)?;
    let versions = signed.split(' ').count();
    ensure!(versions > 2, "{versions} were signed");
    if let Ok(stored) = stored {
        is_valid(&world.trail, &stored).await?;
    }
    let count = rpc(
        anvil.url(),
        "eth_getTransactionCount",
        json!([account, "latest"]),
    )
    .await?;
    ensure!(count == json!("0x1"), "{count}");
    Ok(())
}
