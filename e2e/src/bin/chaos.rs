//! `cargo xtask chaos`: the fault campaign, one seed or many.

use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use e2e::chaos::{Options, run};

const USAGE: &str = "usage: chaos --seed N | --seeds FROM..TO  [--rounds M] [--seconds S]";

fn main() -> Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut seeds: Option<RangeInclusive<u64>> = None;
    let (mut rounds, mut seconds) = (1, 15);
    for pair in args.chunks(2) {
        let [name, value] = pair else { bail!(USAGE) };
        let count = || {
            value
                .parse::<u64>()
                .with_context(|| format!("{name} {value}"))
        };
        match name.as_str() {
            "--seed" => seeds = Some(count()?..=count()?),
            "--seeds" => {
                let (from, to) = value.split_once("..").context(USAGE)?;
                seeds = Some(from.parse()?..=to.parse()?);
            }
            "--rounds" => rounds = usize::try_from(count()?)?,
            "--seconds" => seconds = count()?,
            _ => bail!(USAGE),
        }
    }
    let seeds = seeds.context(USAGE)?;
    let aloud = seeds.start() == seeds.end();
    let (mut good, mut bad) = (0, Vec::new());
    for seed in seeds {
        let options = Options {
            seed,
            rounds,
            time: Duration::from_secs(seconds),
            aloud,
        };
        let verdict = match run(&options) {
            Ok(verdict) => verdict,
            Err(error) => {
                bad.push(seed);
                eprintln!(
                    "seed {seed}: VIOLATED. There is no network: {}",
                    abridged(&error)
                );
                continue;
            }
        };
        if verdict.violations.is_empty() {
            good += 1;
            eprintln!("seed {seed}: good. {}", verdict.summary);
            continue;
        }
        bad.push(seed);
        eprintln!("seed {seed}: VIOLATED. {}", verdict.summary);
        if !aloud {
            eprint!("{}", verdict.story);
        }
        for violation in &verdict.violations {
            eprintln!("  * {violation}");
        }
        if let Some(kept) = &verdict.kept {
            eprintln!("  everything is in {}", kept.display());
        }
    }
    eprintln!("{good} seeds good, {} violated {bad:?}", bad.len());
    Ok(match bad.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// What failed, and the last of what a node said about it.
fn abridged(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    let mut lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(6);
    if skipped > 0 {
        lines.drain(1..=skipped);
    }
    let short = |line: &&str| line.chars().take(400).collect::<String>();
    lines.iter().map(short).collect::<Vec<_>>().join("\n  ")
}
