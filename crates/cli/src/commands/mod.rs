//! One file per command.

pub(crate) mod agents;
pub(crate) mod audit;
pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod contract;
pub(crate) mod demo;
pub(crate) mod entry;
pub(crate) mod ledger;
pub(crate) mod member;
pub(crate) mod node;
pub(crate) mod proposal;
pub(crate) mod receipt;
mod recorded;
pub(crate) mod recover;
mod share;
mod story;
pub(crate) mod up;
pub(crate) mod user;
pub(crate) mod verify;

use std::future::Future;
use std::process::ExitCode;

use anyhow::Result;

use crate::args::Command;

impl Command {
    /// What is logged where nobody says otherwise: a server tells what it does, a command only
    /// what went wrong.
    pub(crate) const fn log_default(&self) -> &'static str {
        match self {
            // The storage engine tells about every file that it opens.
            Self::Up(_) | Self::Audit(_) => "info,fjall=warn,lsm_tree=warn",
            _ => "warn",
        }
    }

    /// Does it.
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Self::Up(up) => up.run(),
            Self::Demo(demo) => demo.run(),
            Self::Recover(recover) => recover.run(),
            Self::Entry(entry) => entry.run(),
            Self::Receipt(receipt) => receipt.run(),
            Self::Verify(verify) => verify.run(),
            Self::Ledger(ledger) => ledger.run(),
            Self::User(user) => user.run(),
            Self::Member(member) => member.run(),
            Self::Node(node) => node.run(),
            Self::Proposal(proposal) => proposal.run(),
            Self::Contract(contract) => contract.run(),
            Self::Audit(audit) => audit.run(),
            Self::Agents(agents) => agents.run(),
            Self::Bench(bench) => bench.run(),
            Self::Completions(completions) => completions.run(),
        }
    }
}

/// Runs a client's work: one thread is enough to wait for answers.
fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

/// Runs a server's work on all cores.
fn block_on_all_cores<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(work)
}
