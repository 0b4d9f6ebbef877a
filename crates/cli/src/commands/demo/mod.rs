//! `counterfoil demo`: the whole story in a few seconds, and nothing in it is played: a real
//! ledger, real files, real checks.

mod villain;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use client::{BatchAnswer, Client, Credential, NewEntry};
use indicatif::{HumanBytes, HumanCount};
use verify::{Cert, TxId};

use super::block_on_all_cores;
use super::verify::AnyReceipt;
use crate::config::Config;
use crate::out::{bold, faint, good, marked, one_line, say};
use crate::package_log;
use crate::report::Failure;
use crate::server::{Server, StopSignals};

/// Events of a supply chain, for machines without a package log.
const SHIPPED: &str = include_str!("../../../data/events.ndjson");

/// See it work: record real events, prove one offline, and catch a forger.
///
/// Starts a ledger on this machine, records this machine's own package log (or, where there is
/// none, events of a supply chain), verifies a receipt offline, and shows what happens to a ledger
/// and to a receipt that somebody changed. Then leaves the ledger running.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil demo
  counterfoil demo --exit
  counterfoil demo --dir my-ledger --events my-events.ndjson")]
pub(crate) struct Demo {
    /// Leave at the end; otherwise the ledger runs on until Ctrl-C.
    #[arg(long)]
    exit: bool,
    /// The folder of the ledger, which stays [default: one that is removed at the end].
    #[arg(short, long)]
    dir: Option<PathBuf>,
    /// Record the lines of this file.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
}

/// Events recorded together. Each batch is signed, so an audit says where truth ends as exactly as
/// this.
const BATCH: usize = 25;

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
            (Some(dir), _) => dir.clone(),
            (None, Some(temporary)) => temporary.path().join("ledger"),
            (None, None) => return Err(Failure::new("there is no folder for the demo").into()),
        };
        let mut config = Config::on_any_port(dir);
        block_on_all_cores(async {
            let server = Server::start(&mut config, true).await?;
            let mut stop = StopSignals::listen()?;
            let told = self.tell(&server).await;
            if told.is_ok() && !self.exit {
                next_commands(&server);
                stop.next().await;
            }
            server.stop().await;
            told
        })?;
        Ok(ExitCode::SUCCESS)
    }

    async fn tell(&self, server: &Server) -> Result<()> {
        say!(
            "{} {}",
            bold("1  A ledger"),
            faint("starts on this machine")
        );
        say!("   address  {}", server.url);
        say!("   folder   {}", server.dir.display());
        say!();
        let client = client(server)?;
        let sample = self.record(&client).await?;
        let receipt = prove(server, &client, sample).await?;
        villain::play(server, sample, &receipt)?;
        for line in [
            "Virtual mode: whoever runs this machine holds the ledger's keys. Receipts handed out",
            "before would still expose a rewritten history; only hardware keeps the keys from them.",
        ] {
            say!("{}", faint(line));
        }
        say!();
        Ok(())
    }

    /// Chapter two: events go in. Gives one from the midst of them.
    async fn record(&self, client: &Client) -> Result<TxId> {
        let (events, source, collection) = self.events()?;
        let entries: Vec<_> = events
            .into_iter()
            .map(|event| NewEntry::new(event).collection(collection))
            .collect();
        say!(
            "{} {}",
            bold("2  Events"),
            faint(format!("from {source} are recorded"))
        );
        let started = Instant::now();
        let mut ids = Vec::with_capacity(entries.len());
        for batch in entries.chunks(BATCH) {
            for answer in client.append_batch(batch).await? {
                match answer {
                    BatchAnswer::Recorded { transaction_id } => ids.push(transaction_id),
                    BatchAnswer::Refused { error } => return Err(error.into()),
                }
            }
        }
        let milliseconds = started.elapsed().as_millis();
        let (Some(&first), Some(&last)) = (ids.first(), ids.last()) else {
            return Err(Failure::unreadable("there are no events to record").into());
        };
        let bytes: usize = entries.iter().map(|entry| entry.contents.len()).sum();
        say!(
            "   {} {} entries ({}), {first} to {last}: durable and signed {}",
            good("committed"),
            HumanCount(entries.len() as u64),
            HumanBytes(bytes as u64),
            faint(format!("in {milliseconds} ms"))
        );
        let middle = ids.len() / 2;
        say!("   one of them, {}:", marked(ids[middle]));
        say!("   {}", faint(one_line(&entries[middle].contents, 110)));
        say!();
        Ok(ids[middle])
    }

    /// The events, where they are from, and the collection they go to.
    fn events(&self) -> Result<(Vec<String>, String, &'static str)> {
        let lines = |text: &str| {
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        if let Some(path) = &self.events {
            let text = std::fs::read_to_string(path).map_err(Failure::reading(path))?;
            return Ok((lines(&text), path.display().to_string(), "events"));
        }
        if let Some((events, log)) = package_log::events() {
            return Ok((events, format!("this machine's {log}"), "packages"));
        }
        Ok((lines(SHIPPED), "a supply chain".to_owned(), "lots"))
    }
}

fn client(server: &Server) -> Result<Client> {
    let path = server.service_cert();
    let pem = std::fs::read_to_string(&path).map_err(Failure::reading(&path))?;
    let credential = match &server.token {
        Some((token, _)) => Credential::bearer(token),
        None => Credential::None,
    };
    Ok(Client::builder(&server.url)
        .service_cert(pem)
        .credential(credential)
        .build()?)
}

/// Chapter three: a receipt is fetched, and believed for what it is. Gives the receipt's file.
async fn prove(server: &Server, client: &Client, id: TxId) -> Result<PathBuf> {
    say!(
        "{} {}",
        bold("3  A receipt"),
        faint("is all that one needs to prove it, for ever")
    );
    let json = client::receipt_json(&client.receipt(id).await?);
    let path = server.dir.join("receipt.json");
    std::fs::write(&path, &json).map_err(Failure::writing(&path))?;
    let cose = client.cose_receipt(id).await?;
    say!(
        "   {} {}",
        path.display(),
        faint(format!("{} bytes; as COSE {}", json.len(), cose.len()))
    );
    // From here on nothing is asked of the ledger: files, and the trust anchor.
    let started = Instant::now();
    let bytes = std::fs::read(&path).map_err(Failure::reading(&path))?;
    let verdict = AnyReceipt::read(&bytes)?.check(anchor(server)?, None, None)?;
    let micros = started.elapsed().as_micros();
    say!(
        "   {} transaction {}, offline, with the service certificate alone {}",
        good("VALID"),
        verdict.proven.tx_id,
        faint(format!("in {:.1} ms", micros as f64 / 1000.0))
    );
    say!("   root     {}", verdict.proven.root);
    AnyReceipt::read(&cose)?.check(anchor(server)?, None, Some(verdict.proven.claims_digest))?;
    say!(
        "   {} the COSE receipt of the same entry, signed by the service itself",
        good("VALID")
    );
    say!();
    Ok(path)
}

/// The trust anchor, read from its file as any outsider would.
fn anchor(server: &Server) -> Result<Cert> {
    let path = server.service_cert();
    let pem = std::fs::read_to_string(&path).map_err(Failure::reading(&path))?;
    Cert::from_pem(&pem).context("the service certificate cannot be used")
}

fn next_commands(server: &Server) {
    let dir = shown(&server.dir);
    say!(
        "{} {}",
        bold("The ledger is still running."),
        faint("In another terminal, try:")
    );
    say!("   {}", marked(format!("export COUNTERFOIL_LEDGER={dir}")));
    say!("   {}", marked("counterfoil entry write 'lot 7 harvested'"));
    say!("   {}", marked("counterfoil entry watch"));
    say!(
        "   {}",
        marked("counterfoil verify $COUNTERFOIL_LEDGER/receipt.json")
    );
    say!(
        "   {}",
        marked("counterfoil ledger audit $COUNTERFOIL_LEDGER")
    );
    say!();
    say!(
        "{} {}",
        bold("Or look at it"),
        faint("in a browser, which asks once: the service's own certificate is the trust anchor.")
    );
    say!("   {}", marked(server.page()));
    say!();
    say!("{}", faint("Ctrl-C stops it."));
}

fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    if text.contains(' ') {
        format!("'{text}'")
    } else {
        text
    }
}
