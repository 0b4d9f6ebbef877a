//! Somebody with a key, on one chain.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_primitives::{Address, Bytes, Signature, TxKind, hex};

pub(crate) struct Wallet {
    key: e2e::wallet::Wallet,
    chain: u64,
}

impl Wallet {
    /// The same key for the same number.
    pub(crate) fn new(number: u8, chain: u64) -> Self {
        let key = e2e::wallet::Wallet::new([number; 32]).expect("such numbers are keys");
        Self { key, chain }
    }

    pub(crate) fn address(&self) -> Address {
        self.key.address()
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
        self.key.sign(transaction).bytes.into()
    }

    /// The same, as a parameter.
    pub(crate) fn send(&self, nonce: u64, to: TxKind, input: &[u8]) -> String {
        hex::encode_prefixed(self.sign(self.transaction(nonce, to, input)))
    }
}
