//! Intel TDX (quotes of version 4 and 5) and SGX (version 3).
//!
//! The chain: Intel's root key (built in) certifies the platform's key (PCK), that signs the quoting
//! enclave, whose key signs the quote. Intel's collateral says which firmware levels are good. The
//! crate `dcap-qvl` follows that chain and finds the level; what is good enough is decided here.

mod collateral;
mod crypto;
mod fetch;
mod policy;
mod refusal;
#[cfg(test)]
mod tests;

use dcap_qvl::quote::{EnclaveReport, Report, TDReport10};
use dcap_qvl::verify::QuoteVerifier;
use dcap_qvl::{QuoteClaims, QuotePolicy};
use serde::{Deserialize, Serialize};

use crate::bytes::{HexBytes, ReportData, base64_bytes};
use crate::limits::MAX_QUOTE_BYTES;
use crate::time::UnixTime;

pub use collateral::Collateral;
use crypto::AwsLc;
pub use fetch::{
    CollateralAnswers, INTEL_ROOT_CRL, INTEL_SERVICE, WantedCollateral, wanted_collateral,
};
pub use policy::{PlatformPolicy, SgxPolicy, SgxSigner, TcbStatus, TdxImage, TdxPolicy};
pub use refusal::IntelRefusal;

/// Intel's root of all platforms; see `data/NOTICE`.
const INTEL_ROOT: &[u8] = include_bytes!("../../data/intel-sgx-root-ca.der");

/// A quote, TDX or SGX, and what Intel says about its platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntelEvidence {
    /// The quote's bytes.
    #[serde(with = "base64_bytes")]
    pub quote: Vec<u8>,
    /// Fetched for it.
    pub collateral: Collateral,
}

/// What Intel says about the platform of a quote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformVerdict {
    /// How good its firmware and settings are.
    pub status: TcbStatus,
    /// The holes that may apply.
    pub advisories: Vec<String>,
    /// How new Intel's opinion is; see [`PlatformPolicy::minimum_evaluation`].
    pub evaluation: u32,
    /// The platform's model.
    pub fmspc: HexBytes<6>,
    /// The platform's id.
    pub platform_id: HexBytes<16>,
}

/// What a TDX quote has proven: that domain runs on that platform, and chose that report data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TdxVerdict {
    /// Where it runs.
    pub platform: PlatformVerdict,
    /// Which code.
    pub image: TdxImage,
    /// Settings given by the host (MRCONFIGID).
    pub config_id: HexBytes<48>,
    /// What the domain had signed.
    pub report_data: ReportData,
}

/// What an SGX quote has proven: that enclave runs on that platform, and chose that report data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SgxVerdict {
    /// Where it runs.
    pub platform: PlatformVerdict,
    /// Which code (MRENCLAVE).
    pub enclave: HexBytes<32>,
    /// Who signed it (MRSIGNER).
    pub signer: HexBytes<32>,
    /// The signer's number for the product.
    pub product_id: u16,
    /// The signer's security version of it.
    pub svn: u16,
    /// What the enclave had signed.
    pub report_data: ReportData,
}

/// Verifies the quote of a trust domain against Intel's root, the policy and the report data that is
/// expected, at the time `now`.
pub fn verify_tdx(
    evidence: &IntelEvidence,
    policy: &TdxPolicy,
    report_data: &ReportData,
    now: UnixTime,
) -> Result<TdxVerdict, IntelRefusal> {
    let claims = follow_chain(evidence, now)?;
    let domain = claims.report.as_td10();
    let domain = domain.ok_or(IntelRefusal::OtherKind("trust domain"))?;
    check_domain_is_closed(domain)?;
    let platform = check_platform(&claims, &policy.platform)?;
    let image = image_of(domain);
    if !policy.images.contains(&image) {
        return Err(IntelRefusal::Image(Box::new(image)));
    }
    let config_id = HexBytes(domain.mr_config_id);
    if let Some(accepted) = &policy.config_ids
        && !accepted.contains(&config_id)
    {
        return Err(IntelRefusal::ConfigId(config_id));
    }
    Ok(TdxVerdict {
        platform,
        image,
        config_id,
        report_data: check_report_data(domain.report_data, report_data)?,
    })
}

/// Verifies the quote of an enclave against Intel's root, the policy and the report data that is
/// expected, at the time `now`.
pub fn verify_sgx(
    evidence: &IntelEvidence,
    policy: &SgxPolicy,
    report_data: &ReportData,
    now: UnixTime,
) -> Result<SgxVerdict, IntelRefusal> {
    let claims = follow_chain(evidence, now)?;
    let Report::SgxEnclave(enclave) = &claims.report else {
        return Err(IntelRefusal::OtherKind("enclave"));
    };
    check_enclave_is_closed(enclave)?;
    let platform = check_platform(&claims, &policy.platform)?;
    check_enclave(enclave, policy)?;
    Ok(SgxVerdict {
        platform,
        enclave: HexBytes(enclave.mr_enclave),
        signer: HexBytes(enclave.mr_signer),
        product_id: enclave.isv_prod_id,
        svn: enclave.isv_svn,
        report_data: check_report_data(enclave.report_data, report_data)?,
    })
}

/// From Intel's root to the quote, and which firmware level the platform has.
///
/// The verifier is told to let debug pass, so that it is refused here under its own name.
fn follow_chain(evidence: &IntelEvidence, now: UnixTime) -> Result<QuoteClaims, IntelRefusal> {
    if evidence.quote.len() > MAX_QUOTE_BYTES {
        return Err(IntelRefusal::TooLong(evidence.quote.len()));
    }
    evidence.collateral.check_size()?;
    evidence.collateral.check_in_force(now)?;
    QuoteVerifier::<AwsLc>::new_with_config(INTEL_ROOT.to_vec())
        .allow_debug(true)
        .verify_with_policy(
            &evidence.quote,
            &evidence.collateral.0,
            now.0,
            &QuotePolicy::claims_only(now.0),
        )
        .map_err(|error| IntelRefusal::Quote(format!("{error:#}")))
}

/// The lowest byte of the attributes: debug, and since TDX 1.5 profiling by the host.
fn check_domain_is_closed(domain: &TDReport10) -> Result<(), IntelRefusal> {
    match domain.td_attributes[0] {
        0 => Ok(()),
        _ => Err(IntelRefusal::Debug),
    }
}

fn check_enclave_is_closed(enclave: &EnclaveReport) -> Result<(), IntelRefusal> {
    const DEBUG: u8 = 1 << 1;
    match enclave.attributes[0] & DEBUG {
        0 => Ok(()),
        _ => Err(IntelRefusal::Debug),
    }
}

fn check_platform(
    claims: &QuoteClaims,
    policy: &PlatformPolicy,
) -> Result<PlatformVerdict, IntelRefusal> {
    let status = TcbStatus::from(claims.tcb.status);
    let advisories = claims.tcb.advisory_ids.clone();
    if status == TcbStatus::Revoked || !policy.statuses.contains(&status) {
        return Err(IntelRefusal::Status { status, advisories });
    }
    let refused = |id: &&String| {
        let mut refused = policy.refused_advisories.iter();
        refused.any(|refused| refused.eq_ignore_ascii_case(id))
    };
    if let Some(advisory) = advisories.iter().find(refused) {
        return Err(IntelRefusal::Advisory(advisory.clone()));
    }
    let (have, want) = (claims.tcb.eval_data_number, policy.minimum_evaluation);
    if have < want {
        return Err(IntelRefusal::Evaluation { have, want });
    }
    let pck = &claims.platform.pck;
    let ppid = pck.ppid.as_slice().try_into();
    let ppid = ppid.map_err(|_| IntelRefusal::Quote("the PPID has not 16 bytes".to_owned()))?;
    Ok(PlatformVerdict {
        status,
        advisories,
        evaluation: have,
        fmspc: HexBytes(pck.fmspc),
        platform_id: HexBytes(ppid),
    })
}

fn image_of(domain: &TDReport10) -> TdxImage {
    TdxImage {
        mrtd: HexBytes(domain.mr_td),
        rtmrs: [domain.rt_mr0, domain.rt_mr1, domain.rt_mr2, domain.rt_mr3].map(HexBytes),
    }
}

fn check_enclave(enclave: &EnclaveReport, policy: &SgxPolicy) -> Result<(), IntelRefusal> {
    let signer = HexBytes(enclave.mr_signer);
    let by_code = policy.enclaves.contains(&HexBytes(enclave.mr_enclave));
    let by_signer = policy.signers.iter().any(|accepted| {
        accepted.signer == signer
            && accepted.product_id == enclave.isv_prod_id
            && accepted.minimum_svn <= enclave.isv_svn
    });
    if by_code || by_signer {
        return Ok(());
    }
    Err(IntelRefusal::Enclave {
        enclave: HexBytes(enclave.mr_enclave),
        signer,
        product_id: enclave.isv_prod_id,
        svn: enclave.isv_svn,
    })
}

fn check_report_data(actual: [u8; 64], expected: &ReportData) -> Result<ReportData, IntelRefusal> {
    let actual = HexBytes(actual);
    if actual != *expected {
        return Err(IntelRefusal::ReportData(actual));
    }
    Ok(actual)
}
