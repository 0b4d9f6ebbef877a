//! Who signs: a key in memory or in a file, or whatever else implements [`Signer`].

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use alloy_consensus::crypto::secp256k1::recover_signer;
use alloy_primitives::{Address, B256, Signature, eip191_hash_message};
use futures_util::future::{BoxFuture, FutureExt};
use secp256k1::{Message, SECP256K1, SecretKey};
use zeroize::Zeroizing;

use crate::limits::KEY_FILE_BYTES_MAX;

/// A key for secp256k1 that may be far away: in a file, a device, or behind a service.
pub trait Signer: Send + Sync + 'static {
    /// The key's account.
    fn address(&self) -> Address;

    /// Signs a digest. Asked again for the same digest, another signature may come.
    fn sign(&self, digest: B256) -> BoxFuture<'_, Result<Signature, SignerError>>;
}

/// The account whose key signed a text, as wallets sign messages (EIP-191, `personal_sign`). `None`: the signature is
/// none, or the second form of another (EIP-2).
pub fn signer_of_message(text: &str, signature: &[u8; 65]) -> Option<Address> {
    let signature = Signature::from_raw_array(signature).ok()?;
    recover_signer(&signature, eip191_hash_message(text)).ok()
}

/// A key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The file cannot be read.
    #[error("cannot read the key {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read the file: `chmod 600` it, and think of a new key.
    #[error("the key {} can be read by others (mode {mode:o}): it must be 600", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file has something else in it.
    #[error("{} is not a key: 64 hex digits, with or without 0x", path.display())]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// The device or service that has the key does not sign.
    #[error("the key does not sign: {0}")]
    Refused(String),
}

/// A key in memory, which is erased when this is dropped.
pub struct HeldKey {
    key: SecretKey,
    address: Address,
}

impl HeldKey {
    /// The key of these bytes; `None` for the few that are no key: zero, and what is above the curve's
    /// order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        let key = SecretKey::from_byte_array(*bytes).ok()?;
        let public = key.public_key(SECP256K1).serialize_uncompressed();
        let address = Address::from_raw_public_key(&public[1..]);
        Some(Self { key, address })
    }
}

impl Drop for HeldKey {
    fn drop(&mut self) {
        self.key.non_secure_erase();
    }
}

/// Says whose it is, and nothing of the secret.
impl std::fmt::Debug for HeldKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the key of {}", self.address)
    }
}

impl Signer for HeldKey {
    fn address(&self) -> Address {
        self.address
    }

    fn sign(&self, digest: B256) -> BoxFuture<'_, Result<Signature, SignerError>> {
        let message = Message::from_digest(digest.0);
        let signature = SECP256K1.sign_ecdsa_recoverable(message, &self.key);
        let (recovery, bytes) = signature.serialize_compact();
        let signature = Signature::from_bytes_and_parity(&bytes, i32::from(recovery) == 1);
        async move { Ok(signature) }.boxed()
    }
}

/// A key from a file of 64 hex digits that only its owner may read.
#[derive(Debug)]
pub struct FileKey(HeldKey);

impl FileKey {
    /// Reads a key.
    ///
    /// # Errors
    /// The file cannot be read, is open to others, or is not a key.
    pub fn read(path: &Path) -> Result<Self, SignerError> {
        let fault = |source| SignerError::Io {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(fault)?;
        let mode = file.metadata().map_err(fault)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(SignerError::Open {
                path: path.to_owned(),
                mode,
            });
        }
        let mut text = Zeroizing::new(String::new());
        let read = file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text);
        match read {
            Err(error) if error.kind() != io::ErrorKind::InvalidData => return Err(fault(error)),
            _ => {}
        }
        Self::from_hex(&text).ok_or_else(|| SignerError::NotAKey {
            path: path.to_owned(),
        })
    }

    fn from_hex(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let mut bytes = Zeroizing::new([0; 32]);
        alloy_primitives::hex::decode_to_slice(digits, bytes.as_mut()).ok()?;
        HeldKey::from_bytes(&bytes).map(Self)
    }
}

impl Signer for FileKey {
    fn address(&self) -> Address {
        self.0.address()
    }

    fn sign(&self, digest: B256) -> BoxFuture<'_, Result<Signature, SignerError>> {
        self.0.sign(digest)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use alloy_primitives::address;

    use super::*;

    /// The first account of every development chain.
    const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    #[tokio::test]
    async fn a_key_in_a_file_signs_for_its_account() {
        for text in [KEY.to_owned(), format!("0x{KEY}\n")] {
            let (_dir, path) = file(&text, 0o600);
            let key = FileKey::read(&path).unwrap();
            let account = address!("f39fd6e51aad88f6f4ce6ab8827279cfffb92266");
            assert_eq!(key.address(), account);
            let digest = B256::repeat_byte(7);
            let signature = key.sign(digest).await.unwrap();
            let by = recover_signer(&signature, digest);
            assert_eq!(by.unwrap(), account);
            assert!(!format!("{key:?}").contains("ac0974"));
        }
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let (_dir, path) = file(KEY, 0o640);
        let read = FileKey::read(&path);
        assert!(matches!(read, Err(SignerError::Open { mode: 0o640, .. })));
    }

    #[test]
    fn what_is_not_a_key_is_refused() {
        let long = "1".repeat(10_000);
        for text in ["", "0x", &KEY[1..], &"0".repeat(64), &"f".repeat(64), &long] {
            let (_dir, path) = file(text, 0o600);
            let read = FileKey::read(&path);
            assert!(matches!(read, Err(SignerError::NotAKey { .. })), "{text}");
        }
        let missing = FileKey::read(Path::new("/nowhere/key"));
        assert!(matches!(missing, Err(SignerError::Io { .. })));
    }
}
