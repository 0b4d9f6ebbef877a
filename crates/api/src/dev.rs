//! An administrator for trying things out: a token issuer of this process alone.
//!
//! Not for production: whoever reads the key file, or sees the token once, is Administrator until
//! the key file is removed.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ledger::users::UserId;
use serde_json::json;
use verify::Digest;

use crate::config::{JwksSource, JwtIssuer};

/// The key file in the ledger's folder.
pub const KEY_FILE: &str = "dev-administrator.key";

/// The user id of the administrator: of the form that Entra ID has.
pub const USER_ID: &str = "00000000-0000-4000-8000-c0047e7f0110";

/// The audience of the token, that of Azure Confidential Ledger: its clients ask for no other.
pub const AUDIENCE: &str = "https://confidential-ledger.azure.com";

/// 1 January 2100. A fixed time, so that the same key always makes the same token.
const EXPIRES_AT: u64 = 4_102_444_800;

/// An administrator and what to configure so that the token is believed.
#[derive(Debug, Clone)]
pub struct DevAdministrator {
    /// The user to be made Administrator when the ledger is created.
    pub user: UserId,
    /// The bearer token. A secret.
    pub token: String,
    /// The issuer that [`crate::ApiConfig::jwt`] must list.
    pub issuer: JwtIssuer,
}

impl DevAdministrator {
    /// The proposal with which a new ledger believes the issuer on all its nodes.
    pub fn founding_actions(&self) -> String {
        let keys = match &self.issuer.jwks {
            JwksSource::Static(keys) => serde_json::from_str(keys).unwrap_or_default(),
            _ => serde_json::Value::Null,
        };
        json!({ "actions": [{ "name": "set_jwt_issuer", "args": {
            "issuer": self.issuer.issuer,
            "audiences": self.issuer.audiences,
            "jwks": keys,
        }}]})
        .to_string()
    }
}

/// Why there is no administrator.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// Check the folder's owner and mode.
    #[error("reading or writing the development key {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Remove the file: a new key is made.
    #[error("{0} is not a development key; remove it to have a new one made")]
    NotAKey(PathBuf),
    /// Take the rights of others away: `chmod 600`.
    #[error("the development key {path} can be read by others (mode {mode:o}); chmod 600 it")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

/// The administrator of the ledger in `dir`. The first call makes a key, later ones find it, so a
/// token stays good over restarts.
///
/// # Errors
/// See [`DevError`].
///
/// # Panics
/// If the system has no randomness.
pub fn administrator(dir: &Path) -> Result<DevAdministrator, DevError> {
    let path = dir.join(KEY_FILE);
    let failed = |source| DevError::File {
        path: path.clone(),
        source,
    };
    let pkcs8 = match std::fs::read(&path) {
        Ok(bytes) => {
            refuse_exposed(&path)?;
            bytes
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_key(dir, &path).map_err(failed)?
        }
        Err(error) => return Err(failed(error)),
    };
    let not_a_key = || DevError::NotAKey(path.clone());
    let key = Ed25519KeyPair::from_pkcs8(&pkcs8).map_err(|_| not_a_key())?;
    let public = key.public_key().as_ref();
    let key_id = hex::encode(&Digest::of(public).0[..8]);
    let issuer = format!("https://counterfoil.dev/{key_id}");
    let claims = json!({ "iss": issuer, "aud": AUDIENCE, "oid": USER_ID, "exp": EXPIRES_AT });
    let header = Header {
        kid: Some(key_id.clone()),
        ..Header::new(Algorithm::EdDSA)
    };
    let token = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_der(&pkcs8))
        .map_err(|_| not_a_key())?;
    let keys = json!({ "keys": [{
        "kty": "OKP",
        "crv": "Ed25519",
        "alg": "EdDSA",
        "use": "sig",
        "kid": key_id,
        "x": URL_SAFE_NO_PAD.encode(public),
    }]});
    let issuer = JwtIssuer {
        issuer,
        audiences: vec![AUDIENCE.to_owned()],
        jwks: JwksSource::Static(keys.to_string()),
        user_claim: None,
        tls_roots: None,
    };
    let user = UserId::parse(USER_ID).expect("the constant is a user id");
    Ok(DevAdministrator {
        user,
        token,
        issuer,
    })
}

/// Makes a key and keeps it: whole or not at all, should the process end meanwhile. Another process
/// that does the same at the same time wins.
fn make_key(dir: &Path, path: &Path) -> io::Result<Vec<u8>> {
    let random = SystemRandom::new();
    let key = Ed25519KeyPair::generate_pkcs8(&random).expect("the system has randomness");
    std::fs::create_dir_all(dir)?;
    // For the owner only, which is how temporary files are made.
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(key.as_ref())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(key.as_ref().to_vec()),
        Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => std::fs::read(path),
        Err(refused) => Err(refused.error),
    }
}

fn refuse_exposed(path: &Path) -> Result<(), DevError> {
    let metadata = std::fs::metadata(path).map_err(|source| DevError::File {
        path: path.to_owned(),
        source,
    })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(DevError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Tokens;

    #[tokio::test]
    async fn the_token_is_believed_and_stays_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let first = administrator(dir.path()).unwrap();
        let again = administrator(dir.path()).unwrap();
        assert_eq!(first.token, again.token);
        let tokens = Tokens::new(vec![again.issuer]).unwrap();
        let verified = tokens.verify(&first.token).await.unwrap();
        assert_eq!(verified.identity.user(), &first.user);

        let other = tempfile::tempdir().unwrap();
        let other = administrator(other.path()).unwrap();
        assert_ne!(other.token, first.token);
        assert!(tokens.verify(&other.token).await.is_err());
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        administrator(dir.path()).unwrap();
        let path = dir.path().join(KEY_FILE);
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        assert!(matches!(
            administrator(dir.path()),
            Err(DevError::Exposed { mode: 0o644, .. })
        ));
    }
}
