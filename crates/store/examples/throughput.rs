//! Measures this crate alone: CPU per entry of append + apply, of the audit, of reads and of a start.
//!
//! `cargo run --release -p store --example throughput -- [ENTRIES] [ENTRIES_PER_BATCH]`
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use common::Party;
use ledger::WriteSet;
use ledger::tables::PRIVATE_ENTRIES;
use store::{AuditOptions, StoreOptions, audit_with};
use verify::{Seqno, View};

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|text| text.parse::<u64>().unwrap());
    let entries = arguments.next().unwrap_or(200_000);
    let per_batch = arguments.next().unwrap_or(100);
    let party = Party::new();
    let dir = tempfile::tempdir().unwrap();
    let mut store = party.open(dir.path(), StoreOptions::default()).unwrap();
    party.write(&mut store, View(2), party.genesis());
    let contents = vec![b'x'; 470];
    let (mut cpu, mut wall, mut appending) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for _ in 0..entries / per_batch {
        let writes = (0..per_batch).map(|_| {
            let mut writes = WriteSet::default();
            writes.put(PRIVATE_ENTRIES, b"subledger:0", contents.as_slice());
            writes
        });
        let batch = party.batch(store.frontier(), View(2), writes.collect());
        let (cpu_before, wall_before) = (cpu_time(), Instant::now());
        store.append(&batch).unwrap();
        appending += cpu_time() - cpu_before;
        store.apply(&batch).unwrap();
        cpu += cpu_time() - cpu_before;
        wall += wall_before.elapsed();
    }
    let per = |time: Duration, count: u64| time.as_secs_f64() * 1e6 / count as f64;
    let reader = store.reader();
    let last = reader.committed().seqno;
    println!("ledger: {} entries, {} bytes", last, reader.ledger_bytes());
    println!(
        "append + apply: {:.2} us CPU, {:.2} us wall per entry",
        per(cpu, entries),
        per(wall, entries)
    );

    let reads = 100_000;
    let began = cpu_time();
    for n in 0..reads {
        reader.entry(Seqno(1 + n * 7_919 % last.0)).unwrap();
    }
    println!("entry: {:.2} us", per(cpu_time() - began, reads));
    let began = cpu_time();
    for n in 0..reads {
        let seqno = Seqno(1 + n * 7_919 % last.0);
        let size = reader.signature_covering(seqno).unwrap().unwrap().0;
        if seqno.0 < size {
            reader.prove(seqno, size).unwrap();
        }
    }
    println!(
        "proof against the covering root: {:.2} us",
        per(cpu_time() - began, reads)
    );

    drop(reader);
    drop(store);
    let began = Instant::now();
    let mut store = party.open(dir.path(), StoreOptions::default()).unwrap();
    println!(
        "start without a checkpoint: {:.0} ms",
        began.elapsed().as_secs_f64() * 1e3
    );
    store.checkpoint().unwrap();
    drop(store);
    let began = Instant::now();
    drop(party.open(dir.path(), StoreOptions::default()).unwrap());
    println!(
        "start with one: {:.0} ms",
        began.elapsed().as_secs_f64() * 1e3
    );

    let options = AuditOptions {
        threads: NonZeroUsize::new(1),
        ..AuditOptions::default()
    };
    let began = cpu_time_all();
    let report = audit_with(&dir.path().join("ledger"), &options, |_| {}).unwrap();
    let rate = report.entries as f64 / (cpu_time_all() - began).as_secs_f64();
    println!(
        "audit: {rate:.0} entries per CPU second, {} signed roots",
        report.signatures
    );
    println!("resident at most: {}", peak_memory());
}

/// CPU time of the main thread.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let own = stat
        .split(' ')
        .next()
        .and_then(|ns| ns.parse().ok())
        .unwrap_or(0);
    Duration::from_nanos(own)
}

/// CPU time of this process, threads that ended included.
fn cpu_time_all() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<u64> = stat
        .split(' ')
        .skip(13)
        .take(2)
        .flat_map(str::parse)
        .collect();
    Duration::from_millis(fields.iter().sum::<u64>() * 10)
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.unwrap_or("unknown")
        .trim_start_matches("VmHWM:")
        .trim()
        .to_owned()
}
