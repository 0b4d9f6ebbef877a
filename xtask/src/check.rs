//! `cargo xtask check`: everything that can be said about the code without running it.

use anyhow::{Result, bail};

use crate::tools::DENY;
use xtask::run::{cargo, run, tee};

/// Formatting, lints, dependencies. Writes nothing in the work tree.
///
/// # Errors
/// At the first thing that is not as it should be.
pub(crate) fn check() -> Result<()> {
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    let clippy = [
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    run(&mut cargo(&clippy))?;
    // Dependencies of other platforms too, which no build here has fetched.
    run(&mut cargo(&["fetch", "--locked", "--quiet"]))?;
    run(DENY
        .command()?
        .args(["--offline", "check", "licenses", "bans", "sources"]))?;
    advisories()
}

/// Compares our dependencies with the published advisories where their database can be fetched.
///
/// Unlike the other checks it needs a git host, and what it finds can change while our code does
/// not, so a database out of reach is said and not an error.
fn advisories() -> Result<()> {
    let (status, said) = tee(DENY.command()?.args(["check", "advisories"]))?;
    if said.contains("failed to fetch advisory database") {
        println!(
            "advisories: NOT checked, their database is out of reach; \
             run `cargo deny check advisories` where it can be fetched"
        );
    } else if !status.success() {
        bail!("an advisory speaks against a dependency: see above");
    }
    Ok(())
}
