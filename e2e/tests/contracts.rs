//! The contracts of one node, and the audit contracts' artifacts.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::{Chain, Client, cache, counterfoil, said};

#[test]
fn what_ethers_did_is_proven_offline() -> Result<()> {
    let chain = Chain::plain()?;
    chain.run(Client::Node, "contracts_ethers.mjs")?;
    let place = chain.place();
    let mut verify = counterfoil()?;
    let proof = place.scratch.join("proof.json");
    verify.arg("verify").arg(proof).arg("--service-cert");
    let verdict = said(verify.arg(&place.ready.service_cert))?;
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
