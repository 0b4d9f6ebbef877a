//! `POST /app/transactions:batch`: many entries, one answer each.
//!
//! Entries that cannot be are answered so and the others go on. An entry with an `idempotencyKey` is
//! recorded once, however often it is sent. As one JSON document the batch is submitted at once, and
//! `waitForCommit=true` brings a receipt with each entry; as newline-delimited JSON it streams
//! ([`crate::stream`]).

use std::borrow::Cow;
use std::sync::Arc;

use ledger::entries::AppendEntry;
use ledger::once::Once;
use ledger::{Rejection, Transaction};
use node::{Node, Wait};
use serde::{Deserialize, Serialize};
use verify::{Claim, Digest, Receipt, ReceiptDocument, TxId};

use crate::answer::{self, Answer};
use crate::call::Call;
use crate::error::{ApiError, ErrorBody};
use crate::json::{Object, parse};
use crate::limits::{BATCH_BYTES_MAX, BATCH_ENTRIES_MAX};
use crate::stream;
use crate::transactions::{collection_of, receipt_of, split_tags, wait_of};

/// A batch as one JSON document. Other fields are ignored.
#[derive(Deserialize)]
pub(crate) struct Batch<'a> {
    #[serde(borrow)]
    pub(crate) entries: Vec<Object<BatchEntry<'a>>>,
}

/// One entry of a batch. Other fields are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchEntry<'a> {
    #[serde(borrow)]
    contents: Cow<'a, str>,
    #[serde(borrow, default)]
    collection_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    tags: Tags<'a>,
    #[serde(borrow, default)]
    idempotency_key: Option<Cow<'a, str>>,
}

/// Tags as a list, or with commas in between as Azure writes them.
#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Tags<'a> {
    #[default]
    None,
    List(Vec<String>),
    #[serde(borrow)]
    Text(Cow<'a, str>),
}

impl BatchEntry<'_> {
    /// What `caller` wants recorded, in `collection` if it names none itself.
    pub(crate) fn checked(
        self,
        node: &Node,
        caller: &str,
        collection: Option<&str>,
    ) -> Result<Append, Rejection> {
        let own = self
            .collection_id
            .map(Cow::into_owned)
            .filter(|id| !id.is_empty());
        let tags = match self.tags {
            Tags::None => Vec::new(),
            Tags::List(tags) => tags,
            Tags::Text(text) => split_tags(&text),
        };
        let once = self.idempotency_key.map(|key| {
            let request = (tags.join(","), Digest::of(self.contents.as_bytes()));
            (key, request)
        });
        let entry = AppendEntry::new(
            node.visibility(),
            node.limits(),
            own.or_else(|| collection.map(str::to_owned)),
            self.contents.into_owned(),
            tags,
        )?;
        let collection = entry.collection().to_owned();
        let transaction = match once {
            None => Appending::Each(entry),
            Some((key, (tags, contents))) => {
                let request = [collection.as_bytes(), tags.as_bytes(), &contents.0];
                Appending::Once(Once::new(caller, &key, &request, entry)?)
            }
        };
        Ok(Append {
            collection,
            transaction,
        })
    }
}

/// An entry that can be: where it goes, and what puts it there.
#[derive(Clone)]
pub(crate) struct Append {
    pub(crate) collection: String,
    transaction: Appending,
}

#[derive(Clone)]
enum Appending {
    Each(AppendEntry),
    Once(Once<AppendEntry>),
}

impl Append {
    /// As the node takes it.
    pub(crate) fn boxed(self) -> Box<dyn Transaction> {
        match self.transaction {
            Appending::Each(entry) => Box::new(entry),
            Appending::Once(entry) => Box::new(entry),
        }
    }
}

/// What became of one entry.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum EntryAnswer<'a> {
    /// It is in the ledger.
    #[serde(rename_all = "camelCase")]
    Recorded {
        /// Where.
        transaction_id: TxId,
        /// In which collection.
        collection_id: &'a str,
        /// What proves it, where that was asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        receipt: Option<&'a Receipt>,
        /// What the receipt proves.
        #[serde(skip_serializing_if = "Option::is_none")]
        application_claims: Option<&'a [Claim]>,
    },
    /// It is not, or (as the status says) that is not known.
    Refused {
        /// The HTTP status that it would have had alone.
        status: u16,
        #[serde(flatten)]
        error: ErrorBody<'a>,
    },
}

/// An entry of a batch on its way: where it goes, or why not.
pub(crate) type Checked = Result<String, ApiError>;

/// An entry that is in the ledger.
pub(crate) struct Placed {
    id: TxId,
    collection: String,
    receipt: Option<ReceiptDocument>,
}

/// Pairs entries with the ledger's answers; entries that were refused before have none there. Those
/// that were sent before are waited for.
pub(crate) async fn answers(
    node: &Node,
    checked: Vec<Checked>,
    results: Vec<Result<TxId, Rejection>>,
    wait: Wait,
) -> Vec<Result<Placed, ApiError>> {
    let mut results = results.into_iter();
    let mut answers = Vec::with_capacity(checked.len());
    for entry in checked {
        answers.push(match entry {
            Err(error) => Err(error),
            Ok(collection) => {
                let result = results.next();
                match result.expect("the node gives one answer for each transaction") {
                    Ok(id) => Ok(id),
                    Err(Rejection::Repeated(id)) => {
                        node.repeated(id, wait).await.map_err(ApiError::from)
                    }
                    Err(rejection) => Err(rejection.into()),
                }
                .map(|id| Placed {
                    id,
                    collection,
                    receipt: None,
                })
            }
        });
    }
    answers
}

/// An answer as it is written.
pub(crate) fn shown(answer: &Result<Placed, ApiError>) -> EntryAnswer<'_> {
    match answer {
        Ok(placed) => EntryAnswer::Recorded {
            transaction_id: placed.id,
            collection_id: &placed.collection,
            receipt: placed.receipt.as_ref().map(|document| &document.receipt),
            application_claims: placed
                .receipt
                .as_ref()
                .map(|document| document.claims.as_deref().unwrap_or(&[])),
        },
        Err(error) => EntryAnswer::Refused {
            status: error.code.wire().1.as_u16(),
            error: error.body(),
        },
    }
}

/// `POST /app/transactions:batch`
pub(crate) async fn append(mut call: Call) -> Result<Answer, ApiError> {
    #[derive(Serialize)]
    struct Results<'a> {
        results: Vec<EntryAnswer<'a>>,
    }
    if stream::is_lines(call.content_type()) {
        return stream::append(call);
    }
    let wait_for_commit = call.query_flag("waitForCommit")?;
    let wait = wait_of(wait_for_commit);
    let collection = collection_of(&call)?;
    let node = Arc::clone(call.node());
    let body = call.json_bytes(BATCH_BYTES_MAX).await?;
    let batch: Batch<'_> = parse(&body, "{\"entries\": [{\"contents\": text}, ...]}")?;
    if batch.entries.len() > BATCH_ENTRIES_MAX {
        return Err(ApiError::input(format!(
            "The batch has {} entries, more than {BATCH_ENTRIES_MAX}. Send several batches, or \
             stream application/x-ndjson.",
            batch.entries.len()
        )));
    }
    let mut transactions: Vec<Box<dyn Transaction>> = Vec::with_capacity(batch.entries.len());
    let caller = call.caller().user().as_str();
    let checked = batch.entries.into_iter().map(|Object(entry)| {
        let append = entry.checked(&node, caller, collection.as_deref())?;
        let collection = append.collection.clone();
        transactions.push(append.boxed());
        Ok(collection)
    });
    let checked: Vec<Checked> = checked.collect();
    drop(body);
    let results = node.submit_many(transactions, wait).await?;
    let mut answers = answers(&node, checked, results, wait).await;
    let placed = answers.iter_mut().filter_map(|answer| answer.as_mut().ok());
    let mut last = None;
    for placed in placed {
        last = last.max(Some(placed.id));
        if wait_for_commit == Some(true) {
            placed.receipt = receipt_of(&node, placed.id);
        }
    }
    let answer = answer::json(&Results {
        results: answers.iter().map(shown).collect(),
    });
    // Where this was passed on by another node, that one answers when it has them all.
    Ok(match last {
        Some(last) => answer::with_transaction(answer, last),
        None => answer,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_come_as_a_list_or_as_text_or_not_at_all() {
        let tags =
            |text: &'static str| match serde_json::from_str::<BatchEntry<'_>>(text).unwrap().tags {
                Tags::None => Vec::new(),
                Tags::List(tags) => tags,
                Tags::Text(text) => split_tags(&text),
            };
        assert_eq!(tags(r#"{"contents":"a","tags":["x","y"]}"#), ["x", "y"]);
        assert_eq!(tags(r#"{"contents":"a","tags":"x,y"}"#), ["x", "y"]);
        assert!(tags(r#"{"contents":"a","tags":null}"#).is_empty());
        assert!(tags(r#"{"contents":"a"}"#).is_empty());
    }

    #[test]
    fn what_became_of_an_entry_is_said_with_its_status() {
        let answers = [
            Ok(Placed {
                id: TxId::default(),
                collection: "a".to_owned(),
                receipt: None,
            }),
            Err(ApiError::input("no")),
            Err(Rejection::NotFound("gone".to_owned()).into()),
        ];
        let json = serde_json::to_string(&answers.iter().map(shown).collect::<Vec<_>>()).unwrap();
        assert_eq!(
            json,
            r#"[{"transactionId":"0.0","collectionId":"a"},"#.to_owned()
                + r#"{"status":400,"error":{"code":"InvalidInput","message":"no"}},"#
                + r#"{"status":404,"error":{"code":"ResourceNotFound","message":"gone"}}]"#
        );
    }
}
