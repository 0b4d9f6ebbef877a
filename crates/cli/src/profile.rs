//! A client's profile: where the ledger is, what to trust, what to show. So flags are rarely needed.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::device;
use crate::report::Failure;

/// The profile that `up` writes into the ledger's folder.
pub(crate) const IN_LEDGER: &str = "client.toml";

/// A profile file. Paths in it are relative to the file.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    /// The ledger's address.
    pub(crate) url: Option<String>,
    /// The service certificate, a PEM file.
    pub(crate) service_cert: Option<PathBuf>,
    /// A file with a bearer token.
    pub(crate) token_file: Option<PathBuf>,
    /// A client certificate, a PEM file.
    pub(crate) client_cert: Option<PathBuf>,
    /// Its private key, a PEM file.
    pub(crate) client_key: Option<PathBuf>,
    /// The certificate of a member who signs proposals and ballots, a PEM file.
    pub(crate) member_cert: Option<PathBuf>,
    /// Its private key, a PEM file or a device's key (`pkcs11:...`).
    pub(crate) member_key: Option<PathBuf>,
}

impl Profile {
    /// Reads a profile, its paths made independent of where the file is.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).map_err(Failure::reading(path))?;
        let profile: Self = toml::from_str(&text).map_err(|error| {
            Failure::unreadable(format!("{} is not a profile", path.display())).because(error)
        })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let absolute = |path: Option<PathBuf>| path.map(|path| folder.join(path));
        Ok(Self {
            url: profile.url,
            service_cert: absolute(profile.service_cert),
            token_file: absolute(profile.token_file),
            client_cert: absolute(profile.client_cert),
            client_key: absolute(profile.client_key),
            member_cert: absolute(profile.member_cert),
            member_key: match profile.member_key {
                Some(key) if device::uri(&key).is_some() => Some(key),
                key => absolute(key),
            },
        })
    }

    /// Writes a profile; nothing in it is secret, secrets are in the files that it names.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = toml::to_string(self).expect("paths and addresses are TOML");
        let text = format!("# How the `counterfoil` commands reach this ledger.\n{text}");
        std::fs::write(path, text).map_err(Failure::writing(path))
    }

    /// Finds the profile to use: the one that was named, else the user's own, else, if asked to
    /// look there, that of a ledger in the folder where `up` puts one. An empty profile where there
    /// is none.
    pub(crate) fn find(
        ledger: Option<&Path>,
        named: Option<&Path>,
        look_beside: bool,
    ) -> Result<Self, Failure> {
        if let Some(dir) = ledger {
            let path = dir.join(IN_LEDGER);
            return Self::read(&path).map_err(|failure| {
                failure.hint(format!(
                    "`counterfoil up --dir {}` writes it when the ledger starts",
                    dir.display()
                ))
            });
        }
        if let Some(path) = named {
            return Self::read(path);
        }
        let beside = Path::new(crate::config::DIR_DEFAULT).join(IN_LEDGER);
        for path in [own(), look_beside.then_some(beside)].into_iter().flatten() {
            if path.exists() {
                return Self::read(&path);
            }
        }
        Ok(Self::default())
    }
}

/// `~/.config/counterfoil/profile.toml`, or below `XDG_CONFIG_HOME`.
fn own() -> Option<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let config = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))?;
    Some(config.join("counterfoil").join("profile.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_a_profile_are_relative_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(IN_LEDGER);
        let written = Profile {
            url: Some("https://127.0.0.1:1".to_owned()),
            token_file: Some("token".into()),
            service_cert: Some("/etc/service_cert.pem".into()),
            ..Profile::default()
        };
        written.write(&path).unwrap();
        let read = Profile::find(Some(dir.path()), None, false).unwrap();
        assert_eq!(read.token_file, Some(dir.path().join("token")));
        assert_eq!(read.service_cert, Some("/etc/service_cert.pem".into()));
    }

    #[test]
    fn a_misspelt_field_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("profile.toml");
        std::fs::write(&path, "adress = \"x\"").unwrap();
        let failure = anyhow::Error::from(Profile::read(&path).unwrap_err());
        assert!(format!("{failure:#}").contains("adress"), "{failure:#}");
    }
}
