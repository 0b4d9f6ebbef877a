//! The keys that sign access tokens: files in a folder, one for each key.
//!
//! A file is named `MILLIS-RANDOM.pem` after the moment of its making and holds a P-256 key (PKCS #8). The
//! newest signs. An older one verifies as long as a token that it signed can be good, and is deleted after
//! that. Replicas share the folder: one that meets a key it does not know looks into it again.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::secret::chance;
use crate::limits::{ACCESS_LIFETIME, CLOCK_SKEW, TOKEN_KEYS_MAX};
use crate::model::millis;

/// Why the keys that sign tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The folder or a file in it cannot be read or written.
    #[error("{} cannot be used", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Give it the mode 600, and consider whether somebody read it.
    #[error("others than its owner may use {}", .0.display())]
    Mode(PathBuf),
    /// It is not what this service writes. Move it away.
    #[error("{} is no P-256 key in PKCS #8", .0.display())]
    Form(PathBuf),
    /// Wait until older ones have aged out.
    #[error("there are {TOKEN_KEYS_MAX} keys already: rotate more slowly")]
    TooMany,
}

/// A key.
pub(super) struct Key {
    /// Its name, and that of its file.
    pub(super) id: String,
    /// When it was made, in milliseconds.
    made: i64,
    pub(super) signing: EncodingKey,
    pub(super) verifying: DecodingKey,
    /// The public point: 04, x, y.
    public: Vec<u8>,
}

/// All keys at one moment, the newest first. There is at least one.
pub(super) struct Ring(Vec<Key>);

impl Ring {
    /// The key that signs.
    pub(super) fn newest(&self) -> &Key {
        self.0.first().expect("a ring is never empty")
    }

    /// The key of this name, if what it signed may still be good.
    pub(super) fn find(&self, id: &str, now: i64) -> Option<&Key> {
        let at = self.0.iter().position(|key| key.id == id)?;
        (!self.has_aged(at, now)).then(|| &self.0[at])
    }

    /// What others need to verify tokens: a JSON Web Key Set (RFC 7517).
    pub(super) fn jwks(&self, now: i64) -> Value {
        let good = self.0.iter().enumerate();
        let good = good.filter(|(at, _)| !self.has_aged(*at, now));
        let keys: Vec<_> = good.map(|(_, key)| key.jwk()).collect();
        json!({ "keys": keys })
    }

    /// Whether a newer key has signed for so long that nothing of this one is good any more.
    fn has_aged(&self, at: usize, now: i64) -> bool {
        let Some(newer) = at.checked_sub(1).map(|at| &self.0[at]) else {
            return false;
        };
        newer.made + millis(ACCESS_LIFETIME) + 2 * millis(CLOCK_SKEW) < now
    }
}

impl Key {
    fn jwk(&self) -> Value {
        let (x, y) = self.public[1..].split_at(32);
        json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id,
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        })
    }
}

/// The folder, and what was last read of it.
pub(super) struct Keys {
    folder: PathBuf,
    ring: RwLock<Arc<Ring>>,
    /// When a token last made us look into the folder again.
    looked: AtomicI64,
}

impl Keys {
    /// Reads the keys in a folder; where there are none, makes one.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub(super) fn open(folder: &Path, now: i64) -> Result<Self, KeyError> {
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(folder);
        made.map_err(at(folder))?;
        let mut keys = read(folder)?;
        if keys.is_empty() {
            make(folder, now)?;
            keys = read(folder)?;
        }
        Ok(Self {
            folder: folder.to_owned(),
            ring: RwLock::new(Arc::new(Ring(keys))),
            looked: AtomicI64::new(i64::MIN),
        })
    }

    /// The keys as they were last read.
    pub(super) fn ring(&self) -> Arc<Ring> {
        // A pointer is whole even if somebody panicked while they held it.
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&ring)
    }

    /// Reads them again.
    ///
    /// # Errors
    /// See [`KeyError`]; they stay what they were.
    pub(super) fn reload(&self) -> Result<(), KeyError> {
        let keys = read(&self.folder)?;
        if !keys.is_empty() {
            *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Ring(keys));
        }
        Ok(())
    }

    /// Reads them again for a key that is not known, once a second at most: tokens that name one cost
    /// nothing to make. Returns whether it was done.
    pub(super) fn look_again(&self, now: i64) -> bool {
        let due = |looked: i64| (now >= looked.saturating_add(1_000)).then_some(now);
        let looked = self
            .looked
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, due);
        if looked.is_err() {
            return false;
        }
        if let Err(error) = self.reload() {
            tracing::warn!(%error, "could not read the keys that sign tokens");
        }
        true
    }

    /// Makes a new key, which signs from now on, and deletes those that have aged out.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub(super) fn rotate(&self, now: i64) -> Result<(), KeyError> {
        self.reload()?;
        let ring = self.ring();
        let mut kept = ring.0.len();
        for (place, key) in ring.0.iter().enumerate() {
            if ring.has_aged(place, now) {
                let path = self.folder.join(format!("{}.pem", key.id));
                remove(&path)?;
                kept -= 1;
            }
        }
        if kept >= TOKEN_KEYS_MAX {
            return Err(KeyError::TooMany);
        }
        // Later than the newest, even where a clock was set back.
        make(&self.folder, now.max(ring.newest().made + 1))?;
        self.reload()
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> KeyError + '_ {
    move |source| KeyError::File {
        path: path.to_owned(),
        source,
    }
}

/// Another replica may have been faster.
fn remove(path: &Path) -> Result<(), KeyError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        Err(_) | Ok(()) => Ok(()),
    }
}

fn make(folder: &Path, now: i64) -> Result<(), KeyError> {
    let id = format!("{now:013}-{}", hex::encode(chance::<8>()));
    let pkcs8 =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    let pkcs8 = pkcs8.expect("the system's source of chance never fails");
    let text = Zeroizing::new(STANDARD.encode(pkcs8.as_ref()));
    let mut pem = Zeroizing::new(String::with_capacity(text.len() + 80));
    pem.push_str(BEGIN);
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|byte| char::from(*byte)));
        pem.push('\n');
    }
    pem.push_str(END);
    // Under its name there is a whole key or none: others read while we write.
    let (half, whole) = (
        folder.join(format!("{id}.new")),
        folder.join(format!("{id}.pem")),
    );
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&half);
    let mut file = file.map_err(at(&half))?;
    let written = file
        .write_all(pem.as_bytes())
        .and_then(|()| file.sync_all());
    written.map_err(at(&half))?;
    fs::rename(&half, &whole).map_err(at(&whole))?;
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(at(folder))
}

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----\n";
const END: &str = "-----END PRIVATE KEY-----\n";

/// Newest first.
fn read(folder: &Path) -> Result<Vec<Key>, KeyError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let path = entry.map_err(at(folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let id = name.and_then(|name| name.strip_suffix(".pem"));
        if let Some((id, made)) = id.and_then(|id| Some((id.to_owned(), made(id)?))) {
            found.push((made, id, path));
        }
    }
    found.sort_by(|one, other| other.cmp(one));
    let mut keys = Vec::new();
    for (made, id, path) in found {
        keys.extend(read_key(made, id, &path)?);
        if keys.len() > TOKEN_KEYS_MAX {
            return Err(KeyError::TooMany);
        }
    }
    Ok(keys)
}

fn made(id: &str) -> Option<i64> {
    let (made, random) = id.split_once('-')?;
    let good = random.len() == 16 && random.bytes().all(|byte| byte.is_ascii_hexdigit());
    good.then(|| made.parse().ok()).flatten()
}

/// `None` if another replica has just deleted it.
fn read_key(made: i64, id: String, path: &Path) -> Result<Option<Key>, KeyError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path)(error)),
    };
    let mode = file.metadata().map_err(at(path))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(KeyError::Mode(path.to_owned()));
    }
    let pem = Zeroizing::new(io::read_to_string(file).map_err(at(path))?);
    let form = || KeyError::Form(path.to_owned());
    let text = pem
        .strip_prefix(BEGIN)
        .and_then(|pem| pem.strip_suffix(END));
    let text = Zeroizing::new(text.ok_or_else(form)?.replace('\n', ""));
    let pkcs8 = Zeroizing::new(STANDARD.decode(text.as_bytes()).map_err(|_| form())?);
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8);
    let public = pair.map_err(|_| form())?.public_key().as_ref().to_vec();
    Ok(Some(Key {
        id,
        made,
        signing: EncodingKey::from_ec_der(&pkcs8),
        verifying: DecodingKey::from_ec_der(&public),
        public,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    fn files(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn a_key_is_made_once_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let first = Keys::open(&path, NOW).unwrap().ring().newest().id.clone();
        assert_eq!(Keys::open(&path, NOW).unwrap().ring().newest().id, first);
        let files = files(&path);
        assert_eq!(files.len(), 1);
        let mode = fs::metadata(&files[0]).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_and_so_is_what_is_no_key() {
        let folder = tempfile::tempdir().unwrap();
        Keys::open(folder.path(), NOW).unwrap();
        let file = files(folder.path()).remove(0);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            Keys::open(folder.path(), NOW),
            Err(KeyError::Mode(_))
        ));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&file, "no key").unwrap();
        assert!(matches!(
            Keys::open(folder.path(), NOW),
            Err(KeyError::Form(_))
        ));
    }

    #[test]
    fn an_older_key_verifies_until_it_has_aged_out() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(folder.path(), NOW).unwrap();
        let old = keys.ring().newest().id.clone();
        keys.rotate(NOW + 1_000).unwrap();
        let ring = keys.ring();
        assert_ne!(ring.newest().id, old);
        let life = millis(ACCESS_LIFETIME) + 2 * millis(CLOCK_SKEW);
        assert!(ring.find(&old, NOW + 1_000 + life).is_some());
        assert!(ring.find(&old, NOW + 1_001 + life).is_none());
        assert_eq!(ring.jwks(NOW + 1_000)["keys"].as_array().unwrap().len(), 2);
        assert_eq!(
            ring.jwks(NOW + 1_001 + life)["keys"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
        keys.rotate(NOW + 1_001 + life).unwrap();
        assert_eq!(files(folder.path()).len(), 2);
        assert!(keys.ring().find(&old, NOW).is_none());
    }

    #[test]
    fn another_replica_sees_a_new_key_when_it_looks_again() {
        let folder = tempfile::tempdir().unwrap();
        let one = Keys::open(folder.path(), NOW).unwrap();
        let other = Keys::open(folder.path(), NOW).unwrap();
        one.rotate(NOW + 1).unwrap();
        let id = one.ring().newest().id.clone();
        assert!(other.ring().find(&id, NOW).is_none());
        assert!(other.look_again(NOW));
        assert!(!other.look_again(NOW + 999));
        assert!(other.ring().find(&id, NOW).is_some());
    }

    #[test]
    fn keys_do_not_pile_up() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(folder.path(), NOW).unwrap();
        for _ in 1..TOKEN_KEYS_MAX {
            keys.rotate(NOW).unwrap();
        }
        assert!(matches!(keys.rotate(NOW), Err(KeyError::TooMany)));
    }
}
