//! The work that is measured, and what each is compared with.

use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use e2e::Ledger;
use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::json;
use verify::{Cert, ReceiptDocument, Verifier};

use crate::echo::Echo;
use crate::load::{Call, Target, median};
use crate::report::{Goal, Report};
use crate::{Args, disk, process};

/// Writers at a time, where many write.
const CLIENTS: usize = 64;
/// Bytes of an entry's contents.
const ENTRY: usize = 300;
/// Entries of a batch.
const BATCH: usize = 100;
/// Batches in flight: enough to keep the log busy.
const BATCH_CLIENTS: usize = 4;
/// Entries of a batch while the ledger is filled.
const FILL: usize = 1_000;
/// Different receipts that are verified.
const RECEIPTS: usize = 500;

const VERSION: &str = "api-version=2026-07-31-preview";

/// Measures everything once.
pub(crate) fn measure(args: &Args) -> Result<Report> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let mut report = Report::default();
    let mut ledger = Ledger::start()?;
    runtime.block_on(online(args, &ledger, &mut report))?;
    let resident = process::resident(ledger.ready().pid)? as f64 / 1e6;
    report.say(
        "memory in use after all that",
        resident,
        "MB",
        Goal::AtMost(300.0),
    );
    ledger.stop()?;
    let entries = audit(&ledger, &mut report)?;
    eprintln!("the ledger has {entries} transactions");
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

async fn online(args: &Args, ledger: &Ledger, report: &mut Report) -> Result<()> {
    let seconds = args.seconds;
    let ready = ledger.ready();
    let port = ready
        .url
        .rsplit(':')
        .next()
        .context("a port")?
        .trim_end_matches('/')
        .parse()?;
    let cert = fs::read(&ready.service_cert)?;
    let server = Target::new(ready.pid, port, &cert, &ready.token)?;
    let echo = Echo::start()?;
    let peer = Target::new(echo.pid(), echo.port, echo.cert.as_bytes(), &ready.token)?;

    let syncs = disk::syncs(&ledger.scratch()?, seconds)?;
    let one = server.load(1, seconds, |_| write(true)).await?;
    let name = "one writer, committed, p50";
    let disk = ("fdatasync", median(&syncs));
    report.compare(name, median(&one.latencies), disk, Goal::Times(2.5));

    let body = write(true).body();
    let bare = peer
        .load(CLIENTS, seconds, move |_| Call::post("/echo", body.clone()))
        .await?;
    let many = server.load(CLIENTS, seconds, |_| write(true)).await?;
    eprintln!(
        "64 writers: {:.0}/s, the echo {:.0}/s",
        many.per_second(),
        bare.per_second()
    );
    let name = "64 writers, committed, server CPU each";
    let echo_cpu = ("echo", bare.cpu_per_call());
    report.compare(name, many.cpu_per_call(), echo_cpu, Goal::Times(1.7));

    let batches = server
        .load(BATCH_CLIENTS, seconds, |_| batch(BATCH))
        .await?;
    eprintln!(
        "batches of {BATCH}: {:.0} entries/s",
        batches.per_second() * BATCH as f64
    );
    let cpu = batches.cpu_per_call().as_secs_f64() * 1e6 / BATCH as f64;
    report.say(
        "batch of 100, server CPU an entry",
        cpu,
        "us",
        Goal::AtMost(7.0),
    );

    let fill = batch(FILL);
    for _ in 0..args.entries.div_ceil(FILL) {
        server.once(&fill).await?;
    }
    reads(args, &server, &peer, report).await
}

async fn reads(args: &Args, server: &Target, peer: &Target, report: &mut Report) -> Result<()> {
    let (head, _) = server.once(&write(true)).await?;
    let id = head
        .get("x-ms-ccf-transaction-id")
        .context("a transaction id")?
        .to_str()?
        .to_owned();
    let (view, last) = id.split_once('.').context("a transaction id")?;
    let last: usize = last.parse()?;

    let entry = Call::get(format!("/app/transactions/{id}?{VERSION}"));
    let (_, answer) = server.once(&entry).await?;
    let same = Call::get(format!("/bytes/{}", answer.len()));
    let bare = peer
        .load(CLIENTS, args.seconds, move |_| same.clone())
        .await?;
    let read = server
        .load(CLIENTS, args.seconds, move |_| entry.clone())
        .await?;
    let name = "read an entry, server CPU";
    report.compare(
        name,
        read.cpu_per_call(),
        ("echo", bare.cpu_per_call()),
        Goal::Times(1.5),
    );

    // Any transaction has a receipt; a stride that is prime to the length visits them all over.
    let view = view.to_owned();
    let any = move |n: usize| {
        let seqno = 1 + n.wrapping_mul(7_919) % last;
        Call::get(format!(
            "/app/transactions/{view}.{seqno}/receipt?{VERSION}"
        ))
    };
    let (_, answer) = server.once(&any(1)).await?;
    let same = Call::get(format!("/bytes/{}", answer.len()));
    let bare = peer
        .load(CLIENTS, args.seconds, move |_| same.clone())
        .await?;
    let make = any.clone();
    let receipts = server.load(CLIENTS, args.seconds, make).await?;
    let name = "receipt of any entry, server CPU";
    report.compare(
        name,
        receipts.cpu_per_call(),
        ("echo", bare.cpu_per_call()),
        Goal::Times(3.0),
    );

    let mut answers = Vec::new();
    for n in 0..RECEIPTS {
        answers.push(server.once(&any(n)).await?.1);
    }
    verification(args, server, &answers, report)
}

/// Verifies receipts as their holders do, on this thread.
fn verification(
    args: &Args,
    server: &Target,
    answers: &[Bytes],
    report: &mut Report,
) -> Result<()> {
    let verifier = Verifier::new(Cert::from_pem(str::from_utf8(server.cert())?)?);
    let start = Instant::now();
    let mut verified = 0;
    while start.elapsed() < args.seconds {
        let document = ReceiptDocument::from_json(&answers[verified % answers.len()])?;
        verifier.verify_document(&document)?;
        verified += 1;
    }
    let rate = verified as f64 / start.elapsed().as_secs_f64();
    report.say(
        "receipts verified offline, one core",
        rate,
        "/s",
        Goal::AtLeast(3_000.0),
    );
    Ok(())
}

/// Runs `counterfoil ledger audit` and returns how many transactions it saw.
fn audit(ledger: &Ledger, report: &mut Report) -> Result<u64> {
    #[derive(Deserialize)]
    struct Audit {
        transactions: u64,
    }
    let said = ledger.scratch()?.join("audit.json");
    let mut child = e2e::counterfoil()?
        .args(["ledger", "audit", "--json"])
        .arg(ledger.folder())
        .stdout(fs::File::create(&said)?)
        .stderr(Stdio::null())
        .spawn()
        .context("starting the audit")?;
    let mut cpu = Duration::ZERO;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        cpu = process::cpu(child.id()).unwrap_or(cpu);
        thread::sleep(Duration::from_millis(1));
    };
    let said = fs::read_to_string(said)?;
    if !status.success() {
        bail!("the audit failed: {said}");
    }
    let audit: Audit = serde_json::from_str(&said).with_context(|| said.clone())?;
    let rate = audit.transactions as f64 / cpu.as_secs_f64().max(1e-3);
    report.say(
        "audit, entries for a second of CPU",
        rate,
        "/s",
        Goal::AtLeast(300_000.0),
    );
    Ok(audit.transactions)
}

fn write(wait: bool) -> Call {
    let body = json!({ "contents": "e".repeat(ENTRY) }).to_string();
    Call::post(
        format!("/app/transactions?{VERSION}&waitForCommit={wait}"),
        body,
    )
}

fn batch(entries: usize) -> Call {
    let entry = json!({ "contents": "b".repeat(ENTRY) });
    let body = json!({ "entries": vec![entry; entries] }).to_string();
    Call::post(
        format!("/app/transactions:batch?{VERSION}&waitForCommit=true"),
        body,
    )
}
