//! Private keys of participants' accounts, sealed for the database under one master key.
//!
//! ```text
//! sealed = hexadecimal digits of: nonce (12 bytes) || AES-256-GCM of the key (32) || tag (16)
//! bound  = "counterfoil.audit.account/1" || 00 || account (20 bytes)
//! ```
//!
//! A key that is moved to another account's row does not open.

use alloy_primitives::Address;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand;
use connector::{HeldKey, Signer};
use zeroize::Zeroizing;

const DOMAIN: &[u8] = b"counterfoil.audit.account/1\0";

/// The key under which all others are kept. Whoever has it and the database signs for everybody.
pub struct MasterKey(RandomizedNonceKey);

impl MasterKey {
    /// The key of these 32 bytes, which the caller erases.
    pub fn new(bytes: &[u8; 32]) -> Self {
        let key = RandomizedNonceKey::new(&AES_256_GCM, bytes);
        Self(key.expect("the key is as long as AES-256 has it"))
    }

    /// Makes a key for an account, and seals it.
    pub(super) fn fresh(&self) -> (HeldKey, String) {
        let mut bytes = Zeroizing::new([0; 32]);
        let key = loop {
            rand::fill(bytes.as_mut()).expect("the system gives random numbers");
            // One of 2^128 is no key.
            if let Some(key) = HeldKey::from_bytes(&bytes) {
                break key;
            }
        };
        let sealed = self.seal(key.address(), &bytes);
        (key, sealed)
    }

    fn seal(&self, account: Address, bytes: &[u8; 32]) -> String {
        // With room for the tag: a vector that grows leaves what it had behind.
        let mut sealed = Zeroizing::new(Vec::with_capacity(bytes.len() + AES_256_GCM.tag_len()));
        sealed.extend_from_slice(bytes);
        let nonce = self
            .0
            .seal_in_place_append_tag(bound(account), &mut *sealed);
        let nonce = nonce.expect("32 bytes are not too many");
        hex::encode([nonce.as_ref(), &sealed[..]].concat())
    }

    /// The key of an account; `None`: it was sealed under another master key, for another account, or was
    /// changed.
    pub(super) fn open(&self, account: Address, sealed: &str) -> Option<HeldKey> {
        let mut bytes = Zeroizing::new(hex::decode(sealed).ok()?);
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let opened = self.0.open_in_place(nonce, bound(account), sealed).ok()?;
        let key = HeldKey::from_bytes((&*opened).try_into().ok()?)?;
        (key.address() == account).then_some(key)
    }
}

/// Says nothing of it.
impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a master key")
    }
}

fn bound(account: Address) -> Aad<Vec<u8>> {
    Aad::from([DOMAIN, account.as_slice()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_key_is_opened_by_its_master_key_for_its_account_alone() {
        let master = MasterKey::new(&[7; 32]);
        let (key, sealed) = master.fresh();
        let account = key.address();
        assert_eq!(master.open(account, &sealed).unwrap().address(), account);
        assert!(MasterKey::new(&[8; 32]).open(account, &sealed).is_none());
        let other = master.fresh().0.address();
        assert!(master.open(other, &sealed).is_none());
        for text in [
            "",
            "00",
            &sealed[2..],
            &sealed.replace(&sealed[30..32], "zz"),
        ] {
            assert!(master.open(account, text).is_none(), "{text}");
        }
    }

    #[test]
    fn nothing_of_a_key_is_readable() {
        let master = MasterKey::new(&[7; 32]);
        let bytes = [3; 32];
        let account = HeldKey::from_bytes(&bytes).unwrap().address();
        let sealed = master.seal(account, &bytes);
        assert_eq!(sealed.len(), 2 * (12 + 32 + 16));
        assert!(!sealed.contains(&hex::encode(&bytes[..8])));
        assert_ne!(sealed, master.seal(account, &bytes));
        assert_eq!(format!("{master:?}"), "a master key");
    }
}
