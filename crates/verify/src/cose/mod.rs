//! COSE receipts (RFC 9942, profile CCF_LEDGER_SHA256), made and verified.
//!
//! The service signs a root once, as a COSE_Sign1 whose payload, the root, is left out. Any number
//! of receipts are made from that message by putting a leaf and its path into the unprotected
//! header.

mod endorsement;
mod header;
mod message;
mod read;
#[cfg(test)]
mod tests;

use minicbor::encode::{Encoder, Error as EncodeError, Write};

use crate::digest::Digest;
use crate::error::ReceiptError;
use crate::key::CoseAlgorithm;
use crate::limits::{MAX_COMMIT_EVIDENCE_BYTES, MAX_COSE_BYTES, MAX_PROOF_STEPS};
use crate::merkle::{InclusionProof, Step};
use crate::receipt::LeafComponents;
use crate::tx_id::TxId;

pub use endorsement::{
    Endorsement, EndorsementError, endorsement, endorsement_header, endorsement_to_be_signed,
    verify_endorsements,
};
pub use header::{RootHeader, verify_root_signature};
pub use message::sig_structure;
pub use read::CoseReceipt;

use header::{
    ALG, CCF, CCF_TX_ID, CWT_CLAIMS, CWT_ISSUED_AT, CWT_ISSUER, CWT_SUBJECT, KID, VDS,
    VDS_CCF_LEDGER_SHA256,
};
use message::{COSE_SIGN1, Sign1, encoded, malformed};

/// ECDSA with P-256 and SHA-256 (RFC 9053).
pub const ES256: i64 = CoseAlgorithm::Es256.label();
/// ECDSA with P-384 and SHA-384 (RFC 9053).
pub const ES384: i64 = CoseAlgorithm::Es384.label();

/// Proofs from the verifiable data structure, in the unprotected header.
const VDP: i64 = 396;
const INCLUSION_PROOFS: i64 = -1;
const PROOF_LEAF: i64 = 1;
const PROOF_PATH: i64 = 2;

/// The protected header of a root signature, in the order in which CCF writes it.
///
/// `kid` is the hex digest of the service's public key, `alg` [`ES256`] or [`ES384`], `issued_at`
/// seconds since 1970, and `tx_id` the signature transaction itself.
pub fn protected_header(
    kid: &str,
    alg: i64,
    issued_at: i64,
    issuer: &str,
    subject: &str,
    tx_id: TxId,
) -> Vec<u8> {
    encoded(|e| {
        e.map(5)?;
        e.i64(ALG)?.i64(alg)?;
        e.i64(KID)?.bytes(kid.as_bytes())?;
        e.i64(VDS)?.i64(VDS_CCF_LEDGER_SHA256)?;
        e.i64(CWT_CLAIMS)?.map(3)?;
        e.i64(CWT_ISSUED_AT)?.i64(issued_at)?;
        e.i64(CWT_ISSUER)?.str(issuer)?;
        e.i64(CWT_SUBJECT)?.str(subject)?;
        e.str(CCF)?
            .map(1)?
            .str(CCF_TX_ID)?
            .str(&tx_id.to_string())?;
        Ok(())
    })
}

/// What is signed: the Sig_structure of RFC 9052 over the root, without external data.
pub fn to_be_signed(protected: &[u8], root: &Digest) -> Vec<u8> {
    sig_structure(protected, root.as_bytes())
}

/// The root signature as it is kept in the ledger: COSE_Sign1 (tag 18), no unprotected header, no
/// payload. The signature is `r || s`.
pub fn root_signature(protected: &[u8], signature: &[u8]) -> Vec<u8> {
    encoded(|e| {
        e.tag(COSE_SIGN1)?.array(4)?.bytes(protected)?;
        e.map(0)?.null()?.bytes(signature)?;
        Ok(())
    })
}

/// The receipt of one transaction under a root signature that is kept in the ledger.
///
/// Fails if `root_signature` is not what [`crate::cose::root_signature`] makes, or if the leaf or
/// path is not one that verifiers accept.
pub fn receipt(
    root_signature: &[u8],
    components: &LeafComponents,
    proof: &InclusionProof,
) -> Result<Vec<u8>, ReceiptError> {
    let message = Sign1::parse(root_signature, MAX_COSE_BYTES)?;
    if message.payload.is_some() || message.unprotected != [0xa0] {
        return Err(ReceiptError::WrongKind("not a bare root signature"));
    }
    check_bounds(components.commit_evidence.len(), proof.steps.len() as u64)?;
    let proof = encoded(|e| encode_proof(e, components, proof));
    Ok(encoded(|e| {
        e.tag(COSE_SIGN1)?.array(4)?.bytes(message.protected)?;
        e.map(1)?
            .i64(VDP)?
            .map(1)?
            .i64(INCLUSION_PROOFS)?
            .array(1)?
            .bytes(&proof)?;
        e.null()?.bytes(message.signature)?;
        Ok(())
    }))
}

fn encode_proof<W: Write>(
    e: &mut Encoder<W>,
    components: &LeafComponents,
    proof: &InclusionProof,
) -> Result<(), EncodeError<W::Error>> {
    e.map(2)?.i64(PROOF_LEAF)?.array(3)?;
    e.bytes(components.write_set_digest.as_bytes())?;
    e.str(&components.commit_evidence)?;
    e.bytes(components.claims_digest.as_bytes())?;
    e.i64(PROOF_PATH)?.array(proof.steps.len() as u64)?;
    for step in &proof.steps {
        e.array(2)?
            .bool(matches!(step, Step::Left(_)))?
            .bytes(step.sibling().as_bytes())?;
    }
    Ok(())
}

fn check_bounds(evidence: usize, steps: u64) -> Result<(), ReceiptError> {
    if evidence == 0 {
        return Err(malformed("the commit evidence is empty"));
    }
    if evidence > MAX_COMMIT_EVIDENCE_BYTES {
        let limit = MAX_COMMIT_EVIDENCE_BYTES;
        return Err(ReceiptError::TooLarge {
            what: "bytes of commit evidence",
            limit,
        });
    }
    if steps > MAX_PROOF_STEPS as u64 {
        return Err(ReceiptError::TooLarge {
            what: "steps to the root",
            limit: MAX_PROOF_STEPS,
        });
    }
    Ok(())
}
