//! What the services keep in their folder beside the database: a certificate, and the key that seals secrets.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
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

/// The key that seals what the database must not tell.
pub(super) fn master_key(dir: &Path) -> Result<Zeroizing<[u8; 32]>> {
    let path = dir.join("master.key");
    if !path.exists() {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes).context("drawing a key")?;
        write_secret(&path, hex::encode(bytes).as_bytes())?;
    }
    let text = Zeroizing::new(fs::read_to_string(&path).map_err(Failure::reading(&path))?);
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim(), bytes.as_mut()).map_err(|error| {
        let what = format!("{} has no 64 hexadecimal digits", path.display());
        Failure::unreadable(what).because(error)
    })?;
    Ok(bytes)
}

/// Writes a file that nobody else may read: whole, or not at all.
fn write_secret(path: &Path, bytes: &[u8]) -> Result<()> {
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
