//! The replicas of another service: one after the other, those that do not answer left out for a while.

use axum::body::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode, Uri};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::identity::{Credentials, IdentityError, Service};
use crate::Problem;
use crate::limits::{PEER_SILENCE, UPSTREAM_CONNECT_PATIENCE, UPSTREAM_PATIENCE};
use crate::telemetry::{Kind, timed};
use crate::trail::OTHER_REQUEST;
use crate::upstreams::{UpstreamError, Upstreams};

/// Why another service cannot be asked as configured.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// An address is wrong, or there is none.
    #[error("the addresses of the service {service}")]
    Addresses {
        /// Which.
        service: &'static str,
        /// Why.
        #[source]
        source: UpstreamError,
    },
    /// It is not reached over HTTPS.
    #[error("services speak HTTPS: {0:?} begins with another word")]
    Plain(String),
    /// See [`IdentityError`].
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// TLS cannot be set up.
    #[error("setting up connections to another service")]
    Client(#[source] reqwest::Error),
}

/// Another service.
#[derive(Debug)]
pub struct Peers {
    service: Service,
    upstreams: Upstreams,
    replicas: usize,
}

/// What is known when no answer came.
enum Lost {
    /// Nobody was asked: nothing was done.
    Unasked,
    /// Somebody was, and did it or not.
    Unanswered,
}

impl Peers {
    /// The service at these addresses, as whoever has the credentials asks it.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub fn new(
        service: Service,
        addresses: &[String],
        credentials: &Credentials,
    ) -> Result<Self, PeerError> {
        if let Some(plain) = addresses.iter().find(|one| !one.starts_with("https://")) {
            return Err(PeerError::Plain(plain.clone()));
        }
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(credentials.asking(service)?)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(UPSTREAM_CONNECT_PATIENCE)
            .read_timeout(UPSTREAM_PATIENCE)
            // A machine that is gone says nothing: its connections end.
            .http2_keep_alive_interval(PEER_SILENCE)
            .http2_keep_alive_timeout(PEER_SILENCE)
            .tcp_nodelay(true)
            .build()
            .map_err(PeerError::Client)?;
        let upstreams = Upstreams::with(addresses, client);
        let upstreams = upstreams.map_err(|source| PeerError::Addresses {
            service: service.word(),
            source,
        })?;
        Ok(Self {
            service,
            upstreams,
            replicas: addresses.len(),
        })
    }

    /// Asks what may be asked again: another replica, if one gives no answer.
    ///
    /// # Errors
    /// What the service says, or that it does not answer.
    pub(super) async fn asks<T: DeserializeOwned>(
        &self,
        call: &'static str,
        arguments: &impl Serialize,
    ) -> Result<T, Problem> {
        let answer = self.repeated(call, arguments, |_| true).await?;
        answer.map_err(|_| self.unavailable())
    }

    /// Asks for what is done once, by its own name or never: what came of it is not known if no answer comes.
    ///
    /// # Errors
    /// What the service says, or that it does not answer.
    pub(super) async fn tells<T: DeserializeOwned>(
        &self,
        call: &'static str,
        arguments: &impl Serialize,
    ) -> Result<T, Problem> {
        match self.once(call, written(arguments)?).await? {
            Ok(answer) => Ok(answer),
            Err(Lost::Unasked) => Err(self.unavailable()),
            Err(Lost::Unanswered) => {
                let detail = format!(
                    "the service {} gave no answer: whether it was done is not known. Look before you ask \
                     again",
                    self.service.word()
                );
                Err(Problem::new(StatusCode::BAD_GATEWAY, "AnswerLost", detail))
            }
        }
    }

    /// Asks for what is done once by its own name, however often it is asked for.
    ///
    /// # Errors
    /// What the service says; or that it is pending, if no answer came: it may be done, and whoever asks again
    /// learns it.
    pub(super) async fn insists<T: DeserializeOwned>(
        &self,
        call: &'static str,
        arguments: &impl Serialize,
    ) -> Result<T, Problem> {
        // Whatever else another replica says, the one that gave no answer may do it.
        let settles = |problem: &Problem| problem.is_pending() || problem.kind == OTHER_REQUEST;
        match self.repeated(call, arguments, settles).await? {
            Ok(answer) => Ok(answer),
            Err(Lost::Unasked) => Err(self.unavailable()),
            Err(Lost::Unanswered) => Err(Problem::pending(
                "the service gave no answer: the event may be recorded. Ask again with the same \
                 Idempotency-Key, or for the record",
            )),
        }
    }

    /// Asks one replica after the other until one answers. After one that was asked and gave no answer, the problem of
    /// another is the answer only if it `settles` what the first may have done.
    async fn repeated<T: DeserializeOwned>(
        &self,
        call: &'static str,
        arguments: &impl Serialize,
        settles: impl Fn(&Problem) -> bool,
    ) -> Result<Result<T, Lost>, Problem> {
        let body = written(arguments)?;
        let mut left = self.replicas;
        let mut was_asked = false;
        loop {
            match self.once(call, body.clone()).await {
                Ok(Ok(answer)) => return Ok(Ok(answer)),
                Ok(Err(Lost::Unanswered)) => was_asked = true,
                Ok(Err(Lost::Unasked)) if was_asked => return Ok(Err(Lost::Unanswered)),
                Ok(Err(Lost::Unasked)) => return Ok(Err(Lost::Unasked)),
                Err(problem) if was_asked && !settles(&problem) => {
                    return Ok(Err(Lost::Unanswered));
                }
                Err(problem) => return Err(problem),
            }
            if left == 0 {
                return Ok(Err(Lost::Unanswered));
            }
            left -= 1;
        }
    }

    /// Sends a request to the first replica that can be connected to.
    async fn once<T: DeserializeOwned>(
        &self,
        call: &'static str,
        body: Bytes,
    ) -> Result<Result<T, Lost>, Problem> {
        let service = self.service.word();
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.method = Method::POST;
        parts.uri = Uri::from_static(call);
        let json = HeaderValue::from_static("application/json");
        parts.headers.insert(CONTENT_TYPE, json);
        let asked = self.upstreams.send(&parts, body.into());
        let answer = match timed(call, Kind::Client, asked).await {
            Ok(answer) => answer,
            Err(error) => {
                let lost = match error.is_connect() {
                    true => Lost::Unasked,
                    false => Lost::Unanswered,
                };
                tracing::warn!(service, call, error = ?error.without_url(), "no answer");
                return Ok(Err(lost));
            }
        };
        let status = answer.status();
        let body = match answer.bytes().await {
            Ok(body) => body,
            Err(error) => {
                tracing::warn!(service, call, error = ?error.without_url(), "half an answer");
                return Ok(Err(Lost::Unanswered));
            }
        };
        if status.is_success() {
            return match serde_json::from_slice(&body) {
                Ok(answer) => Ok(Ok(answer)),
                Err(error) => Err(Problem::internal(
                    "reading another service's answer",
                    &error,
                )),
            };
        }
        let problem: Result<Problem, _> = serde_json::from_slice(&body);
        Err(problem.unwrap_or_else(|_| {
            tracing::error!(service, call, %status, "an answer that is no answer of ours");
            self.unavailable()
        }))
    }

    fn unavailable(&self) -> Problem {
        let detail = format!(
            "the service {} does not answer now: nothing was done, try again",
            self.service.word()
        );
        Problem::unavailable("ServiceUnavailable", detail)
    }
}

fn written(arguments: &impl Serialize) -> Result<Bytes, Problem> {
    let written = serde_json::to_vec(arguments);
    let written = written.map_err(|error| Problem::internal("writing a request", &error))?;
    Ok(written.into())
}
