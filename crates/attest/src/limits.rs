//! How large what we read may be. Evidence comes from whoever wants to join.

/// A certificate or revocation list of a vendor, in DER. AMD's certificates have 1,700 bytes at
/// most, its revocation lists less.
pub const MAX_CERT_BYTES: usize = 16 * 1024;

/// A chain of certificates in PEM. Azure sends three certificates in 6,500 bytes.
pub const MAX_CHAIN_BYTES: usize = 64 * 1024;

/// An Intel quote with its certificates. Linux hands out 32 KiB at most.
pub const MAX_QUOTE_BYTES: usize = 32 * 1024;

/// Intel's collateral for a quote, all parts together. Today's has 24 KiB.
pub const MAX_COLLATERAL_BYTES: usize = 256 * 1024;

/// What Azure's paravisor says: two keys, some settings and 64 bytes of the guest's. Seen: 1,202.
pub const MAX_RUNTIME_CLAIMS_BYTES: usize = 16 * 1024;

/// An endorsement of a utility machine with three certificates and a time stamp. Seen: 10,917.
pub const MAX_UVM_ENDORSEMENT_BYTES: usize = 64 * 1024;

/// A document of a Nitro enclave. AWS's own limit for its parts together is below 16 KiB.
pub const MAX_NITRO_DOCUMENT_BYTES: usize = 16 * 1024;

/// A row of a governance table that says who may join: key and value together. The longest are the
/// texts of workloads' policies, which Azure bounds by 64 KiB.
pub const MAX_JOIN_ROW_BYTES: usize = 256 * 1024;

/// A node's evidence in JSON, all kinds: the collateral's limit, and as much again for what base64
/// adds to the rest.
pub const MAX_EVIDENCE_JSON_BYTES: usize = 512 * 1024;

/// An EAR token with verdicts in it. Seen: 2,600 for one node.
pub const MAX_EAR_BYTES: usize = 128 * 1024;

/// What a TPM signs about its registers. Seen: 122.
pub const MAX_TPM_QUOTE_BYTES: usize = 1024;
