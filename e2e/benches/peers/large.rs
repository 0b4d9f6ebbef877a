//! A large ledger: that neither memory nor a restart nor the receipt of the first entry grows with it.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use e2e::{Http, Ledger};
use serde::Deserialize;

use crate::process;
use crate::report::{Goal, Report};
use crate::target::Target;
use crate::work;

/// Entries of one request, and bytes of one entry, while it is filled.
const BATCH: u64 = 1_000;
const SIZE: &str = "100";
/// Receipts that are timed at either end.
const RECEIPTS: u64 = 200;
/// Entries of a new ledger that are not the load's.
const FIRST: u64 = 20;

/// Fills a ledger with so many entries, and measures what should not have grown.
pub(crate) fn measure(entries: u64, report: &mut Report) -> Result<()> {
    let mut ledger = Ledger::start()?;
    let server = Target::ledger(ledger.ready(), 0.0);
    let requests = entries.div_ceil(BATCH).to_string();
    let filled = server.fill(&[
        "--clients",
        "4",
        "--batch",
        &BATCH.to_string(),
        "--size",
        SIZE,
        "--count",
        &requests,
    ])?;
    eprintln!(
        "{entries} entries at {:.0}/s, {:.2} us server CPU each",
        filled.operations_per_second, filled.server_cpu_us
    );
    let most = process::resident_at_most(server.pid)? as f64 / 1e6;
    report.say("large: memory, at most", most, "MB", Goal::AtMost(300.0));

    ledger.stop()?;
    let start = Instant::now();
    ledger.start_again()?;
    let took = start.elapsed().as_secs_f64();
    report.say("large: restart", took, "s", Goal::AtMost(2.0));

    let [first, last] = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(both_ends(&Http::new(ledger.ready())?))?;
    let peer = ("last", last);
    report.compare("large: receipt, first", first, peer, Goal::Times(1.5));
    let resident = process::resident(ledger.ready().pid)? as f64 / 1e6;
    let work = "large: memory after the restart";
    report.say(work, resident, "MB", Goal::AtMost(300.0));

    ledger.stop()?;
    work::audit("large: audit, entries for a second of CPU", &ledger, report)
}

/// Median times of receipts, microseconds: of the first entries and of the last.
async fn both_ends(http: &Http) -> Result<[f64; 2]> {
    #[derive(Deserialize)]
    struct Commit {
        transaction_id: String,
    }
    let commit: Commit = http.get("/node/commit").await?.json()?;
    let last = commit.transaction_id.split_once('.');
    let last: u64 = last.context("a transaction id")?.1.parse()?;
    // The last entries are those of the restart; the load's stand before them.
    let end = last.saturating_sub(BATCH);
    Ok([
        receipts(http, FIRST).await?,
        receipts(http, end.saturating_sub(RECEIPTS)).await?,
    ])
}

async fn receipts(http: &Http, from: u64) -> Result<f64> {
    let mut times = Vec::new();
    for seqno in from..from + RECEIPTS {
        let start = Instant::now();
        // The load was written in the ledger's first view.
        let answer = http
            .get(&format!("/app/transactions/2.{seqno}/receipt"))
            .await?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
        ensure!(answer.status == 200, "{}", answer.text());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
