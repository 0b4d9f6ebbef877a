//! What a run came to.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::HumanCount;
use serde::Serialize;

use crate::out::{self, bold, faint, say, warning};

/// What one worker saw while it counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Latencies of requests that succeeded, microseconds.
    pub(super) latencies: Vec<u32>,
    /// Requests that did not succeed, by HTTP status.
    pub(super) failed: BTreeMap<u16, u64>,
}

impl Tally {
    pub(super) fn merge(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        for (status, count) in other.failed {
            *self.failed.entry(status).or_default() += count;
        }
    }
}

/// The result, as it is printed. Latencies in microseconds; CPU in microseconds an operation, where
/// an operation is one entry.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    mode: &'static str,
    clients: usize,
    batch: usize,
    size: usize,
    seconds: f64,
    requests: u64,
    operations: u64,
    operations_per_second: f64,
    p50_us: u32,
    p90_us: u32,
    p99_us: u32,
    max_us: u32,
    failed: BTreeMap<u16, u64>,
    client_cpu_us: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_cpu_us: Option<f64>,
}

/// What was run.
pub(super) struct Run {
    pub(super) mode: &'static str,
    pub(super) clients: usize,
    pub(super) batch: usize,
    pub(super) size: usize,
    pub(super) elapsed: Duration,
    pub(super) client_cpu: Duration,
    pub(super) server_cpu: Option<Duration>,
}

impl Summary {
    pub(super) fn new(run: &Run, mut tally: Tally) -> Self {
        tally.latencies.sort_unstable();
        let requests = tally.latencies.len() as u64;
        let operations = requests * run.batch as u64;
        let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / operations.max(1) as f64;
        let at = |share| percentile(&tally.latencies, share);
        Self {
            mode: run.mode,
            clients: run.clients,
            batch: run.batch,
            size: run.size,
            seconds: run.elapsed.as_secs_f64(),
            requests,
            operations,
            operations_per_second: operations as f64 / run.elapsed.as_secs_f64().max(1e-9),
            p50_us: at(0.50),
            p90_us: at(0.90),
            p99_us: at(0.99),
            max_us: at(1.0),
            failed: tally.failed,
            client_cpu_us: each(run.client_cpu),
            server_cpu_us: run.server_cpu.map(each),
        }
    }

    /// Whether every request succeeded, and there was one.
    pub(super) fn is_clean(&self) -> bool {
        self.failed.is_empty() && self.requests > 0
    }

    pub(super) fn show(&self, json: bool) {
        if json {
            return out::write_json(self);
        }
        let Self {
            mode,
            clients,
            batch,
            size,
            seconds,
            ..
        } = self;
        say!(
            "{} {clients} clients, batches of {batch}, {size} bytes, {seconds:.1} s",
            bold(mode)
        );
        say!(
            "  rate     {} a second {}",
            bold(HumanCount(self.operations_per_second as u64)),
            faint(format!("({} in all)", HumanCount(self.operations)))
        );
        let milliseconds = |us: u32| f64::from(us) / 1000.0;
        say!(
            "  latency  p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
            milliseconds(self.p50_us),
            milliseconds(self.p90_us),
            milliseconds(self.p99_us),
            milliseconds(self.max_us)
        );
        match self.server_cpu_us {
            Some(server) => say!(
                "  cpu      server {} us each, client {:.1} us each",
                bold(format!("{server:.1}")),
                self.client_cpu_us
            ),
            None => say!("  cpu      client {:.1} us each", self.client_cpu_us),
        }
        for (status, count) in &self.failed {
            say!(
                "  {}   {} answers with status {status}",
                warning("failed"),
                HumanCount(*count)
            );
        }
    }
}

/// The smallest value that at least `share` of all (sorted) are not above.
pub(super) fn percentile(sorted: &[u32], share: f64) -> u32 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<u32> = (1..=100).collect();
        assert_eq!(percentile(&values, 0.50), 50);
        assert_eq!(percentile(&values, 0.99), 99);
        assert_eq!(percentile(&values, 1.0), 100);
        assert_eq!(percentile(&[7], 0.5), 7);
        assert_eq!(percentile(&[], 0.5), 0);
    }

    #[test]
    fn a_batch_counts_as_its_entries() {
        let run = Run {
            mode: "write",
            clients: 1,
            batch: 100,
            size: 1,
            elapsed: Duration::from_secs(2),
            client_cpu: Duration::from_millis(1),
            server_cpu: Some(Duration::from_millis(1)),
        };
        let tally = Tally {
            latencies: vec![5; 10],
            failed: BTreeMap::new(),
        };
        let summary = Summary::new(&run, tally);
        assert_eq!(summary.operations, 1000);
        assert_eq!(summary.operations_per_second, 500.0);
        assert_eq!(summary.server_cpu_us, Some(1.0));
        assert!(summary.is_clean());
    }
}
