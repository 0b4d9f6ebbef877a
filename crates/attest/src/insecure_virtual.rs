//! Evidence of a node without hardware: its own word, for laptops and tests.
//!
//! It has a form of its own and a list of its own, so it can neither pass for a chip's report nor
//! be accepted by a policy that was written for chips.

use std::collections::BTreeSet;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use crate::bytes::{HexBytes, HostData, ReportData};

/// The name of this form of evidence wherever people see it.
pub const FORMAT: &str = "insecure-virtual";

/// The measurement that virtual nodes claim: SHA-256 of `counterfoil insecure virtual`. It says that
/// nothing was measured.
pub fn measurement() -> HexBytes<32> {
    let digest = digest::digest(&digest::SHA256, b"counterfoil insecure virtual");
    HexBytes::at(digest.as_ref(), 0)
}

/// What the node says about itself. Nobody vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VirtualEvidence {
    /// Digest of the program that it says it runs.
    pub measurement: HexBytes<32>,
    /// Digest of the settings that it says it has.
    pub host_data: HostData,
    /// The key, network and nonce that it speaks for.
    pub report_data: ReportData,
}

/// The virtual nodes that are accepted. A list accepts what it names: the default accepts nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VirtualPolicy {
    /// Measurements that nodes may claim.
    pub measurements: BTreeSet<HexBytes<32>>,
    /// Host data that nodes may claim.
    pub host_data: BTreeSet<HostData>,
}

/// A virtual node claims something that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VirtualRefusal {
    /// The node says that it runs other code. Start the accepted release, or have it accepted.
    #[error(
        "virtual measurement {0} is not accepted; the operator should start the accepted release, \
         or members should accept this one"
    )]
    Measurement(HexBytes<32>),
    /// The node says that it has other settings.
    #[error("virtual host data {0} is not accepted; that node has other settings")]
    HostData(HostData),
    /// The evidence is about another key, network or nonce: it was copied from elsewhere.
    #[error(
        "report data {0} is not what was asked for; the evidence was made for another key, network \
         or nonce"
    )]
    ReportData(ReportData),
}

/// Compares what a virtual node says with what is accepted. Proves nothing about the machine.
pub fn verify(
    evidence: &VirtualEvidence,
    policy: &VirtualPolicy,
    report_data: &ReportData,
) -> Result<VirtualEvidence, VirtualRefusal> {
    if !policy.measurements.contains(&evidence.measurement) {
        return Err(VirtualRefusal::Measurement(evidence.measurement));
    }
    if !policy.host_data.contains(&evidence.host_data) {
        return Err(VirtualRefusal::HostData(evidence.host_data));
    }
    if evidence.report_data != *report_data {
        return Err(VirtualRefusal::ReportData(evidence.report_data));
    }
    Ok(evidence.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence() -> VirtualEvidence {
        VirtualEvidence {
            measurement: HexBytes([1; 32]),
            host_data: HexBytes([2; 32]),
            report_data: HexBytes([3; 64]),
        }
    }

    fn policy() -> VirtualPolicy {
        VirtualPolicy {
            measurements: [HexBytes([1; 32])].into(),
            host_data: [HexBytes([2; 32])].into(),
        }
    }

    #[test]
    fn a_listed_virtual_node_is_accepted() {
        let json = serde_json::to_string(&evidence()).unwrap();
        let read: VirtualEvidence = serde_json::from_str(&json).unwrap();
        assert_eq!(
            verify(&read, &policy(), &HexBytes([3; 64])).unwrap(),
            evidence()
        );
    }

    #[test]
    fn what_is_not_listed_is_refused() {
        let asked = HexBytes([3; 64]);
        let nothing = VirtualPolicy::default();
        let mut only_code = policy();
        only_code.host_data.clear();
        assert_eq!(
            verify(&evidence(), &nothing, &asked),
            Err(VirtualRefusal::Measurement(HexBytes([1; 32])))
        );
        assert_eq!(
            verify(&evidence(), &only_code, &asked),
            Err(VirtualRefusal::HostData(HexBytes([2; 32])))
        );
        assert_eq!(
            verify(&evidence(), &policy(), &HexBytes([4; 64])),
            Err(VirtualRefusal::ReportData(asked))
        );
    }

    #[test]
    fn a_report_of_hardware_is_not_virtual_evidence() {
        let text = r#"{"measurement": "", "host_data": "", "report_data": "", "vmpl": 0}"#;
        assert!(serde_json::from_str::<VirtualEvidence>(text).is_err());
    }
}
