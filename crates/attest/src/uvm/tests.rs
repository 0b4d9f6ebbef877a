//! Microsoft's own endorsement of a real guest first, then an endorser that we make up.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use minicbor::Encoder;
use minicbor::data::Tag;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P384_SHA384,
};

use super::*;
use crate::HexBytes;
use crate::snp::{self, Endorsements, Product, Report, SnpEvidence, SnpPolicy, SnpRefusal, Tcb};

const REAL: &[u8] = include_bytes!("../../testdata/snp/caci_uvm.cose");
const REPORT: &[u8] = include_bytes!("../../testdata/snp/caci_report.bin");
const VCEK: &[u8] = include_bytes!("../../testdata/snp/caci_vcek.der");
const MICROSOFT: &str =
    "did:x509:0:sha256:I__iuL25oXEVFdTP_aBLx_eT1RPHbCQ_ECBQfYZpt9s::eku:1.3.6.1.4.1.311.76.59.1.2";
const FEED: &str = "ContainerPlat-AMD-UVM";
/// Long after the endorser's certificate ran out, within the chip's.
const TODAY: UnixTime = UnixTime(1_795_000_000);

fn accepting(issuer: &str, feed: &str, svn: u64) -> UvmPolicy {
    let feeds = BTreeMap::from([(feed.to_owned(), UvmFeed { svn })]);
    UvmPolicy(BTreeMap::from([(issuer.to_owned(), feeds)]))
}

#[test]
fn microsofts_endorsement_is_believed_after_its_certificate_ran_out() {
    let endorsement = verify(REAL, TODAY).unwrap();
    let measurement = Report::parse(REPORT).unwrap().measurement;
    let expected = UvmEndorsement {
        issuer: MICROSOFT.to_owned(),
        feed: FEED.to_owned(),
        svn: 101,
        measurement,
        signed_at: Some(UnixTime(1_731_561_659)),
    };
    assert_eq!(endorsement, expected);
    assert_eq!(accepting(MICROSOFT, FEED, 101).accept(&endorsement), Ok(()));
    let too_old = UvmRefusal::TooOld {
        feed: FEED.to_owned(),
        have: 101,
        want: 102,
    };
    let newer = accepting(MICROSOFT, FEED, 102);
    assert_eq!(newer.accept(&endorsement), Err(too_old));
    let not_accepted = Err(UvmRefusal::NotAccepted {
        issuer: MICROSOFT.to_owned(),
        feed: FEED.to_owned(),
    });
    for other in [
        accepting(MICROSOFT, "ConfAKS-AMD-UVM", 0),
        accepting("did:x509:0:sha256:somebody::eku:1.2", FEED, 0),
        UvmPolicy::default(),
    ] {
        assert_eq!(other.accept(&endorsement), not_accepted);
    }
}

#[test]
fn every_flipped_byte_of_it_is_noticed() {
    // The unprotected headers are one byte here; they mean nothing.
    let unprotected = 5 + 5070;
    assert_eq!(REAL[unprotected], 0xa0);
    for byte in (0..REAL.len())
        .filter(|&byte| byte != unprotected)
        .step_by(3)
    {
        let mut altered = REAL.to_vec();
        altered[byte] ^= 1;
        assert!(verify(&altered, TODAY).is_err(), "byte {byte}");
    }
    assert!(verify(&REAL[..REAL.len() - 1], TODAY).is_err());
    assert!(verify(&vec![0; MAX_UVM_ENDORSEMENT_BYTES + 1], TODAY).is_err());
}

#[test]
fn it_is_not_believed_before_it_was_signed() {
    let signed_at = UnixTime(1_731_561_659);
    let now = UnixTime(signed_at.0 - 1);
    assert!(verify(REAL, signed_at).is_ok());
    assert_eq!(
        verify(REAL, now),
        Err(UvmRefusal::NotYetSigned { signed_at, now })
    );
}

fn container() -> (SnpEvidence, SnpPolicy, crate::ReportData) {
    let report = Report::parse(REPORT).unwrap();
    let cpuid = report.cpuid.unwrap();
    assert_eq!(cpuid.to_string(), "00a00f11");
    let policy = SnpPolicy {
        uvm_endorsements: accepting(MICROSOFT, FEED, 100),
        host_data: [report.host_data].into(),
        minimum_tcb_by_cpuid: [(
            cpuid,
            Tcb::from_bytes(Product::Milan, 0xdb18_0000_0000_0004_u64.to_le_bytes()),
        )]
        .into(),
        ..SnpPolicy::default()
    };
    let evidence = SnpEvidence {
        report: REPORT.to_vec(),
        endorsements: Endorsements::of_vcek(VCEK),
        uvm_endorsements: Some(REAL.to_vec()),
    };
    (evidence, policy, report.report_data)
}

#[test]
fn a_real_container_group_is_admitted_by_its_endorsement() {
    let (evidence, policy, report_data) = container();
    let verdict = snp::verify(&evidence, &policy, &report_data, TODAY).unwrap();
    assert_eq!(verdict.uvm.unwrap().svn, 101);

    // Without it, the list decides; with it, the list does not help.
    let listed = SnpPolicy {
        measurements: [verdict.measurement].into(),
        uvm_endorsements: UvmPolicy::default(),
        ..policy.clone()
    };
    let alone = SnpEvidence {
        uvm_endorsements: None,
        ..evidence.clone()
    };
    let judge = |evidence, policy| snp::verify(evidence, policy, &report_data, TODAY);
    assert_eq!(judge(&alone, &listed).unwrap().uvm, None);
    assert_eq!(
        judge(&alone, &policy),
        Err(SnpRefusal::Measurement(verdict.measurement))
    );
    let refusal = judge(&evidence, &listed).unwrap_err();
    let not_accepted = matches!(refusal, SnpRefusal::Uvm(UvmRefusal::NotAccepted { .. }));
    assert!(not_accepted, "{refusal}");
}

#[test]
fn an_older_chip_than_its_models_minimum_is_refused() {
    let (evidence, mut policy, report_data) = container();
    let newer = Tcb::from_bytes(Product::Milan, 0xdc18_0000_0000_0004_u64.to_le_bytes());
    for minimum in policy.minimum_tcb_by_cpuid.values_mut() {
        *minimum = newer;
    }
    // What the product would accept does not help.
    let oldest = Tcb::from_bytes(Product::Milan, [0; 8]);
    policy.minimum_tcb = [(Product::Milan, oldest)].into();
    let (part, have, want) = ("microcode", 0xdb, 0xdc);
    assert_eq!(
        snp::verify(&evidence, &policy, &report_data, TODAY),
        Err(SnpRefusal::TcbTooOld { part, have, want })
    );
}

/// An endorser with a chain of two above the leaf.
struct Endorser {
    key: EcdsaKeyPair,
    chain: Vec<Vec<u8>>,
}

const PURPOSE: &str = "1.3.6.1.4.1.99999.1";
const DATES: [i64; 2] = [1_600_000_000, 1_700_000_000];

impl Endorser {
    fn new() -> Self {
        Self::with(|_| (), |_| ())
    }

    fn with(
        change_leaf: impl FnOnce(&mut CertificateParams),
        change_authority: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let key = || KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let root_key = key();
        let root_params = authority("root");
        let root = root_params.self_signed(&root_key).unwrap();
        let root_issuer = Issuer::new(root_params, root_key);

        let mut middle_params = authority("middle");
        change_authority(&mut middle_params);
        let middle_key = key();
        let middle = middle_params.signed_by(&middle_key, &root_issuer).unwrap();
        let middle_issuer = Issuer::new(middle_params, middle_key);

        let leaf_key = key();
        let mut leaf = params("Some Endorser");
        let purpose = PURPOSE.split('.').map(|arc| arc.parse().unwrap()).collect();
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(purpose)];
        change_leaf(&mut leaf);
        let leaf = leaf.signed_by(&leaf_key, &middle_issuer).unwrap();
        let pkcs8 = leaf_key.serialize_der();
        Self {
            key: EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &pkcs8).unwrap(),
            chain: [leaf, middle, root]
                .map(|certificate| certificate.der().to_vec())
                .into(),
        }
    }

    fn did(&self, policy: &str) -> String {
        use aws_lc_rs::digest;
        use base64::Engine;
        let root = digest::digest(&digest::SHA256, self.chain.last().unwrap());
        let root = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(root);
        format!("did:x509:0:sha256:{root}::{policy}")
    }

    fn sign(&self, statement: &Statement) -> Vec<u8> {
        let mut header = Encoder::new(Vec::new());
        let extra = u64::from(statement.critical) + u64::from(statement.signed_at.is_some());
        header.map(5 + extra).unwrap();
        header.u8(1).unwrap().i64(statement.algorithm).unwrap();
        header.u8(3).unwrap().str(statement.content).unwrap();
        header
            .u8(33)
            .unwrap()
            .array(self.chain.len() as u64)
            .unwrap();
        for certificate in &self.chain {
            header.bytes(certificate).unwrap();
        }
        header.str("iss").unwrap().str(&statement.issuer).unwrap();
        header.str("feed").unwrap().str("releases").unwrap();
        if let Some(time) = statement.signed_at {
            let header = header.str("signingtime").unwrap();
            header.tag(Tag::new(1)).unwrap().u64(time).unwrap();
        }
        if statement.critical {
            header.u8(2).unwrap().array(1).unwrap().u8(99).unwrap();
        }
        let header = header.into_writer();
        let payload = statement.payload.as_bytes();
        let draft = Sign1 {
            protected: &header,
            payload,
            signature: &[],
        };
        let signature = self
            .key
            .sign(&SystemRandom::new(), &draft.signed())
            .unwrap();
        let mut message = Encoder::new(Vec::new());
        let message = message.tag(Tag::new(18)).unwrap().array(4).unwrap();
        message.bytes(&header).unwrap();
        message
            .map(1)
            .unwrap()
            .str("timestamp")
            .unwrap()
            .bytes(&[0; 5000])
            .unwrap();
        message
            .bytes(payload)
            .unwrap()
            .bytes(signature.as_ref())
            .unwrap();
        message.writer().clone()
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    let [from, until] = DATES.map(|date| time::OffsetDateTime::from_unix_timestamp(date).unwrap());
    (params.not_before, params.not_after) = (from, until);
    params
}

fn authority(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

struct Statement {
    algorithm: i64,
    content: &'static str,
    issuer: String,
    signed_at: Option<u64>,
    critical: bool,
    payload: String,
}

impl Statement {
    fn by(endorser: &Endorser) -> Self {
        let measurement = HexBytes([0xaa; 48]);
        Self {
            algorithm: -35,
            content: "application/json",
            issuer: endorser.did(&format!("eku:{PURPOSE}")),
            signed_at: Some(1_650_000_000),
            critical: false,
            payload: format!(
                r#"{{"x-ms-sevsnpvm-guestsvn": 7, "x-ms-sevsnpvm-launchmeasurement": "{measurement}"}}"#
            ),
        }
    }
}

fn judge(endorser: &Endorser, change: impl FnOnce(&mut Statement)) -> Result<u64, UvmRefusal> {
    let mut statement = Statement::by(endorser);
    change(&mut statement);
    verify(&endorser.sign(&statement), TODAY).map(|endorsement| endorsement.svn)
}

#[test]
fn another_endorsers_elliptic_curve_is_believed_too() {
    let endorser = Endorser::new();
    assert_eq!(judge(&endorser, |_| ()), Ok(7));
    let by_subject = endorser.did("subject:CN:Some%20Endorser");
    assert_eq!(judge(&endorser, |said| said.issuer = by_subject), Ok(7));
    let both = endorser.did(&format!("eku:{PURPOSE}::subject:CN:Some%20Endorser"));
    assert_eq!(judge(&endorser, |said| said.issuer = both), Ok(7));
}

#[test]
fn an_issuer_that_the_certificates_do_not_bear_out_is_refused() {
    let endorser = Endorser::new();
    let other = Endorser::new();
    for (issuer, expected) in [
        (other.did(&format!("eku:{PURPOSE}")), DidFault::Fingerprint),
        (endorser.did("eku:1.2.3"), DidFault::Policy("eku")),
        (
            endorser.did("subject:CN:Nobody"),
            DidFault::Policy("subject"),
        ),
        (endorser.did("subject:CN"), DidFault::Malformed),
        (endorser.did("subject:XY:Nobody"), DidFault::Malformed),
        (endorser.did("san:email:a@b"), DidFault::Malformed),
        (MICROSOFT.to_owned(), DidFault::Fingerprint),
        ("did:web:example.com".to_owned(), DidFault::Malformed),
    ] {
        let refusal = judge(&endorser, |said| said.issuer.clone_from(&issuer)).unwrap_err();
        let named = UvmRefusal::Issuer {
            issuer: issuer.clone(),
            fault: expected,
        };
        assert_eq!(refusal, named);
    }
    // A name without any policy would be every certificate that the authority ever issued.
    let bare = endorser.did("x").split("::").next().unwrap().to_owned();
    let refusal = judge(&endorser, |said| said.issuer = bare).unwrap_err();
    assert!(matches!(refusal, UvmRefusal::Issuer { .. }), "{refusal}");
}

#[test]
fn the_leaf_is_not_an_authority_over_itself() {
    use aws_lc_rs::digest;
    use base64::Engine;
    let endorser = Endorser::new();
    let leaf = digest::digest(&digest::SHA256, &endorser.chain[0]);
    let leaf = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(leaf);
    let issuer = format!("did:x509:0:sha256:{leaf}::eku:{PURPOSE}");
    let refusal = judge(&endorser, |said| said.issuer = issuer).unwrap_err();
    let fault = matches!(
        refusal,
        UvmRefusal::Issuer {
            fault: DidFault::Fingerprint,
            ..
        }
    );
    assert!(fault, "{refusal}");
}

#[test]
fn certificates_count_at_the_time_of_signing() {
    let endorser = Endorser::new();
    let at = |time| judge(&endorser, |said| said.signed_at = time);
    let [from, until] = DATES.map(|date| u64::try_from(date).unwrap());
    assert!(at(Some(from)).is_ok() && at(Some(until)).is_ok());
    for time in [Some(from - 1), Some(until + 1), None] {
        let refusal = at(time).unwrap_err();
        let fault = matches!(refusal, UvmRefusal::Chain(ChainFault::OutOfDate { .. }));
        assert!(fault, "{refusal}");
    }
}

#[test]
fn broken_chains_are_refused() {
    let mut mixed = Endorser::new();
    mixed.chain[1] = Endorser::new().chain.swap_remove(1);
    let mut alone = Endorser::new();
    alone.chain.truncate(1);
    let mut short = Endorser::new();
    short.chain.remove(1);
    let not_an_authority = Endorser::with(|_| (), |middle| middle.is_ca = IsCa::ExplicitNoCa);
    let signs_nothing = Endorser::with(
        |_| (),
        |middle| middle.key_usages = vec![KeyUsagePurpose::DigitalSignature],
    );
    for endorser in [&mixed, &alone, &short, &not_an_authority, &signs_nothing] {
        assert!(judge(endorser, |_| ()).is_err());
    }
    let refusal = judge(&mixed, |_| ()).unwrap_err();
    assert_eq!(
        refusal,
        UvmRefusal::Chain(ChainFault::NotIssued { place: 0 })
    );
    let unknown = Endorser::with(
        |leaf| {
            let mut extension = rcgen::CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
            extension.set_criticality(true);
            leaf.custom_extensions = vec![extension];
        },
        |_| (),
    );
    let refusal = judge(&unknown, |_| ()).unwrap_err();
    let reason = "it has a critical extension that is not known";
    let unusable = ChainFault::Unusable { place: 0, reason };
    assert_eq!(refusal, UvmRefusal::Chain(unusable));
}

#[test]
fn headers_and_payload_that_say_something_else_are_refused() {
    let endorser = Endorser::new();
    let changes: [&dyn Fn(&mut Statement); 6] = [
        &|said| said.algorithm = -7,
        &|said| said.algorithm = -999,
        &|said| said.content = "application/cbor",
        &|said| said.critical = true,
        &|said| said.payload = "{}".to_owned(),
        &|said| said.payload = said.payload.replace('7', r#""-7""#),
    ];
    for (place, change) in changes.iter().enumerate() {
        let refusal = judge(&endorser, |said| change(said));
        assert!(refusal.is_err(), "change {place}");
    }
    let mut altered = endorser.sign(&Statement::by(&endorser));
    let last = altered.len() - 1;
    altered[last] ^= 1;
    assert_eq!(verify(&altered, TODAY), Err(UvmRefusal::Signature));
}

#[test]
fn a_policy_is_written_as_ccf_writes_it() {
    let text = format!(r#"{{"{MICROSOFT}": {{"{FEED}": {{"svn": "100"}}}}}}"#);
    let policy: UvmPolicy = serde_json::from_str(&text).unwrap();
    assert_eq!(policy, accepting(MICROSOFT, FEED, 100));
    assert_eq!(
        serde_json::to_string(&policy).unwrap(),
        text.replace(": ", ":")
    );
    let number: UvmPolicy = serde_json::from_str(&text.replace("\"100\"", "100")).unwrap();
    assert_eq!(number, policy);
    for bad in ["\"\"", "\"-1\"", "\"1.0\"", "-1", "null"] {
        assert!(serde_json::from_str::<UvmPolicy>(&text.replace("\"100\"", bad)).is_err());
    }
}
