//! Entries on their way to a ledger: what comes while a batch is under way goes with the next, so that all of
//! them share a request, a sync and a signature. An entry that comes alone goes alone, at once.

use std::sync::Arc;

use client::{Client, NewEntry, Recorded};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::ledger::in_words;
use super::log::LogError;
use crate::limits::{ENTRIES_TOGETHER_MAX, ENTRIES_WAITING_MAX, LEDGER_BATCHES_MAX};

/// Sends entries to a ledger. Ends when it is dropped.
#[derive(Debug)]
pub(super) struct Batches {
    queue: mpsc::Sender<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    key: String,
    entry: NewEntry,
    tell: oneshot::Sender<Result<Recorded, LogError>>,
}

impl Batches {
    pub(super) fn start(client: Client) -> Self {
        let (queue, entries) = mpsc::channel(ENTRIES_WAITING_MAX);
        tokio::spawn(send_all(client, entries));
        Self { queue }
    }

    /// Writes an entry and waits until it is committed; with the same key it is recorded once.
    pub(super) async fn append(&self, key: String, entry: NewEntry) -> Result<Recorded, LogError> {
        let (tell, told) = oneshot::channel();
        let waiting = Waiting { key, entry, tell };
        let stopping = || LogError::InDoubt("this service is stopping".to_owned());
        self.queue.send(waiting).await.map_err(|_| stopping())?;
        told.await.unwrap_or_else(|_| Err(stopping()))
    }
}

async fn send_all(client: Client, mut entries: mpsc::Receiver<Waiting>) {
    let places = Arc::new(Semaphore::new(LEDGER_BATCHES_MAX));
    let mut waiting = Vec::new();
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let place = place.expect("it is never closed");
        if entries.recv_many(&mut waiting, ENTRIES_TOGETHER_MAX).await == 0 {
            return;
        }
        let (client, batch) = (client.clone(), std::mem::take(&mut waiting));
        tokio::spawn(async move {
            send(&client, batch).await;
            drop(place);
        });
    }
}

async fn send(client: &Client, batch: Vec<Waiting>) {
    let (mut entries, mut tell) = (Vec::new(), Vec::new());
    for waiting in batch {
        entries.push((waiting.key, waiting.entry));
        tell.push(waiting.tell);
    }
    // Whoever does not wait any more needs no answer.
    match client.append_batch_once(&entries).await {
        Ok(answers) => {
            for (tell, answer) in tell.into_iter().zip(answers) {
                let _ = tell.send(answer.map_err(|error| in_words(&error)));
            }
        }
        Err(error) => {
            for tell in tell {
                let _ = tell.send(Err(in_words(&error)));
            }
        }
    }
}
