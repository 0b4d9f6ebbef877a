//! The disk's own speed: append a little, fdatasync, again.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Bytes that one committed entry of the benches adds to a ledger, its signature entry included,
/// in whole disk blocks.
const APPENDED: usize = 4096;

/// How long appending and fdatasync took, each time, sorted.
///
/// # Errors
/// When the folder cannot be written to.
pub(crate) fn syncs(folder: &Path, seconds: Duration) -> Result<Vec<Duration>> {
    let path = folder.join("fdatasync");
    let mut file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
    let block = [0x5a_u8; APPENDED];
    let start = Instant::now();
    let mut took = Vec::new();
    while start.elapsed() < seconds {
        let before = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        took.push(before.elapsed());
    }
    took.sort_unstable();
    Ok(took)
}
