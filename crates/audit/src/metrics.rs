//! What an operator watches, as OpenMetrics text: requests by route, events, verdicts.
//!
//! It is served on an address of its own, and only if the operator names one: numbers about a business are not
//! for everybody.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use sqlx::Row;

use crate::Problem;
use crate::database::Database;
use crate::gateway::openapi;
use crate::model::{Operation, Text, Verdict};
use crate::trail::{Act, Answering, Prepared, Recorder, Stored};

type Labels<const N: usize> = [(&'static str, &'static str); N];

const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Seconds from 100 us to 13 s: an event waits 15 s for its ledger.
fn latencies() -> Histogram {
    Histogram::new(exponential_buckets(0.000_1, 2.0, 18))
}

/// Which route a request took: one of those that are documented, the proxied system, or none. So there are
/// never more series than routes, whatever paths are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    method: &'static str,
    path: &'static str,
}

impl Route {
    /// Everything behind the proxy.
    pub(crate) const PROXY: Self = Self {
        method: "",
        path: "proxy",
    };

    const NONE: Self = Self {
        method: "",
        path: "",
    };

    /// Method and path as they are documented; empty where it is none.
    pub(crate) const fn words(self) -> (&'static str, &'static str) {
        (self.method, self.path)
    }

    /// The route for this request.
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        match openapi::route(method.as_str(), path) {
            Some((method, path)) => Self { method, path },
            None => Self::NONE,
        }
    }
}

/// All numbers. Cheap to clone: all clones count together.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    requests: Family<Labels<3>, Counter>,
    seconds: Family<Labels<2>, Histogram, fn() -> Histogram>,
    turned_away: Counter,
    events: Family<Labels<2>, Counter>,
    verdicts: Family<Labels<1>, Counter>,
    spans: Family<Labels<1>, Counter>,
    pending: Gauge,
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let of_audit = registry.sub_registry_with_prefix("counterfoil_audit");
        let requests = Family::default();
        let seconds = Family::new_with_constructor(latencies as fn() -> Histogram);
        let (turned_away, events) = (Counter::default(), Family::default());
        let (verdicts, pending) = (Family::default(), Gauge::default());
        let spans = Family::default();
        of_audit.register("requests", "Requests answered", requests.clone());
        of_audit.register("seconds", "Seconds until the answer", seconds.clone());
        let help = "Requests refused: too many from one source or caller";
        of_audit.register("turned_away", help, turned_away.clone());
        let help = "Events, by who stored them and what came of it";
        of_audit.register("events", help, events.clone());
        of_audit.register("verdicts", "Verdicts given", verdicts.clone());
        let help = "Events that the ledger does not have yet";
        of_audit.register("events_pending", help, pending.clone());
        let help = "Spans of traces, by whether the collector got them";
        of_audit.register("spans", help, spans.clone());
        Self(Arc::new(Inner {
            registry,
            requests,
            seconds,
            turned_away,
            events,
            verdicts,
            spans,
            pending,
        }))
    }

    pub(crate) fn answered(&self, route: Route, status: StatusCode, took: Duration) {
        let class = match status.as_u16() {
            ..300 => "2xx",
            300..400 => "3xx",
            429 => "429",
            400..500 => "4xx",
            500.. => "5xx",
        };
        let Route { method, path } = route;
        let labels = [("method", method), ("path", path), ("status", class)];
        self.0.requests.get_or_create(&labels).inc();
        let labels = [("method", method), ("path", path)];
        let seconds = self.0.seconds.get_or_create(&labels);
        seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn turned_away(&self) {
        self.0.turned_away.inc();
    }

    /// Counts what came of an event.
    pub(crate) fn recorded<T>(&self, by: &'static str, outcome: &Result<T, Problem>) {
        let outcome = match outcome {
            Ok(_) => "stored",
            Err(problem) if problem.is_pending() => "pending",
            Err(_) => "refused",
        };
        let labels = [("by", by), ("outcome", outcome)];
        self.0.events.get_or_create(&labels).inc();
    }

    /// Counts a verdict.
    pub(crate) fn judged(&self, verdict: &Verdict) {
        let labels = [("verdict", verdict.word())];
        self.0.verdicts.get_or_create(&labels).inc();
    }

    /// Spans by what became of them: where they are counted.
    pub(crate) fn spans(&self, outcome: &'static str) -> Counter {
        self.0.spans.get_or_create(&[("outcome", outcome)]).clone()
    }

    /// A recorder that counts under this name what the other one does.
    pub fn counting(&self, by: &'static str, recorder: Arc<dyn Recorder>) -> Arc<dyn Recorder> {
        Arc::new(Counting {
            by,
            recorder,
            metrics: self.clone(),
        })
    }

    /// `GET /metrics`. Events that wait for the ledger are counted in this database, where there is one.
    pub fn routes(self, database: Option<Database>) -> Router {
        let metrics = async move || {
            if let Some(database) = &database {
                self.look(database).await?;
            }
            Ok::<_, Problem>(([(CONTENT_TYPE, MEDIA_TYPE)], self.encode()).into_response())
        };
        Router::new().route("/metrics", get(metrics))
    }

    async fn look(&self, database: &Database) -> Result<(), Problem> {
        let count = sqlx::query("SELECT count(*) FROM events WHERE tx IS NULL");
        let count = count.fetch_one(database.pool()).await?;
        self.0.pending.set(count.try_get(0)?);
        Ok(())
    }

    fn encode(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.0.registry).expect("writing into a string cannot fail");
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

struct Counting {
    by: &'static str,
    recorder: Arc<dyn Recorder>,
    metrics: Metrics,
}

impl Recorder for Counting {
    fn record(&self, act: Act) -> Answering<'_, Stored> {
        Box::pin(async move {
            let outcome = self.recorder.record(act).await;
            self.metrics.recorded(self.by, &outcome);
            outcome
        })
    }

    fn prepare(&self, act: Act) -> Answering<'_, Prepared> {
        self.recorder.prepare(act)
    }

    fn submit(
        &self,
        who: Text,
        id: String,
        signed: String,
        may: Vec<Operation>,
    ) -> Answering<'_, Stored> {
        Box::pin(async move {
            let outcome = self.recorder.submit(who, id, signed, may).await;
            self.metrics.recorded(self.by, &outcome);
            outcome
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_counted_by_their_route_and_what_is_none_together() {
        let of = |method: Method, path| Route::of(&method, path).path;
        assert_eq!(of(Method::GET, "/v1/records/lot-7"), "/v1/records/{record}");
        assert_eq!(of(Method::GET, "/v1/records/lot-8"), "/v1/records/{record}");
        assert_eq!(of(Method::POST, "/v1/consult"), "/v1/consult");
        assert_eq!(of(Method::PUT, "/v1/consult"), "");
        assert_eq!(of(Method::GET, "/wp-login.php"), "");
        assert_eq!(of(Method::GET, "/v1/records/a/b"), "");
    }

    #[test]
    fn what_was_counted_is_told() {
        let metrics = Metrics::new();
        let route = Route::of(&Method::POST, "/v1/records");
        metrics.answered(route, StatusCode::CREATED, Duration::from_millis(3));
        metrics.answered(Route::NONE, StatusCode::TOO_MANY_REQUESTS, Duration::ZERO);
        metrics.turned_away();
        metrics.recorded("api", &Ok(()));
        metrics.recorded("api", &Err::<(), _>(Problem::pending("later")));
        metrics.judged(&Verdict::Valid);
        let text = metrics.encode();
        for line in [
            r#"counterfoil_audit_requests_total{method="POST",path="/v1/records",status="2xx"} 1"#,
            r#"counterfoil_audit_requests_total{method="",path="",status="429"} 1"#,
            r#"counterfoil_audit_seconds_count{method="POST",path="/v1/records"} 1"#,
            "counterfoil_audit_turned_away_total 1",
            r#"counterfoil_audit_events_total{by="api",outcome="stored"} 1"#,
            r#"counterfoil_audit_events_total{by="api",outcome="pending"} 1"#,
            r#"counterfoil_audit_verdicts_total{verdict="valid"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
