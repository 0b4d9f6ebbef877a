//! What became of a transaction: one look at the network, and what follows from it.

use std::sync::atomic::Ordering;
use std::time::Instant;

use alloy_consensus::TxEnvelope;
use alloy_consensus::transaction::Transaction;
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::Address;

use crate::call::{Call, repriced};
use crate::error::{NetworkError, OutboxError};
use crate::journal::{Record, Signed};
use crate::limits::REPLACEMENTS_MAX;
use crate::network::{Finality, Network, Receipt};
use crate::outbox::{Entry, Shared};
use crate::presigned::{Presigned, ToSign};
use crate::status::{Outcome, Status};

impl Shared {
    /// One look at the network.
    pub(crate) async fn look(&self, nonce: u64) -> Result<Status, OutboxError> {
        let (entry, kept) = {
            let state = self.state.lock().await;
            let kept = state.receipts.get(&nonce).cloned();
            (state.entry(nonce)?.clone(), kept)
        };
        if let Some(outcome) = entry.outcome {
            return Ok(outcome.status());
        }
        // Where a block may be replaced, what came with the sending may be old.
        let kept = kept.filter(|_| self.network.profile().finality == Finality::Immediate);
        let receipt = match kept {
            Some(receipt) => Some(receipt),
            None => self.mined(&entry).await?,
        };
        match receipt {
            Some(receipt) => self.found(nonce, &entry, receipt).await,
            None => self.missing(nonce, &entry).await,
        }
    }

    /// The receipt of any of the transactions with this number, from the chain as it is now.
    async fn mined(&self, entry: &Entry) -> Result<Option<Receipt>, OutboxError> {
        let signed = entry.signed.iter().map(|(hash, _)| *hash);
        Ok(self.network.mined_of(signed).await?)
    }

    async fn found(
        &self,
        nonce: u64,
        before: &Entry,
        receipt: Receipt,
    ) -> Result<Status, OutboxError> {
        let block = receipt.block();
        if before.mined.is_some_and(|before| before.hash != block.hash) {
            self.reorganised(nonce);
        }
        if !self.network.is_final(block).await? {
            let mut state = self.state.lock().await;
            if let Some(entry) = state.entries.get_mut(&nonce) {
                entry.mined = Some(block);
            }
            return Ok(Status::Mined { block });
        }
        let hash = receipt.transaction_hash;
        let outcome = match receipt.succeeded() {
            true => Outcome::Succeeded { hash, block },
            false => Outcome::Failed {
                hash,
                reason: self.reason(before, &receipt).await,
            },
        };
        self.state.lock().await.end(nonce, outcome).await
    }

    /// It is in no block: was it in one, did another take its number, or does it wait?
    async fn missing(&self, nonce: u64, before: &Entry) -> Result<Status, OutboxError> {
        let profile = self.network.profile();
        let address = self.signer.address();
        if before.mined.is_some() {
            self.reorganised(nonce);
            let mut state = self.state.lock().await;
            if let Some(entry) = state.entries.get_mut(&nonce) {
                (entry.mined, entry.accepted, entry.tried) = (None, false, None);
            }
        }
        let mined = self.network.count(address, "latest").await?;
        if mined > nonce {
            return self.taken(nonce, before).await;
        }
        if let Some(entry) = self.state.lock().await.entries.get_mut(&nonce) {
            entry.taken = None;
        }
        // All wait for the first that is in no block.
        self.raise(mined).await?;
        self.resend(mined, nonce, profile.resend_after).await;
        Ok(self.state.lock().await.entry(nonce)?.status())
    }

    /// The number is used: by one of ours that was mined a moment ago, or by somebody else.
    async fn taken(&self, nonce: u64, before: &Entry) -> Result<Status, OutboxError> {
        let now = self.state.lock().await.entry(nonce)?.clone();
        let used = self.network.has_used(self.signer.address(), nonce).await?;
        if let Some(receipt) = self.mined(&now).await? {
            return self.found(nonce, before, receipt).await;
        }
        let mut state = self.state.lock().await;
        let Some(entry) = state.entries.get_mut(&nonce) else {
            return Err(OutboxError::NoSuchTicket(nonce));
        };
        // Behind one address may be several nodes, one of which lags: that it is so must last.
        let since = *entry.taken.get_or_insert_with(Instant::now);
        if used && since.elapsed() >= self.network.profile().resend_after {
            return state.end(nonce, Outcome::Replaced {}).await;
        }
        Ok(entry.status())
    }

    fn reorganised(&self, nonce: u64) {
        self.reorganisations.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(nonce, "the block of a transaction was replaced");
    }

    /// Offers more for a transaction that nobody mines, if the profile says so and it is time.
    async fn raise(&self, nonce: u64) -> Result<(), OutboxError> {
        let Some(rule) = self.network.profile().fees.replace() else {
            return Ok(());
        };
        let due = |entry: &Entry| {
            let since = entry.since.elapsed() >= rule.after;
            since && entry.outcome.is_none() && entry.signed.len() <= REPLACEMENTS_MAX
        };
        if !self.state.lock().await.entries.get(&nonce).is_some_and(due) {
            return Ok(());
        }
        // Above the cap the price now does not count; the one that was offered stands.
        let now = self.network.price().await.ok();
        let mut state = self.state.lock().await;
        let entry = state.entry(nonce)?.clone();
        let last = entry.signed.last().filter(|_| due(&entry));
        let Some((_, raw)) = last else { return Ok(()) };
        let Some(raised) = repriced(raw, |price| price.raised(rule, now)) else {
            return Ok(());
        };
        let Presigned { hash, raw, .. } = ToSign(raised).by(&*self.signer).await?;
        let signed = Signed {
            nonce,
            hash,
            raw: raw.clone(),
            call: entry.call,
            reference: entry.reference,
        };
        state.journal.append(&Record::Signed(signed)).await?;
        if let Some(entry) = state.entries.get_mut(&nonce) {
            entry.signed.push((hash, raw));
            (entry.since, entry.tried) = (Instant::now(), None);
        }
        Ok(())
    }

    /// Why a transaction failed, as far as running it again tells.
    async fn reason(&self, entry: &Entry, receipt: &Receipt) -> String {
        let hash = receipt.transaction_hash;
        let raw = entry.signed.iter().find(|(of, _)| *of == hash);
        let sent = raw.and_then(|(_, raw)| TxEnvelope::decode_2718_exact(raw).ok());
        match sent {
            Some(sent) => why(&self.network, self.signer.address(), &sent, receipt).await,
            None => REVERTED.to_owned(),
        }
    }
}

const REVERTED: &str = "it was reverted";

/// Why a transaction failed, as far as running it again tells.
pub(crate) async fn why(
    network: &Network,
    from: Address,
    sent: &TxEnvelope,
    receipt: &Receipt,
) -> String {
    let call = Call {
        to: sent.to(),
        data: sent.input().clone(),
        value: sent.value(),
        ..Call::default()
    };
    let block = receipt.block().number;
    match network.replay(&call.as_json(from), block).await {
        Err(NetworkError::Refused { message, data, .. }) => match data {
            Some(data) => format!("{message} {data}"),
            None => message,
        },
        _ => REVERTED.to_owned(),
    }
}
