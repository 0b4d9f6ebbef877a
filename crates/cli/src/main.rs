//! The `counterfoil` command: parse, run, print. Each command is a file in `commands/`; nothing
//! in here knows a rule of the ledger.

mod account;
mod args;
mod chain;
mod commands;
mod config;
mod connection;
mod device;
mod join;
mod log;
mod out;
mod profile;
mod report;
mod server;
mod signer;
mod user_id;

use std::process::ExitCode;

use clap::Parser;

/// One request allocates a few dozen small things; the system's allocator is what it waits for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    log::start(&cli.log, cli.command.log_default());
    match cli.command.run() {
        Ok(code) => code,
        Err(error) => {
            report::print(&error);
            report::exit_code(&error)
        }
    }
}
