//! Somebody with a key.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes, Signature, TxKind, hex};
use secp256k1::{Message, SECP256K1, SecretKey};

pub(crate) struct Wallet {
    key: SecretKey,
    chain: u64,
}

impl Wallet {
    /// The same key for the same number.
    pub(crate) fn new(number: u8, chain: u64) -> Self {
        let key = SecretKey::from_byte_array([number; 32]).expect("such numbers are keys");
        Self { key, chain }
    }

    pub(crate) fn address(&self) -> Address {
        let key = self.key.public_key(SECP256K1).serialize_uncompressed();
        Address::from_raw_public_key(&key[1..])
    }

    /// A transaction, to be changed and signed.
    pub(crate) fn transaction(&self, nonce: u64, to: TxKind, input: &[u8]) -> TxEip1559 {
        TxEip1559 {
            chain_id: self.chain,
            nonce,
            gas_limit: 1 << 24,
            to,
            input: Bytes::copy_from_slice(input),
            ..TxEip1559::default()
        }
    }

    /// The bytes that a wallet sends.
    pub(crate) fn sign<T>(&self, transaction: T) -> Vec<u8>
    where
        T: SignableTransaction<Signature>,
        TxEnvelope: From<alloy_consensus::Signed<T>>,
    {
        let message = Message::from_digest(transaction.signature_hash().0);
        let signature = SECP256K1.sign_ecdsa_recoverable(message, &self.key);
        let (recovery, bytes) = signature.serialize_compact();
        let signature = Signature::from_bytes_and_parity(&bytes, i32::from(recovery) == 1);
        TxEnvelope::from(transaction.into_signed(signature)).encoded_2718()
    }

    /// The same, as a parameter.
    pub(crate) fn send(&self, nonce: u64, to: TxKind, input: &[u8]) -> String {
        hex::encode_prefixed(self.sign(self.transaction(nonce, to, input)))
    }
}
