//! Chapters two and three: events are written through all nodes, and go on when the leader dies.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use client::{Client, EntryRange, NewEntry};
use futures_util::TryStreamExt;
use indicatif::HumanCount;
use tokio::task::JoinHandle;
use verify::{ReceiptDocument, TxId};

use super::network::Network;
use super::organisations::NAMES;
use super::process::until;
use crate::out::{bad, faint, good, marked, one_line, say};
use crate::report::Failure;

/// Where everything goes to.
const COLLECTION: &str = "lots";
/// A sensor reports this often.
const PACE: Duration = Duration::from_millis(10);
/// Sensors report so long before the leader is killed, and after another one leads.
const BEFORE: Duration = Duration::from_millis(500);
const AFTER: Duration = Duration::from_millis(300);

/// An entry that was acknowledged.
pub(super) struct Record {
    pub(super) id: TxId,
    pub(super) contents: String,
    pub(super) receipt: ReceiptDocument,
}

/// Writes the events one after the other, each through the next node.
pub(super) async fn write_through_all(
    network: &Network,
    events: Vec<String>,
) -> Result<Vec<Record>> {
    let started = Instant::now();
    let mut records = Vec::with_capacity(events.len());
    for (number, contents) in events.into_iter().enumerate() {
        let node = &network.nodes[number % network.nodes.len()];
        records.push(append(&node.client, contents).await?);
    }
    let milliseconds = started.elapsed().as_millis();
    let (leader, _) = network.leader().await?;
    let middle = records.get(records.len() / 2);
    let middle = middle.ok_or_else(|| Failure::unreadable("there are no events to record"))?;
    say!(
        "   {} {} entries, durable at two nodes at least, each with its receipt {}",
        good("committed"),
        HumanCount(records.len() as u64),
        faint(format!("in {milliseconds} ms"))
    );
    say!(
        "   {}'s node leads, and the others send clients to it. One of them, {}:",
        NAMES[leader],
        marked(middle.id)
    );
    say!("   {}", faint(one_line(&middle.contents, 110)));
    Ok(records)
}

/// Kills the leader while sensors report; gives what was acknowledged.
pub(super) async fn survive_the_leader(
    network: &mut Network,
    mut records: Vec<Record>,
) -> Result<Vec<Record>> {
    let sensors = Sensors::start(network);
    tokio::time::sleep(BEFORE).await;
    let (killed, view) = network.leader().await?;
    network.kill(killed);
    let started = Instant::now();
    let (next, next_view) = network.leader().await?;
    let led = started.elapsed().as_millis();
    sensors.acknowledged_after(view).await?;
    let written = started.elapsed().as_millis();
    say!(
        "   {} {}'s node (SIGKILL), which led view {view}; {}'s node leads view {next_view} {}",
        bad("killed"),
        NAMES[killed],
        NAMES[next],
        marked(format!("after {led} ms"))
    );
    tokio::time::sleep(AFTER).await;
    let before = records.len();
    let unanswered = sensors.stop(&mut records).await?;
    say!(
        "   {} more entries acknowledged {}",
        HumanCount((records.len() - before) as u64),
        faint(format!(
            "the first by the new leader {written} ms after the kill; {unanswered} without an answer"
        ))
    );
    for other in (0..NAMES.len()).filter(|&other| other != killed) {
        network.caught_up(other).await?;
        all_there(&network.nodes[other].client, &records).await?;
    }
    say!(
        "   {} all {} acknowledged entries, read back from each of the other two nodes",
        good("nothing is lost:"),
        HumanCount(records.len() as u64)
    );
    let started = Instant::now();
    network.start_again(killed).await?;
    all_there(&network.nodes[killed].client, &records).await?;
    say!(
        "   {}'s node is started again, and has all of them {}",
        NAMES[killed],
        faint(format!("after {} ms", started.elapsed().as_millis()))
    );
    Ok(records)
}

/// Keeps receipts in a folder, each in a file called as its transaction.
pub(super) fn keep_receipts(folder: &Path, records: &[Record]) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(Failure::writing(folder))?;
    for record in records {
        let path = folder.join(format!("{}.json", record.id));
        let json = client::receipt_json(&record.receipt);
        std::fs::write(&path, json).map_err(Failure::writing(&path))?;
    }
    Ok(())
}

async fn append(client: &Client, contents: String) -> Result<Record, client::ClientError> {
    let entry = NewEntry::new(contents).collection(COLLECTION);
    let recorded = client.append(&entry).await?;
    Ok(Record {
        id: recorded.id,
        contents: entry.contents,
        receipt: recorded.receipt,
    })
}

/// Fails unless the node has each of these, with its contents.
async fn all_there(client: &Client, records: &[Record]) -> Result<()> {
    let range = EntryRange {
        collection_id: Some(COLLECTION.to_owned()),
        ..EntryRange::default()
    };
    let entries = client.entries(&range);
    let entries = entries.map_ok(|entry| (entry.transaction_id, entry.contents));
    let there: HashMap<TxId, String> = entries.try_collect().await?;
    let lost = records
        .iter()
        .find(|record| there.get(&record.id) != Some(&record.contents));
    match lost {
        None => Ok(()),
        Some(record) => {
            let what = format!(
                "{} was acknowledged, and {} lost it",
                record.id,
                client.url()
            );
            Err(Failure::new(what).into())
        }
    }
}

/// What was acknowledged, and how many reports had no answer.
type Reported = (Vec<Record>, usize);

/// Sensors of the three organisations, which report until they are told to stop.
struct Sensors {
    stop: Arc<AtomicBool>,
    /// The newest view in which a report was acknowledged.
    view: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<Result<Reported>>>,
}

impl Sensors {
    fn start(network: &Network) -> Self {
        let (stop, view) = (Arc::default(), Arc::default());
        let clients: Vec<_> = network
            .nodes
            .iter()
            .map(|node| node.client.clone())
            .collect();
        let sensor = |own: usize| Sensor {
            at: own,
            name: NAMES[own],
            clients: clients.clone(),
            stop: Arc::clone(&stop),
            view: Arc::clone(&view),
        };
        let tasks = (0..NAMES.len()).map(|own| tokio::spawn(sensor(own).report()));
        let tasks = tasks.collect();
        Self { stop, view, tasks }
    }

    /// Waits until a report is acknowledged in a later view than this.
    async fn acknowledged_after(&self, view: u64) -> Result<()> {
        let seen = until(async || (self.view.load(Ordering::Relaxed) > view).then_some(()));
        let seen = seen.await;
        Ok(seen.ok_or_else(|| Failure::new("the new leader acknowledges nothing"))?)
    }

    /// Adds what was acknowledged; gives how many reports had no answer.
    async fn stop(self, records: &mut Vec<Record>) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        let mut unanswered = 0;
        for task in self.tasks {
            let (acknowledged, lost_sight_of) = task.await.context("a sensor")??;
            records.extend(acknowledged);
            unanswered += lost_sight_of;
        }
        Ok(unanswered)
    }
}

struct Sensor {
    /// The node to ask.
    at: usize,
    name: &'static str,
    clients: Vec<Client>,
    stop: Arc<AtomicBool>,
    view: Arc<AtomicU64>,
}

impl Sensor {
    async fn report(mut self) -> Result<Reported> {
        let (mut records, mut unanswered, mut number) = (Vec::new(), 0, 0_u64);
        while !self.stop.load(Ordering::Relaxed) {
            match append(&self.clients[self.at], self.reading(number)).await {
                Ok(record) => {
                    self.view.fetch_max(record.id.view.0, Ordering::Relaxed);
                    records.push(record);
                    number += 1;
                }
                // Nobody knows what became of it: it is not written again.
                Err(error) if error.may_be_recorded() => {
                    unanswered += 1;
                    number += 1;
                    self.turn();
                }
                Err(client::ClientError::Unreachable { .. }) => self.turn(),
                Err(client::ClientError::Refused(refusal)) if refusal.status >= 500 => self.turn(),
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(PACE).await;
        }
        Ok((records, unanswered))
    }

    /// Goes to the next node.
    fn turn(&mut self) {
        self.at = (self.at + 1) % self.clients.len();
    }

    fn reading(&self, number: u64) -> String {
        let degrees = 4.0 + (number % 17) as f64 / 10.0;
        serde_json::json!({
            "type": "ObjectEvent",
            "action": "OBSERVE",
            "bizStep": "transporting",
            "sensorElementList": [{ "sensorReport": [
                { "type": "Temperature", "value": degrees, "uom": "CEL" }
            ] }],
            "example:who": self.name,
            "example:number": number,
        })
        .to_string()
    }
}
