//! Contracts on one node: the guide, and the audit contracts' artifacts.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::{Chain, Client, cache, commands, counterfoil, run_commands, said};

/// Over the plain listener.
#[test]
fn what_ethers_did_is_proven_offline() -> Result<()> {
    let chain = Chain::plain()?;
    chain.run(Client::Node, "contracts_ethers.mjs")?;
    let place = chain.place();
    let mut verify = counterfoil()?;
    let proof = place.scratch.join("proof.json");
    verify.arg("verify").arg(proof).arg("--service-cert");
    let verdict = said(verify.arg(&place.ready.service_cert))?;
    ensure!(verdict.contains("succeeded"), "{verdict}");
    Ok(())
}

/// What its reader installs from npm is installed already, in two places.
#[test]
fn the_guide_from_hardhat_works_as_it_is_written() -> Result<()> {
    let (hardhat, compiler) = (cache()?.join("hardhat"), cache()?.join("sol"));
    for packages in [&hardhat, &compiler] {
        let installed = packages.join("installed.txt").is_file();
        ensure!(
            installed,
            "{}: run `cargo xtask test e2e`",
            packages.display()
        );
    }
    // Hardhat has a compiler of its own, which is older.
    let (hardhat, compiler) = (hardhat.display(), compiler.display());
    let packages = format!(
        "export HARDHAT_DISABLE_TELEMETRY_PROMPT=true\nmkdir node_modules\n\
         ln -s {hardhat}/node_modules/* {hardhat}/node_modules/.bin node_modules/\n\
         ln -sfn {compiler}/node_modules/* node_modules/\n"
    );
    let blocks = commands("docs/hardhat.md")?;
    run_commands(&(packages + &blocks.join("\n")), &[])
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
