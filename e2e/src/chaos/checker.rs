//! What must be true when all is well again.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::json;
use verify::{Cert, Claim, ReceiptDocument, Seqno, TxId, Verifier};

use super::contracts::Sums;
use super::load::{Shown, WRITERS};
use super::witness::{Outcome, Witness, Write, collection, contents, number};
use crate::http::{Answer, Http};

/// Somebody leads by then, and a write is committed.
const LIVELY_WITHIN: Duration = Duration::from_secs(15);
/// All nodes have what the leader has by then.
const EVEN_WITHIN: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);
/// Receipts that are fetched from each node.
const RECEIPTS: usize = 12;

/// What a run came to.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) acknowledged: usize,
    pub(crate) refused: usize,
    pub(crate) doubtful: usize,
    pub(crate) unknown: usize,
    pub(crate) receipts: usize,
    pub(crate) contracts: Sums,
    /// Until a write was committed after all was well.
    pub(crate) lively: Duration,
}

/// A write is committed soon, and all nodes come to have it.
pub(crate) async fn lively(nodes: &[(usize, Http)]) -> Result<Duration> {
    let start = Instant::now();
    let mut at = 0;
    let done = loop {
        let body = json!({ "contents": "all is well again" });
        let last = match nodes[at].1.post("/app/transactions", &body).await {
            Ok(answer) if answer.status == 200 => break answer.transaction,
            Ok(answer) => format!("{}: {}", answer.status, answer.text()),
            Err(error) => error.to_string(),
        };
        ensure!(
            start.elapsed() < LIVELY_WITHIN,
            "nothing is written {LIVELY_WITHIN:?} after all was well again: {last}"
        );
        at = (at + 1) % nodes.len();
        tokio::time::sleep(LOOK).await;
    };
    let lively = start.elapsed();
    let id: TxId = done.context("a write says its transaction")?.parse()?;
    for (place, node) in nodes {
        while committed(node).await.is_none_or(|there| there < id.seqno) {
            ensure!(
                start.elapsed() < LIVELY_WITHIN + EVEN_WITHIN,
                "node {place} does not come to have {id}"
            );
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(lively)
}

async fn committed(node: &Http) -> Option<Seqno> {
    #[derive(Deserialize)]
    struct Commit {
        transaction_id: TxId,
    }
    let answer = node.get("/node/commit").await.ok()?;
    Some(answer.json::<Commit>().ok()?.transaction_id.seqno)
}

/// Asks, again as long as a node says that nobody leads: on a machine that has much to do, that
/// happens when all is well too.
async fn ask(node: &Http, path: &str) -> Result<Answer> {
    let start = Instant::now();
    loop {
        let answer = node.get(path).await?;
        if answer.status != 503 || start.elapsed() > LIVELY_WITHIN {
            return Ok(answer);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Compares what every node has with what clients were told. What does not fit is told to the
/// witness.
pub(crate) async fn compare(nodes: &[(usize, Http)], witness: &Witness) -> Result<Tally> {
    let writes = witness.seen().writes.clone();
    let mut tally = Tally::default();
    for (writer, writes) in writes.iter().enumerate() {
        tally.count(writes);
        for (place, node) in nodes {
            let found = read_all(node, *place, writer, witness).await?;
            for wrong in wrong(writes, &found) {
                witness.violation(format!("node {place}, w{writer}: {wrong}"));
            }
        }
    }
    Ok(tally)
}

impl Tally {
    fn count(&mut self, writes: &[Write]) {
        for write in writes {
            *match write.outcome {
                Outcome::Acknowledged(_) => &mut self.acknowledged,
                Outcome::Refused => &mut self.refused,
                Outcome::Doubt(_) => &mut self.doubtful,
                Outcome::Unknown => &mut self.unknown,
            } += 1;
        }
    }
}

/// What does not fit, of what one writer was told and what is there.
fn wrong(writes: &[Write], found: &[(TxId, usize)]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut there: HashMap<usize, TxId> = HashMap::new();
    for (id, number) in found {
        if let Some(before) = there.insert(*number, *id) {
            wrong.push(format!("{number} is there twice: {before} and {id}"));
        }
    }
    // What comes after it was sent when this was acknowledged already.
    let mut acknowledged = Seqno::ZERO;
    for Write { number, outcome } in writes {
        let place = there.remove(number);
        let fits = match outcome {
            Outcome::Acknowledged(id) => place == Some(*id),
            Outcome::Refused => place.is_none(),
            Outcome::Doubt(id) => place.is_none_or(|place| place == *id),
            Outcome::Unknown => true,
        };
        if !fits {
            wrong.push(format!("{number} was told {outcome:?}, is at {place:?}"));
        }
        if place.is_some_and(|place| place.seqno <= acknowledged) {
            wrong.push(format!(
                "{number} is at {place:?}, and one before it was acknowledged at {acknowledged}"
            ));
        }
        if let Outcome::Acknowledged(id) = outcome {
            acknowledged = acknowledged.max(id.seqno);
        }
    }
    for (number, id) in there {
        wrong.push(format!("{number} was never sent, is at {id}"));
    }
    wrong
}

async fn read_all(
    node: &Http,
    place: usize,
    writer: usize,
    witness: &Witness,
) -> Result<Vec<(TxId, usize)>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Page {
        entries: Vec<Shown>,
        next_link: Option<String>,
    }
    let mut all: Vec<(TxId, usize)> = Vec::new();
    let mut path = Some(format!(
        "/app/transactions?collectionId={}",
        collection(writer)
    ));
    while let Some(page) = path {
        let answer = ask(node, &page).await?;
        if answer.status == 404 && all.is_empty() {
            return Ok(all);
        }
        let page: Page = answer.json()?;
        for entry in page.entries {
            let id = entry.transaction_id;
            match number(writer, &entry.contents) {
                Some(number) => all.push((id, number)),
                None => witness.violation(format!(
                    "node {place}: {id} was never sent like this: {}",
                    entry.contents
                )),
            }
            witness
                .seen()
                .committed(id, &format!("the list at node {place}"));
        }
        path = page.next_link;
    }
    Ok(all)
}

/// What was in doubt is decided now, everywhere in the same way, and as what is there says.
pub(crate) async fn decided(nodes: &[(usize, Http)], witness: &Witness) -> Result<()> {
    let writes = witness.seen().writes.clone();
    for (writer, write) in writes
        .iter()
        .enumerate()
        .flat_map(|(writer, all)| all.iter().map(move |write| (writer, write)))
    {
        let Outcome::Doubt(id) = write.outcome else {
            continue;
        };
        for (place, node) in nodes {
            let answer = ask(node, &format!("/app/transactions/{id}/status")).await?;
            let said = answer.text();
            let who = format!("the last status at node {place}");
            let is_there = answer.status == 200 && said.contains("\"Committed\"");
            let is_not = answer.status == 404 && said.contains("TransactionInvalid");
            if is_there {
                witness.seen().committed(id, &who);
            } else if is_not {
                witness.seen().invalid(id, &who);
            } else {
                witness.violation(format!("{who} of {id} is not decided: {said}"));
            }
            let collection = collection(writer);
            let path = format!("/app/transactions/{id}?collectionId={collection}");
            let entry = ask(node, &path).await?.text();
            let shown: Option<Shown> = serde_json::from_str::<serde_json::Value>(&entry)
                .ok()
                .and_then(|mut said| serde_json::from_value(said["entry"].take()).ok());
            let shows = shown.is_some_and(|shown| {
                shown.transaction_id == id && shown.contents == contents(writer, write.number)
            });
            if shows != is_there {
                witness.violation(format!("{who} of {id} is {said}, and its entry {entry}"));
            }
        }
    }
    Ok(())
}

/// Receipts that were given, and some that are given now, hold.
pub(crate) async fn receipts(
    nodes: &[(usize, Http)],
    service_cert: &std::path::Path,
    witness: &Witness,
) -> Result<usize> {
    let cert = fs::read_to_string(service_cert).context("reading the service certificate")?;
    let verifier = Verifier::new(Cert::from_pem(&cert)?);
    let (mut all, writes) = {
        let seen = witness.seen();
        (seen.receipts.clone(), seen.writes.clone())
    };
    for (place, node) in nodes {
        for take in 0..RECEIPTS {
            let writer = (place + take) % WRITERS;
            let acknowledged = writes[writer]
                .iter()
                .filter_map(|write| match write.outcome {
                    Outcome::Acknowledged(id) => Some((id, write.number)),
                    _ => None,
                });
            let acknowledged: Vec<_> = acknowledged.collect();
            let Some((id, number)) = acknowledged.get(take * acknowledged.len() / RECEIPTS) else {
                continue;
            };
            let path = format!("/app/transactions/{id}/receipt");
            let answer = ask(node, &path).await?;
            all.push((*id, writer, *number, answer.body));
        }
    }
    for (id, writer, number, bytes) in &all {
        if let Err(error) = holds(&verifier, *id, *writer, *number, bytes) {
            witness.violation(format!("the receipt of {id}: {error:#}"));
        }
    }
    Ok(all.len())
}

fn holds(verifier: &Verifier, id: TxId, writer: usize, number: usize, bytes: &[u8]) -> Result<()> {
    let document = ReceiptDocument::from_json(bytes)?;
    let verified = verifier.verify_document(&document)?;
    ensure!(verified.tx_id == id, "it is {}'s", verified.tx_id);
    let about = matches!(
        document.claims.as_deref(),
        Some([Claim::LedgerEntry { collection_id, contents: text, .. }])
            if *collection_id == collection(writer) && *text == contents(writer, number)
    );
    ensure!(about, "it is about something else");
    Ok(())
}

#[cfg(test)]
mod tests {
    use verify::View;

    use super::*;

    fn id(seqno: u64) -> TxId {
        TxId::new(View(2), Seqno(seqno))
    }

    fn write(number: usize, outcome: Outcome) -> Write {
        Write { number, outcome }
    }

    #[test]
    fn what_fits_is_not_wrong() {
        let writes = [
            write(0, Outcome::Acknowledged(id(3))),
            write(1, Outcome::Unknown),
            write(2, Outcome::Refused),
            write(3, Outcome::Doubt(id(9))),
            write(4, Outcome::Acknowledged(id(7))),
        ];
        // What nobody was told of may come late.
        let found = [(id(3), 0), (id(7), 4), (id(9), 3), (id(11), 1)];
        assert_eq!(wrong(&writes, &found), Vec::<String>::new());
        assert_eq!(wrong(&writes, &found[..2]), Vec::<String>::new());
    }

    #[test]
    fn what_does_not_fit_is_found() {
        let one = |outcome, found: &[(TxId, usize)]| wrong(&[write(0, outcome)], found).len();
        assert_eq!(one(Outcome::Acknowledged(id(3)), &[]), 1, "lost");
        assert_eq!(one(Outcome::Acknowledged(id(3)), &[(id(5), 0)]), 1, "moved");
        assert_eq!(one(Outcome::Refused, &[(id(5), 0)]), 1, "a lie");
        assert_eq!(one(Outcome::Doubt(id(3)), &[(id(5), 0)]), 1, "moved");
        assert_eq!(one(Outcome::Unknown, &[(id(5), 0), (id(7), 0)]), 1, "twice");
        assert_eq!(one(Outcome::Unknown, &[(id(5), 1)]), 1, "from nowhere");
        let writes = [
            write(0, Outcome::Acknowledged(id(5))),
            write(1, Outcome::Acknowledged(id(3))),
        ];
        let found = [(id(3), 1), (id(5), 0)];
        assert_eq!(wrong(&writes, &found).len(), 1, "reordered");
    }
}
