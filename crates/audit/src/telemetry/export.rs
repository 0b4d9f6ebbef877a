//! Spans on their way to a collector: a bounded queue, and one request at a time. Who is traced never waits for it.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use prometheus_client::metrics::counter::Counter;
use reqwest::{Client, Response, Url};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::context::fraction;
use super::otlp::{self, Process};
use super::span::Ended;
use super::{Settings, TelemetryError, traces_at};
use crate::limits::{
    COLLECTOR_ANSWER_BYTES_MAX, COLLECTOR_PATIENCE, COLLECTOR_WAIT_MAX, SPANS_EVERY,
    SPANS_LAST_PATIENCE, SPANS_TOGETHER_MAX, UPSTREAM_CONNECT_PATIENCE,
};

/// How often a batch is sent, and how long after the first time again; twice as long each time.
const ATTEMPTS: u32 = 3;
const AGAIN: Duration = Duration::from_secs(1);

/// The log says at most so often that spans were lost.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Of what a collector says, the log gets so much.
const SAID_CHARS_MAX: usize = 200;

/// Sends spans to a collector.
pub(super) struct Exporter {
    client: Client,
    url: Url,
    headers: HeaderMap,
    process: Process,
    ended: mpsc::Receiver<Ended>,
    counts: Counts,
    told: Told,
}

/// What became of spans.
#[derive(Debug, Clone)]
pub(super) struct Counts {
    pub(super) exported: Counter,
    pub(super) dropped: Counter,
}

/// What the log knows of spans that were lost.
#[derive(Debug, Default)]
struct Told {
    dropped: u64,
    at: Option<Instant>,
    /// What failed since.
    why: Option<Failed>,
}

/// Why a collector did not take spans.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("it is not reached, or not in time")]
    Reach(#[from] reqwest::Error),
    #[error("it answers {status}")]
    Status {
        status: StatusCode,
        after: Option<Duration>,
    },
    #[error("it refuses {spans}: {why:?}")]
    Rejected { spans: u64, why: String },
}

impl Failed {
    /// Whether the same may go later (OTLP/HTTP, "Retryable Response Codes").
    fn may_pass(&self) -> bool {
        match self {
            Self::Reach(_) => true,
            Self::Status { status, .. } => matches!(status.as_u16(), 429 | 502 | 503 | 504),
            Self::Rejected { .. } => false,
        }
    }

    /// When it wants to be asked again.
    const fn after(&self) -> Option<Duration> {
        match self {
            Self::Status { after, .. } => *after,
            Self::Reach(_) | Self::Rejected { .. } => None,
        }
    }
}

impl Exporter {
    /// What sends the spans that end here.
    ///
    /// # Errors
    /// There is no such collector, or TLS cannot be set up.
    pub(super) fn new(
        settings: Settings,
        process: Process,
        ended: mpsc::Receiver<Ended>,
        counts: Counts,
    ) -> Result<Self, TelemetryError> {
        let Settings {
            endpoint,
            mut headers,
            ..
        } = settings;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let client = Client::builder()
            .user_agent(concat!("counterfoil/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(UPSTREAM_CONNECT_PATIENCE)
            .timeout(COLLECTOR_PATIENCE)
            .build()
            .map_err(TelemetryError::Client)?;
        Ok(Self {
            client,
            url: traces_at(&endpoint).ok_or(TelemetryError::Endpoint)?,
            headers,
            process,
            ended,
            counts,
            told: Told::default(),
        })
    }

    /// Sends what ends, until it is told to stop; then what is left, as far as it goes in a moment.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(SPANS_TOGETHER_MAX);
        while self.gather(&mut batch, &stop).await {
            let outcome = tokio::select! {
                () = stop.cancelled() => break,
                outcome = self.deliver(&batch) => outcome,
            };
            self.account(&mut batch, outcome);
            self.tell(TOLD_EVERY);
        }
        let _ = timeout(SPANS_LAST_PATIENCE, self.deliver_rest(&mut batch)).await;
        self.ended.close();
        let mut left = count(batch.len());
        while self.ended.try_recv().is_ok() {
            left += 1;
        }
        self.counts.dropped.inc_by(left);
        self.tell(Duration::ZERO);
    }

    /// Waits for spans, and for more that come soon after them. `false`: it is told to stop.
    async fn gather(&mut self, batch: &mut Vec<Ended>, stop: &CancellationToken) -> bool {
        let ended = &mut self.ended;
        let more = async {
            ended.recv_many(batch, SPANS_TOGETHER_MAX).await;
            let full = async {
                while batch.len() < SPANS_TOGETHER_MAX {
                    let room = SPANS_TOGETHER_MAX - batch.len();
                    if ended.recv_many(batch, room).await == 0 {
                        break;
                    }
                }
            };
            let _ = timeout(SPANS_EVERY, full).await;
        };
        tokio::select! {
            () = stop.cancelled() => false,
            () = more => !batch.is_empty(),
        }
    }

    /// Sends a batch, more than once if that may help.
    async fn deliver(&self, batch: &[Ended]) -> Result<(), Failed> {
        let body = Bytes::from(otlp::document(&self.process, batch));
        let mut again = AGAIN;
        for _ in 1..ATTEMPTS {
            match self.post(body.clone()).await {
                Err(error) if error.may_pass() => {
                    // Not all replicas at once.
                    let wait = error.after().unwrap_or(again.mul_f64(0.5 + fraction()));
                    sleep(wait.min(COLLECTOR_WAIT_MAX)).await;
                    again *= 2;
                }
                done => return done,
            }
        }
        self.post(body).await
    }

    /// What is left at the end, each batch once, until one fails.
    async fn deliver_rest(&mut self, batch: &mut Vec<Ended>) {
        loop {
            while batch.len() < SPANS_TOGETHER_MAX
                && let Ok(ended) = self.ended.try_recv()
            {
                batch.push(ended);
            }
            if batch.is_empty() {
                return;
            }
            let body = otlp::document(&self.process, batch);
            let outcome = self.post(body.into()).await;
            let is_lost = outcome.as_ref().is_err_and(Failed::may_pass);
            self.account(batch, outcome);
            if is_lost {
                return;
            }
        }
    }

    async fn post(&self, body: Bytes) -> Result<(), Failed> {
        let request = self.client.post(self.url.clone());
        let request = request.headers(self.headers.clone()).body(body);
        // Some collectors have a secret in their path.
        let answer = request.send().await.map_err(reqwest::Error::without_url)?;
        let status = answer.status();
        let after = after(answer.headers());
        let said = beginning(answer).await;
        if !status.is_success() {
            return Err(Failed::Status { status, after });
        }
        match otlp::rejected(&said) {
            None => Ok(()),
            Some((spans, why)) => {
                let why = why.chars().take(SAID_CHARS_MAX).collect();
                Err(Failed::Rejected { spans, why })
            }
        }
    }

    /// Counts a batch that is through, and empties it.
    fn account(&mut self, batch: &mut Vec<Ended>, outcome: Result<(), Failed>) {
        let all = count(batch.len());
        let lost = match &outcome {
            Ok(()) => 0,
            Err(Failed::Rejected { spans, .. }) => all.min(*spans),
            Err(_) => all,
        };
        self.counts.exported.inc_by(all - lost);
        self.counts.dropped.inc_by(lost);
        if let Err(error) = outcome {
            self.told.why = Some(error);
        }
        batch.clear();
    }

    /// Says how many were lost since it was said last, unless that is a moment ago.
    fn tell(&mut self, every: Duration) {
        let dropped = self.counts.dropped.get();
        let lost = dropped - self.told.dropped;
        if lost == 0 || self.told.at.is_some_and(|at| at.elapsed() < every) {
            return;
        }
        let why = self.told.why.take();
        tracing::warn!(lost, ?why, "spans that the collector did not get");
        self.told.dropped = dropped;
        self.told.at = Some(Instant::now());
    }
}

fn count(spans: usize) -> u64 {
    u64::try_from(spans).unwrap_or(u64::MAX)
}

/// When to come again, in seconds. A date is not understood.
fn after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?;
    seconds.parse().ok().map(Duration::from_secs)
}

/// The beginning of an answer: all of it, unless there is more than there should be, or its end does not come.
/// Whether the spans were taken is in its status.
async fn beginning(mut answer: Response) -> Vec<u8> {
    let mut said = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await
        && said.len() + chunk.len() <= COLLECTOR_ANSWER_BYTES_MAX
    {
        said.extend_from_slice(&chunk);
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_to_come_again_is_read_in_seconds() {
        let said = |text: &'static str| {
            let value = HeaderValue::from_static(text);
            after(&HeaderMap::from_iter([(RETRY_AFTER, value)]))
        };
        assert_eq!(said("30"), Some(Duration::from_secs(30)));
        for text in ["", "-1", "1.5", "Mon, 30 Nov 2026 08:00:00 GMT"] {
            assert_eq!(said(text), None, "{text}");
        }
        assert_eq!(after(&HeaderMap::new()), None);
    }
}
