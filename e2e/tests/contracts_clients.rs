//! Ethereum's own tools use the contracts, unmodified: each deploys, writes, reads, filters and
//! subscribes, at a node of three that does not lead, over TLS.

use anyhow::Result;
use e2e::{Chain, Client};

const HARDHAT: Client = Client::NodeWith("hardhat");
const FOUNDRY: Client = Client::NodeWith("foundry");

#[test]
fn ethers_uses_contracts() -> Result<()> {
    Chain::over_tls()?.run(Client::Node, "contracts_ethers.mjs")
}

#[test]
fn viem_uses_contracts() -> Result<()> {
    Chain::over_tls()?.run(Client::Node, "contracts_viem.mjs")
}

#[test]
fn web3_js_uses_contracts() -> Result<()> {
    Chain::over_tls()?.run(Client::Node, "contracts_web3.mjs")
}

#[test]
fn web3_py_uses_contracts() -> Result<()> {
    Chain::over_tls()?.run(Client::Python("web3"), "contracts_web3.py")
}

#[test]
fn hardhat_uses_contracts() -> Result<()> {
    Chain::over_tls()?.run(HARDHAT, "run.mjs")
}

#[test]
fn cast_uses_contracts() -> Result<()> {
    Chain::over_tls()?.run(FOUNDRY, "cast.mjs")
}

#[test]
fn forge_scripts_use_contracts() -> Result<()> {
    Chain::over_tls()?.run(FOUNDRY, "forge.mjs")
}
