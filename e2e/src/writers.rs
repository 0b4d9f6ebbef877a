//! Many who write at a time, each to a collection of its own, to whoever leads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::http::{Answer, Http};

/// How long a writer waits before it asks another node who leads.
const PAUSE: Duration = Duration::from_millis(10);

/// Writers at work. Each sends what was certainly not recorded again, and never what is in doubt.
#[derive(Debug)]
pub struct Writers {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Result<Vec<Acknowledged>>>>,
}

/// A write that was answered with success.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    /// The transaction's id.
    pub id: String,
    /// The contents.
    pub contents: String,
    /// When the answer came.
    pub at: Instant,
}

impl Writers {
    /// Starts so many, who know these nodes. Runs in the caller's runtime.
    pub fn start(nodes: &[Http], count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = (0..count)
            .map(|writer| tokio::spawn(write_on(nodes.to_vec(), writer, Arc::clone(&stop))))
            .collect();
        Self { stop, tasks }
    }

    /// Stops them, and tells what was acknowledged.
    ///
    /// # Errors
    /// When one was answered what nobody should be.
    pub async fn finish(self) -> Result<Vec<Acknowledged>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for task in self.tasks {
            all.extend(task.await??);
        }
        Ok(all)
    }
}

async fn write_on(
    nodes: Vec<Http>,
    writer: usize,
    stop: Arc<AtomicBool>,
) -> Result<Vec<Acknowledged>> {
    let mut acknowledged = Vec::new();
    let mut at = 0;
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let contents = format!("writer {writer} number {number}");
        let body = json!({ "contents": contents });
        let path = format!("/app/transactions?collectionId=w{writer}");
        match nodes[at].post(&path, &body).await {
            Ok(Answer {
                status: 200,
                transaction: Some(id),
                ..
            }) => {
                let at = Instant::now();
                acknowledged.push(Acknowledged { id, contents, at });
                number += 1;
            }
            Ok(Answer {
                status: 503 | 307 | 429,
                ..
            }) => {
                // Certainly not recorded: try the next node.
                at = (at + 1) % nodes.len();
                tokio::time::sleep(PAUSE).await;
            }
            // Unknown, or the connection broke: never send the same entry again.
            Ok(Answer { status: 502, .. }) | Err(_) => {
                number += 1;
                at = (at + 1) % nodes.len();
            }
            Ok(other) => bail!("{}: {}", other.status, other.text()),
        }
    }
    Ok(acknowledged)
}
