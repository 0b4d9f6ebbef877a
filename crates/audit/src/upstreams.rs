//! The servers of a system, or of another service: one after the other, those that do not answer left out for
//! a while.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Body, Client, Request, Response, Url};

use crate::limits::{UPSTREAM_CONNECT_PATIENCE, UPSTREAM_PATIENCE, UPSTREAM_REST};
use crate::telemetry;

/// Why a system cannot be reached as configured.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The address has more or less than it needs.
    #[error("an address is like http://127.0.0.1:5000, without a path, and not {0:?}")]
    Address(String),
    /// There is none.
    #[error("no address is named: at least one is needed")]
    None,
    /// TLS cannot be set up.
    #[error("setting up connections to the system")]
    Client(#[source] reqwest::Error),
}

/// The servers of a system.
#[derive(Debug)]
pub struct Upstreams {
    servers: Vec<Server>,
    next: AtomicUsize,
    client: Client,
    began: Instant,
}

#[derive(Debug)]
struct Server {
    base: Url,
    /// Milliseconds after `began` until which it is left out.
    rests_until: AtomicU64,
}

impl Upstreams {
    /// The servers at these addresses. What they are is in the configuration alone: no request names one.
    ///
    /// # Errors
    /// See [`UpstreamError`].
    pub fn new(addresses: &[String]) -> Result<Self, UpstreamError> {
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(UPSTREAM_CONNECT_PATIENCE)
            .read_timeout(UPSTREAM_PATIENCE)
            .tcp_nodelay(true)
            .build()
            .map_err(UpstreamError::Client)?;
        Self::with(addresses, client)
    }

    /// The same, asked by this client.
    ///
    /// # Errors
    /// See [`UpstreamError`].
    pub(crate) fn with(addresses: &[String], client: Client) -> Result<Self, UpstreamError> {
        let servers = addresses.iter().map(|address| {
            let wrong = || UpstreamError::Address(address.clone());
            let base = Url::parse(address).map_err(|_| wrong())?;
            let plain = base.path() == "/" && base.query().is_none() && base.fragment().is_none();
            let known = matches!(base.scheme(), "http" | "https");
            // A password in a file that is shown around is one that leaks.
            let nobody = base.username().is_empty() && base.password().is_none();
            if !plain || !known || !nobody || base.host().is_none() {
                return Err(wrong());
            }
            Ok(Server {
                base,
                rests_until: AtomicU64::new(0),
            })
        });
        let servers = servers.collect::<Result<Vec<_>, _>>()?;
        if servers.is_empty() {
            return Err(UpstreamError::None);
        }
        Ok(Self {
            servers,
            next: AtomicUsize::new(0),
            client,
            began: Instant::now(),
        })
    }

    /// Sends a request to a server that answers. One that cannot be connected to got nothing, so the next is
    /// asked where the body can be sent again.
    pub(crate) async fn send(
        &self,
        parts: &http::request::Parts,
        body: Body,
    ) -> Result<Response, reqwest::Error> {
        let mut body = Some(body);
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let mut order: Vec<&Server> = (0..self.servers.len())
            .map(|offset| &self.servers[first.wrapping_add(offset) % self.servers.len()])
            .collect();
        let now = self.began.elapsed();
        // Those that rest come last: all of them may.
        order.sort_by_key(|server| server.rests(now));
        let mut failed = None;
        for server in order {
            let Some(this) = body.take() else {
                break;
            };
            let again = this.as_bytes().map(|bytes| Body::from(bytes.to_vec()));
            let mut request = Request::new(parts.method.clone(), server.at(&parts.uri));
            *request.headers_mut() = parts.headers.clone();
            telemetry::hand_on(request.headers_mut());
            *request.body_mut() = Some(this);
            match self.client.execute(request).await {
                Err(error) if error.is_connect() => {
                    tracing::warn!(server = %server.base, "a server is not reached");
                    server.rest(now + UPSTREAM_REST);
                    failed = Some(error);
                    body = again;
                }
                done => return done,
            }
        }
        Err(failed.expect("there is a server, and it failed"))
    }
}

impl Server {
    fn at(&self, uri: &http::Uri) -> Url {
        let mut url = self.base.clone();
        url.set_path(uri.path());
        url.set_query(uri.query());
        url
    }

    fn rests(&self, now: Duration) -> bool {
        u128::from(self.rests_until.load(Ordering::Relaxed)) > now.as_millis()
    }

    fn rest(&self, until: Duration) {
        let until = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
        self.rests_until.store(until, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_named_by_scheme_host_and_port() {
        let named = |address: &str| Upstreams::new(&[address.to_owned()]);
        for address in ["http://127.0.0.1:5000", "https://app.example"] {
            named(address).unwrap();
        }
        for address in [
            "",
            "127.0.0.1:5000",
            "file:///etc",
            "http://a/b",
            "http://a?b",
            "http://u@a",
            "http://:p@a",
            "ftp://a",
        ] {
            assert!(
                matches!(named(address), Err(UpstreamError::Address(_))),
                "{address}"
            );
        }
        assert!(matches!(Upstreams::new(&[]), Err(UpstreamError::None)));
    }
}
