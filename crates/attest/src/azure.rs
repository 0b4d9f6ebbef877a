//! Azure's confidential virtual machines: a paravisor of Microsoft's stands between the hardware and
//! the guest, and it is the paravisor that has the hardware sign.
//!
//! What it has signed is the SHA-256 of its *runtime claims*, a JSON text that holds the key of the
//! virtual TPM and 64 bytes of the guest's choice. So the guest's report data is two hops away from
//! the hardware's: guest data, in claims, whose digest is in the report. The launch measurement is
//! the paravisor's; what the guest booted is in the virtual TPM's registers, which nothing here reads.

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use crate::bytes::{HexBytes, ReportData, base64_bytes};
use crate::limits::MAX_RUNTIME_CLAIMS_BYTES;
use crate::snp::REPORT_BYTES;

/// Azure's wrapping of a hardware report is damaged, or does not say what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AzureRefusal {
    /// It was cut or is something else. The sender should read it from the virtual TPM again.
    #[error("Azure's report is not usable: {0}; the sender should read it from the TPM again")]
    Malformed(&'static str),
    /// The claims are not those whose digest the hardware signed: they were altered, or are from
    /// another boot.
    #[error("the hardware has not signed these runtime claims; they were altered or are older")]
    ClaimsNotSigned,
    /// The guest has not asked for a report yet, or the paravisor is too old to add guest data.
    #[error("the runtime claims hold no data of the guest; the sender should ask for a new report")]
    NoUserData,
    /// The claims are not about this key, network or question: they were copied from elsewhere.
    #[error(
        "user data {0} is not what was asked for; the evidence was made for another key, network or \
         nonce"
    )]
    UserData(ReportData),
}

/// What the paravisor says, as the bytes that it hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuntimeClaims(#[serde(with = "base64_bytes")] pub Vec<u8>);

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct GuestPart {
    user_data: Option<ReportData>,
}

impl RuntimeClaims {
    /// The report data of the hardware that binds these claims.
    pub fn bound_report_data(&self) -> ReportData {
        let mut bytes = [0; 64];
        let digest = digest::digest(&digest::SHA256, &self.0);
        bytes[..32].copy_from_slice(digest.as_ref());
        HexBytes(bytes)
    }

    /// The report data that the hardware must have signed so that the guest has spoken for
    /// `expected`; an error if the guest spoke for something else.
    pub fn hardware_data_for(&self, expected: &ReportData) -> Result<ReportData, AzureRefusal> {
        if self.0.len() > MAX_RUNTIME_CLAIMS_BYTES {
            return Err(AzureRefusal::Malformed("its runtime claims are too long"));
        }
        let claims: GuestPart = serde_json::from_slice(&self.0)
            .map_err(|_| AzureRefusal::Malformed("its runtime claims are not JSON"))?;
        match claims.user_data.ok_or(AzureRefusal::NoUserData)? {
            actual if actual == *expected => Ok(self.bound_report_data()),
            actual => Err(AzureRefusal::UserData(actual)),
        }
    }
}

/// What the virtual TPM keeps under index 0x01400001.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HclReport {
    /// What the hardware signed.
    pub hardware: HardwareReport,
    /// What it is bound to.
    pub claims: RuntimeClaims,
}

/// The hardware's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HardwareReport {
    /// A report for [`crate::snp`].
    Snp(Vec<u8>),
    /// A TDREPORT, which only its own machine can check: the host turns it into a quote for
    /// [`crate::intel`].
    Tdx(Vec<u8>),
}

// Layout: a header of 32 bytes, 1,184 bytes for the hardware's report, then five words, little-endian
// (size, version, kind, hash, length of the claims) and the claims.
const HARDWARE: usize = 32;
const RUNTIME: usize = HARDWARE + REPORT_BYTES;
const CLAIMS: usize = RUNTIME + 20;
const TD_REPORT_BYTES: usize = 1024;

impl HclReport {
    /// Reads the report and checks that the hardware's part names the digest of the claims.
    ///
    /// This proves nothing yet: the hardware's part is to be verified for itself.
    pub fn parse(bytes: &[u8]) -> Result<Self, AzureRefusal> {
        if bytes.len() < CLAIMS || !bytes.starts_with(b"HCLA") {
            return Err(AzureRefusal::Malformed("it is too short or bears no HCLA"));
        }
        let word = |index: usize| {
            let word = HexBytes::at(bytes, RUNTIME + 4 * index);
            u32::from_le_bytes(word.0)
        };
        let (kind, hash) = (word(2), word(3));
        if hash != 1 {
            return Err(AzureRefusal::Malformed(
                "its claims are not hashed with SHA-256",
            ));
        }
        let length = usize::try_from(word(4)).unwrap_or(usize::MAX);
        let claims = bytes[CLAIMS..].get(..length);
        let claims = claims.ok_or(AzureRefusal::Malformed("its runtime claims were cut"))?;
        let claims = RuntimeClaims(claims.to_vec());
        let (hardware, report_data) = match kind {
            2 => {
                let report = &bytes[HARDWARE..][..REPORT_BYTES];
                (
                    HardwareReport::Snp(report.to_vec()),
                    HexBytes::at(report, 0x50),
                )
            }
            4 => {
                let report = &bytes[HARDWARE..][..TD_REPORT_BYTES];
                (
                    HardwareReport::Tdx(report.to_vec()),
                    HexBytes::at(report, 0x80),
                )
            }
            _ => return Err(AzureRefusal::Malformed("it is neither SNP nor TDX")),
        };
        if claims.bound_report_data() != report_data {
            return Err(AzureRefusal::ClaimsNotSigned);
        }
        Ok(Self { hardware, claims })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNP: &[u8] = include_bytes!("../testdata/azure/hcl-report-snp.bin");
    const TDX: &[u8] = include_bytes!("../testdata/azure/hcl-report-tdx.bin");

    #[test]
    fn real_reports_are_bound_to_their_claims() {
        let snp = HclReport::parse(SNP).unwrap();
        assert!(matches!(snp.hardware, HardwareReport::Snp(_)));
        // That paravisor is from before guests could add data.
        assert_eq!(
            snp.claims.hardware_data_for(&HexBytes::ZERO),
            Err(AzureRefusal::NoUserData)
        );

        let tdx = HclReport::parse(TDX).unwrap();
        assert!(matches!(tdx.hardware, HardwareReport::Tdx(_)));
        // That guest had asked for nothing yet.
        assert_eq!(
            tdx.claims.hardware_data_for(&HexBytes::ZERO),
            Ok(tdx.claims.bound_report_data())
        );
        assert_eq!(
            tdx.claims.hardware_data_for(&HexBytes([1; 64])),
            Err(AzureRefusal::UserData(HexBytes::ZERO))
        );
    }

    #[test]
    fn altered_claims_are_noticed() {
        for sample in [SNP, TDX] {
            for offset in [CLAIMS, CLAIMS + 300, RUNTIME + 16] {
                let mut bytes = sample.to_vec();
                bytes[offset] ^= 1;
                assert_eq!(HclReport::parse(&bytes), Err(AzureRefusal::ClaimsNotSigned));
            }
        }
    }

    #[test]
    fn damaged_reports_are_refused() {
        for (offset, value) in [
            (0, b'X'),
            (RUNTIME + 8, 3),
            (RUNTIME + 12, 2),
            (RUNTIME + 17, 255),
        ] {
            let mut bytes = SNP.to_vec();
            bytes[offset] = value;
            let refusal = HclReport::parse(&bytes);
            assert!(
                matches!(refusal, Err(AzureRefusal::Malformed(_))),
                "{offset}"
            );
        }
        assert!(HclReport::parse(&SNP[..CLAIMS]).is_err());
        assert!(HclReport::parse(&[]).is_err());
    }
}
