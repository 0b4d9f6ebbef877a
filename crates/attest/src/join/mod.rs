//! Who may join: what governance has accepted, row by row, and what that makes of evidence.
//!
//! The tables are CCF's where CCF has them, so its tools can list them: measurements, host data, UVM
//! endorsements and minimum firmware for SNP, measurements and host data for virtual nodes. Tables
//! of our own hold policies for TDX, SGX and Nitro, one JSON object a row under a name that members
//! chose, and the few settings that weaken or sharpen all of SNP.

mod rows;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::bytes::{HexBytes, HostData, Measurement, ReportData};
use crate::evidence::{Evidence, Policy, Refusal, Verdict};
use crate::insecure_virtual::VirtualPolicy;
use crate::intel::{IntelRefusal, SgxPolicy, TdxPolicy};
use crate::nitro::{NitroPolicy, NitroRefusal};
use crate::snp::{Cpuid, SnpPolicy, Tcb};
use crate::time::UnixTime;
use crate::tpm_quote::BootRegisters;
use crate::uvm::UvmPolicy;

pub use rows::{BadRow, JoinTable};

/// What members have accepted. The default accepts nothing.
///
/// In JSON much as CCF answers for its join policy; what a node answers for its own
/// (`/gov/service/join-policy`), with the tables' rows as they stand there, is read as well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct JoinPolicy {
    /// Guests on AMD SEV-SNP.
    pub snp: SnpJoin,
    /// Trust domains on Intel TDX: policies under the names that members gave them.
    #[serde(deserialize_with = "rows::named")]
    pub tdx: BTreeMap<String, TdxPolicy>,
    /// Enclaves on Intel SGX, likewise.
    #[serde(deserialize_with = "rows::named")]
    pub sgx: BTreeMap<String, SgxPolicy>,
    /// Enclaves on AWS Nitro, likewise.
    #[serde(deserialize_with = "rows::named")]
    pub nitro: BTreeMap<String, NitroPolicy>,
    /// Nodes without hardware.
    #[serde(rename = "virtual")]
    pub insecure_virtual: VirtualJoin,
    /// What weakens or sharpens the checks.
    pub settings: JoinSettings,
}

/// Accepted guests on AMD SEV-SNP.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct SnpJoin {
    /// Accepted code.
    pub measurements: BTreeSet<Measurement>,
    /// Accepted workloads: the digest of each one's policy, and the policy's text where members
    /// recorded it.
    pub host_data: BTreeMap<HostData, String>,
    /// Who may endorse code instead.
    pub uvm_endorsements: UvmPolicy,
    /// The oldest accepted firmware by model of processor; a model that is not named is refused.
    #[serde(deserialize_with = "rows::tcb_versions")]
    pub tcb_versions: BTreeMap<Cpuid, Tcb>,
}

/// Accepted nodes without hardware.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct VirtualJoin {
    /// Accepted code, by the node's own word.
    pub measurements: BTreeSet<HexBytes<32>>,
    /// Accepted settings, by the node's own word.
    pub host_data: BTreeSet<HostData>,
}

/// What members may set for all nodes. The default is the strictest that ordinary hardware passes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JoinSettings {
    /// See [`SnpPolicy::max_vmpl`].
    pub max_vmpl: u32,
    /// See [`SnpPolicy::accept_vlek`].
    pub accept_vlek: bool,
    /// See [`SnpPolicy::require_crl`].
    pub require_crl: bool,
    /// See [`SnpPolicy::forbid_smt`].
    pub forbid_smt: bool,
    /// See [`SnpPolicy::require_single_socket`].
    pub require_single_socket: bool,
    /// See [`Policy::accept_azure_paravisor`].
    pub accept_azure_paravisor: bool,
    /// See [`Policy::azure_boot_states`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub azure_boot_states: Option<BTreeSet<BootRegisters>>,
}

impl JoinPolicy {
    /// Judges evidence at the time `now`: that its platform is genuine, that members have accepted
    /// what runs on it, and that it speaks for `report_data`.
    ///
    /// Where several policies stand under different names, one that accepts is enough. The refusal
    /// is that of the policy that came furthest: one for other code says nothing about this code.
    pub fn judge(
        &self,
        evidence: &Evidence,
        report_data: &ReportData,
        now: UnixTime,
    ) -> Result<Verdict, Refusal> {
        let mut refusal = Refusal::FormatNotAccepted(evidence.format());
        for policy in self.policies(evidence) {
            match evidence.verify(&policy, report_data, now) {
                Ok(verdict) => return Ok(verdict),
                Err(next) if is_about_other_code(&refusal) => refusal = next,
                Err(_) => {}
            }
        }
        Err(refusal)
    }

    /// The policies that may accept that kind of evidence.
    fn policies(&self, evidence: &Evidence) -> Vec<Policy> {
        let empty = Policy {
            accept_azure_paravisor: self.settings.accept_azure_paravisor,
            azure_boot_states: self.settings.azure_boot_states.clone(),
            ..Policy::default()
        };
        let with = |set: &dyn Fn(&mut Policy)| {
            let mut policy = empty.clone();
            set(&mut policy);
            policy
        };
        match evidence {
            Evidence::Virtual(_) if self.insecure_virtual == VirtualJoin::default() => Vec::new(),
            Evidence::Virtual(_) => {
                vec![with(&|policy| {
                    policy.insecure_virtual = Some(self.insecure_virtual.policy());
                })]
            }
            Evidence::Snp(_) if self.snp == SnpJoin::default() => Vec::new(),
            Evidence::Snp(_) => vec![with(&|policy| policy.snp = Some(self.snp_policy()))],
            Evidence::Tdx(_) => each(&self.tdx, |named| with(&|p| p.tdx = Some(named.clone()))),
            Evidence::Sgx(_) => each(&self.sgx, |named| with(&|p| p.sgx = Some(named.clone()))),
            Evidence::Nitro(_) => each(&self.nitro, |named| {
                with(&|p| p.nitro = Some(named.clone()))
            }),
        }
    }

    fn snp_policy(&self) -> SnpPolicy {
        SnpPolicy {
            measurements: self.snp.measurements.clone(),
            uvm_endorsements: self.snp.uvm_endorsements.clone(),
            host_data: self.snp.host_data.keys().copied().collect(),
            minimum_tcb_by_cpuid: self.snp.tcb_versions.clone(),
            max_vmpl: self.settings.max_vmpl,
            accept_vlek: self.settings.accept_vlek,
            require_crl: self.settings.require_crl,
            forbid_smt: self.settings.forbid_smt,
            require_single_socket: self.settings.require_single_socket,
            ..SnpPolicy::default()
        }
    }
}

impl VirtualJoin {
    fn policy(&self) -> VirtualPolicy {
        VirtualPolicy {
            measurements: self.measurements.clone(),
            host_data: self.host_data.clone(),
        }
    }
}

fn each<P>(named: &BTreeMap<String, P>, policy: impl Fn(&P) -> Policy) -> Vec<Policy> {
    named.values().map(policy).collect()
}

fn is_about_other_code(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::FormatNotAccepted(_)
            | Refusal::Intel(IntelRefusal::Image(_) | IntelRefusal::Enclave { .. })
            | Refusal::Nitro(NitroRefusal::Image(_))
    )
}
