//! CCF's own tools over the ledgers of three nodes that lost their leader, and were rekeyed, again and
//! again.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::{Client, Network, Writers, one_history};

/// Leaders that are killed.
const KILLS: usize = 3;
/// So short that each ledger has several files.
const CHUNK_BYTES: usize = 20_000;

#[tokio::test(flavor = "multi_thread")]
async fn the_readers_validate_what_each_node_wrote_across_views_and_rekeys() -> Result<()> {
    let settings = tempfile::NamedTempFile::new()?;
    fs::write(
        &settings,
        format!("[server]\nchunk_bytes = {CHUNK_BYTES}\n"),
    )?;
    let settings = settings.path().to_str().context("a path is text")?;
    let mut network = Network::with(3, &["--config", settings])?;
    let writers = Writers::start(&network.all_http()?, 8);
    for _ in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let leader = network.leader()?;
        network.nodes[leader].kill()?;
        network.leader()?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        network.nodes[leader].start()?;
        network.propose(&["trigger_ledger_rekey"])?;
        network.wishes_are_done()?;
    }
    let acknowledged = writers.finish().await?.len();
    ensure!(acknowledged > 100, "only {acknowledged}");
    one_history(&mut network)?;

    let [count, views] = [acknowledged, KILLS + 1].map(|number| number.to_string());
    for node in 0..network.nodes.len() {
        let place = network.place(node, &format!("read{node}"))?;
        for reader in ["ccf", "ccf6"] {
            let args = [&*count, &*views];
            Client::Python(reader).run_at("ccf_ledger.py", &args, &[], &place)?;
            let rekeys = KILLS.to_string();
            Client::Python(reader).run_at("ccf_secrets.py", &[&rekeys], &[], &place)?;
        }
    }

    let files = |node: usize| committed(&network.nodes[node].folder().join("ledger"));
    let first = files(0)?;
    ensure!(first.len() > 3, "only the files {:?}", first.keys());
    for node in 1..network.nodes.len() {
        let others = files(node)?;
        ensure!(
            first.keys().eq(others.keys()),
            "node {node} has other files: {:?}, not {:?}",
            others.keys(),
            first.keys()
        );
        for (name, bytes) in &others {
            ensure!(first[name] == *bytes, "node {node}: {name} differs");
        }
    }
    Ok(())
}

/// The closed files of a ledger, by name.
fn committed(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".committed") {
            files.insert(name.into_owned(), fs::read(&path)?);
        }
    }
    Ok(files)
}
