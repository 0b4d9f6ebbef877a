//! AMD SEV-SNP: a report by a chip's secure processor says which guest runs on which chip.
//!
//! The chain: AMD's root key (ARK, built in) certifies the ASK, that certifies the chip's key
//! (VCEK), which is derived from the chip's fuses and its firmware versions and signs the report.
//! [`verify`] makes all checks of that chain and of the report's content.

mod endorsements;
#[cfg(test)]
mod forge;
mod kds;
mod policy;
mod product;
mod refusal;
mod report;
#[cfg(test)]
mod tests;

use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::bytes::{HexBytes, HostData, Measurement, ReportData, base64_bytes};
use crate::time::UnixTime;
use crate::uvm::{self, UvmEndorsement, UvmRefusal};

pub use endorsements::Endorsements;
use endorsements::{Roots, Vek};
pub use kds::{crl_address, product_of_vcek, vcek_address};
pub use policy::SnpPolicy;
pub use product::{Cpuid, NotCpuid, Product, Tcb};
pub use refusal::{SnpRefusal, Which};
pub use report::{GuestPolicy, REPORT_BYTES, Report, SigningKey};

/// A report as the firmware made it, and the certificates that it is believed by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnpEvidence {
    /// The 1,184 bytes of the report.
    #[serde(with = "base64_bytes")]
    pub report: Vec<u8>,
    /// From AMD's root to the chip's key.
    pub endorsements: Endorsements,
    /// Where the cloud endorses the measurement: what [`crate::uvm`] reads.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "base64_bytes::option"
    )]
    pub uvm_endorsements: Option<Vec<u8>>,
}

/// What a report has proven: that guest runs on that chip, and chose that report data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnpVerdict {
    /// Which processor.
    pub product: Product,
    /// The firmware versions that the signing key was derived from.
    pub tcb: Tcb,
    /// Which chip; none when the cloud provider's key signed.
    pub chip_id: Option<HexBytes<64>>,
    /// Which code was launched.
    pub measurement: Measurement,
    /// Who endorses that code, where the policy does not list it itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uvm: Option<UvmEndorsement>,
    /// What the host gave at launch.
    pub host_data: HostData,
    /// What the guest had signed.
    pub report_data: ReportData,
    /// At which privilege level: 0 is the highest.
    pub vmpl: u32,
    /// The security version that the guest's owner gave it.
    pub guest_svn: u32,
}

/// Verifies a report against AMD's roots, the policy and the report data that is expected, at the
/// time `now`.
pub fn verify(
    evidence: &SnpEvidence,
    policy: &SnpPolicy,
    report_data: &ReportData,
    now: UnixTime,
) -> Result<SnpVerdict, SnpRefusal> {
    verify_under(Roots::amd(), evidence, policy, report_data, now)
}

fn verify_under(
    roots: &Roots,
    evidence: &SnpEvidence,
    policy: &SnpPolicy,
    report_data: &ReportData,
    now: UnixTime,
) -> Result<SnpVerdict, SnpRefusal> {
    let report = Report::parse(&evidence.report)?;
    let product = product_of(&report, &evidence.endorsements, policy)?;
    check_signing_key(&report, &evidence.endorsements, policy)?;
    if policy.require_crl && evidence.endorsements.crl.is_none() {
        return Err(SnpRefusal::CrlMissing);
    }
    let root = roots.of(product);
    let vek = endorsements::verify(&evidence.endorsements, root, product, now)?;
    check_signature(&evidence.report, report.signature_algorithm, &vek)?;

    // From here on the report's content is the chip's word.
    let tcb = Tcb::from_bytes(product, report.reported_tcb);
    check_same_firmware(tcb, vek.tcb)?;
    let chip_id = match report.signing_key {
        SigningKey::Vcek => {
            check_same_chip(&report, &vek, product)?;
            Some(report.chip_id)
        }
        _ => None,
    };
    check_launch(&report, policy)?;
    check_host_data(&report, policy)?;
    let uvm = check_measurement(&report, evidence.uvm_endorsements.as_deref(), policy, now)?;
    check_signers(&report, policy)?;
    check_minimum_firmware(&report, product, tcb, policy)?;
    check_report_data(&report, report_data)?;
    Ok(SnpVerdict {
        product,
        tcb,
        chip_id,
        measurement: report.measurement,
        uvm,
        host_data: report.host_data,
        report_data: report.report_data,
        vmpl: report.vmpl,
        guest_svn: report.guest_svn,
    })
}

/// The product decides the root and the layout of the firmware versions. A wrong claim of version 2
/// ends at a root that has not signed its chain.
fn product_of(
    report: &Report,
    endorsements: &Endorsements,
    policy: &SnpPolicy,
) -> Result<Product, SnpRefusal> {
    match report.cpuid {
        Some(cpuid) => cpuid.product().ok_or(SnpRefusal::UnknownProcessor(cpuid)),
        None if policy.accept_version_2 => endorsements::claimed_product(&endorsements.vek),
        None => Err(SnpRefusal::VersionTwo),
    }
}

fn check_signing_key(
    report: &Report,
    endorsements: &Endorsements,
    policy: &SnpPolicy,
) -> Result<(), SnpRefusal> {
    if report.chip_key_masked {
        return Err(SnpRefusal::ChipKeyMasked);
    }
    match report.signing_key {
        SigningKey::Vcek => Ok(()),
        SigningKey::Vlek if !policy.accept_vlek => Err(SnpRefusal::Vlek),
        SigningKey::Vlek if endorsements.ask.is_none() => Err(SnpRefusal::VlekIssuerMissing),
        SigningKey::Vlek => Ok(()),
        SigningKey::Other(kind) => Err(SnpRefusal::SigningKey(kind)),
    }
}

fn check_signature(bytes: &[u8], algorithm: u32, vek: &Vek) -> Result<(), SnpRefusal> {
    if algorithm != 1 {
        return Err(SnpRefusal::SignatureAlgorithm(algorithm));
    }
    let (message, signature) = report::signed(bytes)?;
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &vek.public_key)
        .verify(message, &signature)
        .map_err(|_| SnpRefusal::Signature(Which::Vek))
}

/// The signing key is derived from the reported versions, so its certificate names the same ones.
fn check_same_firmware(reported: Tcb, certified: Tcb) -> Result<(), SnpRefusal> {
    match reported.difference(certified) {
        None => Ok(()),
        Some((part, reported, certified)) => Err(SnpRefusal::TcbDiffers {
            part,
            reported,
            certified,
        }),
    }
}

fn check_same_chip(report: &Report, vek: &Vek, product: Product) -> Result<(), SnpRefusal> {
    if report.chip_id == HexBytes::ZERO {
        return Err(SnpRefusal::ChipIdHidden);
    }
    let (id, unused) = report.chip_id.0.split_at(product.chip_id_bytes());
    if vek.chip_id.as_deref() != Some(id) || unused.iter().any(|&byte| byte != 0) {
        return Err(SnpRefusal::ChipDiffers);
    }
    Ok(())
}

/// How the guest was started: who else can look into it.
fn check_launch(report: &Report, policy: &SnpPolicy) -> Result<(), SnpRefusal> {
    /// The least privileged level there is.
    const LAST_VMPL: u32 = 3;
    let guest = report.guest_policy;
    let max = policy.max_vmpl.min(LAST_VMPL);
    if report.vmpl > max {
        return Err(SnpRefusal::Vmpl {
            vmpl: report.vmpl,
            max,
        });
    }
    if guest.debug() {
        return Err(SnpRefusal::Debug);
    }
    if guest.migration_agent() {
        return Err(SnpRefusal::MigrationAgent);
    }
    if policy.forbid_smt && guest.smt() {
        return Err(SnpRefusal::Smt);
    }
    if policy.require_single_socket && !guest.single_socket() {
        return Err(SnpRefusal::Sockets);
    }
    Ok(())
}

/// How the workload was configured.
fn check_host_data(report: &Report, policy: &SnpPolicy) -> Result<(), SnpRefusal> {
    match policy.host_data.contains(&report.host_data) {
        true => Ok(()),
        false => Err(SnpRefusal::HostData(report.host_data)),
    }
}

/// What runs: by an endorsement where there is one, otherwise by the policy's own list.
fn check_measurement(
    report: &Report,
    endorsement: Option<&[u8]>,
    policy: &SnpPolicy,
    now: UnixTime,
) -> Result<Option<UvmEndorsement>, SnpRefusal> {
    let Some(endorsement) = endorsement else {
        return match policy.measurements.contains(&report.measurement) {
            true => Ok(None),
            false => Err(SnpRefusal::Measurement(report.measurement)),
        };
    };
    let endorsement = uvm::verify(endorsement, now)?;
    policy.uvm_endorsements.accept(&endorsement)?;
    if endorsement.measurement != report.measurement {
        return Err(UvmRefusal::OtherMeasurement(endorsement.measurement).into());
    }
    Ok(Some(endorsement))
}

/// Who released it.
fn check_signers(report: &Report, policy: &SnpPolicy) -> Result<(), SnpRefusal> {
    if let Some(accepted) = &policy.id_key_digests
        && !accepted.contains(&report.id_key_digest)
    {
        return Err(SnpRefusal::IdKey(report.id_key_digest));
    }
    if let Some(accepted) = &policy.author_key_digests
        && !accepted.contains(&report.author_key_digest)
    {
        return Err(SnpRefusal::AuthorKey(report.author_key_digest));
    }
    Ok(())
}

/// The model's own minimum goes before its product's.
fn check_minimum_firmware(
    report: &Report,
    product: Product,
    tcb: Tcb,
    policy: &SnpPolicy,
) -> Result<(), SnpRefusal> {
    let by_cpuid = report
        .cpuid
        .and_then(|cpuid| policy.minimum_tcb_by_cpuid.get(&cpuid));
    let minimum = by_cpuid.or_else(|| policy.minimum_tcb.get(&product));
    let minimum = minimum.ok_or(match report.cpuid {
        Some(cpuid) => SnpRefusal::CpuidNotAccepted { product, cpuid },
        None => SnpRefusal::ProductNotAccepted(product),
    })?;
    match tcb.behind(*minimum) {
        None => Ok(()),
        Some((part, have, want)) => Err(SnpRefusal::TcbTooOld { part, have, want }),
    }
}

/// Whether it speaks about our question.
fn check_report_data(report: &Report, expected: &ReportData) -> Result<(), SnpRefusal> {
    match report.report_data == *expected {
        true => Ok(()),
        false => Err(SnpRefusal::ReportData(report.report_data)),
    }
}
