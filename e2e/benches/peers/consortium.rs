//! Three nodes beside one, in turn: processor time summed over the nodes, time to the answer, and
//! what a dead leader costs.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::{Acknowledged, Http, Ledger, Network, Writers};
use serde_json::Value;

use crate::process;
use crate::report::{Goal, Report};
use crate::target::{Beside, ROUNDS, Target};

/// The name of the peer.
const ONE: &str = "one node";
/// Followers apply what the leader has answered a moment before.
const SETTLE: Duration = Duration::from_millis(300);
/// A node waits so long at the most for a leader before it asks the others; two of these are the goal.
const ELECTION: f64 = 0.8;
/// Leaders that are killed, and the load meanwhile.
const KILLS: usize = 3;
const WRITERS: usize = 16;
/// A round in which the machine was so busy that the leader changed is made again, so often.
const ATTEMPTS: usize = 3;

/// The work that is compared, and how it is asked of `counterfoil bench`.
const WORK: [(&str, Option<&str>, &[&str], f64); 4] = [
    (
        "3 nodes, batch of 100, 16 clients, CPU an entry",
        None,
        &["--clients", "16", "--batch", "100", "--size", "300"],
        2.2,
    ),
    (
        "3 nodes, batch of 100, 4 clients, CPU an entry",
        None,
        &["--clients", "4", "--batch", "100", "--size", "300"],
        2.2,
    ),
    (
        "3 nodes, 64 writers, CPU a write",
        Some("3 nodes, 64 writers, committed, p50"),
        &["--clients", "64"],
        2.0,
    ),
    (
        "3 nodes, one writer, CPU a write",
        Some("3 nodes, one writer, committed, p50"),
        &["--clients", "1"],
        2.0,
    ),
];

/// Measures all of it.
pub(crate) fn measure(seconds: f64, report: &mut Report) -> Result<()> {
    beside_one(seconds, report)?;
    tokio::runtime::Runtime::new()?.block_on(leader_killed(report))
}

/// What one run came to, microseconds.
struct Cost {
    cpu: f64,
    p50: f64,
}

fn cost(target: &Target, pids: &[u32], seconds: f64, args: &[&str]) -> Result<Cost> {
    let used = || -> Result<Duration> { pids.iter().map(|&pid| process::cpu(pid)).sum() };
    let before = used()?;
    let load = target.load_for(seconds, &[&["write", "--warm-up", "0"], args].concat())?;
    thread::sleep(SETTLE);
    let cpu = used()?.saturating_sub(before).as_secs_f64() * 1e6;
    Ok(Cost {
        cpu: cpu / load.operations.max(1) as f64,
        p50: load.p50_us,
    })
}

fn beside_one(seconds: f64, report: &mut Report) -> Result<()> {
    let alone = Ledger::start()?;
    let network = Network::of(3)?;
    let one = Target::ledger(alone.ready(), seconds);
    let pids: Vec<u32> = network.nodes.iter().filter_map(e2e::Node::pid).collect();
    let seconds = seconds / ROUNDS as f64;
    let three = |args: &[&str]| -> Result<Cost> {
        let leader = &network.nodes[network.leader()?];
        cost(
            &Target::ledger(leader.ready(), seconds),
            &pids,
            seconds,
            args,
        )
    };
    for (work, answered, args, times) in WORK {
        let (mut cpu, mut p50) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let theirs = cost(&one, &[one.pid], seconds, args)?;
            let ours = (1..ATTEMPTS).find_map(|_| three(args).ok());
            let ours = ours.map_or_else(|| three(args), Ok)?;
            cpu.push((ours.cpu, theirs.cpu));
            p50.push((ours.p50, theirs.p50));
        }
        report.beside(work, &Beside::of(cpu), ONE, Goal::Times(times));
        if let Some(answered) = answered {
            report.beside(answered, &Beside::of(p50), ONE, Goal::Times(2.5));
        }
    }
    Ok(())
}

/// Kills the leader under load, several times: how long until a write is acknowledged in the next
/// view, and whether any that was acknowledged is missing anywhere afterwards.
async fn leader_killed(report: &mut Report) -> Result<()> {
    let mut network = Network::of(3)?;
    let nodes = network.all_http()?;
    let writers = Writers::start(&nodes, WRITERS);
    let mut kills = Vec::new();
    for _ in 0..KILLS {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let leader = network.leader()?;
        let standing = network.standing(leader).context("the leader answers")?;
        kills.push((Instant::now(), standing.current_view));
        network.nodes[leader].kill()?;
        network.leader()?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        network.nodes[leader].start()?;
        network.caught_up()?;
    }
    let acknowledged = writers.finish().await?;
    let mut slowest: f64 = 0.0;
    for (killed, view) in kills {
        let next = acknowledged.iter().filter(|write| view_of(write) > view);
        let next = next.map(|write| write.at).min().context("writes resume")?;
        let took = next.saturating_duration_since(killed).as_secs_f64();
        eprintln!("view {view} ended, and a write was acknowledged {took:.2} s later");
        slowest = slowest.max(took);
    }
    let work = "leader killed under load, writes resume, slowest of 3";
    report.say(work, slowest, "s", Goal::AtMost(2.0 * ELECTION));
    network.caught_up()?;
    let mut lost = 0;
    for http in &nodes {
        lost += missing(http, &acknowledged).await?;
    }
    eprintln!("{} writes were acknowledged", acknowledged.len());
    let work = "the same, acknowledged writes lost";
    report.say(work, lost as f64, "", Goal::AtMost(0.0));
    ensure!(lost == 0, "{lost} acknowledged writes are lost");
    Ok(())
}

fn view_of(write: &Acknowledged) -> u64 {
    let view = write.id.split('.').next().unwrap_or_default();
    view.parse().unwrap_or_default()
}

/// How many of these writes a node does not list, under their ids and with their contents.
async fn missing(http: &Http, acknowledged: &[Acknowledged]) -> Result<usize> {
    let mut listed = BTreeSet::new();
    for writer in 0..WRITERS {
        let mut link = Some(format!("/app/transactions?collectionId=w{writer}"));
        while let Some(path) = link {
            let page: Value = http.get_json(&path).await?;
            for entry in page["entries"].as_array().context("a list has entries")? {
                let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
                listed.insert((text("transactionId"), text("contents")));
            }
            link = page["nextLink"].as_str().map(str::to_owned);
        }
    }
    let absent = |write: &&Acknowledged| {
        let Acknowledged { id, contents, .. } = write;
        !listed.contains(&(id.clone(), contents.clone()))
    };
    Ok(acknowledged.iter().filter(absent).count())
}
