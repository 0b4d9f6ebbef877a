//! The audit services under load: storing, consulting, and what the proxy adds; beside ganache, on which the
//! audit paper's stack runs, with the same strings in a contract's event.

mod load;
mod services;

use anyhow::Result;
use e2e::Ledger;

use self::load::{Loaded, consult, store, through};
use self::services::{Services, Upstream};
use crate::Args;
use crate::contracts::{Chain, Server, Work};
use crate::report::{Goal, Report};

/// Those who store and consult at the same time, each over a connection of their own.
const CLIENTS: usize = 50;
/// Those who consult where nobody waits for anybody's processor.
const FEW: usize = 4;
/// Operations that ganache does in some seconds.
const GANACHE: usize = 8;

/// Measures all of it.
pub(crate) fn measure(args: &Args, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let by_ledger = entries(args.seconds, report).await?;
        let by_contracts = contracts(args.seconds, report).await?;
        if args.alone {
            return Ok(());
        }
        let mut peer = Chain::on(Server::ganache().await?, CLIENTS).await?;
        let theirs = peer.write(Work::Event, GANACHE, 1).await?.cpu_us();
        for (work, ours) in [
            ("a store by entries, all CPU", by_ledger),
            ("a store by contracts, all CPU", by_contracts),
        ] {
            let peer = ("ganache alone, addEvent", theirs);
            report.compare(work, ours, peer, Goal::Times(0.01));
        }
        Ok(())
    })
}

/// With events as entries of a ledger. Gives the processor time of a store, microseconds.
async fn entries(seconds: f64, report: &mut Report) -> Result<f64> {
    let ledger = Ledger::start()?;
    let upstream = Upstream::start().await?;
    let services = Services::start(&ledger, "ledger", Some(&upstream)).await?;
    store(&services, CLIENTS, seconds / 4.0).await?;
    let stored = store(&services, CLIENTS, seconds).await?;
    say_stored(report, "entries", &stored, 6_000.0);
    for (work, clients) in [
        ("consult, 4 clients", FEW),
        ("consult, 50 clients", CLIENTS),
    ] {
        let consulted = consult(&services, clients, seconds).await?;
        said(work, &consulted);
        let p50 = consulted.ran.within_us(0.5) / 1e3;
        report.say(leaked(format!("{work}, p50")), p50, "ms", Goal::AtMost(3.0));
        let cpu = consulted.ran.cpu_us();
        report.say(
            leaked(format!("{work}, CPU")),
            cpu,
            "us",
            Goal::AtMost(200.0),
        );
    }
    proxy(&services, &upstream, seconds, report).await?;
    Ok(stored.all_cpu_us())
}

/// With events as records of contracts.
async fn contracts(seconds: f64, report: &mut Report) -> Result<f64> {
    let ledger = Ledger::start()?;
    let services = Services::start(&ledger, "contracts", None).await?;
    store(&services, CLIENTS, seconds / 4.0).await?;
    let stored = store(&services, CLIENTS, seconds).await?;
    say_stored(report, "contracts", &stored, 1_500.0);
    Ok(stored.all_cpu_us())
}

fn say_stored(report: &mut Report, how: &str, stored: &Loaded, goal: f64) {
    said(&format!("store, {how}"), stored);
    let row = |what: &str| leaked(format!("store by {how}, 50 clients, {what}"));
    let (p50, p99) = (stored.ran.within_us(0.5), stored.ran.within_us(0.99));
    report.say(row("stores"), stored.ran.rate(), "/s", Goal::AtLeast(goal));
    report.say(row("p50"), p50 / 1e3, "ms", Goal::AtMost(10.0));
    report.say(row("p99"), p99 / 1e3, "ms", Goal::AtMost(50.0));
}

/// What passing through costs: one after the other, so that nobody waits for anybody.
async fn proxy(
    services: &Services,
    upstream: &Upstream,
    seconds: f64,
    report: &mut Report,
) -> Result<()> {
    let direct = through(upstream.address, None, "GET", seconds / 4.0).await?;
    let front = Some(services.certificate());
    let proxied = services.proxy()?;
    let unaudited = through(proxied, front, "GET", seconds / 4.0).await?;
    let audited = through(proxied, front, "POST", seconds / 4.0).await?;
    let [direct, unaudited, audited] =
        [direct, unaudited, audited].map(|ran| ran.within_us(0.5) / 1e3);
    let work = "proxy, one at a time, added to a request that is not audited, p50";
    report.say(work, unaudited - direct, "ms", Goal::AtMost(0.3));
    let work = "proxy, one at a time, added to one that is, p50";
    report.say(work, audited - direct, "ms", Goal::AtMost(2.0));
    Ok(())
}

fn said(work: &str, loaded: &Loaded) {
    let ran = &loaded.ran;
    eprintln!(
        "{work}: {:.0}/s, p50 {:.1} ms, p99 {:.1} ms; CPU: services {:.0} us, ledger {:.0} us, load {:.0} us",
        ran.rate(),
        ran.within_us(0.5) / 1e3,
        ran.within_us(0.99) / 1e3,
        ran.cpu_us(),
        loaded.ledger_cpu_us(),
        loaded.own_cpu_us(),
    );
}

/// A report's rows are few, and named for as long as the program runs.
fn leaked(text: String) -> &'static str {
    text.leak()
}
