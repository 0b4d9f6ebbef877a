//! What the server's work costs, beside what it cannot cost less than: a bare axum server that sends
//! back the same bytes over the same TLS, and the disk's own fdatasync. Everything is measured in one
//! run on one machine, servers and load in processes of their own, so that the ratios hold where the
//! figures do not. `cargo xtask bench` runs it.
//!
//! Arguments: `--seconds N` for each figure (5), `--entries N` in the ledger before the last ones
//! (100,000), `--json` for one line of JSON at the end.
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

mod disk;
mod echo;
mod load;
mod process;
mod report;
mod work;

use std::time::Duration;

use anyhow::{Context, Result, bail};

/// What the run was asked for.
struct Args {
    seconds: Duration,
    entries: usize,
    json: bool,
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == echo::ARGUMENT) {
        return echo::serve();
    }
    let args = parse(&args)?;
    let report = work::measure(&args)?;
    print!("{report}");
    if args.json {
        println!("{}", report.json());
    }
    Ok(())
}

fn parse(args: &[String]) -> Result<Args> {
    let mut parsed = Args {
        seconds: Duration::from_secs(5),
        entries: 100_000,
        json: false,
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut number = || -> Result<usize> {
            let value = args
                .next()
                .with_context(|| format!("{arg} needs a number"))?;
            value.parse().with_context(|| format!("{arg} {value}"))
        };
        match arg.as_str() {
            "--seconds" => parsed.seconds = Duration::from_secs(number()?.try_into()?),
            "--entries" => parsed.entries = number()?,
            "--json" => parsed.json = true,
            // `cargo bench` says so to every bench.
            "--bench" => {}
            other => bail!("unknown argument {other}; there are --seconds, --entries and --json"),
        }
    }
    Ok(parsed)
}
