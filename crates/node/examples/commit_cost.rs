//! What a commit costs without HTTP: CPU of the whole process for each entry, committed and signed.
//!
//! `cargo run --release -p node --example commit_cost -- [ENTRIES] [BATCH] [WRITERS] [BYTES]`

use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger::Transaction;
use ledger::entries::AppendEntry;
use node::{Node, NodeConfig, Wait};

#[expect(
    clippy::print_stdout,
    reason = "an example that prints what it measured"
)]
#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let mut next = |default| {
        arguments
            .next()
            .map_or(default, |number| number.expect("a number"))
    };
    let (entries, batch, writers, bytes) = (next(200_000), next(100), next(64), next(300));

    let dir = tempfile::tempdir().expect("a temporary folder");
    let node = Node::start(NodeConfig::new(dir.path())).expect("a new ledger starts");
    let rounds = entries / batch / writers;
    let (cpu, wall) = (process_cpu(), Instant::now());
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let node = Arc::clone(&node);
            tokio::spawn(async move {
                for _ in 0..rounds {
                    let batch = (0..batch).map(|_| entry(&node, bytes)).collect();
                    for answer in node
                        .submit_many(batch, Wait::Committed)
                        .await
                        .expect("taken")
                    {
                        answer.expect("accepted");
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a writer does not panic");
    }
    let (cpu, wall) = (process_cpu() - cpu, wall.elapsed());
    let written = (rounds * batch * writers) as f64;
    let batches = node.metrics().batches.get();
    println!(
        "{written} entries of {bytes} bytes, {batch} at a time by {writers} writers: \
         {:.2} us CPU and {:.2} us wall an entry, {:.0} entries a batch",
        cpu.as_secs_f64() * 1e6 / written,
        wall.as_secs_f64() * 1e6 / written,
        written / batches as f64
    );
    node.stop().await;
}

fn entry(node: &Node, bytes: usize) -> Box<dyn Transaction> {
    let contents = "x".repeat(bytes);
    let entry = AppendEntry::new(node.visibility(), node.limits(), None, contents, Vec::new());
    Box::new(entry.expect("the contents are within the limit"))
}

/// User and system time of this process, from `/proc/self/stat` (fields 14 and 15, ticks of 10 ms).
fn process_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux has /proc");
    let after_name = stat.rsplit_once(')').expect("the name is in parentheses").1;
    let ticks = after_name.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks
        .map(|field| field.parse::<u64>().expect("a number"))
        .sum();
    Duration::from_millis(ticks * 10)
}
