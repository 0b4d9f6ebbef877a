//! Access tokens that nobody gave: what has to be refused, however well it is made.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};

/// Makes tokens from one that is good.
#[derive(Debug)]
pub(crate) struct Forger {
    /// A key of our own, which the services do not know.
    key: EcdsaKeyPair,
    /// The keys that the services publish.
    published: Value,
}

/// A token, taken apart.
struct Parts {
    header: Value,
    claims: Value,
    signature: String,
}

/// The keys could not be made.
#[derive(Debug, thiserror::Error)]
#[error("no key could be made")]
pub(crate) struct NoKey;

impl Forger {
    /// With the keys that the services publish.
    ///
    /// # Errors
    /// This machine makes no key.
    pub(crate) fn new(published: Value) -> Result<Self, NoKey> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| NoKey)?;
        Ok(Self { key, published })
    }

    /// The same token with other claims, and the old signature.
    pub(crate) fn tampered(good: &str, change: impl FnOnce(&mut Value)) -> String {
        let mut parts = Parts::of(good);
        change(&mut parts.claims);
        parts.with(&parts.signature)
    }

    /// The same token as if it were good for longer.
    pub(crate) fn prolonged(good: &str) -> String {
        Self::tampered(good, |claims| {
            let end = claims["exp"].as_i64().unwrap_or_default();
            claims["exp"] = (end + 86_400).into();
        })
    }

    /// A token that says it needs no signature, in one of the spellings of that.
    pub(crate) fn unsigned(good: &str, spelling: &str) -> String {
        let mut parts = Parts::of(good);
        parts.header["alg"] = spelling.into();
        parts.with("")
    }

    /// A token signed with the public key as if it were a shared secret.
    pub(crate) fn confused(&self, good: &str) -> String {
        let mut parts = Parts::of(good);
        parts.header["alg"] = "HS256".into();
        let secret = self.published["keys"][0].to_string();
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag = hmac::sign(&secret, parts.message().as_bytes());
        parts.with(&BASE64.encode(tag.as_ref()))
    }

    /// A token of our own making, about anybody, under a name that the services know.
    pub(crate) fn homemade(
        &self,
        good: &str,
        change: impl FnOnce(&mut Value, &mut Value),
    ) -> String {
        let mut parts = Parts::of(good);
        change(&mut parts.header, &mut parts.claims);
        let signed = self
            .key
            .sign(&SystemRandom::new(), parts.message().as_bytes());
        let signed = signed.map(|signature| BASE64.encode(signature.as_ref()));
        parts.with(&signed.unwrap_or_default())
    }
}

impl Parts {
    fn of(token: &str) -> Self {
        let mut parts = token.split('.');
        let mut json = || {
            let part = BASE64
                .decode(parts.next().unwrap_or_default())
                .unwrap_or_default();
            serde_json::from_slice(&part).unwrap_or_else(|_| json!({}))
        };
        let (header, claims) = (json(), json());
        let signature = parts.next().unwrap_or_default().to_owned();
        Self {
            header,
            claims,
            signature,
        }
    }

    fn message(&self) -> String {
        let part = |value: &Value| BASE64.encode(value.to_string());
        format!("{}.{}", part(&self.header), part(&self.claims))
    }

    fn with(&self, signature: &str) -> String {
        format!("{}.{signature}", self.message())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> String {
        let part = |value: Value| BASE64.encode(value.to_string());
        let header = part(json!({"alg": "ES256", "kid": "k"}));
        let claims = part(json!({"sub": "ana", "exp": 100}));
        format!("{header}.{claims}.c2ln")
    }

    #[test]
    fn a_token_that_was_tampered_with_has_other_claims_and_the_same_signature() {
        let forged = Parts::of(&Forger::prolonged(&token()));
        assert_eq!(
            (forged.claims["exp"].as_i64(), &*forged.signature),
            (Some(86_500), "c2ln")
        );
        assert_eq!(forged.header["kid"], "k");
    }

    #[test]
    fn a_token_without_a_signature_ends_with_a_dot() {
        let forged = Forger::unsigned(&token(), "nOnE");
        assert!(forged.ends_with('.'), "{forged}");
        assert_eq!(Parts::of(&forged).header["alg"], "nOnE");
    }

    #[test]
    fn a_homemade_token_is_well_signed_by_a_stranger() {
        let forger = Forger::new(json!({"keys": [{"kid": "k"}]})).unwrap();
        let forged = forger.homemade(&token(), |_, claims| claims["kind"] = "root".into());
        let parts = Parts::of(&forged);
        let signature = BASE64.decode(&parts.signature).unwrap();
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, KeyPair, UnparsedPublicKey};
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, forger.key.public_key());
        key.verify(parts.message().as_bytes(), &signature).unwrap();
        let confused = Parts::of(&forger.confused(&token()));
        assert_eq!(BASE64.decode(confused.signature).unwrap().len(), 32);
    }
}
