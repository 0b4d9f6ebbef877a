//! From a receipt and a trusted service to a verdict.

use crate::cert::Cert;
use crate::claims::{Claim, claims_digest};
use crate::digest::Digest;
use crate::error::ReceiptError;
use crate::evidence::evidence_tx_id;
use crate::known::Known;
use crate::limits::{MAX_CACHED_NODES, MAX_CACHED_ROOTS};
use crate::receipt::{Covered, Receipt, ReceiptDocument};
use crate::tx_id::TxId;

/// What a verified receipt proves: the transaction is committed in the service's ledger, with these
/// claims.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verified {
    /// The transaction.
    pub tx_id: TxId,
    /// The digest of its claims.
    pub claims_digest: Digest,
    /// The signed root that covers it.
    pub root: Digest,
    /// The node that signed the root; None where the service itself did (COSE receipts).
    pub node_id: Option<Digest>,
    /// The trusted service: the digest of its key.
    pub service: Digest,
}

/// A service as its users know it: today's certificate, and those from before disaster recoveries
/// that they have reason to trust.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceIdentity {
    /// Today's certificate.
    pub cert: Cert,
    /// Earlier ones, whose receipts count too even if they carry no endorsement by today's.
    pub previous: Vec<Cert>,
}

impl From<Cert> for ServiceIdentity {
    fn from(cert: Cert) -> Self {
        Self {
            cert,
            previous: Vec::new(),
        }
    }
}

/// Verifies JSON receipts under one service, the same ones as CCF's and Azure's verifiers do.
///
/// It remembers which nodes the service endorses, so a receipt costs one signature check; and which
/// roots those nodes signed, so receipts under the same root cost one together. It may be shared
/// between threads.
#[derive(Debug)]
pub struct Verifier {
    identity: ServiceIdentity,
    /// Digests of chains (node certificate, then endorsements) that led to the service, each with
    /// the key that it led to.
    endorsed: Known<(Digest, Digest)>,
    /// Digests of (signing key, root, signature) that belong together.
    signed: Known<Digest>,
}

impl Verifier {
    /// Trusts this service.
    pub fn new(service: impl Into<ServiceIdentity>) -> Self {
        Self {
            identity: service.into(),
            endorsed: Known::up_to(MAX_CACHED_NODES),
            signed: Known::up_to(MAX_CACHED_ROOTS),
        }
    }

    /// The service that is trusted.
    pub fn identity(&self) -> &ServiceIdentity {
        &self.identity
    }

    /// Checks the receipt of a transaction and, if they are given, that these and no other claims
    /// were recorded with it (an empty list: that it made none).
    pub fn verify(
        &self,
        receipt: &Receipt,
        claims: Option<&[Claim]>,
    ) -> Result<Verified, ReceiptError> {
        let Covered::Transaction {
            components,
            proof,
            leaf: stated,
        } = &receipt.covered
        else {
            return Err(ReceiptError::SignatureTransaction);
        };
        if let Some(claims) = claims {
            let (recorded, shown) = (components.claims_digest, claims_digest(claims));
            if shown != recorded {
                return Err(ReceiptError::Claims { recorded, shown });
            }
        }
        let service = self.endorsing_service(receipt)?;
        let leaf = components.leaf();
        agrees("leaf", *stated, leaf)?;
        let root = proof.root(leaf);
        self.signed_by_node(receipt, &root)?;
        Ok(Verified {
            tx_id: evidence_tx_id(&components.commit_evidence)
                .map_err(|_| ReceiptError::Evidence)?,
            claims_digest: components.claims_digest,
            root,
            node_id: Some(receipt.cert.key_digest()),
            service,
        })
    }

    /// Checks an answer of the receipt endpoint: the receipt, the claims shown with it, and that it
    /// is about the transaction that the answer names.
    pub fn verify_document(&self, document: &ReceiptDocument) -> Result<Verified, ReceiptError> {
        let verified = self.verify(&document.receipt, document.claims.as_deref())?;
        match document.transaction_id {
            Some(stated) if stated != verified.tx_id => Err(ReceiptError::TxId {
                stated,
                proven: verified.tx_id,
            }),
            _ => Ok(verified),
        }
    }

    /// Checks the receipt of a signature transaction, and returns the root that it proves. That
    /// something is in the ledger follows only with a path from it to this root.
    pub fn verify_root(&self, receipt: &Receipt) -> Result<Digest, ReceiptError> {
        let Covered::Root(root) = &receipt.covered else {
            return Err(ReceiptError::Malformed(
                "it is not of a signature transaction".to_owned(),
            ));
        };
        self.endorsing_service(receipt)?;
        self.signed_by_node(receipt, root)?;
        Ok(*root)
    }

    fn signed_by_node(&self, receipt: &Receipt, root: &Digest) -> Result<(), ReceiptError> {
        agrees("root", receipt.root, *root)?;
        let actual = receipt.cert.key_digest();
        if let Some(stated) = receipt.node_id
            && stated != actual
        {
            return Err(ReceiptError::NodeId { stated, actual });
        }
        // The first two have a fixed length, so no two triples are joined to the same bytes.
        let parts = [&actual.0[..], &root.0, &receipt.signature];
        let fact = Digest::of_parts(&parts);
        if self.signed.has(&fact) {
            return Ok(());
        }
        receipt
            .cert
            .public_key()
            .verify_prehashed(root, &receipt.signature)
            .map_err(|_| ReceiptError::Signature {
                root: *root,
                signer: actual,
            })?;
        self.signed.add(fact);
        Ok(())
    }

    /// Follows the chain from the node's certificate over the endorsements to a trusted service.
    /// Returns the digest of that service's key.
    fn endorsing_service(&self, receipt: &Receipt) -> Result<Digest, ReceiptError> {
        let chain = chain_digest(receipt);
        let trusted = || std::iter::once(&self.identity.cert).chain(&self.identity.previous);
        let known = trusted().find(|service| self.endorsed.has(&(chain, service.key_digest())));
        if let Some(service) = known {
            return Ok(service.key_digest());
        }

        let mut last = &receipt.cert;
        for next in &receipt.service_endorsements {
            if !last.is_signed_by(next) {
                return Err(ReceiptError::NotEndorsed("the chain of earlier services"));
            }
            last = next;
        }
        // Who trusts an earlier service needs no endorsement of it by a later one.
        let chain_to = |issued: &Cert| trusted().find(|service| issued.is_signed_by(service));
        let earlier = || {
            let mut issued =
                std::iter::once(&receipt.cert).chain(receipt.service_endorsements.iter());
            issued.find_map(chain_to)
        };
        let what = if receipt.service_endorsements.is_empty() {
            "the node that signed"
        } else {
            "the last of the earlier services"
        };
        let service = chain_to(last)
            .or_else(earlier)
            .ok_or(ReceiptError::NotEndorsed(what))?
            .key_digest();
        self.endorsed.add((chain, service));
        Ok(service)
    }
}

fn chain_digest(receipt: &Receipt) -> Digest {
    let fingerprints: Vec<_> = std::iter::once(&receipt.cert)
        .chain(&receipt.service_endorsements)
        .map(Cert::fingerprint)
        .collect();
    let parts: Vec<_> = fingerprints
        .iter()
        .map(|it| it.as_bytes().as_slice())
        .collect();
    Digest::of_parts(&parts)
}

fn agrees(which: &'static str, stated: Option<Digest>, actual: Digest) -> Result<(), ReceiptError> {
    match stated {
        Some(stated) if stated != actual => Err(ReceiptError::Stated {
            which,
            stated,
            actual,
        }),
        _ => Ok(()),
    }
}
