//! Writing and reading entries.

use std::borrow::Cow;
use std::sync::Arc;

use http::HeaderName;
use ledger::Rejection;
use ledger::entries::{AppendEntry, DEFAULT_COLLECTION, UserEntry};
use ledger::once::Once;
use node::{EntryPage, EntryQuery, Node, Placed, ReadError, Wait};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use verify::claims::Claim;
use verify::receipt::{Receipt, ReceiptDocument};
use verify::{Seqno, TxId, TxStatus};

use crate::answer::{self, Answer};
use crate::call::Call;
use crate::error::{ApiError, Code, chain, invalid, unknown};
use crate::json::parse;
use crate::limits::{ENTRY_ENVELOPE_BYTES, JSON_ESCAPE_FACTOR, PAGE_BYTES, PAGE_ENTRIES};
use crate::version::ApiVersion;

/// An entry as it is sent. Other fields are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EntryBody<'a> {
    #[serde(borrow)]
    pub(crate) contents: Cow<'a, str>,
    #[serde(default)]
    pre_hooks: Option<Vec<IgnoredAny>>,
    #[serde(default)]
    post_hooks: Option<Vec<IgnoredAny>>,
}

impl EntryBody<'_> {
    /// Functions would have to run in the same transaction; leaving them out is not an option.
    pub(crate) fn refuse_hooks(&self) -> Result<(), ApiError> {
        let any = |hooks: &Option<Vec<_>>| hooks.as_ref().is_some_and(|hooks| !hooks.is_empty());
        if any(&self.pre_hooks) || any(&self.post_hooks) {
            let message = "preHooks and postHooks are not supported by this version of the ledger.";
            return Err(ApiError::new(Code::NotImplemented, message));
        }
        Ok(())
    }
}

/// With this header a write that is sent again is recorded once.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The answer to a write.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Appended<'a> {
    collection_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<&'a Receipt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    application_claims: Option<&'a [Claim]>,
}

/// `POST /app/transactions`
///
/// A success answer means committed, unless the caller says `waitForCommit=false`. With
/// `waitForCommit=true` the receipt is in the answer.
pub(crate) async fn append(mut call: Call) -> Result<Answer, ApiError> {
    let wait_for_commit = call.query_flag("waitForCommit")?;
    let collection = collection_of(&call)?;
    let tags = call
        .query("tags")?
        .map(|tags| split_tags(&tags))
        .unwrap_or_default();
    let node = Arc::clone(call.node());
    let body = call.json_bytes(entry_bytes_max(&node)).await?;
    let entry: EntryBody<'_> = parse(&body, "{\"contents\": text}")?;
    entry.refuse_hooks()?;
    let contents = entry.contents.into_owned();
    let entry = AppendEntry::new(node.visibility(), node.limits(), collection, contents, tags)?;
    let collection = entry.collection().to_owned();
    let wait = wait_of(wait_for_commit);
    let id = match call.header(&IDEMPOTENCY_KEY)? {
        None => node.submit(Box::new(entry), wait).await??,
        Some(key) => {
            let tags = call.query("tags")?.unwrap_or_default();
            let request = [collection.as_bytes(), tags.as_bytes(), &body];
            let once = Once::new(call.caller().user().as_str(), key, &request, entry)?;
            match node.submit(Box::new(once), wait).await? {
                Err(Rejection::Repeated(id)) => node.repeated(id, wait).await?,
                outcome => outcome?,
            }
        }
    };
    let receipt = match wait_for_commit {
        Some(true) => receipt_of(&node, id),
        _ => None,
    };
    let says_state = call.version.says_state() || wait_for_commit.is_some();
    let answer = answer::json(&Appended {
        collection_id: &collection,
        state: says_state.then_some(if wait == Wait::Committed {
            "Committed"
        } else {
            "Pending"
        }),
        receipt: receipt.as_ref().map(|document| &document.receipt),
        application_claims: receipt
            .as_ref()
            .map(|document| document.claims.as_deref().unwrap_or(&[])),
    });
    Ok(answer::with_transaction(answer, id))
}

/// The receipt of an entry that is committed, so that its answer must not be an error: it would be sent
/// again. `None` is told to the operator.
pub(crate) fn receipt_of(node: &Node, id: TxId) -> Option<ReceiptDocument> {
    let receipt = node.receipt(id);
    let receipt = receipt.inspect_err(|error| {
        tracing::error!(%id, error = %chain(error), "no receipt for a committed entry");
    });
    receipt.ok()
}

/// What `waitForCommit` means.
pub(crate) fn wait_of(wait_for_commit: Option<bool>) -> Wait {
    if wait_for_commit == Some(false) {
        Wait::Executed
    } else {
        Wait::Committed
    }
}

/// The `collectionId` that the caller names, if any.
pub(crate) fn collection_of(call: &Call) -> Result<Option<String>, ApiError> {
    Ok(call
        .query("collectionId")?
        .filter(|id| !id.is_empty())
        .map(Cow::into_owned))
}

/// Bytes that the request for one entry may have.
pub(crate) fn entry_bytes_max(node: &Node) -> usize {
    let contents = node.limits().contents_bytes;
    contents
        .saturating_mul(JSON_ESCAPE_FACTOR)
        .saturating_add(ENTRY_ENVELOPE_BYTES)
}

/// Tags as they are sent: with commas in between.
pub(crate) fn split_tags(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|tag| !tag.is_empty())
        .map(str::to_owned)
        .collect()
}

/// An entry as it is shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShownEntry<'a> {
    collection_id: &'a str,
    contents: &'a str,
    transaction_id: TxId,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tags: &'a [String],
}

impl<'a> From<&'a Placed<UserEntry>> for ShownEntry<'a> {
    fn from(placed: &'a Placed<UserEntry>) -> Self {
        Self {
            collection_id: &placed.value.collection,
            contents: &placed.value.contents,
            transaction_id: placed.id,
            tags: &placed.value.tags,
        }
    }
}

/// `GET /app/transactions/{transactionId}`
pub(crate) async fn entry(call: Call) -> Result<Answer, ApiError> {
    #[derive(Serialize)]
    struct Ready<'a> {
        state: &'static str,
        entry: ShownEntry<'a>,
    }
    let id = call.tx_id()?;
    let collection = collection_of(&call)?;
    match call.node().entry(id, collection.as_deref()) {
        Ok(placed) => Ok(answer::json(&Ready {
            state: "Ready",
            entry: (&placed).into(),
        })),
        Err(ReadError::Pending(_)) => Ok(loading(None)),
        Err(error) => Err(error.into()),
    }
}

/// Not committed yet: clients ask again.
pub(crate) fn loading(id: Option<TxId>) -> Answer {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Loading {
        state: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        transaction_id: Option<TxId>,
    }
    answer::json(&Loading {
        state: "Loading",
        transaction_id: id,
    })
}

/// `GET /app/transactions/current`
pub(crate) async fn current(call: Call) -> Result<Answer, ApiError> {
    let collection = collection_of(&call)?;
    let placed = call
        .node()
        .current_entry(collection.as_deref().unwrap_or(DEFAULT_COLLECTION))?;
    Ok(answer::json(&ShownEntry::from(&placed)))
}

/// `GET /app/transactions/{transactionId}/status`
pub(crate) async fn status(call: Call) -> Result<Answer, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Status {
        state: TxStatus,
        transaction_id: TxId,
    }
    let id = call.tx_id()?;
    match call.node().status(id) {
        TxStatus::Unknown => Err(unknown(id)),
        TxStatus::Invalid => Err(invalid(id)),
        state => Ok(answer::json(&Status {
            state,
            transaction_id: id,
        })),
    }
}

/// `GET /app/transactions`
pub(crate) async fn list(call: Call) -> Result<Answer, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Page<'a> {
        state: &'static str,
        entries: Vec<ShownEntry<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next_link: Option<String>,
    }
    let collection = collection_of(&call)?;
    let tag = call
        .query("tag")?
        .filter(|tag| !tag.is_empty())
        .map(Cow::into_owned);
    let from = call.query_tx_id("fromTransactionId")?;
    let to = call.query_tx_id("toTransactionId")?;
    let node = Arc::clone(call.node());
    for id in [from, to].into_iter().flatten() {
        if node.status(id) == TxStatus::Invalid {
            return Err(invalid(id));
        }
    }
    if let (Some(from), Some(to)) = (from, to)
        && from.seqno > to.seqno
    {
        return Err(ApiError::query(format!(
            "fromTransactionId {from} is after {to}."
        )));
    }
    let query = EntryQuery {
        collection: collection
            .clone()
            .unwrap_or_else(|| DEFAULT_COLLECTION.to_owned()),
        tag: tag.clone(),
        from: from.map_or(Seqno::FIRST, |id| id.seqno),
        to: to.map_or(Seqno(u64::MAX), |id| id.seqno),
        limit: PAGE_ENTRIES,
    };
    let page = blocking(move || read_page(&node, query)).await??;
    let next_link = page.next.map(|next| {
        next_link(
            next,
            to,
            collection.as_deref(),
            tag.as_deref(),
            call.version,
        )
    });
    let entries = page.entries.iter().map(ShownEntry::from).collect();
    Ok(answer::json(&Page {
        state: "Ready",
        entries,
        next_link,
    }))
}

/// Reads one page: as many entries as `query` says, or fewer if their contents are large.
pub(crate) fn read_page(node: &Node, mut query: EntryQuery) -> Result<EntryPage, ReadError> {
    let entries_max = query.limit;
    let mut page = EntryPage::default();
    let mut bytes = 0;
    // As many as fit even if all are as large as allowed; afterwards we know how large they are.
    query.limit = (PAGE_BYTES / node.limits().contents_bytes.max(1)).clamp(1, entries_max);
    loop {
        let part = node.entries(&query)?;
        bytes += part
            .entries
            .iter()
            .map(|entry| entry.value.contents.len())
            .sum::<usize>();
        page.entries.extend(part.entries);
        page.next = part.next;
        let read = page.entries.len();
        let Some(next) = page.next else {
            return Ok(page);
        };
        if read >= entries_max || bytes >= PAGE_BYTES {
            return Ok(page);
        }
        let average = bytes / read.max(1) + 1;
        query.from = next.seqno;
        query.limit = ((PAGE_BYTES - bytes) / average).clamp(1, entries_max - read);
    }
}

/// What must not be encoded in a query: RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Where the next page is, relative to this ledger.
fn next_link(
    next: TxId,
    to: Option<TxId>,
    collection: Option<&str>,
    tag: Option<&str>,
    version: ApiVersion,
) -> String {
    let mut link = format!("/app/transactions?fromTransactionId={next}");
    let mut add = |name: &str, value: &str| {
        link.push_str(name);
        link.extend(utf8_percent_encode(value, RESERVED));
    };
    if let Some(to) = to {
        add("&toTransactionId=", &to.to_string());
    }
    if let Some(collection) = collection {
        add("&collectionId=", collection);
    }
    if let Some(tag) = tag {
        add("&tag=", tag);
    }
    add("&api-version=", version.as_str());
    link
}

/// Runs what reads many files on a thread that may wait for them.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| ApiError::internal("Reading the ledger", &error))
}

#[cfg(test)]
mod tests {
    use verify::View;

    use super::*;

    #[test]
    fn hooks_are_refused_and_empty_ones_are_none() {
        let read = |text: &'static str| parse::<EntryBody<'_>>(text.as_bytes(), "an entry");
        let entry = read(r#"{"contents":"a","preHooks":[],"postHooks":null,"more":{}}"#).unwrap();
        assert!(entry.refuse_hooks().is_ok());
        assert!(matches!(entry.contents, Cow::Borrowed("a")));
        let entry = read(r#"{"contents":"\u0061","preHooks":[{"functionId":"f"}]}"#).unwrap();
        assert_eq!(entry.refuse_hooks().unwrap_err().code, Code::NotImplemented);
        for text in ["", "{}", r#"{"contents":1}"#, "[]", r#"{"contents":"a"} x"#] {
            assert_eq!(read(text).err().unwrap().code, Code::InvalidInput, "{text}");
        }
    }

    #[test]
    fn the_next_page_keeps_the_question() {
        let id = |seqno| TxId::new(View(2), Seqno(seqno));
        let version = ApiVersion::parse(Some("2022-05-13")).unwrap();
        assert_eq!(
            next_link(id(17), Some(id(99)), Some("a b:c&d"), Some("t"), version),
            "/app/transactions?fromTransactionId=2.17&toTransactionId=2.99\
             &collectionId=a%20b%3Ac%26d&tag=t&api-version=2022-05-13"
        );
    }

    #[test]
    fn tags_are_split_at_commas() {
        assert_eq!(split_tags("a, b,,c"), ["a", "b", "c"]);
        assert!(split_tags("").is_empty());
    }
}
