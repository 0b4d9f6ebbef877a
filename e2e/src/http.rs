//! The ledger's own HTTP, with no client's help: nothing is sent twice, no answer is mended.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Certificate, Identity, RequestBuilder};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::server::Ready;

const API_VERSION: &str = "api-version=2026-07-31-preview";
/// No answer takes so long unless the server hangs.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// HTTPS to one server, as its administrator.
#[derive(Debug, Clone)]
pub struct Http {
    client: reqwest::Client,
    url: String,
}

/// An answer that arrived whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The header `x-ms-ccf-transaction-id`.
    pub transaction: Option<String>,
    /// The header `Location`.
    pub location: Option<String>,
    /// The header `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
    /// The body.
    pub body: Vec<u8>,
}

impl Http {
    /// Trusts the server's service certificate and nothing else; asks to be told where the leader is.
    ///
    /// # Errors
    /// When the certificate cannot be used.
    pub fn new(ready: &Ready) -> Result<Self> {
        Self::patient(ready, ANSWER_WITHIN)
    }

    /// The same, for one who waits only so long for an answer.
    ///
    /// # Errors
    /// When the certificate cannot be used.
    pub fn patient(ready: &Ready, patience: Duration) -> Result<Self> {
        Self::preferring(ready, patience, Some("redirect"))
    }

    /// The same, for one who does not ask to be told where the leader is: the node passes writes on.
    ///
    /// # Errors
    /// When the certificate cannot be used.
    pub fn passed_on(ready: &Ready, patience: Duration) -> Result<Self> {
        Self::preferring(ready, patience, None)
    }

    /// For whoever holds the key of this certificate (PEM, both), and not as the administrator.
    ///
    /// # Errors
    /// When one of the certificates cannot be used.
    pub fn with_certificate(ready: &Ready, pem: &[u8]) -> Result<Self> {
        let service = fs::read(&ready.service_cert).context("reading the service certificate")?;
        let client = reqwest::Client::builder()
            .tls_certs_only([Certificate::from_pem(&service)?])
            .identity(Identity::from_pem(pem)?)
            .timeout(ANSWER_WITHIN)
            .no_proxy()
            .build()?;
        Ok(Self {
            client,
            url: ready.url.clone(),
        })
    }

    fn preferring(
        ready: &Ready,
        patience: Duration,
        preference: Option<&'static str>,
    ) -> Result<Self> {
        let pem = fs::read(&ready.service_cert).context("reading the service certificate")?;
        let mut headers = HeaderMap::new();
        let token = HeaderValue::try_from(format!("Bearer {}", ready.token))?;
        headers.insert(AUTHORIZATION, token);
        if let Some(preference) = preference {
            headers.insert("prefer", HeaderValue::from_static(preference));
        }
        let client = reqwest::Client::builder()
            .tls_certs_only([Certificate::from_pem(&pem)?])
            .default_headers(headers)
            .timeout(patience)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self {
            client,
            url: ready.url.clone(),
        })
    }

    /// Where the server is: what a `Location` of its begins with.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks for `path`, which may have a query.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn get(&self, path: &str) -> Result<Answer, reqwest::Error> {
        answer(self.client.get(self.address(path))).await
    }

    /// Asks for `path` and reads the JSON of a success.
    ///
    /// # Errors
    /// When no whole answer comes, or another one.
    pub async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.get(path).await?.json()
    }

    /// Sends `body` as JSON to `path`, which may have a query.
    ///
    /// # Errors
    /// When no whole answer comes: what became of the request is then unknown.
    pub async fn post(&self, path: &str, body: &impl Serialize) -> Result<Answer, reqwest::Error> {
        answer(self.client.post(self.address(path)).json(body)).await
    }

    fn address(&self, path: &str) -> String {
        let join = if path.contains('?') { '&' } else { '?' };
        // The address of a next page says the version already.
        match path.contains("api-version=") {
            true => format!("{}{path}", self.url),
            false => format!("{}{path}{join}{API_VERSION}", self.url),
        }
    }
}

impl Answer {
    /// The body of a success.
    ///
    /// # Errors
    /// When it is no success, or not of the shape that `T` has; with what it is.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        if self.status != 200 {
            bail!("answered {}: {}", self.status, self.text());
        }
        serde_json::from_slice(&self.body).with_context(|| format!("reading {}", self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

async fn answer(request: RequestBuilder) -> Result<Answer, reqwest::Error> {
    let response = request.send().await?;
    let text = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
    Ok(Answer {
        status: response.status().as_u16(),
        transaction: text("x-ms-ccf-transaction-id"),
        location: text(LOCATION.as_str()),
        retry_after: text(RETRY_AFTER.as_str()).and_then(|text| text.parse().ok()),
        body: response.bytes().await?.into(),
    })
}
