//! The audit services on a real ledger: what is stored is proven without them, and nothing that was
//! acknowledged is lost.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::{Audit, Http, Ledger, Person, bitacoras, counterfoil};
use reqwest::Method;
use serde_json::{Value, json};
use verify::Digest;

fn record(name: &str, data: &Value) -> Value {
    json!({"record": name, "about": [format!("lot:{name}")], "did": "weigh", "data": data})
}

async fn consulted(person: &Person, question: Value) -> Result<Value> {
    person.done(Method::POST, "/v1/consult", &question).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_stored_consulted_and_proven_without_the_services() -> Result<()> {
    let ledger = Ledger::start()?;
    let folder = ledger.scratch()?;
    let audit = Audit::start(&folder.join("audit"), ledger.ready())?;
    let (root, _, people) = audit.people(2).await?;
    let (ana, ben) = (&people[0], &people[1]);

    let data = json!({"kg": 20, "grade": "A"});
    let stored = ana
        .done(Method::POST, "/v1/records", &record("7", &data))
        .await?;
    ensure!(
        stored["event"]["who"] == ana.id && stored["version"] == 1,
        "{stored}"
    );
    for (data, verdict) in [
        (json!({"grade": "A", "kg": 20.0}), "valid"),
        (json!({"grade": "B", "kg": 20}), "altered"),
    ] {
        let said = consulted(ben, json!({"record": "7", "data": data})).await?;
        ensure!(said["verdict"] == verdict, "{said}");
    }
    let said = consulted(ben, json!({"record": "8", "data": 1})).await?;
    ensure!(said["verdict"] == "unknown", "{said}");
    // Others read, and do not change; the root and administrators store no data.
    let change = json!({"about": ["lot:7"], "data": {}});
    let (status, _) = ben.call(Method::PUT, "/v1/records/7", &change).await?;
    ensure!(status == 403);
    let (status, _) = root
        .call(Method::POST, "/v1/records", &record("9", &data))
        .await?;
    ensure!(status == 403);
    let (status, _) = audit
        .visitor()?
        .call(Method::GET, "/v1/records/7", &Value::Null)
        .await?;
    ensure!(status == 401);

    // Offline: the receipt by our command, the hash by what its definition says.
    let receipt = folder.join("receipt.json");
    fs::write(&receipt, stored["receipt"].to_string())?;
    let mut command = counterfoil()?;
    command
        .arg("verify")
        .arg(&receipt)
        .arg("--service-cert")
        .arg(&ledger.ready().service_cert);
    let said = command.arg("--json").output()?;
    ensure!(said.status.success(), "{said:?}");
    let said: Value = serde_json::from_slice(&said.stdout)?;
    let event: Value = serde_json::from_str(entry(&stored["receipt"])?)?;
    ensure!(
        said["valid"] == true && event["what"] == stored["event"]["what"],
        "{said}"
    );
    let salt = hex(stored["salt"].as_str().context("the salt is told")?)?;
    let label = b"counterfoil.audit.content/1\0";
    let hash = Digest::of_parts(&[label, &salt, br#"{"grade":"A","kg":20}"#]).to_string();
    ensure!(event["what"]["hash"] == hash, "{event}");
    Ok(())
}

/// The contents of the entry that a receipt shows.
fn entry(receipt: &Value) -> Result<&str> {
    let claim = &receipt["applicationClaims"][0]["ledgerEntry"]["contents"];
    claim
        .as_str()
        .with_context(|| format!("a receipt shows its entry: {receipt}"))
}

fn hex(text: &str) -> Result<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_an_answer_does_not_get_it_again_and_who_may_not_have_it_is_not_told() -> Result<()>
{
    let ledger = Ledger::start()?;
    let audit = Audit::start(&ledger.scratch()?.join("audit"), ledger.ready())?;
    let (root, admin, people) = audit.people(1).await?;
    let tom = &people[0];
    let new = json!({"record": "r1", "about": ["lot:7"], "data": {"kg": 20}});
    let stored = tom.done(Method::POST, "/v1/records", &new).await?;
    let (newest, first) = ("/v1/records/r1", "/v1/records/r1/versions/1");

    let evidence = Tagged::get(tom, first, None).await?;
    ensure!(evidence.status == 200 && evidence.cache == "private, no-cache");
    for field in ["event", "receipt", "salt", "transactionAddress"] {
        ensure!(evidence.body[field] == stored[field], "{evidence:?}");
    }
    let again = Tagged::get(tom, first, Some(&evidence.tag)).await?;
    ensure!(again.status == 304 && again.tag == evidence.tag && again.body.is_null());

    let before = Tagged::get(tom, newest, None).await?;
    ensure!(before.status == 200 && before.cache == "no-store");
    ensure!(Tagged::get(tom, newest, Some(&before.tag)).await?.status == 304);
    let update = json!({"data": {"kg": 21}});
    tom.done(Method::PUT, newest, &update).await?;
    let after = Tagged::get(tom, newest, Some(&before.tag)).await?;
    ensure!(
        after.status == 200 && after.body["data"]["kg"] == 21,
        "{after:?}"
    );
    // What was proven then is proven for ever.
    ensure!(Tagged::get(tom, first, Some(&evidence.tag)).await?.status == 304);
    let second = Tagged::get(tom, "/v1/records/r1/versions/2", Some(&evidence.tag)).await?;
    ensure!(second.status == 200 && second.body["event"]["version"] == 2);
    let none = Tagged::get(tom, "/v1/records/r1/versions/3", Some("*")).await?;
    ensure!(none.status == 404);

    let right = format!("/v1/users/{}/grants/readData", tom.id);
    admin.done(Method::DELETE, &right, &Value::Null).await?;
    for (somebody, status) in [(tom, 403), (&audit.visitor()?, 403), (&root, 304)] {
        let answer = Tagged::get(somebody, first, Some(&evidence.tag)).await?;
        ensure!(answer.status == status, "{answer:?}");
        ensure!(answer.body.get("receipt").is_none());
    }
    ensure!(Tagged::get(tom, newest, Some(&after.tag)).await?.status == 403);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_lead_to_the_port_that_was_taken() -> Result<()> {
    let ledger = Ledger::start()?;
    // At port 0.
    let mut audit = Audit::start(&ledger.scratch()?.join("audit"), ledger.ready())?;
    let label = async |audit: &Audit| -> Result<String> {
        let asked = audit.visitor()?;
        let asked = asked.request(Method::GET, "/v1/labels?resource=lot:7");
        Ok(asked.send().await?.error_for_status()?.text().await?)
    };
    let printed = label(&audit).await?;
    for (url, is_same) in [
        (audit.ready().url.clone(), true),
        ("https://127.0.0.1:0".to_owned(), false),
    ] {
        audit.configure(&format!("public_url = \"{url}\"\n"))?;
        audit.kill()?;
        audit.start_again(ledger.ready())?;
        ensure!((label(&audit).await? == printed) == is_same, "{url}");
    }
    Ok(())
}

/// An answer, with what it says about keeping it.
#[derive(Debug)]
struct Tagged {
    status: u16,
    tag: String,
    cache: String,
    body: Value,
}

impl Tagged {
    /// Asks as somebody who has an answer with this tag.
    async fn get(person: &Person, path: &str, known: Option<&str>) -> Result<Self> {
        let mut request = person.request(Method::GET, path);
        if let Some(known) = known {
            request = request.header("if-none-match", known);
        }
        let answer = request.send().await?;
        let header = |name| {
            let value = answer
                .headers()
                .get(name)
                .and_then(|text| text.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        Ok(Self {
            status: answer.status().as_u16(),
            tag: header("etag"),
            cache: header("cache-control"),
            body: serde_json::from_slice(&answer.bytes().await?).unwrap_or_default(),
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_race_for_root_one_is() -> Result<()> {
    let ledger = Ledger::start()?;
    let audit = Audit::start(&ledger.scratch()?.join("audit"), ledger.ready())?;
    let visitor = audit.visitor()?;
    let races = (0..64).map(|number| {
        let visitor = visitor.clone();
        tokio::spawn(async move {
            visitor
                .become_root(&format!("r{number}@example.org"))
                .await
                .is_ok()
        })
    });
    let mut roots = 0;
    for race in races.collect::<Vec<_>>() {
        roots += usize::from(race.await?);
    }
    ensure!(roots <= 1, "{roots} roots");
    if roots == 0 {
        // Whoever had the slot lost it to nobody, and it is free again in ten seconds.
        tokio::time::sleep(Duration::from_secs(11)).await;
        visitor.become_root("late@example.org").await?;
    }
    ensure!(visitor.become_root("later@example.org").await.is_err());
    // The root's creation is the first that the ledger has of the audit.
    let http = Http::new(ledger.ready())?;
    let all = bitacoras(&http).await?;
    let created: Vec<Value> = all.values().flatten().cloned().collect();
    ensure!(
        created.len() == 1 && created[0]["what"]["did"] == "createRoot",
        "{created:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_has_its_event_once_whatever_is_killed() -> Result<()> {
    const WRITERS: usize = 4;
    let mut ledger = Ledger::start_with(&["--listen", "127.0.0.1:18943"])?;
    let mut audit = Audit::start(&ledger.scratch()?.join("audit"), ledger.ready())?;
    let (_, _, people) = audit.people(WRITERS).await?;
    let over = Arc::new(AtomicBool::new(false));
    let writers = people.iter().cloned().enumerate().map(|(number, person)| {
        let over = Arc::clone(&over);
        tokio::spawn(async move { write(person, number, &over).await })
    });
    let writers: Vec<_> = writers.collect();
    for round in 0..4 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        if round % 2 == 0 {
            audit.kill()?;
            tokio::time::sleep(Duration::from_millis(200)).await;
            audit.start_again(ledger.ready())?;
        } else {
            ledger.kill()?;
            tokio::time::sleep(Duration::from_millis(200)).await;
            ledger.start_again()?;
        }
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    over.store(true, Ordering::SeqCst);
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await??);
    }
    ensure!(
        acknowledged.len() > 50,
        "only {} were stored",
        acknowledged.len()
    );
    for (person, name) in &acknowledged {
        let said = consulted(&people[*person], json!({"record": name})).await?;
        ensure!(said["verdict"] == "valid", "{name}: {said}");
    }
    // Once each, and nothing else: in the ledger are those that were acknowledged, and some whose answer
    // was lost.
    let mut seen = BTreeMap::new();
    for event in bitacoras(&Http::new(ledger.ready())?)
        .await?
        .into_values()
        .flatten()
    {
        let key = (event["record"].to_string(), event["version"].to_string());
        let count = seen.entry(key).or_insert(0);
        *count += 1;
        ensure!(*count == 1, "twice in the ledger: {event}");
    }
    for (_, name) in &acknowledged {
        let key = (json!(name).to_string(), "1".to_owned());
        ensure!(seen.contains_key(&key), "{name} is not in the ledger");
    }
    Ok(())
}

/// Stores one record after the other; one that has no answer is asked for again under its key. Gives back
/// those that were acknowledged.
async fn write(person: Person, number: usize, over: &AtomicBool) -> Result<Vec<(usize, String)>> {
    let mut acknowledged = Vec::new();
    for count in 0.. {
        let name = format!("w{number}-{count}");
        loop {
            if over.load(Ordering::SeqCst) {
                return Ok(acknowledged);
            }
            let new = record(&name, &json!({"count": count}));
            let stored = person
                .call_once(Method::POST, "/v1/records", &new, Some(&name))
                .await;
            match stored {
                Ok((201, _)) => break,
                // Gone, stopping, or waiting for the ledger: the same request again.
                Err(_) | Ok((503, _)) => tokio::time::sleep(Duration::from_millis(50)).await,
                Ok((status, said)) => anyhow::bail!("{name}: {status} {said}"),
            }
        }
        acknowledged.push((number, name));
    }
    unreachable!("it ends when it is over")
}
