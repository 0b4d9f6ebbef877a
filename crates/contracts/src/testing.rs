//! Wallets and small contracts for tests.

use std::sync::{Arc, OnceLock};

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind};
use ledger::kv::MemoryState;
use ledger::tables::FEATURES;
use ledger::{Transaction, Tx};
use secp256k1::{Message, SECP256K1, SecretKey};
use verify::{Digest, Seqno, TxId, View};

use crate::evm::Codes;
use crate::execute::{Execute, Refused};
use crate::outcome::Outcome;
use crate::signed::Signed;
use ledger::contracts::FEATURE;

/// The chain's id in tests.
pub(crate) const CHAIN: u64 = 4711;

/// Somebody with a key.
pub(crate) struct Wallet(SecretKey);

impl Wallet {
    /// The same key for the same number.
    pub(crate) fn new(number: u8) -> Self {
        Self(SecretKey::from_byte_array([number; 32]).unwrap())
    }

    pub(crate) fn address(&self) -> Address {
        let key = self.0.public_key(SECP256K1).serialize_uncompressed();
        Address::from_raw_public_key(&key[1..])
    }

    pub(crate) fn signature(&self, digest: B256) -> Signature {
        let message = Message::from_digest(digest.0);
        let signature = SECP256K1.sign_ecdsa_recoverable(message, &self.0);
        let (recovery, bytes) = signature.serialize_compact();
        Signature::from_bytes_and_parity(&bytes, i32::from(recovery) == 1)
    }

    /// The bytes that a wallet sends.
    pub(crate) fn sign<T>(&self, transaction: T) -> Bytes
    where
        T: SignableTransaction<Signature>,
        TxEnvelope: From<alloy_consensus::Signed<T>>,
    {
        let signature = self.signature(transaction.signature_hash());
        let envelope = TxEnvelope::from(transaction.into_signed(signature));
        envelope.encoded_2718().into()
    }
}

/// A call with enough gas and no fee.
pub(crate) fn call(nonce: u64, to: TxKind, input: impl Into<Bytes>) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN,
        nonce,
        gas_limit: 1_000_000,
        to,
        input: input.into(),
        ..TxEip1559::default()
    }
}

/// What makes a contract of this code.
pub(crate) fn deploying(code: &[u8]) -> Vec<u8> {
    let length = u8::try_from(code.len()).unwrap();
    // PUSH1 length, DUP1, PUSH1 11, PUSH1 0, CODECOPY, PUSH1 0, RETURN
    let head = [0x60, length, 0x80, 0x60, 11, 0x60, 0, 0x39, 0x60, 0, 0xf3];
    [&head, code].concat()
}

/// A ledger in memory with a chain on it.
pub(crate) struct Chain {
    pub(crate) state: MemoryState,
    seqno: u64,
    batch: u64,
    codes: Arc<Codes>,
}

impl Chain {
    pub(crate) fn new() -> Self {
        let mut state = MemoryState::default();
        let settings = format!(r#"{{"chain_id": {CHAIN}}}"#);
        let put = move |tx: &mut Tx<'_>| {
            tx.put(FEATURES, FEATURE.as_bytes(), settings.as_bytes());
            Ok(Digest::ZERO)
        };
        state.run(put).unwrap();
        Self {
            state,
            seqno: 10,
            batch: 10,
            codes: Arc::default(),
        }
    }

    /// Ends the batch, with a signature entry.
    pub(crate) fn end_batch(&mut self) {
        self.seqno += 1;
        self.batch = self.seqno;
    }

    /// Runs what a wallet sent.
    pub(crate) fn send(&mut self, raw: Bytes) -> Result<Arc<Outcome>, Refused> {
        let answer = Arc::new(OnceLock::new());
        let execute = Execute {
            signed: Signed::decode(raw, CHAIN).unwrap(),
            time: 1_800_000_000 + self.seqno,
            codes: Arc::clone(&self.codes),
            gaps: Arc::default(),
            answer: Arc::clone(&answer),
        };
        let id = TxId::new(View(2), Seqno(self.seqno));
        let mut tx = Tx::new(&self.state, id, [7; 32]).in_batch(Seqno(self.batch));
        if Box::new(execute).run(&mut tx).is_ok() {
            let writes = tx.into_writes();
            self.state.apply(&writes);
            self.seqno += 1;
        }
        answer.get().unwrap().clone()
    }
}
