//! `counterfoil demo`: the whole story in less than a minute, and nothing in it is pretended: real nodes,
//! real companies, real files, real checks.

mod events;
mod network;
mod organisations;
mod process;
mod proof;
mod season;
mod villain;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;

use self::network::Network;
use self::organisations::NAMES;
use self::season::Audited;
use super::block_on_all_cores;
use crate::out::{bold, faint, marked, say};
use crate::report::Failure;
use crate::server::StopSignals;

/// Events of a supply chain.
const SHIPPED: &str = include_str!("../../../data/events.ndjson");

/// See it work: three nodes, a dead leader, five companies, a tampered record, and proof.
///
/// Three organisations found a ledger on this machine, and let each other's nodes in by vote; a node
/// that runs other code is refused. Events are written through all nodes, and go on when the leader
/// is killed. A ledger and a receipt that somebody changed are found out. Five companies record a season of
/// avocados, from orchard to shop; one lot is altered in a company's own database, and everybody finds it: the
/// companies, this program offline, and a page in your browser. Then all of it runs on.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil demo
  counterfoil demo --exit
  counterfoil demo --lots 500
  counterfoil demo --dir my-ledger --events my-events.ndjson")]
pub(crate) struct Demo {
    /// Leave at the end; otherwise everything runs on until Ctrl-C.
    #[arg(long)]
    exit: bool,
    /// The folder of everything, new or empty, which stays [default: one that is removed at the end].
    #[arg(short, long)]
    dir: Option<PathBuf>,
    /// Record the lines of this file.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// How many lots of avocados the companies take from orchard to shop, some five events each.
    #[arg(long, value_name = "COUNT", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    lots: u32,
}

/// The exit code of who was interrupted (128 + SIGINT).
const INTERRUPTED: u8 = 130;

impl Demo {
    pub(crate) fn run(self) -> Result<ExitCode> {
        // Removed when it is dropped, at the end.
        let temporary = match self.dir {
            Some(_) => None,
            None => Some(
                tempfile::Builder::new()
                    .prefix("counterfoil-demo-")
                    .tempdir()?,
            ),
        };
        let dir = match (&self.dir, &temporary) {
            (Some(dir), _) => new_folder(dir)?,
            (None, Some(temporary)) => temporary.path().to_owned(),
            (None, None) => return Err(Failure::new("there is no folder for the demo").into()),
        };
        block_on_all_cores(async {
            let mut stop = StopSignals::listen()?;
            // Nodes are killed where the story ends before its end.
            let (network, audited, receipt) = tokio::select! {
                told = self.tell(&dir) => told?,
                () = stop.next() => return Ok(ExitCode::from(INTERRUPTED)),
            };
            if !self.exit {
                next_commands(&network, &audited, &receipt);
                stop.next().await;
            }
            audited.stop().await;
            network.stop().await;
            Ok(ExitCode::SUCCESS)
        })
    }

    /// Tells it. Gives the nodes, the companies, and one of the receipts.
    async fn tell(&self, dir: &Path) -> Result<(Network, Audited, PathBuf)> {
        let receipts = dir.join(RECEIPTS);
        let (events, source) = self.events()?;
        let title = format!("{}: two of three must agree", NAMES.join(", "));
        heading("1  Three organisations", &title);
        let mut network = Network::found(dir).await?;
        network.let_in(1, 0, 2).await?;
        network.let_in(2, 1, 0).await?;
        network.refuse_other_code().await?;
        heading(
            "2  Events",
            &format!("{source} are written through all three nodes"),
        );
        let records = events::write_through_all(&network, events).await?;
        let sample = records[records.len() / 2].id;
        heading("3  The leader dies", "while sensors of all three report");
        let records = events::survive_the_leader(&mut network, records).await?;
        events::keep_receipts(&receipts, &records)?;
        heading(
            "4  A villain",
            "copies a node's files and changes one byte, and then a receipt",
        );
        let receipt = receipts.join(format!("{sample}.json"));
        villain::play(&network.nodes[0].dir, &network.anchor()?, sample, &receipt)?;
        heading(
            "5  Five companies",
            "record a season of avocados in one audit, on these three nodes",
        );
        let audited = Audited::start(&network, dir, self.lots as usize).await?;
        audited.play().await?;
        heading(
            "6  One lot is altered",
            "in the packer's own database, and nobody is told",
        );
        audited.alter(&network.anchor()?).await?;
        heading("7  Proof", "from files alone: nobody is asked");
        proof::check_receipts(&network, &receipts, "receipts")?;
        proof::check_receipts(&network, &audited.proofs, "proofs of the companies")?;
        proof::tell_who_decided(&network)?;
        for line in [
            "Virtual mode: whoever runs this machine holds the ledger's keys. Receipts handed out",
            "before would still expose a rewritten history; only hardware keeps the keys from them.",
        ] {
            say!("{}", faint(line));
        }
        Ok((network, audited, receipt))
    }

    /// The events, and whose they are.
    fn events(&self) -> Result<(Vec<String>, String)> {
        let lines = |text: &str| {
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let (lines, source) = match &self.events {
            Some(path) => {
                let text = fs::read_to_string(path).map_err(Failure::reading(path))?;
                (lines(&text), format!("from {}", path.display()))
            }
            None => (lines(SHIPPED), "of a supply chain".to_owned()),
        };
        match lines.is_empty() {
            true => Err(Failure::unreadable("there are no events to record").into()),
            false => Ok((lines, source)),
        }
    }
}

/// Where the receipts are kept.
const RECEIPTS: &str = "receipts";

fn heading(what: &str, about: &str) {
    say!("{} {}", bold(what), faint(about));
}

/// Makes the folder, absolute; there must be nothing in it.
fn new_folder(dir: &Path) -> Result<PathBuf, Failure> {
    fs::create_dir_all(dir).map_err(Failure::writing(dir))?;
    let mut there = fs::read_dir(dir).map_err(Failure::reading(dir))?;
    if there.next().is_some() {
        let failure = Failure::unreadable(format!("{} is not empty", dir.display()));
        return Err(failure.hint("the demo founds a ledger of its own: name a new folder"));
    }
    dir.canonicalize().map_err(Failure::reading(dir))
}

fn next_commands(network: &Network, audited: &Audited, receipt: &Path) {
    let node = &network.nodes[0];
    say!();
    audited.show_pages();
    say!(
        "{} {}",
        bold("Nodes and companies are still running."),
        faint("In another terminal, try:")
    );
    for command in [
        format!("export COUNTERFOIL_LEDGER={}", shown(&node.dir)),
        "counterfoil entry write 'lot 7 harvested'".to_owned(),
        "counterfoil entry watch -c lots".to_owned(),
        format!("counterfoil verify {}", shown(receipt)),
        format!(
            "counterfoil verify {} --data {}",
            shown(&audited.proof),
            shown(&audited.today)
        ),
        "counterfoil ledger audit $COUNTERFOIL_LEDGER".to_owned(),
    ] {
        say!("   {}", marked(command));
    }
    say!(
        "{} {}",
        bold("Or look at the ledger"),
        faint("in a browser, which asks once: the service's own certificate is the trust anchor.")
    );
    // What stands behind the `#` is not sent to the server.
    let (url, token) = (node.client.url(), &network.token);
    say!("   {}", marked(format!("{url}/#token={token}")));
    say!("{}", faint("Ctrl-C stops them."));
}

fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    if text.contains(' ') {
        format!("'{text}'")
    } else {
        text
    }
}
