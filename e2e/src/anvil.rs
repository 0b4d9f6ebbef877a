//! A foreign Ethereum node on this machine: anvil, with a chain of its own in memory.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cache;

/// One that does not listen by then never will.
const READY_WITHIN: Duration = Duration::from_secs(30);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A running node. Dropping it kills it; nothing stays behind.
#[derive(Debug)]
pub struct Anvil {
    process: Child,
    url: String,
    /// Its home: it keeps states there.
    _home: TempDir,
}

impl Anvil {
    /// The key of an account that every new chain of anvil's endows, in hex.
    pub const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
    /// The chain's id.
    pub const CHAIN: u64 = 31_337;

    /// Starts a chain, with more arguments such as `--no-mining`.
    ///
    /// # Errors
    /// When it is not installed, or does not say that it listens.
    pub fn start(args: &[&str]) -> Result<Self> {
        let home = TempDir::with_prefix("counterfoil-anvil-").context("making a folder")?;
        let mut process = Command::new(program()?)
            .args(["--port", "0", "--host", "127.0.0.1"])
            .args(args)
            .current_dir(home.path())
            .env("HOME", home.path())
            .env("TMPDIR", home.path())
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_CACHE_HOME")
            .env_remove("XDG_DATA_HOME")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("starting anvil")?;
        let stdout = process.stdout.take().expect("standard output is a pipe");
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            // Read on after the line, so that it never writes into a closed pipe.
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(address) = line.strip_prefix("Listening on ") {
                    let _ = tell.send(address.trim().to_owned());
                }
            }
        });
        match told.recv_timeout(READY_WITHIN) {
            Ok(address) => Ok(Self {
                process,
                url: format!("http://{address}"),
                _home: home,
            }),
            Err(_) => {
                let _ = process.kill();
                let _ = process.wait();
                bail!("anvil does not listen")
            }
        }
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks it something that no client of a real chain would.
    ///
    /// # Errors
    /// When it refuses.
    pub async fn ask(&self, method: &str, params: Value) -> Result<Value> {
        rpc(&self.url, method, params).await
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Asks a node over JSON-RPC.
///
/// # Errors
/// When it cannot be asked, or refuses.
pub async fn rpc(url: &str, method: &str, params: Value) -> Result<Value> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(ANSWER_WITHIN)
        .build()?;
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let sent = client.post(url).json(&request).send().await;
    let mut answer: Value = sent.context(method.to_owned())?.json().await?;
    match answer.get("error") {
        Some(error) => bail!("{method}: {error}"),
        None => Ok(answer["result"].take()),
    }
}

fn program() -> Result<PathBuf> {
    let packages = cache()?.join("evm");
    let program = packages.join("node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil");
    if !packages.join("installed.txt").is_file() {
        bail!(
            "anvil is not installed in {}: run `cargo xtask test e2e`",
            packages.display()
        );
    }
    Ok(program)
}
