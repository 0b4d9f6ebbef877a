//! Entries as newline-delimited JSON: streamed in, answered line by line in the same order.
//!
//! One piece after the other is submitted, so entries of a stream stand in the ledger in the order
//! in which they were sent. While one piece is committed the next is parsed; if the client does not
//! read its answers, we stop reading its entries.

use std::sync::Arc;

use bytes::Bytes;
use http::header::HeaderValue;
use hyper::body::Incoming;
use ledger::Rejection;
use ledger::roles::Action;
use node::{Node, SubmitError, Wait};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use verify::TxId;

use crate::answer::{self, Answer};
use crate::auth::Identity;
use crate::batch::{Append, BatchEntry, Checked, Placed, answers, shown};
use crate::call::{Call, next_piece};
use crate::error::{ApiError, Code};
use crate::json::parse;
use crate::limits::{
    STREAM_BUSY_PATIENCE, STREAM_ENTRIES_IN_FLIGHT, STREAM_PIECES_AHEAD, STREAM_SILENCE_MAX,
};
use crate::lines::Lines;
use crate::transactions::{collection_of, entry_bytes_max, wait_of};

/// The media type.
const LINES: &str = "application/x-ndjson";

/// Whether a body is a stream of lines.
pub(crate) fn is_lines(media_type: &str) -> bool {
    media_type.eq_ignore_ascii_case(LINES) || media_type.eq_ignore_ascii_case("application/jsonl")
}

/// A line, parsed: an entry, or why it is none.
type Line = Result<Append, ApiError>;

/// Streams: the answer begins before the request ends.
pub(crate) fn append(call: Call) -> Result<Answer, ApiError> {
    let reading = Reading {
        collection: collection_of(&call)?,
        node: Arc::clone(call.node()),
        caller: Arc::clone(call.caller()),
        line_bytes_max: entry_bytes_max(call.node()),
    };
    let submitting = Submitting {
        node: Arc::clone(call.node()),
        caller: Arc::clone(call.caller()),
        wait: wait_of(call.query_flag("waitForCommit")?),
    };
    let (to_submit, pieces) = mpsc::channel(STREAM_PIECES_AHEAD);
    let (to_client, answers) = mpsc::channel(STREAM_PIECES_AHEAD);
    tokio::spawn(reading.run(call.into_body(), to_submit));
    tokio::spawn(submitting.run(pieces, to_client));
    Ok(answer::stream(
        HeaderValue::from_static(LINES),
        ReceiverStream::new(answers),
    ))
}

/// The half that reads lines and makes entries of them.
struct Reading {
    node: Arc<Node>,
    caller: Arc<Identity>,
    collection: Option<String>,
    line_bytes_max: usize,
}

impl Reading {
    async fn run(self, mut body: Incoming, to_submit: mpsc::Sender<Vec<Line>>) {
        let mut unread = Lines::default();
        loop {
            let (piece, failed) =
                match next_piece(&mut body, Instant::now() + STREAM_SILENCE_MAX).await {
                    Ok(piece) => (piece, None),
                    Err(error) => (None, Some(error)),
                };
            let at_end = piece.is_none();
            if let Some(piece) = piece {
                unread.push(&piece);
            }
            let whole = unread.take(at_end && failed.is_none());
            let mut lines: Vec<Line> = whole.iter().map(|line| self.entry(line)).collect();
            let too_long = unread.unfinished() > self.line_bytes_max;
            if too_long {
                lines.push(Err(self.too_long()));
            }
            lines.extend(failed.map(Err));
            while !lines.is_empty() {
                let rest = lines.split_off(lines.len().min(STREAM_ENTRIES_IN_FLIGHT));
                if to_submit
                    .send(std::mem::replace(&mut lines, rest))
                    .await
                    .is_err()
                {
                    return;
                }
            }
            if at_end || too_long {
                return;
            }
        }
    }

    fn entry(&self, line: &[u8]) -> Line {
        if line.len() > self.line_bytes_max {
            return Err(self.too_long());
        }
        let entry: BatchEntry<'_> = parse(line, "lines of {\"contents\": text}")?;
        let caller = self.caller.user().as_str();
        Ok(entry.checked(&self.node, caller, self.collection.as_deref())?)
    }

    fn too_long(&self) -> ApiError {
        let message = format!("A line exceeds the limit of {} bytes.", self.line_bytes_max);
        ApiError::new(Code::RequestBodyTooLarge, message)
    }
}

/// The half that submits entries and writes the answers.
struct Submitting {
    node: Arc<Node>,
    caller: Arc<Identity>,
    wait: Wait,
}

impl Submitting {
    async fn run(self, mut pieces: mpsc::Receiver<Vec<Line>>, to_client: mpsc::Sender<Bytes>) {
        while let Some(mut lines) = pieces.recv().await {
            while lines.len() < STREAM_ENTRIES_IN_FLIGHT
                && let Ok(more) = pieces.try_recv()
            {
                lines.extend(more);
            }
            if to_client.send(self.submit(lines).await).await.is_err() {
                return;
            }
        }
    }

    /// Submits a piece and gives its answers as lines.
    async fn submit(&self, lines: Vec<Line>) -> Bytes {
        let mut entries = Vec::with_capacity(lines.len());
        let checked = lines.into_iter().map(|line| {
            let entry = line?;
            let collection = entry.collection.clone();
            entries.push(entry);
            Ok(collection)
        });
        let checked: Vec<Checked> = checked.collect();
        let mut text = Vec::with_capacity(checked.len() * 64);
        let mut write = |answer: Result<Placed, ApiError>| {
            serde_json::to_writer(&mut text, &shown(&answer)).expect("strings are JSON");
            text.push(b'\n');
        };
        match self.submit_patiently(entries).await {
            Ok(results) => {
                let answers = answers(&self.node, checked, results, self.wait).await;
                answers.into_iter().for_each(&mut write);
            }
            Err(error) => {
                let refused = checked
                    .into_iter()
                    .map(|entry| Err(entry.err().unwrap_or_else(|| error.clone())));
                refused.for_each(&mut write);
            }
        }
        text.into()
    }

    /// Where one request would be told to come back later, a stream waits.
    async fn submit_patiently(
        &self,
        entries: Vec<Append>,
    ) -> Result<Vec<Result<TxId, Rejection>>, ApiError> {
        if !self.caller.may(&self.node, Action::WriteContent) {
            let message = "Not allowed to append any more: the role or the token has ended.";
            return Err(ApiError::new(Code::NotAllowed, message));
        }
        let give_up = Instant::now() + STREAM_BUSY_PATIENCE;
        let mut pause = BUSY_PAUSE;
        loop {
            let transactions = entries.iter().cloned();
            let transactions = transactions.map(Append::boxed).collect();
            match self.node.submit_many(transactions, self.wait).await {
                Err(SubmitError::Busy { .. }) if Instant::now() < give_up => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(BUSY_PAUSE_MAX);
                }
                outcome => return Ok(outcome?),
            }
        }
    }
}

/// A full queue empties within milliseconds.
const BUSY_PAUSE: std::time::Duration = std::time::Duration::from_millis(5);
const BUSY_PAUSE_MAX: std::time::Duration = std::time::Duration::from_millis(500);
