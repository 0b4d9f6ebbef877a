//! The command line.

use clap::{Parser, Subcommand};

use crate::commands;
use crate::log::LogArgs;

/// A confidential ledger: record what several parties rely on, get a receipt, and let anyone prove
/// later that nothing was changed.
#[derive(Parser, Debug)]
#[command(name = "counterfoil", version, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

const EXAMPLES: &str = "\
Examples:
  counterfoil demo                       see it work: half a minute, no questions
  counterfoil up --dev                   a ledger in ./ledger, for trying things out
  counterfoil entry write 'lot 7 sold'   record something, in another terminal
  counterfoil verify receipt.json --service-cert ledger/service_cert.pem";

/// What to do.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    Up(commands::up::Up),
    Demo(commands::demo::Demo),
    Recover(commands::recover::Recover),
    /// Write, read, list, import and watch entries.
    #[command(subcommand)]
    Entry(commands::entry::Entry),
    /// Fetch receipts.
    #[command(subcommand)]
    Receipt(commands::receipt::Receipt),
    Verify(commands::verify::Verify),
    /// Check a whole ledger offline, tell who decided what, or fetch its identity.
    #[command(subcommand)]
    Ledger(commands::ledger::Ledger),
    /// Say who may use the ledger.
    #[command(subcommand)]
    User(commands::user::User),
    /// Make members' keys, list members, acknowledge the ledger's state, give recovery shares.
    #[command(subcommand)]
    Member(commands::member::Member),
    /// Judge the nodes' evidence, and see who countersigns the ledger's history.
    #[command(subcommand)]
    Node(commands::node::Node),
    /// Propose, vote, withdraw: what members decide.
    #[command(subcommand)]
    Proposal(commands::proposal::Proposal),
    /// Make contracts, call them, read what they left.
    #[command(subcommand)]
    Contract(commands::contract::Contract),
    /// Store who did what, where, when and how, and consult it later.
    #[command(subcommand)]
    Audit(commands::audit::Audit),
    Agents(commands::agents::Agents),
    /// Measure a running ledger.
    #[command(subcommand)]
    Bench(commands::bench::Bench),
    Completions(commands::completions::Completions),
}
