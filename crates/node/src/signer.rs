//! Signs the root that closes a batch: as the node for JSON receipts, as the service for COSE.
//!
//! The node signs every root, because that is what makes a batch committed. The service's signature
//! goes into the ledger once a second; the roots in between are signed when somebody asks for a COSE
//! receipt. Each signature costs more than executing twenty entries.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger::signature::SignedRoot;
use time::OffsetDateTime;
use verify::{Digest, Frontier, TxId, cose};

use crate::identity::{NodeSigner, ServiceSigner};

/// The issuer that COSE receipts name. Verifiers find the key by `kid`, not by this.
const ISSUER: &str = "counterfoil";
/// The subject that COSE receipts name.
const SUBJECT: &str = "ledger.signature";
/// COSE algorithm ES384 (RFC 9053).
const ES384: i64 = -35;

/// How often the service's signature goes into the ledger. CCF's default interval of signatures.
const SERVICE_SIGNS_EVERY: Duration = Duration::from_secs(1);

/// The service as the signer of roots.
pub(crate) struct RootSigner {
    /// Hex digest of the service's public key: the COSE key id.
    pub(crate) key_id: String,
    pub(crate) key: ServiceSigner,
}

impl RootSigner {
    /// The COSE_Sign1 over the root that the signature entry `id` covers.
    pub(crate) fn sign(&self, id: TxId, root: &Digest) -> Vec<u8> {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let protected = cose::protected_header(&self.key_id, ES384, now, ISSUER, SUBJECT, id);
        let signature = self.key.sign(&cose::to_be_signed(&protected, root));
        cose::root_signature(&protected, &signature)
    }
}

/// Owned by the executor.
pub(crate) struct Signer {
    pub(crate) node_id: String,
    pub(crate) node_cert: String,
    pub(crate) node: NodeSigner,
    pub(crate) service: Arc<RootSigner>,
    /// When the service's signature last went into the ledger, by this process.
    pub(crate) service_signed: Option<Instant>,
}

impl Signer {
    /// Signs the root over everything before the signature entry `id`.
    pub(crate) fn sign(&mut self, id: TxId, tree: &Frontier) -> SignedRoot {
        debug_assert_eq!(tree.size(), id.seqno.0);
        let root = tree.root();
        SignedRoot {
            node: self.node_id.clone(),
            id,
            root,
            signature: self.node.sign_root(&root),
            cert: self.node_cert.clone(),
            cose: self.service_is_due().then(|| self.service.sign(id, &root)),
            frontier: tree.peaks(),
        }
    }

    fn service_is_due(&mut self) -> bool {
        let now = Instant::now();
        let due = self
            .service_signed
            .is_none_or(|last| now.duration_since(last) >= SERVICE_SIGNS_EVERY);
        if due {
            self.service_signed = Some(now);
        }
        due
    }
}
