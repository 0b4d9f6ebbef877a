//! Every limit on what a stranger may hand to this crate, with the reason for the number.
//!
//! Sizes are checked before the work that they bound.

/// Longest path from a leaf to a root: a tree of `u64` leaves is at most 64 levels high.
pub const MAX_PROOF_STEPS: usize = 64;

/// Longest receipt document as JSON, in bytes. The claims inside carry whole entries, and services
/// set their own entry limit, so this leaves room for several megabytes of text after JSON escapes.
pub const MAX_JSON_BYTES: usize = 32 << 20;

/// Longest COSE receipt, in bytes: a root signature and a path of 64 digests need less than 4 KiB;
/// the rest is for several inclusion proofs and for headers added by others.
pub const MAX_COSE_BYTES: usize = 64 << 10;

/// Longest certificate, in bytes of PEM text. Node and service certificates are below 1 KiB.
pub const MAX_CERT_BYTES: usize = 16 << 10;

/// Longest commit evidence, in bytes (the CCF profile for COSE receipts: 1 to 1024).
pub const MAX_COMMIT_EVIDENCE_BYTES: usize = 1024;

/// Most endorsements between a node and today's service: one is added by each disaster recovery.
pub const MAX_SERVICE_ENDORSEMENTS: usize = 64;

/// Longest ECDSA signature in DER, in bytes: P-384 needs 104 at most.
pub const MAX_SIGNATURE_BYTES: usize = 128;

/// Most claims of one transaction. Azure Confidential Ledger attaches one.
pub const MAX_CLAIMS: usize = 1024;

/// Most inclusion proofs in one COSE receipt; each costs one signature check.
pub const MAX_COSE_PROOFS: usize = 16;

/// Endorsed node certificates that a verifier remembers: far more nodes than a service has at a
/// time, so that one check of the chain serves all receipts of a node.
pub const MAX_CACHED_NODES: usize = 256;

/// Signed roots that a verifier remembers, 32 bytes each: receipts of entries that were committed
/// together share one, and come from a file or a folder near each other.
pub const MAX_CACHED_ROOTS: usize = 4096;

/// Longest signed note, in bytes: a checkpoint is below 300, a cosignature's line below 250.
pub const MAX_NOTE_BYTES: usize = 64 << 10;

/// Most signatures on a note: the service's two, its nodes' and those of outside witnesses.
pub const MAX_NOTE_SIGNATURES: usize = 128;

/// Longest name of a key that signs notes, in bytes. Ours have 87 at most.
pub const MAX_NOTE_NAME_BYTES: usize = 255;

/// Longest file of known cosigners, in bytes: some hundred for each key.
pub const MAX_COSIGNERS_BYTES: usize = 1 << 20;
