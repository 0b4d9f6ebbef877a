//! Questions that come while another is under way share the next request, so that many callers cost few. A question
//! that comes alone goes alone, at once.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::error::NetworkError;
use crate::limits::{TOGETHER_MAX, TOGETHER_WAITING_MAX};
use crate::rpc::Rpc;

/// A request under way for so long is not waited for any more: the questions that came meanwhile may have nothing to
/// do with what delays it.
const SLOW: Duration = Duration::from_millis(10);

/// Asks a node one kind of question. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Together {
    method: &'static str,
    rpc: Arc<Rpc>,
    queue: mpsc::Sender<Asked>,
}

#[derive(Debug)]
struct Asked {
    params: Value,
    tell: oneshot::Sender<Result<Box<RawValue>, NetworkError>>,
}

impl Together {
    /// To be called where tasks can be started.
    pub(crate) fn start(rpc: Arc<Rpc>, method: &'static str) -> Self {
        let (queue, asked) = mpsc::channel(TOGETHER_WAITING_MAX);
        tokio::spawn(ask_all(Arc::clone(&rpc), method, asked));
        Self { method, rpc, queue }
    }

    /// Asks, and reads the answer.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, params: Value) -> Result<T, NetworkError> {
        let ended = || {
            self.rpc
                .answer(self.method, "this program is ending".to_owned())
        };
        let (tell, told) = oneshot::channel();
        let asked = self.queue.send(Asked { params, tell }).await;
        asked.map_err(|_| ended())?;
        let result = told.await.map_err(|_| ended())??;
        self.rpc.read(self.method, &result)
    }
}

async fn ask_all(rpc: Arc<Rpc>, method: &'static str, mut asked: mpsc::Receiver<Asked>) {
    let mut under_way: Option<JoinHandle<()>> = None;
    let mut waiting = Vec::new();
    loop {
        let Some(first) = asked.recv().await else {
            return;
        };
        waiting.push(first);
        if let Some(before) = under_way.take() {
            // It goes on by itself if it takes longer.
            let _ = timeout(SLOW, before).await;
        }
        while waiting.len() < TOGETHER_MAX
            && let Ok(next) = asked.try_recv()
        {
            waiting.push(next);
        }
        let (rpc, together) = (Arc::clone(&rpc), std::mem::take(&mut waiting));
        under_way = Some(tokio::spawn(async move {
            ask(&rpc, method, together).await;
        }));
    }
}

async fn ask(rpc: &Rpc, method: &'static str, asked: Vec<Asked>) {
    let (questions, tell): (Vec<_>, Vec<_>) = asked
        .into_iter()
        .map(|asked| ((method, asked.params), asked.tell))
        .unzip();
    // Whoever does not wait any more needs no answer.
    match rpc.results(&questions).await {
        Ok(results) => {
            for (tell, result) in tell.into_iter().zip(results) {
                let _ = tell.send(result);
            }
        }
        Err(error) => {
            for tell in tell {
                let _ = tell.send(Err(error.clone()));
            }
        }
    }
}
