//! Entries on their way to a ledger: what comes while a batch is under way goes with the next, so that all of
//! them share a request, a sync and a signature. An entry that comes alone goes alone, at once.

use client::{Client, ClientError, NewEntry, Proven};
use tokio::sync::{mpsc, oneshot};

use super::ledger::in_words;
use super::log::LogError;
use crate::limits::{ENTRIES_TOGETHER_BYTES_MAX, ENTRIES_TOGETHER_MAX, ENTRIES_WAITING_MAX};

/// Sends entries to a ledger. Ends when it is dropped.
#[derive(Debug)]
pub(super) struct Batches {
    queue: mpsc::Sender<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    key: String,
    entry: NewEntry,
    tell: Tell,
}

type Tell = oneshot::Sender<Result<Proven, LogError>>;

impl Batches {
    pub(super) fn start(client: Client) -> Self {
        let (queue, entries) = mpsc::channel(ENTRIES_WAITING_MAX);
        tokio::spawn(send_all(client, entries));
        Self { queue }
    }

    /// Writes an entry and waits until it is committed; with the same key it is recorded once.
    pub(super) async fn append(&self, key: String, entry: NewEntry) -> Result<Proven, LogError> {
        let (tell, told) = oneshot::channel();
        let waiting = Waiting { key, entry, tell };
        let stopping = || LogError::InDoubt("this service is stopping".to_owned());
        self.queue.send(waiting).await.map_err(|_| stopping())?;
        told.await.unwrap_or_else(|_| Err(stopping()))
    }
}

/// One request at a time: with more, fewer events share a signature. What it came to is read while the next is on its
/// way.
async fn send_all(client: Client, mut entries: mpsc::Receiver<Waiting>) {
    let mut waiting = Vec::new();
    while entries.recv_many(&mut waiting, ENTRIES_TOGETHER_MAX).await > 0 {
        for batch in split(std::mem::take(&mut waiting)) {
            let (mut entries, mut tell) = (Vec::new(), Vec::new());
            for waiting in batch {
                entries.push((waiting.key, waiting.entry));
                tell.push(waiting.tell);
            }
            match client.append_batch_once(entries).await {
                Ok(written) => {
                    tokio::spawn(async move { answer(tell, written.proven().await) });
                }
                Err(error) => answer(tell, Err(error)),
            }
        }
    }
}

/// In their order, and no more in one request than a ledger takes: a few large events must not make it refuse
/// everybody's.
fn split(waiting: Vec<Waiting>) -> Vec<Vec<Waiting>> {
    let (mut batches, mut bytes) = (vec![Vec::new()], 0);
    for waiting in waiting {
        bytes += waiting.entry.contents.len();
        if bytes > ENTRIES_TOGETHER_BYTES_MAX {
            batches.push(Vec::new());
            bytes = waiting.entry.contents.len();
        }
        batches.last_mut().expect("there is one").push(waiting);
    }
    batches.retain(|batch| !batch.is_empty());
    batches
}

type Answers = Vec<Result<Proven, ClientError>>;

/// Tells each what became of theirs. Whoever does not wait any more needs no answer.
fn answer(waiting: Vec<Tell>, answers: Result<Answers, ClientError>) {
    match answers {
        Ok(answers) => {
            for (tell, answer) in waiting.into_iter().zip(answers) {
                let _ = tell.send(answer.map_err(|error| in_words(&error)));
            }
        }
        Err(error) => {
            for tell in waiting {
                let _ = tell.send(Err(in_words(&error)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(bytes: usize) -> Waiting {
        Waiting {
            key: String::new(),
            entry: NewEntry::new("x".repeat(bytes)),
            tell: oneshot::channel().0,
        }
    }

    #[test]
    fn large_entries_go_in_requests_of_their_own_and_all_in_their_order() {
        let half = ENTRIES_TOGETHER_BYTES_MAX / 2;
        let sizes = [1, half, half, half, 3 * half, 2, 3];
        let batches = split(sizes.into_iter().map(waiting).collect());
        let sizes_of = |batch: &Vec<Waiting>| -> Vec<usize> {
            batch.iter().map(|one| one.entry.contents.len()).collect()
        };
        let shown: Vec<_> = batches.iter().map(sizes_of).collect();
        let expected = [vec![1, half], vec![half, half], vec![3 * half], vec![2, 3]];
        assert_eq!(shown, expected);
        assert!(split(Vec::new()).is_empty());
    }
}
