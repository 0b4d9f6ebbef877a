//! Where a node's secrets rest while it does not run.
//!
//! On confidential hardware they are sealed to the platform. The only platform here so far is
//! `virtual`: no hardware, no protection but the file system's, and it says so wherever it can.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use ::platform::{CollectFault, Collected, Linux, collect, collect_virtual};
use attest::{Evidence, HexBytes, ReportData, report_data_for};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ledger::secrets::KeptSecret;
use serde::{Deserialize, Serialize};
use store::durable::write_atomically;
use verify::{Cert, Digest, Seqno};
use zeroize::Zeroizing;

/// The name of the platform in evidence and in the ledger (CCF's name for it).
pub const VIRTUAL: &str = "Virtual";

/// Kept beside the ledger; its name is part of the warning.
pub const SECRETS_FILE: &str = "UNPROTECTED-virtual-secrets.json";

const WARNING: &str = "UNPROTECTED. Virtual mode has no hardware to seal these secrets to. Whoever \
    reads this file can read every private entry and sign in the name of this ledger. For \
    development only. Without this file the ledger's private entries are lost.";

/// Owner only: the file mode of everything secret.
const SECRET_MODE: u32 = 0o600;

/// What a node must know to go on after a restart.
pub struct Secrets {
    /// The ledger secrets, each with the first seqno that it is valid for, oldest first. After a
    /// disaster the earliest are missing until the members gave their shares.
    pub ledger_secrets: Vec<KeptSecret>,
    /// What the nodes keep their state under. It never changes.
    pub state_secret: Zeroizing<[u8; 32]>,
    /// The service's private key, PKCS#8 DER.
    pub service_key: Zeroizing<Vec<u8>>,
    /// The node's private key, PKCS#8 DER.
    pub node_key: Zeroizing<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    warning: String,
    platform: String,
    /// The ledger secret of a ledger that never had another one; the state's too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ledger_secret: Option<String>,
    /// Where there are several, or the first is not known: by the first seqno of each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    ledger_secrets: BTreeMap<u64, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state_secret: Option<String>,
    service_key: String,
    node_key: String,
}

/// Why the secrets cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// Check the file's owner and mode.
    #[error("reading or writing the node's secrets in {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Restore the file from a backup: without it private entries cannot be read.
    #[error("the node's secrets in {path} are damaged: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// Take the rights of others away: `chmod 600`.
    #[error("the node's secrets in {path} can be read by others (mode {mode:o}); chmod 600 it")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

/// Reads the secrets kept in `dir`; `None` if there are none yet.
///
/// # Errors
/// The file cannot be read, is damaged, or others may read it.
pub fn load(dir: &Path) -> Result<Option<Secrets>, SecretsError> {
    let path = dir.join(SECRETS_FILE);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(SecretsError::Io { path, source }),
    };
    refuse_exposed(&path)?;
    let damaged = |what| SecretsError::Damaged {
        path: path.clone(),
        what,
    };
    let file: File = serde_json::from_slice(&bytes).map_err(|_| damaged("it is not our JSON"))?;
    if file.platform != VIRTUAL {
        return Err(damaged("it was sealed on another platform"));
    }
    let decode = |text: String, what| {
        let text = Zeroizing::new(text);
        STANDARD
            .decode(text.as_bytes())
            .map(Zeroizing::new)
            .map_err(|_| damaged(what))
    };
    let secret = |text: String| {
        let secret = decode(text, "a secret is not base64")?;
        let secret: [u8; 32] = secret
            .as_slice()
            .try_into()
            .map_err(|_| damaged("a secret does not have 32 bytes"))?;
        Ok(Zeroizing::new(secret))
    };
    let mut ledger_secrets = Vec::new();
    for (from, text) in file.ledger_secrets {
        ledger_secrets.push((Seqno(from), secret(text)?));
    }
    if let Some(only) = file.ledger_secret {
        ledger_secrets.insert(0, (Seqno::FIRST, secret(only)?));
    }
    let state_secret = match (file.state_secret, ledger_secrets.first()) {
        (Some(own), _) => secret(own)?,
        (None, Some((_, first))) => first.clone(),
        (None, None) => return Err(damaged("it has no ledger secret")),
    };
    Ok(Some(Secrets {
        ledger_secrets,
        state_secret,
        service_key: decode(file.service_key, "the service key is not base64")?,
        node_key: decode(file.node_key, "the node key is not base64")?,
    }))
}

/// Keeps the secrets in `dir`, durably and readable by the owner only.
///
/// # Errors
/// The file cannot be written.
pub fn save(dir: &Path, secrets: &Secrets) -> Result<(), SecretsError> {
    let path = dir.join(SECRETS_FILE);
    let encoded = |secret: &Zeroizing<[u8; 32]>| STANDARD.encode(**secret);
    let (ledger_secret, ledger_secrets, state_secret) = match secrets.ledger_secrets.as_slice() {
        [(Seqno::FIRST, only)] if *only == secrets.state_secret => {
            (Some(encoded(only)), BTreeMap::new(), None)
        }
        several => {
            let several = several.iter();
            let by_seqno = several.map(|(from, secret)| (from.0, encoded(secret)));
            (
                None,
                by_seqno.collect(),
                Some(encoded(&secrets.state_secret)),
            )
        }
    };
    let file = File {
        warning: WARNING.to_owned(),
        platform: VIRTUAL.to_owned(),
        ledger_secret,
        ledger_secrets,
        state_secret,
        service_key: STANDARD.encode(&secrets.service_key),
        node_key: STANDARD.encode(&secrets.node_key),
    };
    let json = serde_json::to_vec_pretty(&file).expect("strings are JSON");
    write_atomically(&path, &Zeroizing::new(json), SECRET_MODE)
        .map_err(|source| SecretsError::Io { path, source })
}

/// What a virtual node says that it runs.
///
/// # Errors
/// The program cannot be read.
pub(crate) fn virtual_measurement() -> std::io::Result<(HexBytes<32>, HexBytes<32>)> {
    match collect_virtual(&Linux::default(), &ReportData::ZERO)? {
        Evidence::Virtual(said) => Ok((said.measurement, said.host_data)),
        _ => Err(std::io::Error::other("this is no virtual evidence")),
    }
}

/// Which network evidence is for: the digest of the service's public key.
pub(crate) const fn network_id(service: Digest) -> [u8; 32] {
    service.0
}

/// What a node without hardware says of itself that founds a network. Nobody asks it for more: it is
/// the first, and others see what it is.
///
/// # Errors
/// The program cannot be read.
pub(crate) fn founder_evidence(
    public_key: &[u8],
    service: Digest,
) -> std::io::Result<serde_json::Value> {
    let network = network_id(service);
    let report_data = report_data_for(crate::admission::LABEL, public_key, &network, b"");
    let evidence = collect_virtual(&Linux::default(), &report_data)?;
    Ok(serde_json::to_value(evidence).expect("hex texts are JSON"))
}

/// Evidence of this machine for a node that wants to join the network of `service` with these keys.
///
/// # Errors
/// It cannot be had.
pub(crate) fn evidence(
    public_key: &[u8],
    encryption_key: &[u8],
    service: &Cert,
) -> std::io::Result<serde_json::Value> {
    let network = network_id(service.key_digest());
    let nonce = Digest::of(encryption_key);
    let report_data = report_data_for(crate::admission::LABEL, public_key, &network, &nonce.0);
    let machine = Linux::default();
    let evidence = match collect(&machine, None, &report_data) {
        Ok(Collected::Complete(evidence)) => *evidence,
        Ok(Collected::Report(_) | Collected::Quote(_)) => {
            return Err(std::io::Error::other(
                "the platform gives a report, but not its vendor's certificates; configure the \
                 host to pass them on",
            ));
        }
        Err(CollectFault::NoPlatform) => collect_virtual(&machine, &report_data)?,
        Err(fault) => return Err(std::io::Error::other(fault)),
    };
    Ok(serde_json::to_value(evidence).expect("hex texts are JSON"))
}

fn refuse_exposed(path: &Path) -> Result<(), SecretsError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = std::fs::metadata(path).map_err(|source| SecretsError::Io {
        path: path.to_owned(),
        source,
    })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretsError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn secrets() -> Secrets {
        Secrets {
            ledger_secrets: vec![(Seqno::FIRST, Zeroizing::new([7; 32]))],
            state_secret: Zeroizing::new([7; 32]),
            service_key: Zeroizing::new(vec![1, 2]),
            node_key: Zeroizing::new(vec![3]),
        }
    }

    #[test]
    fn secrets_are_read_as_they_were_kept_and_only_by_their_owner() {
        let dir = tempfile::tempdir().unwrap();
        assert!(load(dir.path()).unwrap().is_none());
        save(dir.path(), &secrets()).unwrap();
        let back = load(dir.path()).unwrap().unwrap();
        assert_eq!(back.ledger_secrets, secrets().ledger_secrets);
        assert_eq!(*back.state_secret, [7; 32]);
        assert_eq!(*back.node_key, [3]);

        let path = dir.path().join(SECRETS_FILE);
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        assert!(matches!(
            load(dir.path()),
            Err(SecretsError::Exposed { mode: 0o640, .. })
        ));
    }

    #[test]
    fn several_ledger_secrets_are_kept_each_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let several = Secrets {
            ledger_secrets: vec![(Seqno(17), Zeroizing::new([8; 32]))],
            ..secrets()
        };
        save(dir.path(), &several).unwrap();
        let back = load(dir.path()).unwrap().unwrap();
        assert_eq!(back.ledger_secrets, several.ledger_secrets);
        assert_eq!(back.state_secret, several.state_secret);
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), &secrets()).unwrap();
        let path = dir.path().join(SECRETS_FILE);
        let text = std::fs::read_to_string(&path)
            .unwrap()
            .replace("Virtual", "Other");
        std::fs::write(&path, text).unwrap();
        assert!(matches!(
            load(dir.path()),
            Err(SecretsError::Damaged { .. })
        ));
    }
}
