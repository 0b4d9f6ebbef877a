//! Three nodes in three processes: what their users and their auditors meet.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::{Acknowledged, Network, Writers, counterfoil, next_release, one_history};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_write_sent_to_any_node_is_recorded_once_and_read_at_all() -> Result<()> {
    let network = Network::of(3)?;
    let leader = network.leader()?;
    let mut ids = Vec::new();
    for (number, node) in network.nodes.iter().enumerate() {
        let http = node.http()?;
        let contents = json!({ "contents": format!("entry {number}") });
        let answer = http.post("/app/transactions", &contents).await?;
        if number == leader {
            ensure!(answer.status == 200, "{}", answer.text());
        } else {
            ensure!(answer.status == 307, "{}: {}", answer.status, answer.text());
            let url = &network.nodes[leader].ready().url;
            let location = answer.location.as_deref().unwrap_or_default();
            ensure!(
                location.starts_with(&format!("{url}/app/transactions?")),
                "{location}"
            );
        }
        // Our own client finds the leader by itself.
        let said = command(
            &network,
            number,
            &["entry", "write", &format!("by {number}"), "--json"],
        )?;
        ids.push(said["transactionId"].as_str().context("an id")?.to_owned());
    }
    for (number, id) in ids.iter().enumerate() {
        for node in &network.nodes {
            let path = format!("/app/transactions/{id}");
            let entry: Value = node.http()?.get_json(&path).await?;
            ensure!(
                entry["entry"]["contents"] == format!("by {number}"),
                "{entry}"
            );
        }
    }
    let list: Value = network.nodes[2]
        .http()?
        .get_json("/app/transactions")
        .await?;
    ensure!(
        list["entries"].as_array().map(Vec::len) == Some(4),
        "{list}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_killed_under_load_loses_nothing_and_another_one_goes_on() -> Result<()> {
    let mut network = Network::of(3)?;
    let nodes = network.all_http()?;
    let writers = Writers::start(&nodes, 8);
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let leader = network.leader()?;
        let before = network.standing(leader).context("it leads")?.current_view;
        network.nodes[leader].kill()?;
        let next = network.leader()?;
        let after = network.standing(next).context("it leads")?.current_view;
        ensure!(after > before, "view {after} after {before}");
        tokio::time::sleep(Duration::from_millis(300)).await;
        network.nodes[leader].start()?;
    }
    let acknowledged = writers.finish().await?;
    ensure!(acknowledged.len() > 100, "only {}", acknowledged.len());
    network.caught_up()?;
    for (at, http) in nodes.iter().enumerate() {
        for Acknowledged { id, contents, .. } in &acknowledged {
            let entry: Value = http.get_json(&format!("/app/transactions/{id}")).await?;
            ensure!(
                entry["entry"]["contents"] == *contents,
                "node {at}, {id}: {entry}"
            );
        }
    }
    eprintln!("{} writes were acknowledged", acknowledged.len());
    one_history(&mut network)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_runs_other_code_is_not_let_in() -> Result<()> {
    let network = Network::of(1)?;
    let known = network.nodes[0].ready();
    let other = next_release(&network.scratch()?)?;
    let refused = Command::new(&other)
        .args([
            "up",
            "--listen",
            "127.0.0.1:0",
            "--peers",
            "127.0.0.1:0",
            "--dir",
        ])
        .arg(network.scratch()?.join("other"))
        .args(["--join", &known.url, "--service-cert"])
        .arg(&known.service_cert)
        .output()?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(!refused.status.success(), "it was let in");
    ensure!(said.contains("FailedInvalidHostData"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_its_disk_is_replaced() -> Result<()> {
    let mut network = Network::of(3)?;
    let http = network.nodes[0].http()?;
    for number in 0..20 {
        let body = json!({ "contents": format!("entry {number}") });
        let answer = http.post("/app/transactions", &body).await?;
        ensure!(answer.status == 200, "{}", answer.text());
    }
    let lost = network.standing(0).context("it answers")?.deciding;
    let own: Value = network.nodes[2]
        .http()?
        .get_json("/node/network/nodes/self")
        .await?;
    let id = own["node_id"].as_str().context("an id")?.to_owned();
    ensure!(lost.contains(&id), "{lost:?}");
    network.nodes[2].kill()?;
    network.propose(&["remove_node", &format!("node_id={id}")])?;
    network.nodes.remove(2);
    network.all_decide(2)?;
    network.join("replacement", &[])?;
    network.all_decide(3)?;
    network.caught_up()?;
    one_history(&mut network)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_removed_signs_nothing_after_it_is_retired() -> Result<()> {
    let mut network = Network::of(3)?;
    let leader = network.leader()?;
    let nodes = network.all_http()?;
    let writers = Writers::start(&nodes, 4);
    let own: Value = nodes[leader].get_json("/node/network/nodes/self").await?;
    let id = own["node_id"].as_str().context("an id")?.to_owned();
    network.propose(&["remove_node", &format!("node_id={id}")])?;
    let mut removed = network.nodes.remove(leader);
    network.all_decide(2)?;
    let http = network.nodes[network.leader()?].http()?;
    let asked = Instant::now();
    loop {
        let all: Value = http.get_json("/node/network/nodes").await?;
        let rows = all["nodes"].as_array().context("a list of nodes")?;
        let row = rows.iter().find(|row| row["node_id"] == *id);
        let row = row.context("the removed node stays in the list")?;
        if row["status"] == "Retired" {
            break;
        }
        ensure!(asked.elapsed() < Duration::from_secs(20), "{row}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let acknowledged = writers.finish().await?;
    ensure!(acknowledged.len() > 50, "only {}", acknowledged.len());
    for Acknowledged { id, contents, .. } in &acknowledged {
        let entry: Value = http.get_json(&format!("/app/transactions/{id}")).await?;
        ensure!(entry["entry"]["contents"] == *contents, "{id}: {entry}");
    }
    removed.stop()?;
    one_history(&mut network)
}

fn command(network: &Network, node: usize, args: &[&str]) -> Result<Value> {
    let ready = network.nodes[node].ready();
    let start = Instant::now();
    let output = counterfoil()?
        .args(args)
        .env("COUNTERFOIL_URL", &ready.url)
        .env("COUNTERFOIL_SERVICE_CERT", &ready.service_cert)
        .env("COUNTERFOIL_TOKEN", &ready.token)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.success(),
        "{args:?} after {:?}: {said}",
        start.elapsed()
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}
