//! One token issuer: where its keys come from, and when they are fetched again.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::keys::{self, Key, KeySetError};
use crate::config::{JwksSource, JwtIssuer};
use crate::error::chain;
use crate::limits::{ISSUER_BYTES_MAX, ISSUER_TIMEOUT, KEY_REFRESH_PAUSE};

/// Why an issuer cannot be believed, or its keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// Name in the configuration which audience means this ledger.
    #[error("the issuer {0} has no audience: any of its tokens would be taken")]
    NoAudience(String),
    /// Keys are fetched over `https` only, or over `http` from this machine.
    #[error("{0} is not an https URL")]
    NotHttps(String),
    /// The extra certificates are no PEM.
    #[error("the certificates for the web server of issuer {issuer} cannot be read")]
    TlsRoots {
        /// The issuer.
        issuer: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The issuer's web server does not answer as it should.
    #[error("fetching {url}")]
    Fetch {
        /// From where.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The answer is longer than [`ISSUER_BYTES_MAX`].
    #[error("{0} answers with more than {ISSUER_BYTES_MAX} bytes")]
    TooLong(String),
    /// The discovery document is not what OpenID Connect Discovery says, or is another issuer's.
    #[error("the discovery document at {0} is not that of its issuer")]
    Discovery(String),
    /// The keys cannot be used.
    #[error("the keys of issuer {issuer}")]
    Keys {
        /// The issuer.
        issuer: String,
        /// Why.
        #[source]
        source: KeySetError,
    },
}

/// An issuer and its keys.
pub(crate) struct Issuer {
    /// What the operator said.
    pub(crate) config: JwtIssuer,
    keys: ArcSwap<Vec<Key>>,
    /// When keys were last asked for. Held while they are fetched, so that one fetch serves all.
    asked: Mutex<Option<Instant>>,
    http: Option<reqwest::Client>,
}

impl Issuer {
    /// An issuer. Static keys are read at once, others when they are needed.
    ///
    /// # Errors
    /// The configuration cannot be.
    pub(crate) fn new(config: JwtIssuer) -> Result<Self, IssuerError> {
        if config.audiences.is_empty() {
            return Err(IssuerError::NoAudience(config.issuer));
        }
        let (keys, http) = match &config.jwks {
            JwksSource::Static(json) => {
                let keys = keys::parse(json.as_bytes());
                let failed = |source| IssuerError::Keys {
                    issuer: config.issuer.clone(),
                    source,
                };
                (keys.map_err(failed)?, None)
            }
            JwksSource::Url(url) => {
                refuse_plain_http(url)?;
                (Vec::new(), Some(client(&config)?))
            }
            JwksSource::Discovery => {
                refuse_plain_http(&config.issuer)?;
                (Vec::new(), Some(client(&config)?))
            }
        };
        Ok(Self {
            config,
            keys: ArcSwap::from_pointee(keys),
            asked: Mutex::new(None),
            http,
        })
    }

    /// The keys that may have signed a token with this header.
    pub(crate) fn fitting(&self, id: Option<&str>, algorithm: Algorithm) -> Vec<Key> {
        self.keys
            .load()
            .iter()
            .filter(|key| key.fits(id, algorithm))
            .cloned()
            .collect()
    }

    /// Fetches the keys again, unless that was just done or they are static. Returns whether it
    /// was done. Failures are logged; the keys stay what they were.
    pub(crate) async fn refresh(&self) -> bool {
        let Some(http) = &self.http else { return false };
        let mut asked = self.asked.lock().await;
        if asked.is_some_and(|at| at.elapsed() < KEY_REFRESH_PAUSE) {
            return false;
        }
        *asked = Some(Instant::now());
        match self.fetch(http).await {
            Ok(keys) => {
                tracing::info!(
                    issuer = self.config.issuer,
                    keys = keys.len(),
                    "fetched keys"
                );
                self.keys.store(Arc::new(keys));
                true
            }
            Err(error) => {
                let issuer = &self.config.issuer;
                tracing::warn!(issuer, error = %chain(&error), "could not fetch keys");
                false
            }
        }
    }

    async fn fetch(&self, http: &reqwest::Client) -> Result<Vec<Key>, IssuerError> {
        let url = match &self.config.jwks {
            JwksSource::Url(url) => url.clone(),
            _ => self.discover(http).await?,
        };
        let json = fetch(http, &url).await?;
        let failed = |source| IssuerError::Keys {
            issuer: self.config.issuer.clone(),
            source,
        };
        keys::parse(&json).map_err(failed)
    }

    async fn discover(&self, http: &reqwest::Client) -> Result<String, IssuerError> {
        #[derive(Deserialize)]
        struct Document {
            issuer: String,
            jwks_uri: String,
        }
        let base = self.config.issuer.trim_end_matches('/');
        let url = format!("{base}/.well-known/openid-configuration");
        let json = fetch(http, &url).await?;
        match serde_json::from_slice::<Document>(&json) {
            Ok(document) if document.issuer == self.config.issuer => {
                refuse_plain_http(&document.jwks_uri)?;
                Ok(document.jwks_uri)
            }
            _ => Err(IssuerError::Discovery(url)),
        }
    }
}

fn client(config: &JwtIssuer) -> Result<reqwest::Client, IssuerError> {
    let failed = |source| IssuerError::TlsRoots {
        issuer: config.issuer.clone(),
        source,
    };
    let mut builder = reqwest::Client::builder()
        .timeout(ISSUER_TIMEOUT)
        .connect_timeout(ISSUER_TIMEOUT)
        .pool_idle_timeout(Duration::from_secs(5))
        .redirect(reqwest::redirect::Policy::none());
    if let Some(pem) = &config.tls_roots {
        let roots = reqwest::Certificate::from_pem_bundle(pem.as_bytes()).map_err(failed)?;
        builder = builder.tls_certs_merge(roots);
    }
    builder.build().map_err(failed)
}

async fn fetch(http: &reqwest::Client, url: &str) -> Result<Vec<u8>, IssuerError> {
    let failed = |source| IssuerError::Fetch {
        url: url.to_owned(),
        source,
    };
    let answer = http.get(url).send().await.map_err(failed)?;
    let mut answer = answer.error_for_status().map_err(failed)?;
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(failed)? {
        if bytes.len() + piece.len() > ISSUER_BYTES_MAX {
            return Err(IssuerError::TooLong(url.to_owned()));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// Keys that come over an open wire could be anybody's. This machine itself is trusted.
fn refuse_plain_http(url: &str) -> Result<(), IssuerError> {
    let fine = match reqwest::Url::parse(url) {
        Ok(url) if url.scheme() == "https" => true,
        Ok(url) if url.scheme() == "http" => {
            matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
        }
        _ => false,
    };
    if fine {
        Ok(())
    } else {
        Err(IssuerError::NotHttps(url.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(jwks: JwksSource, audiences: &[&str]) -> JwtIssuer {
        JwtIssuer {
            issuer: "https://issuer.example".to_owned(),
            audiences: audiences
                .iter()
                .map(|&audience| audience.to_owned())
                .collect(),
            jwks,
            user_claim: None,
            tls_roots: None,
        }
    }

    #[test]
    fn keys_never_come_over_an_open_wire() {
        for url in ["http://example.com/keys", "ftp://localhost/keys", "keys"] {
            let issuer = Issuer::new(config(JwksSource::Url(url.to_owned()), &["a"]));
            assert!(matches!(issuer, Err(IssuerError::NotHttps(_))), "{url}");
        }
        assert!(refuse_plain_http("http://127.0.0.1:1/keys").is_ok());
        assert!(refuse_plain_http("https://example.com/keys").is_ok());
    }

    #[test]
    fn an_issuer_without_an_audience_is_refused() {
        let issuer = Issuer::new(config(JwksSource::Discovery, &[]));
        assert!(matches!(issuer, Err(IssuerError::NoAudience(_))));
    }
}
