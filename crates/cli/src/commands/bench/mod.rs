//! `counterfoil bench`: what work costs, measured from outside.

mod cpu;
mod echo;
mod fsync;
mod load;
mod tally;
mod wire;

use std::process::ExitCode;

use anyhow::Result;

/// Measurements.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Bench {
    /// Write entries, each acknowledged after its durable, signed commit.
    #[command(after_help = "\
Examples:
  counterfoil bench write --clients 64 --duration 10
  counterfoil bench write --clients 1 --count 1000          one write at a time
  counterfoil bench write --batch 100 --size 300 --server-pid $(pgrep -n counterfoil)")]
    Write(load::Load),
    /// Read entries by id.
    #[command(after_help = "Example:\n  counterfoil bench read --clients 64 --duration 10")]
    Read(load::Load),
    /// Fetch receipts of entries by id.
    #[command(after_help = "Example:\n  counterfoil bench receipt --clients 64 --duration 10")]
    Receipt(load::Load),
    #[command(hide = true)]
    Echo(echo::Echo),
    #[command(hide = true)]
    Fsync(fsync::Fsync),
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Write,
    Read,
    Receipt,
}

impl Bench {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Self::Write(load) => load.run(Mode::Write),
            Self::Read(load) => load.run(Mode::Read),
            Self::Receipt(load) => load.run(Mode::Receipt),
            Self::Echo(echo) => echo.run(),
            Self::Fsync(fsync) => fsync.run(),
        }
    }
}
