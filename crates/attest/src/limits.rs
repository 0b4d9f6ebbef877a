//! How large what we read may be. Evidence comes from whoever wants to join.

/// A certificate or revocation list of a vendor, in DER. AMD's certificates have 1,700 bytes at
/// most, its revocation lists less.
pub const MAX_CERT_BYTES: usize = 16 * 1024;

/// A chain of certificates in PEM. Azure sends three certificates in 6,500 bytes.
pub const MAX_CHAIN_BYTES: usize = 64 * 1024;
