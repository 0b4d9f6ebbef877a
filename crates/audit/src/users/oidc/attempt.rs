//! What a browser keeps for us in a cookie, so that any replica can go on: sealed under the master key, bound
//! to the provider, and good for some minutes.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::super::model::UserId;
use super::super::secret::{MasterKey, Secret, exposed};
use super::Config;

/// Somebody who left for the provider: what has to fit when they are back. Nothing of it is used twice.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Attempt {
    /// Comes back with the browser: so nobody brings a browser an answer that is another's.
    #[serde(serialize_with = "exposed")]
    pub(super) state: Secret,
    /// Stands in the ID token: so nobody brings a token of another sign-in.
    #[serde(serialize_with = "exposed")]
    pub(super) nonce: Secret,
    /// Whose hash the provider got (RFC 7636): so nobody else uses the code.
    #[serde(serialize_with = "exposed")]
    pub(super) verifier: Secret,
    /// When they left, in milliseconds.
    pub(super) began: i64,
}

/// Somebody whom the provider knows, and who owes a code of their second factor.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Half {
    pub(super) user: UserId,
    /// As the provider knows them: the link may be taken away meanwhile.
    pub(super) subject: String,
    /// When the provider had said it, in milliseconds.
    pub(super) began: i64,
}

/// What is sealed, and under which name: one is never taken for the other.
pub(super) trait Sealed: Serialize + DeserializeOwned {
    const DOMAIN: &str;
}

impl Sealed for Attempt {
    const DOMAIN: &str = "counterfoil.audit.oidc.attempt/1";
}

impl Sealed for Half {
    const DOMAIN: &str = "counterfoil.audit.oidc.half/1";
}

impl Attempt {
    /// A new one.
    pub(super) fn begin(now: i64) -> Self {
        Self {
            state: Secret::random(),
            nonce: Secret::random(),
            verifier: Secret::random(),
            began: now,
        }
    }
}

/// For the browser.
pub(super) fn seal<T: Sealed>(what: &T, key: &MasterKey, config: &Config) -> Secret {
    let plain = serde_json::to_vec(what).expect("texts and numbers are JSON");
    let plain = Zeroizing::new(plain);
    let sealed = key.seal(bound_to::<T>(config), &plain);
    Secret::from(URL_SAFE_NO_PAD.encode(sealed))
}

/// From the browser; `None` if it is not what was sealed here, for this provider.
pub(super) fn open<T: Sealed>(sealed: &Secret, key: &MasterKey, config: &Config) -> Option<T> {
    let sealed = URL_SAFE_NO_PAD.decode(sealed.expose()).ok()?;
    let plain = key.open(bound_to::<T>(config), &sealed)?;
    serde_json::from_slice(&plain).ok()
}

fn bound_to<T: Sealed>(config: &Config) -> String {
    // Neither has a line's end in it: see `Config`'s checks.
    format!("{}\n{}\n{}", T::DOMAIN, config.issuer, config.client_id)
}

#[cfg(test)]
mod tests {
    use super::super::testing::config;
    use super::*;

    #[test]
    fn what_a_browser_keeps_opens_for_its_purpose_its_provider_and_its_key_alone() {
        let (key, other_key) = (MasterKey::new([1; 32]), MasterKey::new([2; 32]));
        let config = config("https://login.example");
        let attempt = Attempt::begin(7);
        let sealed = seal(&attempt, &key, &config);
        // A cookie holds 4,096 bytes with its name.
        assert!(sealed.expose().len() < 500);
        let opened: Attempt = open(&sealed, &key, &config).unwrap();
        assert_eq!(opened.state.expose(), attempt.state.expose());
        assert_eq!(opened.began, 7);
        assert!(open::<Attempt>(&sealed, &other_key, &config).is_none());
        assert!(open::<Half>(&sealed, &key, &config).is_none());
        let mut other = config.clone();
        other.issuer = "https://evil.example".to_owned();
        assert!(open::<Attempt>(&sealed, &key, &other).is_none());
        let mut other = config.clone();
        other.client_id = "another".to_owned();
        assert!(open::<Attempt>(&sealed, &key, &other).is_none());
        for junk in ["", "AAAA", "no base64", &sealed.expose()[1..]] {
            assert!(open::<Attempt>(&Secret::from(junk), &key, &config).is_none());
        }
    }
}
