//! The outer edge of what is served: from which pages requests may come, how many a source and a caller may
//! send, and counting them.

mod origins;
mod rates;
mod refusals;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::HeaderName;
use http::StatusCode;
use serde::Deserialize;

use crate::Problem;
use crate::metrics::{Metrics, Route};
use crate::source::source;
use crate::users::UserId;
use origins::Origins;
pub use origins::{Origin, OriginError};
use rates::{Key, Rates};
pub(crate) use refusals::Sender;
use refusals::{Asked, Refusals};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// How many requests one source, and one caller, may send: `[limits]`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// In a second, on and on. Default: 20,000, more than one machine does.
    pub requests_per_second: u32,
    /// At once, after a pause. Default: 40,000.
    pub burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_per_second: 20_000,
            burst: 40_000,
        }
    }
}

/// What the operator says about the edge.
#[derive(Debug, Clone, Default)]
pub struct EdgeConfig {
    /// How much one source and one caller may ask.
    pub limits: Limits,
    /// Pages of other sites that may ask, beside our own. None unless somebody is named.
    pub allowed_origins: Vec<Origin>,
    /// Balancers that say in `X-Forwarded-For` where a request came from. Nobody else is believed.
    pub balancers: Vec<IpAddr>,
}

/// The edge. Cheap to clone: all clones count together.
#[derive(Debug, Clone)]
pub struct Edge(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    origins: Origins,
    rates: Rates,
    balancers: Vec<IpAddr>,
    refusals: Refusals,
    metrics: Metrics,
}

impl Edge {
    /// An edge that counts here.
    pub fn new(config: EdgeConfig, metrics: Metrics) -> Self {
        Self(Arc::new(Inner {
            origins: Origins::new(config.allowed_origins),
            rates: Rates::new(config.limits),
            balancers: config.balancers,
            refusals: Refusals::default(),
            metrics,
        }))
    }

    /// Where is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// The gateway's routes behind it.
    pub(crate) fn around_gateway(&self, routes: Router) -> Router {
        let routes = routes.layer(from_fn_with_state(self.clone(), to_gateway));
        match self.0.origins.cors() {
            Some(layer) => routes.layer(layer),
            None => routes,
        }
    }

    /// A proxied system behind it. Whose pages may ask there is the system's business.
    pub(crate) fn around_proxy(&self, routes: Router) -> Router {
        routes.layer(from_fn_with_state(self.clone(), to_proxy))
    }

    /// Takes one request from what a caller may send.
    ///
    /// # Errors
    /// It is used up for now.
    pub(crate) fn admit_caller(&self, caller: &UserId) -> Result<(), Problem> {
        self.take(Key::Caller(caller.clone()))
    }

    fn admit_source(&self, request: &Request) -> Result<(), Problem> {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        peer.map_or(Ok(()), |ConnectInfo(peer)| {
            self.take(Key::Source(source(peer.ip())))
        })
    }

    fn take(&self, key: Key) -> Result<(), Problem> {
        self.0.rates.take(key, Instant::now()).map_err(|wait| {
            self.0.metrics.turned_away();
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            Problem::busy("too many requests: send fewer, and this one again").after(seconds)
        })
    }

    /// Puts in the place of a balancer whom it speaks for.
    fn place(&self, request: &mut Request) {
        let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>() else {
            return;
        };
        let peer = *peer;
        if !self.0.balancers.contains(&peer.ip().to_canonical()) {
            return;
        }
        // The balancer adds to what came: only the last is its own word.
        let mut lines = request.headers().get_all(FORWARDED_FOR).iter();
        let last = lines.next_back().and_then(|line| line.to_str().ok());
        let last = last.and_then(|line| line.rsplit(',').next()?.trim().parse::<IpAddr>().ok());
        if let Some(address) = last {
            let client = SocketAddr::new(address, peer.port());
            request.extensions_mut().insert(ConnectInfo(client));
        }
    }
}

async fn to_gateway(State(edge): State<Edge>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = Route::of(request.method(), request.uri().path());
    edge.place(&mut request);
    let asked = Asked::of(route, &mut request);
    let admitted = edge.0.origins.check(&request);
    let answer = match admitted.and_then(|()| edge.admit_source(&request)) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let took = started.elapsed();
    edge.0.metrics.answered(route, answer.status(), took);
    edge.0.refusals.tell(&asked, &answer);
    answer
}

async fn to_proxy(State(edge): State<Edge>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    edge.place(&mut request);
    let answer = match edge.admit_source(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let took = started.elapsed();
    edge.0.metrics.answered(Route::PROXY, answer.status(), took);
    answer
}

/// A page of another site tries to act here.
fn foreign() -> Problem {
    let detail = "a page of another site sent this, and it is none of allowed_origins";
    Problem::new(StatusCode::FORBIDDEN, "ForeignOrigin", detail)
}

#[cfg(test)]
mod tests;
