//! A transaction as a wallet sends it, and who signed it.

use alloy_consensus::transaction::SignerRecoverable;
use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Address, B256, Bytes, keccak256};

use crate::limits::TRANSACTION_BYTES_MAX;

/// A transaction that was decoded and whose signature is right. Recovering the sender takes longer
/// than running most transactions, so it is done before the executor sees it.
#[derive(Debug, Clone)]
pub struct Signed {
    raw: Bytes,
    hash: B256,
    envelope: TxEnvelope,
    sender: Address,
}

/// Why bytes are no transaction that this ledger takes. The texts are those that Ethereum's clients
/// look for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignedError {
    /// Send less.
    #[error("oversized data: transaction size {length}, limit {TRANSACTION_BYTES_MAX}")]
    TooLarge {
        /// Bytes that came.
        length: usize,
    },
    /// The bytes are not an encoded transaction (EIP-2718), or others follow it.
    #[error("rlp: {0}")]
    Malformed(String),
    /// Blobs are for chains whose data others make available.
    #[error("transaction type not supported: blobs (type 3) have no place in a ledger")]
    Blobs,
    /// The signature is nobody's, or its `s` is not the low one (EIP-2).
    #[error("invalid sender: the signature is not valid")]
    Signature,
    /// Signed for another chain, or for any (before EIP-155): it could be sent again elsewhere.
    #[error("{}", chain_id(*have, *want))]
    ChainId {
        /// The chain that it was signed for.
        have: Option<u64>,
        /// This chain.
        want: u64,
    },
}

fn chain_id(have: Option<u64>, want: u64) -> String {
    match have {
        Some(have) => format!("invalid chain id for signer: have {have} want {want}"),
        None => "only replay-protected (EIP-155) transactions allowed over RPC".to_owned(),
    }
}

impl Signed {
    /// Decodes a transaction of type 0, 1, 2 or 4 for this chain, and recovers who signed it.
    ///
    /// # Errors
    /// See [`SignedError`]: whoever sent it is to blame.
    pub fn decode(raw: Bytes, chain: u64) -> Result<Self, SignedError> {
        if raw.len() > TRANSACTION_BYTES_MAX {
            let length = raw.len();
            return Err(SignedError::TooLarge { length });
        }
        let mut rest = &raw[..];
        let envelope = TxEnvelope::decode_2718(&mut rest)
            .map_err(|error| SignedError::Malformed(error.to_string()))?;
        if !rest.is_empty() {
            let why = format!("{} bytes follow the transaction", rest.len());
            return Err(SignedError::Malformed(why));
        }
        if matches!(envelope, TxEnvelope::Eip4844(_)) {
            return Err(SignedError::Blobs);
        }
        let have = envelope.chain_id();
        if have != Some(chain) {
            return Err(SignedError::ChainId { have, want: chain });
        }
        let sender = envelope
            .recover_signer()
            .map_err(|_| SignedError::Signature)?;
        Ok(Self {
            hash: keccak256(&raw),
            raw,
            envelope,
            sender,
        })
    }

    /// Takes a transaction from the ledger, where it stands because it was right.
    ///
    /// # Errors
    /// The bytes are no transaction: the ledger was written by something else.
    pub fn recorded(raw: Bytes, sender: Address) -> Result<Self, SignedError> {
        let envelope = TxEnvelope::decode_2718(&mut &raw[..])
            .map_err(|error| SignedError::Malformed(error.to_string()))?;
        Ok(Self {
            hash: keccak256(&raw),
            raw,
            envelope,
            sender,
        })
    }

    /// The hash by which it is known.
    pub const fn hash(&self) -> B256 {
        self.hash
    }

    /// Who signed it.
    pub const fn sender(&self) -> Address {
        self.sender
    }

    /// Its number among the sender's.
    pub fn nonce(&self) -> u64 {
        self.envelope.nonce()
    }

    /// Whether it makes a contract, and calls none.
    pub fn makes_contract(&self) -> bool {
        self.envelope.is_create()
    }

    /// All of it.
    pub const fn envelope(&self) -> &TxEnvelope {
        &self.envelope
    }

    /// The bytes that were signed, with the signature.
    pub const fn raw(&self) -> &Bytes {
        &self.raw
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{CHAIN, Wallet};
    use alloy_consensus::{SignableTransaction, TxEip4844, TxLegacy};
    use alloy_eips::eip2718::Encodable2718;
    use alloy_primitives::hex;

    /// The example of EIP-155.
    const EIP_155: &str = "f86c098504a817c800825208943535353535353535353535353535353535353535880d\
                           e0b6b3a76400008025a028ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1\
                           590620aa636276a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1\
                           966a3b6d83";

    fn example() -> Vec<u8> {
        hex::decode(EIP_155).unwrap()
    }

    #[test]
    fn the_example_of_eip_155_is_signed_by_whom_it_says() {
        let signed = Signed::decode(example().into(), 1).unwrap();
        let sender = hex!("9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F");
        assert_eq!(signed.sender(), Address::from(sender));
        assert_eq!((signed.nonce(), signed.raw().len()), (9, example().len()));
        assert_eq!(signed.hash(), *signed.envelope().tx_hash());
    }

    #[test]
    fn a_transaction_for_another_chain_is_refused() {
        let refused = Signed::decode(example().into(), 2).unwrap_err();
        let message = "invalid chain id for signer: have 1 want 2";
        assert_eq!(refused.to_string(), message);
    }

    #[test]
    fn a_transaction_for_any_chain_is_refused() {
        let wallet = Wallet::new(1);
        let raw = wallet.sign(TxLegacy::default());
        let refused = Signed::decode(raw, CHAIN).unwrap_err();
        assert!(refused.to_string().contains("EIP-155"), "{refused}");
    }

    #[test]
    fn what_is_no_transaction_is_refused() {
        let mut longer = example();
        longer.push(0);
        let cut = example()[..50].to_vec();
        for raw in [longer, cut, vec![], vec![0x7f], vec![0xc0]] {
            let refused = Signed::decode(raw.into(), 1);
            assert!(
                matches!(refused, Err(SignedError::Malformed(_))),
                "{refused:?}"
            );
        }
        let refused = Signed::decode(vec![0; TRANSACTION_BYTES_MAX + 1].into(), 1);
        assert!(matches!(refused, Err(SignedError::TooLarge { .. })));
    }

    #[test]
    fn blobs_are_refused() {
        let blobs = TxEip4844 {
            chain_id: CHAIN,
            blob_versioned_hashes: vec![B256::repeat_byte(1)],
            ..TxEip4844::default()
        };
        let signature = Wallet::new(1).signature(blobs.signature_hash());
        let envelope = TxEnvelope::from(blobs.into_signed(signature));
        let refused = Signed::decode(envelope.encoded_2718().into(), CHAIN);
        assert_eq!(refused.unwrap_err(), SignedError::Blobs);
    }
}
