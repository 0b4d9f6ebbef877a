//! The servers that are compared: ours, and other people's nodes for development, which keep nothing.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use e2e::Ledger;
use serde_json::json;
use tempfile::TempDir;

use crate::http;

/// A server that takes longer to start never will.
const ATTEMPTS: u32 = 300;

/// A server that runs until this is dropped.
pub(crate) struct Server {
    /// Where it is asked.
    pub(crate) address: SocketAddr,
    /// Its process.
    pub(crate) pid: u32,
    /// How somebody is given ether, where there is any.
    pub(crate) fund: Option<&'static str>,
    /// Where it keeps what it has, if it does.
    pub(crate) folder: Option<PathBuf>,
    _process: Process,
}

enum Process {
    Ledger(#[expect(dead_code, reason = "held, so that it runs")] Box<Ledger>),
    Peer {
        child: Child,
        /// What it leaves at home goes with it.
        _home: TempDir,
    },
}

impl Server {
    /// Ours, as it is handed out.
    pub(crate) fn counterfoil() -> Result<Self> {
        let ledger = Ledger::start_with(&["--rpc", "127.0.0.1:0"])?;
        let ready = ledger.ready();
        let url = ready
            .rpc_url
            .as_deref()
            .context("no listener for contracts")?;
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        Ok(Self {
            address: address.parse().with_context(|| format!("reading {url}"))?,
            pid: ready.pid,
            fund: None,
            folder: Some(ledger.folder()),
            _process: Process::Ledger(Box::new(ledger)),
        })
    }

    /// Foundry's node. Each transaction is a block, or each second is.
    pub(crate) async fn anvil(each_second: bool) -> Result<Self> {
        let program = "@foundry-rs/anvil-linux-amd64/bin/anvil";
        let mut command = Command::new(package(program)?);
        // Nothing that it is asked to do may be limited by what it is told here.
        command.args(["--quiet", "--order", "fifo", "--disable-block-gas-limit"]);
        command.args(["--block-base-fee-per-gas", "0", "--gas-price", "0"]);
        if each_second {
            command.args(["--block-time", "1"]);
        }
        Self::peer(command, "--port", "anvil_setBalance").await
    }

    /// Truffle's node, the one of the audit paper in its last version.
    pub(crate) async fn ganache() -> Result<Self> {
        let mut command = Command::new("node");
        command.arg(package("ganache/dist/node/cli.js")?);
        command.args(["--logging.quiet", "--miner.blockGasLimit", "1000000000"]);
        Self::peer(command, "--server.port", "evm_setAccountBalance").await
    }

    async fn peer(mut command: Command, port: &str, fund: &'static str) -> Result<Self> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = free.local_addr()?;
        drop(free);
        let home = TempDir::with_prefix("counterfoil-peer-")?;
        command.args([port, &address.port().to_string()]);
        command.env("HOME", home.path()).current_dir(home.path());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        let server = Self {
            address,
            pid: child.id(),
            fund: Some(fund),
            folder: None,
            _process: Process::Peer { child, _home: home },
        };
        for _ in 0..ATTEMPTS {
            if http::call(address, "eth_chainId", json!([])).await.is_ok() {
                return Ok(server);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("{command:?} does not answer");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Self::Peer { child, .. } = self {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A file of a package that `cargo xtask bench contracts` installs.
fn package(file: &str) -> Result<PathBuf> {
    let path = e2e::cache()?.join("peers/node_modules").join(file);
    ensure!(
        path.is_file(),
        "{} is missing: `cargo xtask bench contracts` installs it",
        path.display()
    );
    Ok(path)
}
