//! Contracts beside other people's nodes for development: the same generator, the same contract, the
//! same signed bytes but for the chain's id. Theirs keep nothing; ours is synced, signed and encrypted.

mod chain;
mod servers;

use anyhow::{Context, Result};
use serde_json::json;

pub(crate) use self::chain::{Chain, Work};
pub(crate) use self::servers::Server;
use crate::Args;
use crate::http::{self, Ran};
use crate::report::{Goal, Report};
use crate::target::{Beside, syncs};

/// Each comparison is made so many times, in turn.
const ROUNDS: usize = 3;
/// Those who write at the same time, each over a connection of their own.
const WRITERS: usize = 64;
/// Calls in a request, where there are several.
const BATCH: usize = 50;
/// Operations of a round. A peer gets as many as it does in some seconds.
const OURS: usize = 20_000;
const ANVIL_EACH: usize = 1_280;
const ANVIL_SECOND: usize = 6_400;
const GANACHE: usize = 128;
/// Records that each server is asked for.
const KNOWN: usize = 1_280;
/// Reads of a round.
const READS: usize = 20_000;
/// Records that are written between two signings, so that they need not all be held.
const FILLED: usize = 32_000;

/// Measures all of it.
pub(crate) fn measure(args: &Args, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let mut ours = Chain::on(Server::counterfoil()?, WRITERS).await?;
        if !args.alone {
            writes(&mut ours, report).await?;
            reads(&mut ours, report).await?;
        }
        one_by_one(&mut ours, report).await?;
        much_later(&mut ours, args.records, report).await
    })
}

async fn writes(ours: &mut Chain, report: &mut Report) -> Result<()> {
    let single = OURS / WRITERS;
    // Warm.
    ours.write(Work::Event, single / 4, 1).await?;
    let (mut rates, mut batched_rates) = (Vec::new(), Vec::new());
    let (mut each, mut second, mut ganache) = (Vec::new(), Vec::new(), Vec::new());
    let (mut batched, mut records) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut peer = Chain::on(Server::anvil(false).await?, WRITERS).await?;
        let by_each = said(
            "anvil, automine",
            &peer.write(Work::Event, ANVIL_EACH / WRITERS, 1).await?,
        );
        drop(peer);
        let events = ours.write(Work::Event, single, 1).await?;
        let event = said("counterfoil", &events);
        rates.push(events.rate());
        let mut peer = Chain::on(Server::anvil(true).await?, WRITERS).await?;
        let singly = peer.write(Work::Event, ANVIL_SECOND / WRITERS, 1).await?;
        let by_second = said("anvil, a block each second", &singly);
        drop(peer);
        let many = ours.write(Work::Event, single / BATCH, BATCH).await?;
        let batch = said("counterfoil, batches", &many);
        batched_rates.push(many.rate());
        let mut peer = Chain::on(Server::anvil(true).await?, WRITERS).await?;
        let many = peer
            .write(Work::Event, ANVIL_SECOND / WRITERS / BATCH, BATCH)
            .await?;
        let batch_theirs = said("anvil, a block each second, batches", &many);
        let kept = peer.write(Work::Record, KNOWN / WRITERS, 1).await?;
        let record_theirs = said("anvil, a block each second, records", &kept);
        drop(peer);
        let kept = ours.write(Work::Record, single, 1).await?;
        let record = said("counterfoil, records", &kept);
        let mut peer = Chain::on(Server::ganache().await?, WRITERS).await?;
        let by_ganache = said(
            "ganache",
            &peer.write(Work::Event, GANACHE / WRITERS, 1).await?,
        );
        each.push((event, by_each));
        second.push((event, by_second));
        ganache.push((event, by_ganache));
        batched.push((batch, batch_theirs));
        records.push((record, record_theirs));
    }
    let work = "addEvent, CPU";
    report.beside(
        work,
        &Beside::of(each),
        "anvil, automine",
        Goal::Times(0.25),
    );
    report.beside(
        work,
        &Beside::of(second),
        "anvil, a block each second",
        Goal::Times(0.25),
    );
    report.beside(work, &Beside::of(ganache), "ganache", Goal::Times(0.01));
    let work = "addEvent, requests with 50, CPU";
    report.beside(
        work,
        &Beside::of(batched),
        "anvil, a block each second",
        Goal::Times(0.25),
    );
    let work = "addRecord, CPU";
    report.beside(
        work,
        &Beside::of(records),
        "anvil, a block each second",
        Goal::Times(0.25),
    );
    rates.sort_by(f64::total_cmp);
    batched_rates.sort_by(f64::total_cmp);
    let rate = Goal::AtLeast(5_000.0);
    report.say("addEvent, 64 writers", rates[ROUNDS / 2], "tx/s", rate);
    report.say(
        "addEvent, 64 writers, requests with 50",
        batched_rates[ROUNDS / 2],
        "tx/s",
        rate,
    );
    Ok(())
}

/// Receipts and calls, of and about records that both have.
async fn reads(ours: &mut Chain, report: &mut Report) -> Result<()> {
    let mut theirs = Chain::on(Server::anvil(true).await?, WRITERS).await?;
    for chain in [&mut *ours, &mut theirs] {
        chain.write(Work::Record, KNOWN / WRITERS, 1).await?;
    }
    let receipts = |chain: &Chain| {
        let hashes = chain.hashes.iter().cycle().take(READS);
        let asked = hashes.map(|hash| http::request("eth_getTransactionReceipt", &json!([hash])));
        spread(asked.collect())
    };
    let calls = |chain: &Chain| {
        let places = (0..KNOWN as u64).cycle().take(READS);
        spread(places.map(|place| chain.reads_record(place)).collect())
    };
    let (mut of_receipts, mut of_calls) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let theirs_of = theirs.read(receipts(&theirs)).await?;
        let ours_of = ours.read(receipts(ours)).await?;
        of_receipts.push((
            said("counterfoil, receipts", &ours_of),
            said("anvil, receipts", &theirs_of),
        ));
        let theirs_of = theirs.read(calls(&theirs)).await?;
        let ours_of = ours.read(calls(ours)).await?;
        of_calls.push((
            said("counterfoil, calls", &ours_of),
            said("anvil, calls", &theirs_of),
        ));
    }
    let once = Goal::Times(1.0);
    report.beside(
        "eth_getTransactionReceipt, CPU",
        &Beside::of(of_receipts),
        "anvil",
        once,
    );
    report.beside(
        "eth_call of a view that reads 10 slots, CPU",
        &Beside::of(of_calls),
        "anvil",
        once,
    );
    Ok(())
}

/// Sent and committed, the receipt in hand, beside what the disk takes for it.
async fn one_by_one(ours: &mut Chain, report: &mut Report) -> Result<()> {
    let folder = ours
        .server
        .folder
        .clone()
        .context("a ledger has a folder")?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let disk = syncs(&folder)?;
        let sent = ours.write_one_by_one(500).await?;
        said("counterfoil, one by one", &sent);
        rounds.push((sent.within_us(0.5), disk));
    }
    let work = "eth_sendRawTransactionSync, one at a time, p50";
    report.beside(work, &Beside::of(rounds), "fdatasync", Goal::Times(3.0));
    Ok(())
}

/// The same work where many records are and on a fresh ledger, and one of the records found by its hash.
async fn much_later(ours: &mut Chain, records: usize, report: &mut Report) -> Result<()> {
    let (first, mut filled) = (ours.written(), 0);
    while filled < records {
        let ran = ours
            .write(Work::Record, FILLED / WRITERS / BATCH, BATCH)
            .await?;
        filled += ran.operations;
        if filled % (FILLED * 4) < FILLED {
            eprint!("{filled} records: ");
            said("counterfoil, records", &ran);
        }
    }
    let last = ours.written();
    let mut fresh = Chain::on(Server::counterfoil()?, WRITERS).await?;
    // Warm.
    fresh.write(Work::Event, OURS / WRITERS / 4, 1).await?;
    for (work, what) in [
        (Work::Event, "addEvent, CPU, many records later"),
        (Work::Record, "addRecord, CPU, many records later"),
    ] {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let later = ours.write(work, OURS / WRITERS, 1).await?;
            let before = fresh.write(work, OURS / WRITERS, 1).await?;
            rounds.push((
                said("counterfoil, many records later", &later),
                said("counterfoil, fresh", &before),
            ));
        }
        report.beside(
            what,
            &Beside::of(rounds),
            "a fresh ledger",
            Goal::Times(1.2),
        );
    }
    drop(fresh);
    if filled == 0 {
        return Ok(());
    }
    let step = ((last - first) / 2_000).max(1) as usize;
    let asked = (first..last)
        .step_by(step)
        .map(|number| ours.finds_record(number));
    let found = ours.read(vec![asked.collect()]).await?;
    said("counterfoil, logs by topic", &found);
    let goal = Goal::AtMost(1_000.0);
    report.say(
        "a log by its topic among all, p50",
        found.within_us(0.5),
        "us",
        goal,
    );
    report.say("the same, p99", found.within_us(0.99), "us", goal);
    report.say("the same, CPU", found.cpu_us(), "us", goal);
    Ok(())
}

/// Requests over several connections.
fn spread(requests: Vec<Vec<u8>>) -> Vec<Vec<Vec<u8>>> {
    let share = requests.len().div_ceil(WRITERS / 4);
    requests.chunks(share).map(<[Vec<u8>]>::to_vec).collect()
}

/// Tells of a run; its processor time of one operation, microseconds.
fn said(what: &str, ran: &Ran) -> f64 {
    let (rate, p50, p99) = (ran.rate(), ran.within_us(0.5), ran.within_us(0.99));
    let cpu = ran.cpu_us();
    eprintln!(
        "{what}: {rate:.0}/s, CPU {cpu:.1} us, answers within {p50:.0} us (p50), {p99:.0} us (p99)"
    );
    cpu
}
