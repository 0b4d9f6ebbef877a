//! Receipts: made on the spot for any committed transaction, old or new.
//!
//! The root is the one signed at the end of the transaction's own batch. The proof is read from the
//! hash file with O(log n) reads, and checked before it is handed out.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use ledger::Entry;
use ledger::claims::claimed;
use ledger::entries::UserEntry;
use ledger::recovery::{EarlierService, earlier_services};
use ledger::signature::SignedRoot;
use lru::LruCache;
use verify::{
    Cert, Claim, Digest, InclusionProof, LeafComponents, Receipt, ReceiptDocument, Seqno, TxId,
    cose,
};

use crate::Node;
use crate::reads::{ReadError, entry_bytes};

/// Service signatures made on demand that are kept: neighbours of one receipt are often asked next.
const COSE_ROOTS_CACHED: NonZeroUsize = NonZeroUsize::new(256).expect("256 is not 0");

/// Service signatures that were made on demand lately.
pub(crate) struct CoseRoots(Mutex<LruCache<TxId, Vec<u8>>>);

impl Default for CoseRoots {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(COSE_ROOTS_CACHED)))
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
            let cert = self.signing_cert(&signed)?;
            let signature = signed.signature.clone();
            let endorsements = self.endorsements(&signed)?;
            let receipt = Receipt::of_root(cert, signed.root, signature, endorsements);
            return Ok(ReceiptDocument {
                transaction_id: Some(id),
                claims: None,
                receipt,
            });
        }
        let Parts {
            signed,
            components,
            claims,
            proof,
        } = self.parts(id, covering)?;
        let cert = self.signing_cert(&signed)?;
        let signature = signed.signature.clone();
        let endorsements = self.endorsements(&signed)?;
        let receipt = Receipt::new(cert, components, proof, signature, endorsements);
        Ok(ReceiptDocument {
            transaction_id: Some(id),
            claims,
            receipt,
        })
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
        let Parts {
            signed,
            components,
            proof,
            ..
        } = self.parts(id, covering)?;
        cose::receipt(&self.root_signature(&signed), &components, &proof)
            .map_err(|error| ReadError::Damaged(format!("signature {covering}: {error}")))
    }

    fn parts(&self, id: TxId, covering: Seqno) -> Result<Parts, ReadError> {
        let bytes = entry_bytes(self.reader(), id.seqno)?;
        let damaged = |error| ReadError::Damaged(format!("the entry at {id}: {error}"));
        let entry = Entry::parse(&bytes).map_err(damaged)?;
        let leaf = entry.leaf_digests();
        let proof = self.reader().prove(id.seqno, covering.0)?;
        let signed = self.signed_root(covering)?;
        if proof.root(leaf.leaf()) != signed.root {
            return Err(ReadError::Damaged(format!(
                "the proof of {id} does not lead to its root"
            )));
        }
        let secret = self.secret_of(id.seqno)?;
        let commit_evidence = secret.commit_evidence(id);
        if Digest::of(commit_evidence.as_bytes()) != leaf.commit_evidence_digest {
            // Its secret was lost in a disaster before anybody had a share of it.
            return Err(ReadError::NotRecovered(id.seqno));
        }
        let components = LeafComponents {
            write_set_digest: leaf.write_set_digest,
            commit_evidence,
            claims_digest: leaf.claims_digest,
        };
        let claims = if leaf.claims_digest == Digest::ZERO {
            None
        } else {
            let writes = entry.writes(&secret).map_err(damaged)?;
            let claimed = claimed(&writes);
            let entry = || UserEntry::from_writes(self.visibility(), writes);
            let claim = claimed.or_else(|| {
                entry().map(|entry| Claim::LedgerEntry {
                    collection_id: entry.collection,
                    contents: entry.contents,
                    secret_key: secret.claims_key(id),
                })
            });
            claim.map(|claim| vec![claim])
        };
        Ok(Parts {
            signed,
            components,
            claims,
            proof,
        })
    }

    /// The signature entry whose root covers `seqno`.
    pub(crate) fn covering(&self, seqno: Seqno) -> Result<Seqno, ReadError> {
        self.reader().signature_covering(seqno)?.ok_or_else(|| {
            ReadError::Damaged(format!("no signature covers the committed seqno {seqno}"))
        })
    }

    fn signed_root(&self, seqno: Seqno) -> Result<Arc<SignedRoot>, ReadError> {
        self.reader().signed_root(seqno)?.ok_or_else(|| {
            ReadError::Damaged(format!("the signature entry at seqno {seqno} is not there"))
        })
    }

    /// The service's signature over a root: the one in the ledger, or one that is made now. The root
    /// is committed, so the service may vouch for it at any time.
    fn root_signature(&self, signed: &SignedRoot) -> Vec<u8> {
        // What an earlier service signed, this one signs again: its receipts need no endorsement.
        if let Some(recorded) = &signed.cose
            && self.services_since(signed).is_empty()
        {
            return recorded.clone();
        }
        let roots = &self.cose_roots.0;
        // A panic elsewhere cannot leave a cache of finished values half changed.
        let mut roots = roots.lock().unwrap_or_else(PoisonError::into_inner);
        roots
            .get_or_insert(signed.id, || {
                self.service_signer.sign(signed.id, &signed.root)
            })
            .clone()
    }

    /// The services that followed each other after this root, but for the present one; none where the
    /// present one signed it.
    fn services_since(&self, signed: &SignedRoot) -> Vec<EarlierService> {
        let mut services = earlier_services(self.state());
        services
            .retain(|service| service.endorsement.endorsement_epoch_end.seqno >= signed.id.seqno);
        services
    }

    /// What leads from the service that endorsed the node which signed to the present one.
    fn endorsements(&self, signed: &SignedRoot) -> Result<Vec<Cert>, ReadError> {
        if signed.cert == self.node_cert() {
            return Ok(Vec::new());
        }
        let services = self.services_since(signed).into_iter();
        services
            .map(|service| {
                Cert::from_pem(&service.endorsed_cert).map_err(|error| {
                    ReadError::Damaged(format!("the certificate of an earlier service: {error}"))
                })
            })
            .collect()
    }

    /// The certificate of the node that signed: nearly always this node as it is now.
    fn signing_cert(&self, signed: &SignedRoot) -> Result<Cert, ReadError> {
        if signed.cert == self.node_cert() {
            return Ok(self.node_cert.clone());
        }
        Cert::from_pem(&signed.cert).map_err(|error| {
            ReadError::Damaged(format!(
                "the certificate in signature {}: {error}",
                signed.id
            ))
        })
    }
}
