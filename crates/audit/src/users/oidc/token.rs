//! ID tokens, checked as OpenID Connect Core 1.0 says (section 3.1.3.7). Pure, given keys and the time.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::Value;

use super::super::tokens::seconds;
use crate::limits::{
    OIDC_ATTEMPT_LIFETIME, OIDC_CLOCK_SKEW, OIDC_SUBJECT_BYTES_MAX, OIDC_TOKEN_BYTES_MAX,
};

/// What is believed, if the provider says that it uses it. Nothing that both sides have the key of, and never
/// `none`.
const ALGORITHMS: [(&str, Algorithm); 4] = [
    ("RS256", Algorithm::RS256),
    ("PS256", Algorithm::PS256),
    ("ES256", Algorithm::ES256),
    ("EdDSA", Algorithm::EdDSA),
];

/// Those of the provider's that are believed.
pub(super) fn algorithms(named: &[String]) -> Vec<Algorithm> {
    let known = ALGORITHMS.into_iter();
    let used = known.filter(|(name, _)| named.iter().any(|named| named == name));
    used.map(|(_, algorithm)| algorithm).collect()
}

/// What a token has to say.
#[derive(Debug, Clone)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    /// Who else may be in its audience.
    pub(super) audiences: &'a [String],
    /// One of these, if there are any.
    pub(super) acr: &'a [String],
    pub(super) nonce: &'a str,
    pub(super) now_millis: i64,
}

/// Whom a good token is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct About {
    /// The provider's name for them.
    pub(super) subject: String,
    pub(super) person: Person,
}

/// What a provider says of somebody, in a token or when it is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Person {
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    email_verified: Value,
    /// What they are called.
    #[serde(default)]
    pub(super) name: Option<String>,
}

impl Person {
    /// Their address, if the provider says that it has found out that it is theirs.
    pub(super) fn verified_email(&self) -> Option<&str> {
        let email = self.email.as_deref()?;
        (self.email_verified == Value::Bool(true)).then_some(email)
    }
}

/// Why a token is not believed: for the log, and to those who run the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("it is no signed ID token")]
    Form,
    #[error("its algorithm is none that the provider uses, or none that is believed")]
    Algorithm,
    #[error("no key of the provider fits, or more than one does")]
    Key,
    #[error("its signature is wrong")]
    Signature,
    #[error("it is another provider's")]
    Issuer,
    #[error("it is not for us, or for others too")]
    Audience,
    #[error("it has expired, or is old")]
    Expired,
    #[error("it is not valid yet")]
    Early,
    #[error("it is of another sign-in")]
    Nonce,
    #[error("its subject is empty or too long")]
    Subject,
    #[error("the provider has not found out well enough who it is (acr)")]
    Acr,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    #[serde(default)]
    azp: Option<String>,
    // Numbers of seconds, which may have fractions (RFC 7519, section 2).
    exp: f64,
    iat: f64,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(default)]
    nonce: Option<String>,
    #[serde(default)]
    acr: Option<String>,
    #[serde(flatten)]
    person: Person,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn all(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// Checks everything about a token.
///
/// # Errors
/// See [`Refused`]. With [`Refused::Key`] the provider may have new keys.
pub(super) fn verify(
    keys: &[Jwk],
    algorithms: &[Algorithm],
    token: &str,
    expected: &Expected<'_>,
) -> Result<About, Refused> {
    if token.len() > OIDC_TOKEN_BYTES_MAX {
        return Err(Refused::Form);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| Refused::Form)?;
    if header.crit.is_some() {
        return Err(Refused::Form);
    }
    if !algorithms.contains(&header.alg) {
        return Err(Refused::Algorithm);
    }
    let mut fitting = keys
        .iter()
        .filter(|key| fits(key, header.alg, header.kid.as_deref()));
    let (Some(key), None) = (fitting.next(), fitting.next()) else {
        return Err(Refused::Key);
    };
    let key = DecodingKey::from_jwk(key).map_err(|_| Refused::Key)?;
    // What it says is compared below, with the clock that is given.
    let mut validation = Validation::new(header.alg);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    match jsonwebtoken::decode::<Claims>(token, &key, &validation) {
        Ok(token) => token.claims.check(expected),
        Err(error) => {
            let kind = error.kind();
            let signature = matches!(kind, jsonwebtoken::errors::ErrorKind::InvalidSignature);
            Err(match signature {
                true => Refused::Signature,
                false => Refused::Form,
            })
        }
    }
}

/// Whether a key is one for signatures of this algorithm, and of this name if one is named.
fn fits(key: &Jwk, algorithm: Algorithm, name: Option<&str>) -> bool {
    let kind = match (&key.algorithm, algorithm) {
        (AlgorithmParameters::RSA(_), Algorithm::RS256 | Algorithm::PS256) => true,
        (AlgorithmParameters::EllipticCurve(key), Algorithm::ES256) => {
            key.curve == EllipticCurve::P256
        }
        (AlgorithmParameters::OctetKeyPair(key), Algorithm::EdDSA) => {
            key.curve == EllipticCurve::Ed25519
        }
        _ => false,
    };
    let common = &key.common;
    let signs = match (&common.public_key_use, &common.key_operations) {
        (Some(used), _) => *used == PublicKeyUse::Signature,
        (None, Some(operations)) => operations.contains(&KeyOperations::Verify),
        (None, None) => true,
    };
    let named = name.is_none_or(|name| common.key_id.as_deref() == Some(name));
    let algorithm = common
        .key_algorithm
        .is_none_or(|only| only == algorithm.into());
    kind && signs && named && algorithm
}

impl Claims {
    fn check(self, expected: &Expected<'_>) -> Result<About, Refused> {
        if self.iss != expected.issuer {
            return Err(Refused::Issuer);
        }
        self.check_audience(expected)?;
        self.check_times(expected.now_millis)?;
        if self.nonce.as_deref() != Some(expected.nonce) {
            return Err(Refused::Nonce);
        }
        if !(1..=OIDC_SUBJECT_BYTES_MAX).contains(&self.sub.len()) {
            return Err(Refused::Subject);
        }
        let acr = self.acr.unwrap_or_default();
        if !(expected.acr.is_empty() || expected.acr.contains(&acr)) {
            return Err(Refused::Acr);
        }
        Ok(About {
            subject: self.sub,
            person: self.person,
        })
    }

    fn check_audience(&self, expected: &Expected<'_>) -> Result<(), Refused> {
        let us = expected.client_id;
        let all = self.aud.all();
        let known = |one: &String| one == us || expected.audiences.contains(one);
        if !all.iter().any(|one| one == us) || !all.iter().all(known) {
            return Err(Refused::Audience);
        }
        // Of several, one asked for it: that has to be us.
        match &self.azp {
            Some(azp) if azp != us => Err(Refused::Audience),
            None if all.len() > 1 => Err(Refused::Audience),
            Some(_) | None => Ok(()),
        }
    }

    fn check_times(&self, now_millis: i64) -> Result<(), Refused> {
        // Exact in a double for some ten thousand years.
        let now = now_millis.div_euclid(1_000) as f64;
        let skew = seconds(OIDC_CLOCK_SKEW) as f64;
        if self.iat > now + skew || self.nbf.is_some_and(|nbf| nbf > now + skew) {
            return Err(Refused::Early);
        }
        let oldest = now - seconds(OIDC_ATTEMPT_LIFETIME) as f64 - skew;
        if self.exp <= now - skew || self.iat < oldest {
            return Err(Refused::Expired);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::hmac;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::super::testing::{Signer, over, unsigned};
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn expected() -> Expected<'static> {
        Expected {
            issuer: "https://login.example",
            client_id: "us",
            audiences: &[],
            acr: &[],
            nonce: "n",
            now_millis: NOW * 1_000,
        }
    }

    fn claims() -> Value {
        json!({
            "iss": "https://login.example", "aud": "us", "sub": "7", "nonce": "n",
            "iat": NOW, "exp": NOW + 300, "email": "ana@farm.example", "email_verified": true,
        })
    }

    fn all() -> Vec<Algorithm> {
        ALGORITHMS.map(|(_, algorithm)| algorithm).to_vec()
    }

    fn keys(signers: &[&Signer]) -> Vec<Jwk> {
        let keys = signers.iter().map(|signer| signer.jwk());
        keys.map(|key| serde_json::from_value(key).unwrap())
            .collect()
    }

    /// What becomes of a token that says these things in place of the usual ones.
    fn said(signer: &Signer, changed: &Value, expected: &Expected<'_>) -> Result<About, Refused> {
        let mut claims = claims();
        over(&mut claims, changed);
        let token = signer.token(&signer.header(), &claims);
        verify(&keys(&[signer]), &all(), &token, expected)
    }

    #[test]
    fn tokens_of_all_algorithms_that_are_believed_are_read() {
        for (name, _) in ALGORITHMS {
            let signer = Signer::new("k", name);
            let about = said(&signer, &json!({}), &expected()).unwrap();
            assert_eq!(about.subject, "7", "{name}");
            assert_eq!(about.person.verified_email(), Some("ana@farm.example"));
        }
    }

    #[test]
    fn no_other_algorithm_is_believed_whatever_the_provider_says() {
        let named = ["none", "HS256", "RS1", "ES256"].map(str::to_owned);
        assert_eq!(algorithms(&named), [Algorithm::ES256]);
        let signer = Signer::new("k", "ES256");
        let keys = keys(&[&signer]);
        for algorithm in ["none", "None", "nOnE", ""] {
            let header = json!({"alg": algorithm, "kid": "k"});
            for token in [
                signer.token(&header, &claims()),
                format!("{}.", unsigned(&header, &claims())),
                unsigned(&header, &claims()),
            ] {
                let refused = verify(&keys, &all(), &token, &expected());
                assert_eq!(refused, Err(Refused::Form), "{algorithm}");
            }
        }
        // Signed with what everybody knows: the public key as a secret.
        let header = json!({"alg": "HS256", "kid": "k"});
        let message = unsigned(&header, &claims());
        let key = hmac::Key::new(hmac::HMAC_SHA256, signer.public());
        let tag = hmac::sign(&key, message.as_bytes());
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag));
        let refused = verify(&keys, &all(), &token, &expected());
        assert_eq!(refused, Err(Refused::Algorithm));
        // One that the provider does not use, with a good key of its own.
        let rsa = Signer::new("k", "RS256");
        let token = rsa.token(&rsa.header(), &claims());
        let refused = verify(
            &super::tests::keys(&[&rsa]),
            &[Algorithm::ES256],
            &token,
            &expected(),
        );
        assert_eq!(refused, Err(Refused::Algorithm));
    }

    #[test]
    fn another_key_is_not_believed() {
        let (ours, other) = (Signer::new("k", "ES256"), Signer::new("k", "ES256"));
        let token = other.token(&other.header(), &claims());
        let refused = verify(&keys(&[&ours]), &all(), &token, &expected());
        assert_eq!(refused, Err(Refused::Signature));
        // One that the token brings along is not looked at.
        let mut header = other.header();
        header["jwk"] = other.jwk();
        let token = other.token(&header, &claims());
        let refused = verify(&keys(&[&ours]), &all(), &token, &expected());
        assert_eq!(refused, Err(Refused::Signature));
        let mut header = ours.header();
        header["crit"] = json!(["exp"]);
        let token = ours.token(&header, &claims());
        let refused = verify(&keys(&[&ours]), &all(), &token, &expected());
        assert_eq!(refused, Err(Refused::Form));
        let token = ours.token(&ours.header(), &claims());
        for cut in [&token[1..], &token[..token.len() - 4], "", "a.b.c"] {
            verify(&keys(&[&ours]), &all(), cut, &expected()).unwrap_err();
        }
    }

    #[test]
    fn the_key_is_the_one_that_fits() {
        let (one, two) = (Signer::new("1", "ES256"), Signer::new("2", "ES256"));
        let token = two.token(&two.header(), &claims());
        verify(&keys(&[&one, &two]), &all(), &token, &expected()).unwrap();
        assert_eq!(
            verify(&keys(&[&one]), &all(), &token, &expected()),
            Err(Refused::Key)
        );
        // Without a name there is one key, or it is not known which.
        let nameless = two.token(&json!({"alg": "ES256"}), &claims());
        verify(&keys(&[&two]), &all(), &nameless, &expected()).unwrap();
        let rsa = Signer::new("3", "RS256");
        verify(&keys(&[&two, &rsa]), &all(), &nameless, &expected()).unwrap();
        let refused = verify(&keys(&[&one, &two]), &all(), &nameless, &expected());
        assert_eq!(refused, Err(Refused::Key));
        // Keys for something else are none.
        for (field, value) in [
            ("use", json!("enc")),
            ("alg", json!("RS256")),
            ("crv", json!("P-384")),
        ] {
            let mut jwk = two.jwk();
            jwk[field] = value;
            let key = serde_json::from_value(jwk).unwrap();
            let refused = verify(&[key], &all(), &token, &expected());
            assert_eq!(refused, Err(Refused::Key), "{field}");
        }
    }

    #[test]
    fn a_token_of_another_provider_client_sign_in_or_time_is_refused() {
        let signer = Signer::new("k", "ES256");
        use Refused::{Audience, Early, Expired, Form, Issuer, Nonce, Subject};
        for (changed, refused) in [
            (json!({"iss": "https://login.example/"}), Issuer),
            (json!({"iss": "https://evil.example"}), Issuer),
            (json!({"iss": null}), Form),
            (json!({"aud": "them"}), Audience),
            (json!({"aud": []}), Audience),
            (json!({"aud": ["us", "them"], "azp": "us"}), Audience),
            (json!({"aud": null}), Form),
            (json!({"azp": "them"}), Audience),
            (json!({"nonce": "m"}), Nonce),
            (json!({"nonce": null}), Nonce),
            (json!({"exp": NOW - 60}), Expired),
            (json!({"exp": null}), Form),
            (json!({"iat": NOW - 700}), Expired),
            (json!({"iat": NOW + 61}), Early),
            (json!({"iat": null}), Form),
            (json!({"nbf": NOW + 61}), Early),
            (json!({"sub": ""}), Subject),
            (json!({"sub": "x".repeat(256)}), Subject),
            (json!({"sub": null}), Form),
            (json!({"picture": "x".repeat(OIDC_TOKEN_BYTES_MAX)}), Form),
        ] {
            assert_eq!(
                said(&signer, &changed, &expected()),
                Err(refused),
                "{changed}"
            );
        }
        for changed in [
            json!({"aud": ["us"]}),
            json!({"azp": "us"}),
            json!({"exp": NOW - 59, "iat": NOW - 359}),
            json!({"iat": NOW + 60}),
            json!({"iat": f64::from(1_800_000_000) + 0.5}),
        ] {
            said(&signer, &changed, &expected()).unwrap();
        }
    }

    #[test]
    fn others_stand_in_the_audience_if_the_operator_knows_them_and_we_asked() {
        let signer = Signer::new("k", "ES256");
        let audiences = ["them".to_owned()];
        let expected = Expected {
            audiences: &audiences,
            ..expected()
        };
        let both = json!(["us", "them"]);
        said(&signer, &json!({"aud": both, "azp": "us"}), &expected).unwrap();
        for changed in [
            json!({"aud": both}),
            json!({"aud": both, "azp": "them"}),
            json!({"aud": "them", "azp": "us"}),
            json!({"aud": ["us", "them", "others"], "azp": "us"}),
        ] {
            let refused = said(&signer, &changed, &expected);
            assert_eq!(refused, Err(Refused::Audience), "{changed}");
        }
    }
}
