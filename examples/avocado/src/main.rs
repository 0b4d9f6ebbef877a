//! `avocado`: plays a season at audit services that run.
#![expect(clippy::print_stdout, reason = "a program for people")]

mod play;

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    match play::Play::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
