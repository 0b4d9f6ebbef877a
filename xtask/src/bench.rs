//! `cargo xtask bench`: what the work costs, beside what it is compared with.

use anyhow::Result;

use crate::run::{cargo, run};
use crate::test::build_release;

/// Builds the release binary and runs `e2e/benches/peers` against it.
///
/// # Errors
/// When something cannot be built, or a bench fails.
pub(crate) fn bench(args: &[&str]) -> Result<()> {
    let binary = build_release()?;
    let mut command = cargo(&["bench", "--locked", "-p", "e2e", "--bench", "peers", "--"]);
    run(command.args(args).env("COUNTERFOIL_BIN", binary))
}
