//! The work that is measured, and what each is compared with.

use std::time::Instant;

use anyhow::Result;
use e2e::{Ledger, counterfoil};
use serde::Deserialize;

use crate::Args;
use crate::large;
use crate::offline;
use crate::process;
use crate::report::{Goal, Report};
use crate::target::Target;

/// Entries of a batch while the ledger is filled.
const FILL: u64 = 1_000;

/// Measures everything once.
pub(crate) fn measure(args: &Args, report: &mut Report) -> Result<()> {
    let mut ledger = Ledger::start()?;
    let server = Target::ledger(ledger.ready(), args.seconds);
    let (echo, peer) = Target::echo(&ledger, args.seconds)?;
    one_writer(args, report)?;
    writes(&server, &peer, report)?;
    offline::verification(args, ledger.ready(), report)?;
    reads(args, &server, &peer, report)?;
    drop(echo);
    let resident = process::resident(server.pid)? as f64 / 1e6;
    let work = "memory in use after all that";
    report.say(work, resident, "MB", Goal::AtMost(300.0));
    ledger.stop()?;
    audit("audit, entries for a second of CPU", &ledger, report)?;
    let start = Instant::now();
    ledger.start_again()?;
    let took = start.elapsed().as_secs_f64();
    report.say("restart", took, "s", Goal::AtMost(2.0));
    drop(ledger);
    if args.large > 0 {
        large::measure(args.large, report)?;
    }
    Ok(())
}

/// In a ledger of its own: its batches hold one entry, and would fill the other with signatures.
fn one_writer(args: &Args, report: &mut Report) -> Result<()> {
    let ledger = Ledger::start()?;
    let server = Target::ledger(ledger.ready(), args.seconds);
    let beside = server.time_beside_disk(&["write", "--clients", "1"], &ledger)?;
    let work = "one writer, committed, p50";
    report.beside(work, &beside, "fdatasync", Goal::Times(2.5));
    Ok(())
}

fn writes(server: &Target, peer: &Target, report: &mut Report) -> Result<()> {
    let many = ["write", "--clients", "64"];
    let beside = server.cpu_beside(&many, peer, &many)?;
    let work = "64 writers, committed, server CPU each";
    report.beside(work, &beside, "echo", Goal::Times(1.7));

    for (work, clients) in [
        ("batch of 100, 4 clients, server CPU an entry", "4"),
        ("batch of 100, 16 clients, server CPU an entry", "16"),
    ] {
        let args = ["write", "--batch", "100", "--size", "300"];
        let batches = server.load(&[&args[..], &["--clients", clients]].concat())?;
        eprintln!("{:.0} entries/s", batches.operations_per_second);
        report.say(work, batches.server_cpu_us, "us", Goal::AtMost(7.0));
    }
    Ok(())
}

fn reads(args: &Args, server: &Target, peer: &Target, report: &mut Report) -> Result<()> {
    let requests = args.entries.div_ceil(FILL).max(1).to_string();
    let batch = FILL.to_string();
    server.fill(&["--clients", "4", "--batch", &batch, "--count", &requests])?;
    for (work, mode, goal) in [
        ("read an entry, server CPU", "read", 1.5),
        ("receipt, server CPU", "receipt", 3.0),
    ] {
        // The peer has no entries to choose from; it answers any write.
        let bare = ["write", "--clients", "64", "--size", "300"];
        let beside = server.cpu_beside(&[mode, "--clients", "64"], peer, &bare)?;
        report.beside(work, &beside, "echo", Goal::Times(goal));
    }
    Ok(())
}

/// Runs `counterfoil ledger audit` over the folder of a stopped server.
pub(crate) fn audit(work: &'static str, ledger: &Ledger, report: &mut Report) -> Result<()> {
    #[derive(Deserialize)]
    struct Passed {
        transactions: u32,
        signatures: u32,
    }
    let mut audit = counterfoil()?;
    audit
        .args(["ledger", "audit", "--json"])
        .arg(ledger.folder());
    let (passed, cpu): (Passed, _) = process::json_and_cpu(&mut audit)?;
    let Passed {
        transactions,
        signatures,
    } = passed;
    eprintln!("the ledger has {transactions} transactions, {signatures} of them signatures");
    let rate = f64::from(transactions) / cpu.as_secs_f64().max(1e-3);
    report.say(work, rate, "/s", Goal::AtLeast(300_000.0));
    Ok(())
}
