//! `cargo xtask chaos`: the fault campaign, for as many seeds as one likes.

use anyhow::Result;

use crate::test::build;
use xtask::run::{cargo, run};

/// Builds the binary, unless `COUNTERFOIL_BIN` names one, and runs `e2e/src/bin/chaos.rs` with it.
///
/// # Errors
/// When something cannot be built, or a seed shows a violation.
pub(crate) fn chaos(args: &[&str]) -> Result<()> {
    let binary = match std::env::var("COUNTERFOIL_BIN") {
        Ok(binary) => binary,
        Err(_) => build("release")?,
    };
    let mut command = cargo(&["run", "--locked", "-p", "e2e", "--bin", "chaos", "--"]);
    run(command.args(args).env("COUNTERFOIL_BIN", binary))
}
