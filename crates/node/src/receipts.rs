//! Receipts: made on the spot for any committed transaction, old or new.
//!
//! The root is the one signed at the end of the transaction's own batch. The proof is read from the
//! hash file with O(log n) reads, and checked before it is handed out.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use ledger::Entry;
use ledger::entries::UserEntry;
use ledger::signature::SignedRoot;
use lru::LruCache;
use verify::claims::Claim;
use verify::merkle::InclusionProof;
use verify::receipt::{LeafComponents, Receipt, ReceiptDocument};
use verify::{Digest, Seqno, TxId, cose};

use crate::Node;
use crate::reads::{ReadError, entry_bytes};

/// Signed roots kept in memory: neighbours of one receipt are often asked for next.
const SIGNED_ROOTS_CACHED: NonZeroUsize = NonZeroUsize::new(64).expect("64 is not 0");

/// Signed roots that were read lately.
pub(crate) struct SignedRoots(Mutex<LruCache<Seqno, Arc<SignedRoot>>>);

impl Default for SignedRoots {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(SIGNED_ROOTS_CACHED)))
    }
}

/// Everything that a receipt of one transaction is made of.
struct Parts {
    signed: Arc<SignedRoot>,
    components: LeafComponents,
    claims: Option<Vec<Claim>>,
    proof: InclusionProof,
}

impl Node {
    /// The receipt of a committed transaction, with the claims that it proves.
    ///
    /// # Errors
    /// The transaction is not committed, or this node's files are damaged.
    pub fn receipt(&self, id: TxId) -> Result<ReceiptDocument, ReadError> {
        self.require_committed(id)?;
        self.metrics().receipts.inc();
        let covering = self.covering(id.seqno)?;
        if covering == id.seqno {
            let signed = self.signed_root(covering)?;
            let receipt = Receipt::of_signature(
                signed.cert.clone(),
                signed.node.clone(),
                signed.root,
                signed.signature.clone(),
            );
            return Ok(ReceiptDocument { transaction_id: Some(id), claims: None, receipt });
        }
        let Parts { signed, components, claims, proof } = self.parts(id, covering)?;
        let receipt = Receipt::new(
            signed.cert.clone(),
            signed.node.clone(),
            components,
            proof,
            signed.signature.clone(),
        );
        Ok(ReceiptDocument { transaction_id: Some(id), claims, receipt })
    }

    /// The receipt of a committed transaction as COSE (RFC 9942, CCF profile).
    ///
    /// # Errors
    /// The transaction is not committed, is itself a signature, or this node's files are damaged.
    pub fn cose_receipt(&self, id: TxId) -> Result<Vec<u8>, ReadError> {
        self.require_committed(id)?;
        self.metrics().receipts.inc();
        let covering = self.covering(id.seqno)?;
        if covering == id.seqno {
            return Err(ReadError::NotAnEntry(id));
        }
        let Parts { signed, components, proof, .. } = self.parts(id, covering)?;
        cose::receipt(&signed.cose, &components, &proof)
            .map_err(|error| ReadError::Damaged(format!("signature {covering}: {error}")))
    }

    fn parts(&self, id: TxId, covering: Seqno) -> Result<Parts, ReadError> {
        let bytes = entry_bytes(self.reader(), id.seqno)?;
        let damaged = |error| ReadError::Damaged(format!("the entry at {id}: {error}"));
        let entry = Entry::parse(&bytes).map_err(damaged)?;
        let leaf = entry.leaf_components();
        let proof = self.reader().prove(id.seqno, covering.0)?;
        let signed = self.signed_root(covering)?;
        if proof.root(leaf.leaf()) != signed.root {
            return Err(ReadError::Damaged(format!("the proof of {id} does not lead to its root")));
        }
        let components = LeafComponents {
            write_set_digest: leaf.write_set_digest,
            commit_evidence: self.secret().commit_evidence(id),
            claims_digest: leaf.claims_digest,
        };
        let claims = if leaf.claims_digest == Digest::ZERO {
            None
        } else {
            let writes = entry.writes(self.secret()).map_err(damaged)?;
            UserEntry::from_writes(self.visibility(), writes).map(|entry| {
                vec![Claim::LedgerEntry {
                    collection_id: entry.collection,
                    contents: entry.contents,
                    secret_key: self.secret().claims_key(id),
                }]
            })
        };
        Ok(Parts { signed, components, claims, proof })
    }

    /// The signature entry whose root covers `seqno`.
    fn covering(&self, seqno: Seqno) -> Result<Seqno, ReadError> {
        self.reader().signature_covering(seqno)?.ok_or_else(|| {
            ReadError::Damaged(format!("no signature covers the committed seqno {seqno}"))
        })
    }

    fn signed_root(&self, seqno: Seqno) -> Result<Arc<SignedRoot>, ReadError> {
        let cache = &self.signed_roots().0;
        // A panic elsewhere cannot leave a cache of immutable values half changed.
        if let Some(found) = cache.lock().unwrap_or_else(PoisonError::into_inner).get(&seqno) {
            return Ok(Arc::clone(found));
        }
        let signed = Arc::new(self.read_signed_root(seqno)?);
        let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.put(seqno, Arc::clone(&signed));
        Ok(signed)
    }

    fn read_signed_root(&self, seqno: Seqno) -> Result<SignedRoot, ReadError> {
        let bytes = entry_bytes(self.reader(), seqno)?;
        let damaged = |error: String| {
            ReadError::Damaged(format!("the signature entry at seqno {seqno}: {error}"))
        };
        let entry = Entry::parse(&bytes).map_err(|error| damaged(error.to_string()))?;
        let writes = entry.public_writes().map_err(|error| damaged(error.to_string()))?;
        SignedRoot::from_writes(&writes)
            .map_err(|error| damaged(error.to_string()))?
            .ok_or_else(|| damaged("it has no signature".to_owned()))
    }
}
