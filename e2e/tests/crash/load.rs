//! Writers that know what they were told, and readers who compare.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail, ensure};
use e2e::Http;
use serde::Deserialize;
use serde_json::json;
use tokio::task::JoinSet;
use verify::{Claim, ReceiptDocument, TxId, Verifier};

/// One entry that was sent. All of it follows from these numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Sent {
    pub(crate) round: usize,
    pub(crate) writer: usize,
    /// In the order in which the writer sent its entries.
    pub(crate) number: usize,
}

/// What was acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged {
    pub(crate) entries: Vec<(TxId, Sent)>,
    /// Answers with a receipt in them.
    pub(crate) receipts: Vec<(TxId, Sent, Vec<u8>)>,
}

/// How a writer writes. Each has one request under way at a time.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// One entry, with the receipt in the answer.
    Receipt,
    /// One entry.
    Single,
    /// Many entries in one request.
    Batch,
}

const WRITERS: [Way; 8] = [
    Way::Receipt,
    Way::Receipt,
    Way::Receipt,
    Way::Single,
    Way::Single,
    Way::Single,
    Way::Batch,
    Way::Batch,
];

/// The collections of a round, one for each writer.
pub(crate) fn collections(round: usize) -> impl Iterator<Item = String> {
    (0..WRITERS.len()).map(move |writer| collection(round, writer))
}

fn collection(round: usize, writer: usize) -> String {
    format!("round{round}-writer{writer}")
}

impl Sent {
    pub(crate) fn collection(self) -> String {
        collection(self.round, self.writer)
    }

    /// Short ones, some long ones, and all that JSON must escape.
    pub(crate) fn contents(self) -> String {
        const FILLER: &str = "lot 7, Ölmühle: \"ripe\" \\ 12 °C\n\t\u{1}🫒 ";
        let Self {
            round,
            writer,
            number,
        } = self;
        let times = match number % 17 {
            0 => 90,
            rest => rest / 2,
        };
        format!("{round}/{writer}/{number}/{}.", FILLER.repeat(times))
    }

    /// Which one it is, if nothing of its contents is missing or changed.
    fn whole(contents: &str) -> Option<Self> {
        let mut numbers = contents.splitn(4, '/').map(str::parse);
        let mut number = || numbers.next()?.ok();
        let sent = Self {
            round: number()?,
            writer: number()?,
            number: number()?,
        };
        (sent.contents() == contents).then_some(sent)
    }
}

/// Load on a server, until it is killed.
pub(crate) struct Load {
    killed: Arc<AtomicBool>,
    writers: JoinSet<Result<Acknowledged>>,
}

impl Load {
    /// Starts the writers.
    pub(crate) fn start(http: &Http, round: usize) -> Self {
        let killed = Arc::new(AtomicBool::new(false));
        let mut writers = JoinSet::new();
        for (writer, way) in WRITERS.into_iter().enumerate() {
            let next = Sent {
                round,
                writer,
                number: 0,
            };
            let (http, killed) = (http.clone(), Arc::clone(&killed));
            writers.spawn(async move { write(&http, way, next, usize::MAX, &killed).await });
        }
        Self { killed, writers }
    }

    /// From now on connections may break.
    pub(crate) fn about_to_kill(&self) {
        self.killed.store(true, Ordering::SeqCst);
    }

    /// What was acknowledged until the server was killed.
    pub(crate) async fn acknowledged(mut self) -> Result<Acknowledged> {
        let mut all = Acknowledged::default();
        while let Some(written) = self.writers.join_next().await {
            all.add(written??);
        }
        Ok(all)
    }
}

impl Acknowledged {
    fn add(&mut self, more: Self) {
        self.entries.extend(more.entries);
        self.receipts.extend(more.receipts);
    }
}

/// Writes a little of everything, one after the other.
pub(crate) async fn write_some(http: &Http, round: usize, requests: usize) -> Result<Acknowledged> {
    let mut all = Acknowledged::default();
    for (writer, way) in WRITERS.into_iter().enumerate() {
        let next = Sent {
            round,
            writer,
            number: 0,
        };
        all.add(write(http, way, next, requests, &AtomicBool::new(false)).await?);
    }
    Ok(all)
}

async fn write(
    http: &Http,
    way: Way,
    mut next: Sent,
    requests: usize,
    killed: &AtomicBool,
) -> Result<Acknowledged> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Results {
        results: Vec<OneResult>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct OneResult {
        transaction_id: Option<TxId>,
    }
    let mut told = Acknowledged::default();
    let collection = next.collection();
    for request in 0..requests {
        let count = match way {
            Way::Batch => 1 + request * 7 % 40,
            _ => 1,
        };
        let sent: Vec<Sent> = (next.number..next.number + count)
            .map(|number| Sent { number, ..next })
            .collect();
        next.number += count;
        let single = json!({ "contents": sent[0].contents() });
        let answer = match way {
            Way::Receipt => {
                let path =
                    format!("/app/transactions?collectionId={collection}&waitForCommit=true");
                http.post(&path, &single).await
            }
            Way::Single => {
                let path = format!("/app/transactions?collectionId={collection}");
                http.post(&path, &single).await
            }
            Way::Batch => {
                let entries: Vec<_> = sent
                    .iter()
                    .map(|sent| json!({ "contents": sent.contents(), "collectionId": collection }))
                    .collect();
                let batch = json!({ "entries": entries });
                http.post("/app/transactions:batch", &batch).await
            }
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(_) if killed.load(Ordering::SeqCst) => return Ok(told),
            Err(error) => return Err(error).context("a living server must answer"),
        };
        ensure!(
            answer.status == 200,
            "{} to {way:?}: {}",
            answer.status,
            answer.text()
        );
        if let Way::Batch = way {
            let results = answer.json::<Results>()?.results;
            ensure!(results.len() == count, "{count} entries: {}", answer.text());
            for (result, sent) in results.into_iter().zip(sent) {
                let id = result.transaction_id.with_context(|| answer.text())?;
                told.entries.push((id, sent));
            }
            continue;
        }
        let id = answer.transaction.as_deref();
        let id: TxId = id.context("a write says its transaction")?.parse()?;
        told.entries.push((id, sent[0]));
        if let Way::Receipt = way {
            told.receipts.push((id, sent[0], answer.body));
        }
    }
    Ok(told)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    collection_id: String,
    contents: String,
    transaction_id: TxId,
}

impl Shown {
    fn check(&self) -> Result<(TxId, Sent)> {
        let sent = Sent::whole(&self.contents)
            .filter(|sent| sent.collection() == self.collection_id)
            .with_context(|| format!("{} is not as it was sent", self.transaction_id))?;
        Ok((self.transaction_id, sent))
    }
}

/// All entries of a collection. Makes sure that each is whole, is there once, and that they stand
/// in the order in which their one writer sent them.
pub(crate) async fn read_all(http: &Http, collection: &str) -> Result<Vec<(TxId, Sent)>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Page {
        entries: Vec<Shown>,
        next_link: Option<String>,
    }
    let mut all: Vec<(TxId, Sent)> = Vec::new();
    let mut path = Some(format!("/app/transactions?collectionId={collection}"));
    while let Some(page) = path {
        let answer = http.get(&page).await?;
        if answer.status == 404 && all.is_empty() {
            // Nothing was ever written to it.
            return Ok(all);
        }
        let page: Page = answer.json()?;
        for entry in &page.entries {
            let found = entry.check()?;
            ensure!(entry.collection_id == collection, "{found:?} is misplaced");
            if let Some(&(id, sent)) = all.last() {
                ensure!(
                    id.seqno < found.0.seqno && sent.number < found.1.number,
                    "{found:?} stands after {id} {sent:?}"
                );
            }
            all.push(found);
        }
        path = page.next_link;
    }
    Ok(all)
}

/// Makes sure that these collections hold everything that was acknowledged, under the ids that were
/// told, and nothing that was not sent. Returns how many entries they hold.
pub(crate) async fn nothing_is_lost(
    http: &Http,
    collections: impl Iterator<Item = String>,
    acknowledged: &[(TxId, Sent)],
) -> Result<usize> {
    let mut found = HashMap::new();
    for collection in collections {
        for (id, sent) in read_all(http, &collection).await? {
            if let Some(before) = found.insert(sent, id) {
                bail!("{sent:?} is there twice: {before} and {id}");
            }
        }
    }
    for (id, sent) in acknowledged {
        let place = found.get(sent);
        ensure!(place == Some(id), "{sent:?} was told {id}, is at {place:?}");
    }
    Ok(found.len())
}

/// Makes sure that an entry can be read by its id.
pub(crate) async fn is_there(http: &Http, id: TxId, sent: Sent) -> Result<()> {
    #[derive(Deserialize)]
    struct One {
        entry: Shown,
    }
    let path = format!("/app/transactions/{id}?collectionId={}", sent.collection());
    let answer = http.get(&path).await?;
    let one: One = answer.json().with_context(|| format!("{id} {sent:?}"))?;
    let found = one.entry.check()?;
    ensure!(found == (id, sent), "{id} is {found:?}, and was {sent:?}");
    Ok(())
}

/// Makes sure that a receipt holds under the service, and is about this entry in this place.
pub(crate) fn holds(verifier: &Verifier, id: TxId, sent: Sent, receipt: &[u8]) -> Result<()> {
    let document = ReceiptDocument::from_json(receipt)?;
    let verified = verifier
        .verify_document(&document)
        .with_context(|| format!("the receipt of {id}"))?;
    ensure!(
        verified.tx_id == id,
        "{id} has {}'s receipt",
        verified.tx_id
    );
    let about = matches!(
        document.claims.as_deref(),
        Some([Claim::LedgerEntry { collection_id, contents, .. }])
            if *collection_id == sent.collection() && *contents == sent.contents()
    );
    ensure!(about, "the receipt of {id} is about something else");
    Ok(())
}
