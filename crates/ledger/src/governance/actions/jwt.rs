//! Actions about those who vouch for users with bearer tokens.
//!
//! The rows are read by every node's front: [`issuers`] is what it believes.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Parsed;
use super::args::{Args, cert_bundle, flag, text, texts};
use crate::governance::{json as bytes, row};
use crate::kv::{State, Tx};
use crate::limits::{CERT_BUNDLES_MAX, JWKS_BYTES_MAX, JWKS_KEYS_MAX, JWT_ISSUERS_MAX};
use crate::tables::{CA_CERT_BUNDLES, JWT_ISSUERS, JWT_KEYS};

/// An issuer whose tokens are believed: a row of [`JWT_ISSUERS`], CCF's fields and ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issuer {
    /// Whether nodes fetch its keys by OpenID Connect Discovery.
    pub auto_refresh: bool,
    /// The certificates that vouch for its web server, beside the well-known ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_cert_bundle_name: Option<String>,
    /// The `aud` claims that mean this ledger.
    pub audiences: BTreeSet<String>,
    /// The claim that is the user id; `oid`, else `sub`, where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_claim: Option<String>,
}

/// An issuer with its name, its keys where members gave them, and its certificates, PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Believed {
    /// The `iss` claim, exactly.
    pub name: String,
    /// What is believed of it.
    pub issuer: Issuer,
    /// A JSON Web Key Set.
    pub jwks: Option<Value>,
    /// Certificates that vouch for its web server.
    pub ca_certs: Option<String>,
}

/// All issuers whose tokens are believed, sorted by name.
pub fn issuers(state: &dyn State) -> Vec<Believed> {
    let rows = state.values(&JWT_ISSUERS).into_iter();
    rows.filter_map(|(key, _)| {
        let issuer: Issuer = row(state, &JWT_ISSUERS, &key)?;
        let bundle = issuer.ca_cert_bundle_name.as_deref();
        Some(Believed {
            jwks: row(state, &JWT_KEYS, &key),
            ca_certs: bundle.and_then(|name| row(state, &CA_CERT_BUNDLES, name.as_bytes())),
            name: String::from_utf8(key).ok()?,
            issuer,
        })
    })
    .collect()
}

/// All named certificate bundles, PEM, sorted by name.
pub fn ca_cert_bundles(state: &dyn State) -> Vec<(String, String)> {
    let rows = state.values(&CA_CERT_BUNDLES).into_iter();
    rows.filter_map(|(key, _)| {
        let pem = row(state, &CA_CERT_BUNDLES, &key)?;
        Some((String::from_utf8(key).ok()?, pem))
    })
    .collect()
}

pub(super) fn set_jwt_issuer(args: &mut Args<'_>) -> Parsed {
    let name = args.required("issuer", text)?;
    let audiences = args.optional("audiences", texts)?.ok_or(
        "the argument \"audiences\" is missing: it names the aud claims that mean this ledger, so \
         that tokens for others are not taken here",
    )?;
    let auto_refresh = args.optional("auto_refresh", flag)?.unwrap_or(false);
    let bundle = args.optional("ca_cert_bundle_name", text)?;
    let keys = args.optional("jwks", jwks)?;
    let user_claim = args.optional("user_claim", text)?;
    if auto_refresh && !name.starts_with("https://") {
        return Err(
            "the argument \"issuer\" is no https address, whose keys could be fetched".into(),
        );
    }
    if auto_refresh && keys.is_some() {
        return Err("either auto_refresh fetches the keys, or jwks has them".to_owned());
    }
    let issuer = Issuer {
        auto_refresh,
        ca_cert_bundle_name: bundle,
        audiences,
        user_claim,
    };
    Ok(Box::new(move |tx| {
        let others = tx.values(&JWT_ISSUERS);
        let is_new = !others.iter().any(|(key, _)| key == name.as_bytes());
        if is_new && others.len() >= JWT_ISSUERS_MAX {
            return Err(format!(
                "there are {JWT_ISSUERS_MAX} issuers, which is the limit"
            ));
        }
        if let Some(bundle) = &issuer.ca_cert_bundle_name
            && tx.value(&CA_CERT_BUNDLES, bundle.as_bytes()).is_none()
        {
            return Err(format!("there is no CA certificate bundle {bundle:?}"));
        }
        tx.put(JWT_ISSUERS, name.as_bytes(), bytes(&issuer));
        match &keys {
            Some(keys) => tx.put(JWT_KEYS, name.as_bytes(), bytes(keys)),
            None if issuer.auto_refresh => remove_keys(tx, &name),
            None => {}
        }
        Ok(())
    }))
}

pub(super) fn remove_jwt_issuer(args: &mut Args<'_>) -> Parsed {
    let name = args.required("issuer", text)?;
    Ok(Box::new(move |tx| {
        existing(tx, &name)?;
        tx.remove(JWT_ISSUERS, name.as_bytes());
        remove_keys(tx, &name);
        Ok(())
    }))
}

pub(super) fn set_jwt_public_signing_keys(args: &mut Args<'_>) -> Parsed {
    let name = args.required("issuer", text)?;
    let keys = args.required("jwks", jwks)?;
    Ok(Box::new(move |tx| {
        if existing(tx, &name)?.auto_refresh {
            return Err(format!("the keys of {name:?} are fetched (auto_refresh)"));
        }
        tx.put(JWT_KEYS, name.as_bytes(), bytes(&keys));
        Ok(())
    }))
}

fn existing(tx: &Tx<'_>, name: &str) -> Result<Issuer, String> {
    row(tx, &JWT_ISSUERS, name.as_bytes()).ok_or_else(|| format!("there is no issuer {name:?}"))
}

fn remove_keys(tx: &mut Tx<'_>, name: &str) {
    if tx.value(&JWT_KEYS, name.as_bytes()).is_some() {
        tx.remove(JWT_KEYS, name.as_bytes());
    }
}

pub(super) fn set_ca_cert_bundle(args: &mut Args<'_>) -> Parsed {
    let name = args.required("name", text)?;
    let bundle = args.required("cert_bundle", cert_bundle)?;
    Ok(Box::new(move |tx| {
        let others = tx.values(&CA_CERT_BUNDLES);
        let is_new = !others.iter().any(|(key, _)| key == name.as_bytes());
        if is_new && others.len() >= CERT_BUNDLES_MAX {
            return Err(format!(
                "there are {CERT_BUNDLES_MAX} bundles, which is the limit"
            ));
        }
        tx.put(CA_CERT_BUNDLES, name.as_bytes(), bytes(&bundle));
        Ok(())
    }))
}

pub(super) fn remove_ca_cert_bundle(args: &mut Args<'_>) -> Parsed {
    let name = args.required("name", text)?;
    Ok(Box::new(move |tx| {
        if tx.value(&CA_CERT_BUNDLES, name.as_bytes()).is_none() {
            return Err(format!("there is no CA certificate bundle {name:?}"));
        }
        let needs_it = |it: &Believed| it.issuer.ca_cert_bundle_name.as_ref() == Some(&name);
        if let Some(issuer) = issuers(tx).into_iter().find(needs_it) {
            return Err(format!("the issuer {:?} needs it", issuer.name));
        }
        tx.remove(CA_CERT_BUNDLES, name.as_bytes());
        Ok(())
    }))
}

/// A JSON Web Key Set (RFC 7517) of public keys.
fn jwks(value: &Value) -> Result<Value, String> {
    if value.to_string().len() > JWKS_BYTES_MAX {
        return Err(format!("has more than {JWKS_BYTES_MAX} bytes"));
    }
    let keys = value["keys"]
        .as_array()
        .ok_or("is no key set, {\"keys\": [...]}")?;
    if keys.is_empty() || keys.len() > JWKS_KEYS_MAX {
        let count = keys.len();
        return Err(format!(
            "has {count} keys; 1 to {JWKS_KEYS_MAX} are possible"
        ));
    }
    for (place, key) in keys.iter().enumerate() {
        let parts: &[&str] = match key["kty"].as_str() {
            Some("RSA") => &["n", "e"],
            Some("EC") => &["crv", "x", "y"],
            Some("OKP") => &["crv", "x"],
            _ => {
                return Err(format!(
                    "has at place {place} no public key of RSA, EC or OKP"
                ));
            }
        };
        if let Some(part) = parts.iter().find(|part| !key[**part].is_string()) {
            return Err(format!("has at place {place} a key without {part:?}"));
        }
        if !key["d"].is_null() {
            return Err(format!(
                "has at place {place} a PRIVATE key: everybody can read it now"
            ));
        }
    }
    Ok(json!({ "keys": keys }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::governance::testing::{Signer, act, invalid};
    use crate::kv::MemoryState;

    fn keys() -> Value {
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": "11qY", "kid": "1" }] })
    }

    #[test]
    fn an_issuer_comes_with_keys_gets_others_and_goes() {
        let mut state = MemoryState::default();
        let args = json!({ "issuer": "https://i", "audiences": ["us"], "jwks": keys() });
        act(&mut state, "set_jwt_issuer", args).unwrap();
        let [believed] = &issuers(&state)[..] else {
            panic!("one issuer")
        };
        assert_eq!(believed.name, "https://i");
        assert_eq!(believed.jwks, Some(keys()));
        let args = json!({ "issuer": "https://i", "jwks": keys() });
        act(&mut state, "set_jwt_public_signing_keys", args).unwrap();
        let args = json!({ "issuer": "https://other", "jwks": keys() });
        assert!(act(&mut state, "set_jwt_public_signing_keys", args).is_err());
        act(
            &mut state,
            "remove_jwt_issuer",
            json!({ "issuer": "https://i" }),
        )
        .unwrap();
        assert!(issuers(&state).is_empty());
        assert!(
            act(
                &mut state,
                "remove_jwt_issuer",
                json!({ "issuer": "https://i" })
            )
            .is_err()
        );
    }

    #[test]
    fn fetched_keys_are_not_given_too() {
        let mut state = MemoryState::default();
        let issuer = json!({ "issuer": "https://i", "audiences": ["us"], "auto_refresh": true });
        act(&mut state, "set_jwt_issuer", issuer.clone()).unwrap();
        let args = json!({ "issuer": "https://i", "jwks": keys() });
        assert!(act(&mut state, "set_jwt_public_signing_keys", args).is_err());
        let mut both = issuer.clone();
        both["jwks"] = keys();
        invalid("set_jwt_issuer", both);
        let mut plain = issuer;
        plain["issuer"] = json!("http://i");
        invalid("set_jwt_issuer", plain);
    }

    #[test]
    fn an_issuer_without_an_audience_is_refused() {
        let refusal = invalid("set_jwt_issuer", json!({ "issuer": "https://i" }));
        assert!(refusal.contains("audiences"), "{refusal}");
    }

    #[test]
    fn a_bundle_that_is_needed_stays() {
        let mut state = MemoryState::default();
        let pem = Signer::new("ca").cert.to_pem();
        let args = json!({ "name": "cas", "cert_bundle": pem });
        act(&mut state, "set_ca_cert_bundle", args).unwrap();
        let mut issuer = json!({
            "issuer": "https://i", "audiences": ["us"], "auto_refresh": true,
            "ca_cert_bundle_name": "cas",
        });
        act(&mut state, "set_jwt_issuer", issuer.clone()).unwrap();
        assert_eq!(issuers(&state)[0].ca_certs, Some(pem));
        let remove = || json!({ "name": "cas" });
        assert!(act(&mut state, "remove_ca_cert_bundle", remove()).is_err());
        act(
            &mut state,
            "remove_jwt_issuer",
            json!({ "issuer": "https://i" }),
        )
        .unwrap();
        act(&mut state, "remove_ca_cert_bundle", remove()).unwrap();
        assert!(act(&mut state, "remove_ca_cert_bundle", remove()).is_err());
        issuer["ca_cert_bundle_name"] = json!("cas");
        assert!(act(&mut state, "set_jwt_issuer", issuer).is_err());
        invalid(
            "set_ca_cert_bundle",
            json!({ "name": "cas", "cert_bundle": "x" }),
        );
        invalid("remove_ca_cert_bundle", json!({}));
    }

    #[test]
    fn a_key_set_has_public_keys_only() {
        let key = |key: Value| jwks(&json!({ "keys": [key] }));
        assert!(key(json!({ "kty": "RSA", "n": "a", "e": "AQAB" })).is_ok());
        assert!(key(json!({ "kty": "EC", "crv": "P-256", "x": "a" })).is_err());
        assert!(key(json!({ "kty": "oct", "k": "a" })).is_err());
        let private = json!({ "kty": "OKP", "crv": "Ed25519", "x": "a", "d": "b" });
        assert!(key(private).unwrap_err().contains("PRIVATE"));
        assert!(jwks(&json!({ "keys": [] })).is_err());
        assert!(jwks(&json!([])).is_err());
    }
}
