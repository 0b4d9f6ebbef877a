//! The names of all tables: who can read them, and how a node keeps them.
//!
//! `public:` in front of a name means: in clear in the ledger file. Names under `ccf.` are CCF's,
//! with CCF's keys and values, because CCF's tools read them; names under `counterfoil.` are ours.

use std::borrow::Cow;
use std::fmt;

use crate::write_set::Domain;

/// The name of a table.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Table(Cow<'static, str>);

/// How a node keeps a table's current content, beside the ledger file itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// The latest value of each key is looked up in the state store.
    Value,
    /// The state store knows at which seqnos each key was written; the values stay in the ledger.
    Stream,
    /// Both: the latest value is looked up, and an earlier one is found in the ledger.
    Versions,
    /// Only in the ledger: found by seqno.
    InLedger,
}

/// The key of a table that has only one.
pub const SINGLETON: [u8; 8] = [0; 8];

/// Entries of a private ledger: collection id -> contents.
pub const PRIVATE_ENTRIES: Table = Table::named("counterfoil.entries");
/// Entries of a public ledger: collection id -> contents.
pub const PUBLIC_ENTRIES: Table = Table::named("public:counterfoil.entries");
/// Tagged entries of a public ledger: collection id, NUL, tag -> nothing.
pub const TAGGED: Table = Table::named("public:counterfoil.tagged");
/// Collections of a private ledger: collection id -> nothing; [`SINGLETON`] -> their number.
pub const PRIVATE_COLLECTIONS: Table = Table::named("counterfoil.collections");
/// Collections of a public ledger, likewise.
pub const PUBLIC_COLLECTIONS: Table = Table::named("public:counterfoil.collections");
/// Requests that are recorded once: see [`crate::once`].
pub const ONCE: Table = Table::named("counterfoil.once");
/// Tags in use: collection id, NUL, tag -> nothing; [`SINGLETON`] -> their number.
pub const TAGS: Table = Table::named("public:counterfoil.tags");

/// What an application claims about its transaction ([`crate::claims`]).
pub const CLAIMS: Table = Table::named("counterfoil.claims");

/// Contracts, how far their chain is: singleton -> what the next transaction has to know.
pub const EVM_HEAD: Table = Table::named("counterfoil.evm.head");
/// Contracts: number of a block, u64 big-endian -> where it begins.
pub const EVM_BLOCKS: Table = Table::named("counterfoil.evm.blocks");
/// Contracts: hash of a block that another one follows -> its number, u64 big-endian.
pub const EVM_HASHES: Table = Table::named("counterfoil.evm.hashes");
/// Contracts: address -> nonce, balance and digest of the code.
pub const EVM_ACCOUNTS: Table = Table::named("counterfoil.evm.accounts");
/// Contracts: address, slot -> value without leading zeros.
pub const EVM_STORAGE: Table = Table::named("counterfoil.evm.storage");
/// Contracts: digest of code -> the code.
pub const EVM_CODE: Table = Table::named("counterfoil.evm.code");
/// Contracts: hash of a transaction -> the transaction and what became of it.
pub const EVM_TRANSACTIONS: Table = Table::named("counterfoil.evm.transactions");
/// Contracts: address of a contract -> who signed the transaction that made it.
pub const EVM_MAKERS: Table = Table::named("counterfoil.evm.makers");
/// Contracts: address of an account -> the user whose it is.
pub const EVM_OWNERS: Table = Table::named("counterfoil.evm.owners");
/// Contracts: user -> addresses of their accounts, one after the other.
pub const EVM_OWNED: Table = Table::named("counterfoil.evm.owned");
/// Contracts: emitter of a log, one of its topics, or both -> nothing.
pub const EVM_LOGS: Table = Table::named("counterfoil.evm.logs");

/// Users: user id -> [`crate::users::User`] as JSON.
pub const USERS: Table = Table::named("public:counterfoil.gov.users");
/// Custom roles: role name -> [`crate::roles::Role`] as JSON.
pub const ROLES: Table = Table::named("public:counterfoil.gov.roles");
/// What was fixed when the ledger was created: singleton -> [`crate::service::Genesis`] as JSON.
pub const GENESIS: Table = Table::named("public:counterfoil.gov.genesis");

/// The constitution's text: singleton -> JSON string.
pub const CONSTITUTION: Table = Table::named("public:ccf.gov.constitution");
/// Members: member id -> certificate, PEM.
pub const MEMBER_CERTS: Table = Table::named("public:ccf.gov.members.certs");
/// Members: member id -> JSON with their status.
pub const MEMBER_INFO: Table = Table::named("public:ccf.gov.members.info");
/// Members: member id -> public key for recovery shares, PEM.
pub const MEMBER_ENCRYPTION_KEYS: Table =
    Table::named("public:ccf.gov.members.encryption_public_keys");
/// Members: member id -> the state digest to acknowledge, and the signed acknowledgement, JSON.
pub const MEMBER_ACKS: Table = Table::named("public:ccf.gov.members.acks");
/// Users who have a certificate: hex digest of it -> the certificate, PEM.
pub const USER_CERTS: Table = Table::named("public:ccf.gov.users.certs");
/// Users: hex digest of the certificate, or the token's subject -> `{"user_data": ...}`.
pub const USER_INFO: Table = Table::named("public:ccf.gov.users.info");
/// Proposals: proposal id -> what was proposed, JSON, as it was signed.
pub const PROPOSALS: Table = Table::named("public:ccf.gov.proposals");
/// Proposals: proposal id -> [`crate::governance::ProposalInfo`] as JSON.
pub const PROPOSALS_INFO: Table = Table::named("public:ccf.gov.proposals_info");
/// Signed messages: member id -> the member's last one, JSON string, base64 of a COSE_Sign1.
pub const COSE_HISTORY: Table = Table::named("public:ccf.gov.cose_history");
/// Replay protection: `created_at:digest` -> proposal id.
pub const RECENT: Table = Table::named("public:ccf.gov.cose_recent_proposals");
/// The constitution's settings: singleton -> [`crate::governance::Settings`] as JSON.
pub const CONSTITUTION_SETTINGS: Table =
    Table::named("public:counterfoil.gov.constitution.settings");
/// What members decided and nodes are still to do ([`crate::governance::wishes`]).
pub const WISHES: Table = Table::named("public:counterfoil.gov.wishes");
/// Settings of features: feature -> JSON object.
pub const FEATURES: Table = Table::named("public:counterfoil.gov.features");
/// The service's numbers: singleton -> JSON object.
pub const SERVICE_CONFIG: Table = Table::named("public:ccf.gov.service.config");
/// Token issuers: issuer -> [`crate::governance::jwt::Issuer`] as JSON.
pub const JWT_ISSUERS: Table = Table::named("public:ccf.gov.jwt.issuers");
/// Token issuers: issuer -> its JSON Web Key Set.
pub const JWT_KEYS: Table = Table::named("public:counterfoil.gov.jwt.keys");
/// Certificates that vouch for web servers: name -> PEM, as a JSON string.
pub const CA_CERT_BUNDLES: Table = Table::named("public:ccf.gov.tls.ca_cert_bundles");
/// Join policy, AMD SEV-SNP: measurement, hex -> `"AllowedToJoin"`.
pub const SNP_MEASUREMENTS: Table = Table::named("public:ccf.gov.nodes.snp.measurements");
/// Join policy, AMD SEV-SNP: host data, hex -> the security policy, or an empty string.
pub const SNP_HOST_DATA: Table = Table::named("public:ccf.gov.nodes.snp.host_data");
/// Join policy, AMD SEV-SNP: DID -> `{feed: {"svn": ...}}`.
pub const SNP_UVM_ENDORSEMENTS: Table = Table::named("public:ccf.gov.nodes.snp.uvm_endorsements");
/// Join policy, AMD SEV-SNP: CPUID, hex -> `{"hexstring": ...}`, the least TCB version.
pub const SNP_TCB_VERSIONS: Table = Table::named("public:ccf.gov.nodes.snp.tcb_versions");
/// Join policy without hardware: measurement -> `"AllowedToJoin"`.
pub const VIRTUAL_MEASUREMENTS: Table = Table::named("public:ccf.gov.nodes.virtual.measurements");
/// Join policy without hardware: host data, hex -> an empty string.
pub const VIRTUAL_HOST_DATA: Table = Table::named("public:ccf.gov.nodes.virtual.host_data");
/// Join policy, Intel TDX: singleton -> JSON object.
pub const TDX_POLICY: Table = Table::named("public:counterfoil.gov.nodes.tdx.policy");
/// Join policy, Intel SGX: singleton -> JSON object.
pub const SGX_POLICY: Table = Table::named("public:counterfoil.gov.nodes.sgx.policy");
/// Nodes: node id -> JSON with status and evidence.
pub const NODES: Table = Table::named("public:ccf.gov.nodes.info");
/// Nodes: node id -> certificate endorsed by the service, PEM.
pub const NODE_CERTS: Table = Table::named("public:ccf.gov.nodes.endorsed_certificates");
/// The service: singleton -> JSON with certificate and status.
pub const SERVICE: Table = Table::named("public:ccf.gov.service.info");
/// Signed roots: singleton -> JSON ([`crate::signature`]).
pub const SIGNATURES: Table = Table::named("public:ccf.internal.signatures");
/// Signed roots: singleton -> JSON string, base64 of a COSE_Sign1.
pub const COSE_SIGNATURES: Table = Table::named("public:ccf.internal.cose_signatures");
/// The tree under a signed root: singleton -> its serialised frontier.
pub const TREE: Table = Table::named("public:ccf.internal.tree");
/// Recovery shares: singleton -> [`crate::shares::RecoveryShares`] as JSON.
pub const RECOVERY_SHARES: Table = Table::named("public:ccf.internal.recovery_shares");
/// The newest ledger secret that a rekey began, sealed to each node: singleton ->
/// [`crate::rekey::NewSecret`] as JSON.
pub const LEDGER_SECRETS: Table = Table::named("public:ccf.internal.encrypted_ledger_secrets");
/// Earlier ledger secrets, each sealed under the next one: the seqno from which it was valid (u64
/// little-endian) -> [`crate::shares::EarlierSecret`] as JSON.
pub const EARLIER_SECRETS: Table =
    Table::named("public:ccf.internal.historical_encrypted_ledger_secret");
/// Shares that members gave after a disaster: member id -> JSON string, sealed under the new ledger
/// secret.
pub const SUBMITTED_SHARES: Table = Table::named("public:ccf.internal.encrypted_submitted_shares");
/// The service before a recovery: singleton -> certificate, PEM, as a JSON string.
pub const PREVIOUS_SERVICE: Table =
    Table::named("public:ccf.gov.service.previous_service_identity");
/// How the service endorses the one before it: singleton ->
/// [`crate::recovery::EndorsementRow`] as JSON.
pub const SERVICE_ENDORSEMENT: Table =
    Table::named("public:ccf.internal.previous_service_identity_endorsement");
/// The last root that the service before a recovery signed: singleton -> 32 bytes, hex, JSON string.
pub const PREVIOUS_ROOT: Table =
    Table::named("public:ccf.internal.previous_service_last_signed_root");
/// All services before this one: recovery count, u64 big-endian ->
/// [`crate::recovery::EarlierService`] as JSON.
pub const EARLIER_SERVICES: Table = Table::named("public:counterfoil.gov.service.earlier");
/// Snapshots: singleton -> [`crate::snapshot::SnapshotEvidence`] as JSON.
pub const SNAPSHOT_EVIDENCE: Table = Table::named("public:ccf.internal.snapshot_evidence");

/// Who governs and by which rules: what a member acknowledges ([`crate::governance::members`]).
pub static GOVERNED: [Table; 20] = [
    CONSTITUTION,
    CONSTITUTION_SETTINGS,
    SERVICE,
    SERVICE_CONFIG,
    MEMBER_CERTS,
    MEMBER_ENCRYPTION_KEYS,
    MEMBER_INFO,
    NODES,
    SNP_MEASUREMENTS,
    SNP_HOST_DATA,
    SNP_UVM_ENDORSEMENTS,
    SNP_TCB_VERSIONS,
    VIRTUAL_MEASUREMENTS,
    VIRTUAL_HOST_DATA,
    TDX_POLICY,
    SGX_POLICY,
    JWT_ISSUERS,
    JWT_KEYS,
    CA_CERT_BUNDLES,
    FEATURES,
];

impl Table {
    /// A table whose name stands in the code.
    pub const fn named(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// A table whose name was read from somewhere. Well-known names are not copied.
    pub fn from_name(name: &str) -> Self {
        WELL_KNOWN
            .iter()
            .find(|table| table.name() == name)
            .cloned()
            .unwrap_or_else(|| Self(Cow::Owned(name.to_owned())))
    }

    /// All tables that have a name in the code.
    pub fn well_known() -> impl Iterator<Item = &'static Self> {
        WELL_KNOWN.iter()
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Public tables are in clear in the ledger, all others are sealed.
    pub fn domain(&self) -> Domain {
        if self.0.starts_with("public:") {
            Domain::Public
        } else {
            Domain::Private
        }
    }

    /// How a node keeps it.
    pub fn kept(&self) -> Kept {
        match self {
            table if [PRIVATE_ENTRIES, PUBLIC_ENTRIES, TAGGED].contains(table) => Kept::Stream,
            table if [EVM_TRANSACTIONS, EVM_LOGS].contains(table) => Kept::Stream,
            table if [EVM_ACCOUNTS, EVM_STORAGE].contains(table) => Kept::Versions,
            table if [SIGNATURES, COSE_SIGNATURES, TREE, CLAIMS].contains(table) => Kept::InLedger,
            _ => Kept::Value,
        }
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Most frequent first: looked up for every entry that is read.
static WELL_KNOWN: [Table; 63] = [
    PRIVATE_ENTRIES,
    PUBLIC_ENTRIES,
    TAGGED,
    CLAIMS,
    EVM_STORAGE,
    EVM_LOGS,
    EVM_ACCOUNTS,
    EVM_TRANSACTIONS,
    EVM_HEAD,
    EVM_BLOCKS,
    EVM_HASHES,
    EVM_CODE,
    EVM_MAKERS,
    EVM_OWNERS,
    EVM_OWNED,
    SIGNATURES,
    COSE_SIGNATURES,
    TREE,
    SNAPSHOT_EVIDENCE,
    PRIVATE_COLLECTIONS,
    PUBLIC_COLLECTIONS,
    ONCE,
    TAGS,
    USERS,
    ROLES,
    GENESIS,
    CONSTITUTION,
    MEMBER_CERTS,
    MEMBER_INFO,
    NODES,
    NODE_CERTS,
    SERVICE,
    COSE_HISTORY,
    PROPOSALS,
    PROPOSALS_INFO,
    RECENT,
    MEMBER_ENCRYPTION_KEYS,
    MEMBER_ACKS,
    USER_CERTS,
    USER_INFO,
    CONSTITUTION_SETTINGS,
    WISHES,
    FEATURES,
    SERVICE_CONFIG,
    JWT_ISSUERS,
    JWT_KEYS,
    CA_CERT_BUNDLES,
    SNP_MEASUREMENTS,
    SNP_HOST_DATA,
    SNP_UVM_ENDORSEMENTS,
    SNP_TCB_VERSIONS,
    VIRTUAL_MEASUREMENTS,
    VIRTUAL_HOST_DATA,
    TDX_POLICY,
    SGX_POLICY,
    RECOVERY_SHARES,
    LEDGER_SECRETS,
    EARLIER_SECRETS,
    SUBMITTED_SHARES,
    PREVIOUS_SERVICE,
    SERVICE_ENDORSEMENT,
    PREVIOUS_ROOT,
    EARLIER_SERVICES,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_public_if_its_name_says_so() {
        assert_eq!(PUBLIC_ENTRIES.domain(), Domain::Public);
        assert_eq!(PRIVATE_ENTRIES.domain(), Domain::Private);
    }

    #[test]
    fn a_name_read_from_a_file_is_the_same_table() {
        for table in &WELL_KNOWN {
            let read = Table::from_name(table.name());
            assert_eq!(&read, table);
            assert!(matches!(read.0, Cow::Borrowed(_)));
        }
        assert_eq!(Table::from_name("mine").name(), "mine");
    }
}
