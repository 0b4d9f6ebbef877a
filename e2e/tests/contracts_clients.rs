//! Ethereum's own tools use the contracts, unmodified: each deploys, writes, reads, filters and subscribes.

use std::env;

use anyhow::Result;
use e2e::{Chain, Client};

const HARDHAT: Client = Client::NodeWith("hardhat");
const FOUNDRY: Client = Client::NodeWith("foundry");

/// What the tools are tried on: a plain listener; with `COUNTERFOIL_E2E_RPC=tls`, a network over TLS.
fn endpoint() -> Result<Chain> {
    match env::var("COUNTERFOIL_E2E_RPC").as_deref() {
        Ok("tls") => Chain::over_tls(),
        _ => Chain::plain(),
    }
}

#[test]
fn ethers_uses_contracts() -> Result<()> {
    endpoint()?.run(Client::Node, "contracts_ethers.mjs")
}

#[test]
fn viem_uses_contracts() -> Result<()> {
    endpoint()?.run(Client::Node, "contracts_viem.mjs")
}

#[test]
fn web3_js_uses_contracts() -> Result<()> {
    endpoint()?.run(Client::Node, "contracts_web3.mjs")
}

#[test]
fn web3_py_uses_contracts() -> Result<()> {
    endpoint()?.run(Client::Python("web3"), "contracts_web3.py")
}

#[test]
fn hardhat_uses_contracts() -> Result<()> {
    endpoint()?.run(HARDHAT, "run.mjs")
}

#[test]
fn cast_uses_contracts() -> Result<()> {
    endpoint()?.run(FOUNDRY, "cast.mjs")
}

#[test]
fn forge_scripts_use_contracts() -> Result<()> {
    endpoint()?.run(FOUNDRY, "forge.mjs")
}
