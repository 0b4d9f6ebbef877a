//! Real reports first, then forged chips for what no published report shows.

use super::forge::{ARK, ASK, Chip, NOW, STRANGER, authority, crl, roots};
use super::*;

/// Within the validity of the real chips' certificates.
const TODAY: UnixTime = UnixTime(1_795_000_000);

fn milan() -> SnpEvidence {
    let hex = include_str!("../../testdata/snp/report_milan.hex");
    let vcek = include_bytes!("../../testdata/snp/vcek_milan.der");
    SnpEvidence {
        report: hex::decode(hex.trim()).unwrap(),
        endorsements: Endorsements::of_vcek(vcek.as_slice()),
        uvm_endorsements: None,
    }
}

/// A policy that accepts exactly this report, and its report data.
fn accepting(report: &[u8]) -> (SnpPolicy, ReportData) {
    let report = Report::parse(report).unwrap();
    let anything = |product| {
        let oldest = Tcb::from_bytes(product, [0; 8]);
        (product, oldest)
    };
    let policy = SnpPolicy {
        measurements: [report.measurement].into(),
        host_data: [report.host_data].into(),
        minimum_tcb: [Product::Milan, Product::Genoa, Product::Turin]
            .map(anything)
            .into(),
        accept_version_2: true,
        ..SnpPolicy::default()
    };
    (policy, report.report_data)
}

fn judge(evidence: &SnpEvidence) -> Result<SnpVerdict, SnpRefusal> {
    let (policy, report_data) = accepting(&evidence.report);
    verify(evidence, &policy, &report_data, TODAY)
}

/// Judges a forged chip's evidence under the forged roots, after a change of the policy.
fn judge_forged(
    evidence: &SnpEvidence,
    change: impl FnOnce(&mut SnpPolicy),
) -> Result<SnpVerdict, SnpRefusal> {
    let (mut policy, report_data) = accepting(&evidence.report);
    change(&mut policy);
    verify_under(&roots(), evidence, &policy, &report_data, UnixTime(NOW))
}

fn refusal_of(chip: &Chip) -> SnpRefusal {
    judge_forged(&chip.evidence(), |_| ()).unwrap_err()
}

#[test]
fn a_real_milan_report_is_believed() {
    let verdict = judge(&milan()).unwrap();
    assert_eq!(verdict.product, Product::Milan);
    let tcb = Tcb {
        fmc: None,
        bootloader: 3,
        tee: 0,
        snp: 8,
        microcode: 115,
    };
    assert_eq!(verdict.tcb, tcb);
    let chip = verdict.chip_id.unwrap().to_string();
    assert!(chip.starts_with("d49554ec717f4e5b"), "{chip}");
}

#[test]
fn version_2_is_believed_only_where_the_policy_says_so() {
    let evidence = milan();
    let (mut policy, report_data) = accepting(&evidence.report);
    policy.accept_version_2 = false;
    let refusal = verify(&evidence, &policy, &report_data, TODAY).unwrap_err();
    assert_eq!(refusal, SnpRefusal::VersionTwo);
}

#[test]
fn the_default_policy_accepts_nothing() {
    let evidence = milan();
    let (_, report_data) = accepting(&evidence.report);
    assert!(verify(&evidence, &SnpPolicy::default(), &report_data, TODAY).is_err());
}

#[test]
fn the_certificate_of_another_chip_is_refused() {
    let hcl = include_bytes!("../../testdata/azure/hcl-report-snp.bin");
    let chain = include_bytes!("../../testdata/azure/certs.pem");
    let evidence = SnpEvidence {
        report: hcl[32..32 + REPORT_BYTES].to_vec(),
        endorsements: Endorsements::from_pem(chain).unwrap(),
        uvm_endorsements: None,
    };
    let refusal = judge(&evidence).unwrap_err();
    assert_eq!(refusal, SnpRefusal::Signature(Which::Vek));
}

#[test]
fn every_flipped_bit_of_a_real_report_is_noticed() {
    let honest = milan();
    let (policy, report_data) = accepting(&honest.report);
    // 2,003 is prime to the number of bits, so these are as many different ones.
    for step in 0..2000 {
        let bit = step * 2003 % (8 * REPORT_BYTES);
        let mut evidence = honest.clone();
        evidence.report[bit / 8] ^= 1 << (bit % 8);
        let verdict = verify(&evidence, &policy, &report_data, TODAY);
        assert!(verdict.is_err(), "bit {bit}");
    }
}

#[test]
fn a_flipped_bit_of_a_real_certificate_is_noticed() {
    let honest = milan();
    let vcek = &honest.endorsements.vek;
    // What AMD signed, and the 512 bytes of its signature; the framing around them means nothing.
    let signed_end = 8 + usize::from(u16::from_be_bytes([vcek[6], vcek[7]]));
    for byte in (4..signed_end).chain(vcek.len() - 512..vcek.len()) {
        let mut evidence = honest.clone();
        evidence.endorsements.vek[byte] ^= 1 << (byte % 8);
        assert!(judge(&evidence).is_err(), "byte {byte}");
    }
}

#[test]
fn a_report_of_another_length_or_version_is_refused() {
    let mut evidence = milan();
    evidence.report.pop();
    let (policy, report_data) = accepting(&milan().report);
    let refusal = verify(&evidence, &policy, &report_data, TODAY).unwrap_err();
    assert_eq!(refusal, SnpRefusal::Length(1183));
    for version in [0, 1, 6] {
        let mut chip = Chip::new(Product::Milan);
        chip.report[0] = version;
        let refusal = Report::parse(&chip.report).unwrap_err();
        assert_eq!(refusal, SnpRefusal::UnknownVersion(u32::from(version)));
    }
}

#[test]
fn real_certificates_are_refused_before_and_after_their_time() {
    let evidence = milan();
    let (policy, report_data) = accepting(&evidence.report);
    let at = |now| verify(&evidence, &policy, &report_data, UnixTime(now));
    let early = at(1_600_000_000).unwrap_err();
    assert!(matches!(early, SnpRefusal::NotYetValid { .. }), "{early}");
    let late = at(1_950_000_000).unwrap_err();
    let vek = matches!(
        late,
        SnpRefusal::Expired {
            which: Which::Vek,
            ..
        }
    );
    assert!(vek, "{late}");
}

#[test]
fn a_real_turin_certificate_leads_to_amds_root() {
    let vcek = include_bytes!("../../testdata/snp/vcek_turin.der");
    let endorsements = Endorsements::of_vcek(vcek.as_slice());
    assert_eq!(
        endorsements::claimed_product(&endorsements.vek).unwrap(),
        Product::Turin
    );
    let amd = Roots::amd();
    let vek = endorsements::verify(&endorsements, &amd.turin, Product::Turin, TODAY).unwrap();
    assert_eq!(vek.chip_id.unwrap().len(), 8);
    assert!(vek.tcb.fmc.is_some());

    let refusal = endorsements::verify(&endorsements, &amd.genoa, Product::Turin, TODAY);
    let (which, issuer) = (Which::Vek, Which::Ask);
    assert_eq!(
        refusal.unwrap_err(),
        SnpRefusal::NotIssued { which, issuer }
    );
}

#[test]
fn amds_built_in_roots_sign_themselves_and_their_issuers() {
    let amd = Roots::amd();
    for root in [&amd.milan, &amd.genoa, &amd.turin] {
        // The issuer takes the chip's place: the chain is good, and its end is no chip.
        let endorsements = Endorsements::of_vcek(root.ask.clone());
        let refusal = endorsements::verify(&endorsements, root, Product::Milan, TODAY);
        let (which, issuer) = (Which::Vek, Which::Ask);
        assert_eq!(
            refusal.unwrap_err(),
            SnpRefusal::NotIssued { which, issuer }
        );
    }
}

#[test]
fn a_good_chip_of_every_product_is_believed() {
    for product in [Product::Milan, Product::Genoa, Product::Turin] {
        for version in [3, 4, 5] {
            let mut chip = Chip::new(product);
            chip.report[0] = version;
            let verdict = judge_forged(&chip.evidence(), |_| ()).unwrap();
            assert_eq!(verdict.product, product);
        }
    }
}

#[test]
fn an_unknown_processor_is_refused() {
    let mut chip = Chip::new(Product::Milan);
    chip.report[0x189] = 0x50;
    let cpuid = Cpuid {
        family: 0x19,
        model: 0x50,
        stepping: 0,
    };
    assert_eq!(refusal_of(&chip), SnpRefusal::UnknownProcessor(cpuid));
}

#[test]
fn a_root_with_another_key_is_refused() {
    let chip = Chip::new(Product::Genoa);
    let mut endorsements = Endorsements::of_vcek(chip.vcek());
    endorsements.ark = Some(authority("ARK", &STRANGER, "ARK", &STRANGER));
    endorsements.ask = Some(authority("ASK", &ASK, "ARK", &STRANGER));
    let refusal = judge_forged(&chip.evidence_with(endorsements), |_| ()).unwrap_err();
    assert_eq!(refusal, SnpRefusal::RootKey(Product::Genoa));
    // And forged chips are none of AMD's.
    assert_eq!(
        judge(&Chip::new(Product::Turin).evidence()).unwrap_err(),
        SnpRefusal::NotIssued {
            which: Which::Vek,
            issuer: Which::Ask
        }
    );
}

#[test]
fn each_broken_link_of_the_chain_is_named() {
    let chip = Chip::new(Product::Turin);
    let judge = |change: &dyn Fn(&mut Endorsements)| {
        let mut endorsements = Endorsements::of_vcek(chip.vcek());
        change(&mut endorsements);
        judge_forged(&chip.evidence_with(endorsements), |_| ())
    };
    let not_issued = |which, issuer| Err(SnpRefusal::NotIssued { which, issuer });
    assert!(judge(&|_| ()).is_ok());
    assert_eq!(
        judge(&|e| e.ark = Some(authority("ARK", &ARK, "ARK", &STRANGER))),
        not_issued(Which::Ark, Which::Ark)
    );
    assert_eq!(
        judge(&|e| e.ask = Some(authority("ASK", &ASK, "ARK", &STRANGER))),
        not_issued(Which::Ask, Which::Ark)
    );
    assert_eq!(
        judge(&|e| e.vek = chip.certified("ASK", &STRANGER)),
        not_issued(Which::Vek, Which::Ask)
    );
    assert_eq!(
        judge(&|e| e.vek = chip.certified("somebody", &ASK)),
        not_issued(Which::Vek, Which::Ask)
    );
    assert_eq!(
        judge(&|e| e.vek.truncate(100)),
        Err(SnpRefusal::Unreadable {
            which: Which::Vek,
            reason: "it is not one X.509 certificate in DER"
        })
    );
}

#[test]
fn a_chip_is_refused_outside_its_certificates_dates() {
    let mut chip = Chip::new(Product::Milan);
    chip.dates = ["250101000000Z", "260101000000Z"];
    let refusal = refusal_of(&chip);
    assert!(matches!(refusal, SnpRefusal::Expired { .. }), "{refusal}");
    chip.dates = ["300101000000Z", "310101000000Z"];
    let refusal = refusal_of(&chip);
    assert!(
        matches!(refusal, SnpRefusal::NotYetValid { .. }),
        "{refusal}"
    );
}

#[test]
fn a_revoked_issuer_is_refused_and_a_missing_list_where_it_is_demanded() {
    let chip = Chip::new(Product::Milan);
    let judge = |crl: Option<Vec<u8>>| {
        let mut endorsements = Endorsements::of_vcek(chip.vcek());
        endorsements.crl = crl;
        judge_forged(&chip.evidence_with(endorsements), |policy| {
            policy.require_crl = true;
        })
    };
    assert!(judge(Some(crl(&[], &ARK))).is_ok());
    assert!(judge(Some(crl(&[7], &ARK))).is_ok());
    assert_eq!(judge(None), Err(SnpRefusal::CrlMissing));
    assert_eq!(judge(Some(crl(&[7, 0], &ARK))), Err(SnpRefusal::Revoked));
    assert_eq!(
        judge(Some(crl(&[], &STRANGER))),
        Err(SnpRefusal::NotIssued {
            which: Which::Crl,
            issuer: Which::Ark
        })
    );
    assert_eq!(
        judge(Some(vec![1, 2, 3])),
        Err(SnpRefusal::Unreadable {
            which: Which::Crl,
            reason: "it is not a revocation list in DER"
        })
    );
}

#[test]
fn another_signature_algorithm_key_or_field_is_refused() {
    let mut chip = Chip::new(Product::Genoa);
    chip.report[0x34] = 2;
    assert_eq!(refusal_of(&chip), SnpRefusal::SignatureAlgorithm(2));

    let chip = Chip::new(Product::Genoa);
    let mut evidence = chip.evidence();
    evidence.report[0x2a0 + 48] = 1;
    let refusal = judge_forged(&evidence, |_| ()).unwrap_err();
    assert_eq!(refusal, SnpRefusal::SignatureField);

    let twin = Chip::new(Product::Genoa);
    let evidence = chip.evidence_with(Endorsements::of_vcek(twin.vcek()));
    let refusal = judge_forged(&evidence, |_| ()).unwrap_err();
    assert_eq!(refusal, SnpRefusal::Signature(Which::Vek));
}

#[test]
fn the_kind_of_signing_key_is_checked() {
    let mut chip = Chip::new(Product::Milan);
    chip.report[0x48] = 0b10;
    assert_eq!(refusal_of(&chip), SnpRefusal::ChipKeyMasked);
    chip.report[0x48] = 7 << 2;
    assert_eq!(refusal_of(&chip), SnpRefusal::SigningKey(7));
    chip.report[0x48] = 1 << 2;
    assert_eq!(refusal_of(&chip), SnpRefusal::Vlek);
}

#[test]
fn a_providers_key_is_believed_only_where_the_policy_says_so() {
    let mut provider = Chip::new(Product::Milan);
    provider.report[0x48] = 1 << 2;
    provider.hwid = None;
    let accept = |policy: &mut SnpPolicy| policy.accept_vlek = true;
    let mut endorsements = Endorsements::of_vcek(provider.vcek());
    let evidence = provider.evidence_with(endorsements.clone());
    assert_eq!(
        judge_forged(&evidence, accept),
        Err(SnpRefusal::VlekIssuerMissing)
    );
    endorsements.ask = Some(authority("ASK", &ASK, "ARK", &ARK));
    let evidence = provider.evidence_with(endorsements.clone());
    assert_eq!(judge_forged(&evidence, accept).unwrap().chip_id, None);
    assert_eq!(judge_forged(&evidence, |_| ()), Err(SnpRefusal::Vlek));

    // It cannot pass for a chip's own.
    provider.report[0x48] = 0;
    let evidence = provider.evidence_with(endorsements);
    assert_eq!(
        judge_forged(&evidence, accept),
        Err(SnpRefusal::ChipDiffers)
    );
}

#[test]
fn a_guest_that_others_can_look_into_is_refused() {
    let mut chip = Chip::new(Product::Turin);
    chip.report[0x30] = 2;
    assert_eq!(refusal_of(&chip), SnpRefusal::Vmpl { vmpl: 2, max: 0 });
    assert!(judge_forged(&chip.evidence(), |policy| policy.max_vmpl = 2).is_ok());
    chip.report[0x30] = 4;
    assert_eq!(
        judge_forged(&chip.evidence(), |policy| policy.max_vmpl = 9),
        Err(SnpRefusal::Vmpl { vmpl: 4, max: 3 })
    );

    let guest = |bits: u8| {
        let mut chip = Chip::new(Product::Turin);
        chip.report[0x0a] = bits;
        chip
    };
    assert_eq!(refusal_of(&guest(0b1010)), SnpRefusal::Debug);
    assert_eq!(refusal_of(&guest(0b0110)), SnpRefusal::MigrationAgent);
    let smt = guest(0b0011).evidence();
    assert_eq!(
        judge_forged(&smt, |policy| policy.forbid_smt = true),
        Err(SnpRefusal::Smt)
    );
    assert_eq!(
        judge_forged(&smt, |policy| policy.require_single_socket = true),
        Err(SnpRefusal::Sockets)
    );
    let alone = guest(0b1_0010).evidence();
    let strict = |policy: &mut SnpPolicy| {
        policy.forbid_smt = true;
        policy.require_single_socket = true;
    };
    assert!(judge_forged(&alone, strict).is_ok());
}

#[test]
fn the_certificate_is_for_the_reported_firmware() {
    for product in [Product::Milan, Product::Genoa, Product::Turin] {
        for part in 0..Chip::new(product).svns.len() {
            let mut chip = Chip::new(product);
            chip.svns[part].1 += 1;
            let refusal = refusal_of(&chip);
            assert!(
                matches!(refusal, SnpRefusal::TcbDiffers { .. }),
                "{refusal}"
            );
            chip.svns.remove(part);
            assert_eq!(
                refusal_of(&chip),
                SnpRefusal::Unreadable {
                    which: Which::Vek,
                    reason: "it lacks a firmware version"
                }
            );
        }
    }
}

#[test]
fn the_certificate_is_for_the_reported_chip() {
    for product in [Product::Milan, Product::Turin] {
        let mut chip = Chip::new(product);
        chip.report[0x1a0] ^= 1;
        assert_eq!(refusal_of(&chip), SnpRefusal::ChipDiffers);
        chip.report[0x1a0..0x1e0].fill(0);
        assert_eq!(refusal_of(&chip), SnpRefusal::ChipIdHidden);
    }
    // A Turin chip uses eight bytes, and no more.
    let mut chip = Chip::new(Product::Turin);
    chip.report[0x1df] = 1;
    assert_eq!(refusal_of(&chip), SnpRefusal::ChipDiffers);
    let mut chip = Chip::new(Product::Turin);
    chip.hwid = None;
    assert_eq!(refusal_of(&chip), SnpRefusal::ChipDiffers);
}

#[test]
fn old_firmware_and_unnamed_products_are_refused() {
    let evidence = Chip::new(Product::Turin).evidence();
    let demand = |policy: &mut SnpPolicy| {
        let tcb = Tcb::from_bytes(Product::Turin, [1, 2, 3, 5, 0, 0, 0, 80]);
        policy.minimum_tcb.insert(Product::Turin, tcb);
    };
    let (part, have, want) = ("snp", 4, 5);
    assert_eq!(
        judge_forged(&evidence, demand),
        Err(SnpRefusal::TcbTooOld { part, have, want })
    );
    let product = Product::Turin;
    let cpuid = Report::parse(&evidence.report).unwrap().cpuid.unwrap();
    let only_milan = |policy: &mut SnpPolicy| {
        policy.minimum_tcb.remove(&Product::Turin);
    };
    assert_eq!(
        judge_forged(&evidence, only_milan),
        Err(SnpRefusal::CpuidNotAccepted { product, cpuid })
    );
}

#[test]
fn only_listed_content_is_accepted() {
    let evidence = Chip::new(Product::Genoa).evidence();
    assert_eq!(
        judge_forged(&evidence, |policy| policy.measurements.clear()),
        Err(SnpRefusal::Measurement(HexBytes([0xaa; 48])))
    );
    assert_eq!(
        judge_forged(&evidence, |policy| policy.host_data.clear()),
        Err(SnpRefusal::HostData(HexBytes([0xbb; 32])))
    );
    let nobody = || Some([].into());
    assert_eq!(
        judge_forged(&evidence, |policy| policy.id_key_digests = nobody()),
        Err(SnpRefusal::IdKey(HexBytes::ZERO))
    );
    assert_eq!(
        judge_forged(&evidence, |policy| policy.author_key_digests = nobody()),
        Err(SnpRefusal::AuthorKey(HexBytes::ZERO))
    );
    let (policy, actual) = accepting(&evidence.report);
    let expected = HexBytes([0xde; 64]);
    assert_eq!(
        verify_under(&roots(), &evidence, &policy, &expected, UnixTime(NOW)),
        Err(SnpRefusal::ReportData(actual))
    );
}

#[test]
fn a_policy_is_written_in_json() {
    let text = r#"{
        "measurements": [],
        "minimum_tcb": {"turin": {"fmc": 1, "bootloader": 2, "tee": 0, "snp": 3, "microcode": 70}},
        "max_vmpl": 1
    }"#;
    let policy: SnpPolicy = serde_json::from_str(text).unwrap();
    assert_eq!(policy.minimum_tcb[&Product::Turin].snp, 3);
    assert!(!policy.accept_version_2);
    assert!(serde_json::from_str::<SnpPolicy>(r#"{"measurement": []}"#).is_err());
}

#[test]
fn amds_chains_in_pem_are_read_and_believed() {
    let turin = include_bytes!("../../testdata/snp/cert_chain_turin");
    let milan = include_bytes!("../../testdata/snp/cert_chain_milan");
    let amd = Roots::amd();
    for (chain, root) in [(&turin[..], &amd.turin), (&milan[..], &amd.milan)] {
        // AMD hands out the two certificates above a chip's, the lower one first.
        let above = Endorsements::from_pem(chain).unwrap();
        assert_eq!(above.vek, root.ask);
        assert_eq!(above.ask.as_ref(), Some(&root.ark));
    }
    let vcek = milan_vcek_in_pem();
    let endorsements = Endorsements::from_pem(&[&vcek[..], milan].concat()).unwrap();
    let mut evidence = self::milan();
    evidence.endorsements = endorsements;
    assert!(judge(&evidence).is_ok());
    // Another product's chain above the same chip.
    evidence.endorsements = Endorsements::from_pem(&[&vcek[..], turin].concat()).unwrap();
    assert_eq!(judge(&evidence), Err(SnpRefusal::RootKey(Product::Milan)));
}

fn milan_vcek_in_pem() -> Vec<u8> {
    use base64::Engine;
    let body = base64::engine::general_purpose::STANDARD.encode(milan().endorsements.vek);
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n").into_bytes()
}

#[test]
fn a_real_report_of_version_3_is_refused_for_each_thing_that_is_not_accepted() {
    let evidence = SnpEvidence {
        report: include_bytes!("../../testdata/snp/caci_report.bin").to_vec(),
        endorsements: Endorsements::of_vcek(include_bytes!("../../testdata/snp/caci_vcek.der")),
        uvm_endorsements: None,
    };
    let (policy, report_data) = accepting(&evidence.report);
    let judge = |change: &dyn Fn(&mut SnpPolicy)| {
        let mut policy = policy.clone();
        policy.accept_version_2 = false;
        change(&mut policy);
        verify(&evidence, &policy, &report_data, TODAY)
    };
    let verdict = judge(&|_| ()).unwrap();
    assert_eq!(
        verdict.tcb.to_bytes(Product::Milan),
        [4, 0, 0, 0, 0, 0, 24, 219]
    );
    assert_eq!(
        judge(&|policy| policy.host_data.clear()),
        Err(SnpRefusal::HostData(verdict.host_data))
    );
    assert_eq!(
        judge(&|policy| policy.measurements.clear()),
        Err(SnpRefusal::Measurement(verdict.measurement))
    );
    assert_eq!(
        judge(&|policy| policy.forbid_smt = true),
        Err(SnpRefusal::Smt)
    );
    assert_eq!(
        judge(&|policy| policy.require_crl = true),
        Err(SnpRefusal::CrlMissing)
    );
    // Right chain, another chip.
    let mut other = evidence.clone();
    other.endorsements = milan().endorsements;
    assert_eq!(
        verify(&other, &policy, &report_data, TODAY),
        Err(SnpRefusal::Signature(Which::Vek))
    );
}
