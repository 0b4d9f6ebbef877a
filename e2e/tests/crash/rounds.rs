//! Killed under load, again and again, on one folder.

use std::collections::HashSet;
use std::env;
use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::{Http, Ledger, Random, counterfoil};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use verify::{Cert, TxId, Verifier};

use crate::load::{self, Load, Sent};

/// Small files, so that many kills fall on their opening and closing.
const CONFIG: &str = "[server]\nchunk_bytes = 100_000\n";
/// Entries of earlier rounds that are read again in each round.
const READ_AGAIN: usize = 200;
/// Receipts that are fetched again in each round.
const PROVEN_AGAIN: usize = 20;

#[test]
fn killed_at_any_moment_it_keeps_all_that_it_acknowledged() -> Result<()> {
    let rounds = match env::var("COUNTERFOIL_CRASH_ROUNDS") {
        Ok(text) => text.parse().context("reading COUNTERFOIL_CRASH_ROUNDS")?,
        Err(_) => 100,
    };
    let mut random = Random::seeded()?;
    let scratch = TempDir::new()?;
    let config = scratch.path().join("counterfoil.toml");
    fs::write(&config, CONFIG)?;
    let args = [
        "--config",
        config.to_str().context("a temporary folder is text")?,
    ];
    let runtime = Runtime::new()?;
    let mut ledger = Ledger::start_with(&args)?;
    let mut witness = Witness::new(&ledger)?;
    for round in 0..rounds {
        let http = Http::new(ledger.ready())?;
        let load = runtime.block_on(async { Load::start(&http, round) });
        // Not to wait for anything: this is the moment of the kill.
        thread::sleep(random.millis(5, 300));
        load.about_to_kill();
        ledger.kill()?;
        let told = runtime.block_on(load.acknowledged())?;
        if random.below(8) == 0 {
            killed_while_it_starts(&ledger, &args, random.millis(0, 250))?;
        }
        ledger
            .start_again()
            .with_context(|| format!("round {round}"))?;
        runtime
            .block_on(witness.check(&ledger, round, told, &mut random))
            .with_context(|| format!("round {round}"))?;
    }
    runtime.block_on(witness.check_all(&ledger, rounds))?;
    ledger.kill()?;
    witness.audit(&ledger)
}

/// The first start writes keys, certificates and the first entries.
#[test]
fn killed_while_it_is_born_it_is_born_again() -> Result<()> {
    let mut random = Random::seeded()?;
    let runtime = Runtime::new()?;
    let mut ledger = Ledger::start()?;
    for round in 0..60 {
        ledger.kill()?;
        fs::remove_dir_all(ledger.folder())?;
        let moment = random.millis(0, 80);
        killed_while_it_starts(&ledger, &[], moment)?;
        ledger
            .start_again()
            .with_context(|| format!("killed {moment:?} after its first start"))?;
        let http = Http::new(ledger.ready())?;
        let told = runtime.block_on(load::write_some(&http, round, 1))?;
        let all = load::collections(round);
        runtime.block_on(load::nothing_is_lost(&http, all, &told.entries))?;
    }
    Ok(())
}

/// Recovery can be interrupted like everything else.
fn killed_while_it_starts(ledger: &Ledger, args: &[&str], moment: Duration) -> Result<()> {
    let mut child = counterfoil()?
        .args(["up", "--dev", "--json", "--listen", "127.0.0.1:0", "--dir"])
        .arg(ledger.folder())
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    thread::sleep(moment);
    child.kill()?;
    child.wait()?;
    Ok(())
}

/// Remembers all that was ever acknowledged.
struct Witness {
    service_cert: Vec<u8>,
    verifier: Verifier,
    entries: Vec<(TxId, Sent)>,
    seqnos: HashSet<u64>,
    receipts: usize,
    last: TxId,
}

impl Witness {
    fn new(ledger: &Ledger) -> Result<Self> {
        let service_cert = fs::read(&ledger.ready().service_cert)?;
        let cert = Cert::from_pem(std::str::from_utf8(&service_cert)?)?;
        Ok(Self {
            service_cert,
            verifier: Verifier::new(cert),
            entries: Vec::new(),
            seqnos: HashSet::new(),
            receipts: 0,
            last: TxId::default(),
        })
    }

    /// What the restarted server must still know of `round`, and of all before.
    async fn check(
        &mut self,
        ledger: &Ledger,
        round: usize,
        told: load::Acknowledged,
        random: &mut Random,
    ) -> Result<()> {
        ensure!(
            fs::read(&ledger.ready().service_cert)? == self.service_cert,
            "another service"
        );
        let http = Http::new(ledger.ready())?;
        self.ids_go_on(&told.entries)?;
        let found = load::nothing_is_lost(&http, load::collections(round), &told.entries).await?;
        for (id, sent, receipt) in &told.receipts {
            load::holds(&self.verifier, *id, *sent, receipt)?;
        }
        for _ in 0..READ_AGAIN.min(self.entries.len()) {
            let (id, sent) = self.entries[random.below(self.entries.len())];
            load::is_there(&http, id, sent).await?;
        }
        for _ in 0..PROVEN_AGAIN.min(self.entries.len()) {
            let (id, sent) = self.entries[random.below(self.entries.len())];
            let answer = http.get(&format!("/app/transactions/{id}/receipt")).await?;
            load::holds(&self.verifier, id, sent, &answer.body).with_context(|| answer.text())?;
        }
        let committed = committed(&http).await?;
        ensure!(
            committed.seqno >= self.last.seqno,
            "{committed} after {}",
            self.last
        );
        self.receipts += told.receipts.len();
        if round % 10 == 9 {
            eprintln!(
                "round {}: {} entries acknowledged so far, {} receipts; in this one {} \
                 acknowledged, {found} found",
                round + 1,
                self.entries.len(),
                self.receipts,
                told.entries.len(),
            );
        }
        Ok(())
    }

    /// No seqno is given twice, none again that was given before, and each server has its own view.
    fn ids_go_on(&mut self, told: &[(TxId, Sent)]) -> Result<()> {
        let Some(first) = told.iter().map(|(id, _)| *id).min_by_key(|id| id.seqno) else {
            return Ok(());
        };
        ensure!(
            first.view > self.last.view && first.seqno > self.last.seqno,
            "{first} was given after {}",
            self.last
        );
        for (id, sent) in told {
            ensure!(
                self.seqnos.insert(id.seqno.0),
                "{sent:?} was told {id}, and so was another entry"
            );
            ensure!(id.view == first.view, "{id} in the reign of {first}");
            self.last = if id.seqno > self.last.seqno {
                *id
            } else {
                self.last
            };
        }
        self.entries.extend(told);
        Ok(())
    }

    async fn check_all(&self, ledger: &Ledger, rounds: usize) -> Result<()> {
        ensure!(
            self.entries.len() > rounds && self.receipts > rounds,
            "the server was hardly ever alive: {} entries, {} receipts",
            self.entries.len(),
            self.receipts
        );
        let http = Http::new(ledger.ready())?;
        let all = (0..rounds).flat_map(load::collections);
        let found = load::nothing_is_lost(&http, all, &self.entries).await?;
        eprintln!("{} acknowledged, {found} found", self.entries.len());
        Ok(())
    }

    fn audit(&self, ledger: &Ledger) -> Result<()> {
        #[derive(Deserialize)]
        struct Verdict {
            valid: bool,
            transactions: usize,
        }
        let out = counterfoil()?
            .args(["ledger", "audit", "--json", "--service-cert"])
            .arg(&ledger.ready().service_cert)
            .arg(ledger.folder())
            .output()?;
        let said = String::from_utf8_lossy(&out.stdout);
        ensure!(out.status.code() == Some(0), "{}: {said}", out.status);
        let verdict: Verdict = serde_json::from_str(&said).with_context(|| said.to_string())?;
        ensure!(
            verdict.valid && verdict.transactions >= self.entries.len(),
            "{} acknowledged: {said}",
            self.entries.len()
        );
        eprintln!("{said}");
        Ok(())
    }
}

async fn committed(http: &Http) -> Result<TxId> {
    #[derive(Deserialize)]
    struct Commit {
        transaction_id: TxId,
    }
    Ok(http
        .get("/node/commit")
        .await?
        .json::<Commit>()?
        .transaction_id)
}
