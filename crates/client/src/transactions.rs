//! Writing and reading entries.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Body, Method, RequestBuilder};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use verify::{TxId, TxStatus};

use crate::builder::{API_VERSION, Client};
use crate::error::{ClientError, Refusal};
use crate::http::{parse, shown, transport, unexpected};
use crate::limits::{LINE_BYTES_MAX, POLL_INTERVAL};
use crate::lines::Lines;
use crate::model::{BatchAnswer, Entry, EntryRange, ErrorBody, NewEntry, Proven, Recorded};

const NDJSON: &str = "application/x-ndjson";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Appended {
    collection_id: String,
    /// Missing where the entry is committed and only the receipt could not be made at once.
    receipt: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct OneEntry {
    entry: Entry,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    state: Option<String>,
    entries: Vec<Entry>,
    next_link: Option<String>,
}

#[derive(Deserialize)]
struct State {
    state: TxStatus,
}

#[derive(Serialize)]
struct Batch<T> {
    entries: Vec<T>,
}

#[derive(Deserialize)]
struct BatchAnswers {
    results: Vec<BatchAnswer>,
}

/// An entry with its name for the ledger.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Keyed<'a> {
    #[serde(flatten)]
    entry: &'a NewEntry,
    idempotency_key: &'a str,
}

/// The same answers with receipts, each still as it was written.
#[derive(Deserialize)]
struct ProvenAnswers<'a> {
    #[serde(borrow)]
    results: Vec<&'a RawValue>,
}

/// What became of one entry of a batch, but for its receipt: it is recorded, or refused.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProvenAnswer {
    transaction_id: Option<TxId>,
    #[serde(default)]
    collection_id: String,
    receipt: Option<IgnoredAny>,
    status: Option<u16>,
    error: Option<ErrorBody>,
}

/// The ledger's answer about a batch, which has not been read yet.
#[derive(Debug)]
pub struct WrittenBatch {
    client: Client,
    entries: Vec<(String, NewEntry)>,
    body: Bytes,
}

impl WrittenBatch {
    /// Reads it: one answer per entry, in order. Each receipt is checked as it is for one.
    ///
    /// # Errors
    /// It is no answer about these entries; they may be recorded.
    pub async fn proven(&self) -> Result<Vec<Result<Proven, ClientError>>, ClientError> {
        let (client, entries) = (&self.client, &self.entries);
        let answers: ProvenAnswers<'_> = serde_json::from_slice(&self.body)
            .map_err(|error| unexpected(client.url(), error.to_string()))?;
        if answers.results.len() != entries.len() {
            let (count, sent) = (answers.results.len(), entries.len());
            return Err(unexpected(
                client.url(),
                format!("it has {count} answers for {sent} entries"),
            ));
        }
        let mut proven = Vec::with_capacity(entries.len());
        for (answer, (_, entry)) in answers.results.iter().zip(entries) {
            proven.push(client.proven_answer(answer.get(), entry).await);
        }
        Ok(proven)
    }
}

impl Client {
    async fn proven_answer(&self, json: &str, entry: &NewEntry) -> Result<Proven, ClientError> {
        let answer: ProvenAnswer = parse(self.url(), json.as_bytes())?;
        let Some(id) = answer.transaction_id else {
            return Err(match (answer.status, answer.error) {
                (Some(status), Some(ErrorBody { code, message })) => {
                    ClientError::Refused(Refusal {
                        status,
                        code,
                        message,
                    })
                }
                _ => unexpected(
                    self.url(),
                    "an entry is neither recorded nor refused".to_owned(),
                ),
            });
        };
        let is_there = answer.receipt.is_some();
        let receipt = match is_there {
            true => self.read_receipt(id, json.as_bytes())?,
            false => self.receipt(id).await?,
        };
        self.check_written(id, &receipt, &answer.collection_id, &entry.contents)?;
        Ok(Proven {
            id,
            collection_id: answer.collection_id,
            receipt: match is_there {
                true => json.to_owned(),
                false => serde_json::to_string(&receipt).expect("a receipt is JSON"),
            },
        })
    }

    /// Writes an entry and waits until it is committed: durable, signed, and with its receipt,
    /// which is checked against the service certificate and against `entry`.
    ///
    /// # Errors
    /// See [`ClientError::may_be_recorded`] for what an error means for the entry.
    pub async fn append(&self, entry: &NewEntry) -> Result<Recorded, ClientError> {
        self.append_with(entry, self.append_request(entry)).await
    }

    /// The same under a name of the caller's: however often an entry is sent with one `key`, it is recorded
    /// once, and each answer is about that. A key has 1 to 255 printable characters, and is remembered
    /// for the last hundred thousand such writes.
    ///
    /// # Errors
    /// As [`Client::append`]; the key stands for another entry.
    pub async fn append_once(&self, entry: &NewEntry, key: &str) -> Result<Recorded, ClientError> {
        let request = self.append_request(entry).header("idempotency-key", key);
        self.append_with(entry, request).await
    }

    async fn append_with(
        &self,
        entry: &NewEntry,
        request: RequestBuilder,
    ) -> Result<Recorded, ClientError> {
        let request = request.query(&[("waitForCommit", "true")]);
        let (body, id) = self.bytes_and_id(request).await?;
        let id = id.ok_or_else(|| unexpected(self.url(), "it names no transaction"))?;
        let appended: Appended = parse(self.url(), &body)?;
        let receipt = match appended.receipt {
            Some(_) => self.read_receipt(id, &body)?,
            None => self.receipt(id).await?,
        };
        self.check_written(id, &receipt, &appended.collection_id, &entry.contents)?;
        Ok(Recorded {
            id,
            collection_id: appended.collection_id,
            receipt,
        })
    }

    /// Writes an entry without waiting: it has a place, and may still be lost until
    /// [`Client::status`] says that it is committed.
    ///
    /// # Errors
    /// See [`ClientError::may_be_recorded`] for what an error means for the entry.
    pub async fn append_without_waiting(&self, entry: &NewEntry) -> Result<TxId, ClientError> {
        let request = self
            .append_request(entry)
            .query(&[("waitForCommit", "false")]);
        let (_, id) = self.bytes_and_id(request).await?;
        id.ok_or_else(|| unexpected(self.url(), "it names no transaction"))
    }

    fn append_request(&self, entry: &NewEntry) -> RequestBuilder {
        #[derive(Serialize)]
        struct Contents<'a> {
            contents: &'a str,
        }
        let mut request = self.app(Method::POST, &["transactions"]).json(&Contents {
            contents: &entry.contents,
        });
        if let Some(collection) = &entry.collection_id {
            request = request.query(&[("collectionId", collection)]);
        }
        if !entry.tags.is_empty() {
            request = request.query(&[("tags", entry.tags.join(","))]);
        }
        request
    }

    /// Writes up to [`crate::limits::BATCH_ENTRIES_MAX`] entries in one request and waits until
    /// they are committed. One answer per entry, in order; entries stand alone, so some may be
    /// refused while others are recorded.
    ///
    /// ```no_run
    /// use counterfoil_client::{BatchAnswer, Client, ClientError, NewEntry};
    ///
    /// # async fn example(ledger: Client) -> Result<(), ClientError> {
    /// let lots = ["lot 7", "lot 8"].map(|lot| NewEntry::new(lot).collection("lots"));
    /// for answer in ledger.append_batch(&lots).await? {
    ///     match answer {
    ///         BatchAnswer::Recorded { transaction_id } => println!("{transaction_id}"),
    ///         BatchAnswer::Refused { error } => eprintln!("{error}"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// No answer for any of them; see [`ClientError::may_be_recorded`].
    pub async fn append_batch(
        &self,
        entries: &[NewEntry],
    ) -> Result<Vec<BatchAnswer>, ClientError> {
        let request = self
            .app(Method::POST, &["transactions:batch"])
            .json(&Batch {
                entries: entries.iter().collect(),
            });
        let answers: BatchAnswers = self.json(request).await?;
        match answers.results.len() {
            count if count == entries.len() => Ok(answers.results),
            count => Err(unexpected(
                self.url(),
                format!("it has {count} answers for {} entries", entries.len()),
            )),
        }
    }

    /// Writes entries in one request, each under a name of its own, and waits until they are committed:
    /// [`Client::append_once`] for many, at a fraction of the cost. What became of each,
    /// [`WrittenBatch::proven`] says; so the next batch may be on its way while that is read.
    ///
    /// # Errors
    /// No answer for any of them; see [`ClientError::may_be_recorded`].
    pub async fn append_batch_once(
        &self,
        entries: Vec<(String, NewEntry)>,
    ) -> Result<WrittenBatch, ClientError> {
        let keyed = entries.iter().map(|(key, entry)| Keyed {
            entry,
            idempotency_key: key,
        });
        let batch = Batch {
            entries: keyed.collect(),
        };
        let request = self.app(Method::POST, &["transactions:batch"]);
        let request = request.query(&[("waitForCommit", "true")]).json(&batch);
        let (body, _) = self.bytes_and_id(request).await?;
        Ok(WrittenBatch {
            client: self.clone(),
            entries,
            body,
        })
    }

    /// Streams entries in and their answers out, in the same order, while both go on. There is no
    /// limit to their number.
    ///
    /// # Errors
    /// The stream of answers ends with an error where the connection does: entries without an
    /// answer may or may not be recorded.
    pub async fn import<S>(
        &self,
        entries: S,
    ) -> Result<impl Stream<Item = Result<BatchAnswer, ClientError>> + use<S>, ClientError>
    where
        S: Stream<Item = NewEntry> + Send + 'static,
    {
        let lines = entries.map(|entry| {
            let mut line = serde_json::to_vec(&entry).expect("strings are JSON");
            line.push(b'\n');
            Ok::<_, std::convert::Infallible>(Bytes::from(line))
        });
        let url = self.address(&["app", "transactions:batch"]);
        let url = self.at_the_leader(url).await?;
        let request = self
            .http
            .post(url)
            .query(&[("api-version", API_VERSION)])
            .header(CONTENT_TYPE, NDJSON)
            .header(ACCEPT, NDJSON)
            .body(Body::wrap_stream(lines));
        Ok(json_lines(self.send(request).await?))
    }

    /// Reads the entry that a transaction wrote.
    ///
    /// # Errors
    /// The transaction is unknown, wrote no entry, or may not be read by this caller.
    pub async fn entry(&self, id: TxId) -> Result<Entry, ClientError> {
        let id = id.to_string();
        let answer: OneEntry = self
            .ready(self.app(Method::GET, &["transactions", &id]))
            .await?;
        Ok(answer.entry)
    }

    /// Reads the value that a collection had as of a transaction.
    ///
    /// # Errors
    /// The transaction is unknown, or the collection had no entry then.
    pub async fn entry_as_of(&self, id: TxId, collection: &str) -> Result<Entry, ClientError> {
        let id = id.to_string();
        let request = self.app(Method::GET, &["transactions", &id]);
        let request = request.query(&[("collectionId", collection)]);
        Ok(self.ready::<OneEntry>(request).await?.entry)
    }

    /// Reads the newest entry of a collection (the default one for none).
    ///
    /// # Errors
    /// The collection has no entry.
    pub async fn current(&self, collection: Option<&str>) -> Result<Entry, ClientError> {
        let mut request = self.app(Method::GET, &["transactions", "current"]);
        if let Some(collection) = collection {
            request = request.query(&[("collectionId", collection)]);
        }
        self.json(request).await
    }

    /// What has become of a transaction, as users see it: committed or pending.
    ///
    /// # Errors
    /// The transaction is unknown, or will never be committed.
    pub async fn status(&self, id: TxId) -> Result<TxStatus, ClientError> {
        let id = id.to_string();
        let request = self.app(Method::GET, &["transactions", &id, "status"]);
        Ok(self.json::<State>(request).await?.state)
    }

    /// Lists entries in the order of the ledger, page after page as the stream is read.
    ///
    /// ```no_run
    /// use counterfoil_client::{Client, ClientError, EntryRange};
    /// use futures_util::TryStreamExt;
    ///
    /// # async fn example(ledger: Client) -> Result<(), ClientError> {
    /// let range = EntryRange { collection_id: Some("lots".to_owned()), ..EntryRange::default() };
    /// let mut entries = std::pin::pin!(ledger.entries(&range));
    /// while let Some(entry) = entries.try_next().await? {
    ///     println!("{}: {}", entry.transaction_id, entry.contents);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn entries(
        &self,
        range: &EntryRange,
    ) -> impl Stream<Item = Result<Entry, ClientError>> + use<> {
        let mut request = self.app(Method::GET, &["transactions"]);
        if let Some(collection) = &range.collection_id {
            request = request.query(&[("collectionId", collection)]);
        }
        if let Some(tag) = &range.tag {
            request = request.query(&[("tag", tag)]);
        }
        if let Some(from) = range.from {
            request = request.query(&[("fromTransactionId", from.to_string())]);
        }
        if let Some(to) = range.to {
            request = request.query(&[("toTransactionId", to.to_string())]);
        }
        let pages = Pages {
            client: self.clone(),
            next: Some(request),
        };
        stream::try_unfold(pages, Pages::turn)
            .map_ok(|entries| stream::iter(entries).map(Ok))
            .try_flatten()
    }

    /// The collections, by name.
    ///
    /// # Errors
    /// The caller may not read, or the ledger cannot be reached.
    pub async fn collections(&self) -> Result<Vec<String>, ClientError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Collection {
            collection_id: String,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Collections {
            collections: Vec<Collection>,
            next_link: Option<String>,
        }
        let mut request = self.app(Method::GET, &["collections"]);
        let mut all = Vec::new();
        loop {
            let page: Collections = self.json(request).await?;
            all.extend(
                page.collections
                    .into_iter()
                    .map(|collection| collection.collection_id),
            );
            match page.next_link.filter(|link| !link.is_empty()) {
                Some(link) => request = self.follow(&link)?,
                None => return Ok(all),
            }
        }
    }

    /// The tags that a collection uses (the default one for none).
    ///
    /// # Errors
    /// The caller may not read, or the ledger cannot be reached.
    pub async fn tags(&self, collection: Option<&str>) -> Result<Vec<String>, ClientError> {
        #[derive(Deserialize)]
        struct Tags {
            tags: Vec<String>,
        }
        let mut request = self.app(Method::GET, &["collections", "tags"]);
        if let Some(collection) = collection {
            request = request.query(&[("collectionId", collection)]);
        }
        Ok(self.json::<Tags>(request).await?.tags)
    }
}

/// The pages of a list that are still to come.
struct Pages {
    client: Client,
    next: Option<RequestBuilder>,
}

impl Pages {
    async fn turn(mut self) -> Result<Option<(Vec<Entry>, Self)>, ClientError> {
        let Some(request) = self.next.take() else {
            return Ok(None);
        };
        let page: Page = self.client.json(request).await?;
        if let Some(link) = page.next_link.filter(|link| !link.is_empty()) {
            self.next = Some(self.client.follow(&link)?);
            if page.state.as_deref() == Some("Loading") {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        }
        Ok(Some((page.entries, self)))
    }
}

/// Reads an answer line by line as it comes.
fn json_lines(response: reqwest::Response) -> impl Stream<Item = Result<BatchAnswer, ClientError>> {
    struct Reading {
        response: reqwest::Response,
        url: String,
        lines: Option<Lines>,
        ready: VecDeque<Bytes>,
    }
    let url = shown(response.url());
    let lines = Some(Lines::new(LINE_BYTES_MAX));
    let reading = Reading {
        response,
        url,
        lines,
        ready: VecDeque::new(),
    };
    stream::try_unfold(reading, |mut reading| async move {
        loop {
            if let Some(line) = reading.ready.pop_front() {
                if line.is_empty() {
                    continue;
                }
                return Ok(Some((parse(&reading.url, &line)?, reading)));
            }
            let Some(mut lines) = reading.lines.take() else {
                return Ok(None);
            };
            let chunk = reading.response.chunk().await;
            match chunk.map_err(|error| transport(reading.url.clone(), error))? {
                Some(chunk) => {
                    lines.push(&chunk);
                    while let Some(line) = lines
                        .next()
                        .map_err(|_| unexpected(&reading.url, "one of its lines has no end"))?
                    {
                        reading.ready.push_back(line);
                    }
                    reading.lines = Some(lines);
                }
                None => reading.ready.push_back(lines.rest()),
            }
        }
    })
}
