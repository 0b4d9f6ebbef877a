//! What the services keep in their folder beside the database: a certificate, the key that seals secrets, and
//! the name of the replica whose folder it is.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::config::Config;
use crate::report::Failure;

/// A certificate and its key: those that are configured, or some that were made here.
pub(super) fn identity(config: &Config) -> Result<(PathBuf, PathBuf)> {
    match (&config.certificate, &config.key) {
        (Some(certificate), Some(key)) => return Ok((certificate.clone(), key.clone())),
        (None, None) => {}
        _ => {
            let what = "a certificate and its key are named together, or neither is";
            return Err(Failure::unreadable(what).into());
        }
    }
    let certificate = config.dir.join("certificate.pem");
    let key = config.dir.join("certificate_key.pem");
    if !certificate.exists() {
        let mut names = config.names.clone();
        names.extend(["localhost".to_owned(), config.listen.ip().to_string()]);
        names.dedup();
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let made = rcgen::CertificateParams::new(names)?.self_signed(&pair)?;
        write_secret(&key, pair.serialize_pem().as_bytes())?;
        // Last: whoever finds it finds its key.
        fs::write(&certificate, made.pem()).map_err(Failure::writing(&certificate))?;
    }
    Ok((certificate, key))
}

/// The key that seals what the database must not tell. It is made where it is not there; of several who make
/// it at once, one does.
pub(super) fn master_key(path: &Path) -> Result<Zeroizing<[u8; 32]>> {
    if !path.exists() {
        let name = random::<8>()?;
        let new = path.with_extension(hex::encode(name));
        let key = Zeroizing::new(hex::encode(Zeroizing::new(random::<32>()?)));
        write_secret(&new, key.as_bytes())?;
        let first = fs::hard_link(&new, path);
        fs::remove_file(&new).map_err(Failure::writing(&new))?;
        if let Err(error) = first
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(Failure::writing(path)(error).into());
        }
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(Failure::reading(path))?);
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim(), bytes.as_mut()).map_err(|error| {
        let what = format!("{} has no 64 hexadecimal digits", path.display());
        Failure::unreadable(what).because(error)
    })?;
    Ok(bytes)
}

/// A secret in a file of its own: what nobody but its owner may read, without the blanks around it.
pub(super) fn secret(path: &Path) -> Result<Zeroizing<String>> {
    let mut file = File::open(path).map_err(Failure::reading(path))?;
    let mode = file.metadata().map_err(Failure::reading(path))?.mode();
    if mode & 0o077 != 0 {
        let what = format!("others than its owner may use {}", path.display());
        let hint = "give it the mode 600, and consider whether somebody read it";
        return Err(Failure::unreadable(what).hint(hint).into());
    }
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text)
        .map_err(Failure::reading(path))?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

fn random<const BYTES: usize>() -> Result<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    rand::fill(&mut bytes).context("drawing random bytes")?;
    Ok(bytes)
}

/// A folder's replica: nobody else has its name as long as this is there.
pub(super) struct Replica {
    /// The name, the same at each start.
    pub(super) name: String,
    _lock: File,
}

impl Replica {
    /// Takes the folder for this process.
    pub(super) fn of(dir: &Path) -> Result<Self> {
        let path = dir.join("replica");
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let mut file = file.map_err(Failure::writing(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let what = format!("another process stores events from {}", dir.display());
                let hint = "each replica has a folder of its own: say --dir";
                return Err(Failure::new(what).hint(hint).into());
            }
            Err(TryLockError::Error(error)) => return Err(Failure::writing(&path)(error).into()),
        }
        let mut name = String::new();
        file.read_to_string(&mut name)
            .map_err(Failure::reading(&path))?;
        if name.trim().is_empty() {
            name = hex::encode(random::<16>()?);
            let written = file
                .write_all(name.as_bytes())
                .and_then(|()| file.sync_all());
            written.map_err(Failure::writing(&path))?;
        }
        Ok(Self {
            name: name.trim().to_owned(),
            _lock: file,
        })
    }
}

/// Writes a file that nobody else may read: whole, or not at all.
pub(super) fn write_secret(path: &Path, bytes: &[u8]) -> Result<()> {
    let new = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new);
    let mut file = file.map_err(Failure::writing(&new))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(Failure::writing(&new))?;
    fs::rename(&new, path).map_err(Failure::writing(path))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        write_secret(&path, b" hush\n").unwrap();
        assert_eq!(secret(&path).unwrap().as_str(), "hush");
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            secret(&path).unwrap_err();
        }
        secret(&dir.path().join("none")).unwrap_err();
    }
}
