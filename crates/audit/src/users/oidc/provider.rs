//! The provider: what it says of itself, its keys, and codes for tokens.
//!
//! Only the configured issuer is asked, and the addresses that it names itself. Each request has an end, each
//! answer a length; nothing is asked more often than the limits say, whatever tokens name.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::StatusCode;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::Jwk;
use reqwest::{Client, RequestBuilder, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{Mutex, Semaphore};
use zeroize::Zeroizing;

use super::super::secret::Secret;
use super::attempt::Attempt;
use super::token::{self, About, Expected, Person, Refused};
use super::{Config, ConfigError};
use crate::Problem;
use crate::address::address;
use crate::limits::{
    OIDC_ANSWER_BYTES_MAX, OIDC_KEYS_MAX, OIDC_KNOWN_LIFETIME, OIDC_LOOK_AGAIN, OIDC_PATIENCE,
    OIDC_TOGETHER_MAX,
};
use crate::model::millis;

/// See the module.
pub(in super::super) struct Provider {
    pub(super) config: Config,
    issuer: Url,
    client: Client,
    turns: Semaphore,
    /// Held while it is asked: who waited for it finds what the other was told.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    metadata: Option<At<Metadata>>,
    keys: Option<At<Vec<Jwk>>>,
    /// When it was last asked for one of them and gave none.
    failed: Option<i64>,
}

/// Something, and when it was asked for.
struct At<T>(i64, Arc<T>);

impl<T> At<T> {
    fn younger_than(known: &Option<Self>, span: i64, now: i64) -> Option<Arc<T>> {
        let Self(at, known) = known.as_ref()?;
        (*at..*at + span).contains(&now).then(|| Arc::clone(known))
    }
}

/// What the provider says of itself (OpenID Connect Discovery 1.0, section 3; RFC 9207).
pub(super) struct Metadata {
    authorization: Url,
    token: Url,
    keys: Url,
    userinfo: Option<Url>,
    algorithms: Vec<Algorithm>,
    /// Whether it knows us by a header, and not by a field of a form.
    basic: bool,
    /// Whether it says who it is when it sends a browser back.
    says_issuer: bool,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    userinfo_endpoint: Option<String>,
    id_token_signing_alg_values_supported: Vec<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

/// Tokens of the provider: for us alone.
#[derive(Deserialize)]
struct Tokens {
    id_token: Secret,
    #[serde(default)]
    access_token: Option<Secret>,
}

#[derive(Deserialize)]
struct ErrorCode {
    error: String,
}

#[derive(Deserialize)]
struct UserInfo {
    sub: String,
    #[serde(flatten)]
    person: Person,
}

/// Why the provider gave no answer that is one.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("it is not reached, or not in time")]
    Reach(#[from] reqwest::Error),
    #[error("it answers {0}")]
    Status(StatusCode),
    #[error("it answers more than {OIDC_ANSWER_BYTES_MAX} bytes")]
    TooLong,
    #[error("its answer is not what it should be")]
    Form(#[from] serde_json::Error),
    #[error("it says that it is {0:?}, which is not its name here")]
    Issuer(String),
    #[error("it names the address {0:?}, which is not asked: it has to be https")]
    Address(String),
    #[error("it signs with nothing that is believed")]
    Algorithms,
    #[error("it does not know us: {0:?}")]
    Client(String),
    #[error("it was asked a moment ago, and gave no answer")]
    Lately,
    #[error("too many ask it at this moment")]
    Busy,
}

impl From<Failed> for Problem {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Busy => return Self::busy("too many sign in at this moment; try again"),
            // It was told then.
            Failed::Lately => {}
            failed => tracing::warn!(error = ?failed, "the identity provider: {failed}"),
        }
        Self::unavailable(
            "ProviderUnavailable",
            "the identity provider cannot be asked now; try again, or sign in with a password",
        )
        .after(OIDC_LOOK_AGAIN.as_secs())
    }
}

impl Provider {
    /// The provider. It is not asked yet: services start whether it is there or not.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub(in super::super) fn new(config: Config) -> Result<Self, ConfigError> {
        let issuer = address(&config.issuer, true).filter(|url| url.query().is_none());
        let issuer = issuer.ok_or_else(|| ConfigError::Issuer(config.issuer.clone()))?;
        if address(&config.redirect_uri, false).is_none() {
            return Err(ConfigError::RedirectUri(config.redirect_uri));
        }
        let plain = |text: &str| !text.is_empty() && !text.contains(char::is_control);
        if !plain(&config.client_id) || !plain(config.client_secret.expose()) {
            return Err(ConfigError::Client);
        }
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(OIDC_PATIENCE)
            .build()
            .map_err(ConfigError::Tls)?;
        Ok(Self {
            config,
            issuer,
            client,
            turns: Semaphore::new(OIDC_TOGETHER_MAX),
            known: Mutex::default(),
        })
    }

    /// Where a browser goes to sign in.
    ///
    /// # Errors
    /// The provider cannot be asked.
    pub(super) async fn sign_in_url(&self, attempt: &Attempt, now: i64) -> Result<Url, Problem> {
        let metadata = self.metadata(now).await?;
        let verifier = attempt.verifier.expose();
        let challenge = digest(&SHA256, verifier.as_bytes());
        let mut scopes = vec!["openid"];
        let others = self.config.scopes.iter().map(String::as_str);
        scopes.extend(others.filter(|scope| *scope != "openid"));
        let mut url = metadata.authorization.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", &self.config.redirect_uri)
            .append_pair("scope", &scopes.join(" "))
            .append_pair("state", attempt.state.expose())
            .append_pair("nonce", attempt.nonce.expose())
            .append_pair("code_challenge", &URL_SAFE_NO_PAD.encode(challenge))
            .append_pair("code_challenge_method", "S256");
        if !self.config.acr.is_empty() {
            let acr = self.config.acr.join(" ");
            url.query_pairs_mut().append_pair("acr_values", &acr);
        }
        Ok(url)
    }

    /// Whether an answer came from this provider, as far as it says so itself (RFC 9207): looked at before
    /// anybody is sent the code.
    ///
    /// # Errors
    /// It is another's; or the provider cannot be asked.
    pub(super) async fn check_issuer(&self, said: Option<&str>, now: i64) -> Result<(), Problem> {
        let must = self.metadata(now).await?.says_issuer;
        match said {
            Some(said) if said == self.config.issuer => Ok(()),
            None if !must => Ok(()),
            Some(_) | None => {
                tracing::warn!(
                    said,
                    "an answer to a sign-in is not the identity provider's"
                );
                Err(super::signing_in::begin_again(
                    "the answer is not the identity provider's",
                ))
            }
        }
    }

    /// Whom a code is about.
    ///
    /// # Errors
    /// The provider or we do not believe it; or the provider cannot be asked.
    pub(super) async fn redeem(
        &self,
        code: &Secret,
        attempt: &Attempt,
        now: i64,
    ) -> Result<(About, Option<Secret>), Problem> {
        let metadata = self.metadata(now).await?;
        let tokens = self.exchange(&metadata, code, &attempt.verifier).await?;
        let expected = Expected {
            issuer: &self.config.issuer,
            client_id: &self.config.client_id,
            audiences: &self.config.audiences,
            acr: &self.config.acr,
            nonce: attempt.nonce.expose(),
            now_millis: now,
        };
        let token = tokens.id_token.expose();
        let verify = |keys: &[Jwk]| token::verify(keys, &metadata.algorithms, token, &expected);
        let keys = self.keys(&metadata, OIDC_KNOWN_LIFETIME, now).await?;
        let mut about = verify(&keys);
        if about == Err(Refused::Key) {
            let keys = self.keys(&metadata, OIDC_LOOK_AGAIN, now).await?;
            about = verify(&keys);
        }
        let about = about.map_err(|refused| {
            tracing::warn!(%refused, "an ID token is refused");
            match refused {
                Refused::Acr => Problem::unauthenticated(
                    "the identity provider has not found out well enough who you are: sign in there with more \
                     than a password, and begin again",
                ),
                _ => not_believed(),
            }
        })?;
        Ok((about, tokens.access_token))
    }

    /// What the provider says of somebody when it is asked (OpenID Connect Core 1.0, section 5.3), if it can be.
    ///
    /// # Errors
    /// It says it of somebody else; or it cannot be asked.
    pub(super) async fn person(
        &self,
        subject: &str,
        access: &Secret,
        now: i64,
    ) -> Result<Person, Problem> {
        let metadata = self.metadata(now).await?;
        let Some(url) = metadata.userinfo.clone() else {
            return Ok(Person::default());
        };
        let request = self.client.get(url).bearer_auth(access.expose());
        let info: UserInfo = self.ask(request).await?;
        if info.sub != subject {
            tracing::warn!("the identity provider speaks of somebody else than its token does");
            return Err(not_believed());
        }
        Ok(info.person)
    }

    async fn exchange(
        &self,
        metadata: &Metadata,
        code: &Secret,
        verifier: &Secret,
    ) -> Result<Tokens, Problem> {
        let (id, secret) = (&self.config.client_id, self.config.client_secret.expose());
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", &self.config.redirect_uri),
            ("code_verifier", verifier.expose()),
        ];
        if !metadata.basic {
            fields.extend([("client_id", id.as_str()), ("client_secret", secret)]);
        }
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        let request = self.client.post(metadata.token.clone());
        let mut request = request
            .header(CONTENT_TYPE, form)
            .body(form_of(&fields).to_string());
        if metadata.basic {
            let (id, secret) = (escaped(id), escaped(secret));
            let both = Zeroizing::new(format!("{}:{}", id.as_str(), secret.as_str()));
            let basic = Zeroizing::new(format!("Basic {}", STANDARD.encode(both.as_bytes())));
            request = request.header(AUTHORIZATION, basic.as_str());
        }
        let (status, body) = self.send(request).await?;
        if status.is_success() {
            return Ok(serde_json::from_slice(&body).map_err(Failed::from)?);
        }
        let error = serde_json::from_slice(&body).map(|code: ErrorCode| code.error);
        match error.as_deref() {
            Ok("invalid_grant") => {
                tracing::warn!(
                    "the identity provider does not take the code that a browser brought"
                );
                Err(not_believed())
            }
            // Ours to mend: the id, the secret, or what is registered there.
            Ok(error) => Err(Failed::Client(error.to_owned()).into()),
            Err(_) => Err(Failed::Status(status).into()),
        }
    }

    async fn metadata(&self, now: i64) -> Result<Arc<Metadata>, Failed> {
        let mut known = self.known.lock().await;
        let life = millis(OIDC_KNOWN_LIFETIME);
        if let Some(metadata) = At::younger_than(&known.metadata, life, now) {
            return Ok(metadata);
        }
        known.check(now)?;
        let asked = self.discover().await;
        let metadata = Arc::new(known.note(asked, now)?);
        known.metadata = Some(At(now, Arc::clone(&metadata)));
        Ok(metadata)
    }

    /// The provider's keys, asked for within this time.
    async fn keys(
        &self,
        metadata: &Metadata,
        within: std::time::Duration,
        now: i64,
    ) -> Result<Arc<Vec<Jwk>>, Failed> {
        let mut known = self.known.lock().await;
        if let Some(keys) = At::younger_than(&known.keys, millis(within), now) {
            return Ok(keys);
        }
        known.check(now)?;
        let asked = self.ask(self.client.get(metadata.keys.clone())).await;
        let set: KeySet = known.note(asked, now)?;
        // Those of kinds that nobody here knows are not for us.
        let keys = set.keys.into_iter().take(OIDC_KEYS_MAX);
        let keys = keys.filter_map(|key| serde_json::from_value(key).ok());
        let keys = Arc::new(keys.collect());
        known.keys = Some(At(now, Arc::clone(&keys)));
        Ok(keys)
    }

    async fn discover(&self) -> Result<Metadata, Failed> {
        let path = self.issuer.path().trim_end_matches('/');
        let mut url = self.issuer.clone();
        url.set_path(&format!("{path}/.well-known/openid-configuration"));
        let document: Document = self.ask(self.client.get(url)).await?;
        if document.issuer != self.config.issuer {
            return Err(Failed::Issuer(document.issuer));
        }
        let here = self.issuer.scheme() == "http";
        let endpoint =
            |text: String| address(&text, here).ok_or_else(|| Failed::Address(text.clone()));
        let algorithms = token::algorithms(&document.id_token_signing_alg_values_supported);
        if algorithms.is_empty() {
            return Err(Failed::Algorithms);
        }
        let methods = document.token_endpoint_auth_methods_supported;
        let basic =
            methods.is_none_or(|methods| methods.iter().any(|m| m == "client_secret_basic"));
        Ok(Metadata {
            authorization: endpoint(document.authorization_endpoint)?,
            token: endpoint(document.token_endpoint)?,
            keys: endpoint(document.jwks_uri)?,
            userinfo: document.userinfo_endpoint.map(endpoint).transpose()?,
            algorithms,
            basic,
            says_issuer: document.authorization_response_iss_parameter_supported,
        })
    }

    async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failed> {
        let json = HeaderValue::from_static("application/json");
        let (status, body) = self.send(request.header(ACCEPT, json)).await?;
        if !status.is_success() {
            return Err(Failed::Status(status));
        }
        Ok(serde_json::from_slice(&body)?)
    }

    async fn send(
        &self,
        request: RequestBuilder,
    ) -> Result<(StatusCode, Zeroizing<Vec<u8>>), Failed> {
        let _turn = self.turns.try_acquire().map_err(|_| Failed::Busy)?;
        let mut answer = request.send().await.map_err(reqwest::Error::without_url)?;
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
            if body.len() + chunk.len() > OIDC_ANSWER_BYTES_MAX {
                return Err(Failed::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok((answer.status(), body))
    }
}

impl Known {
    /// That the provider may be asked again.
    fn check(&self, now: i64) -> Result<(), Failed> {
        let soon = |failed: i64| (failed..failed + millis(OIDC_LOOK_AGAIN)).contains(&now);
        match self.failed {
            Some(failed) if soon(failed) => Err(Failed::Lately),
            Some(_) | None => Ok(()),
        }
    }

    fn note<T>(&mut self, asked: Result<T, Failed>, now: i64) -> Result<T, Failed> {
        self.failed = match &asked {
            Ok(_) | Err(Failed::Busy) => None,
            Err(_) => Some(now),
        };
        asked
    }
}

fn not_believed() -> Problem {
    Problem::unauthenticated(
        "the identity provider's answer is not believed; begin to sign in again",
    )
}

/// Fields as a form sends them: a URL's query is written in the same way.
fn form_of(fields: &[(&str, &str)]) -> Zeroizing<String> {
    let mut url = Url::parse("form:").expect("it is a URL");
    url.query_pairs_mut().extend_pairs(fields);
    Zeroizing::new(url.query().unwrap_or_default().to_owned())
}

/// The same of one text: so RFC 6749 has names and secrets in a header too (section 2.3.1).
fn escaped(text: &str) -> Zeroizing<String> {
    Zeroizing::new(form_of(&[("", text)]).trim_start_matches('=').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_written_as_forms_are() {
        let form = form_of(&[("code", "a b&c=d"), ("redirect_uri", "https://a/é")]);
        let expected = "code=a+b%26c%3Dd&redirect_uri=https%3A%2F%2Fa%2F%C3%A9";
        assert_eq!(form.as_str(), expected);
        assert_eq!(escaped("a:b =+").as_str(), "a%3Ab+%3D%2B");
    }
}
