//! Measures how long a node takes to join a long ledger, and what the others notice of it.
//!
//! `cargo run --release -p node --example join -- [ENTRIES] [BYTES] [FOLDER]`: a founder with that many
//! entries, then a writer that writes one entry after the other while a second node joins. Both nodes,
//! and the writer, share this machine's cores and disk.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ledger::Transaction;
use ledger::entries::AppendEntry;
use ledger::nodes::{NodeRow, NodeStatus, PutNode, node};
use ledger::users::UserId;
use node::config::REPLAY_ENTRIES_DEFAULT;
use node::join::{JoinAnswer, Joining};
use node::{Node, NodeConfig, PeerConfig, Timing, Wait};
use verify::{Cert, Verifier};

/// Entries in one submission, while the ledger is filled.
const TOGETHER: u64 = 1_000;
/// Submissions under way at a time, likewise.
const UNDER_WAY: u64 = 4;
/// How long writes are watched before a node joins, to know what is usual here.
const USUAL: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let mut arguments = std::env::args().skip(1);
    let entries: u64 = arguments
        .next()
        .map_or(1_000_000, |text| text.parse().unwrap());
    let bytes: usize = arguments.next().map_or(100, |text| text.parse().unwrap());
    let root = match arguments.next() {
        Some(folder) => tempfile::tempdir_in(folder).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    let founder = start(config(&root.path().join("founder"))).await;
    while !founder.leads() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let began = Instant::now();
    fill(&founder, entries, bytes).await;
    println!(
        "filled: {} entries of {bytes} bytes in {:.1} s",
        founder.committed().seqno,
        began.elapsed().as_secs_f64()
    );
    let usual = Writer::begin(&founder, bytes);
    tokio::time::sleep(USUAL).await;
    println!("writes before:   {}", usual.end().await);

    let writer = Writer::begin(&founder, bytes);
    let began = Instant::now();
    let joining = join(&founder, config(&root.path().join("joined")));
    let joined = joining.await;
    let started = began.elapsed();
    println!(
        "joined, checked and started: {:.1} s",
        started.as_secs_f64()
    );
    while joined.committed().seqno < founder.committed().seqno {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("has all there is: {:.1} s", began.elapsed().as_secs_f64());
    while founder.standing().deciding.len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("decides: {:.1} s", began.elapsed().as_secs_f64());
    println!("writes meanwhile: {}", writer.end().await);
    let after = Writer::begin(&founder, bytes);
    tokio::time::sleep(USUAL).await;
    println!("writes after, with two nodes: {}", after.end().await);

    for part in ["ledger", "snapshots", "index", "state"] {
        let [one, other] =
            ["founder", "joined"].map(|node| size(&root.path().join(node).join(part)));
        println!("{part}: {one} bytes at the founder, {other} at the node that joined");
    }
    let verifier = Verifier::new(Cert::from_pem(founder.service_cert()).unwrap());
    let last = joined.committed();
    for part in 1..=20 {
        let seqno = verify::Seqno(last.seqno.0 * part / 21);
        let history = joined.view_history();
        let view = history.iter().rev().find(|(_, first)| *first <= seqno);
        let id = verify::TxId::new(view.unwrap().0, seqno);
        let receipt = joined.receipt(id).unwrap();
        assert_eq!(receipt.receipt, founder.receipt(id).unwrap().receipt);
        drop(verifier.verify_document(&receipt));
    }
    println!(
        "resident at most, both nodes and the writer: {}",
        peak_memory()
    );
    joined.stop().await;
    founder.stop().await;
}

fn config(dir: &Path) -> NodeConfig {
    NodeConfig {
        administrators: vec![UserId::parse("administrator").unwrap()],
        peers: Some(PeerConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            published_address: None,
            timing: Timing::default(),
            replay_entries: REPLAY_ENTRIES_DEFAULT,
        }),
        ..NodeConfig::new(dir)
    }
}

async fn start(config: NodeConfig) -> Arc<Node> {
    let started = tokio::task::spawn_blocking(|| Node::start(config).unwrap());
    started.await.unwrap()
}

fn entry(node: &Node, bytes: usize) -> Box<dyn Transaction> {
    let contents = "x".repeat(bytes);
    let entry = AppendEntry::new(node.visibility(), node.limits(), None, contents, Vec::new());
    Box::new(entry.unwrap())
}

async fn fill(founder: &Arc<Node>, entries: u64, bytes: usize) {
    let writers = (0..UNDER_WAY).map(|_| {
        let founder = Arc::clone(founder);
        tokio::spawn(async move {
            for _ in 0..entries / TOGETHER / UNDER_WAY {
                let entries = (0..TOGETHER).map(|_| entry(&founder, bytes)).collect();
                founder.submit_many(entries, Wait::Committed).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
}

/// As members would let it.
async fn join(founder: &Arc<Node>, config: NodeConfig) -> Arc<Node> {
    let service = Cert::from_pem(founder.service_cert()).unwrap();
    let joining = Joining::new(&config, &service).unwrap();
    loop {
        match founder.admit(joining.request()).await.unwrap() {
            JoinAnswer::Trusted { sealed, .. } => {
                joining.admitted(&sealed, &service).unwrap();
                return start(config).await;
            }
            JoinAnswer::Pending { node_id } => {
                let row = node(founder.state(), &node_id).unwrap();
                let trusted = NodeRow {
                    status: NodeStatus::Trusted,
                    ..row
                };
                if trusted.status != node(founder.state(), &node_id).unwrap().status {
                    let put = Box::new(PutNode { node: trusted });
                    founder.submit(put, Wait::Committed).await.unwrap().unwrap();
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Writes one entry after the other, and notes how long each took.
struct Writer {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Vec<Duration>>,
}

impl Writer {
    fn begin(founder: &Arc<Node>, bytes: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (founder, stopped) = (Arc::clone(founder), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let mut took = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let began = Instant::now();
                let answer = founder
                    .submit(entry(&founder, bytes), Wait::Committed)
                    .await;
                if let Ok(answer) = answer {
                    answer.unwrap();
                    took.push(began.elapsed());
                }
            }
            took
        });
        Self { stop, task }
    }

    async fn end(self) -> String {
        self.stop.store(true, Ordering::Relaxed);
        let mut took = self.task.await.unwrap();
        took.sort_unstable();
        let at = |part: f64| {
            let place = (took.len() as f64 * part) as usize;
            took[place.min(took.len() - 1)].as_secs_f64() * 1e3
        };
        format!(
            "{} writes, p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms, longest {:.1} ms",
            took.len(),
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0)
        )
    }
}

fn size(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .map(|file| match file.file_type() {
            Ok(kind) if kind.is_dir() => size(&file.path()),
            _ => file.metadata().map_or(0, |file| file.len()),
        })
        .sum()
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.unwrap_or("unknown")
        .trim_start_matches("VmHWM:")
        .trim()
        .to_owned()
}
