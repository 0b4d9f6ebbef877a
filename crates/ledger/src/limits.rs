//! Every bound on what comes from outside, and the reason for its number.

/// Largest encoded entry, bytes. The entry header has 6 bytes for a size; nobody wants to hold that
/// in memory. 64 MiB leaves room for the largest batch of tables that one transaction may write.
pub const ENTRY_BYTES_MAX: usize = 64 << 20;

/// Longest table name, bytes. Names are ours; the bound only stops a damaged length.
pub const TABLE_NAME_BYTES_MAX: usize = 1024;

/// Longest collection id, UTF-8 bytes. Azure Confidential Ledger documents 256.
pub const COLLECTION_ID_BYTES_MAX: usize = 256;

/// Collections of one ledger, the default one not counted. Azure Confidential Ledger documents 5,000.
pub const COLLECTIONS_MAX_DEFAULT: u64 = 5_000;

/// Contents of one entry, UTF-8 bytes, unless the operator says otherwise. Azure documents 8,192;
/// one MiB is what CCF takes as a request body.
pub const CONTENTS_BYTES_MAX_DEFAULT: usize = 1 << 20;

/// Longest tag, characters. Documented by Azure Confidential Ledger's client.
pub const TAG_CHARS_MAX: usize = 64;

/// Tags of one entry. Each is a write of its own.
pub const TAGS_PER_ENTRY_MAX: usize = 16;

/// Tags of one ledger, counted once for each collection that uses them. Azure documents 10,000.
pub const TAGS_MAX_DEFAULT: u64 = 10_000;

/// Longest user id, bytes: a certificate fingerprint has 95, an object id 36.
pub const USER_ID_BYTES_MAX: usize = 256;

/// Longest role name and longest role action, bytes.
pub const ROLE_NAME_BYTES_MAX: usize = 256;

/// Actions that one custom role may name.
pub const ROLE_ACTIONS_MAX: usize = 256;

/// Custom roles of one ledger.
pub const ROLES_MAX: usize = 1_000;
