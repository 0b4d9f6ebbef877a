//! Which rows the story is about, which of them can be read, and who may write them.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::governance::{self, members, proposals, wishes};
use crate::tables::{
    CA_CERT_BUNDLES, CONSTITUTION, CONSTITUTION_SETTINGS, FEATURES, GENESIS, JWT_ISSUERS, JWT_KEYS,
    MEMBER_ACKS, MEMBER_CERTS, MEMBER_ENCRYPTION_KEYS, MEMBER_INFO, NODES, PROPOSALS,
    PROPOSALS_INFO, RECENT, ROLES, SERVICE, SERVICE_CONFIG, SGX_POLICY, SNP_HOST_DATA,
    SNP_MEASUREMENTS, SNP_TCB_VERSIONS, SNP_UVM_ENDORSEMENTS, TDX_POLICY, Table, USERS,
    VIRTUAL_HOST_DATA, VIRTUAL_MEASUREMENTS, WISHES,
};

/// Whether a table is about governance.
pub(super) fn is_governance(table: &Table) -> bool {
    let name = table.name();
    name.starts_with("public:ccf.gov.") || name.starts_with("public:counterfoil.gov.")
}

/// Tables whose rows are JSON objects of any kind.
static OBJECTS: [Table; 6] = [
    JWT_KEYS,
    NODES,
    SERVICE_CONFIG,
    FEATURES,
    SNP_UVM_ENDORSEMENTS,
    SERVICE,
];

/// Tables that change by a member's message only, once the ledger is founded.
pub(super) static OF_MEMBERS: [Table; 23] = [
    CA_CERT_BUNDLES,
    GENESIS,
    CONSTITUTION,
    CONSTITUTION_SETTINGS,
    MEMBER_CERTS,
    MEMBER_ENCRYPTION_KEYS,
    MEMBER_INFO,
    MEMBER_ACKS,
    PROPOSALS,
    PROPOSALS_INFO,
    RECENT,
    SERVICE_CONFIG,
    FEATURES,
    JWT_ISSUERS,
    JWT_KEYS,
    SNP_MEASUREMENTS,
    SNP_HOST_DATA,
    SNP_UVM_ENDORSEMENTS,
    SNP_TCB_VERSIONS,
    VIRTUAL_MEASUREMENTS,
    VIRTUAL_HOST_DATA,
    TDX_POLICY,
    SGX_POLICY,
];

/// Whether a row is what the rules read in this table: they take it for granted, an auditor cannot.
pub(super) fn is_readable(table: &Table, value: &[u8]) -> bool {
    fn reads<T: DeserializeOwned>(value: &[u8]) -> bool {
        serde_json::from_slice::<T>(value).is_ok()
    }
    match table {
        table if *table == MEMBER_INFO => reads::<members::Member>(value),
        table if *table == MEMBER_ACKS => reads::<members::Acknowledgement>(value),
        table if *table == PROPOSALS_INFO => reads::<proposals::ProposalInfo>(value),
        table if *table == CONSTITUTION_SETTINGS => reads::<governance::Settings>(value),
        table if *table == WISHES => reads::<wishes::Wish>(value),
        table if *table == JWT_ISSUERS => reads::<governance::jwt::Issuer>(value),
        table if *table == CA_CERT_BUNDLES => reads::<String>(value),
        table if *table == USERS => reads::<crate::users::User>(value),
        table if *table == ROLES => reads::<crate::roles::Role>(value),
        table if OBJECTS.contains(table) => reads::<Map<String, Value>>(value),
        _ => true,
    }
}
