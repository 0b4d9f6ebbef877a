//! Things that must not be seen: chance, keys, and texts that open doors.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const NONCE_BYTES: usize = 12;

/// Bytes that nobody guesses.
pub(super) fn chance<const BYTES: usize>() -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's source of chance never fails");
    bytes
}

/// A text that opens something: a password or a token. It is wiped when it is dropped, and never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret(String);

impl Secret {
    /// Of 256 random bits, in characters that fit into a URL.
    pub(super) fn random() -> Self {
        let bytes = Zeroizing::new(chance::<32>());
        Self(URL_SAFE_NO_PAD.encode(*bytes))
    }

    /// The text itself, for whoever it opens something for.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it, where it is random: from this nobody finds it.
    pub(super) fn fingerprint(&self) -> String {
        hex::encode(digest(&SHA256, self.0.as_bytes()))
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

impl AsRef<Self> for Secret {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// What is secret, on its way to another of our services. Nothing else writes it.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(transparent)]
pub struct Exposed<T>(pub T);

impl<T: AsRef<Secret>> serde::Serialize for Exposed<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        exposed(&self.0, serializer)
    }
}

/// Writes a secret field of what is on its way to another of our services.
pub(super) fn exposed<T: AsRef<Secret>, S: serde::Serializer>(
    secret: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.as_ref().expose())
}

/// The same, if it is there.
pub(super) fn exposed_if_any<S: serde::Serializer>(
    secret: &Option<Secret>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&secret.as_ref().map(Secret::expose), serializer)
}

/// The key under which secrets are kept in the database. Whoever starts the service has it from elsewhere.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MasterKey([u8; 32]);

impl MasterKey {
    /// These bytes; they have to be random.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Encrypts, for whoever has the key. It opens for the same purpose alone, which stands in front of
    /// `bound_to` with a version: so nothing that is sealed for one is taken for another.
    pub(super) fn seal(&self, bound_to: String, plain: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_BYTES] = chance();
        let mut sealed = plain.to_vec();
        self.cipher()
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(bound_to),
                &mut sealed,
            )
            .expect("what is sealed is some hundred bytes, which are not too long to encrypt");
        [nonce.as_slice(), &sealed].concat()
    }

    /// What was sealed; `None` if it was for another purpose, under another key, or was changed.
    pub(super) fn open(&self, bound_to: String, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let mut plain = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self
            .cipher()
            .open_in_place(nonce, Aad::from(bound_to), &mut plain);
        let length = opened.ok()?.len();
        plain.truncate(length);
        Some(plain)
    }

    fn cipher(&self) -> LessSafeKey {
        let key = UnboundKey::new(&AES_256_GCM, &self.0);
        LessSafeKey::new(key.expect("32 bytes are an AES-256 key"))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_printed() {
        let printed = format!("{:?} {:?}", Secret::from("abcdef"), MasterKey::new([7; 32]));
        assert_eq!(printed, "Secret(..) MasterKey(..)");
    }

    #[test]
    fn random_secrets_differ_and_so_do_their_fingerprints() {
        let (one, other) = (Secret::random(), Secret::random());
        assert_eq!(one.expose().len(), 43);
        assert_ne!(one.expose(), other.expose());
        assert_ne!(one.fingerprint(), other.fingerprint());
        assert_eq!(one.fingerprint().len(), 64);
    }
}
