//! Signs the root that closes a batch: as the node for JSON receipts, as the service for COSE.

use ledger::signature::SignedRoot;
use time::OffsetDateTime;
use verify::{Frontier, TxId, cose};

use crate::identity::{NodeSigner, ServiceSigner};

/// The issuer that COSE receipts name. Verifiers find the key by `kid`, not by this.
const ISSUER: &str = "counterfoil";
/// The subject that COSE receipts name.
const SUBJECT: &str = "ledger.signature";
/// COSE algorithm ES384 (RFC 9053).
const ES384: i64 = -35;

/// Owned by the executor.
pub(crate) struct Signer {
    pub(crate) node_id: String,
    pub(crate) node_cert: String,
    /// Hex digest of the service's public key: the COSE key id.
    pub(crate) service_id: String,
    pub(crate) node: NodeSigner,
    pub(crate) service: ServiceSigner,
}

impl Signer {
    /// Signs the root over everything before the signature entry `id`.
    pub(crate) fn sign(&self, id: TxId, tree: &Frontier) -> SignedRoot {
        debug_assert_eq!(tree.size(), id.seqno.0);
        let root = tree.root();
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let protected = cose::protected_header(&self.service_id, ES384, now, ISSUER, SUBJECT, id);
        let signature = self.service.sign(&cose::to_be_signed(&protected, &root));
        SignedRoot {
            node: self.node_id.clone(),
            id,
            root,
            signature: self.node.sign_root(&root),
            cert: self.node_cert.clone(),
            cose: cose::root_signature(&protected, &signature),
            frontier: tree.peaks(),
        }
    }
}
