//! The work that is measured, and what each is compared with.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use e2e::{Ledger, counterfoil};
use serde::Deserialize;
use serde_json::Value;
use verify::{Cert, ReceiptDocument, Verifier};

use crate::Args;
use crate::process::{self, Background};
use crate::report::{Goal, Report};

/// Entries of a batch while the ledger is filled.
const FILL: u64 = 1_000;
/// Different receipts that are verified.
const RECEIPTS: usize = 200;
/// Where those are looked for: after the entries that every ledger starts with.
const FIRST: usize = 20;

/// What `counterfoil bench` prints with `--json`, as far as it is compared here.
#[derive(Deserialize)]
struct Load {
    operations_per_second: f64,
    p50_us: f64,
    server_cpu_us: f64,
}

/// A server under load: the ledger, or the peer that does nothing.
struct Target {
    url: String,
    service_cert: PathBuf,
    token: String,
    pid: u32,
    seconds: u64,
}

impl Target {
    /// One run of `counterfoil bench`.
    fn load(&self, args: &[&str]) -> Result<Load> {
        let seconds = self.seconds.to_string();
        let mut command = self.client()?;
        command.arg("bench").args(args);
        command.args([
            "--json",
            "--duration",
            &seconds,
            "--server-pid",
            &self.pid.to_string(),
        ]);
        process::json(&mut command)
    }

    /// The command line client, told where the server is.
    fn client(&self) -> Result<Command> {
        let mut command = counterfoil()?;
        command.env("COUNTERFOIL_URL", &self.url);
        command.env("COUNTERFOIL_SERVICE_CERT", &self.service_cert);
        command.env("COUNTERFOIL_TOKEN", &self.token);
        Ok(command)
    }
}

/// Measures everything once.
pub(crate) fn measure(args: &Args) -> Result<Report> {
    let mut report = Report::default();
    let mut ledger = Ledger::start()?;
    let ready = ledger.ready().clone();
    let server = Target {
        url: ready.url,
        service_cert: ready.service_cert,
        token: ready.token,
        pid: ready.pid,
        seconds: args.seconds,
    };
    writes(&ledger, &server, &mut report)?;
    reads(args, &ledger, &server, &mut report)?;
    let resident = process::resident(server.pid)? as f64 / 1e6;
    report.say(
        "memory in use after all that",
        resident,
        "MB",
        Goal::AtMost(300.0),
    );
    ledger.stop()?;
    audit(&ledger, &mut report)?;
    let start = Instant::now();
    ledger.start_again()?;
    report.say(
        "restart",
        start.elapsed().as_secs_f64(),
        "s",
        Goal::AtMost(2.0),
    );
    Ok(report)
}

fn writes(ledger: &Ledger, server: &Target, report: &mut Report) -> Result<()> {
    #[derive(Deserialize)]
    struct Syncs {
        p50_us: f64,
    }
    let (_echo, peer) = peer(ledger, server)?;
    let disk: Syncs = process::json(
        counterfoil()?
            .args(["bench", "fsync", "--json", "--count", "1000"])
            .arg(ledger.folder()),
    )?;
    let one = server.load(&["write", "--clients", "1"])?;
    let name = "one writer, committed, p50";
    report.compare(
        name,
        one.p50_us,
        ("fdatasync", disk.p50_us),
        Goal::Times(2.5),
    );

    let bare = peer.load(&["write", "--clients", "64"])?;
    let many = server.load(&["write", "--clients", "64"])?;
    let rates = (many.operations_per_second, bare.operations_per_second);
    eprintln!("64 writers: {:.0}/s, the echo {:.0}/s", rates.0, rates.1);
    let name = "64 writers, committed, server CPU each";
    report.compare(
        name,
        many.server_cpu_us,
        ("echo", bare.server_cpu_us),
        Goal::Times(1.7),
    );

    let batches = server.load(&["write", "--clients", "4", "--batch", "100", "--size", "300"])?;
    eprintln!(
        "batches of 100: {:.0} entries/s",
        batches.operations_per_second
    );
    let name = "batch of 100, server CPU an entry";
    report.say(name, batches.server_cpu_us, "us", Goal::AtMost(7.0));
    Ok(())
}

fn reads(args: &Args, ledger: &Ledger, server: &Target, report: &mut Report) -> Result<()> {
    let requests = args.entries.div_ceil(FILL).max(1).to_string();
    let mut fill = server.client()?;
    fill.args(["bench", "write", "--json", "--clients", "4"]);
    fill.args(["--batch", &FILL.to_string(), "--count", &requests]);
    let _: Value = process::json(&mut fill)?;

    let (_echo, peer) = peer(ledger, server)?;
    for (name, mode, goal) in [
        ("read an entry, server CPU", "read", 1.5),
        ("receipt, server CPU", "receipt", 3.0),
    ] {
        // The peer has no entries to choose from; it answers any write.
        let bare = peer.load(&["write", "--clients", "64", "--size", "300"])?;
        let ours = server.load(&[mode, "--clients", "64"])?;
        eprintln!("{mode}: {:.0}/s", ours.operations_per_second);
        let echo = ("echo", bare.server_cpu_us);
        report.compare(name, ours.server_cpu_us, echo, Goal::Times(goal));
    }
    verification(server, report)
}

/// Verifies receipts as their holders do, on this thread.
fn verification(server: &Target, report: &mut Report) -> Result<()> {
    let mut answers = Vec::new();
    let mut seqnos = FIRST..FIRST + 10 * RECEIPTS;
    while answers.len() < RECEIPTS {
        let seqno = seqnos
            .next()
            .context("the ledger has too few entries with receipts")?;
        let out = server
            .client()?
            .args(["receipt", "get", &format!("2.{seqno}")])
            .output()?;
        // A signature transaction proves a root and no entry: the client hands out no receipt.
        if out.status.success() {
            answers.push(out.stdout);
        }
    }
    let cert = fs::read_to_string(&server.service_cert).context("reading the certificate")?;
    let verifier = Verifier::new(Cert::from_pem(&cert)?);
    let start = Instant::now();
    let mut verified = 0_u32;
    for answer in answers.iter().cycle() {
        verifier.verify_document(&ReceiptDocument::from_json(answer)?)?;
        verified += 1;
        if start.elapsed() > Duration::from_secs(server.seconds) {
            break;
        }
    }
    let rate = f64::from(verified) / start.elapsed().as_secs_f64();
    report.say(
        "receipts verified offline, one core",
        rate,
        "/s",
        Goal::AtLeast(3_000.0),
    );
    Ok(())
}

/// Runs `counterfoil ledger audit` over the folder of a stopped server.
fn audit(ledger: &Ledger, report: &mut Report) -> Result<()> {
    #[derive(Deserialize)]
    struct Passed {
        transactions: u32,
    }
    let mut audit = counterfoil()?;
    audit
        .args(["ledger", "audit", "--json"])
        .arg(ledger.folder());
    let (passed, cpu): (Passed, _) = process::json_and_cpu(&mut audit)?;
    eprintln!("the ledger has {} transactions", passed.transactions);
    let rate = f64::from(passed.transactions) / cpu.as_secs_f64().max(1e-3);
    report.say(
        "audit, entries for a second of CPU",
        rate,
        "/s",
        Goal::AtLeast(300_000.0),
    );
    Ok(())
}

/// Starts the server that does nothing.
fn peer(ledger: &Ledger, server: &Target) -> Result<(Background, Target)> {
    #[derive(Deserialize)]
    struct Ready {
        url: String,
        pid: u32,
    }
    let service_cert = ledger.scratch()?.join("echo.pem");
    let mut echo = counterfoil()?;
    echo.args(["bench", "echo", "--service-cert"])
        .arg(&service_cert);
    let (echo, Ready { url, pid }) = Background::start(&mut echo)?;
    let token = server.token.clone();
    Ok((
        echo,
        Target {
            url,
            service_cert,
            token,
            pid,
            seconds: server.seconds,
        },
    ))
}
