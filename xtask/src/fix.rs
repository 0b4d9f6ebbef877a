//! `cargo xtask fix`: everything that can be mended by a machine.

use anyhow::Result;

use crate::tools::NEXTEST;
use xtask::run::{cargo, run};

/// Applies clippy's suggestions, formats, and writes the golden files anew.
///
/// Golden files are written by the tests that otherwise compare them: they do so where the
/// environment has `UPDATE_GOLDEN`. Their names contain `golden`.
///
/// # Errors
/// At the first step that fails.
pub(crate) fn fix() -> Result<()> {
    run(&mut cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--fix",
        "--allow-dirty",
        "--allow-staged",
    ]))?;
    run(&mut cargo(&["fmt", "--all"]))?;
    let mut golden = NEXTEST.command()?;
    golden
        .args(["run", "--no-tests=pass", "-E", "test(golden)"])
        .env("UPDATE_GOLDEN", "1");
    run(&mut golden)
}
