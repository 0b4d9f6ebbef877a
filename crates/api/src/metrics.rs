//! What an operator watches: the node's numbers and those of the HTTP front, as OpenMetrics text.

use std::sync::OnceLock;
use std::time::Duration;

use http::StatusCode;
use node::Node;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::routes::ROUTES;

type Labels = Vec<(&'static str, &'static str)>;

/// Seconds from 100 us to 1.6 s.
fn latencies() -> Histogram {
    Histogram::new(exponential_buckets(0.000_1, 2.0, 15))
}

/// Numbers of the HTTP front.
pub(crate) struct HttpMetrics {
    /// Connections open.
    pub(crate) sessions: Gauge,
    /// Connections refused because there were too many.
    pub(crate) turned_away: Counter,
    /// TLS handshakes that failed or took too long.
    pub(crate) handshakes_failed: Counter,
    requests: Family<Labels, Counter>,
    seconds: Family<Labels, Histogram, fn() -> Histogram>,
    /// By route, and at the end those that no route took. A series begins with its first request.
    routes: Vec<OfRoute>,
    registry: Registry,
}

#[derive(Default)]
struct OfRoute {
    by_class: [OnceLock<Counter>; CLASSES.len()],
    seconds: OnceLock<Histogram>,
}

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl HttpMetrics {
    /// Registers all numbers, the node's too.
    pub(crate) fn new(node: &Node) -> Self {
        let mut registry = Registry::default();
        node.metrics().register(&mut registry);
        let of_http = registry.sub_registry_with_prefix("counterfoil_http");
        let sessions = Gauge::default();
        of_http.register("sessions", "Connections open", sessions.clone());
        let turned_away = Counter::default();
        of_http.register(
            "turned_away",
            "Connections refused: too many",
            turned_away.clone(),
        );
        let handshakes_failed = Counter::default();
        of_http.register(
            "handshakes_failed",
            "TLS handshakes failed",
            handshakes_failed.clone(),
        );
        let requests = Family::default();
        of_http.register("requests", "Requests answered", requests.clone());
        let seconds = Family::new_with_constructor(latencies as fn() -> Histogram);
        of_http.register(
            "seconds",
            "Seconds until the answer was made",
            seconds.clone(),
        );
        let routes = (0..=ROUTES.len()).map(|_| OfRoute::default()).collect();
        Self {
            sessions,
            turned_away,
            handshakes_failed,
            requests,
            seconds,
            routes,
            registry,
        }
    }

    /// Counts an answered request.
    pub(crate) fn count(&self, route: Option<usize>, status: StatusCode, took: Duration) {
        let index = route.unwrap_or(ROUTES.len());
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        let of_route = &self.routes[index];
        let requests = of_route.by_class[class].get_or_init(|| {
            let mut labels = labels(index);
            labels.push(("status", CLASSES[class]));
            self.requests.get_or_create(&labels).clone()
        });
        requests.inc();
        let seconds = of_route
            .seconds
            .get_or_init(|| self.seconds.get_or_create(&labels(index)).clone());
        seconds.observe(took.as_secs_f64());
    }

    /// All numbers as OpenMetrics text.
    pub(crate) fn encode(&self) -> String {
        let mut text = String::new();
        text::encode(&mut text, &self.registry).expect("writing into a string cannot fail");
        text
    }
}

fn labels(index: usize) -> Labels {
    ROUTES.get(index).map_or_else(
        || vec![("method", ""), ("path", "")],
        |route| vec![("method", route.method.as_str()), ("path", route.path)],
    )
}
