//! Access tokens: JSON Web Tokens signed with ES256, and nothing else (RFC 7519, RFC 8725). Pure, given keys
//! and the time.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jsonwebtoken::{Algorithm, Header, Validation};
use lru::LruCache;
use serde::{Deserialize, Serialize};

use super::keys::Ring;
use super::model::{Kind, SessionId, UserId};
use super::secret::Secret;
use crate::Problem;
use crate::limits::{ACCESS_LIFETIME, CLOCK_SKEW, TOKEN_BYTES_MAX, TOKENS_SEEN};

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Claims {
    /// Which service gave it.
    pub(super) iss: String,
    /// To whom.
    pub(super) sub: UserId,
    /// What they are.
    pub(super) kind: Kind,
    /// In which session.
    pub(super) sid: SessionId,
    /// When, in seconds after the beginning of 1970.
    pub(super) iat: i64,
    /// Until when it is good.
    pub(super) exp: i64,
    /// Its own name, which no other has.
    pub(super) jti: String,
}

/// Why a token is not believed. What helps to forge one is not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("it is no JSON Web Token of ours")]
    Form,
    #[error("its algorithm is not ES256")]
    Algorithm,
    #[error("it does not name its key")]
    Unnamed,
    #[error("its key is not known")]
    Key,
    #[error("its signature is wrong")]
    Signature,
    #[error("it is another service's")]
    Issuer,
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    Early,
    #[error("its session has ended")]
    Revoked,
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self::unauthenticated(format!("the access token is refused: {refused}"))
    }
}

/// Signs a token with the newest key.
pub(super) fn sign(ring: &Ring, claims: &Claims) -> Secret {
    let key = ring.newest();
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some(key.id.clone());
    let token = jsonwebtoken::encode(&header, claims, &key.signing);
    Secret::from(token.expect("the key was read as a P-256 key, and claims are JSON"))
}

/// What a token says whose signature is good, and the name of the key that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signed {
    claims: Claims,
    key: String,
}

impl Signed {
    /// What it says, if it is this issuer's, its key is still known, and it is good at this time.
    ///
    /// # Errors
    /// See [`Refused`].
    pub(super) fn claims(
        &self,
        ring: &Ring,
        issuer: &str,
        now_millis: i64,
    ) -> Result<Claims, Refused> {
        let Self { claims, key } = self;
        ring.find(key, now_millis).ok_or(Refused::Key)?;
        if claims.iss != issuer {
            return Err(Refused::Issuer);
        }
        let now = now_millis.div_euclid(1_000);
        let skew = seconds(CLOCK_SKEW);
        if claims.iat > now + skew {
            return Err(Refused::Early);
        }
        if claims.exp <= now || claims.exp - claims.iat > seconds(ACCESS_LIFETIME) {
            return Err(Refused::Expired);
        }
        Ok(claims.clone())
    }
}

/// Tokens whose signatures were good, so that a client who shows one again costs no signature check. Each
/// time all else about it is looked at anew.
pub(super) struct Seen(Mutex<LruCache<String, Signed>>);

impl Default for Seen {
    fn default() -> Self {
        let capacity = NonZeroUsize::new(TOKENS_SEEN).expect("the limit is not zero");
        Self(Mutex::new(LruCache::new(capacity)))
    }
}

impl Seen {
    /// Checks everything about a token that needs no database.
    ///
    /// # Errors
    /// See [`Refused`].
    pub(super) fn verify(
        &self,
        ring: &Ring,
        issuer: &str,
        token: &Secret,
        now_millis: i64,
    ) -> Result<Claims, Refused> {
        if token.expose().len() > TOKEN_BYTES_MAX {
            return Err(Refused::Form);
        }
        let name = token.fingerprint();
        let seen = self.tokens().get(&name).cloned();
        let signed = match seen {
            Some(signed) => signed,
            None => {
                let signed = signed(ring, token, now_millis)?;
                self.tokens().put(name, signed.clone());
                signed
            }
        };
        signed.claims(ring, issuer, now_millis)
    }

    fn tokens(&self) -> MutexGuard<'_, LruCache<String, Signed>> {
        // Each entry is put whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks a token's form and signature, and nothing of what it says.
fn signed(ring: &Ring, token: &Secret, now_millis: i64) -> Result<Signed, Refused> {
    let token = token.expose();
    let header = jsonwebtoken::decode_header(token).map_err(|_| Refused::Form)?;
    if header.alg != Algorithm::ES256 {
        return Err(Refused::Algorithm);
    }
    if header.crit.is_some() {
        return Err(Refused::Form);
    }
    let id = header.kid.ok_or(Refused::Unnamed)?;
    let key = ring.find(&id, now_millis).ok_or(Refused::Key)?;
    // Times are compared below, with the clock that is given.
    let mut validation = Validation::new(Algorithm::ES256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let claims: Claims = match jsonwebtoken::decode(token, &key.verifying, &validation) {
        Ok(token) => token.claims,
        Err(error) => {
            let kind = error.kind();
            let signature = matches!(kind, jsonwebtoken::errors::ErrorKind::InvalidSignature);
            return Err(if signature {
                Refused::Signature
            } else {
                Refused::Form
            });
        }
    };
    Ok(Signed { claims, key: id })
}

/// A span of time in whole seconds, as tokens count.
pub(super) fn seconds(span: std::time::Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{DecodingKey, EncodingKey};
    use serde_json::{Value, json};

    use super::super::keys::Keys;
    use super::*;

    const ISSUER: &str = "https://audit.example";
    const NOW: i64 = 1_800_000_000_000;

    fn claims() -> Claims {
        Claims {
            iss: ISSUER.to_owned(),
            sub: UserId::of([1; 16]),
            kind: Kind::TUser,
            sid: SessionId::of([2; 16]),
            iat: NOW / 1_000,
            exp: NOW / 1_000 + seconds(ACCESS_LIFETIME),
            jti: "a".to_owned(),
        }
    }

    fn keys(folder: &Path) -> Keys {
        Keys::open(folder, NOW).unwrap()
    }

    fn check(keys: &Keys, token: &str, now: i64) -> Result<Claims, Refused> {
        Seen::default().verify(&keys.ring(), ISSUER, &Secret::from(token), now)
    }

    /// A token with any header and claims, signed as they come.
    fn forge(keys: &Keys, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let ring = keys.ring();
        let key = &ring.newest().signing;
        let signed = jsonwebtoken::crypto::sign(message.as_bytes(), key, Algorithm::ES256);
        format!("{message}.{}", signed.unwrap())
    }

    fn header(keys: &Keys) -> Value {
        json!({"typ": "JWT", "alg": "ES256", "kid": keys.ring().newest().id})
    }

    #[test]
    fn a_token_says_what_was_signed() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path());
        let token = sign(&keys.ring(), &claims());
        assert!(token.expose().len() < 600);
        assert_eq!(check(&keys, token.expose(), NOW), Ok(claims()));
        let forged = forge(&keys, &header(&keys), &json!(claims()));
        assert_eq!(check(&keys, &forged, NOW), Ok(claims()));
    }

    #[test]
    fn no_other_algorithm_is_believed() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path());
        let id = keys.ring().newest().id.clone();
        for algorithm in ["none", "None", "nOnE", ""] {
            let header = json!({"alg": algorithm, "kid": id});
            let token = forge(&keys, &header, &json!(claims()));
            assert_eq!(check(&keys, &token, NOW), Err(Refused::Form), "{algorithm}");
            let unsigned = format!("{}.", token.rsplit_once('.').unwrap().0);
            assert_eq!(check(&keys, &unsigned, NOW), Err(Refused::Form));
        }
        // The public key, which everybody has, as if it were a shared secret.
        let public = keys.ring().jwks(NOW)["keys"][0]["x"].to_string();
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(id);
        let secret = EncodingKey::from_secret(public.as_bytes());
        let token = jsonwebtoken::encode(&header, &claims(), &secret).unwrap();
        assert_eq!(check(&keys, &token, NOW), Err(Refused::Algorithm));
    }

    #[test]
    fn another_key_is_not_believed_by_whatever_name() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (ours, theirs) = (keys(folder.path()), keys(elsewhere.path()));
        let token = sign(&theirs.ring(), &claims());
        assert_eq!(check(&ours, token.expose(), NOW), Err(Refused::Key));
        let stolen_name = forge(&theirs, &header(&ours), &json!(claims()));
        assert_eq!(check(&ours, &stolen_name, NOW), Err(Refused::Signature));
        let nameless = forge(&ours, &json!({"alg": "ES256"}), &json!(claims()));
        assert_eq!(check(&ours, &nameless, NOW), Err(Refused::Unnamed));
        // A key that the token brings along is not looked at.
        let jwk = &theirs.ring().jwks(NOW)["keys"][0];
        let brought = json!({"alg": "ES256", "jwk": jwk, "kid": ours.ring().newest().id});
        let brought = forge(&theirs, &brought, &json!(claims()));
        assert_eq!(check(&ours, &brought, NOW), Err(Refused::Signature));
        // Nor is one looked for where the token says: nothing is fetched, in a function that cannot wait.
        let theirs_id = theirs.ring().newest().id.clone();
        for (id, expected) in [
            (theirs_id, Refused::Key),
            (ours.ring().newest().id.clone(), Refused::Signature),
            ("../token-keys/other".to_owned(), Refused::Key),
            ("' OR '1'='1".to_owned(), Refused::Key),
        ] {
            let away = json!({"alg": "ES256", "kid": id, "jku": "https://evil.example/keys",
                "x5u": "https://evil.example/chain"});
            let away = forge(&theirs, &away, &json!(claims()));
            assert_eq!(check(&ours, &away, NOW), Err(expected), "{id}");
        }
    }

    #[test]
    fn a_token_is_good_in_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path());
        let token = sign(&keys.ring(), &claims());
        let life = seconds(ACCESS_LIFETIME) * 1_000;
        let at = |now| check(&keys, token.expose(), now);
        assert!(at(NOW + life - 1).is_ok());
        assert_eq!(at(NOW + life), Err(Refused::Expired));
        assert!(at(NOW - 5_000).is_ok());
        assert_eq!(at(NOW - 6_000), Err(Refused::Early));
        let mut long = claims();
        long.exp += 1;
        let long = sign(&keys.ring(), &long);
        assert_eq!(check(&keys, long.expose(), NOW), Err(Refused::Expired));
    }

    #[test]
    fn a_token_that_was_seen_is_looked_at_again_but_for_its_signature() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (ours, theirs) = (keys(folder.path()), keys(elsewhere.path()));
        let token = sign(&ours.ring(), &claims());
        let seen = Seen::default();
        let life = seconds(ACCESS_LIFETIME) * 1_000;
        for _ in 0..2 {
            assert_eq!(seen.verify(&ours.ring(), ISSUER, &token, NOW), Ok(claims()));
        }
        let late = seen.verify(&ours.ring(), ISSUER, &token, NOW + life);
        assert_eq!(late, Err(Refused::Expired));
        let other = seen.verify(&ours.ring(), "https://other.example", &token, NOW);
        assert_eq!(other, Err(Refused::Issuer));
        // A key that is not known any more.
        let gone = seen.verify(&theirs.ring(), ISSUER, &token, NOW);
        assert_eq!(gone, Err(Refused::Key));
        let mut changed = token.expose().to_owned();
        let last = changed.pop().unwrap();
        changed.push(if last == 'A' { 'Q' } else { 'A' });
        let changed = seen.verify(&ours.ring(), ISSUER, &Secret::from(changed), NOW);
        changed.unwrap_err();
    }

    #[test]
    fn changed_claims_and_missing_ones_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path());
        let token = sign(&keys.ring(), &claims());
        let parts: Vec<_> = token.expose().split('.').collect();
        let mut other = claims();
        other.kind = Kind::Root;
        let changed = URL_SAFE_NO_PAD.encode(json!(other).to_string());
        let changed = format!("{}.{changed}.{}", parts[0], parts[2]);
        assert_eq!(check(&keys, &changed, NOW), Err(Refused::Signature));
        for field in ["iss", "sub", "kind", "sid", "iat", "exp", "jti"] {
            let mut fewer = json!(claims());
            fewer.as_object_mut().unwrap().remove(field);
            let token = forge(&keys, &header(&keys), &fewer);
            assert_eq!(check(&keys, &token, NOW), Err(Refused::Form), "{field}");
        }
        let mut more = json!(claims());
        more["admin"] = json!(true);
        let token = forge(&keys, &header(&keys), &more);
        assert_eq!(check(&keys, &token, NOW), Err(Refused::Form));
    }

    #[test]
    fn another_services_tokens_and_other_texts_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path());
        let mut other = claims();
        other.iss = "https://other.example".to_owned();
        let token = sign(&keys.ring(), &other);
        assert_eq!(check(&keys, token.expose(), NOW), Err(Refused::Issuer));
        let mut critical = header(&keys);
        critical["crit"] = json!(["x"]);
        let token = forge(&keys, &critical, &json!(claims()));
        assert_eq!(check(&keys, &token, NOW), Err(Refused::Form));
        for text in [
            "",
            "a",
            "a.b",
            "a.b.c",
            "....",
            &"x".repeat(TOKEN_BYTES_MAX + 1),
        ] {
            assert_eq!(check(&keys, text, NOW), Err(Refused::Form), "{text}");
        }
    }

    #[test]
    fn others_verify_with_the_published_keys() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path());
        let token = sign(&keys.ring(), &claims());
        let set: jsonwebtoken::jwk::JwkSet = serde_json::from_value(keys.ring().jwks(NOW)).unwrap();
        let key = DecodingKey::from_jwk(&set.keys[0]).unwrap();
        let mut validation = Validation::new(Algorithm::ES256);
        validation.validate_exp = false;
        let read = jsonwebtoken::decode::<Claims>(token.expose(), &key, &validation).unwrap();
        assert_eq!(read.claims, claims());
    }
}
