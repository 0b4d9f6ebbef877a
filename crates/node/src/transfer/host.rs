//! Answers questions about files, away from the agreement's thread.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use ledger::nodes::{NodeStatus, node};
use store::order::ToldOrder;
use store::snapshot::SnapshotName;
use store::{ReadError, Reader};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use verify::Digest;

use super::wire::{Answer, Offer, Question};
use crate::consensus::tail::Tail;
use crate::peers::Incoming;
use crate::snapshots::Snapshots;

/// Connections that are served at a time: two nodes that join, each with its four and some to spare.
const CONNECTIONS_MAX: usize = 16;

/// Why a question is not answered.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the node that asks is not trusted")]
    Stranger,
    #[error("the question cannot be read: {0}")]
    Question(#[from] minicbor::decode::Error),
    #[error("there is no such snapshot (any more)")]
    NoSnapshot,
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("reading the order of the batches")]
    Order(#[source] io::Error),
}

/// What this node has for others.
pub(crate) struct Host {
    reader: Arc<Reader>,
    tail: Arc<Tail>,
    snapshots: Arc<Snapshots>,
    places: Arc<Semaphore>,
}

impl Host {
    pub(crate) fn new(reader: Arc<Reader>, tail: Arc<Tail>, snapshots: Arc<Snapshots>) -> Self {
        Self {
            reader,
            tail,
            snapshots,
            places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        }
    }

    /// Goes on with a connection of the node `id` on another runtime, beginning with its first
    /// question about files.
    pub(crate) fn take_over(
        self: &Arc<Self>,
        mut connection: Incoming,
        id: Digest,
        first: Vec<u8>,
        runtime: &Handle,
    ) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            tracing::warn!(%id, "too many connections ask for files; one is closed");
            return;
        };
        let host = Arc::clone(self);
        runtime.spawn(async move {
            let _place = place;
            let mut question = Some(first);
            while let Some(asked) = question {
                let host = Arc::clone(&host);
                let answer = tokio::task::spawn_blocking(move || host.answer(id, &asked));
                let Ok(answer) = answer.await else { break };
                let next = match connection.answer(&answer.encode()).await {
                    Ok(()) => connection.question().await,
                    Err(error) => Err(error),
                };
                question = next.unwrap_or_else(|error| {
                    tracing::debug!(%id, %error, "a connection of another node ended");
                    None
                });
            }
        });
    }

    /// Answers one question of the node `id`. Reads files.
    pub(crate) fn answer(&self, id: Digest, question: &[u8]) -> Answer {
        self.find(id, question).unwrap_or_else(|why| {
            tracing::warn!(%id, %why, "a question about files is refused");
            Answer::Refused(why.to_string())
        })
    }

    fn find(&self, id: Digest, question: &[u8]) -> Result<Answer, Refusal> {
        let row = node(&*self.reader, &id.to_string());
        if row.is_none_or(|row| row.status != NodeStatus::Trusted) {
            return Err(Refusal::Stranger);
        }
        Ok(match Question::decode(question)? {
            Question::Offer => Answer::Offer(self.offer()?),
            Question::Chunk {
                first,
                offset,
                length,
            } => Answer::Bytes(self.reader.file_bytes(first, offset, length)?),
            Question::Snapshot {
                name,
                offset,
                length,
            } => Answer::Bytes(self.snapshot_bytes(name, offset, length)?),
            Question::Make => Answer::Make(self.snapshots.make()),
        })
    }

    fn offer(&self) -> Result<Offer, Refusal> {
        let mut offer = Offer {
            chunks: self.reader.files()?,
            order: ToldOrder::default(),
            snapshot: None,
        };
        let last = offer.last();
        let order = self.tail.order();
        if let Some(place) = order.place_of(last).map_err(Refusal::Order)? {
            let marks = order.marks().take_while(|mark| mark.index < place);
            let marks = marks.cloned().collect();
            offer.order = ToldOrder { marks, place };
        }
        drop(order);
        let newest = self.snapshots.newest();
        offer.snapshot = newest.filter(|(name, _)| name.evidence <= last);
        Ok(offer)
    }

    fn snapshot_bytes(
        &self,
        name: SnapshotName,
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>, Refusal> {
        let file = File::open(self.snapshots.path(name)).map_err(|_| Refusal::NoSnapshot)?;
        let length = file
            .metadata()
            .map_err(|_| Refusal::NoSnapshot)?
            .len()
            .saturating_sub(offset)
            .min(length as u64);
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, offset)
            .map_err(|_| Refusal::NoSnapshot)?;
        Ok(bytes)
    }
}
