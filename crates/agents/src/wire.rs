//! Requests as agents send them, over TLS that trusts one certificate, and what comes back.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, Method, redirect};
use serde_json::Value;

/// Whoever is not answered by then never will be: the services themselves give up after a third of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The header in which the gateway says how long it worked on an answer.
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Where the services are, and how they are known.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    url: String,
    trust: Certificate,
}

/// Which HTTP a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Http {
    One,
    Two,
}

impl Target {
    /// Services at an address, behind this certificate (PEM).
    ///
    /// # Errors
    /// The certificate cannot be read.
    pub(crate) fn new(url: &str, certificate: &str) -> Result<Self, reqwest::Error> {
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            trust: Certificate::from_pem(certificate.as_bytes())?,
        })
    }

    /// A connection of one's own, from an address of this machine if one is named.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub(crate) fn connect(&self, http: Http, from: Option<IpAddr>) -> Result<Wire, reqwest::Error> {
        let client = Client::builder()
            .tls_certs_only([self.trust.clone()])
            .redirect(redirect::Policy::none())
            .timeout(PATIENCE)
            .local_address(from)
            .no_proxy();
        let client = match http {
            Http::One => client.http1_only(),
            Http::Two => client,
        };
        Ok(Wire {
            client: client.build()?,
            url: self.url.clone(),
        })
    }

    /// Whether the services are on this machine, where every address from 127.0.0.1 on is one's own.
    pub(crate) fn is_loopback(&self) -> bool {
        self.url.starts_with("https://127.") && cfg!(target_os = "linux")
    }
}

/// A connection.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    client: Client,
    url: String,
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) path: String,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
}

impl Ask {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: HeaderMap::new(),
            body: None,
        }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: impl Into<String>, body: &Value) -> Self {
        Self::new(Method::POST, path).json(body)
    }

    pub(crate) fn put(path: impl Into<String>, body: &Value) -> Self {
        Self::new(Method::PUT, path).json(body)
    }

    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path)
    }

    #[must_use]
    pub(crate) fn json(self, body: &Value) -> Self {
        self.bytes(body.to_string(), "application/json")
    }

    #[must_use]
    pub(crate) fn bytes(mut self, body: impl Into<Vec<u8>>, media_type: &'static str) -> Self {
        self.body = Some(body.into());
        self.header(CONTENT_TYPE, media_type)
    }

    /// Adds a header; one that cannot be sent is left out.
    #[must_use]
    pub(crate) fn header(mut self, name: impl Into<HeaderName>, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            self.headers.append(name.into(), value);
        }
        self
    }

    #[must_use]
    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header(AUTHORIZATION, &format!("Bearer {token}"))
    }

    /// Under an Idempotency-Key.
    #[must_use]
    pub(crate) fn once(self, key: &str) -> Self {
        self.header(HeaderName::from_static("idempotency-key"), key)
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The word of the problem, where it is one as RFC 9457 has them.
    pub(crate) problem: Option<String>,
    /// Whether status and body of the problem agree, and something is said.
    pub(crate) problem_is_whole: bool,
    pub(crate) body: Vec<u8>,
    pub(crate) latency: Duration,
    /// How long the gateway worked on it, if it says so.
    pub(crate) processing: Option<Duration>,
}

/// Nothing came back, or not all of it.
#[derive(Debug, Clone)]
pub(crate) struct Unanswered {
    pub(crate) why: String,
    /// Whether there was no connection at all: nothing was sent.
    pub(crate) unsent: bool,
    pub(crate) latency: Duration,
}

impl Answer {
    /// The JSON that came; null where it was none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The beginning of what was said, for people.
    pub(crate) fn said(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        format!("{} {}", self.status, cut(&text, 200))
    }
}

/// The beginning of a text, without what would drive a terminal.
pub(crate) fn cut(text: &str, characters: usize) -> String {
    let mut short: String = text.chars().take(characters).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short.replace(char::is_control, " ")
}

impl Wire {
    /// Sends a request, and waits for the whole answer.
    pub(crate) async fn send(&self, ask: &Ask) -> Result<Answer, Unanswered> {
        let url = format!("{}{}", self.url, ask.path);
        let mut request = self.client.request(ask.method.clone(), url);
        request = request.headers(ask.headers.clone());
        if let Some(body) = &ask.body {
            request = request.body(body.clone());
        }
        let began = Instant::now();
        let failed = |error: reqwest::Error| Unanswered {
            unsent: error.is_connect() || error.is_builder(),
            why: in_words(&error),
            latency: began.elapsed(),
        };
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status().as_u16();
        let header = |name: &HeaderName| {
            let value = answer.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let processing = header(&SERVER_TIMING).and_then(|text| duration(&text));
        let is_problem =
            header(&CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
        let body = answer.bytes().await.map_err(failed)?.to_vec();
        let latency = began.elapsed();
        let said: Value = match is_problem {
            true => serde_json::from_slice(&body).unwrap_or_default(),
            false => Value::Null,
        };
        Ok(Answer {
            status,
            problem: said["type"].as_str().map(str::to_owned),
            problem_is_whole: said["status"] == status
                && said["detail"]
                    .as_str()
                    .is_some_and(|detail| !detail.is_empty()),
            body,
            latency,
            processing,
        })
    }
}

/// `app;dur=1.5` is a millisecond and a half (Server Timing, section 3).
fn duration(text: &str) -> Option<Duration> {
    let (_, millis) = text.split_once(";dur=")?;
    let millis: f64 = millis.split([',', ';']).next()?.trim().parse().ok()?;
    Duration::try_from_secs_f64(millis / 1_000.0).ok()
}

pub(crate) fn in_words(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut words: Vec<String> = causes.map(ToString::to_string).collect();
    words.dedup();
    words.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read_and_other_texts_are_not() {
        assert_eq!(duration("app;dur=1.5"), Some(Duration::from_micros(1_500)));
        assert_eq!(
            duration("app;dur=2, db;dur=1"),
            Some(Duration::from_millis(2))
        );
        for text in [
            "",
            "app",
            "app;dur=",
            "app;dur=x",
            "app;dur=-1",
            "app;dur=NaN",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn what_others_wrote_cannot_drive_the_terminal() {
        assert_eq!(cut("a\u{1b}[2Jb", 80), "a [2Jb");
        assert_eq!(cut("abcdef", 3), "abc…");
    }
}
