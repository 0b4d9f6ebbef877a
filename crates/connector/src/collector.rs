//! Gathers records into batches: after so many, or so long after the first.

use std::time::Duration;

use alloy_primitives::B256;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::anchors::{Anchors, Batch};
use crate::bundle::Bundle;
use crate::error::AnchorError;
use crate::limits::{BATCH_RECORDS_MAX, WAITING_MAX};

/// When a batch is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batching {
    /// At so many records; at most [`BATCH_RECORDS_MAX`].
    pub records: usize,
    /// So long after its first record.
    pub wait: Duration,
}

impl Default for Batching {
    /// A thousand records, or ten seconds.
    fn default() -> Self {
        Self {
            records: 1000,
            wait: Duration::from_secs(10),
        }
    }
}

/// A record that waits, and where its proof goes.
type Waiting = (B256, oneshot::Sender<Result<Bundle, AnchorError>>);

/// Takes digests of records, one at a time, and gives each its proof. Cheap to clone; it ends with its
/// last clone, when all that was added is answered.
#[derive(Debug, Clone)]
pub struct Collector {
    add: mpsc::Sender<Waiting>,
}

impl Collector {
    /// Starts it, on the runtime that this is called on.
    pub fn start(anchors: Anchors, batching: Batching) -> Self {
        let (add, added) = mpsc::channel(WAITING_MAX);
        tokio::spawn(collect(anchors, batching, added));
        Self { add }
    }

    /// Anchors a record together with others, and waits until that is final.
    ///
    /// What is added is kept from the moment that its batch is closed; a caller that crashes before it
    /// has the proof adds the record again.
    ///
    /// # Errors
    /// Too many wait, or the batch could not be anchored.
    pub async fn add(&self, digest: B256) -> Result<Bundle, AnchorError> {
        let ended = || AnchorError::NotCollected("the collector has ended".to_owned());
        let (tell, told) = oneshot::channel();
        self.add
            .try_send((digest, tell))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => {
                    AnchorError::NotCollected(format!("{WAITING_MAX} others wait"))
                }
                mpsc::error::TrySendError::Closed(_) => ended(),
            })?;
        told.await.map_err(|_| ended())?
    }
}

async fn collect(anchors: Anchors, batching: Batching, mut added: mpsc::Receiver<Waiting>) {
    let most = batching.records.clamp(1, BATCH_RECORDS_MAX);
    // One batch is filled while those before it become final.
    let mut anchoring = JoinSet::new();
    while let Some(first) = added.recv().await {
        let close = Instant::now() + batching.wait;
        let mut waiting = vec![first];
        while waiting.len() < most {
            match timeout_at(close, added.recv()).await {
                Ok(Some(next)) => waiting.push(next),
                // Time is over, or nobody is left to add any.
                Ok(None) | Err(_) => break,
            }
        }
        let anchors = anchors.clone();
        anchoring.spawn(async move { anchor(&anchors, waiting).await });
        while anchoring.try_join_next().is_some() {}
    }
    while anchoring.join_next().await.is_some() {}
}

async fn anchor(anchors: &Anchors, waiting: Vec<Waiting>) {
    let digests: Vec<_> = waiting.iter().map(|(digest, _)| *digest).collect();
    let made = async {
        let batch = Batch::new(&digests)?;
        anchors.submit(&batch).await?;
        anchors.settle(batch.root()).await
    };
    // Those that nobody waits for any more are dropped: who adds again gets another.
    match made.await {
        Ok(bundles) => {
            for ((_, tell), bundle) in waiting.into_iter().zip(bundles) {
                let _ = tell.send(Ok(bundle));
            }
        }
        Err(error) => {
            let why = error.to_string();
            for (_, tell) in waiting {
                let _ = tell.send(Err(AnchorError::NotCollected(why.clone())));
            }
        }
    }
}
