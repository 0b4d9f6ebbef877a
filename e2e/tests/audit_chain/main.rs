//! Auditing through the verifiability contracts, on a ledger of ours over TLS and on a chain of others.

mod replicas;
mod world;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use audit::model::{Operation, RecordId, Verdict};
use audit::trail::chain::{ChainError, ChainSettings, MasterKey};
use audit::trail::log::EventLog;
use audit::trail::{Act, ChainLog, Given, Kind, Question, Receipt, Stored};
use connector::{Fees, Profile};
use e2e::{Anvil, Keeps, Postgres, rpc};
use serde_json::{Value, json};
use tempfile::TempDir;
use verify::ethereum::Hex;

use world::{
    World, act, create, enrolling, enrolling_owner, is_valid, ours, refused, replica, text, tree,
    world,
};

/// Stores what all of a tree do, and is told `valid` of each.
async fn all_act(world: &World) -> Result<Vec<Stored>> {
    let World { trail, .. } = world;
    let mut all = tree(trail).await?;
    for who in ["root", "ada", "ana", "ben"] {
        let record = format!("lot:{who}");
        all.push(trail.store(create(who, &record)).await?);
        let update = Given::Data(json!({"kg": 25}));
        all.push(
            trail
                .store(act(who, Operation::Update, &record, update))
                .await?,
        );
        all.push(
            trail
                .store(act(who, Operation::Read, &record, Given::Same))
                .await?,
        );
        all.push(
            trail
                .store(act(who, Operation::Delete, &record, Given::Same))
                .await?,
        );
    }
    for stored in &all {
        is_valid(trail, stored)
            .await
            .with_context(|| format!("{:?}", stored.event))?;
    }
    Ok(all)
}

#[tokio::test]
async fn what_a_tree_does_is_stored_consulted_and_proven_without_the_node() -> Result<()> {
    let (mut ledger, profile, cert) = ours().await?;
    let dir = TempDir::new()?;
    let world = world(dir.path(), &profile, Some(&cert)).await?;
    let all = all_act(&world).await?;
    // Each participant has a contract of its own.
    let contract = |stored: &Stored| stored.address.contract_address.clone();
    let mut contracts: Vec<String> = all.iter().map(contract).collect();
    contracts.sort();
    contracts.dedup();
    ensure!(contracts.len() == 4, "{contracts:?}");
    let altered = Question {
        record: Some(RecordId::parse("lot:ana")?),
        version: Some(1),
        data: Some(json!({"by": "ana", "kg": 21})),
        ..Question::default()
    };
    let altered = world.trail.consult(altered).await?.verdict;
    ensure!(
        matches!(&altered, Verdict::Altered { fields } if fields == &["/kg"]),
        "{altered:?}"
    );
    ledger.kill()?;
    for stored in &all {
        let event = world.log.proven(&stored.address, &stored.receipt).await?;
        ensure!(event == stored.event);
    }
    is_valid(&world.trail, &all[9]).await
}

#[tokio::test]
async fn a_proof_that_was_changed_anywhere_is_refused() -> Result<()> {
    let (_ledger, profile, cert) = ours().await?;
    let dir = TempDir::new()?;
    let world = world(dir.path(), &profile, Some(&cert)).await?;
    let enrolled = tree(&world.trail).await?;
    let stored = world.trail.store(create("ana", "lot:1")).await?;
    for genuine in [&enrolled[0], &enrolled[2], &stored] {
        let receipt = shown(&genuine.receipt);
        let mut places = Vec::new();
        leaves_of(&receipt, String::new(), &mut places);
        ensure!(places.len() > 20, "{places:?}");
        // Whether a service has its receipt ready is between the two of them: it proves nothing.
        places.retain(|place| place != "/proof/receipt/state");
        for place in places {
            let mut changed = receipt.clone();
            let value = changed.pointer_mut(&place).context("a place")?;
            *value = other(value);
            let proven = world
                .log
                .proven(&genuine.address, &Receipt::of(&changed))
                .await;
            ensure!(proven.is_err(), "{place} was changed");
        }
        for address in [&enrolled[1].address, &enrolled[3].address] {
            ensure!(world.log.proven(address, &genuine.receipt).await.is_err());
        }
        let mut more = receipt.clone();
        more["more"] = json!(1);
        let more = Receipt::of(&more);
        ensure!(world.log.proven(&genuine.address, &more).await.is_err());
    }
    // A document that is true in itself, and whose text is another: the chain does not have its hash.
    let mut swapped = shown(&stored.receipt);
    swapped["event"] = shown(&enrolled[2].receipt)["event"].take();
    let swapped = Receipt::of(&swapped);
    ensure!(world.log.proven(&stored.address, &swapped).await.is_err());
    // Whoever changes the database is found out, and what the chain confirms is shown.
    for statement in [
        "UPDATE events SET receipt = replace(receipt, 'harvest', 'burning')",
        "UPDATE events SET receipt = '{}'",
    ] {
        sqlx::query(statement)
            .execute(world.database.pool())
            .await?;
        is_valid(&world.trail, &stored).await?;
    }
    let forged = "UPDATE events SET event = replace(event, 'harvest', 'burning')";
    sqlx::query(forged).execute(world.database.pool()).await?;
    let asked = Question {
        record: Some(stored.event.record),
        ..Question::default()
    };
    let verdict = world.trail.consult(asked).await?.verdict;
    ensure!(verdict == Verdict::Unknown, "{verdict:?}");
    Ok(())
}

fn shown(receipt: &Receipt) -> Value {
    serde_json::from_str(receipt.as_str()).expect("a receipt is JSON")
}

fn leaves_of(value: &Value, at: String, places: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                leaves_of(value, format!("{at}/{name}"), places);
            }
        }
        Value::Array(items) => {
            for (place, value) in items.iter().enumerate() {
                leaves_of(value, format!("{at}/{place}"), places);
            }
        }
        _ => places.push(at),
    }
}

fn other(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_u64().unwrap_or_default() + 2),
        Value::Bool(value) => json!(!value),
        Value::Null => json!("0x00"),
        Value::String(text) => {
            let middle = text.len() / 2;
            let digit = if text[middle..].starts_with('0') {
                "1"
            } else {
                "0"
            };
            json!(format!("{}{digit}{}", &text[..middle], &text[middle + 1..]))
        }
        other => json!([other]),
    }
}

#[tokio::test]
async fn whoever_may_not_is_refused_by_the_contracts() -> Result<()> {
    let (_ledger, profile, cert) = ours().await?;
    let dir = TempDir::new()?;
    let World { trail, log, .. } = world(dir.path(), &profile, Some(&cert)).await?;
    // Without a tree nobody has a log.
    ensure!(refused(&trail, create("ana", "lot:1")).await?.kind == "NotEnrolled");
    tree(&trail).await?;
    for (by, kind) in [
        ("root", Kind::TUser),
        ("ana", Kind::TUser),
        ("ana", Kind::Administrator),
    ] {
        let problem = refused(&trail, enrolling(by, "eve", kind)).await?;
        ensure!(problem.kind == "NotPermitted", "{by}: {problem:?}");
    }
    for (act, kind) in [
        (create("eve", "lot:1"), "NotEnrolled"),
        (enrolling("eve", "mal", Kind::TUser), "NotEnrolled"),
        (enrolling("ada", "ana", Kind::TUser), "Exists"),
        (enrolling("zoe", "zoe", Kind::Root), "Exists"),
    ] {
        let problem = refused(&trail, act).await?;
        ensure!(problem.kind == kind, "{problem:?}");
    }
    // What was refused left nothing behind: the same person comes in where one may bring them.
    trail.store(enrolling("ada", "eve", Kind::TUser)).await?;
    trail.store(create("eve", "lot:1")).await?;
    // Who keeps its key itself has a contract, and nobody signs for it here.
    let own = enrolling_owner("ada", "own", Hex([0xab; 20]));
    trail.store(own).await?;
    ensure!(log.account(&text("own")).await? == Some(Hex([0xab; 20])));
    ensure!(refused(&trail, create("own", "lot:2")).await?.kind == "OwnKey");
    // A key has one place in a tree.
    let eves = log.account(&text("eve")).await?.context("an account")?;
    let twice = enrolling_owner("ada", "two", eves);
    ensure!(refused(&trail, twice).await?.kind == "KeyTaken");
    Ok(())
}

#[tokio::test]
async fn what_others_signed_proves_nothing_of_whoever_keeps_a_key() -> Result<()> {
    let (_ledger, profile, cert) = ours().await?;
    let dir = TempDir::new()?;
    let before = world(dir.path(), &profile, Some(&cert)).await?;
    tree(&before.trail).await?;
    let own = enrolling_owner("ada", "own", Hex([0xab; 20]));
    before.trail.store(own).await?;
    // What is noticed of somebody who keeps a key, and of somebody outside of the tree, is in the root's log.
    let root = before.log.root().await?.context("a root")?;
    for (who, record) in [("own", "session-1"), ("zoe", "session-2")] {
        let noticed = Act {
            ours: true,
            ..create(who, record)
        };
        let stored = before.trail.store(noticed).await?;
        let contract = serde_json::from_value::<Hex<20>>(json!(stored.address.contract_address))?;
        ensure!(contract == root, "{who}: {contract:?}");
        is_valid(&before.trail, &stored).await?;
    }
    let stored = before.trail.store(create("ana", "lot:1")).await?;
    is_valid(&before.trail, &stored).await?;
    // As if the service had signed, with a key that it keeps, for somebody whose key it does not.
    let statements = [
        "UPDATE accounts SET participant = 'x' WHERE participant = 'ana'",
        "UPDATE accounts SET participant = 'ana' WHERE participant = 'own'",
        "UPDATE accounts SET participant = 'own' WHERE participant = 'x'",
    ];
    end_changed(before, &statements).await?;
    let after = world(dir.path(), &profile, Some(&cert)).await?;
    let proven = after.log.proven(&stored.address, &stored.receipt).await;
    ensure!(proven.is_err(), "{proven:?}");
    let asked = Question {
        record: Some(stored.event.record),
        ..Question::default()
    };
    let verdict = after.trail.consult(asked).await?.verdict;
    ensure!(verdict == Verdict::Unknown, "{verdict:?}");
    Ok(())
}

/// Ends a service, whose database somebody changed before.
async fn end_changed(world: World, statements: &[&'static str]) -> Result<()> {
    let World {
        trail,
        log,
        database,
    } = world;
    for statement in statements {
        sqlx::query(*statement).execute(database.pool()).await?;
    }
    drop((trail, log));
    database.close().await;
    Ok(())
}

#[tokio::test]
async fn a_crash_between_sending_and_answer_records_once() -> Result<()> {
    let dir = TempDir::new()?;
    let file = format!("sqlite:{}", dir.path().join("audit.db").display());
    crashes(dir.path(), &file).await
}

#[tokio::test]
async fn a_crash_records_once_where_the_database_numbers_the_transactions() -> Result<()> {
    let (dir, database) = (TempDir::new()?, Postgres::start(Keeps::Nothing)?);
    crashes(dir.path(), &database.url()).await
}

async fn crashes(dir: &Path, database: &str) -> Result<()> {
    let (ledger, profile, cert) = ours().await?;
    let before = replica(database, dir, &profile, Some(&cert)).await?;
    let mut all = tree(&before.trail).await?;
    all.push(before.trail.store(create("ana", "lot:1")).await?);
    let root = before.log.root().await?;
    // The chain has it all, and the database was told of nothing.
    let statements = [
        "UPDATE events SET tx = NULL, receipt = NULL",
        "UPDATE accounts SET contract = NULL, place = NULL",
    ];
    end_changed(before, &statements).await?;
    let after = replica(database, dir, &profile, Some(&cert)).await?;
    ensure!(after.trail.resume().await? == all.len());
    for stored in &all {
        let asked = Question {
            record: Some(stored.event.record.clone()),
            ..Question::default()
        };
        tokio::time::timeout(Duration::from_secs(60), async {
            while after.trail.consult(asked.clone()).await?.verdict == Verdict::Pending {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            anyhow::Ok(())
        })
        .await??;
        is_valid(&after.trail, stored).await?;
    }
    ensure!(after.log.root().await? == root);
    let ana = after
        .log
        .account(&text("ana"))
        .await?
        .context("an account")?;
    let plain = ledger.ready().rpc_url.clone().context("no address")?;
    let count = rpc(&plain, "eth_getTransactionCount", json!([ana, "latest"])).await?;
    ensure!(count == json!("0x1"), "{count}");
    // One process holds the outboxes.
    let second = replica(database, dir, &profile, Some(&cert)).await;
    ensure!(second.is_err() == database.starts_with("sqlite"));
    Ok(())
}

#[tokio::test]
async fn a_chain_of_others_has_the_same_tree_and_is_asked_for_its_blocks() -> Result<()> {
    let anvil = Anvil::start(&["--base-fee", "0", "--gas-price", "0"])?;
    let profile = Profile {
        fees: Fees::Free,
        poll: Duration::from_millis(20),
        ..Profile::consortium(anvil.url(), Anvil::CHAIN)
    };
    let dir = TempDir::new()?;
    let world = world(dir.path(), &profile, None).await?;
    let all = all_act(&world).await?;
    let last = all.last().context("an event")?;
    let mut changed = shown(&last.receipt);
    changed["proof"]["header"] = other(&changed["proof"]["header"]);
    let changed = Receipt::of(&changed);
    ensure!(world.log.proven(&last.address, &changed).await.is_err());
    drop(anvil);
    ensure!(
        world
            .log
            .proven(&last.address, &last.receipt)
            .await
            .is_err()
    );
    Ok(())
}

#[tokio::test]
async fn a_second_service_with_outboxes_of_its_own_is_refused() -> Result<()> {
    let (_ledger, profile, cert) = ours().await?;
    let dir = TempDir::new()?;
    let first = world(dir.path(), &profile, Some(&cert)).await?;
    let settings = |folder: &str| ChainSettings {
        profile: profile.clone(),
        service_cert: Some(cert.clone()),
        folder: dir.path().join(folder),
        master: MasterKey::new(&[7; 32]),
        root: None,
    };
    let second = ChainLog::open(settings("other"), first.database.clone()).await;
    ensure!(
        matches!(second, Err(ChainError::OtherOutboxes)),
        "{second:?}"
    );
    let second = ChainLog::open(settings("outboxes"), first.database.clone()).await;
    ensure!(matches!(second, Err(ChainError::Folder(_))), "{second:?}");
    Ok(())
}
