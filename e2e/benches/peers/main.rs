//! What the server's work costs, beside what it cannot cost less than: a bare server on the same TLS
//! and HTTP that does nothing, and the disk's own fdatasync. Everything is measured in one run on one
//! machine, servers and load in processes of their own, so that the ratios hold where the figures do
//! not. `cargo xtask bench` runs it.
//!
//! Arguments: `consortium` for three nodes beside one and nothing else, `contracts` for contracts beside
//! other people's nodes and nothing else (`--records N` that are written there,
//! 1,000,000; `--alone` without the others' nodes), `audit` for the audit services and nothing else, `--seconds N` for each figure (5), `--entries N` that fill the ledger before anything
//! is read (200,000), `--large N` entries of a second ledger (10,000,000; 0 for none), `--json` for
//! one line of JSON at the end.
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

mod audit;
mod consortium;
mod contracts;
mod http;
mod large;
mod offline;
mod process;
mod report;
mod target;
mod work;

use anyhow::{Context, Result, bail};

use crate::report::Report;

/// What the run was asked for.
struct Args {
    seconds: f64,
    entries: u64,
    large: u64,
    json: bool,
    /// Records of the contract.
    records: usize,
    /// Contracts without other people's nodes.
    alone: bool,
    part: Part,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// All that needs nothing of other people.
    All,
    /// Three nodes beside one.
    Consortium,
    /// Contracts beside other people's nodes.
    Contracts,
    /// The audit services, beside the paper's node.
    Audit,
}

fn main() -> Result<()> {
    let args = parse()?;
    let mut report = Report::default();
    if args.part == Part::All {
        work::measure(&args, &mut report)?;
    }
    match args.part {
        Part::All | Part::Consortium => consortium::measure(args.seconds, &mut report)?,
        Part::Contracts => contracts::measure(&args, &mut report)?,
        Part::Audit => audit::measure(&args, &mut report)?,
    }
    print!("{report}");
    if args.json {
        println!("{}", report.json());
    }
    Ok(())
}

fn parse() -> Result<Args> {
    let mut parsed = Args {
        seconds: 5.0,
        entries: 200_000,
        large: 10_000_000,
        json: false,
        records: 1_000_000,
        alone: false,
        part: Part::All,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || -> Result<u64> {
            let value = args
                .next()
                .with_context(|| format!("{arg} needs a number"))?;
            value.parse().with_context(|| format!("{arg} {value}"))
        };
        match arg.as_str() {
            "--seconds" => parsed.seconds = number()? as f64,
            "--entries" => parsed.entries = number()?,
            "--large" => parsed.large = number()?,
            "--json" => parsed.json = true,
            "--records" => parsed.records = usize::try_from(number()?)?,
            "--alone" => parsed.alone = true,
            "consortium" => parsed.part = Part::Consortium,
            "contracts" => parsed.part = Part::Contracts,
            "audit" => parsed.part = Part::Audit,
            // `cargo bench` says so to every bench.
            "--bench" => {}
            other => bail!(
                "unknown argument {other}; there are consortium, contracts, audit, --seconds, --entries, \
                 --large, --records, --alone and --json"
            ),
        }
    }
    Ok(parsed)
}
