//! `counterfoil node`: what the nodes of a network prove about themselves and about each other.

mod attest;
mod cosigners;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

/// The nodes of a network.
#[derive(Subcommand, Debug)]
pub(crate) enum Node {
    Attest(attest::Attest),
    Cosigners(cosigners::ListCosigners),
    Checkpoint(cosigners::Checkpoint),
}

impl Node {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Self::Attest(attest) => attest.run(),
            Self::Cosigners(cosigners) => cosigners.run(),
            Self::Checkpoint(checkpoint) => checkpoint.run(),
        }
    }
}
