//! One door for all kinds of evidence.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::azure::{AzureRefusal, RuntimeClaims};
use crate::bytes::ReportData;
use crate::insecure_virtual::{self, VirtualEvidence, VirtualPolicy, VirtualRefusal};
use crate::intel::{
    self, IntelEvidence, IntelRefusal, SgxPolicy, SgxVerdict, TdxPolicy, TdxVerdict,
};
use crate::limits::MAX_EVIDENCE_JSON_BYTES;
use crate::nitro::{self, NitroEvidence, NitroPolicy, NitroRefusal, NitroVerdict};
use crate::snp::{self, SnpEvidence, SnpPolicy, SnpRefusal, SnpVerdict};
use crate::time::UnixTime;
use crate::tpm_quote::{BootRegisters, TpmQuote};

/// What a node shows for itself. In JSON, `format` names the kind; bytes are in base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "format")]
pub enum Evidence {
    /// The node's own word.
    #[serde(rename = "insecure-virtual")]
    Virtual(VirtualEvidence),
    /// A report of AMD SEV-SNP.
    #[serde(rename = "snp")]
    Snp(Paravised<SnpEvidence>),
    /// A quote of Intel TDX.
    #[serde(rename = "tdx")]
    Tdx(Paravised<IntelEvidence>),
    /// A quote of Intel SGX.
    #[serde(rename = "sgx")]
    Sgx(IntelEvidence),
    /// A document of an AWS Nitro enclave.
    #[serde(rename = "nitro")]
    Nitro(NitroEvidence),
}

/// Evidence of a virtual machine, with what Azure's paravisor says where one stands in between: the
/// report data in the verdict is then the hardware's, the digest of these claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paravised<E> {
    /// The hardware's evidence.
    #[serde(flatten)]
    pub hardware: E,
    /// The claims that the hardware's report data binds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure_claims: Option<RuntimeClaims>,
    /// How the guest booted behind the paravisor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpm_quote: Option<TpmQuote>,
}

/// What a network accepts, kind by kind. A kind that is not named is refused; the default accepts
/// nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Nodes without hardware. A network for real secrets has none.
    #[serde(rename = "insecure-virtual", skip_serializing_if = "Option::is_none")]
    pub insecure_virtual: Option<VirtualPolicy>,
    /// Guests on AMD SEV-SNP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snp: Option<SnpPolicy>,
    /// Trust domains on Intel TDX.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tdx: Option<TdxPolicy>,
    /// Enclaves on Intel SGX.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sgx: Option<SgxPolicy>,
    /// Enclaves on AWS Nitro.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nitro: Option<NitroPolicy>,
    /// Accept Azure's paravisor between hardware and guest: the measurements are then the
    /// paravisor's, and Microsoft is trusted to pass on what the guest says.
    pub accept_azure_paravisor: bool,
    /// Behind Azure's paravisor, the boot states that are accepted, each as registers of the virtual
    /// TPM that must have these values. Without this any: the guest's own code is then not pinned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub azure_boot_states: Option<BTreeSet<BootRegisters>>,
}

/// What evidence has proven; in the virtual case, what was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "format")]
pub enum Verdict {
    /// Nothing is proven.
    #[serde(rename = "insecure-virtual")]
    Virtual(VirtualEvidence),
    /// A guest on AMD SEV-SNP.
    #[serde(rename = "snp")]
    Snp(SnpVerdict),
    /// A trust domain on Intel TDX.
    #[serde(rename = "tdx")]
    Tdx(TdxVerdict),
    /// An enclave on Intel SGX.
    #[serde(rename = "sgx")]
    Sgx(SgxVerdict),
    /// An enclave on AWS Nitro.
    #[serde(rename = "nitro")]
    Nitro(NitroVerdict),
}

impl Verdict {
    /// Whether hardware vouches for it.
    pub fn is_hardware(&self) -> bool {
        !matches!(self, Self::Virtual(_))
    }
}

/// Why evidence is not believed: the kind's own reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The network does not accept that kind of evidence. The node should run elsewhere, or members
    /// should accept the kind.
    #[error("the policy accepts no evidence of format {0}; run the node on an accepted platform")]
    FormatNotAccepted(&'static str),
    /// A paravisor stands between hardware and guest, which the policy does not accept.
    #[error(
        "the policy accepts no paravisor of Azure's; run the node where none stands in between"
    )]
    ParavisorNotAccepted,
    /// See [`VirtualRefusal`].
    #[error(transparent)]
    Virtual(#[from] VirtualRefusal),
    /// See [`SnpRefusal`].
    #[error(transparent)]
    Snp(#[from] SnpRefusal),
    /// See [`IntelRefusal`].
    #[error(transparent)]
    Intel(#[from] IntelRefusal),
    /// See [`NitroRefusal`].
    #[error(transparent)]
    Nitro(#[from] NitroRefusal),
    /// See [`AzureRefusal`].
    #[error(transparent)]
    Azure(#[from] AzureRefusal),
}

/// What a node sent is no evidence. The sender should collect it again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotEvidence {
    /// No evidence is that long.
    #[error("the evidence has {0} bytes of JSON, above the limit of {max}", max = MAX_EVIDENCE_JSON_BYTES)]
    TooLong(usize),
    /// It has another form.
    #[error("the evidence cannot be read: {0}")]
    Malformed(String),
}

impl Evidence {
    /// Reads what a node sent about itself, up to a length that all evidence has.
    ///
    /// Nothing is believed yet: every part has its own limit, which [`Evidence::verify`] checks
    /// before it reads the part.
    pub fn from_json(bytes: &[u8]) -> Result<Self, NotEvidence> {
        if bytes.len() > MAX_EVIDENCE_JSON_BYTES {
            return Err(NotEvidence::TooLong(bytes.len()));
        }
        serde_json::from_slice(bytes).map_err(|error| NotEvidence::Malformed(error.to_string()))
    }

    /// The name of the kind, as `format` in JSON.
    pub fn format(&self) -> &'static str {
        match self {
            Self::Virtual(_) => insecure_virtual::FORMAT,
            Self::Snp(_) => "snp",
            Self::Tdx(_) => "tdx",
            Self::Sgx(_) => "sgx",
            Self::Nitro(_) => "nitro",
        }
    }

    /// Verifies the evidence at the time `now`: that its platform is genuine, that `policy` accepts
    /// what runs on it, and that it speaks for `report_data`; see [`crate::report_data_for`].
    pub fn verify(
        &self,
        policy: &Policy,
        report_data: &ReportData,
        now: UnixTime,
    ) -> Result<Verdict, Refusal> {
        let not_accepted = Refusal::FormatNotAccepted(self.format());
        match self {
            Self::Virtual(said) => {
                let policy = policy.insecure_virtual.as_ref().ok_or(not_accepted)?;
                let said = insecure_virtual::verify(said, policy, report_data)?;
                Ok(Verdict::Virtual(said))
            }
            Self::Snp(guest) => {
                let snp = policy.snp.as_ref().ok_or(not_accepted)?;
                let report_data = guest.hardware_data_for(policy, report_data)?;
                let verdict = snp::verify(&guest.hardware, snp, &report_data, now)?;
                Ok(Verdict::Snp(verdict))
            }
            Self::Tdx(domain) => {
                let tdx = policy.tdx.as_ref().ok_or(not_accepted)?;
                let report_data = domain.hardware_data_for(policy, report_data)?;
                let verdict = intel::verify_tdx(&domain.hardware, tdx, &report_data, now)?;
                Ok(Verdict::Tdx(verdict))
            }
            Self::Sgx(enclave) => {
                let sgx = policy.sgx.as_ref().ok_or(not_accepted)?;
                let verdict = intel::verify_sgx(enclave, sgx, report_data, now)?;
                Ok(Verdict::Sgx(verdict))
            }
            Self::Nitro(enclave) => {
                let nitro = policy.nitro.as_ref().ok_or(not_accepted)?;
                let verdict = nitro::verify(enclave, nitro, report_data, now)?;
                Ok(Verdict::Nitro(verdict))
            }
        }
    }
}

impl<E> Paravised<E> {
    /// Evidence straight from the hardware.
    pub fn direct(hardware: E) -> Self {
        Self {
            hardware,
            azure_claims: None,
            tpm_quote: None,
        }
    }

    /// What the hardware must have signed for the guest to have said `expected`.
    fn hardware_data_for(
        &self,
        policy: &Policy,
        expected: &ReportData,
    ) -> Result<ReportData, Refusal> {
        match &self.azure_claims {
            None => Ok(*expected),
            Some(_) if !policy.accept_azure_paravisor => Err(Refusal::ParavisorNotAccepted),
            Some(claims) => {
                let hardware_data = claims.hardware_data_for(expected)?;
                if let Some(accepted) = &policy.azure_boot_states {
                    claims.check_boot(self.tpm_quote.as_ref(), accepted.iter(), expected)?;
                }
                Ok(hardware_data)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::HexBytes;
    use crate::intel::{Collateral, PlatformPolicy, TcbStatus};
    use crate::snp::{Endorsements, Product, Report, Tcb};

    const TODAY: UnixTime = UnixTime(1_795_000_000);

    fn milan() -> (Evidence, Policy, ReportData) {
        let report = include_str!("../testdata/snp/report_milan.hex");
        let report = hex::decode(report.trim()).unwrap();
        let vcek = include_bytes!("../testdata/snp/vcek_milan.der");
        let read = Report::parse(&report).unwrap();
        let oldest = Tcb::from_bytes(Product::Milan, [0; 8]);
        let policy = Policy {
            snp: Some(SnpPolicy {
                measurements: [read.measurement].into(),
                host_data: [read.host_data].into(),
                minimum_tcb: [(Product::Milan, oldest)].into(),
                accept_version_2: true,
                ..SnpPolicy::default()
            }),
            ..Policy::default()
        };
        let evidence = SnpEvidence {
            report,
            endorsements: Endorsements::of_vcek(vcek.as_slice()),
            uvm_endorsements: None,
        };
        let evidence = Evidence::Snp(Paravised::direct(evidence));
        (evidence, policy, read.report_data)
    }

    fn enclave() -> (Evidence, Policy, ReportData, UnixTime) {
        let collateral = include_str!("../testdata/intel/sgx_quote_collateral.json");
        let collateral: Collateral = serde_json::from_str(collateral).unwrap();
        let quote = include_bytes!("../testdata/intel/sgx_quote").to_vec();
        let (_, until) = collateral.window().unwrap();
        let policy = Policy {
            sgx: Some(SgxPolicy {
                platform: PlatformPolicy {
                    statuses: [TcbStatus::ConfigurationAndSwHardeningNeeded].into(),
                    ..PlatformPolicy::default()
                },
                enclaves: [HexBytes::at(&quote, 48 + 64)].into(),
                ..SgxPolicy::default()
            }),
            ..Policy::default()
        };
        let report_data = HexBytes::at(&quote, 48 + 320);
        let evidence = Evidence::Sgx(IntelEvidence { quote, collateral });
        (evidence, policy, report_data, UnixTime(until.0 - 1))
    }

    fn said() -> (Evidence, Policy, ReportData) {
        let said = VirtualEvidence {
            measurement: HexBytes([1; 32]),
            host_data: HexBytes([2; 32]),
            report_data: HexBytes([3; 64]),
        };
        let policy = Policy {
            insecure_virtual: Some(VirtualPolicy {
                measurements: [said.measurement].into(),
                host_data: [said.host_data].into(),
            }),
            ..Policy::default()
        };
        let report_data = said.report_data;
        (Evidence::Virtual(said), policy, report_data)
    }

    #[test]
    fn evidence_of_every_kind_survives_json_and_is_verified() {
        let (snp, snp_policy, snp_data) = milan();
        let (sgx, sgx_policy, sgx_data, then) = enclave();
        let (said, said_policy, said_data) = said();
        for (evidence, policy, report_data, now, hardware) in [
            (snp, snp_policy, snp_data, TODAY, true),
            (sgx, sgx_policy, sgx_data, then, true),
            (said, said_policy, said_data, TODAY, false),
        ] {
            let json = serde_json::to_string(&evidence).unwrap();
            let read: Evidence = serde_json::from_str(&json).unwrap();
            assert_eq!(read, evidence);
            let policy: Policy =
                serde_json::from_str(&serde_json::to_string(&policy).unwrap()).unwrap();
            let verdict = read.verify(&policy, &report_data, now).unwrap();
            assert_eq!(verdict.is_hardware(), hardware);
            let json = serde_json::to_string(&verdict).unwrap();
            assert!(json.contains(evidence.format()), "{json}");
            assert_eq!(serde_json::from_str::<Verdict>(&json).unwrap(), verdict);
        }
    }

    #[test]
    fn a_kind_that_the_policy_does_not_name_is_refused() {
        let (snp, snp_policy, report_data) = milan();
        let (said, said_policy, said_data) = said();
        assert_eq!(
            snp.verify(&said_policy, &report_data, TODAY),
            Err(Refusal::FormatNotAccepted("snp"))
        );
        assert_eq!(
            said.verify(&snp_policy, &said_data, TODAY),
            Err(Refusal::FormatNotAccepted("insecure-virtual"))
        );
    }

    #[test]
    fn a_paravisor_counts_only_where_it_is_accepted() {
        let (evidence, mut policy, report_data) = milan();
        let Evidence::Snp(Paravised { hardware, .. }) = evidence else {
            unreachable!("milan() is SNP");
        };
        let claims = format!(r#"{{"keys": [], "user-data": "{report_data}"}}"#);
        let evidence = Evidence::Snp(Paravised {
            hardware,
            azure_claims: Some(RuntimeClaims(claims.into_bytes())),
            tpm_quote: None,
        });
        assert_eq!(
            evidence.verify(&policy, &report_data, TODAY),
            Err(Refusal::ParavisorNotAccepted)
        );
        // The claims say what is wanted, but that chip has not signed their digest.
        policy.accept_azure_paravisor = true;
        assert_eq!(
            evidence.verify(&policy, &report_data, TODAY),
            Err(Refusal::Snp(SnpRefusal::ReportData(report_data)))
        );
    }
}
