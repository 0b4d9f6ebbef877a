//! A line to one other node: kept open, and not broken by whoever gives up waiting.
//!
//! The library gives a heartbeat little time. Connecting may take longer, over a long way or on a
//! machine that has much to do; if each heartbeat that comes too late broke its connection, none
//! would ever be heard again. So a task of its own connects and asks, and an answer that nobody waits
//! for any more is read and forgotten.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use openraft::AsyncRuntime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::types::{NodeId, Runtime};

/// A connection that takes longer is tried again.
const CONNECTED_WITHIN: Duration = Duration::from_secs(3);
/// An answer that is later than this, after nobody waits for it any more, will not come: the
/// connection is broken without a word.
const LATE: Duration = Duration::from_secs(1);

/// Leads to other nodes.
pub(crate) trait Way: Send + Sync + 'static {
    /// One of its connections.
    type Connection: Connection;

    /// Connects to a node, and makes sure that it is that one.
    fn connect(
        &self,
        target: NodeId,
        address: &str,
    ) -> impl Future<Output = io::Result<Self::Connection>> + Send;
}

/// A connection to one node.
pub(crate) trait Connection: Send + Sync + 'static {
    /// One question, one answer. Not to be used again after an error, or where the answer was not
    /// waited for.
    fn ask(&mut self, question: &[u8]) -> impl Future<Output = io::Result<Vec<u8>>> + Send;
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    /// The node was not asked.
    #[error("connecting to another node")]
    Connect(#[source] io::Error),
    /// It may have got the question.
    #[error("asking another node")]
    Ask(#[source] io::Error),
}

struct Question {
    bytes: Vec<u8>,
    answer: oneshot::Sender<Result<Vec<u8>, LineError>>,
}

/// The line. Questions are asked one after the other.
pub(crate) struct Line(mpsc::UnboundedSender<Question>);

impl Line {
    /// Connects when it is asked first.
    pub(crate) fn new<W: Way>(way: Arc<W>, target: NodeId, address: String) -> Self {
        let (sender, questions) = mpsc::unbounded_channel();
        Runtime::spawn(keep(way, target, address, questions));
        Self(sender)
    }

    /// Asks, and waits for the answer. Dropping this gives up waiting, no more.
    pub(crate) async fn ask(&self, question: Vec<u8>) -> Result<Vec<u8>, LineError> {
        let (answer, answered) = oneshot::channel();
        let gone = || LineError::Ask(io::ErrorKind::BrokenPipe.into());
        let bytes = question;
        let sent = self.0.send(Question { bytes, answer });
        sent.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

async fn keep<W: Way>(
    way: Arc<W>,
    target: NodeId,
    address: String,
    mut questions: mpsc::UnboundedReceiver<Question>,
) {
    let mut connection = None;
    while let Some(Question { bytes, mut answer }) = questions.recv().await {
        // A newer question has come in the meantime, or will.
        if answer.is_closed() {
            continue;
        }
        if connection.is_none() {
            let connected = timeout(CONNECTED_WITHIN, way.connect(target, &address)).await;
            match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(open) => connection = Some(open),
                Err(error) => {
                    let _ = answer.send(Err(LineError::Connect(error)));
                    continue;
                }
            }
            if answer.is_closed() {
                continue;
            }
        }
        let Some(open) = &mut connection else {
            continue;
        };
        let said = tokio::select! {
            biased;
            said = open.ask(&bytes) => said,
            () = given_up(&mut answer) => Err(io::ErrorKind::TimedOut.into()),
        };
        if said.is_err() {
            connection = None;
        }
        let _ = answer.send(said.map_err(LineError::Ask));
    }
}

async fn given_up<T>(answer: &mut oneshot::Sender<T>) {
    answer.closed().await;
    sleep(LATE).await;
}
