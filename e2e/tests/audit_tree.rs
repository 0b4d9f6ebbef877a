//! The pages about events in a tree of contracts, in a browser, on services that run.

use anyhow::{Context, Result, ensure};
use e2e::{Audit, Client, Ledger, Person};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Connection;

/// A lot that is harvested, weighed again and taken back.
async fn season(ana: &Person) -> Result<Vec<Value>> {
    let data = |kg: u32, did: &str| json!({"about": ["lot:7"], "did": did, "data": {"kg": kg}});
    let mut first = data(20, "harvest");
    first["record"] = json!("lot-7");
    let path = "/v1/records/lot-7";
    let mut stored = Vec::new();
    for (method, path, body) in [
        (Method::POST, "/v1/records", first),
        (Method::PUT, path, data(19, "weigh again")),
        (Method::DELETE, path, json!({"did": "entered twice"})),
    ] {
        stored.push(ana.done(method, path, &body).await?);
    }
    Ok(stored)
}

/// Looks at the page of that lot, whose events are by now as it says.
fn look_at(audit: &Audit, ledger: &Ledger, says: &str) -> Result<()> {
    let more = [("TREE_AUDIT", &*audit.ready().url)];
    Client::NodeWith("pages").run_with("tree.mjs", &[says], &more, ledger)
}

#[test]
fn the_pages_check_events_in_contracts_as_the_services_do() -> Result<()> {
    Client::NodeWith("pages").run("contracts.mjs", &[], &Ledger::start()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_of_events_in_contracts_is_proven_in_the_page_and_finds_what_was_altered()
-> Result<()> {
    let ledger = Ledger::start()?;
    let folder = ledger.scratch()?.join("audit");
    let config = "connector = \"contracts\"\nopen_to_visitors = true\n";
    let mut audit = Audit::start_with(&folder, ledger.ready(), Some(config), None)?;
    let visitor = audit.visitor()?;
    let identity = async || {
        visitor
            .done(Method::GET, "/v1/identity", &Value::Null)
            .await
    };
    ensure!(identity().await?.get("root").is_none(), "there is no tree");
    let (_, _, people) = audit.people(1).await?;
    let root = identity().await?["root"].clone();
    for stored in season(&people[0]).await? {
        let receipt = &stored["receipt"];
        ensure!(receipt["root"] == root, "{root} is not that of {receipt}");
    }
    look_at(&audit, &ledger, "valid")?;
    audit.stop()?;
    sqlx::any::install_default_drivers();
    let file = folder.join("audit.db");
    let file = file.to_str().context("paths are text")?;
    let mut database = sqlx::AnyConnection::connect(&format!("sqlite:{file}")).await?;
    let altered = "UPDATE events SET event = replace(event, 'weigh again', 'pick again') \
                   WHERE record = 'lot-7' AND version = 2";
    let altered = sqlx::query(altered).execute(&mut database).await?;
    ensure!(altered.rows_affected() == 1);
    database.close().await?;
    audit.start_again(ledger.ready())?;
    // Known to a service that was started again, too.
    ensure!(identity().await?["root"] == root);
    look_at(&audit, &ledger, "altered")
}
