//! Where Ethereum's own tools find the contracts of a ledger.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache;
use crate::client::{Client, Place};
use crate::network::Network;
use crate::server::{Ledger, said};

/// A chain to try tools on. Dropping it ends its nodes.
#[derive(Debug)]
pub struct Chain {
    place: Place,
    settings: Vec<(&'static str, String)>,
    _nodes: Nodes,
}

/// Keeps them running.
#[derive(Debug)]
enum Nodes {
    One { _ledger: Box<Ledger> },
    Three { _network: Box<Network> },
}

impl Chain {
    /// One node's plain listener: nobody is asked who they are.
    ///
    /// # Errors
    /// When the node does not start, or the contract cannot be compiled.
    pub fn plain() -> Result<Self> {
        let ledger = Ledger::start_with(&["--rpc", "127.0.0.1:0"])?;
        let place = ledger.place()?;
        let url = place.ready.rpc_url.clone().context("a plain listener")?;
        let settings = vec![("E2E_RPC", url), ("E2E_TOKEN", String::new())];
        let ledger = Box::new(ledger);
        Self::at(place, settings, Nodes::One { _ledger: ledger })
    }

    /// A node of three that does not lead, over TLS, with the administrator's token.
    ///
    /// # Errors
    /// When the network does not start, or the contract cannot be compiled.
    pub fn over_tls() -> Result<Self> {
        let folder = tempfile::tempdir().context("a folder for settings")?;
        let settings = folder.path().join("settings.toml");
        let calm = "[peers]\nlisten = \"127.0.0.1:0\"\nelection_ms = 4000\n";
        fs::write(&settings, calm).context("writing settings")?;
        let settings = settings.to_str().context("a path is text")?;
        let network = Network::with(3, &["--config", settings])?;
        let leader = network.leader()?;
        let place = network.place((leader + 1) % 3, "contracts")?;
        let url = format!("{}/rpc", place.ready.url);
        let trusted = text(&place.ready.service_cert)?;
        let settings = vec![
            ("E2E_RPC", url),
            ("E2E_CA", trusted.clone()),
            // Node.js reads it when it starts.
            ("NODE_EXTRA_CA_CERTS", trusted),
        ];
        let network = Box::new(network);
        Self::at(place, settings, Nodes::Three { _network: network })
    }

    fn at(place: Place, mut settings: Vec<(&'static str, String)>, nodes: Nodes) -> Result<Self> {
        let compiler = cache()?.join("sol");
        let artifact = compile(&compiler, &place.scratch)?;
        settings.push(("E2E_ARTIFACT", text(&artifact)?));
        settings.push(("SOLC_PACKAGES", text(&compiler)?));
        Ok(Self {
            place,
            settings,
            _nodes: nodes,
        })
    }

    /// Where the node is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Runs a tool's script on it.
    ///
    /// # Errors
    /// When the tool is not installed, or the script fails or hangs; with all that it said.
    pub fn run(&self, client: Client, script: &str) -> Result<()> {
        let settings = self.settings.iter();
        let settings: Vec<(&str, &str)> = settings.map(|(name, value)| (*name, &**value)).collect();
        client.run_at(script, &[], &settings, &self.place)
    }
}

/// The contract that tools are tried with, as compiled by the compiler of `contracts-sol`.
fn compile(compiler: &Path, folder: &Path) -> Result<PathBuf> {
    let here = env::var_os("CARGO_MANIFEST_DIR").context("run it with cargo")?;
    let mut command = Command::new("node");
    command.arg(Path::new(&here).join("sol/compile.mjs"));
    let compiled = said(command.env("SOLC_PACKAGES", compiler))?;
    let file = folder.join("counter.json");
    fs::write(&file, compiled).context("writing the compiled contract")?;
    Ok(file)
}

fn text(path: &Path) -> Result<String> {
    Ok(path.to_str().context("a path is text")?.to_owned())
}
