//! Receipts, read and verified.

use minicbor::decode::Decoder;

use super::header::RootHeader;
use super::message::{Label, Sign1, end, length, malformed, map, once};
use super::{INCLUSION_PROOFS, PROOF_LEAF, PROOF_PATH, VDP, check_bounds};
use crate::digest::Digest;
use crate::error::ReceiptError;
use crate::evidence::evidence_tx_id;
use crate::key::PublicKey;
use crate::limits::MAX_COSE_BYTES;
use crate::merkle::{InclusionProof, Step};
use crate::receipt::LeafComponents;
use crate::verifier::Verified;

/// A COSE receipt, read but not yet believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CoseReceipt {
    /// The protected header.
    pub header: RootHeader,
    /// What the leaf is made from.
    pub components: LeafComponents,
    /// From the leaf to the root.
    pub proof: InclusionProof,
    protected: Vec<u8>,
    signature: Vec<u8>,
}

impl CoseReceipt {
    /// Reads a receipt with one inclusion proof: with several it would not be clear which
    /// transaction it is about, and no ledger makes them.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        let message = Sign1::parse(bytes, MAX_COSE_BYTES)?;
        if message.payload.is_some() {
            return Err(ReceiptError::WrongKind("it has a payload"));
        }
        let header = RootHeader::parse(message.protected)?;
        let mut proofs = None;
        let mut d = Decoder::new(message.unprotected);
        map(&mut d, |d, label| match label {
            Label::Int(VDP) => map(d, |d, label| match label {
                Label::Int(INCLUSION_PROOFS) => {
                    if length(d.array()?)? != 1 {
                        return Err(ReceiptError::WrongKind("it has not exactly one proof"));
                    }
                    once(&mut proofs, d.bytes()?)
                }
                _ => Ok(d.skip()?),
            }),
            _ => Ok(d.skip()?),
        })?;
        let proof = proofs.ok_or(ReceiptError::WrongKind("it has no inclusion proof"))?;
        let (components, proof) = parse_proof(proof)?;
        let (protected, signature) = (message.protected.to_vec(), message.signature.to_vec());
        Ok(Self {
            header,
            components,
            proof,
            protected,
            signature,
        })
    }

    /// Checks the receipt under the service's key and, if given, that these are the claims that
    /// were recorded.
    pub fn verify(
        &self,
        service: &PublicKey,
        expected_claims: Option<Digest>,
    ) -> Result<Verified, ReceiptError> {
        let recorded = self.components.claims_digest;
        if let Some(shown) = expected_claims
            && shown != recorded
        {
            return Err(ReceiptError::Claims { recorded, shown });
        }
        let root = self.proof.root(self.components.leaf());
        let message = Sign1 {
            protected: &self.protected,
            unprotected: &[],
            payload: None,
            signature: &self.signature,
        };
        self.header.verify(&message, service, &root)?;
        Ok(Verified {
            tx_id: evidence_tx_id(&self.components.commit_evidence)
                .map_err(|_| ReceiptError::Evidence)?,
            claims_digest: recorded,
            root,
            node_id: None,
            service: service.key_digest(),
        })
    }
}

fn parse_proof(bytes: &[u8]) -> Result<(LeafComponents, InclusionProof), ReceiptError> {
    let (mut components, mut path) = (None, None);
    let mut d = Decoder::new(bytes);
    map(&mut d, |d, label| match label {
        Label::Int(PROOF_LEAF) => once(&mut components, parse_leaf(d)?),
        Label::Int(PROOF_PATH) => once(&mut path, parse_path(d)?),
        _ => Err(malformed("a proof has a leaf and a path")),
    })?;
    end(&d)?;
    match (components, path) {
        (Some(components), Some(steps)) => Ok((components, InclusionProof { steps })),
        _ => Err(malformed("a proof has a leaf and a path")),
    }
}

fn parse_leaf(d: &mut Decoder<'_>) -> Result<LeafComponents, ReceiptError> {
    if length(d.array()?)? != 3 {
        return Err(malformed("a leaf has three components"));
    }
    let write_set_digest = digest(d)?;
    let commit_evidence = d.str()?;
    check_bounds(commit_evidence.len(), 0)?;
    let commit_evidence = commit_evidence.to_owned();
    Ok(LeafComponents {
        write_set_digest,
        commit_evidence,
        claims_digest: digest(d)?,
    })
}

fn parse_path(d: &mut Decoder<'_>) -> Result<Vec<Step>, ReceiptError> {
    let count = length(d.array()?)?;
    check_bounds(1, count)?;
    (0..count)
        .map(|_| {
            if length(d.array()?)? != 2 {
                return Err(malformed("a step has a side and a digest"));
            }
            Ok(if d.bool()? {
                Step::Left(digest(d)?)
            } else {
                Step::Right(digest(d)?)
            })
        })
        .collect()
}

fn digest(d: &mut Decoder<'_>) -> Result<Digest, ReceiptError> {
    Digest::try_from(d.bytes()?).map_err(|_| malformed("a digest has 32 bytes"))
}
