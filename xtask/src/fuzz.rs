//! `cargo xtask fuzz`: every parser of outside bytes, each for a while.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::tools::FUZZ;
use xtask::cache;
use xtask::run::{files, run};

/// Runs each target in `fuzz/fuzz_targets`, or the named one, for so many seconds.
///
/// Without the address sanitizer: our code has nothing unsafe in it, and the stable compiler brings
/// the rest.
///
/// # Errors
/// When a target finds something, or cannot be built.
pub(crate) fn fuzz(args: &[&str]) -> Result<()> {
    let seconds: u32 = match args.first() {
        Some(seconds) => seconds.parse()?,
        None => 60,
    };
    let all = targets()?;
    let chosen = match args.get(1) {
        Some(name) if all.iter().any(|target| target == name) => vec![(*name).to_owned()],
        Some(name) => bail!(
            "there is no fuzz target {name:?}; there are {}",
            all.join(", ")
        ),
        None => all,
    };
    for target in chosen {
        eprintln!("\n== {target}, {seconds} s");
        let mut command = FUZZ.command()?;
        command.args(["run", "--sanitizer", "none", &target]);
        command.arg(format!("fuzz/corpus/{target}"));
        // Libfuzzer reads all folders and writes what is new into the first.
        let seeds = format!("fuzz/seeds/{target}");
        let corpus = cache::root().join("fuzz/corpus").join(&target);
        fs::create_dir_all(&corpus).with_context(|| format!("making {}", corpus.display()))?;
        if cache::root().join(&seeds).is_dir() {
            command.arg(seeds);
        }
        command.args(["--", &format!("-max_total_time={seconds}")]);
        run(&mut command)?;
    }
    Ok(())
}

fn targets() -> Result<Vec<String>> {
    let files = files(&cache::root().join("fuzz/fuzz_targets"))?;
    let names = files
        .iter()
        .filter(|path| path.extension().is_some_and(|ext| ext == "rs"));
    Ok(names
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect())
}
