//! Traces of the services for an OpenTelemetry collector, if the operator names one: which service did what of a
//! request, and how long it took.
//!
//! A request's place in a trace comes in a header (`context`), is a task's own while it is worked on (`span`),
//! and goes on to whoever is asked. Spans that ended wait in a bounded queue, and are lost when the collector is
//! slower than they come (`export`). They have names of routes and of steps, and never a path, a query, a token,
//! or anything of a body.

mod context;
mod export;
mod otlp;
mod span;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::Method;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use prometheus_client::metrics::counter::Counter;
use reqwest::Url;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::address::address;
use crate::gateway::openapi;
use crate::inside;
use crate::limits::SPANS_WAITING_MAX;
use crate::metrics::Metrics;
use context::{Context, TRACESTATE, fraction, is_state_bounded};
use export::{Counts, Exporter};
use otlp::Process;
use span::{Current, Ended, Span, Value, within};
pub(crate) use span::{Failure, Kind, carried, hand_on, timed, trace_id};

/// What the operator says about traces.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The collector, as OTLP over HTTP has it: `/v1/traces` is added. `https`, or `http` on this machine.
    pub endpoint: String,
    /// Which part of the traces that begin here is recorded, 0 to 1.
    pub sample: f64,
    /// Whether callers from outside are believed when they say that their trace is recorded, or is not.
    pub believe_callers: bool,
    /// What the collector wants to see beside the spans, as [`headers`] reads it.
    pub headers: HeaderMap,
}

/// Why nothing can be traced as configured.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The collector would be reached in the clear, or the address is none. It may be secret, so it is not shown.
    #[error(
        "a collector is at https://host:port, or at http:// on this machine, without a password and a query"
    )]
    Endpoint,
    /// It is no part of a whole.
    #[error("sample is from 0 to 1, and not {0}")]
    Sample(f64),
    /// A header is none. It may be secret, so it is not shown.
    #[error("headers are lines like `name: value`, and line {0} is none")]
    Header(usize),
    /// TLS cannot be set up.
    #[error("setting up connections to the collector")]
    Client(#[source] reqwest::Error),
}

/// Headers, one a line. Nobody sees their values in a log.
///
/// # Errors
/// One of them is no header.
pub fn headers(text: &str) -> Result<HeaderMap, TelemetryError> {
    let mut headers = HeaderMap::new();
    for (line, number) in text.lines().zip(1..) {
        if line.trim().is_empty() {
            continue;
        }
        let header = line.split_once(':').and_then(|(name, value)| {
            let name = name.trim().parse::<HeaderName>().ok()?;
            Some((name, HeaderValue::from_str(value.trim()).ok()?))
        });
        let (name, mut value) = header.ok_or(TelemetryError::Header(number))?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

/// Whose requests are traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Anybody's, at the gateway.
    Gateway,
    /// Anybody's, in front of a system.
    Proxy,
    /// Other services', which say whether a trace is recorded.
    Inside,
}

/// What traces, or nothing. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Telemetry(Option<Arc<Tracer>>);

/// Takes spans, and has them sent.
#[derive(Debug)]
struct Tracer {
    queue: mpsc::Sender<Ended>,
    dropped: Counter,
    sample: f64,
    believe_callers: bool,
    stop: CancellationToken,
    exporting: TaskTracker,
}

impl Telemetry {
    /// Traces a process, which is `counterfoil-SERVICE`, and counts what becomes of its spans. To be called where
    /// tasks can be started. The collector is asked when there is something for it, whether it is there now or not.
    ///
    /// # Errors
    /// See [`TelemetryError`].
    pub fn start(
        service: &str,
        settings: Settings,
        metrics: &Metrics,
    ) -> Result<Self, TelemetryError> {
        let (sample, believe_callers) = (settings.sample, settings.believe_callers);
        if !(0.0..=1.0).contains(&sample) {
            return Err(TelemetryError::Sample(sample));
        }
        let process = Process {
            service: format!("counterfoil-{service}"),
            replica: format!("{:032x}", context::chance()),
        };
        let counts = Counts {
            exported: metrics.spans("exported"),
            dropped: metrics.spans("dropped"),
        };
        let dropped = counts.dropped.clone();
        let (queue, ended) = mpsc::channel(SPANS_WAITING_MAX);
        let exporter = Exporter::new(settings, process, ended, counts)?;
        let (stop, exporting) = (CancellationToken::new(), TaskTracker::new());
        exporting.spawn(exporter.run(stop.clone()));
        exporting.close();
        Ok(Self(Some(Arc::new(Tracer {
            queue,
            dropped,
            sample,
            believe_callers,
            stop,
            exporting,
        }))))
    }

    /// Routes whose requests are traced, each as a span. Nothing is put around them where nothing is traced.
    pub fn around(&self, routes: Router, entry: Entry) -> Router {
        match &self.0 {
            None => routes,
            Some(tracer) => {
                let tracer = Arc::clone(tracer);
                routes.layer(from_fn_with_state((tracer, entry), served))
            }
        }
    }

    /// Sends what is left, as far as it goes within a second, and ends.
    pub async fn finish(self) {
        if let Some(tracer) = self.0 {
            tracer.stop.cancel();
            tracer.exporting.wait().await;
        }
    }
}

impl Tracer {
    /// Takes a span that ended. It is lost if too many wait.
    fn take(&self, ended: Ended) {
        if self.queue.try_send(ended).is_err() {
            self.dropped.inc();
        }
    }

    /// Where a request that comes from there is in which trace.
    fn place(&self, came: Option<Context>, entry: Entry) -> Context {
        match came {
            Some(came) if entry == Entry::Inside || self.believe_callers => came.child(),
            // Its trace goes on, but whether we record it is not for everybody to say.
            Some(came) => Context {
                sampled: self.draws(),
                ..came.child()
            },
            None => Context::new(self.draws()),
        }
    }

    fn draws(&self) -> bool {
        fraction() < self.sample
    }
}

/// Where a collector takes traces (OTLP/HTTP, "Endpoint URLs").
fn traces_at(endpoint: &str) -> Option<Url> {
    let mut url = address(endpoint, true).filter(|url| url.query().is_none())?;
    let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Some(url)
}

/// One request, as a span.
async fn served(
    State((tracer, entry)): State<(Arc<Tracer>, Entry)>,
    mut request: Request,
    next: Next,
) -> Response {
    let came = Context::of(request.headers());
    if came.is_none() || !is_state_bounded(request.headers()) {
        request.headers_mut().remove(TRACESTATE);
    }
    let context = tracer.place(came, entry);
    let current = Current { tracer, context };
    if !context.sampled {
        return within(current, next.run(request)).await;
    }
    let method = method(request.method());
    let route = entry.route(request.method(), request.uri().path());
    let name = route.map_or(method.into(), |route| format!("{method} {route}").into());
    let mut span = Span::of(&current, came.map(|came| came.span), name, Kind::Server);
    span.say("http.request.method", Value::Word(method.into()));
    if let Some(route) = route {
        span.say("http.route", Value::Word(route.into()));
    }
    let answer = within(current, next.run(request)).await;
    let status = answer.status();
    span.say("http.response.status_code", Value::Number(status.as_u16()));
    if status.is_server_error() {
        let word = status.as_str().to_owned();
        span.say("error.type", Value::Word(word.into()));
    }
    span.done(status.is_server_error());
    answer
}

impl Entry {
    /// The template of a route: what is asked for may name somebody.
    fn route(self, method: &Method, path: &str) -> Option<&'static str> {
        match self {
            Self::Gateway => openapi::route(method.as_str(), path).map(|(_, path)| path),
            Self::Proxy => None,
            Self::Inside => inside::call(path),
        }
    }
}

/// A method that is known, as itself.
fn method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "_OTHER",
    }
}
