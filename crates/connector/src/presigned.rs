//! Transactions that somebody else signs: what there is to sign, what came back, and bringing that to the chain.
//!
//! Nothing is kept here. Whoever hands a transaction over keeps its bytes first: after a crash they are handed
//! over again, and the chain takes them once.

use std::time::Instant;

use alloy_consensus::transaction::{SignerRecoverable, Transaction};
use alloy_consensus::{SignableTransaction, TxEnvelope, TypedTransaction};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, Bytes, Signature, TxHash, keccak256};
use serde_json::Value;

use crate::call::{Call, is_known, unsigned};
use crate::error::{NetworkError, OutboxError};
use crate::follow::why;
use crate::limits::PRESIGNED_BYTES_MAX;
use crate::network::{Finality, Network, Receipt};
use crate::status::Settled;

/// A transaction as it is to be signed. Number, gas and fees are what fits now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToSign(TypedTransaction);

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
        let envelope = TxEnvelope::from(self.0.clone().into_signed(signature));
        envelope.encoded_2718().into()
    }
}

/// A transaction that its sender signed elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presigned {
    raw: Bytes,
    envelope: TxEnvelope,
    hash: TxHash,
    sender: Address,
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
    /// Reads a transaction of type 0, 1 or 2, and recovers who signed it.
    ///
    /// # Errors
    /// It is none: whoever sent it is to blame.
    pub fn decode(raw: &[u8]) -> Result<Self, PresignedError> {
        if raw.len() > PRESIGNED_BYTES_MAX {
            return Err(PresignedError::TooLong(raw.len()));
        }
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
}

impl Network {
    /// The transaction by which an account does this, for its owner to sign.
    ///
    /// # Errors
    /// The call fails, it needs more gas or fees than the profile allows, or the node cannot be asked.
    pub async fn to_sign(&self, from: Address, call: &Call) -> Result<ToSign, OutboxError> {
        let gas = match call.gas {
            Some(gas) => gas,
            None => self.estimate(&call.as_json(from)).await?,
        };
        let price = self.price().await?;
        let (_, nonce) = self.next_numbers(from).await?;
        let chain = self.profile().chain_id;
        Ok(ToSign(unsigned(chain, nonce, call, gas, price)))
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

    /// Hands a transaction over, again and again if need be, and waits until it is final. What is on the chain
    /// already is found.
    ///
    /// # Errors
    /// It is known that it will never do what it should; or it is not final in time, or the node cannot be asked:
    /// then it may be handed over again.
    pub async fn deliver(&self, signed: &Presigned) -> Result<Settled, PresignedError> {
        let profile = self.profile();
        let begun = Instant::now();
        let mut delivery = Delivery {
            network: self,
            signed,
            tried: None,
            taken: None,
        };
        loop {
            let last = match delivery.step().await {
                Ok(Some(settled)) => return Ok(settled),
                Ok(None) => "it is in no final block".to_owned(),
                // A node that is away may come back.
                Err(PresignedError::Network(error)) => error.to_string(),
                Err(error) => return Err(error),
            };
            if begun.elapsed() >= profile.patience {
                return Err(PresignedError::Patience {
                    seconds: profile.patience.as_secs(),
                    last,
                });
            }
            tokio::time::sleep(profile.poll).await;
        }
    }
}

/// A transaction on its way.
struct Delivery<'a> {
    network: &'a Network,
    signed: &'a Presigned,
    /// When it was handed over last.
    tried: Option<Instant>,
    /// Since when its number is used and it is in no block.
    taken: Option<Instant>,
}

impl Delivery<'_> {
    /// Hands it over if that is due, and looks where it is.
    async fn step(&mut self) -> Result<Option<Settled>, PresignedError> {
        let (network, signed) = (self.network, self.signed);
        let again = network.profile().resend_after;
        let mut receipt = None;
        if self.tried.is_none_or(|tried| tried.elapsed() >= again) {
            self.tried = Some(Instant::now());
            receipt = self.hand_over().await?;
        }
        if receipt.is_none() {
            receipt = network.mined(signed.hash).await?;
        }
        let Some(receipt) = receipt else {
            return self.missing().await;
        };
        self.taken = None;
        let block = receipt.block();
        if !network.is_final(block).await? {
            return Ok(None);
        }
        if !receipt.succeeded() {
            let reason = why(network, signed.sender, &signed.envelope, &receipt).await;
            let hash = signed.hash;
            return Err(PresignedError::Failed { hash, reason });
        }
        Ok(Some(Settled { receipt, block }))
    }

    async fn hand_over(&self) -> Result<Option<Receipt>, PresignedError> {
        match self.network.send_raw(&self.signed.raw).await {
            // Where a block may be replaced, what came with the sending may be old.
            Ok(receipt) => Ok(receipt.filter(|receipt| {
                receipt.transaction_hash == self.signed.hash
                    && self.network.profile().finality == Finality::Immediate
            })),
            Err(NetworkError::Refused { message, .. }) if is_known(&message) => Ok(None),
            Err(NetworkError::Refused { message, .. }) if is_senders_fault(&message) => {
                Err(PresignedError::Refused(message))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// It is in no block: does it wait, or has another one its number for good?
    async fn missing(&mut self) -> Result<Option<Settled>, PresignedError> {
        let (network, signed) = (self.network, self.signed);
        let nonce = signed.envelope.nonce();
        if !network.has_used(signed.sender, nonce).await? {
            self.taken = None;
            return Ok(None);
        }
        // Behind one address may be several nodes, one of which lags: that it is so must last.
        let since = *self.taken.get_or_insert_with(Instant::now);
        match since.elapsed() >= network.profile().resend_after {
            true => Err(PresignedError::Replaced(nonce)),
            false => Ok(None),
        }
    }
}

/// Whether a node refuses a transaction for what its signer has to mend.
fn is_senders_fault(message: &str) -> bool {
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
