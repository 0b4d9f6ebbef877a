//! Transactions that are signed beside an outbox: by somebody else, or by one of several who share a key. What there
//! is to sign, and what came back; `delivery` brings that to the chain.

use alloy_consensus::transaction::{SignerRecoverable, Transaction};
use alloy_consensus::{SignableTransaction, TxEnvelope, TypedTransaction};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, Bytes, Signature, TxHash, keccak256};
use serde_json::Value;

use crate::call::{Call, repriced, unsigned};
use crate::error::{NetworkError, OutboxError};
use crate::fees::Price;
use crate::limits::PRESIGNED_BYTES_MAX;
use crate::network::Network;
use crate::signer::{Signer, SignerError};

/// A transaction as it is to be signed. Number, gas and fees are what fits now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToSign(pub(crate) TypedTransaction);

impl ToSign {
    /// Its fields, in the words of JSON-RPC.
    pub fn fields(&self) -> Value {
        serde_json::to_value(&self.0).expect("a transaction is JSON")
    }

    /// Its bytes without a signature, as wallets read them.
    pub fn encoded(&self) -> Bytes {
        self.0.encoded_for_signing().into()
    }

    /// What a key signs.
    pub fn digest(&self) -> B256 {
        self.0.signature_hash()
    }

    /// Its bytes with a signature, as they are sent.
    pub fn signed(&self, signature: Signature) -> Bytes {
        self.envelope(signature).encoded_2718().into()
    }

    fn envelope(&self, signature: Signature) -> TxEnvelope {
        self.0.clone().into_signed(signature).into()
    }

    /// The transaction, signed with a key that is at hand.
    ///
    /// # Errors
    /// The key does not sign.
    pub async fn by(&self, signer: &dyn Signer) -> Result<Presigned, SignerError> {
        let envelope = self.envelope(signer.sign(self.digest()).await?);
        Ok(Presigned {
            raw: envelope.encoded_2718().into(),
            hash: *envelope.tx_hash(),
            sender: signer.address(),
            envelope,
        })
    }
}

/// What a call takes now: all of a transaction but its number, for whoever gives numbers out.
#[derive(Debug, Clone)]
pub struct Priced {
    pub(crate) call: Call,
    chain: u64,
    gas: u64,
    price: Price,
}

impl Priced {
    /// The transaction with this number.
    pub fn numbered(&self, nonce: u64) -> ToSign {
        ToSign(unsigned(
            self.chain, nonce, &self.call, self.gas, self.price,
        ))
    }
}

/// A transaction that is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presigned {
    pub(crate) raw: Bytes,
    pub(crate) envelope: TxEnvelope,
    pub(crate) hash: TxHash,
    pub(crate) sender: Address,
}

/// Why a transaction that somebody else signed is not, or will never be, what it should.
#[derive(Debug, thiserror::Error)]
pub enum PresignedError {
    /// No transaction of an event is so long.
    #[error("a signed transaction has at most {PRESIGNED_BYTES_MAX} bytes, and this has {0}")]
    TooLong(usize),
    /// These bytes are no signed transaction, or something stands behind it.
    #[error("it is no signed transaction: {0}")]
    Malformed(String),
    /// It does more than to call: sign one of type 0, 1 or 2.
    #[error("transactions of type {0} do more than to call: sign one of type 0, 1 or 2")]
    Kind(u8),
    /// The signature belongs to nobody, or is the second form of another (EIP-2).
    #[error("the signature is none")]
    Signature,
    /// Another key signed: sign with the right one.
    #[error("{found} signed it, and it is for {wanted} to sign")]
    Signer {
        /// Who did.
        found: Address,
        /// Who should have.
        wanted: Address,
    },
    /// It does something else than what there was to sign.
    #[error("it is another transaction than the one to sign: its {0} differs")]
    Altered(&'static str),
    /// The account has used the number: sign again, with the next one.
    #[error("the account has used the number {nonce}: the next one is {next}")]
    NonceTooLow {
        /// The transaction's.
        nonce: u64,
        /// The account's.
        next: u64,
    },
    /// It would wait for others that nobody knows: send those first, or sign again.
    #[error("the number {nonce} comes too early: the account's next one is {next}")]
    NonceTooHigh {
        /// The transaction's.
        nonce: u64,
        /// The account's.
        next: u64,
    },
    /// The node will not take it as it was signed.
    #[error("the node refuses it: {0}")]
    Refused(String),
    /// It is final that it failed.
    #[error("the transaction {hash} failed: {reason}")]
    Failed {
        /// The transaction.
        hash: TxHash,
        /// What is known of why.
        reason: String,
    },
    /// It is final that another transaction of the account has its number.
    #[error("another transaction of the account has the number {0}")]
    Replaced(u64),
    /// It is not final in the time that the profile gives. Hand it over again.
    #[error("it is not final after {seconds} s: {last}")]
    Patience {
        /// How long it was waited for.
        seconds: u64,
        /// What was known of it at last.
        last: String,
    },
    /// The node cannot be asked.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

impl Presigned {
    /// Reads a transaction of type 0, 1 or 2 that somebody brought, and recovers who signed it.
    ///
    /// # Errors
    /// It is none: whoever sent it is to blame.
    pub fn decode(raw: &[u8]) -> Result<Self, PresignedError> {
        match raw.len() > PRESIGNED_BYTES_MAX {
            true => Err(PresignedError::TooLong(raw.len())),
            false => Self::kept(raw),
        }
    }

    /// The same, however long: one that was signed and kept here.
    ///
    /// # Errors
    /// What was kept was changed.
    pub fn kept(raw: &[u8]) -> Result<Self, PresignedError> {
        let envelope = TxEnvelope::decode_2718_exact(raw)
            .map_err(|error| PresignedError::Malformed(error.to_string()))?;
        if !matches!(
            envelope,
            TxEnvelope::Legacy(_) | TxEnvelope::Eip2930(_) | TxEnvelope::Eip1559(_)
        ) {
            return Err(PresignedError::Kind(envelope.tx_type().into()));
        }
        let sender = envelope
            .recover_signer()
            .map_err(|_| PresignedError::Signature)?;
        Ok(Self {
            raw: Bytes::copy_from_slice(raw),
            envelope,
            hash: keccak256(raw),
            sender,
        })
    }

    /// That it is this call, by this account, on this chain. Number, gas and fees are its signer's business.
    ///
    /// # Errors
    /// [`PresignedError::Signer`] or [`PresignedError::Altered`].
    pub fn check(&self, from: Address, chain: u64, call: &Call) -> Result<(), PresignedError> {
        let differs = |what| Err(PresignedError::Altered(what));
        // What was altered has another signer too, mostly: so this is said first.
        if self.envelope.chain_id() != Some(chain) {
            return differs("chain id");
        }
        if self.envelope.to() != call.to {
            return differs("receiver");
        }
        if *self.envelope.input() != call.data {
            return differs("input");
        }
        if self.envelope.value() != call.value {
            return differs("value");
        }
        match self.sender == from {
            true => Ok(()),
            false => Err(PresignedError::Signer {
                found: self.sender,
                wanted: from,
            }),
        }
    }

    /// By which it is known.
    pub const fn hash(&self) -> TxHash {
        self.hash
    }

    /// Whose key signed it.
    pub const fn sender(&self) -> Address {
        self.sender
    }

    /// As it is sent, and kept.
    pub const fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// Its number among those of its sender.
    pub fn nonce(&self) -> u64 {
        self.envelope.nonce()
    }
}

impl Network {
    /// The transaction by which an account does this, for its owner to sign.
    ///
    /// # Errors
    /// The call fails, it needs more gas or fees than the profile allows, or the node cannot be asked.
    pub async fn to_sign(&self, from: Address, call: &Call) -> Result<ToSign, OutboxError> {
        let priced = self.priced(from, call.clone()).await?;
        Ok(priced.numbered(self.next_number(from).await?))
    }

    /// What a call by an account takes now.
    ///
    /// # Errors
    /// The call fails, it needs more gas or fees than the profile allows, or the node cannot be asked.
    pub async fn priced(&self, from: Address, call: Call) -> Result<Priced, OutboxError> {
        let gas = match call.gas {
            Some(gas) => gas,
            None => self.estimate(&call.as_json(from)).await?,
        };
        Ok(Priced {
            chain: self.profile().chain_id,
            gas,
            price: self.price().await?,
            call,
        })
    }

    /// The account's next number, behind all that the node knows of.
    ///
    /// # Errors
    /// The node cannot be asked.
    pub async fn next_number(&self, account: Address) -> Result<u64, NetworkError> {
        let (_, next) = self.next_numbers(account).await?;
        Ok(next)
    }

    /// The same transaction at a higher price, for its signer, where it is the one that all later ones of its account
    /// wait for. `None`: it is not, or the profile raises no prices, or none so high.
    ///
    /// # Errors
    /// The node cannot be asked.
    pub async fn raised(&self, last: &Presigned) -> Result<Option<ToSign>, NetworkError> {
        let Some(rule) = self.profile().fees.replace() else {
            return Ok(None);
        };
        if self.count(last.sender, "latest").await? != last.nonce() {
            return Ok(None);
        }
        // Above the cap the price now does not count; the one that was offered stands.
        let now = self.price().await.ok();
        Ok(repriced(&last.raw, |price| price.raised(rule, now)).map(ToSign))
    }

    /// That a transaction can be the account's next one, or is on the chain already. One that would have to wait
    /// for others is none.
    ///
    /// # Errors
    /// [`PresignedError::NonceTooLow`] or [`PresignedError::NonceTooHigh`]; or the node cannot be asked.
    pub async fn is_next(&self, signed: &Presigned) -> Result<(), PresignedError> {
        let nonce = signed.envelope.nonce();
        let (mined, next) = self.next_numbers(signed.sender).await?;
        if nonce > next {
            return Err(PresignedError::NonceTooHigh { nonce, next });
        }
        if nonce < mined && self.mined(signed.hash).await?.is_none() {
            return Err(PresignedError::NonceTooLow { nonce, next });
        }
        Ok(())
    }

    /// The account's next number by what is in blocks, and by what waits too.
    async fn next_numbers(&self, account: Address) -> Result<(u64, u64), NetworkError> {
        let mined = self.count(account, "latest").await?;
        let waiting = self.count(account, "pending").await?;
        Ok((mined, waiting.max(mined)))
    }
}

/// Whether a node refuses a transaction for what its signer has to mend.
pub(crate) fn is_senders_fault(message: &str) -> bool {
    const FAULTS: [&str; 10] = [
        "insufficient funds",
        "intrinsic gas",
        "gas limit too high",
        "exceeds block gas limit",
        "exceeds the block gas limit",
        "underpriced",
        "less than block base fee",
        "fee too low",
        "priority fee per gas higher",
        "priority fee greater than max fee",
    ];
    let message = message.to_lowercase();
    FAULTS.iter().any(|words| message.contains(words))
}

#[cfg(test)]
mod tests;
