//! What CCF calls things, for operators and tools that know its names.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::azure::AzureRefusal;
use crate::bytes::base64_bytes;
use crate::evidence::{Evidence, Refusal};
use crate::insecure_virtual::VirtualRefusal;
use crate::intel::IntelRefusal;
use crate::nitro::NitroRefusal;
use crate::snp::SnpRefusal;

/// Evidence as CCF shows it under `/node/quotes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CcfQuote {
    /// CCF's name of the kind; in its style where CCF has none.
    pub format: String,
    /// What the platform made; for virtual nodes JSON.
    #[serde(with = "base64_bytes")]
    pub raw: Vec<u8>,
    /// For SNP the chain in PEM, signing key first; for Intel the collateral as JSON.
    #[serde(with = "base64_bytes")]
    pub endorsements: Vec<u8>,
    /// See [`crate::uvm`].
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "base64_bytes::option"
    )]
    pub uvm_endorsements: Option<Vec<u8>>,
}

impl CcfQuote {
    /// The same evidence as CCF shows it. Azure's runtime claims have no place there.
    pub fn of(evidence: &Evidence) -> Self {
        let (format, raw, endorsements, uvm) = match evidence {
            Evidence::Virtual(said) => ("Insecure_Virtual", json(said), Vec::new(), None),
            Evidence::Snp(guest) => {
                let hardware = &guest.hardware;
                let chain = [
                    Some(&hardware.endorsements.vek),
                    hardware.endorsements.ask.as_ref(),
                    hardware.endorsements.ark.as_ref(),
                ];
                let pem: String = chain.into_iter().flatten().map(|der| pem(der)).collect();
                let uvm = hardware.uvm_endorsements.clone();
                ("AMD_SEV_SNP_v1", hardware.report.clone(), pem.into(), uvm)
            }
            Evidence::Tdx(domain) => {
                let (quote, collateral) = (&domain.hardware.quote, &domain.hardware.collateral);
                ("Intel_TDX_v1", quote.clone(), json(collateral), None)
            }
            Evidence::Sgx(enclave) => {
                let collateral = json(&enclave.collateral);
                ("Intel_SGX_v1", enclave.quote.clone(), collateral, None)
            }
            Evidence::Nitro(enclave) => {
                ("AWS_Nitro_v1", enclave.document.clone(), Vec::new(), None)
            }
        };
        Self {
            format: format.to_owned(),
            raw,
            endorsements,
            uvm_endorsements: uvm,
        }
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("invariant: evidence has text keys and no floats")
}

fn pem(der: &[u8]) -> String {
    const LINE: usize = 64;
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for (place, character) in STANDARD.encode(der).chars().enumerate() {
        if place > 0 && place % LINE == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem + "\n-----END CERTIFICATE-----\n"
}

impl Refusal {
    /// The result of CCF's quote verification that this refusal is an instance of. `Failed` stands
    /// for all checks of the evidence's own authenticity.
    pub fn ccf_name(&self) -> &'static str {
        const MEASUREMENT: &str = "FailedMeasurementNotFound";
        const ENDORSEMENTS: &str = "FailedUVMEndorsementsNotFound";
        const HOST_DATA: &str = "FailedInvalidHostData";
        const PUBLIC_KEY: &str = "FailedInvalidQuotedPublicKey";
        const CPUID: &str = "FailedInvalidCPUID";
        const TCB: &str = "FailedInvalidTcbVersion";
        const OTHER: &str = "Failed";
        match self {
            Self::FormatNotAccepted(_) | Self::ParavisorNotAccepted => OTHER,
            Self::Virtual(refusal) => match refusal {
                VirtualRefusal::Measurement(_) => MEASUREMENT,
                VirtualRefusal::HostData(_) => HOST_DATA,
                VirtualRefusal::ReportData(_) => PUBLIC_KEY,
            },
            Self::Snp(refusal) => match refusal {
                SnpRefusal::Measurement(_) => MEASUREMENT,
                SnpRefusal::Uvm(_) => ENDORSEMENTS,
                SnpRefusal::HostData(_) => HOST_DATA,
                SnpRefusal::ReportData(_) => PUBLIC_KEY,
                SnpRefusal::UnknownProcessor(_)
                | SnpRefusal::CpuidNotAccepted { .. }
                | SnpRefusal::ProductNotAccepted(_) => CPUID,
                SnpRefusal::TcbTooOld { .. } => TCB,
                _ => OTHER,
            },
            Self::Intel(refusal) => match refusal {
                IntelRefusal::Image(_) | IntelRefusal::Enclave { .. } => MEASUREMENT,
                IntelRefusal::ConfigId(_) => HOST_DATA,
                IntelRefusal::ReportData(_) => PUBLIC_KEY,
                IntelRefusal::Status { .. }
                | IntelRefusal::Advisory(_)
                | IntelRefusal::Evaluation { .. } => TCB,
                _ => OTHER,
            },
            Self::Nitro(refusal) => match refusal {
                NitroRefusal::Image(_) => MEASUREMENT,
                NitroRefusal::ReportData => PUBLIC_KEY,
                _ => OTHER,
            },
            Self::Azure(AzureRefusal::UserData(_)) => PUBLIC_KEY,
            Self::Azure(AzureRefusal::BootState) => MEASUREMENT,
            Self::Azure(_) => OTHER,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Paravised;
    use crate::snp::{Endorsements, SnpEvidence};

    #[test]
    fn a_chain_shown_as_ccf_shows_it_is_read_back() {
        let vcek = include_bytes!("../testdata/snp/caci_vcek.der");
        let evidence = SnpEvidence {
            report: vec![7; 3],
            endorsements: Endorsements::of_vcek(vcek.as_slice()),
            uvm_endorsements: Some(vec![1]),
        };
        let endorsements = evidence.endorsements.clone();
        let quote = CcfQuote::of(&Evidence::Snp(Paravised::direct(evidence)));
        assert_eq!(
            Endorsements::from_pem(&quote.endorsements).unwrap(),
            endorsements
        );
        let text = serde_json::to_string(&quote).unwrap();
        let start = r#"{"format":"AMD_SEV_SNP_v1","raw":"BwcH","endorsements":"LS0tLS1CRUdJTi"#;
        assert!(text.starts_with(start), "{text}");
        assert!(text.ends_with(r#","uvm_endorsements":"AQ=="}"#), "{text}");
    }
}
