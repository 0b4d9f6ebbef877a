//! Ethereum's own tools use the contracts, unmodified.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::{Client, Ledger, cache, counterfoil, said};

#[test]
fn ethers_deploys_writes_reads_filters_and_subscribes() -> Result<()> {
    let ledger = Ledger::start_with(&["--rpc", "127.0.0.1:0"])?;
    Client::Node.run("contracts_ethers.mjs", &[], &ledger)?;
    let mut verify = counterfoil()?;
    let proof = ledger.scratch()?.join("proof.json");
    verify.arg("verify").arg(proof).arg("--service-cert");
    let verdict = said(verify.arg(&ledger.ready().service_cert))?;
    ensure!(verdict.contains("EthereumTransactionV1"), "{verdict}");
    Ok(())
}

#[test]
fn the_audit_contracts_are_what_their_sources_compile_to() -> Result<()> {
    let here = env::var_os("CARGO_MANIFEST_DIR").context("run it with cargo")?;
    let build = Path::new(&here).join("../contracts-sol/build.mjs");
    let mut command = Command::new("node");
    command.arg(build).arg("--check");
    said(command.env("PACKAGES", cache()?.join("sol")))?;
    Ok(())
}
