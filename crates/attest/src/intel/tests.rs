//! Real quotes with the collateral of their time.

use dcap_qvl::quote::Quote;

use super::*;

/// A real quote, and a day on which its collateral was in force.
fn sample(quote: &[u8], collateral: &str) -> (IntelEvidence, UnixTime) {
    let collateral: Collateral = serde_json::from_str(collateral).unwrap();
    let (from, until) = collateral.window().unwrap();
    assert!(from < until);
    let evidence = IntelEvidence {
        quote: quote.to_vec(),
        collateral,
    };
    (evidence, UnixTime(until.0 - 86_400))
}

macro_rules! sample {
    ($name:literal) => {
        sample(
            include_bytes!(concat!("../../testdata/intel/", $name)),
            include_str!(concat!("../../testdata/intel/", $name, "_collateral.json")),
        )
    };
}

fn platform(statuses: &[TcbStatus]) -> PlatformPolicy {
    PlatformPolicy {
        statuses: statuses.iter().copied().collect(),
        ..PlatformPolicy::default()
    }
}

/// A policy that accepts exactly this domain on a good platform, and its report data.
fn accepting_domain(evidence: &IntelEvidence) -> (TdxPolicy, ReportData) {
    let quote = parse(evidence);
    let domain = quote.report.as_td10().unwrap();
    let policy = TdxPolicy {
        platform: platform(&[TcbStatus::UpToDate]),
        images: [image_of(domain)].into(),
        config_ids: Some([HexBytes(domain.mr_config_id)].into()),
    };
    (policy, HexBytes(domain.report_data))
}

fn accepting_enclave(evidence: &IntelEvidence) -> (SgxPolicy, ReportData) {
    let quote = parse(evidence);
    let enclave = quote.report.as_sgx().unwrap();
    let policy = SgxPolicy {
        platform: platform(&[TcbStatus::ConfigurationAndSwHardeningNeeded]),
        enclaves: [HexBytes(enclave.mr_enclave)].into(),
        ..SgxPolicy::default()
    };
    (policy, HexBytes(enclave.report_data))
}

fn parse(evidence: &IntelEvidence) -> Quote {
    Quote::parse(&evidence.quote).unwrap()
}

#[test]
fn a_real_tdx_quote_of_version_4_is_believed() {
    let (evidence, now) = sample!("tdx_quote");
    let (policy, report_data) = accepting_domain(&evidence);
    let verdict = verify_tdx(&evidence, &policy, &report_data, now).unwrap();
    assert_eq!(verdict.platform.status, TcbStatus::UpToDate);
    assert_eq!(verdict.platform.fmspc.to_string(), "b0c06f000000");
    assert!(verdict.platform.advisories.is_empty());
}

#[test]
fn a_real_tdx_quote_of_version_5_is_believed() {
    let (evidence, now) = sample!("tdx_quote_td15ex");
    let (policy, report_data) = accepting_domain(&evidence);
    let verdict = verify_tdx(&evidence, &policy, &report_data, now).unwrap();
    assert_eq!(verdict.platform.status, TcbStatus::UpToDate);
}

#[test]
fn a_real_platform_that_is_too_old_for_intel_is_refused() {
    let (evidence, now) = sample!("tdx_quote_outdated");
    let (policy, report_data) = accepting_domain(&evidence);
    let refusal = verify_tdx(&evidence, &policy, &report_data, now).unwrap_err();
    let no_level = IntelRefusal::Quote("No matching TCB level found".to_owned());
    assert_eq!(refusal, no_level);
}

#[test]
fn the_policy_decides_about_a_real_enclave() {
    let (evidence, now) = sample!("sgx_quote");
    let (policy, report_data) = accepting_enclave(&evidence);
    let judge = |change: &dyn Fn(&mut SgxPolicy)| {
        let mut policy = policy.clone();
        change(&mut policy);
        verify_sgx(&evidence, &policy, &report_data, now)
    };
    let verdict = judge(&|_| ()).unwrap();
    assert_eq!(
        verdict.platform.advisories,
        ["INTEL-SA-00289", "INTEL-SA-00615"]
    );

    let status = TcbStatus::ConfigurationAndSwHardeningNeeded;
    let advisories = verdict.platform.advisories.clone();
    assert_eq!(
        judge(&|policy| policy.platform = platform(&[TcbStatus::UpToDate])),
        Err(IntelRefusal::Status { status, advisories })
    );
    let advisory = |policy: &mut SgxPolicy| {
        let refused = &mut policy.platform.refused_advisories;
        refused.insert("intel-sa-00615".to_owned());
    };
    assert_eq!(
        judge(&advisory),
        Err(IntelRefusal::Advisory("INTEL-SA-00615".to_owned()))
    );
    let (have, want) = (verdict.platform.evaluation, verdict.platform.evaluation + 1);
    assert_eq!(
        judge(&|policy| policy.platform.minimum_evaluation = want),
        Err(IntelRefusal::Evaluation { have, want })
    );
}

#[test]
fn an_enclave_is_accepted_by_its_signer_product_and_version() {
    let (evidence, now) = sample!("sgx_quote");
    let (mut policy, report_data) = accepting_enclave(&evidence);
    let verdict = verify_sgx(&evidence, &policy, &report_data, now).unwrap();
    policy.enclaves.clear();
    let signer = SgxSigner {
        signer: verdict.signer,
        product_id: verdict.product_id,
        minimum_svn: verdict.svn,
    };
    let mut judge = |signer: SgxSigner| {
        policy.signers = [signer].into();
        verify_sgx(&evidence, &policy, &report_data, now)
    };
    assert_eq!(judge(signer), Ok(verdict.clone()));
    let refusal = Err(IntelRefusal::Enclave {
        enclave: verdict.enclave,
        signer: verdict.signer,
        product_id: verdict.product_id,
        svn: verdict.svn,
    });
    let newer = SgxSigner {
        minimum_svn: verdict.svn + 1,
        ..signer
    };
    let product = SgxSigner {
        product_id: verdict.product_id + 1,
        ..signer
    };
    let stranger = SgxSigner {
        signer: HexBytes([7; 32]),
        ..signer
    };
    for other in [newer, product, stranger] {
        assert_eq!(judge(other), refusal);
    }
}

#[test]
fn collateral_is_in_force_within_its_dates_only() {
    let (evidence, now) = sample!("tdx_quote");
    let (policy, report_data) = accepting_domain(&evidence);
    let (from, until) = evidence.collateral.window().unwrap();
    let at = |now| verify_tdx(&evidence, &policy, &report_data, UnixTime(now));
    assert!(at(from.0).is_ok() && at(now.0).is_ok() && at(until.0 - 1).is_ok());
    let now = UnixTime(until.0 + 1);
    assert_eq!(
        at(now.0),
        Err(IntelRefusal::CollateralExpired { until, now })
    );
    let now = UnixTime(from.0 - 1);
    assert_eq!(
        at(now.0),
        Err(IntelRefusal::CollateralNotYetValid { from, now })
    );
}

#[test]
fn only_listed_domains_are_accepted() {
    let (evidence, now) = sample!("tdx_quote");
    let (policy, report_data) = accepting_domain(&evidence);
    let image = *policy.images.first().unwrap();
    for register in 0..4 {
        let mut other = image;
        other.rtmrs[register].0[0] ^= 1;
        let policy = TdxPolicy {
            images: [other].into(),
            ..policy.clone()
        };
        assert_eq!(
            verify_tdx(&evidence, &policy, &report_data, now),
            Err(IntelRefusal::Image(Box::new(image)))
        );
    }
    let other_settings = TdxPolicy {
        config_ids: Some([].into()),
        ..policy.clone()
    };
    let refusal = verify_tdx(&evidence, &other_settings, &report_data, now).unwrap_err();
    assert!(matches!(refusal, IntelRefusal::ConfigId(_)), "{refusal}");
    assert_eq!(
        verify_tdx(&evidence, &policy, &HexBytes([1; 64]), now),
        Err(IntelRefusal::ReportData(report_data))
    );
    assert!(verify_tdx(&evidence, &TdxPolicy::default(), &report_data, now).is_err());
}

#[test]
fn the_kinds_are_not_mixed_up() {
    let (domain, then) = sample!("tdx_quote");
    let (enclave, now) = sample!("sgx_quote");
    let (tdx, report_data) = accepting_domain(&domain);
    assert_eq!(
        verify_tdx(&enclave, &tdx, &report_data, now),
        Err(IntelRefusal::OtherKind("trust domain"))
    );
    let (sgx, report_data) = accepting_enclave(&enclave);
    assert_eq!(
        verify_sgx(&domain, &sgx, &report_data, then),
        Err(IntelRefusal::OtherKind("enclave"))
    );
    let mixed = IntelEvidence {
        quote: domain.quote,
        collateral: enclave.collateral,
    };
    let refusal = verify_tdx(&mixed, &tdx, &report_data, now).unwrap_err();
    assert!(matches!(refusal, IntelRefusal::Quote(_)), "{refusal}");
}

#[test]
fn flipped_bits_of_real_quotes_are_noticed() {
    let (honest, now) = sample!("tdx_quote");
    let (policy, report_data) = accepting_domain(&honest);
    // Header and body; signature and key; the quoting enclave's report and its signature. The
    // framing between them means nothing.
    let meaning = (0..632).chain(636..764).chain(770..770 + 384 + 64);
    for byte in meaning.step_by(5) {
        let mut evidence = honest.clone();
        evidence.quote[byte] ^= 1 << (byte % 8);
        let verdict = verify_tdx(&evidence, &policy, &report_data, now);
        assert!(verdict.is_err(), "byte {byte}");
    }
}

#[test]
fn debug_is_refused_by_name() {
    let (evidence, _) = sample!("tdx_quote");
    let mut domain = *parse(&evidence).report.as_td10().unwrap();
    assert_eq!(check_domain_is_closed(&domain), Ok(()));
    for bit in [0, 4, 5, 6] {
        domain.td_attributes[0] = 1 << bit;
        assert_eq!(check_domain_is_closed(&domain), Err(IntelRefusal::Debug));
    }
    let (evidence, _) = sample!("sgx_quote");
    let mut enclave = *parse(&evidence).report.as_sgx().unwrap();
    assert_eq!(check_enclave_is_closed(&enclave), Ok(()));
    enclave.attributes[0] |= 2;
    assert_eq!(check_enclave_is_closed(&enclave), Err(IntelRefusal::Debug));
}

#[test]
fn a_revoked_platform_is_refused_even_if_listed() {
    let (evidence, now) = sample!("tdx_quote");
    let mut claims = follow_chain(&evidence, now).unwrap();
    claims.tcb.status = dcap_qvl::TcbStatus::Revoked;
    let refusal = check_platform(&claims, &platform(&[TcbStatus::Revoked])).unwrap_err();
    assert!(matches!(refusal, IntelRefusal::Status { .. }), "{refusal}");
}

#[test]
fn too_much_is_refused_before_it_is_read() {
    let (mut evidence, now) = sample!("sgx_quote");
    let (policy, report_data) = accepting_enclave(&evidence);
    evidence.quote.resize(MAX_QUOTE_BYTES + 1, 0);
    assert_eq!(
        verify_sgx(&evidence, &policy, &report_data, now),
        Err(IntelRefusal::TooLong(MAX_QUOTE_BYTES + 1))
    );
}

/// Real quotes whose own collateral was not kept.
const BARE: [(&[u8], &str); 3] = [
    (
        include_bytes!("../../testdata/intel/tdx_quote_from_tappd"),
        "B0C06F000000",
    ),
    (
        include_bytes!("../../testdata/intel/tdx_quote_bare"),
        "B0C06F000000",
    ),
    (
        include_bytes!("../../testdata/intel/tdx_quote_00806f050000"),
        "00806F050000",
    ),
];

#[test]
fn real_quotes_of_other_platforms_are_refused_for_their_own_reason() {
    let (sample, now) = sample!("tdx_quote");
    for (quote, fmspc) in BARE {
        let wanted = wanted_collateral(quote).unwrap();
        assert!(wanted.tcb_info.contains(fmspc), "{wanted:?}");
        let evidence = IntelEvidence {
            quote: quote.to_vec(),
            collateral: sample.collateral.clone(),
        };
        let (policy, report_data) = accepting_domain(&evidence);
        let refusal = verify_tdx(&evidence, &policy, &report_data, now).unwrap_err();
        // The collateral is for the model of the first two, whose firmware is too old for it.
        let reason = match fmspc {
            "B0C06F000000" => "No matching TCB level found",
            _ => "Fmspc mismatch",
        };
        assert_eq!(refusal, IntelRefusal::Quote(reason.to_owned()), "{fmspc}");
    }
}

#[test]
fn flipped_bits_of_real_enclave_quotes_are_noticed() {
    let (honest, now) = sample!("sgx_quote");
    let (policy, report_data) = accepting_enclave(&honest);
    // Header and body; signature and key; the quoting enclave's report and its signature.
    let meaning = (0..432).chain(436..436 + 128 + 384 + 64);
    for byte in meaning.step_by(5) {
        let mut evidence = honest.clone();
        evidence.quote[byte] ^= 1 << (byte % 8);
        let verdict = verify_sgx(&evidence, &policy, &report_data, now);
        assert!(verdict.is_err(), "byte {byte}");
    }
}
