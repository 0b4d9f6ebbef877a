//! How a client is made: address, trust anchor, credential.

use std::fmt;
use std::sync::Arc;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Certificate, Identity, Url};

use crate::error::ClientError;
use crate::limits::{ANSWER_TIMEOUT, CONNECT_TIMEOUT};
use crate::proof::Proof;

/// The version of the API that this client speaks.
pub const API_VERSION: &str = "2026-07-31-preview";

/// What a caller shows to be let in.
#[derive(Clone)]
pub enum Credential {
    /// Nothing: enough for the ledger's identity, its state and its receipts.
    None,
    /// A bearer token (JWT).
    Bearer(String),
    /// A client certificate: its private key and certificate chain, PEM, in one text.
    Certificate(String),
}

impl Credential {
    /// A bearer token.
    pub fn bearer(token: impl Into<String>) -> Self {
        Self::Bearer(token.into())
    }

    /// A client certificate from its two PEM texts.
    pub fn certificate(key_pem: &str, cert_pem: &str) -> Self {
        Self::Certificate(format!("{key_pem}\n{cert_pem}"))
    }
}

/// Says which kind it is, and nothing of the secret.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "no credential",
            Self::Bearer(_) => "a bearer token",
            Self::Certificate(_) => "a client certificate",
        })
    }
}

/// A ledger, as a program uses it. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) http: reqwest::Client,
    pub(crate) base: Url,
    /// `None`: the caller asked for receipts unchecked.
    pub(crate) proof: Option<Arc<Proof>>,
}

impl Client {
    /// Begins a client for the ledger at `url` (`https://host:port`).
    pub fn builder(url: impl Into<String>) -> ClientBuilder {
        ClientBuilder {
            url: url.into(),
            service_cert: None,
            credential: Credential::None,
            verify_receipts: true,
        }
    }

    /// The ledger's address.
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }
}

/// Collects what a [`Client`] needs.
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientBuilder {
    url: String,
    service_cert: Option<String>,
    credential: Credential,
    verify_receipts: bool,
}

impl ClientBuilder {
    /// The service certificate, PEM: the one trust anchor of the connection and of every receipt.
    pub fn service_cert(mut self, pem: impl Into<String>) -> Self {
        self.service_cert = Some(pem.into());
        self
    }

    /// What to show to be let in.
    pub fn credential(mut self, credential: Credential) -> Self {
        self.credential = credential;
        self
    }

    /// Hands out receipts as the server sent them. Whoever relies on them must check them.
    pub fn without_verification(mut self) -> Self {
        self.verify_receipts = false;
        self
    }

    /// Makes the client; connects to nothing yet.
    ///
    /// # Errors
    /// [`ClientError::Setup`]: the address is not `https`, there is no service certificate, or a
    /// PEM text cannot be read.
    pub fn build(self) -> Result<Client, ClientError> {
        let base = parse_url(&self.url)?;
        let Some(pem) = self.service_cert else {
            return setup("a ledger is trusted by its service certificate, and none was given");
        };
        let anchors = Certificate::from_pem_bundle(pem.as_bytes()).unwrap_or_default();
        let [anchor] = <[Certificate; 1]>::try_from(anchors).map_err(|found| {
            let count = found.len();
            ClientError::Setup(format!(
                "the service certificate must be one PEM, not {count}"
            ))
        })?;
        let proof = match self.verify_receipts {
            true => Some(Arc::new(Proof::new(&pem)?)),
            false => None,
        };
        let mut builder = plain(&base).tls_certs_only([anchor]);
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        match &self.credential {
            Credential::None => {}
            Credential::Bearer(token) => {
                let Ok(mut value) = HeaderValue::try_from(format!("Bearer {}", token.trim()))
                else {
                    return setup("the bearer token has characters that no token has");
                };
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
            Credential::Certificate(pem) => {
                let Ok(identity) = Identity::from_pem(pem.as_bytes()) else {
                    return setup("the client certificate and its key cannot be read as PEM");
                };
                builder = builder.identity(identity);
            }
        }
        let http = builder.default_headers(headers).build().map_err(|error| {
            let why = std::error::Error::source(&error).map(ToString::to_string);
            ClientError::Setup(format!("TLS cannot be set up: {}", why.unwrap_or_default()))
        })?;
        Ok(Client { http, base, proof })
    }
}

/// What all connections share, trust left open.
pub(crate) fn plain(base: &Url) -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("counterfoil/", env!("CARGO_PKG_VERSION")))
        .https_only(true)
        // Other ledgers with the same API send writes to their leader; what this client trusts does
        // not change.
        .redirect(reqwest::redirect::Policy::none())
        .tls_version_min(reqwest::tls::Version::TLS_1_2)
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(ANSWER_TIMEOUT)
        .tcp_nodelay(true);
    // A proxy for the outside world cannot reach this machine's own loopback.
    if is_loopback(base) {
        builder.no_proxy()
    } else {
        builder
    }
}

fn is_loopback(base: &Url) -> bool {
    let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse()
            .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

pub(crate) fn parse_url(text: &str) -> Result<Url, ClientError> {
    let Ok(mut url) = Url::parse(text) else {
        return setup(format!(
            "{text:?} is not an address like https://127.0.0.1:8443"
        ));
    };
    if url.scheme() != "https" || url.host_str().is_none() {
        return setup(format!("a ledger is reached over https, not as {text:?}"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return setup(format!("{text:?} has more than a host, a port and a path"));
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

pub(crate) fn setup<T>(text: impl Into<String>) -> Result<T, ClientError> {
    Err(ClientError::Setup(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_is_reached_over_https_only() {
        assert!(parse_url("https://127.0.0.1:8443").is_ok());
        for text in [
            "",
            "127.0.0.1:8443",
            "http://127.0.0.1",
            "https://h/?a=b",
            "https://h/#f",
        ] {
            assert!(
                matches!(parse_url(text), Err(ClientError::Setup(_))),
                "{text:?}"
            );
        }
    }

    #[test]
    fn there_is_no_client_without_a_trust_anchor() {
        let built = Client::builder("https://localhost:1").build();
        assert!(matches!(built, Err(ClientError::Setup(_))));
        let built = Client::builder("https://localhost:1")
            .service_cert("not PEM")
            .build();
        assert!(matches!(built, Err(ClientError::Setup(_))));
    }

    #[test]
    fn a_secret_is_never_printed() {
        let shown = format!(
            "{:?}",
            Client::builder("x").credential(Credential::bearer("s3cret"))
        );
        assert!(!shown.contains("s3cret"));
    }

    #[test]
    fn loopback_addresses_are_known() {
        for (text, expected) in [
            ("https://localhost:1", true),
            ("https://127.0.0.1", true),
            ("https://[::1]:5", true),
            ("https://ledger.example", false),
        ] {
            assert_eq!(is_loopback(&parse_url(text).unwrap()), expected, "{text}");
        }
    }
}
