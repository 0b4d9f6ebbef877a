//! Writers and readers, while things go wrong.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;
use serde_json::json;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use verify::TxId;

use super::contracts::{Chain, SENDERS, Sender};
use super::witness::{Outcome, Witness, collection, contents, number};
use crate::http::{Answer, Http};
use crate::random::Random;
use crate::server::Ready;

/// Each with a collection of its own.
pub(crate) const WRITERS: usize = 6;
/// Longer than a node takes to tell that it does not know.
const PATIENCE: Duration = Duration::from_secs(5);
/// Redirections that are followed for one write.
const HOPS: usize = 4;
/// Receipts that are kept.
const RECEIPTS: usize = 40;

/// A node, as clients reach it.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) http: Http,
    /// The same for a client that asks the node to pass writes on.
    passing: Http,
    /// Counts its processes: what one of them said binds it, not its successor.
    pub(crate) lives: AtomicU64,
    /// It is part of the network.
    pub(crate) serves: AtomicBool,
    /// Nothing that it answers just now says more than that its disk is full.
    pub(crate) sick: AtomicBool,
}

impl Target {
    /// For a client that asks the node to pass writes on.
    pub(crate) const fn passing(&self) -> &Http {
        &self.passing
    }
}

/// All nodes, as clients reach them.
#[derive(Debug, Default)]
pub(crate) struct Targets(Mutex<Vec<Arc<Target>>>);

impl Targets {
    pub(crate) fn add(&self, ready: &Ready) -> Result<()> {
        let target = Target {
            http: Http::patient(ready, PATIENCE)?,
            passing: Http::passed_on(ready, PATIENCE)?,
            lives: AtomicU64::new(0),
            serves: AtomicBool::new(true),
            sick: AtomicBool::new(false),
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Arc::new(target));
        Ok(())
    }

    pub(crate) fn all(&self) -> Vec<Arc<Target>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn serving(&self) -> Vec<Arc<Target>> {
        let mut all = self.all();
        all.retain(|target| target.serves.load(Ordering::Relaxed));
        all
    }
}

/// Clients at work.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: JoinSet<()>,
}

impl Load {
    pub(crate) fn start(
        runtime: &Handle,
        targets: &Arc<Targets>,
        (witness, chain): (&Arc<Witness>, &Arc<Chain>),
        seed: u64,
        next: usize,
    ) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for client in 0..WRITERS + 3 {
            let one = Client {
                targets: Arc::clone(targets),
                witness: Arc::clone(witness),
                stop: Arc::clone(&stop),
                random: Random::new(seed ^ ((client as u64 + 1) << 32)),
            };
            if client < WRITERS {
                clients.spawn_on(one.write(client, next), runtime);
            } else {
                clients.spawn_on(one.read(), runtime);
            }
        }
        for number in 0..SENDERS {
            let random = Random::new(seed ^ ((number as u64 + 1) << 40));
            let sender = Sender::new(number, targets, chain, witness, &stop, random)?;
            clients.spawn_on(sender.run(), runtime);
        }
        Ok(Self { stop, clients })
    }

    /// No more is begun; what is under way comes to its end.
    pub(crate) async fn finish(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while self.clients.join_next().await.is_some() {}
    }
}

struct Client {
    targets: Arc<Targets>,
    witness: Arc<Witness>,
    stop: Arc<AtomicBool>,
    random: Random,
}

/// How a write is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Committed,
    Receipt,
    NoWait,
    Batch,
}

impl Client {
    async fn write(mut self, writer: usize, mut next: usize) {
        let mut at = writer;
        while !self.stop.load(Ordering::Relaxed) {
            let nodes = self.targets.serving();
            if self.random.below(5) == 0 {
                at = self.random.below(nodes.len());
            }
            at %= nodes.len();
            let way = match self.random.below(8) {
                0 => Way::Batch,
                1 => Way::NoWait,
                2 => Way::Receipt,
                _ => Way::Committed,
            };
            let count = if way == Way::Batch { 3 } else { 1 };
            let sent: Vec<usize> = (next..next + count).collect();
            next += count;
            let answer = self.sent(writer, &sent, way, &nodes, &mut at).await;
            let refused = self.keep(writer, &sent, way, answer);
            if refused {
                at += 1;
                tokio::time::sleep(self.random.millis(5, 60)).await;
            }
        }
    }

    /// Sends a write: every other writer to where it is redirected if it is, the rest by way of
    /// whichever node.
    async fn sent(
        &self,
        writer: usize,
        sent: &[usize],
        way: Way,
        nodes: &[Arc<Target>],
        at: &mut usize,
    ) -> Result<Answer, reqwest::Error> {
        let collection = collection(writer);
        let single = json!({ "contents": contents(writer, sent[0]) });
        let (path, body) = match way {
            Way::Batch => {
                let entries = sent.iter().map(|number| {
                    json!({ "contents": contents(writer, *number), "collectionId": collection })
                });
                let body = json!({ "entries": entries.collect::<Vec<_>>() });
                ("/app/transactions:batch".to_owned(), body)
            }
            Way::Committed => (
                format!("/app/transactions?collectionId={collection}"),
                single,
            ),
            Way::Receipt | Way::NoWait => {
                let wait = way == Way::Receipt;
                let path =
                    format!("/app/transactions?collectionId={collection}&waitForCommit={wait}");
                (path, single)
            }
        };
        if writer % 2 == 1 {
            return nodes[*at].passing.post(&path, &body).await;
        }
        let mut answer = nodes[*at].http.post(&path, &body).await?;
        for _ in 0..HOPS {
            if answer.status != 307 {
                break;
            }
            let location = answer.location.clone().unwrap_or_default();
            let there = nodes
                .iter()
                .position(|node| location.starts_with(&format!("{}/", node.http.url())));
            let Some(there) = there else { break };
            *at = there;
            answer = nodes[there].http.post(&path, &body).await?;
        }
        Ok(answer)
    }

    /// Keeps what became of a write; whether it was refused.
    fn keep(
        &self,
        writer: usize,
        sent: &[usize],
        way: Way,
        answer: Result<Answer, reqwest::Error>,
    ) -> bool {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                // Where no connection came about, nothing was sent.
                let nowhere = error.is_connect();
                let outcome = if nowhere {
                    Outcome::Refused
                } else {
                    Outcome::Unknown
                };
                return self.all(writer, sent, outcome, nowhere);
            }
        };
        let id = answer.transaction.as_deref().and_then(|id| id.parse().ok());
        match (answer.status, id, way) {
            (200, _, Way::Batch) => self.batch(writer, sent, &answer),
            (200, Some(id), Way::NoWait) => self.all(writer, sent, Outcome::Doubt(id), false),
            (200, Some(id), _) => {
                let mut seen = self.witness.seen();
                if way == Way::Receipt && seen.receipts.len() < RECEIPTS {
                    let receipt = (id, writer, sent[0], answer.body);
                    seen.receipts.push(receipt);
                }
                drop(seen);
                self.all(writer, sent, Outcome::Acknowledged(id), false)
            }
            (503 | 429 | 307 | 401, ..) => self.all(writer, sent, Outcome::Refused, true),
            // The place of a batch is that of its first entry.
            (502, Some(_), Way::Batch) => self.all(writer, sent, Outcome::Unknown, true),
            (502, Some(id), _) => self.all(writer, sent, Outcome::Doubt(id), true),
            // Passed on, and the leader did not answer.
            (502, None, _) if writer % 2 == 1 => self.all(writer, sent, Outcome::Unknown, true),
            (status, ..) => {
                let said = answer.text();
                self.witness
                    .violation(format!("a write was answered {status}: {said}"));
                self.all(writer, sent, Outcome::Unknown, true)
            }
        }
    }

    fn all(&self, writer: usize, sent: &[usize], outcome: Outcome, refused: bool) -> bool {
        let mut seen = self.witness.seen();
        for number in sent {
            seen.wrote(writer, *number, outcome);
        }
        refused
    }

    fn batch(&self, writer: usize, sent: &[usize], answer: &Answer) -> bool {
        #[derive(Deserialize)]
        struct Results {
            results: Vec<OneResult>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct OneResult {
            transaction_id: Option<TxId>,
        }
        let results = answer.json::<Results>().map(|all| all.results);
        let results = results.unwrap_or_default();
        for (place, number) in sent.iter().enumerate() {
            let id = results.get(place).and_then(|result| result.transaction_id);
            match id {
                Some(id) => {
                    let mut seen = self.witness.seen();
                    seen.wrote(writer, *number, Outcome::Acknowledged(id));
                }
                None => self
                    .witness
                    .violation(format!("a batch was answered 200: {}", answer.text())),
            }
        }
        false
    }

    async fn read(mut self) {
        // The last commit that each node told, and in which of its lives.
        let mut commits = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            let nodes = self.targets.all();
            let at = self.random.below(nodes.len());
            let node = &nodes[at];
            if node.serves.load(Ordering::Relaxed) {
                commits.resize(nodes.len(), (u64::MAX, 0));
                let done = match self.random.below(4) {
                    0 => self.status(at, node).await,
                    1 => self.entry(at, node).await,
                    2 => self.commit(at, node, &mut commits[at]).await,
                    _ => self.current(at, node).await,
                };
                if done.is_some() {
                    self.witness.seen().reads += 1;
                }
            }
            tokio::time::sleep(self.random.millis(2, 20)).await;
        }
    }

    /// An answer, unless the node just now gives none that says something.
    async fn asked(&self, at: usize, node: &Target, path: &str) -> Option<Answer> {
        let answer = node.http.get(path).await.ok()?;
        let expected = matches!(answer.status, 200 | 401 | 404 | 429 | 503);
        if !expected && !node.sick.load(Ordering::Relaxed) {
            let said = answer.text();
            self.witness.violation(format!(
                "node {at} answers {path}: {} {said}",
                answer.status
            ));
        }
        Some(answer)
    }

    async fn status(&mut self, at: usize, node: &Target) -> Option<()> {
        let choice = self.random.next();
        let (id, ..) = self.witness.seen().any_told(choice)?;
        let path = format!("/app/transactions/{id}/status");
        let answer = self.asked(at, node, &path).await?;
        let said = answer.text();
        let mut seen = self.witness.seen();
        if answer.status == 200 && said.contains("\"Committed\"") {
            seen.committed(id, &format!("the status at node {at}"));
        } else if answer.status == 404 && said.contains("TransactionInvalid") {
            seen.invalid(id, &format!("the status at node {at}"));
        }
        Some(())
    }

    async fn entry(&mut self, at: usize, node: &Target) -> Option<()> {
        let choice = self.random.next();
        let (id, writer, sent) = self.witness.seen().any_told(choice)?;
        let path = format!("/app/transactions/{id}?collectionId={}", collection(writer));
        let answer = self.asked(at, node, &path).await?;
        if answer.status != 200 || answer.text().contains("\"Loading\"") {
            return Some(());
        }
        #[derive(Debug, Deserialize)]
        struct One {
            entry: Shown,
        }
        match answer.json::<One>() {
            Ok(One { entry })
                if entry.transaction_id == id && number(writer, &entry.contents) == Some(sent) =>
            {
                let mut seen = self.witness.seen();
                seen.newer(writer, id.seqno);
                seen.committed(id, &format!("the entry at node {at}"));
            }
            other => self.witness.violation(format!(
                "node {at} shows for {id}, which is {writer}/{sent}: {other:?}"
            )),
        }
        Some(())
    }

    /// What a node says is committed never goes back.
    async fn commit(&self, at: usize, node: &Target, last: &mut (u64, u64)) -> Option<()> {
        #[derive(Deserialize)]
        struct Commit {
            transaction_id: TxId,
        }
        let life = node.lives.load(Ordering::SeqCst);
        let answer = self.asked(at, node, "/node/commit").await?;
        let id = answer.json::<Commit>().ok()?.transaction_id;
        if life != node.lives.load(Ordering::SeqCst) {
            return None;
        }
        let mut seen = self.witness.seen();
        seen.committed(id, &format!("the commit of node {at}"));
        drop(seen);
        if last.0 == life && last.1 > id.seqno.0 {
            let before = last.1;
            self.witness
                .violation(format!("node {at} had committed {before}, and now {id}"));
        }
        *last = (life, id.seqno.0);
        Some(())
    }

    /// Who leads before and after tells what is newest.
    async fn current(&mut self, at: usize, node: &Target) -> Option<()> {
        let writer = self.random.below(WRITERS);
        let before = self.reigns(at, node).await;
        let newest = self.witness.seen().newest(writer);
        let path = format!(
            "/app/transactions/current?collectionId={}",
            collection(writer)
        );
        let answer = self.asked(at, node, &path).await?;
        let after = self.reigns(at, node).await;
        let led = before.is_some() && before == after;
        if answer.status == 404 && led && newest.0 > 0 {
            self.witness.violation(format!(
                "node {at} leads and shows nothing of w{writer}, which had {newest}"
            ));
        }
        if answer.status != 200 {
            return Some(());
        }
        let Ok(shown) = answer.json::<Shown>() else {
            let said = answer.text();
            self.witness.violation(format!("node {at} shows {said}"));
            return Some(());
        };
        let id = shown.transaction_id;
        if number(writer, &shown.contents).is_none() {
            self.witness
                .violation(format!("node {at} shows another {id}: {}", shown.contents));
        }
        let mut seen = self.witness.seen();
        seen.committed(id, &format!("the newest entry at node {at}"));
        seen.newer(writer, id.seqno);
        drop(seen);
        if led && id.seqno < newest {
            self.witness.violation(format!(
                "node {at} leads in view {} and shows {id} as the newest of w{writer}, which had \
                 {newest} before it was asked",
                before.unwrap_or_default()
            ));
        }
        Some(())
    }

    /// The view in which the node says that it reigns.
    async fn reigns(&self, at: usize, node: &Target) -> Option<u64> {
        let answer = self.asked(at, node, "/node/consensus").await?;
        let said: serde_json::Value = answer.json().ok()?;
        let details = &said["details"];
        (details["leadership_state"] == "Leader").then(|| details["current_view"].as_u64())?
    }
}

/// An entry as it is shown.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown {
    pub(crate) contents: String,
    pub(crate) transaction_id: TxId,
}
