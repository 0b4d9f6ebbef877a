//! What operators do, and their guide and the first page as they are written.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use e2e::{
    Acknowledged, Launch, Network, Writers, commands, next_release, one_history, run_commands,
    run_guide,
};
use serde_json::Value;
use tempfile::TempDir;

#[test]
fn the_operators_guide_and_what_builds_on_it_work_as_they_are_written() -> Result<()> {
    let folder = TempDir::with_prefix("counterfoil-e2e-next-")?;
    next_release(folder.path())?;
    let pages = ["operating.md", "cosignatures.md", "attestation.md"];
    run_guide(&pages, &[folder.path()])
}

/// What its commands build is built before the tests are run; "another terminal" is the same one here.
#[test]
fn the_first_pages_ledger_works_as_it_is_written() -> Result<()> {
    let blocks = commands("README.md")?;
    let [_, first, second] = &blocks[..] else {
        bail!("the first page has a demo, and a ledger in two terminals");
    };
    let (build, up) = first.trim_end().split_once('\n').context("two lines")?;
    ensure!(build.starts_with("cargo build "), "{build}");
    let up = up.split('#').next().unwrap_or(up);
    // Any port will do, and is said where a flag would be.
    run_commands(
        &format!(
            "export COUNTERFOIL_LISTEN=127.0.0.1:0\n{up} &\n\
             until [ -f ledger/client.toml ]; do sleep 0.2; done\n{second}"
        ),
        &[],
    )
}

/// Restarted one after the other with another program, nodes go on deciding together meanwhile, and
/// clients notice no more than that the leader changes.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_upgraded_one_after_the_other_under_load() -> Result<()> {
    let mut network = Network::of(3)?;
    let next = next_release(&network.scratch()?)?;
    let digest = sha256(&next)?;
    let nodes = network.all_http()?;
    let writers = Writers::start(&nodes, 8);
    let mut begun = Vec::new();
    for at in 0..network.nodes.len() {
        begun.push(std::time::Instant::now());
        network.nodes[at].stop()?;
        network.nodes[at].upgrade(&next);
        network.nodes[at].start()?;
        network.caught_up()?;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    // What other nodes may run is the members' decision: the new release, and no more the old one.
    network.propose(&["add_virtual_host_data", &format!("host_data={digest}")])?;
    let launch = Launch {
        program: Some(next),
        ..Launch::with(&["--peers", "127.0.0.1:0", "--log", "info"])
    };
    network.join_as("node3", &launch)?;
    network.all_decide(4)?;
    let acknowledged = writers.finish().await?;
    for (at, begun) in begun.iter().enumerate() {
        let since = acknowledged.iter().filter(|write| write.at > *begun);
        ensure!(since.count() > 20, "hardly a write after node {at} stopped");
    }
    network.caught_up()?;
    for http in network.all_http()? {
        for Acknowledged { id, contents, .. } in &acknowledged {
            let entry: Value = http.get_json(&format!("/app/transactions/{id}")).await?;
            ensure!(entry["entry"]["contents"] == *contents, "{id}: {entry}");
        }
    }
    eprintln!("{} writes were acknowledged", acknowledged.len());
    one_history(&mut network)
}

fn sha256(file: &std::path::Path) -> Result<String> {
    let said = std::process::Command::new("sha256sum").arg(file).output()?;
    let said = String::from_utf8(said.stdout)?;
    Ok(said.split(' ').next().context("a digest")?.to_owned())
}
