//! `cargo xtask bench`: what the work costs, beside what it is compared with.

use anyhow::Result;

use crate::clients;
use crate::test::build;
use xtask::run::{cargo, run};

/// Builds the binary as it is handed out, unless `COUNTERFOIL_BIN` names one, and runs `e2e/benches/peers` against it.
///
/// # Errors
/// When something cannot be built, or a bench fails.
pub(crate) fn bench(args: &[&str]) -> Result<()> {
    let binary = match std::env::var("COUNTERFOIL_BIN") {
        Ok(binary) => binary,
        Err(_) => build("dist")?,
    };
    if args.contains(&"contracts") || args.contains(&"audit") {
        clients::peers()?;
    }
    let mut command = cargo(&["bench", "--locked", "-p", "e2e", "--bench", "peers", "--"]);
    run(command.args(args).env("COUNTERFOIL_BIN", binary))
}
