//! Bearer tokens: JSON Web Tokens of issuers that the operator named (RFC 7519, RFC 8725).

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::{Algorithm, Header, Validation, dangerous};
use ledger::governance::jwt;
use ledger::users::UserId;
use lru::LruCache;
use node::Node;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::caller::Identity;
use super::governed::Governed;
use super::issuer::{Issuer, IssuerError};
use super::keys::Key;
use crate::config::JwtIssuer;
use crate::error::ApiError;
use crate::limits::{CLOCK_SKEW_SECS, KEY_REFRESH, TOKENS_REMEMBERED};

/// No others, whatever a token's header says; above all neither `none` nor a symmetric one.
const ALGORITHMS: [Algorithm; 5] = [
    Algorithm::RS256,
    Algorithm::PS256,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Checks bearer tokens.
pub(crate) struct Tokens {
    /// Those that the operator named.
    issuers: Vec<Arc<Issuer>>,
    /// Those that the members named.
    governed: Governed,
    /// By the token's digest: tokens themselves are secrets, and long.
    remembered: Mutex<LruCache<[u8; 32], Arc<Verified>>>,
    /// Grows when keys were fetched again: what was verified before must be verified again.
    generation: AtomicU64,
}

/// A token that was found good.
#[derive(Debug)]
pub(crate) struct Verified {
    /// Who holds it.
    pub(crate) identity: Arc<Identity>,
    generation: u64,
}

impl Tokens {
    /// Takes tokens of these issuers.
    ///
    /// # Errors
    /// An issuer's configuration cannot be.
    pub(crate) fn new(issuers: Vec<JwtIssuer>) -> Result<Self, IssuerError> {
        let issuers = issuers
            .into_iter()
            .map(|config| Issuer::new(config).map(Arc::new));
        let capacity = NonZeroUsize::new(TOKENS_REMEMBERED).expect("the limit is not zero");
        Ok(Self {
            issuers: issuers.collect::<Result<_, _>>()?,
            governed: Governed::default(),
            remembered: Mutex::new(LruCache::new(capacity)),
            generation: AtomicU64::new(0),
        })
    }

    /// Takes tokens of those issuers too that members named, from the last commit on.
    pub(crate) fn follow(&self, node: &Node) {
        // Read before the state: what is read after it is at least as new as it says.
        let version = node.access_version();
        if self.governed.follow(version, || jwt::issuers(node.state())) {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Whether a token that was found good before still is.
    pub(crate) fn still_good(&self, verified: &Verified) -> bool {
        verified.generation == self.generation.load(Ordering::Acquire)
            && !verified.identity.has_expired()
    }

    /// Checks a token.
    ///
    /// # Errors
    /// It is not good; the message says why, but nothing that helps to forge one.
    pub(crate) async fn verify(&self, token: &str) -> Result<Arc<Verified>, ApiError> {
        let digest: [u8; 32] = digest(&SHA256, token.as_bytes())
            .as_ref()
            .try_into()
            .expect("SHA-256 has 32 bytes");
        let known = self.remembered().get(&digest).cloned();
        if let Some(known) = known
            && self.still_good(&known)
        {
            return Ok(known);
        }
        let generation = self.generation.load(Ordering::Acquire);
        let verified = Arc::new(self.verify_anew(token, generation).await.map_err(refused)?);
        self.remembered().put(digest, Arc::clone(&verified));
        Ok(verified)
    }

    async fn verify_anew(&self, token: &str, generation: u64) -> Result<Verified, &'static str> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| "it is no JSON Web Token")?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err("its algorithm is not RS256, PS256, ES256, ES384 or EdDSA");
        }
        if header.crit.is_some() {
            return Err("it demands extensions that are not known here");
        }
        let issuer = self.issuer_of(token)?;
        let mut keys = issuer.fitting(header.kid.as_deref(), header.alg);
        let mut generation = generation;
        if keys.is_empty() {
            if issuer.refresh().await {
                generation = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
            }
            // Somebody else may have fetched them while we waited for our turn.
            keys = issuer.fitting(header.kid.as_deref(), header.alg);
        }
        if keys.is_empty() {
            return Err("its issuer has no such key");
        }
        let claims = claims_of(token, &header, &issuer.config, &keys)?;
        let user = user_of(&claims, issuer.config.user_claim.as_deref())?;
        let expires_at = claims
            .get("exp")
            .and_then(seconds)
            .ok_or("its exp is no number")?;
        Ok(Verified {
            identity: Arc::new(Identity::of_token(user, expires_at)),
            generation,
        })
    }

    fn issuer_of(&self, token: &str) -> Result<Arc<Issuer>, &'static str> {
        #[derive(Deserialize)]
        struct Claims {
            iss: String,
        }
        // Only to choose whose keys to check it with.
        let claims: Claims =
            dangerous::insecure_decode_claims(token).map_err(|_| "it names no issuer")?;
        let issuers = &mut self.issuers.iter();
        issuers
            .find(|issuer| issuer.config.issuer == claims.iss)
            .cloned()
            .or_else(|| self.governed.find(&claims.iss))
            .ok_or("its issuer is unknown here")
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, LruCache<[u8; 32], Arc<Verified>>> {
        // Nobody panics while holding it; if so, a cache is a cache.
        self.remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches keys from time to time, so that those an issuer withdrew are no longer believed.
    pub(crate) async fn keep_fresh(&self, stopping: CancellationToken) {
        loop {
            for issuer in self.issuers.iter().cloned().chain(self.governed.all()) {
                if issuer.refresh().await {
                    self.generation.fetch_add(1, Ordering::AcqRel);
                }
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(KEY_REFRESH) => {}
            }
        }
    }
}

fn claims_of(
    token: &str,
    header: &Header,
    config: &JwtIssuer,
    keys: &[Key],
) -> Result<Map<String, Value>, &'static str> {
    use jsonwebtoken::errors::ErrorKind;

    let mut validation = Validation::new(header.alg);
    validation.leeway = CLOCK_SKEW_SECS;
    validation.validate_nbf = true;
    validation.set_issuer(&[&config.issuer]);
    validation.set_audience(&config.audiences);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    let mut reason = "its issuer has no such key";
    for key in keys {
        match jsonwebtoken::decode(token, key.decoding_key(), &validation) {
            Ok(token) => return Ok(token.claims),
            Err(error) => {
                reason = match error.kind() {
                    ErrorKind::ExpiredSignature => return Err("it has expired"),
                    ErrorKind::ImmatureSignature => return Err("it is not valid yet"),
                    ErrorKind::InvalidAudience => return Err("it is for another audience"),
                    ErrorKind::MissingRequiredClaim(_) => {
                        return Err("it lacks one of exp, iss and aud");
                    }
                    ErrorKind::InvalidSignature => "its signature is wrong",
                    _ => "it cannot be read",
                }
            }
        }
    }
    Err(reason)
}

fn user_of(claims: &Map<String, Value>, claim: Option<&str>) -> Result<UserId, &'static str> {
    let text = match claim {
        Some(claim) => claims.get(claim),
        None => claims.get("oid").or_else(|| claims.get("sub")),
    };
    let text = text
        .and_then(Value::as_str)
        .ok_or("it does not say who holds it")?;
    // Fingerprints belong to those who hold a certificate's key; no issuer can vouch for them.
    if text.contains(':') && text.len() == FINGERPRINT_CHARS {
        return Err("its holder's name is a certificate's fingerprint");
    }
    UserId::parse(text).map_err(|_| "its holder's name cannot be a user id")
}

/// 32 bytes in hex, 31 colons.
const FINGERPRINT_CHARS: usize = 95;

/// RFC 7519 allows fractions of seconds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and a time before 1970 has passed"
)]
fn seconds(value: &Value) -> Option<u64> {
    value
        .as_u64()
        .or_else(|| value.as_f64().map(|seconds| seconds as u64))
}

fn refused(why: &'static str) -> ApiError {
    ApiError::unauthenticated(format!("The bearer token is refused: {why}."))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn user(claims: &Value, claim: Option<&str>) -> Result<UserId, &'static str> {
        user_of(claims.as_object().unwrap(), claim)
    }

    #[test]
    fn the_object_id_is_the_user_and_else_the_subject() {
        let both = json!({"oid": "object", "sub": "subject", "email": "a@b"});
        assert_eq!(user(&both, None).unwrap().as_str(), "object");
        assert_eq!(user(&both, Some("email")).unwrap().as_str(), "a@b");
        assert_eq!(
            user(&json!({"sub": "subject"}), None).unwrap().as_str(),
            "subject"
        );
        assert!(user(&json!({"sub": "subject"}), Some("email")).is_err());
        assert!(user(&json!({"sub": 17}), None).is_err());
    }

    #[test]
    fn no_issuer_can_vouch_for_a_certificate() {
        let fingerprint = ["ab"; 32].join(":");
        assert!(user(&json!({"sub": fingerprint}), None).is_err());
    }
}
