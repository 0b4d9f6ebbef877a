//! The fault campaign: real nodes, links that fail, and clients who remember what they were told.
//!
//! A seed makes a [`plan`]; the [`nemesis`] carries it out on a [`stage`], while [`load`] writes and
//! reads, and [`contracts`] are called, and the [`witness`] keeps what was said; the [`checker`] compares it with what is there in
//! the end. The same seed makes the same plan; what comes of it depends on the moment, as ever.

mod checker;
mod clock;
mod contracts;
mod disk;
mod load;
mod nemesis;
mod plan;
mod stage;
mod torn;
mod witness;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::runtime::Runtime;

use self::checker::Tally;
use self::contracts::Chain;
use self::load::{Load, WRITERS};
use self::nemesis::Nemesis;
use self::plan::Plan;
use self::stage::Stage;
use self::witness::Witness;
use crate::history::{same_history, whole};
use crate::http::Http;

/// Each round's writes have numbers of their own.
const NUMBERS: usize = 1_000_000;

/// One run of the campaign.
#[derive(Debug, Clone)]
pub struct Options {
    /// What makes the plan.
    pub seed: u64,
    /// How often things go wrong and are well again, on the same network.
    pub rounds: usize,
    /// For how long they go wrong, each time.
    pub time: Duration,
    /// Whether to tell on standard error what happens, while it does.
    pub aloud: bool,
}

/// What came of a run.
#[derive(Debug)]
pub struct Verdict {
    /// What must not have happened.
    pub violations: Vec<String>,
    /// What was done, line by line.
    pub story: String,
    /// In one line: what was written and read.
    pub summary: String,
    /// Where everything is, if something is wrong.
    pub kept: Option<PathBuf>,
}

/// Runs the campaign once.
///
/// # Errors
/// When the network cannot be set up; whatever goes wrong later is part of the verdict.
pub fn run(options: &Options) -> Result<Verdict> {
    let runtime = Runtime::new().context("starting a runtime")?;
    let plan = Plan::of(options.seed, options.time);
    let mut stage = Stage::set(&plan, runtime.handle())?;
    let witness = Arc::new(Witness::of(WRITERS));
    let chain = Arc::new(Chain::default());
    let mut nemesis = Nemesis::new(&mut stage, &witness, options.seed, options.aloud);
    let mut tally = Tally::default();
    let done = (|| {
        for round in 0..options.rounds {
            let seed = options.seed.wrapping_add((round as u64) << 48);
            // The network stays the one that the first plan wanted.
            let plan = Plan {
                nodes: plan.nodes,
                ..Plan::of(seed, options.time)
            };
            let seen = (&witness, &chain);
            tally = play(&runtime, &mut nemesis, &plan, seen, (seed, round))?;
        }
        anyhow::Ok(())
    })();
    let settled = done.is_ok();
    if let Err(error) = done {
        witness.violation(format!("{error:#}"));
    }
    let members = nemesis.members();
    let story = std::mem::take(&mut nemesis.story);
    drop(nemesis);
    finish(&mut stage, &members, settled, &witness);
    let violations = witness.violations();
    let reads = witness.seen().reads;
    let summary = format!(
        "{} nodes, {} faults; {} writes acknowledged, {} refused, {} in doubt, {} unknown; \
         {} transactions of contracts, {} blocks; {reads} reads, {} receipts, {} rekeys; written \
         again after {:?}",
        plan.nodes,
        plan.events.len() / 2 * options.rounds,
        tally.acknowledged,
        tally.refused,
        tally.doubtful,
        tally.unknown,
        tally.contracts.committed,
        tally.contracts.blocks,
        tally.receipts,
        rekeys(&stage, &members),
        tally.lively,
    );
    let kept = (!violations.is_empty()).then(|| {
        stage.network.keep();
        if let Some((_, disk)) = &mut stage.disk {
            disk.keep = true;
        }
        stage.network.folder().to_owned()
    });
    if let Some(kept) = &kept {
        let text = format!("{story}\n{summary}\n{}\n", violations.join("\n"));
        fs::write(kept.join("chaos.log"), text).context("keeping the story")?;
    }
    Ok(Verdict {
        violations,
        story,
        summary,
        kept,
    })
}

/// How many ledger secrets the nodes say that they learned, those undone among them.
fn rekeys(stage: &Stage, members: &[usize]) -> usize {
    let logs = members
        .iter()
        .map(|place| stage.network.nodes[*place].log());
    let learned: BTreeSet<String> = logs
        .flat_map(|log| log.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| line.contains("the ledger is rekeyed"))
        .filter_map(|line| Some(line.rsplit_once("id=")?.1.trim().to_owned()))
        .collect();
    learned.len()
}

/// Faults under load, then calm, then a look at what every node has.
fn play(
    runtime: &Runtime,
    nemesis: &mut Nemesis<'_>,
    plan: &Plan,
    (witness, chain): (&Arc<Witness>, &Arc<Chain>),
    (seed, round): (u64, usize),
) -> Result<Tally> {
    let targets = Arc::clone(&nemesis.stage.targets);
    let seen = (witness, chain);
    let load = Load::start(runtime.handle(), &targets, seen, seed, round * NUMBERS)?;
    let done = nemesis.run(plan).and_then(|()| nemesis.calm());
    let members = nemesis.members();
    let all = targets.all();
    let nodes: Vec<(usize, Http)> = members
        .iter()
        .map(|place| (*place, all[*place].http.clone()))
        .collect();
    let cert = nemesis.stage.network.nodes[0].ready().service_cert.clone();
    runtime.block_on(async {
        // Whatever went wrong, no client is left behind.
        let lively = match done {
            Ok(()) => checker::lively(&nodes).await,
            Err(error) => Err(error),
        };
        load.finish().await;
        let lively = lively?;
        // What clients gave up on may still come: now it has.
        checker::lively(&nodes).await?;
        let mut tally = checker::compare(&nodes, witness).await?;
        tally.contracts = contracts::compare(&nodes, chain, witness).await?;
        checker::decided(&nodes, witness).await?;
        tally.receipts = checker::receipts(&nodes, &cert, witness).await?;
        tally.lively = lively;
        Ok(tally)
    })
}

/// Stops the nodes, and compares their files; what they have not settled may differ.
fn finish(stage: &mut Stage, members: &[usize], settled: bool, witness: &Witness) {
    for place in members {
        let node = &mut stage.network.nodes[*place];
        if node.pid().is_none() {
            continue;
        }
        if let Err(error) = node.stop() {
            witness.violation(format!("node {place} at the end: {error:#}"));
        }
    }
    let nodes = &stage.network.nodes;
    let folders: Vec<&Path> = members.iter().map(|place| nodes[*place].folder()).collect();
    let looked = if settled {
        same_history(&folders)
    } else {
        folders.into_iter().try_for_each(whole)
    };
    if let Err(error) = looked {
        witness.violation(format!("{error:#}"));
    }
    for (place, node) in nodes.iter().enumerate() {
        let log = node.log();
        let alarms = log
            .lines()
            .filter(|line| line.contains("ALARM") || line.contains("panicked"));
        for line in alarms {
            witness.violation(format!("the log of node {place}: {line}"));
        }
    }
    for target in stage.targets.all() {
        target.serves.store(false, Ordering::SeqCst);
    }
}
