//! Receipts of a ledger written under load, verified as their holders do.

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::{Http, Ready};
use serde::Deserialize;
use verify::{Cert, ReceiptDocument, Verifier};

use crate::Args;
use crate::process;
use crate::report::{Goal, Report};

/// Different receipts that are verified.
const RECEIPTS: usize = 3_000;
/// What `counterfoil bench write` writes to.
const COLLECTION: &str = "bench";

/// Verifies each receipt of neighbouring entries, then one receipt of each batch.
pub(crate) fn verification(args: &Args, ready: &Ready, report: &mut Report) -> Result<()> {
    let answers = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(receipts(&Http::new(ready)?))?;
    let cert = fs::read_to_string(&ready.service_cert).context("reading the certificate")?;
    let cert = Cert::from_pem(&cert)?;
    let mut signatures = HashSet::new();
    let mut of_each_batch = Vec::new();
    for answer in &answers {
        let receipt = ReceiptDocument::from_json(answer)?.receipt;
        if signatures.insert(receipt.signature) {
            of_each_batch.push(answer.clone());
        }
    }
    eprintln!("{} receipts, {} roots", answers.len(), signatures.len());
    for (work, answers) in [
        ("receipts verified offline, neighbours", &answers),
        ("receipts verified offline, one of a batch", &of_each_batch),
    ] {
        let rate = rate(args, &cert, answers)?;
        report.say(work, rate, "/s", Goal::AtLeast(3_000.0));
    }
    Ok(())
}

/// How many a second of this thread's processor time. All are verified once by a verifier that
/// knows nothing before; and again by the next such, until the time is over.
fn rate(args: &Args, service: &Cert, answers: &[Vec<u8>]) -> Result<f64> {
    let start = process::cpu(std::process::id())?;
    let mut verified = 0_usize;
    loop {
        let verifier = Verifier::new(service.clone());
        for answer in answers {
            verifier.verify_document(&ReceiptDocument::from_json(answer)?)?;
        }
        verified += answers.len();
        let spent = process::cpu(std::process::id())?.saturating_sub(start);
        if spent >= Duration::from_secs_f64(args.seconds) {
            return Ok(verified as f64 / spent.as_secs_f64());
        }
    }
}

/// The receipts of entries that stand next to each other.
async fn receipts(http: &Http) -> Result<Vec<Vec<u8>>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Page {
        entries: Vec<Entry>,
        next_link: Option<String>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Entry {
        transaction_id: String,
    }
    let mut answers = Vec::new();
    let mut next = Some(format!("/app/transactions?collectionId={COLLECTION}"));
    while let Some(path) = next {
        let page: Page = http.get(&path).await?.json()?;
        for Entry { transaction_id } in page.entries {
            let answer = http
                .get(&format!("/app/transactions/{transaction_id}/receipt"))
                .await?;
            ensure!(answer.status == 200, "{}", answer.text());
            answers.push(answer.body);
            if answers.len() == RECEIPTS {
                return Ok(answers);
            }
        }
        next = page.next_link;
    }
    ensure!(!answers.is_empty(), "the ledger has no entries");
    Ok(answers)
}
