//! The account that signs transactions for contracts: a key in a file.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature};
use anyhow::Result;
use secp256k1::{Message, SECP256K1, SecretKey};
use zeroize::Zeroizing;

use crate::report::Failure;

/// Somebody who signs for contracts.
pub(crate) struct Account(SecretKey);

impl Account {
    /// The key in this file: 64 hexadecimal digits, as other tools of Ethereum write them.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let text = Zeroizing::new(fs::read_to_string(path).map_err(Failure::reading(path))?);
        let digits = text.trim().trim_start_matches("0x");
        let mut key = Zeroizing::new([0; 32]);
        let read = hex::decode_to_slice(digits, &mut key[..]).is_ok();
        let key = SecretKey::from_byte_array(*key).ok().filter(|_| read);
        key.map(Self).ok_or_else(|| {
            Failure::unreadable(format!("{} has no key of an account", path.display()))
                .hint("it has 64 hexadecimal digits; `counterfoil contract account` makes one")
        })
    }

    /// Makes a key, and the file for it, which nobody but its owner can read.
    pub(crate) fn make(path: &Path) -> Result<Self, Failure> {
        let mut bytes = Zeroizing::new([0; 32]);
        let key = loop {
            aws_lc_rs::rand::fill(&mut bytes[..])
                .map_err(|_| Failure::new("the system gives no randomness"))?;
            // One in 2^128 is no key.
            if let Ok(key) = SecretKey::from_byte_array(*bytes) {
                break key;
            }
        };
        let text = Zeroizing::new(format!("0x{}\n", hex::encode(*bytes)));
        let file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        file.and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .map_err(Failure::writing(path))?;
        Ok(Self(key))
    }

    /// The account.
    pub(crate) fn address(&self) -> Address {
        let key = self.0.public_key(SECP256K1).serialize_uncompressed();
        Address::from_raw_public_key(&key[1..])
    }

    /// Signs a digest.
    pub(crate) fn sign(&self, digest: B256) -> Signature {
        let message = Message::from_digest(digest.0);
        let signature = SECP256K1.sign_ecdsa_recoverable(message, &self.0);
        let (recovery, bytes) = signature.serialize_compact();
        Signature::from_bytes_and_parity(&bytes, i32::from(recovery) == 1)
    }

    /// The bytes to send, of a transaction.
    pub(crate) fn signed(&self, transaction: TxEip1559) -> Bytes {
        let signature = self.sign(transaction.signature_hash());
        let envelope = TxEnvelope::from(transaction.into_signed(signature));
        envelope.encoded_2718().into()
    }
}
