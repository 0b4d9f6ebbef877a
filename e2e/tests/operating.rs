//! What operators do, as their guide says it.

use std::fs;

use anyhow::Result;
use e2e::{counterfoil, run_guide};
use tempfile::TempDir;

#[test]
fn the_operators_guide_works_as_it_is_written() -> Result<()> {
    let folder = TempDir::with_prefix("counterfoil-e2e-next-")?;
    let next = folder.path().join("counterfoil-next");
    fs::copy(counterfoil()?.get_program(), &next)?;
    // One byte behind the program changes nothing of what it does, and its digest all the same.
    let mut bytes = fs::read(&next)?;
    bytes.push(0);
    fs::write(&next, bytes)?;
    run_guide("operating.md", &[folder.path()])
}
