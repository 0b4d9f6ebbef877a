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

/// Longest idempotency key, bytes: a UUID has 36.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// Idempotency keys that are remembered, of all callers: minutes of a busy ledger, in some 20 MB.
pub const REMEMBERED_KEYS: u64 = 100_000;

/// Nodes that may wait for the members at a time. Anybody who has an accepted program can ask.
pub const PENDING_NODES_MAX: usize = 64;

/// Names and addresses in a node's certificate.
pub const NODE_NAMES_MAX: usize = 32;

/// Longest name or address of a node, bytes: a DNS name with a port.
pub const NODE_NAME_BYTES_MAX: usize = 262;

/// Longest governance message, bytes: a proposal with certificates and policies in it. What CCF
/// takes as a request body.
pub const GOVERNANCE_MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Actions of one proposal. Members have to read it.
pub const ACTIONS_MAX: usize = 100;

/// Members of one ledger. All of them are counted for each ballot.
pub const MEMBERS_MAX: usize = 1_000;

/// Proposals that one member may have open, so that none can fill the tables alone.
pub const OPEN_PROPOSALS_PER_MEMBER_MAX: usize = 20;

/// Proposals that are remembered to recognise one that is sent again. CCF's number.
pub const RECENT_PROPOSALS: usize = 100;

/// Longest text among an action's arguments, bytes: names, addresses of issuers, DIDs.
pub const ACTION_TEXT_BYTES_MAX: usize = 2_048;

/// Longest data about a member, user or node, and longest policy, bytes as JSON.
pub const FREE_DATA_BYTES_MAX: usize = 64 << 10;

/// Longest certificate or key among an action's arguments, bytes of PEM.
pub const PEM_BYTES_MAX: usize = 16 << 10;

/// Longest bundle of CA certificates, bytes of PEM: the web's whole store has less than this.
pub const CERT_BUNDLE_BYTES_MAX: usize = 512 << 10;

/// Certificates of one bundle.
pub const CERT_BUNDLE_CERTS_MAX: usize = 256;

/// Bundles of CA certificates of one ledger.
pub const CERT_BUNDLES_MAX: usize = 64;

/// Fewest bits of an RSA key to which a recovery share is encrypted (NIST SP 800-57).
pub const ENCRYPTION_KEY_BITS_MIN: usize = 2_048;

/// Token issuers that members may name.
pub const JWT_ISSUERS_MAX: usize = 64;

/// Longest key set of an issuer, bytes as JSON.
pub const JWKS_BYTES_MAX: usize = 256 << 10;

/// Keys of one issuer.
pub const JWKS_KEYS_MAX: usize = 64;

/// Rows of each table of the join policy: versions of code that run beside each other.
pub const POLICY_ROWS_MAX: usize = 1_000;

/// Most members that a recovery may need. Shares are numbered with one byte.
pub const RECOVERY_THRESHOLD_MAX: u64 = 255;

/// Days for which certificates may be valid unless members say otherwise. CCF's number.
pub const VALIDITY_DAYS_DEFAULT: u64 = 365;

/// Days for which members may let certificates be valid: a hundred years is for ever.
pub const VALIDITY_DAYS_MAX: u64 = 36_500;

/// Bytes that members may let the contents of one entry have: an entry must fit
/// [`ENTRY_BYTES_MAX`], and a batch of them memory.
pub const CONTENTS_BYTES_GOVERNED_MAX: u64 = 32 << 20;
