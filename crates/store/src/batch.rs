//! What is written together: the entries of one batch.

use ledger::entry::ENTRY_BYTES_MIN;
use ledger::governance::wishes::CHUNK;
use ledger::rekey::BadRekey;
use ledger::tables::WISHES;
use ledger::{LedgerSecrets, WriteSet};
use verify::{Digest, Seqno, TxId, View};

use crate::error::StoreError;

/// Longest batch, bytes.
pub const BATCH_BYTES_MAX: usize = 2 << 30;

/// Entries that are committed together. The last one is the signature entry that covers them.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Seqno of the first entry.
    pub first: Seqno,
    /// The view of all its entries.
    pub view: View,
    /// The encoded entries, one after the other.
    pub bytes: Vec<u8>,
    /// Length and leaf of each entry.
    pub entries: Vec<BatchEntry>,
    /// What each entry writes, in clear.
    pub writes: Vec<WriteSet>,
}

/// One entry of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchEntry {
    /// Encoded length, bytes.
    pub length: u32,
    /// Its leaf in the Merkle tree.
    pub leaf: Digest,
}

impl Batch {
    /// Seqno of the last entry, the signature.
    ///
    /// # Panics
    /// The batch has no entries.
    pub fn last(&self) -> Seqno {
        Seqno(self.first.0 + self.entries.len() as u64 - 1)
    }

    /// The last entry before the signature: only that one may begin a new ledger secret.
    pub(crate) fn before_signature(&self) -> Option<(TxId, &WriteSet)> {
        let place = self.writes.len().checked_sub(2)?;
        let seqno = Seqno(self.first.0 + place as u64);
        Some((TxId::new(self.view, seqno), &self.writes[place]))
    }

    /// Learns the ledger secret that it begins, if it begins one.
    pub(crate) fn teach(&self, secrets: &LedgerSecrets) -> Result<(), BadRekey> {
        if let Some((id, writes)) = self.before_signature()
            && secrets.learn(id, writes)?
        {
            tracing::info!(%id, "the ledger is rekeyed: a new ledger secret is valid after this batch");
        }
        Ok(())
    }

    /// Whether it carries out that members want the ledger file closed.
    pub(crate) fn ends_file(&self) -> bool {
        let taken = |writes: &WriteSet| writes.written(&WISHES, CHUNK.as_bytes()) == Some(None);
        self.writes.iter().any(taken)
    }

    pub(crate) fn check(&self, next: Seqno) -> Result<(), StoreError> {
        let lengths: u64 = self
            .entries
            .iter()
            .map(|entry| u64::from(entry.length))
            .sum();
        let why = if self.first != next {
            "it does not follow what is there"
        } else if self.entries.is_empty() || self.entries.len() > u32::MAX as usize {
            "it has no entries, or too many"
        } else if self.entries.len() != self.writes.len() {
            "it has not one write set for each entry"
        } else if lengths != self.bytes.len() as u64
            || self
                .entries
                .iter()
                .any(|entry| (entry.length as usize) < ENTRY_BYTES_MIN)
        {
            "its lengths are not those of its bytes"
        } else if self.bytes.len() > BATCH_BYTES_MAX {
            "it is too long"
        } else {
            return Ok(());
        };
        Err(StoreError::BadBatch {
            first: self.first,
            why,
        })
    }
}
