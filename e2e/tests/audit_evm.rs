//! The audit services on a chain of others, by configuration: no ledger anywhere.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use alloy_primitives::U256;
use anyhow::{Context, Result, anyhow, bail, ensure};
use e2e::{Anvil, Audit, Person, Way, counterfoil, said};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

/// What did not come about by then never does.
const WITHIN: Duration = Duration::from_secs(120);

const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A chain that costs nothing, as a consortium's.
fn free() -> Result<Anvil> {
    Anvil::start(&["--base-fee", "0", "--gas-price", "0"])
}

fn config(url: &str, more: &str) -> String {
    let id = Anvil::CHAIN;
    format!("connector = \"contracts\"\n[chain]\nurl = \"{url}\"\nid = {id}\n{more}")
}

/// A new record of somebody's about a lot, under a name of the request's own.
async fn weigh(person: &Person, record: &str, key: &str) -> Result<(u16, Value)> {
    let data = json!({"kg": 20, "grade": "A"});
    let new = json!({"record": record, "about": ["lot:7"], "did": "weigh", "data": data});
    let post = Method::POST;
    person.call_once(post, "/v1/records", &new, Some(key)).await
}

/// The same, until it is recorded.
async fn weighed(person: &Person, record: &str, key: &str) -> Result<Value> {
    let begun = Instant::now();
    loop {
        let (status, said) = weigh(person, record, key).await?;
        if matches!(status, 200 | 201) {
            return Ok(said);
        }
        ensure!(said["type"] == "Pending", "{status} {said}");
        ensure!(begun.elapsed() < WITHIN, "{record} is still on its way");
        sleep(LOOK_AGAIN).await;
    }
}

/// What the services say about a version of a record, and this data.
async fn verdict(person: &Person, record: &str, version: u64, kg: u64) -> Result<Value> {
    let data = json!({"kg": kg, "grade": "A"});
    let question = json!({"record": record, "version": version, "data": data});
    let said = person.done(Method::POST, "/v1/consult", &question).await?;
    Ok(said["verdict"].clone())
}

/// How many events there are of a record.
async fn logs_of(person: &Person, record: &str) -> Result<usize> {
    let path = format!("/v1/logs?record={record}");
    let logs = person.done(Method::GET, &path, &Value::Null).await?;
    Ok(logs["logs"].as_array().context("there are logs")?.len())
}

/// The account of somebody, as whoever is above them is told.
async fn account(asks: &Person, of: &Person) -> Result<String> {
    let path = format!("/v1/users/{}", of.id);
    let user = asks.done(Method::GET, &path, &Value::Null).await?;
    let account = user["account"].as_str();
    Ok(account
        .with_context(|| format!("no account: {user}"))?
        .to_owned())
}

/// How many transactions an account has sent, with those that wait.
async fn sent(anvil: &Anvil, account: &str, at: &str) -> Result<u64> {
    let count = anvil.ask("eth_getTransactionCount", json!([account, at]));
    let count: U256 = serde_json::from_value(count.await?)?;
    Ok(count.to())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_on_the_chain_once_and_valid_whatever_is_killed_or_away() -> Result<()> {
    let anvil = free()?;
    let way = Way::to(anvil.url())?;
    let dir = TempDir::new()?;
    let mut audit = Audit::start_on_chain(dir.path(), &config(way.url(), ""), None)?;
    let (_, admin, people) = audit.people(1).await?;
    let ana = &people[0];
    // There is no certificate to show.
    let identity = ana.done(Method::GET, "/v1/identity", &Value::Null).await?;
    ensure!(identity.get("serviceCertificate").is_none(), "{identity}");

    let stored = weighed(ana, "lot-7", "first").await?;
    let receipt = &stored["receipt"];
    ensure!(
        receipt["type"] == "counterfoil.audit.chain-event/1",
        "{receipt}"
    );
    ensure!(receipt["proof"]["kind"] == "header", "{receipt}");
    let change =
        json!({"about": ["lot:7"], "did": "weigh again", "data": {"kg": 19, "grade": "A"}});
    let lot = "/v1/records/lot-7";
    ana.done(Method::PUT, lot, &change).await?;
    ensure!(verdict(ana, "lot-7", 1, 20).await? == "valid");
    ensure!(verdict(ana, "lot-7", 2, 19).await? == "valid");
    ensure!(verdict(ana, "lot-7", 2, 20).await? == "altered");
    let trace = "/v1/traces?resource=lot:7";
    let trace = ana.done(Method::GET, trace, &Value::Null).await?;
    ensure!(trace["logs"].as_array().map(Vec::len) == Some(2), "{trace}");

    // Killed, and started again: what was is still valid, and is sent by nobody again.
    let account = account(&admin, ana).await?;
    let before = sent(&anvil, &account, "latest").await?;
    audit.kill()?;
    audit.start_again_on_chain()?;
    ensure!(verdict(ana, "lot-7", 1, 20).await? == "valid");
    ensure!(
        weighed(ana, "lot-7", "first").await?["transactionAddress"] == stored["transactionAddress"]
    );
    ensure!(sent(&anvil, &account, "pending").await? == before);

    // Killed while a transaction waits for a block.
    anvil.ask("evm_setAutomine", json!([false])).await?;
    let waiting = {
        let ana = ana.clone();
        tokio::spawn(async move { weigh(&ana, "lot-8", "second").await })
    };
    let begun = Instant::now();
    while sent(&anvil, &account, "pending").await? == before {
        ensure!(begun.elapsed() < WITHIN, "nothing was sent");
        sleep(LOOK_AGAIN).await;
    }
    audit.kill()?;
    ensure!(waiting.await?.is_err(), "it was answered");
    audit.start_again_on_chain()?;
    anvil.ask("evm_setAutomine", json!([true])).await?;
    anvil.ask("evm_mine", json!([])).await?;
    weighed(ana, "lot-8", "second").await?;
    ensure!(verdict(ana, "lot-8", 1, 20).await? == "valid");
    ensure!(sent(&anvil, &account, "pending").await? == before + 1);
    ensure!(logs_of(ana, "lot-8").await? == 1);

    // No way to the node: nobody is told that it is recorded, or valid.
    way.cut();
    let (status, said) = weigh(ana, "lot-9", "third").await?;
    ensure!(
        (status, &said["type"]) == (503, &json!("Pending")),
        "{said}"
    );
    let question = json!({"record": "lot-7"});
    let (status, said) = ana.call(Method::POST, "/v1/consult", &question).await?;
    let away = json!("LedgerUnavailable");
    ensure!((status, &said["type"]) == (503, &away), "{said}");
    way.mend();
    weighed(ana, "lot-9", "third").await?;
    ensure!(verdict(ana, "lot-9", 1, 20).await? == "valid");
    ensure!(sent(&anvil, &account, "pending").await? == before + 2);
    ensure!(logs_of(ana, "lot-9").await? == 1);
    audit.stop()?;

    // Another tree than the one that is demanded; a chain of the same number without the tree; none at all.
    let demanded = format!("root = \"0x{}\"\n", "01".repeat(20));
    let said = refused(dir.path(), &config(way.url(), &demanded), "all", &[])?;
    ensure!(said.contains("the database is of the tree"), "{said}");
    let other = free()?;
    let said = refused(dir.path(), &config(other.url(), ""), "all", &[])?;
    ensure!(
        said.contains("where the root of the tree should be"),
        "{said}"
    );
    drop(anvil);
    let said = refused(dir.path(), &config(way.url(), ""), "all", &[])?;
    ensure!(
        said.contains("did not answer eth_chainId") || said.contains("cannot be reached"),
        "{said}"
    );
    Ok(())
}

/// What a service says that does not start.
fn refused(dir: &Path, config: &str, service: &str, more: &[&str]) -> Result<String> {
    let path = dir.join("refused.toml");
    fs::write(&path, config)?;
    let mut command = counterfoil()?;
    let asked = ["audit", service, "--listen", "127.0.0.1:0", "--json"];
    command.args(asked).args(more).arg("--dir").arg(dir);
    let output = command.arg("--config").arg(&path).output()?;
    ensure!(!output.status.success(), "it ran");
    ensure!(output.stdout.is_empty(), "it was ready");
    Ok(String::from_utf8(output.stderr)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_is_not_the_one_or_cannot_be_is_refused_at_the_start() -> Result<()> {
    let dir = TempDir::new()?;
    let anvil = free()?;
    let here = config(anvil.url(), "");
    let other = here.replace(&format!("id = {}", Anvil::CHAIN), "id = 1");
    let old = Anvil::start(&["--hardfork", "shanghai"])?;
    let nobody = {
        let free = TcpListener::bind("127.0.0.1:0")?;
        format!("http://{}", free.local_addr()?)
    };
    let to_ledger = here.replace("contracts", "ledger");
    for (config, why) in [
        (other, "is chain 31337"),
        (config(&nobody, ""), "cannot be reached"),
        (config(old.url(), ""), "the rules of Cancun"),
        (to_ledger, "needs connector = \"contracts\""),
    ] {
        let said = refused(dir.path(), &config, "all", &[])?;
        ensure!(said.contains(why), "{said}");
    }
    for service in ["all", "audit", "gateway"] {
        let said = refused(dir.path(), &here, service, &["--ledger", "ledger"])?;
        ensure!(said.contains("--ledger is about a ledger"), "{said}");
        ensure!(said.contains("take [chain] out"), "{said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_service_alone_is_on_the_chain_and_the_gateway_needs_no_certificate() -> Result<()> {
    let anvil = free()?;
    let dir = TempDir::new()?;
    let identity = dir.path().join("identity");
    said(counterfoil()?.args(["audit", "identity"]).arg(&identity))?;
    let names = ["gateway", "users", "audit"];
    let free = names.map(|_| TcpListener::bind("127.0.0.1:0"));
    let mut listen = Vec::new();
    for free in &free {
        let free = free.as_ref().map_err(|error| anyhow!("{error}"))?;
        listen.push(free.local_addr()?.to_string());
    }
    drop(free);
    let services = format!(
        "[services]\nidentity = \"identity\"\nusers = [\"https://{}\"]\naudit = [\"https://{}\"]\n",
        listen[1], listen[2]
    );
    let path = dir.path().join("audit.toml");
    fs::write(&path, config(anvil.url(), &services))?;
    let mut alone = Vec::new();
    for (name, listen) in names.iter().zip(&listen) {
        let folder = dir.path().join(name);
        alone.push(Audit::start_alone_on_chain(name, &folder, &path, listen)?);
    }
    let (_, admin, people) = alone[0].people(1).await?;
    let ana = &people[0];
    weighed(ana, "lot-7", "first").await?;
    ensure!(verdict(ana, "lot-7", 1, 20).await? == "valid");
    let account = account(&admin, ana).await?;
    // Signing in, and weighing.
    ensure!(sent(&anvil, &account, "latest").await? == 2);
    alone[2].kill()?;
    let user = format!("/v1/users/{}", ana.id);
    let user = ana.done(Method::GET, &user, &Value::Null).await?;
    ensure!(
        user["email"] == "user0@example.org" && user.get("account").is_none(),
        "{user}"
    );
    Ok(())
}

/// The account that the services say they made for the first participant.
fn first_account(audit: &Audit) -> Result<String> {
    let log = audit.logged()?;
    let line = log
        .lines()
        .find(|line| line.contains("an account on the chain is made"));
    let line = line.with_context(|| format!("no account is named in {log}"))?;
    let at = line.find("0x").context("an account begins with 0x")?;
    Ok(line[at..].chars().take(42).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_gas_costs_money_the_operator_finds_the_accounts_and_the_event_waits_for_it()
-> Result<()> {
    let anvil = Anvil::start(&[])?;
    let dir = TempDir::new()?;
    let market = "[chain.market]\ncap = 50_000_000_000\ntip_max = 1_000_000_000\n";
    let config = config(anvil.url(), &format!("confirmations = 1\n{market}"));
    let audit = Audit::start_on_chain(dir.path(), &config, Some("info"))?;
    let visitor = audit.visitor()?;
    let first = visitor.become_root("root@example.org").await;
    let Err(pending) = first else {
        bail!("somebody without money made a tree");
    };
    ensure!(pending.to_string().contains("Pending"), "{pending}");
    let account_of_root = first_account(&audit)?;
    let fund = async |account: &str| {
        anvil
            .ask("anvil_setBalance", json!([account, WEALTH]))
            .await
    };
    fund(&account_of_root).await?;
    let begun = Instant::now();
    let root = loop {
        match visitor.sign_in("root@example.org").await {
            Ok(root) => break root,
            Err(error) => ensure!(begun.elapsed() < WITHIN, "{error}"),
        }
        // Not more often: who is not there yet is told the same as who guesses passwords.
        sleep(Duration::from_secs(10)).await;
    };
    // The log has it as wallets show it, with a checksum in its case.
    let shown = account(&root, &root).await?;
    ensure!(shown.eq_ignore_ascii_case(&account_of_root), "{shown}");
    let admin = paid(&root, "administrator", &fund).await?;
    let ana = paid(&admin, "tuser", &fund).await?;
    weighed(&ana, "lot-7", "first").await?;
    ensure!(verdict(&ana, "lot-7", 1, 20).await? == "valid");
    let its = account(&admin, &ana).await?;
    let left = anvil.ask("eth_getBalance", json!([its, "latest"])).await?;
    let (left, wealth): (U256, U256) = (serde_json::from_value(left)?, WEALTH.parse()?);
    ensure!(left < wealth, "it cost nothing");
    Ok(())
}

/// An ether, in wei.
const WEALTH: &str = "0xde0b6b3a7640000";

/// Somebody new, whose account gets money before they do anything.
async fn paid(
    by: &Person,
    kind: &str,
    fund: &impl AsyncFn(&str) -> Result<Value>,
) -> Result<Person> {
    let email = format!("{kind}@example.org");
    let new = json!({"kind": kind, "email": email, "name": kind, "password": e2e::PASSWORD});
    let made = by.done(Method::POST, "/v1/users", &new).await?;
    let path = format!("/v1/users/{}", made["id"].as_str().context("an id")?);
    let user = by.done(Method::GET, &path, &Value::Null).await?;
    fund(user["account"].as_str().context("an account")?).await?;
    by.sign_in(&email).await
}
