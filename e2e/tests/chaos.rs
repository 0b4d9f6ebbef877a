//! A short fault campaign. `cargo xtask chaos` is the long one.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::chaos::{Options, run};

fn holds(seed: u64) -> Result<()> {
    let verdict = run(&Options {
        seed,
        rounds: 1,
        time: Duration::from_secs(8),
        aloud: false,
    })?;
    eprintln!("seed {seed}: {}", verdict.summary);
    ensure!(
        verdict.violations.is_empty(),
        "seed {seed}, kept in {:?}:\n{}\n{}",
        verdict.kept,
        verdict.story,
        verdict.violations.join("\n")
    );
    Ok(())
}

/// A test for each seed, so that several run at a time.
macro_rules! seeds {
    ($($name:ident $seed:literal;)*) => {
        $(#[test]
        fn $name() -> Result<()> {
            holds($seed)
        })*
    };
}

seeds! {
    what_was_acknowledged_survives_the_faults_of_seed_3 3;
    what_was_acknowledged_survives_the_faults_of_seed_4 4;
    what_was_acknowledged_survives_the_faults_of_seed_5 5;
    what_was_acknowledged_survives_the_faults_of_seed_6 6;
    what_was_acknowledged_survives_the_faults_of_seed_7 7;
    what_was_acknowledged_survives_the_faults_of_seed_8 8;
}
