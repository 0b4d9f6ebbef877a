//! The vendor's own SDKs, unmodified, at any of three nodes, and while their leader dies.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::{Client, Network, client_certificate, one_history};
use serde_json::Value;

const SDK_1: Client = Client::Python("azure1");
const SDK_2: Client = Client::Python("azure2");

/// Three nodes whose leader stays, however busy the machine is.
fn calm() -> Result<Network> {
    let settings = tempfile::NamedTempFile::new()?;
    fs::write(
        &settings,
        "[peers]\nlisten = \"127.0.0.1:0\"\nelection_ms = 4000\n",
    )?;
    let settings = settings.path().to_str().context("a path is text")?;
    Network::with(3, &["--config", settings])
}

/// All scripts of one SDK at followers, and the main one at each node.
fn at_any_node(sdk: Client, scripts: &[&str]) -> Result<()> {
    let network = calm()?;
    let leader = network.leader()?;
    let followers: Vec<usize> = (0..3).filter(|&node| node != leader).collect();
    for node in 0..3 {
        let place = network.place(node, "entries")?;
        for caller in ["token", "cert"] {
            sdk.run_at("azure_entries.py", &[caller], &[], &place)?;
        }
    }
    for (number, script) in scripts.iter().enumerate() {
        // Each node with each kind of caller, over all scripts.
        let caller = ["token", "cert"][number / 2 % 2];
        let place = network.place(followers[number % 2], "scripts")?;
        sdk.run_at(script, &[caller], &[], &place)?;
    }
    Ok(())
}

#[test]
fn sdk_1_works_at_any_node() -> Result<()> {
    at_any_node(
        SDK_1,
        &["azure_ranges.py", "azure_errors.py", "azure_users.py"],
    )
}

#[test]
fn sdk_2_works_at_any_node() -> Result<()> {
    let scripts = ["azure_ranges.py", "azure_errors.py", "azure_users.py"];
    at_any_node(SDK_2, &[&scripts[..], &["azure_roles.py"]].concat())
}

#[test]
fn the_javascript_client_works_at_any_node() -> Result<()> {
    let network = calm()?;
    for node in 0..3 {
        let place = network.place(node, "js")?;
        Client::Node.run_at("azure.mjs", &["token"], &[], &place)?;
        let certificate = place.scratch.join(format!("javascript-{node}.pem"));
        client_certificate(&certificate)?;
        let certificate = certificate.to_string_lossy();
        Client::Node.run_at("azure.mjs", &["cert", &certificate], &[], &place)?;
    }
    Ok(())
}

/// Each SDK writes through a follower, one after the other, and the leader is killed meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn the_sdks_work_on_when_the_leader_dies_and_nothing_is_lost_or_doubled() -> Result<()> {
    let mut network = Network::of(3)?;
    let leader = network.leader()?;
    let followers: Vec<usize> = (0..3).filter(|&node| node != leader).collect();
    let enough = network.scratch()?.join("enough");
    let stop = enough.to_str().context("a path is text")?;
    let writers: [(_, _, Vec<&str>); 5] = [
        (SDK_1, "azure_failover.py", vec!["token", stop]),
        (SDK_1, "azure_failover.py", vec!["cert", stop]),
        (SDK_2, "azure_failover.py", vec!["token", stop]),
        (SDK_2, "azure_failover.py", vec!["cert", stop]),
        (Client::Node, "azure_failover.mjs", vec![stop]),
    ];
    let mut running = Vec::new();
    for (number, (sdk, script, args)) in writers.into_iter().enumerate() {
        let place = network.place(followers[number % 2], &format!("writer{number}"))?;
        let scratch = place.scratch.clone();
        let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
        let writer = thread::spawn(move || {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            sdk.run_at(script, &args, &[], &place)
        });
        running.push((writer, scratch));
    }
    // Clients take a while to start, most of all several at a time.
    let begun = network.committed(leader).context("the leader answers")?;
    while network.committed(leader) < Some(begun + 100) {
        ensure!(
            running.iter().any(|(writer, _)| !writer.is_finished()),
            "nobody writes"
        );
        thread::sleep(Duration::from_millis(50));
    }
    thread::sleep(Duration::from_secs(1));
    network.nodes[leader].kill()?;
    let next = network.leader()?;
    ensure!(next != leader, "a dead node leads");
    thread::sleep(Duration::from_secs(3));
    network.nodes[leader].start()?;
    thread::sleep(Duration::from_secs(1));
    fs::write(&enough, "")?;
    let mut acknowledged: Vec<(String, String)> = Vec::new();
    for (writer, scratch) in running {
        writer.join().expect("a writer does not panic")?;
        let told = fs::read(scratch.join("acknowledged.json"))?;
        let told: Vec<(String, String)> = serde_json::from_slice(&told)?;
        let views = |id: &str| id.split('.').next().map(str::to_owned);
        let (first, last) = (&told[0].0, &told[told.len() - 1].0);
        ensure!(
            views(first) != views(last),
            "{scratch:?} wrote in one view only: {first} to {last}"
        );
        acknowledged.extend(told);
    }
    network.caught_up()?;
    for node in &network.nodes {
        let http = node.http()?;
        for (id, text) in &acknowledged {
            let entry: Value = http.get_json(&format!("/app/transactions/{id}")).await?;
            ensure!(entry["entry"]["contents"] == *text, "{id}: {entry}");
        }
    }
    eprintln!("{} writes were acknowledged", acknowledged.len());
    one_history(&mut network)
}
