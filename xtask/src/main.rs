//! The project's own commands: `cargo xtask check|fix|test|bench|chaos|fuzz`.
//!
//! Whatever a command needs and can install, it installs into the cache folder (see [`xtask::cache`]).
//! What it cannot install ends it with the command that would.
#![expect(
    clippy::print_stdout,
    reason = "a command line tool talks on standard output"
)]

mod bench;
mod chaos;
mod check;
mod clients;
mod fix;
mod fuzz;
mod tally;
mod test;
mod tools;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  check             formatting, lints, dependencies; writes nothing
  fix               formats, applies what clippy can fix, writes golden files anew
  test [PART]       all tests, or one part of them: light, rest, doc, e2e
  bench [consortium | contracts | audit] [ARGS...]
                    the benches, side by side with what they are compared with; or of these only
                    three nodes beside one; contracts beside other people's nodes; the audit services
  chaos --seed N | --seeds FROM..TO  [--rounds M] [--seconds S]
                    the fault campaign: what must hold while nodes, links, disks and clocks fail
  fuzz [SECS [TGT]] each fuzz target, or one, for so many seconds (60)

The cache folder for tools and foreign clients is $COUNTERFOIL_CACHE, else ~/.cache/counterfoil.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["check"] => check::check(),
        ["fix"] => fix::fix(),
        ["test", part @ ..] if part.len() <= 1 => return test::test(part.first().copied()),
        ["bench", args @ ..] => bench::bench(args),
        ["chaos", args @ ..] => chaos::chaos(args),
        ["fuzz", args @ ..] if args.len() <= 2 => fuzz::fuzz(args),
        _ => Err(anyhow::anyhow!("{USAGE}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
