//! What to fetch from Intel, or from a cache of one's own, so that a quote can be judged; and how the
//! answers become [`Collateral`]. The fetching itself is the caller's.

use dcap_qvl::QuoteCollateralV3;
use dcap_qvl::config::PckCa;
use dcap_qvl::intel::{quote_ca_with, quote_fmspc_with};
use dcap_qvl::quote::Quote;

use crate::did_x509::percent_decoded;
use crate::intel::collateral::Collateral;
use crate::intel::crypto::AwsLc;
use crate::intel::refusal::IntelRefusal;
use crate::limits::MAX_QUOTE_BYTES;

/// Intel's provisioning certification service. A cache (PCCS) has the same paths.
pub const INTEL_SERVICE: &str = "https://api.trustedservices.intel.com";

/// Where Intel's root publishes its revocation list, in DER; caches do not always have it.
pub const INTEL_ROOT_CRL: &str =
    "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der";

/// The paths below [`INTEL_SERVICE`] that answer for one platform and kind of quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedCollateral {
    /// JSON; its issuers are in the header `TCB-Info-Issuer-Chain`, in old versions
    /// `SGX-TCB-Info-Issuer-Chain`.
    pub tcb_info: String,
    /// JSON; its issuers are in the header `SGX-Enclave-Identity-Issuer-Chain`.
    pub qe_identity: String,
    /// DER; its issuers are in the header `SGX-PCK-CRL-Issuer-Chain`.
    pub pck_crl: String,
}

/// The answers. Chains are headers as they came, percent-encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollateralAnswers {
    /// Body of [`WantedCollateral::tcb_info`].
    pub tcb_info: String,
    /// Its header.
    pub tcb_info_issuer_chain: String,
    /// Body of [`WantedCollateral::qe_identity`].
    pub qe_identity: String,
    /// Its header.
    pub qe_identity_issuer_chain: String,
    /// Body of [`WantedCollateral::pck_crl`].
    pub pck_crl: Vec<u8>,
    /// Its header.
    pub pck_crl_issuer_chain: String,
    /// Body of [`INTEL_ROOT_CRL`].
    pub root_ca_crl: Vec<u8>,
}

/// What a quote needs. Nothing is verified.
pub fn wanted_collateral(quote: &[u8]) -> Result<WantedCollateral, IntelRefusal> {
    if quote.len() > MAX_QUOTE_BYTES {
        return Err(IntelRefusal::TooLong(quote.len()));
    }
    let unreadable = |error: String| IntelRefusal::Quote(error);
    let quote = Quote::parse(quote).map_err(|error| unreadable(format!("{error:#}")))?;
    let fmspc = quote_fmspc_with::<AwsLc>(&quote);
    let fmspc = fmspc.map_err(|error| unreadable(format!("{error:#}")))?;
    let authority = quote_ca_with::<AwsLc>(&quote);
    let authority = match authority.map_err(|error| unreadable(format!("{error:#}")))? {
        PckCa::Processor => "processor",
        PckCa::Platform => "platform",
    };
    let kind = match quote.report.is_sgx() {
        true => "sgx",
        false => "tdx",
    };
    let fmspc = hex::encode_upper(fmspc);
    Ok(WantedCollateral {
        tcb_info: format!("/{kind}/certification/v4/tcb?fmspc={fmspc}&update=standard"),
        qe_identity: format!("/{kind}/certification/v4/qe/identity?update=standard"),
        pck_crl: format!("/sgx/certification/v4/pckcrl?ca={authority}&encoding=der"),
    })
}

impl Collateral {
    /// Puts the answers together. Nothing is verified.
    pub fn from_answers(answers: CollateralAnswers) -> Result<Self, IntelRefusal> {
        let chain = |text: &str| {
            percent_decoded(text).ok_or(IntelRefusal::Collateral("a chain is not percent-encoded"))
        };
        let (tcb_info, tcb_info_signature) = signed(&answers.tcb_info, "tcbInfo")?;
        let (qe_identity, qe_identity_signature) = signed(&answers.qe_identity, "enclaveIdentity")?;
        Ok(Self(QuoteCollateralV3 {
            pck_crl_issuer_chain: chain(&answers.pck_crl_issuer_chain)?,
            root_ca_crl: answers.root_ca_crl,
            pck_crl: answers.pck_crl,
            tcb_info_issuer_chain: chain(&answers.tcb_info_issuer_chain)?,
            tcb_info,
            tcb_info_signature,
            qe_identity_issuer_chain: chain(&answers.qe_identity_issuer_chain)?,
            qe_identity,
            qe_identity_signature,
            pck_certificate_chain: None,
        }))
    }
}

/// `{"NAME":STATEMENT,"signature":"HEX"}`: the signature is over the statement's very bytes, so they
/// are cut out, not read and written again.
fn signed(body: &str, name: &str) -> Result<(String, Vec<u8>), IntelRefusal> {
    let parts = || {
        let body = body.trim().strip_prefix(&format!("{{\"{name}\":"))?;
        let (statement, signature) = body.rsplit_once(",\"signature\":\"")?;
        let signature = hex::decode(signature.strip_suffix("\"}")?).ok()?;
        Some((statement.to_owned(), signature))
    };
    parts().ok_or(IntelRefusal::Collateral("a statement is not Intel's form"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLES: [(&[u8], &str); 2] = [
        (
            include_bytes!("../../testdata/intel/tdx_quote"),
            include_str!("../../testdata/intel/tdx_quote_collateral.json"),
        ),
        (
            include_bytes!("../../testdata/intel/sgx_quote"),
            include_str!("../../testdata/intel/sgx_quote_collateral.json"),
        ),
    ];

    #[test]
    fn what_a_quote_needs_is_named() {
        let [tdx, sgx] = SAMPLES.map(|(quote, _)| wanted_collateral(quote).unwrap());
        assert_eq!(
            tdx.tcb_info,
            "/tdx/certification/v4/tcb?fmspc=B0C06F000000&update=standard"
        );
        assert_eq!(
            sgx.qe_identity,
            "/sgx/certification/v4/qe/identity?update=standard"
        );
        assert!(sgx.pck_crl.starts_with("/sgx/certification/v4/pckcrl?ca="));
        let other = include_bytes!("../../testdata/intel/tdx_quote_00806f050000");
        let other = wanted_collateral(other).unwrap();
        assert!(other.tcb_info.contains("fmspc=00806F050000"), "{other:?}");
        assert!(wanted_collateral(b"no quote").is_err());
        assert!(wanted_collateral(&vec![0; MAX_QUOTE_BYTES + 1]).is_err());
    }

    #[test]
    fn answers_become_the_collateral_they_were() {
        for (_, collateral) in SAMPLES {
            let collateral: Collateral = serde_json::from_str(collateral).unwrap();
            let parts = collateral.0.clone();
            let body = |name: &str, statement: &str, signature: &[u8]| {
                let signature = hex::encode(signature);
                format!("{{\"{name}\":{statement},\"signature\":\"{signature}\"}}")
            };
            let encoded = |chain: &str| chain.replace('%', "%25").replace('\n', "%0A");
            let answers = CollateralAnswers {
                tcb_info: body("tcbInfo", &parts.tcb_info, &parts.tcb_info_signature),
                tcb_info_issuer_chain: encoded(&parts.tcb_info_issuer_chain),
                qe_identity: body(
                    "enclaveIdentity",
                    &parts.qe_identity,
                    &parts.qe_identity_signature,
                ),
                qe_identity_issuer_chain: encoded(&parts.qe_identity_issuer_chain),
                pck_crl: parts.pck_crl.clone(),
                pck_crl_issuer_chain: encoded(&parts.pck_crl_issuer_chain),
                root_ca_crl: parts.root_ca_crl.clone(),
            };
            let mut expected = parts;
            expected.pck_certificate_chain = None;
            let built = Collateral::from_answers(answers.clone()).unwrap();
            assert_eq!(built, Collateral(expected));
            for bad in ["{}", "{\"tcbInfo\":{},\"signature\":\"zz\"}"] {
                let mut answers = answers.clone();
                answers.tcb_info = bad.to_owned();
                assert!(Collateral::from_answers(answers).is_err());
            }
        }
    }
}
