//! Reach: everything that a holder of a receipt needs to check it, and nothing else.
//!
//! Pure functions from bytes and a trust anchor to a verdict: no I/O, no clock, no randomness, no
//! async. Servers, clients, auditors and browsers link this same crate, so a rule about proofs
//! stands in one place.
//!
//! It is not: a parser of ledger files (crate `ledger`), nor of hardware evidence (crate `attest`).

pub mod cert;
pub mod checkpoint;
pub mod claims;
pub mod cose;
pub mod cosigned;
pub mod digest;
pub mod error;
pub mod ethereum;
pub mod evidence;
mod hmac;
pub mod key;
mod known;
pub mod limits;
pub mod merkle;
pub mod note;
pub mod receipt;
pub mod tx_id;
pub mod verifier;

pub use cert::{Cert, CertError};
pub use checkpoint::Checkpoint;
pub use claims::{Claim, claims_digest, ledger_entry_claims_digest};
pub use cose::CoseReceipt;
pub use cosigned::{CosignError, Cosigned, Cosigners, Witnessed};
pub use digest::Digest;
pub use error::ReceiptError;
pub use evidence::evidence_tx_id;
pub use hmac::hmac_sha256;
pub use key::{CoseAlgorithm, PublicKey};
pub use merkle::{Frontier, InclusionProof, Step, TreeNode, nodes_in, peaks_of, prove};
pub use note::{NoteError, SignedNote, VerifierKey};
pub use receipt::{Covered, LeafComponents, Receipt, ReceiptDocument};
pub use tx_id::{Seqno, TxId, TxStatus, View};
pub use verifier::{ServiceIdentity, Verified, Verifier};
