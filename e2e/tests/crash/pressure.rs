//! More than the server can take.

use std::fs;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use e2e::{Http, Ledger};
use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use verify::TxId;

use crate::load::{self, Sent};

/// Far more writers than places in the queue.
const WRITERS: usize = 32;
const CONFIG: &str = "[server]\nqueue_entries = 2\n";
/// Bursts until enough was refused; the first few do it unless the machine has one core.
const BURSTS: usize = 50;
const REFUSED_ENOUGH: usize = 100;

#[test]
fn a_full_queue_refuses_with_a_time_to_wait_and_records_nothing() -> Result<()> {
    let scratch = TempDir::new()?;
    let config = scratch.path().join("counterfoil.toml");
    fs::write(&config, CONFIG)?;
    let config = config.to_str().context("a temporary folder is text")?;
    let mut ledger = Ledger::start_with(&["--config", config])?;
    let runtime = Runtime::new()?;
    let told = runtime.block_on(bursts(&ledger))?;
    ensure!(
        told.refused_singles.min(told.refused_batches) >= REFUSED_ENOUGH,
        "only {} writes and {} batches were refused",
        told.refused_singles,
        told.refused_batches
    );
    // What was refused is not in the ledger, neither now nor later.
    for end in [Ledger::stop, Ledger::kill] {
        let http = Http::new(ledger.ready())?;
        let all = (0..WRITERS).map(|writer| burst_of(writer, 0, 1)[0].collection());
        let found = runtime.block_on(load::nothing_is_lost(&http, all, &told.recorded))?;
        ensure!(
            found == told.recorded.len(),
            "{found} entries, but {} were acknowledged",
            told.recorded.len()
        );
        end(&mut ledger)?;
        ledger.start_again()?;
    }
    Ok(())
}

#[derive(Default)]
struct Told {
    recorded: Vec<(TxId, Sent)>,
    refused_singles: usize,
    refused_batches: usize,
}

async fn bursts(ledger: &Ledger) -> Result<Told> {
    let mut told = Told::default();
    let connections: Vec<Http> = (0..WRITERS)
        .map(|_| Http::new(ledger.ready()))
        .collect::<Result<_>>()?;
    for number in 0..BURSTS {
        if told.refused_singles.min(told.refused_batches) >= REFUSED_ENOUGH {
            break;
        }
        let together = Arc::new(Barrier::new(WRITERS));
        let mut burst = JoinSet::new();
        for (writer, http) in connections.iter().enumerate() {
            // Every other writer sends batches.
            let is_batch = writer % 2 == 1;
            let sent = burst_of(writer, number, if is_batch { 4 } else { 1 });
            let (http, together) = (http.clone(), Arc::clone(&together));
            burst.spawn(async move {
                together.wait().await;
                (is_batch, write(&http, sent).await)
            });
        }
        while let Some(done) = burst.join_next().await {
            match done? {
                (_, Ok(Some(recorded))) => told.recorded.extend(recorded),
                (false, Ok(None)) => told.refused_singles += 1,
                (true, Ok(None)) => told.refused_batches += 1,
                (_, Err(error)) => return Err(error),
            }
        }
    }
    Ok(told)
}

/// What one writer sends in one burst: some entries of its own collection.
fn burst_of(writer: usize, burst: usize, count: usize) -> Vec<Sent> {
    let numbers = (0..count).map(|place| burst * count + place);
    let sent = numbers.map(|number| Sent {
        round: 0,
        writer,
        number,
    });
    sent.collect()
}

/// Writes one entry, or several in one request; `None` when they are refused.
async fn write(http: &Http, sent: Vec<Sent>) -> Result<Option<Vec<(TxId, Sent)>>> {
    #[derive(Deserialize)]
    struct Refused {
        error: Named,
    }
    #[derive(Deserialize)]
    struct Named {
        code: String,
    }
    #[derive(Deserialize)]
    struct Results {
        results: Vec<OneResult>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct OneResult {
        transaction_id: TxId,
    }
    let collection = sent[0].collection();
    let answer = if let [one] = sent[..] {
        let path = format!("/app/transactions?collectionId={collection}");
        http.post(&path, &json!({ "contents": one.contents() }))
            .await?
    } else {
        let contents = sent
            .iter()
            .map(|sent| json!({ "contents": sent.contents() }));
        let body = json!({ "entries": contents.collect::<Vec<_>>() });
        let path = format!("/app/transactions:batch?collectionId={collection}");
        http.post(&path, &body).await?
    };
    if answer.status == 429 {
        let refused: Refused = serde_json::from_slice(&answer.body)?;
        ensure!(
            refused.error.code == "TooManyPendingTransactions",
            "{}",
            answer.text()
        );
        ensure!(
            answer.retry_after.is_some_and(|seconds| seconds > 0),
            "no Retry-After"
        );
        return Ok(None);
    }
    let ids = match (&sent[..], &answer.transaction) {
        ([_], Some(id)) if answer.status == 200 => vec![id.parse()?],
        _ => {
            let results = answer.json::<Results>()?.results;
            results
                .into_iter()
                .map(|result| result.transaction_id)
                .collect()
        }
    };
    ensure!(ids.len() == sent.len(), "{}", answer.text());
    Ok(Some(ids.into_iter().zip(sent).collect()))
}
