//! Public keys of token issuers, out of a JSON Web Key Set (RFC 7517).

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;

use crate::limits::ISSUER_KEYS_MAX;

/// A key that may sign tokens, bound to the algorithms that it may be used with. Symmetric keys
/// are never among them, so a public key cannot be passed off as a shared secret.
#[derive(Clone)]
pub(crate) struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl Key {
    /// Whether a token with this header may have been signed by it.
    pub(crate) fn fits(&self, id: Option<&str>, algorithm: Algorithm) -> bool {
        let same_id = match (id, self.id.as_deref()) {
            (Some(wanted), Some(own)) => wanted == own,
            _ => true,
        };
        same_id && self.algorithms.contains(&algorithm)
    }

    /// The key itself.
    pub(crate) const fn decoding_key(&self) -> &DecodingKey {
        &self.key
    }
}

/// The document is not a key set, or has no key that can be used.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// Not JSON with `keys`.
    #[error("the key set is not JSON of the form {{\"keys\":[...]}}")]
    NotAKeySet(#[source] serde_json::Error),
    /// RS256, PS256, ES256, ES384 and EdDSA are understood.
    #[error("the key set has no key for RS256, PS256, ES256, ES384 or EdDSA")]
    NoUsableKey,
    /// More keys than anybody needs.
    #[error("the key set has {0} keys, more than {ISSUER_KEYS_MAX}")]
    TooMany(usize),
}

/// Reads the usable keys of a key set; others are left out.
///
/// # Errors
/// See [`KeySetError`].
pub(crate) fn parse(json: &[u8]) -> Result<Vec<Key>, KeySetError> {
    #[derive(Deserialize)]
    struct KeySet {
        keys: Vec<serde_json::Value>,
    }
    let set: KeySet = serde_json::from_slice(json).map_err(KeySetError::NotAKeySet)?;
    if set.keys.len() > ISSUER_KEYS_MAX {
        return Err(KeySetError::TooMany(set.keys.len()));
    }
    let keys: Vec<_> = set.keys.into_iter().filter_map(usable).collect();
    if keys.is_empty() {
        Err(KeySetError::NoUsableKey)
    } else {
        Ok(keys)
    }
}

fn usable(value: serde_json::Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    if !matches!(
        jwk.common.public_key_use,
        None | Some(PublicKeyUse::Signature)
    ) {
        return None;
    }
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => vec![Algorithm::RS256, Algorithm::PS256],
        AlgorithmParameters::EllipticCurve(params) => match params.curve {
            EllipticCurve::P256 => vec![Algorithm::ES256],
            EllipticCurve::P384 => vec![Algorithm::ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(params) if params.curve == EllipticCurve::Ed25519 => {
            vec![Algorithm::EdDSA]
        }
        _ => return None,
    };
    if let Some(named) = jwk.common.key_algorithm {
        let named = algorithm(named)?;
        algorithms.retain(|&algorithm| algorithm == named);
    }
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    (!algorithms.is_empty()).then_some(Key {
        id: jwk.common.key_id,
        algorithms,
        key,
    })
}

const fn algorithm(named: KeyAlgorithm) -> Option<Algorithm> {
    match named {
        KeyAlgorithm::RS256 => Some(Algorithm::RS256),
        KeyAlgorithm::PS256 => Some(Algorithm::PS256),
        KeyAlgorithm::ES256 => Some(Algorithm::ES256),
        KeyAlgorithm::ES384 => Some(Algorithm::ES384),
        KeyAlgorithm::EdDSA => Some(Algorithm::EdDSA),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symmetric_and_encryption_keys_are_left_out() {
        let set = br#"{"keys":[
            {"kty":"oct","k":"AAAA","alg":"HS256"},
            {"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","use":"enc"},
            {"kty":"unheard of"},
            {"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
        ]}"#;
        let keys = parse(set).unwrap();
        assert_eq!(keys.len(), 1);
        assert!(keys[0].fits(Some("a"), Algorithm::EdDSA));
        assert!(keys[0].fits(None, Algorithm::EdDSA));
        assert!(!keys[0].fits(Some("b"), Algorithm::EdDSA));
        assert!(!keys[0].fits(Some("a"), Algorithm::HS256));
    }

    #[test]
    fn a_set_without_usable_keys_is_refused() {
        assert!(matches!(
            parse(br#"{"keys":[]}"#),
            Err(KeySetError::NoUsableKey)
        ));
        assert!(matches!(parse(b"[]"), Err(KeySetError::NotAKeySet(_))));
    }
}
