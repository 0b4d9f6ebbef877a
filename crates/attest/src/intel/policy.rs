//! What a network demands of a trust domain or an enclave on Intel's processors.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bytes::{HexBytes, Measurement};

/// What Intel says about the firmware and settings of a platform. A revoked one is never accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TcbStatus {
    /// Nothing is known against it.
    UpToDate,
    /// The software must work around holes.
    #[serde(rename = "SWHardeningNeeded")]
    SwHardeningNeeded,
    /// The platform's settings may open holes.
    ConfigurationNeeded,
    /// Both of these.
    #[serde(rename = "ConfigurationAndSWHardeningNeeded")]
    ConfigurationAndSwHardeningNeeded,
    /// The firmware has known holes.
    OutOfDate,
    /// Known holes, and settings that may open more.
    OutOfDateConfigurationNeeded,
    /// The domain was started before the platform was updated.
    #[serde(rename = "TDRelaunchAdvised")]
    TdRelaunchAdvised,
    /// Started before the update, and settings that may open holes.
    #[serde(rename = "TDRelaunchAdvisedConfigurationNeeded")]
    TdRelaunchAdvisedConfigurationNeeded,
    /// The platform's keys are known to others.
    Revoked,
}

impl From<dcap_qvl::TcbStatus> for TcbStatus {
    fn from(status: dcap_qvl::TcbStatus) -> Self {
        use dcap_qvl::TcbStatus as Intel;
        match status {
            Intel::UpToDate => Self::UpToDate,
            Intel::SWHardeningNeeded => Self::SwHardeningNeeded,
            Intel::ConfigurationNeeded => Self::ConfigurationNeeded,
            Intel::ConfigurationAndSWHardeningNeeded => Self::ConfigurationAndSwHardeningNeeded,
            Intel::OutOfDate => Self::OutOfDate,
            Intel::OutOfDateConfigurationNeeded => Self::OutOfDateConfigurationNeeded,
            Intel::TDRelaunchAdvised => Self::TdRelaunchAdvised,
            Intel::TDRelaunchAdvisedConfigurationNeeded => {
                Self::TdRelaunchAdvisedConfigurationNeeded
            }
            Intel::Revoked => Self::Revoked,
        }
    }
}

impl fmt::Display for TcbStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// The platforms that are accepted. The default accepts none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlatformPolicy {
    /// Accepted statuses; naming [`TcbStatus::Revoked`] accepts nothing more.
    pub statuses: BTreeSet<TcbStatus>,
    /// Advisories that must not apply, such as `INTEL-SA-00615`.
    pub refused_advisories: BTreeSet<String>,
    /// The oldest accepted `tcbEvaluationDataNumber`, which Intel counts up as holes become known:
    /// it keeps an operator from presenting collateral from before.
    pub minimum_evaluation: u32,
}

/// The trust domains that are accepted. The default accepts none.
///
/// Domains under debug, that may migrate or that are bound to service domains are never accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TdxPolicy {
    /// On which platforms.
    pub platform: PlatformPolicy,
    /// Which code, each as a whole.
    pub images: BTreeSet<TdxImage>,
    /// Accepted settings (MRCONFIGID) given by the host; without this any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_ids: Option<BTreeSet<HexBytes<48>>>,
}

/// The code of a trust domain. MRTD alone would pin the firmware only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TdxImage {
    /// What the domain began with: its firmware.
    pub mrtd: Measurement,
    /// What was measured since: the firmware's settings, the kernel, its command line and initial
    /// files, the application.
    pub rtmrs: [Measurement; 4],
}

/// The enclaves that are accepted, by code or by signer. The default accepts none.
///
/// Enclaves under debug are never accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SgxPolicy {
    /// On which platforms.
    pub platform: PlatformPolicy,
    /// Accepted code (MRENCLAVE).
    pub enclaves: BTreeSet<HexBytes<32>>,
    /// Signers whose products are accepted, whatever the code.
    pub signers: BTreeSet<SgxSigner>,
}

/// A product of a signer who is trusted to release it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SgxSigner {
    /// Digest of the signer's key (MRSIGNER).
    pub signer: HexBytes<32>,
    /// The signer's number for the product.
    pub product_id: u16,
    /// The oldest accepted security version of it.
    pub minimum_svn: u16,
}
