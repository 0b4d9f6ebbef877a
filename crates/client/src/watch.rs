//! Watching a collection: committed entries as they come, across lost connections.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{Stream, stream};
use reqwest::Method;
use reqwest::header::ACCEPT;
use verify::TxId;

use crate::builder::Client;
use crate::error::{ClientError, Refusal};
use crate::http::{parse, transport, unexpected};
use crate::limits::{LINE_BYTES_MAX, RECONNECT_WAIT_MAX, WATCH_SILENCE_MAX};
use crate::lines::Lines;
use crate::model::Entry;
use crate::sse::{Event, Events};

const RECONNECT_WAIT: Duration = Duration::from_millis(100);

impl Client {
    /// Watches a collection (the default one for none): every entry committed after `after`, or
    /// from now on for none, each once and in order.
    ///
    /// A lost connection is made again from where it ended; the stream ends only with a refusal or
    /// with an answer that cannot be understood. Dropping it ends the watch.
    pub fn watch(
        &self,
        collection: Option<&str>,
        after: Option<TxId>,
    ) -> impl Stream<Item = Result<Entry, ClientError>> + use<> {
        let watch = Watch {
            client: self.clone(),
            collection: collection.map(str::to_owned),
            after: after.map(|id| id.to_string()),
            open: None,
            ready: VecDeque::new(),
            wait: RECONNECT_WAIT,
        };
        stream::try_unfold(watch, |mut watch| async move {
            let event = watch.next().await?;
            let entry = parse(watch.client.url(), event.data.as_bytes())?;
            Ok(Some((entry, watch)))
        })
    }
}

struct Watch {
    client: Client,
    collection: Option<String>,
    /// The last event that was handed out.
    after: Option<String>,
    open: Option<(reqwest::Response, Lines, Events)>,
    ready: VecDeque<Event>,
    wait: Duration,
}

impl Watch {
    async fn next(&mut self) -> Result<Event, ClientError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                if !event.id.is_empty() {
                    self.after = Some(event.id.clone());
                }
                match event.kind.as_str() {
                    "" | "message" | "entry" => return Ok(event),
                    "error" => {
                        return Err(ClientError::Refused(Refusal::read(
                            200,
                            event.data.as_bytes(),
                        )));
                    }
                    _ => continue,
                }
            }
            match self.read().await {
                Ok(true) => self.wait = RECONNECT_WAIT,
                Ok(false) => self.pause().await,
                Err(error) if is_passing(&error) => self.pause().await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits before the connection is made again: longer each time, until something comes.
    async fn pause(&mut self) {
        self.open = None;
        tokio::time::sleep(self.wait).await;
        self.wait = (self.wait * 2).min(RECONNECT_WAIT_MAX);
    }

    /// Connects if need be, and takes what comes next; false where the connection ended or fell
    /// silent.
    async fn read(&mut self) -> Result<bool, ClientError> {
        if self.open.is_none() {
            let response = self.connect().await?;
            self.open = Some((response, Lines::new(LINE_BYTES_MAX), Events::default()));
        }
        let (response, lines, events) = self.open.as_mut().expect("it was opened above");
        let url = self.client.url();
        match tokio::time::timeout(WATCH_SILENCE_MAX, response.chunk()).await {
            Ok(Ok(Some(chunk))) => lines.push(&chunk),
            Ok(Err(error)) => return Err(transport(url.to_owned(), error)),
            Ok(Ok(None)) | Err(_) => return Ok(false),
        }
        loop {
            match lines.next() {
                Ok(Some(line)) => self.ready.extend(events.line(&line)),
                Ok(None) => return Ok(true),
                Err(_) => return Err(unexpected(url, "one of its events has no end")),
            }
        }
    }

    async fn connect(&mut self) -> Result<reqwest::Response, ClientError> {
        // "From now on" is a place in the ledger, so that nothing is missed while the first
        // connection is lost.
        if self.after.is_none() {
            self.after = Some(self.client.node_commit().await?.to_string());
        }
        let mut request = self
            .client
            .app(Method::GET, &["transactions:watch"])
            .header(ACCEPT, "text/event-stream");
        if let Some(collection) = &self.collection {
            request = request.query(&[("collectionId", collection)]);
        }
        if let Some(after) = &self.after {
            request = request.header("Last-Event-ID", after);
        }
        self.client.send(request).await
    }
}

/// Whether to connect again: the connection was lost or the ledger is on its way up or down.
fn is_passing(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } | ClientError::Interrupted { .. } => true,
        ClientError::Refused(refusal) => matches!(refusal.status, 502..=504),
        _ => false,
    }
}
