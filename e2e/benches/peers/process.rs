//! What the operating system says about a process.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Linux counts processor time in hundredths of a second for programs, on every machine.
const TICK: Duration = Duration::from_millis(10);

/// Processor time that the process has used so far, its threads and the kernel on its behalf.
///
/// # Errors
/// When there is no such process.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("reading a process")?;
    // The second field is a name in parentheses and may contain spaces; utime is the 14th.
    let fields = stat.rsplit_once(')').context("reading a process")?.1;
    let mut times = fields.split_whitespace().skip(11).map(str::parse::<u32>);
    let mut time = || {
        times
            .next()
            .context("reading a process's times")?
            .context("parsing them")
    };
    Ok(TICK * (time()? + time()?))
}

/// Bytes of memory that the process has in use.
///
/// # Errors
/// When there is no such process.
pub(crate) fn resident(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("reading a process")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kib * 1024)
}
