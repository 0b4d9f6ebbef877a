//! A disaster: every node of a network is killed, its secrets are gone, and one copy of the ledger
//! files is left. Members open the ledger again, with our commands and with CCF's tools.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::{Launch, Network, counterfoil, packages, said};
use serde_json::Value;
use tempfile::TempDir;

const WITHIN: Duration = Duration::from_secs(60);
const ENTRIES: usize = 20;

fn until(what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !done()? {
        ensure!(start.elapsed() < WITHIN, "waited in vain until {what}");
        sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// A command of a member against the first node.
fn member(network: &Network, keys: &Path, name: &str, args: &[&str]) -> Result<Value> {
    let ready = network.nodes[0].ready();
    let mut command = counterfoil()?;
    command
        .args(args)
        .arg("--json")
        .env("COUNTERFOIL_URL", &ready.url)
        .env("COUNTERFOIL_SERVICE_CERT", &ready.service_cert);
    for (flag, what) in [("--member-cert", "cert"), ("--member-key", "privk")] {
        command
            .arg(flag)
            .arg(keys.join(format!("{name}_{what}.pem")));
    }
    Ok(serde_json::from_str(&said(&mut command)?)?)
}

/// Two of three members accept it.
fn decide(network: &Network, keys: &Path, action: &[&str]) -> Result<()> {
    let create = [&["proposal", "create"], action, &["--yes"]].concat();
    let proposed = member(network, keys, "alice", &create)?;
    let id = proposed["proposalId"].as_str().context("it has an id")?;
    let decided = member(network, keys, "bob", &["proposal", "vote", id, "yes"])?;
    ensure!(decided["proposalState"] == "Accepted", "{decided}");
    Ok(())
}

/// Two members who hold shares, beside the founding one.
fn add_members(network: &Network, keys: &Path) -> Result<()> {
    for name in ["alice", "bob"] {
        said(
            counterfoil()?
                .args(["member", "keygen", name, "--encryption", "--out"])
                .arg(keys),
        )?;
        let file = |what: &str| {
            keys.join(format!("{name}_{what}.pem"))
                .display()
                .to_string()
        };
        network.propose(&[
            "set_member",
            &format!("cert=@{}", file("cert")),
            &format!("encryption_pub_key=@{}", file("enc_pubk")),
            &format!("member_data={{\"name\":\"{name}\"}}"),
        ])?;
    }
    network.propose(&["set_recovery_threshold", "recovery_threshold=2"])?;
    for name in ["alice", "bob"] {
        member(network, keys, name, &["member", "ack"])?;
    }
    Ok(())
}

fn has_shares(network: &Network, tokio: &tokio::runtime::Runtime, keys: &Path) -> Result<bool> {
    let pem = fs::read_to_string(keys.join("bob_cert.pem"))?;
    let id = network.command(&["member", "list", "--json"])?;
    let bob = String::from_utf8_lossy(&id.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|member| member["certificate"].as_str().map(str::trim) == Some(pem.trim()))
        .context("bob is a member")?;
    let id = bob["memberId"].as_str().context("it has an id")?;
    let path = format!("/gov/recovery/encrypted-shares/{id}?api-version=2024-07-01");
    let http = network.nodes[0].http()?;
    Ok(tokio.block_on(http.get(&path))?.status == 200)
}

/// Copies a node's folder but for what a disaster takes: its secrets.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for file in fs::read_dir(from)? {
        let file = file?;
        let target = to.join(file.file_name());
        if file.file_type()?.is_dir() {
            copy(&file.path(), &target)?;
        } else if !file.file_name().to_string_lossy().contains("secrets") {
            fs::copy(file.path(), target)?;
        }
    }
    Ok(())
}

fn python(network: &Network, keys: &Path, script: &str, args: &[&str]) -> Result<String> {
    let packages = packages("ccf")?;
    let scripts = std::env::var_os("CARGO_MANIFEST_DIR").context("run it with cargo")?;
    let ready = network.nodes[0].ready();
    let mut command = Command::new(packages.join("bin/python"));
    command
        .arg(Path::new(&scripts).join("python").join(script))
        .args(args)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("E2E_URL", &ready.url)
        .env("E2E_SERVICE_CERT", &ready.service_cert)
        .env("E2E_DATA", network.nodes[0].folder())
        .env("E2E_KEYS", keys);
    said(&mut command)
}

fn verify(receipt: &Path, cert: &Path) -> Result<()> {
    let mut command = counterfoil()?;
    command.arg("verify").arg(receipt).arg("--service-cert");
    said(command.arg(cert)).map(drop)
}

fn status(network: &Network, tokio: &tokio::runtime::Runtime) -> Result<String> {
    let http = network.nodes[0].http()?;
    let network: Value = tokio.block_on(http.get_json("/node/network"))?;
    Ok(network["service_status"]
        .as_str()
        .unwrap_or_default()
        .to_owned())
}

#[test]
fn members_open_a_ledger_again_after_all_nodes_were_lost() -> Result<()> {
    let tokio = tokio::runtime::Runtime::new()?;
    let keys = TempDir::with_prefix("counterfoil-e2e-keys-")?;
    let keys = keys.path();
    // Elections are no part of this story.
    let config = keys.join("patient.toml");
    fs::write(
        &config,
        "[peers]\nlisten = \"127.0.0.1:0\"\nelection_ms = 5000\n",
    )?;
    let config = config.to_str().context("a path is text")?;
    let mut lost = Network::with(3, &["--config", config])?;
    add_members(&lost, keys)?;
    let mut ids = Vec::new();
    for number in 0..ENTRIES {
        if number == ENTRIES / 2 {
            // What follows is sealed under another secret than what was before.
            decide(&lost, keys, &["trigger_ledger_rekey"])?;
            lost.wishes_are_done()?;
        }
        let text = format!("entry {number}");
        let written = lost.command(&["entry", "write", &text, "--json"])?;
        let written: Value = serde_json::from_slice(&written.stdout)?;
        let id = written["transactionId"].as_str().context("it has an id")?;
        ids.push(id.to_owned());
    }
    until("bob has a share", || has_shares(&lost, &tokio, keys))?;
    let old_receipt = keys.join("old_receipt.json");
    let output = old_receipt.to_str().context("a path is text")?;
    lost.command(&["receipt", "get", &ids[3], "-o", output])?;
    let old_cert = keys.join("old_service_cert.pem");
    fs::copy(&lost.nodes[0].ready().service_cert, &old_cert)?;
    verify(&old_receipt, &old_cert)?;
    lost.caught_up()?;
    for node in &mut lost.nodes {
        node.kill()?;
    }

    // What is left is one folder without its secrets.
    let rescued = TempDir::with_prefix("counterfoil-rescued-")?;
    let folder = rescued.path().join("node0");
    copy(lost.nodes[0].folder(), &folder)?;
    drop(lost);
    let recovered = said(
        counterfoil()?
            .args(["recover", "--json", "--dir"])
            .arg(&folder),
    )?;
    let recovered: Value = serde_json::from_str(&recovered)?;
    ensure!(recovered["recoveryThreshold"] == 2, "{recovered}");
    let file = |name: &str| -> Result<PathBuf> {
        Ok(recovered[name]
            .as_str()
            .context("it names its files")?
            .into())
    };
    let (previous, next) = (file("previousServiceCert")?, file("serviceCert")?);
    ensure!(fs::read(&previous)? == fs::read(&old_cert)?);

    let mut network = Network::founded_in(rescued, &Launch::with(&["--config", config]))?;
    network.leader()?;
    ensure!(status(&network, &tokio)? == "Recovering");
    let early = network.command(&["entry", "write", "too early"]);
    let early = early
        .err()
        .context("nothing private is written")?
        .to_string();
    ensure!(early.contains("recovered from a disaster"), "{early}");

    // Members accept the service and give their shares: one with our command, one with CCF's tools.
    let identity = |name: &str, file: &Path| format!("{name}=@{}", file.display());
    let action = [
        "transition_service_to_open",
        &identity("previous_service_identity", &previous),
        &identity("next_service_identity", &next),
    ];
    decide(&network, keys, &action)?;
    ensure!(status(&network, &tokio)? == "WaitingForRecoveryShares");
    let expected = "1/2 recovery shares successfully submitted";
    python(&network, keys, "ccf_recovery_share.py", &["bob", expected])?;
    let key = keys.join("alice_enc_privk.pem").display().to_string();
    let share = ["member", "recovery-share", "--encryption-key", &key];
    let given = member(&network, keys, "alice", &share)?;
    ensure!(given["submittedCount"] == 2, "{given}");
    until("the service is open", || {
        Ok(status(&network, &tokio)? == "Open")
    })?;

    // What was written before is there; old receipts hold, and new ones of old entries.
    for (number, id) in ids.iter().enumerate() {
        let read = network.command(&["entry", "read", id])?;
        let text = String::from_utf8_lossy(&read.stdout).into_owned();
        ensure!(text.contains(&format!("entry {number}")), "{id}: {text}");
    }
    verify(&old_receipt, &old_cert)?;
    let receipt = keys.join("receipt.json");
    let output = receipt.to_str().context("a path is text")?;
    network.command(&["receipt", "get", &ids[3], "-o", output])?;
    verify(&receipt, &next)?;
    verify(&receipt, &old_cert)?;
    network.command(&["entry", "write", "after the disaster"])?;

    // Others read the files too.
    network.nodes[0].stop()?;
    said(
        counterfoil()?
            .args(["ledger", "audit"])
            .arg(&folder)
            .arg("--service-cert")
            .arg(&next),
    )?;
    let told = said(counterfoil()?.args(["ledger", "governance"]).arg(&folder))?;
    ensure!(!told.contains("WRONG"), "{told}");
    // The rekey replaced one secret, and the disaster another.
    python(&network, keys, "ccf_secrets.py", &["2"])?;
    let read = python(&network, keys, "ccf_ledger.py", &[&ENTRIES.to_string()])?;
    eprintln!("{read}");
    Ok(())
}
