//! `GET /app/transactions:watch`: committed entries of a collection as server-sent events.
//!
//! The id of each event is its transaction id, so a browser that lost the connection goes on where
//! it was (`Last-Event-ID`), and any other client can. Without a place to start from, only entries
//! from now on are told. The stream ends when the node stops, and with an event `error` when the
//! caller may no longer read.

use std::sync::Arc;

use bytes::Bytes;
use http::header::HeaderValue;
use ledger::entries::DEFAULT_COLLECTION;
use ledger::roles::Action;
use node::{EntryPage, EntryQuery, Node};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use verify::{Seqno, TxId, TxStatus};

use crate::answer::{self, Answer};
use crate::auth::Identity;
use crate::call::Call;
use crate::error::{ApiError, Code, invalid};
use crate::limits::{WATCH_HEARTBEAT, WATCH_PAGE_ENTRIES};
use crate::transactions::{ShownEntry, blocking, collection_of, read_page};

/// Where a client says which event was its last (WHATWG HTML, 9.2.4).
const LAST_EVENT_ID: &str = "last-event-id";

/// Answers that wait for the client to read them.
const ANSWERS_AHEAD: usize = 4;

/// `GET /app/transactions:watch`
pub(crate) async fn watch(call: Call) -> Result<Answer, ApiError> {
    let node = Arc::clone(call.node());
    let watching = Watching {
        next: start(&call)?,
        collection: collection_of(&call)?.unwrap_or_else(|| DEFAULT_COLLECTION.to_owned()),
        caller: Arc::clone(call.caller()),
        stopping: call.session.app.stopping.clone(),
        node,
    };
    let (to_client, events) = mpsc::channel(ANSWERS_AHEAD);
    tokio::spawn(watching.run(to_client));
    let media_type = HeaderValue::from_static("text/event-stream");
    Ok(answer::stream(media_type, ReceiverStream::new(events)))
}

/// The first seqno that is to be told.
fn start(call: &Call) -> Result<Seqno, ApiError> {
    let known = |id: TxId| match call.node().status(id) {
        TxStatus::Invalid => Err(invalid(id)),
        _ => Ok(id),
    };
    if let Some(last) = call.head.headers.get(LAST_EVENT_ID) {
        let last = last
            .to_str()
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| {
                let message = "The header Last-Event-ID is not a transaction id.";
                ApiError::new(Code::InvalidTransactionId, message)
            })?;
        return Ok(known(last)?.seqno.next());
    }
    match call.query_tx_id("fromTransactionId")? {
        Some(first) => Ok(known(first)?.seqno),
        None => Ok(call.node().committed().seqno.next()),
    }
}

struct Watching {
    node: Arc<Node>,
    collection: String,
    next: Seqno,
    caller: Arc<Identity>,
    stopping: CancellationToken,
}

impl Watching {
    async fn run(mut self, to_client: mpsc::Sender<Bytes>) {
        let mut commits = self.node.committed_changes();
        let mut heartbeat = tokio::time::interval(WATCH_HEARTBEAT);
        loop {
            let committed = commits.borrow_and_update().seqno;
            while self.next <= committed {
                let events = match self.read(committed).await {
                    Ok(page) => {
                        self.next = page.next.map_or(committed.next(), |id| id.seqno);
                        events(&page)
                    }
                    Err(error) => {
                        let _ = to_client.send(last_event(&error)).await;
                        return;
                    }
                };
                if !events.is_empty() && to_client.send(events).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = to_client.closed() => return,
                changed = commits.changed() => if changed.is_err() { return },
                _ = heartbeat.tick() => {
                    // A comment. The first goes out at once, so that clients see the stream begin.
                    if to_client.send(Bytes::from_static(b":\n\n")).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn read(&self, committed: Seqno) -> Result<EntryPage, ApiError> {
        if !self.caller.may(&self.node, Action::ReadContent) {
            let message = "Not allowed to watch any longer: the role or the token has ended.";
            return Err(ApiError::new(Code::NotAllowed, message));
        }
        let query = EntryQuery {
            collection: self.collection.clone(),
            tag: None,
            from: self.next,
            to: committed,
            limit: WATCH_PAGE_ENTRIES,
        };
        let node = Arc::clone(&self.node);
        Ok(blocking(move || read_page(&node, query)).await??)
    }
}

fn events(page: &EntryPage) -> Bytes {
    let mut text = Vec::new();
    for entry in &page.entries {
        text.extend_from_slice(format!("id: {}\ndata: ", entry.id).as_bytes());
        // JSON has no line ends outside of strings, and escapes them within.
        serde_json::to_writer(&mut text, &ShownEntry::from(entry)).expect("strings are JSON");
        text.extend_from_slice(b"\n\n");
    }
    text.into()
}

fn last_event(error: &ApiError) -> Bytes {
    let body = serde_json::to_string(&error.body()).expect("strings are JSON");
    format!("event: error\ndata: {body}\n\n").into()
}

#[cfg(test)]
mod tests {
    use ledger::entries::UserEntry;
    use node::Placed;
    use verify::View;

    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_the_contents() {
        let value = UserEntry {
            collection: "c".to_owned(),
            contents: "two\nlines\r".to_owned(),
            tags: Vec::new(),
        };
        let id = TxId::new(View(2), Seqno(17));
        let page = EntryPage {
            entries: vec![Placed { id, value }],
            next: None,
        };
        assert_eq!(
            events(&page),
            "id: 2.17\ndata: {\"collectionId\":\"c\",\"contents\":\"two\\nlines\\r\",\
             \"transactionId\":\"2.17\"}\n\n"
        );
    }
}
