//! What a network demands of an SNP guest.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::bytes::{HexBytes, HostData, Measurement};
use crate::snp::product::{Cpuid, Product, Tcb};
use crate::uvm::UvmPolicy;

/// The guests that are accepted. A list accepts what it names: the default accepts nothing.
///
/// Guests that their host may debug or migrate are never accepted; there is no setting for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SnpPolicy {
    /// Launch measurements that somebody has judged.
    pub measurements: BTreeSet<Measurement>,
    /// Who may endorse measurements instead. Evidence that brings an endorsement is judged by it
    /// alone, as CCF does, and by `measurements` otherwise.
    #[serde(skip_serializing_if = "UvmPolicy::is_empty")]
    pub uvm_endorsements: UvmPolicy,
    /// Host data that is accepted: all zero where the host gives none.
    pub host_data: BTreeSet<HostData>,
    /// The oldest firmware that is accepted on each product. A product that is named neither here
    /// nor in `minimum_tcb_by_cpuid` is refused.
    pub minimum_tcb: BTreeMap<Product, Tcb>,
    /// The oldest firmware that is accepted on one model of processor; goes before `minimum_tcb`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub minimum_tcb_by_cpuid: BTreeMap<Cpuid, Tcb>,
    /// The least privileged level that may speak for the guest; 0 accepts the highest only.
    pub max_vmpl: u32,
    /// Accepted signers of the guest's id block; without this any, or none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_key_digests: Option<BTreeSet<HexBytes<48>>>,
    /// Accepted signers of the id key; without this any, or none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author_key_digests: Option<BTreeSet<HexBytes<48>>>,
    /// Accept reports of version 2, which do not name their processor. Old firmware.
    pub accept_version_2: bool,
    /// Accept keys that AMD gave to cloud providers: the evidence then names no chip, and the
    /// provider is trusted with the key.
    pub accept_vlek: bool,
    /// Refuse evidence without a revocation list of AMD's that is in date.
    pub require_crl: bool,
    /// Refuse guests that may share a core with a neighbour's thread.
    pub forbid_smt: bool,
    /// Refuse guests that may span sockets.
    pub require_single_socket: bool,
}
