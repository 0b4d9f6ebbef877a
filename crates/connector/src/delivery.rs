//! Brings transactions that are signed to the chain.
//!
//! Nothing is kept here. Whoever hands a transaction over keeps its bytes first: after a crash they are handed
//! over again, and the chain takes them once.

use std::slice;
use std::time::{Duration, Instant};

use crate::call::is_known;
use crate::error::NetworkError;
use crate::follow::why;
use crate::network::{Finality, Network, Receipt};
use crate::presigned::{Presigned, PresignedError, is_senders_fault};
use crate::status::Settled;

impl Network {
    /// Hands a transaction over, again and again if need be, and waits until it is final. What is on the chain
    /// already is found.
    ///
    /// # Errors
    /// It is known that it will never do what it should; or it is not final in time, or the node cannot be asked:
    /// then it may be handed over again.
    pub async fn deliver(&self, signed: &Presigned) -> Result<Settled, PresignedError> {
        let patience = self.profile().patience;
        self.deliver_one_of(slice::from_ref(signed), patience).await
    }

    /// The same for one that some node may have: what another refuses may be on its way.
    ///
    /// # Errors
    /// See [`Network::deliver`].
    pub async fn deliver_again(&self, signed: &Presigned) -> Result<Settled, PresignedError> {
        let patience = self.profile().patience;
        let mut delivery = Delivery::of(self, slice::from_ref(signed));
        delivery.is_out = true;
        delivery.finish(patience).await
    }

    /// The same for transactions with one number, the oldest first, each of which offers more than the one before: one
    /// of them comes to the chain. Waits so long.
    ///
    /// # Errors
    /// See [`Network::deliver`].
    ///
    /// # Panics
    /// There is none.
    pub async fn deliver_one_of(
        &self,
        versions: &[Presigned],
        patience: Duration,
    ) -> Result<Settled, PresignedError> {
        Delivery::of(self, versions).finish(patience).await
    }

    /// Hands a transaction over once: others wait for its number. What becomes of it is not looked at.
    ///
    /// # Errors
    /// The node does not take it, or has something with its number.
    pub async fn hand_over(&self, signed: &Presigned) -> Result<(), NetworkError> {
        self.send_raw(&signed.raw).await.map(drop)
    }
}

/// A transaction on its way.
struct Delivery<'a> {
    network: &'a Network,
    versions: &'a [Presigned],
    newest: &'a Presigned,
    /// When it was handed over last.
    tried: Option<Instant>,
    /// Whether some node may have it.
    is_out: bool,
    /// Since when its number is used and it is in no block.
    taken: Option<Instant>,
}

impl<'a> Delivery<'a> {
    fn of(network: &'a Network, versions: &'a [Presigned]) -> Self {
        Self {
            network,
            versions,
            newest: versions.last().expect("there is one"),
            tried: None,
            is_out: false,
            taken: None,
        }
    }

    async fn finish(mut self, patience: Duration) -> Result<Settled, PresignedError> {
        let begun = Instant::now();
        loop {
            let last = match self.step().await {
                Ok(Some(settled)) => return Ok(settled),
                Ok(None) => "it is in no final block".to_owned(),
                // A node that is away may come back; and what one refuses, another may have.
                Err(PresignedError::Network(error)) => error.to_string(),
                Err(PresignedError::Refused(why)) if self.is_out => why,
                Err(error) => return Err(error),
            };
            if begun.elapsed() >= patience {
                return Err(PresignedError::Patience {
                    seconds: patience.as_secs(),
                    last,
                });
            }
            tokio::time::sleep(self.network.profile().poll).await;
        }
    }

    /// Hands it over if that is due, and looks where it is.
    async fn step(&mut self) -> Result<Option<Settled>, PresignedError> {
        let network = self.network;
        let again = network.profile().resend_after;
        let (mut receipt, mut refusal) = (None, None);
        if self.tried.is_none_or(|tried| tried.elapsed() >= again) {
            self.tried = Some(Instant::now());
            match self.hand_over().await {
                // One that was handed over before may be on the chain.
                Err(error @ PresignedError::Refused(_)) => refusal = Some(error),
                answer => {
                    // A node that gave no answer may have it.
                    self.is_out = true;
                    receipt = answer?;
                }
            }
        }
        if receipt.is_none() {
            let all = self.versions.iter().map(Presigned::hash);
            receipt = network.mined_of(all).await?;
        }
        let Some(receipt) = receipt else {
            return match refusal {
                Some(refusal) => Err(refusal),
                None => self.missing().await,
            };
        };
        self.taken = None;
        let block = receipt.block();
        if !network.is_final(block).await? {
            return Ok(None);
        }
        if !receipt.succeeded() {
            let hash = receipt.transaction_hash;
            let sent = self.versions.iter().find(|one| one.hash == hash);
            let Presigned {
                sender, envelope, ..
            } = sent.unwrap_or(self.newest);
            let reason = why(network, *sender, envelope, &receipt).await;
            return Err(PresignedError::Failed { hash, reason });
        }
        Ok(Some(Settled { receipt, block }))
    }

    async fn hand_over(&self) -> Result<Option<Receipt>, PresignedError> {
        match self.network.send_raw(&self.newest.raw).await {
            // Where a block may be replaced, what came with the sending may be old.
            Ok(receipt) => Ok(receipt.filter(|receipt| {
                receipt.transaction_hash == self.newest.hash
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
        let network = self.network;
        let nonce = self.newest.nonce();
        if !network.has_used(self.newest.sender, nonce).await? {
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
