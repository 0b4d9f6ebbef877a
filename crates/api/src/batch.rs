//! `POST /app/transactions:batch`: many entries, one answer each.
//!
//! Entries that cannot be are answered so and the others go on. As one JSON document the batch is
//! submitted at once; as newline-delimited JSON it streams ([`crate::stream`]).

use std::borrow::Cow;
use std::sync::Arc;

use ledger::entries::AppendEntry;
use ledger::{Rejection, Transaction};
use node::Node;
use serde::{Deserialize, Serialize};
use verify::TxId;

use crate::answer::{self, Answer};
use crate::call::Call;
use crate::error::{ApiError, ErrorBody};
use crate::json::{Object, parse};
use crate::limits::{BATCH_BYTES_MAX, BATCH_ENTRIES_MAX};
use crate::stream;
use crate::transactions::{collection_of, split_tags, wait_of};

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
    /// The transaction that appends it, to `collection` if it names none itself.
    pub(crate) fn into_transaction(
        self,
        node: &Node,
        collection: Option<&str>,
    ) -> Result<AppendEntry, Rejection> {
        let own = self
            .collection_id
            .map(Cow::into_owned)
            .filter(|id| !id.is_empty());
        let tags = match self.tags {
            Tags::None => Vec::new(),
            Tags::List(tags) => tags,
            Tags::Text(text) => split_tags(&text),
        };
        AppendEntry::new(
            node.visibility(),
            node.limits(),
            own.or_else(|| collection.map(str::to_owned)),
            self.contents.into_owned(),
            tags,
        )
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
    },
    /// It is not.
    Refused(ErrorBody<'a>),
}

/// An entry of a batch on its way: where it goes, or why not.
pub(crate) type Checked = Result<String, ApiError>;

/// Pairs entries with the ledger's answers; entries that were refused before have none there.
pub(crate) fn answers(
    checked: Vec<Checked>,
    results: Vec<Result<TxId, Rejection>>,
) -> impl Iterator<Item = Result<(TxId, String), ApiError>> {
    let mut results = results.into_iter();
    checked.into_iter().map(move |entry| {
        let collection = entry?;
        let id = results
            .next()
            .expect("the node gives one answer for each transaction")?;
        Ok((id, collection))
    })
}

/// An answer as it is written.
pub(crate) fn shown(answer: &Result<(TxId, String), ApiError>) -> EntryAnswer<'_> {
    match answer {
        Ok((id, collection)) => EntryAnswer::Recorded {
            transaction_id: *id,
            collection_id: collection,
        },
        Err(error) => EntryAnswer::Refused(error.body()),
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
    let wait = wait_of(call.query_flag("waitForCommit")?);
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
    let checked = batch.entries.into_iter().map(|Object(entry)| {
        let entry = entry.into_transaction(&node, collection.as_deref())?;
        let collection = entry.collection().to_owned();
        transactions.push(Box::new(entry));
        Ok(collection)
    });
    let checked: Vec<Checked> = checked.collect();
    drop(body);
    let results = node.submit_many(transactions, wait).await?;
    let last = results.iter().filter_map(|result| result.as_ref().ok());
    let last = last.max().copied();
    let answers: Vec<_> = answers(checked, results).collect();
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
    fn entries_refused_before_and_by_the_ledger_keep_their_places() {
        let checked = vec![
            Ok("a".to_owned()),
            Err(ApiError::input("no")),
            Ok("b".to_owned()),
        ];
        let results = vec![
            Ok(TxId::default()),
            Err(Rejection::NotFound("gone".to_owned())),
        ];
        let answers: Vec<_> = answers(checked, results).collect();
        let json = serde_json::to_string(&answers.iter().map(shown).collect::<Vec<_>>()).unwrap();
        assert_eq!(
            json,
            r#"[{"transactionId":"0.0","collectionId":"a"},"#.to_owned()
                + r#"{"error":{"code":"InvalidInput","message":"no"}},"#
                + r#"{"error":{"code":"ResourceNotFound","message":"gone"}}]"#
        );
    }
}
