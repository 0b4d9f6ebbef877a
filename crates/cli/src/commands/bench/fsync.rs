//! `counterfoil bench fsync`: what the disk itself needs to make bytes durable.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

use super::tally::percentile;
use crate::out::{self, bold, say};
use crate::report::Failure;

/// Append to a file and sync it, again and again.
#[derive(clap::Args, Debug)]
pub(crate) struct Fsync {
    /// A folder on the disk to be measured.
    dir: PathBuf,
    /// Bytes appended before each sync.
    #[arg(short, long, default_value_t = 1_024)]
    size: usize,
    /// Syncs.
    #[arg(short = 'n', long, default_value_t = 500)]
    count: usize,
    /// Print the result as one line of JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Measured {
    mode: &'static str,
    size: usize,
    count: usize,
    p50_us: u32,
    p90_us: u32,
    p99_us: u32,
}

impl Fsync {
    pub(super) fn run(self) -> Result<ExitCode> {
        let mut file = tempfile::tempfile_in(&self.dir).map_err(Failure::writing(&self.dir))?;
        let mut latencies = Vec::with_capacity(self.count);
        let bytes = vec![0xa5; self.size];
        for _ in 0..self.count {
            latencies.push(append(&mut file, &bytes).map_err(Failure::writing(&self.dir))?);
        }
        latencies.sort_unstable();
        let at = |share| percentile(&latencies, share);
        let (size, count) = (self.size, self.count);
        let (p50_us, p90_us, p99_us) = (at(0.5), at(0.9), at(0.99));
        if self.json {
            out::write_json(&Measured {
                mode: "fsync",
                size,
                count,
                p50_us,
                p90_us,
                p99_us,
            });
        } else {
            say!(
                "{} {count} times {size} bytes in {}",
                bold("fsync"),
                self.dir.display()
            );
            say!("  latency  p50 {p50_us} us, p90 {p90_us} us, p99 {p99_us} us");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes and syncs the data (fdatasync); gives the microseconds that both took.
fn append(file: &mut File, bytes: &[u8]) -> std::io::Result<u32> {
    let started = Instant::now();
    file.write_all(bytes)?;
    file.sync_data()?;
    Ok(u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX))
}
