//! One request and its answer: addresses, throttling, refusals.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{LOCATION, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use verify::TxId;

use crate::builder::{API_VERSION, Client};
use crate::error::{ClientError, Refusal};
use crate::limits::{
    ANSWER_BYTES_MAX, LEADER_WAIT, POLL_INTERVAL, POLLS_MAX, REDIRECTIONS_MAX, RETRY_AFTER_MAX,
    THROTTLED_RETRIES_MAX,
};
use crate::model::Loading;

/// The header that names the transaction of a write.
const TRANSACTION_ID: &str = "x-ms-ccf-transaction-id";

impl Client {
    /// The address of `path`, whose segments are escaped one by one.
    pub(crate) fn address(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .expect("an https address has a path")
            .pop_if_empty()
            .extend(path);
        url
    }

    /// A request to the data plane: with the API's version.
    pub(crate) fn app(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let url = self.address(&[&["app"], path].concat());
        self.http
            .request(method, url)
            .query(&[("api-version", API_VERSION)])
    }

    /// A request to `/node/*`.
    pub(crate) fn node_request(&self, path: &[&str]) -> RequestBuilder {
        self.http.get(self.address(&[&["node"], path].concat()))
    }

    /// Asks for a node to be part of the network, as `POST /node/join` takes and gives it. Ask again
    /// with the same request while the answer's `status` is `Pending`.
    ///
    /// # Errors
    /// The network refuses the node, or cannot be reached.
    pub async fn join(
        &self,
        request: &impl serde::Serialize,
    ) -> Result<serde_json::Value, ClientError> {
        let post = self.http.post(self.address(&["node", "join"]));
        self.json(post.json(request)).await
    }

    /// The same address at the node that leads: for what cannot be sent twice.
    pub(crate) async fn at_the_leader(&self, mut url: Url) -> Result<Url, ClientError> {
        let asked = self.node_request(&["primary"]).send().await;
        let answer = asked.map_err(|error| transport(self.url().to_owned(), error))?;
        if let Some(leader) = redirection(&answer) {
            // Both are https addresses, so each part can be set.
            let _ = url.set_host(leader.host_str());
            let _ = url.set_port(leader.port());
        }
        Ok(url)
    }

    /// A link that the ledger gave for going on; it must lead to the same ledger.
    pub(crate) fn follow(&self, link: &str) -> Result<RequestBuilder, ClientError> {
        let url = self
            .base
            .join(link)
            .ok()
            .filter(|url| url.origin() == self.base.origin());
        let Some(url) = url else {
            let url = self.url().to_owned();
            return Err(ClientError::Unexpected {
                url,
                why: format!("it goes on at {link:?}"),
            });
        };
        Ok(self.http.get(url))
    }

    /// Sends; waits and sends again while throttled. Any answer but success is an error.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let mut request = request
            .build()
            .map_err(|error| ClientError::Setup(format!("the request cannot be made: {error}")))?;
        let url = shown(request.url());
        for attempt in 0.. {
            // A streamed body cannot be sent twice; everything else can.
            let again = request.try_clone();
            let origin = request.url().origin();
            let response = match (self.http.execute(request).await, again.as_ref()) {
                (Ok(response), _) => response,
                // The leader that a node named is gone: nothing was sent to it. That node will know
                // the next one soon.
                (Err(error), Some(again))
                    if error.is_connect()
                        && origin != self.base.origin()
                        && attempt < REDIRECTIONS_MAX =>
                {
                    let mut back = again.try_clone().expect("it was cloned before");
                    // Both are https addresses, so each part can be set.
                    let _ = back.url_mut().set_host(self.base.host_str());
                    let _ = back.url_mut().set_port(self.base.port());
                    tokio::time::sleep(LEADER_WAIT).await;
                    request = back;
                    continue;
                }
                (Err(error), _) => return Err(transport(url, error)),
            };
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            // Both say that nothing was recorded, and when to come back.
            let later = status == StatusCode::TOO_MANY_REQUESTS
                || (status == StatusCode::SERVICE_UNAVAILABLE
                    && response.headers().contains_key(RETRY_AFTER));
            match again {
                Some(again) if later && attempt < THROTTLED_RETRIES_MAX => {
                    tokio::time::sleep(retry_after(&response)).await;
                    request = again;
                }
                Some(mut again)
                    if attempt < REDIRECTIONS_MAX && redirection(&response).is_some() =>
                {
                    let leader = redirection(&response).expect("it was there a moment ago");
                    *again.url_mut() = leader;
                    request = again;
                }
                _ => {
                    let body = body(response, &url).await?;
                    return Err(ClientError::Refused(Refusal::read(status.as_u16(), &body)));
                }
            }
        }
        unreachable!("the loop ends at the last attempt")
    }

    /// Sends and reads a JSON answer.
    pub(crate) async fn json<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<T, ClientError> {
        let body = self.bytes(request).await?;
        parse(self.url(), &body)
    }

    /// Sends and reads the answer as bytes.
    pub(crate) async fn bytes(&self, request: RequestBuilder) -> Result<Bytes, ClientError> {
        Ok(self.bytes_and_id(request).await?.0)
    }

    /// Sends and reads the answer as bytes, and the transaction that a header names.
    pub(crate) async fn bytes_and_id(
        &self,
        request: RequestBuilder,
    ) -> Result<(Bytes, Option<TxId>), ClientError> {
        let response = self.send(request).await?;
        let url = shown(response.url());
        let id = response.headers().get(TRANSACTION_ID);
        let id = id.and_then(|id| id.to_str().ok()?.parse().ok());
        Ok((body(response, &url).await?, id))
    }

    /// Sends and reads a JSON answer that may have to be loaded first. Counterfoil never makes
    /// anybody wait so; other ledgers with the same API do.
    pub(crate) async fn ready<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<T, ClientError> {
        for _ in 0..POLLS_MAX {
            let again = request
                .try_clone()
                .expect("a request without a body can be cloned");
            let response = self.send(again).await?;
            let url = shown(response.url());
            let body = body(response, &url).await?;
            if parse::<Loading>(&url, &body)?.is_ready() {
                return parse(&url, &body);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        let seconds = u64::from(POLLS_MAX) * POLL_INTERVAL.as_millis() as u64 / 1000;
        Err(ClientError::StillLoading {
            url: self.url().to_owned(),
            seconds,
        })
    }
}

/// Reads a whole answer, up to [`ANSWER_BYTES_MAX`].
async fn body(mut response: Response, url: &str) -> Result<Bytes, ClientError> {
    let mut all = BytesMut::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| transport(url.to_owned(), error))?
    {
        if all.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(unexpected(
                url,
                format!("it has more than {ANSWER_BYTES_MAX} bytes"),
            ));
        }
        all.extend_from_slice(&chunk);
    }
    Ok(all.freeze())
}

pub(crate) fn parse<T: DeserializeOwned>(url: &str, body: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(body).map_err(|error| unexpected(url, error.to_string()))
}

pub(crate) fn unexpected(url: &str, why: impl Into<String>) -> ClientError {
    ClientError::Unexpected {
        url: url.to_owned(),
        why: why.into(),
    }
}

pub(crate) fn transport(url: String, error: reqwest::Error) -> ClientError {
    let unreachable = error.is_connect();
    let source = error.without_url();
    match unreachable {
        true => ClientError::Unreachable { url, source },
        false => ClientError::Interrupted { url, source },
    }
}

/// An address without its query, for messages.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.into()
}

/// Where the leader is, for an answer of a node that does not lead. It is another node of the same
/// ledger: TLS sees to that.
fn redirection(response: &Response) -> Option<Url> {
    let elsewhere = [
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ];
    if !elsewhere.contains(&response.status()) {
        return None;
    }
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    let url = response.url().join(location).ok()?;
    (url.scheme() == "https").then_some(url)
}

fn retry_after(response: &Response) -> Duration {
    let seconds = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok());
    let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(1);
    Duration::from_secs(seconds).min(RETRY_AFTER_MAX)
}
