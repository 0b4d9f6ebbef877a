//! The load: clients that ask again as soon as they are answered.

use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use client::{API_VERSION, EntryRange, NewEntry};
use futures_util::TryStreamExt;
use hyper::Method;
use serde::Serialize;
use verify::TxId;

use super::Mode;
use super::cpu;
use super::tally::{Run, Summary, Tally};
use super::wire::{Ask, Target};
use crate::connection::ConnectionArgs;
use crate::report::Failure;

/// Entries that reads are spread over.
const READ_ENTRIES: usize = 10_000;

/// Load on a running ledger, from this process.
#[derive(clap::Args, Debug)]
pub(crate) struct Load {
    /// Connections, each with one request at a time.
    #[arg(short, long, default_value_t = 64, value_parser = at_least_one)]
    clients: usize,
    /// Entries in one request; 1 is a plain write.
    #[arg(short, long, default_value_t = 1, value_parser = at_least_one)]
    batch: usize,
    /// Bytes of contents of an entry.
    #[arg(short, long, default_value_t = 300)]
    size: usize,
    /// How long, seconds.
    #[arg(short, long, default_value_t = 10.0, conflicts_with = "count")]
    duration: f64,
    /// So many requests, in place of a duration.
    #[arg(short = 'n', long)]
    count: Option<u64>,
    /// Seconds before the counting begins.
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    /// The collection to write to and read from.
    #[arg(long, default_value = "bench", value_name = "ID")]
    collection: String,
    /// Threads of this process.
    #[arg(long, default_value_t = 1, value_parser = at_least_one)]
    threads: usize,
    /// The server's process: its CPU time is measured too (Linux).
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// Print the result as one line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|&number| number > 0)
        .ok_or_else(|| "a number from 1".to_owned())
}

/// When a worker counts, and when it ends.
struct Clock {
    from: Instant,
    until: Instant,
    /// Requests still to be made; very many where the duration decides.
    left: AtomicU64,
}

impl Load {
    pub(super) fn run(self, mode: Mode) -> Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(self.threads)
            .enable_all()
            .build()?;
        let summary = runtime.block_on(self.measure(mode))?;
        summary.show(self.json);
        Ok(if summary.is_clean() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    async fn measure(&self, mode: Mode) -> Result<Summary> {
        let target = Target::new(&self.connection.read()?)?;
        let asks = Arc::new(self.asks(mode).await?);
        let mut wires = Vec::new();
        for _ in 0..self.clients {
            wires.push(target.connect().await?);
        }
        // With a count there is nothing to leave out: all of it is asked for.
        let warm_up = if self.count.is_some() {
            0.0
        } else {
            self.warm_up
        };
        let from = Instant::now() + seconds(warm_up)?;
        let until = match self.count {
            Some(_) => from + Duration::from_secs(24 * 3600),
            None => from + seconds(self.duration)?,
        };
        let left = AtomicU64::new(self.count.unwrap_or(u64::MAX));
        let clock = Arc::new(Clock { from, until, left });
        let workers: Vec<_> = wires
            .into_iter()
            .enumerate()
            .map(|(number, wire)| {
                tokio::spawn(work(wire, Arc::clone(&asks), Arc::clone(&clock), number))
            })
            .collect();
        tokio::time::sleep_until(from.into()).await;
        let before = self.cpu()?;
        if self.count.is_none() {
            tokio::time::sleep_until(until.into()).await;
        }
        let at_end = if self.count.is_none() {
            Some(self.cpu()?)
        } else {
            None
        };
        let mut tally = Tally::default();
        for worker in workers {
            tally.merge(worker.await.context("a worker panicked")??);
        }
        let elapsed = match self.count {
            Some(_) => from.elapsed(),
            None => until - from,
        };
        let after = match at_end {
            Some(after) => after,
            None => self.cpu()?,
        };
        let run = Run {
            mode: name(mode),
            clients: self.clients,
            batch: self.batch_of(mode),
            size: self.size,
            elapsed,
            client_cpu: after.0.saturating_sub(before.0),
            server_cpu: after
                .1
                .zip(before.1)
                .map(|(after, before)| after.saturating_sub(before)),
        };
        Ok(Summary::new(&run, tally))
    }

    const fn batch_of(&self, mode: Mode) -> usize {
        match mode {
            Mode::Write => self.batch,
            Mode::Read | Mode::Receipt => 1,
        }
    }

    fn cpu(&self) -> Result<(Duration, Option<Duration>), Failure> {
        let server = self.server_pid.map(cpu::used).transpose()?;
        Ok((cpu::used(std::process::id())?, server))
    }

    /// The requests to be made, in turn.
    async fn asks(&self, mode: Mode) -> Result<Vec<Ask>> {
        if mode == Mode::Write {
            return Ok(vec![self.write_ask()]);
        }
        let ending = if mode == Mode::Receipt {
            "/receipt"
        } else {
            ""
        };
        let ids = self.ids().await?;
        let ask = |id: TxId| Ask {
            method: Method::GET,
            path: format!("/app/transactions/{id}{ending}?api-version={API_VERSION}"),
            body: Bytes::new(),
        };
        Ok(ids.into_iter().map(ask).collect())
    }

    fn write_ask(&self) -> Ask {
        #[derive(Serialize)]
        struct One<'a> {
            contents: &'a str,
        }
        #[derive(Serialize)]
        struct Many<'a> {
            entries: Vec<One<'a>>,
        }
        let contents = contents(self.size);
        let one = || One {
            contents: &contents,
        };
        let (resource, body) = match self.batch {
            1 => ("transactions", serde_json::to_vec(&one())),
            count => {
                let entries = (0..count).map(|_| one()).collect();
                ("transactions:batch", serde_json::to_vec(&Many { entries }))
            }
        };
        // Committed is what every answer means; without this parameter it comes without a receipt.
        let path = format!(
            "/app/{resource}?api-version={API_VERSION}&collectionId={}",
            self.collection
                .replace(|c: char| !c.is_ascii_alphanumeric(), "-")
        );
        Ask {
            method: Method::POST,
            path,
            body: Bytes::from(body.expect("strings are JSON")),
        }
    }

    /// Transactions to read: of the collection, or new ones where it has none.
    async fn ids(&self) -> Result<Vec<TxId>> {
        let client = self.connection.client()?;
        let collection_id = Some(self.collection.clone());
        let range = EntryRange {
            collection_id,
            ..EntryRange::default()
        };
        let mut ids = Vec::new();
        let mut entries = pin!(client.entries(&range));
        while ids.len() < READ_ENTRIES {
            match entries.try_next().await {
                Ok(Some(entry)) => ids.push(entry.transaction_id),
                Ok(None) => break,
                // A collection that nobody wrote to is not there.
                Err(error) if error.code() == Some("ResourceNotFound") => break,
                Err(error) => return Err(error.into()),
            }
        }
        if ids.is_empty() {
            let entry = NewEntry::new(contents(self.size)).collection(&self.collection);
            for answer in client.append_batch(&vec![entry; 1_000]).await? {
                match answer {
                    client::BatchAnswer::Recorded { transaction_id } => ids.push(transaction_id),
                    client::BatchAnswer::Refused { error } => return Err(error.into()),
                }
            }
        }
        Ok(ids)
    }
}

/// One client: asks until the clock says to end.
async fn work(
    mut wire: super::wire::Wire,
    asks: Arc<Vec<Ask>>,
    clock: Arc<Clock>,
    number: usize,
) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut random = number as u64 + 1;
    loop {
        let taken = clock
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            });
        let started = Instant::now();
        if taken.is_err() || started >= clock.until {
            return Ok(tally);
        }
        let ask = &asks[next(&mut random) as usize % asks.len()];
        let status = wire.ask(ask).await?;
        let ended = Instant::now();
        if status == 429 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // What began or ended outside belongs to another stretch of time.
        if started < clock.from || ended > clock.until {
            continue;
        }
        if status == 200 {
            let latency = (ended - started).as_micros();
            tally
                .latencies
                .push(u32::try_from(latency).unwrap_or(u32::MAX));
        } else {
            *tally.failed.entry(status).or_default() += 1;
        }
    }
}

/// The next of a row of numbers that looks random (splitmix64, Steele and others 2014).
const fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut number = *state;
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

const fn name(mode: Mode) -> &'static str {
    match mode {
        Mode::Write => "write",
        Mode::Read => "read",
        Mode::Receipt => "receipt",
    }
}

fn contents(size: usize) -> String {
    "what was recorded here is kept as it is "
        .chars()
        .cycle()
        .take(size)
        .collect()
}

fn seconds(number: f64) -> Result<Duration, Failure> {
    Duration::try_from_secs_f64(number)
        .map_err(|error| Failure::unreadable(format!("{number} is no duration")).because(error))
}
