//! A real enclave's document first, then a hypervisor that we make up.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use minicbor::Encoder;
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P384_SHA384,
};

use super::*;

const REAL: &[u8] = include_bytes!("../../testdata/nitro/document.cose");
/// When the real document was made.
const THEN: UnixTime = UnixTime(1_736_179_625);

fn real() -> NitroEvidence {
    NitroEvidence {
        document: REAL.to_vec(),
    }
}

fn pinning(registers: &[(u8, Measurement)]) -> NitroPolicy {
    NitroPolicy {
        images: [NitroImage(registers.iter().copied().collect())].into(),
    }
}

/// The registers of the real enclave.
fn registers_of_real() -> NitroImage {
    let message = Sign1::parse(REAL).unwrap();
    Document::read(message.payload).unwrap().registers
}

#[test]
fn a_real_document_is_believed_up_to_its_missing_user_data() {
    // That enclave put nothing into its user data, so it cannot speak for a node; all else holds.
    let registers = registers_of_real();
    let image = registers.0[&0];
    let policy = pinning(&[(0, image)]);
    let judge = |policy: &NitroPolicy, now| verify(&real(), policy, &HexBytes::ZERO, now);
    assert_eq!(judge(&policy, THEN), Err(NitroRefusal::ReportData));
    assert_eq!(
        judge(&NitroPolicy::default(), THEN),
        Err(NitroRefusal::Image(image))
    );
    assert_eq!(
        judge(&pinning(&[(0, image), (1, HexBytes([1; 48]))]), THEN),
        Err(NitroRefusal::Image(image))
    );
    assert_eq!(
        registers.0.keys().copied().collect::<Vec<_>>(),
        [0, 1, 2, 3, 4]
    );
}

#[test]
fn a_real_document_is_good_for_three_hours() {
    let at = |now| {
        verify(
            &real(),
            &NitroPolicy::default(),
            &HexBytes::ZERO,
            UnixTime(now),
        )
    };
    for (now, in_date) in [
        (1_736_179_622, true),
        (1_736_190_425, true),
        (1_736_179_621, false),
        (1_736_190_426, false),
    ] {
        let dates = matches!(
            at(now),
            Err(NitroRefusal::Chain(ChainFault::OutOfDate { place: 0, .. }))
        );
        assert_eq!(!dates, in_date, "{now}");
    }
}

#[test]
fn every_flipped_byte_of_a_real_document_is_noticed() {
    let policy = pinning(&[(0, registers_of_real().0[&0])]);
    for byte in (0..REAL.len()).step_by(3) {
        let mut evidence = real();
        evidence.document[byte] ^= 1;
        let refusal = verify(&evidence, &policy, &HexBytes::ZERO, THEN).unwrap_err();
        assert_ne!(refusal, NitroRefusal::ReportData, "byte {byte}");
    }
}

/// A hypervisor with a root of its own.
struct Hypervisor {
    key: EcdsaKeyPair,
    leaf: Vec<u8>,
    root: Vec<u8>,
    registers: Vec<(u8, [u8; 48])>,
    user_data: Option<Vec<u8>>,
    digest: &'static str,
    algorithm: i64,
}

impl Hypervisor {
    fn new() -> Self {
        let root_key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root = params.self_signed(&root_key).unwrap();
        let issuer = Issuer::new(params, root_key);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let leaf = CertificateParams::default()
            .signed_by(&key, &issuer)
            .unwrap();
        let pkcs8 = key.serialize_der();
        Self {
            key: EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &pkcs8).unwrap(),
            leaf: leaf.der().to_vec(),
            root: root.der().to_vec(),
            registers: vec![(0, [1; 48]), (3, [0; 48]), (8, [8; 48])],
            user_data: Some(vec![7; 64]),
            digest: "SHA384",
            algorithm: -35,
        }
    }

    fn evidence(&self) -> NitroEvidence {
        let mut payload = Encoder::new(Vec::new());
        let cbor = payload.map(8).unwrap();
        cbor.str("module_id").unwrap().str("i-1-enc2").unwrap();
        cbor.str("digest").unwrap().str(self.digest).unwrap();
        cbor.str("timestamp")
            .unwrap()
            .u64(THEN.0 * 1000 + 7)
            .unwrap();
        cbor.str("pcrs")
            .unwrap()
            .map(self.registers.len() as u64)
            .unwrap();
        for (register, value) in &self.registers {
            cbor.u8(*register).unwrap().bytes(value).unwrap();
        }
        cbor.str("certificate").unwrap().bytes(&self.leaf).unwrap();
        cbor.str("cabundle")
            .unwrap()
            .array(1)
            .unwrap()
            .bytes(&self.root)
            .unwrap();
        cbor.str("public_key").unwrap().null().unwrap();
        cbor.str("user_data").unwrap();
        match &self.user_data {
            Some(data) => cbor.bytes(data).unwrap(),
            None => cbor.null().unwrap(),
        };
        let payload = payload.into_writer();
        let mut headers = Encoder::new(Vec::new());
        headers
            .map(1)
            .unwrap()
            .u8(1)
            .unwrap()
            .i64(self.algorithm)
            .unwrap();
        let protected = headers.into_writer();
        let draft = Sign1 {
            protected: &protected,
            payload: &payload,
            signature: &[],
        };
        let signature = self
            .key
            .sign(&SystemRandom::new(), &draft.signed())
            .unwrap();
        let mut message = Encoder::new(Vec::new());
        let cbor = message.array(4).unwrap().bytes(&protected).unwrap();
        cbor.map(0).unwrap().bytes(&payload).unwrap();
        cbor.bytes(signature.as_ref()).unwrap();
        NitroEvidence {
            document: message.into_writer(),
        }
    }

    fn judge(&self, policy: &NitroPolicy) -> Result<NitroVerdict, NitroRefusal> {
        let asked = HexBytes([7; 64]);
        verify_under(&self.root, &self.evidence(), policy, &asked, THEN)
    }
}

#[test]
fn an_enclave_is_accepted_by_its_image_or_its_signer() {
    let hypervisor = Hypervisor::new();
    let verdict = hypervisor
        .judge(&pinning(&[(0, HexBytes([1; 48]))]))
        .unwrap();
    assert_eq!(verdict.made_at, THEN);
    assert_eq!(verdict.registers.0.len(), 2);
    assert!(
        hypervisor
            .judge(&pinning(&[(8, HexBytes([8; 48]))]))
            .is_ok()
    );
    let refused = Err(NitroRefusal::Image(HexBytes([1; 48])));
    assert_eq!(hypervisor.judge(&pinning(&[])), refused);
    assert_eq!(
        hypervisor.judge(&pinning(&[(8, HexBytes([9; 48]))])),
        refused
    );
    // Registers that do not say which code runs pin nothing; zero is not a value of theirs.
    assert_eq!(hypervisor.judge(&pinning(&[(3, HexBytes::ZERO)])), refused);
}

#[test]
fn each_false_document_is_refused_by_name() {
    let policy = pinning(&[(0, HexBytes([1; 48]))]);
    let judge = |change: &dyn Fn(&mut Hypervisor)| {
        let mut hypervisor = Hypervisor::new();
        change(&mut hypervisor);
        hypervisor.judge(&policy).unwrap_err()
    };
    assert_eq!(judge(&|h| h.user_data = None), NitroRefusal::ReportData);
    let longer = |h: &mut Hypervisor| h.user_data = Some(vec![7; 65]);
    assert_eq!(judge(&longer), NitroRefusal::ReportData);
    assert_eq!(judge(&|h| h.registers[0].1 = [0; 48]), NitroRefusal::Debug);
    assert_eq!(
        judge(&|h| h.key = Hypervisor::new().key),
        NitroRefusal::Signature
    );
    let stranger = |h: &mut Hypervisor| h.leaf = Hypervisor::new().leaf;
    let not_issued = ChainFault::NotIssued { place: 0 };
    assert_eq!(judge(&stranger), NitroRefusal::Chain(not_issued));
    for change in [
        &(|h: &mut Hypervisor| h.digest = "SHA256") as &dyn Fn(&mut Hypervisor),
        &|h| h.algorithm = -7,
        &|h| h.registers.push((0, [1; 48])),
    ] {
        let refusal = judge(change);
        assert!(matches!(refusal, NitroRefusal::Malformed(_)), "{refusal}");
    }
    // And what we make up is none of AWS's.
    let asked = HexBytes([7; 64]);
    assert_eq!(
        verify(&Hypervisor::new().evidence(), &policy, &asked, THEN),
        Err(NitroRefusal::Root)
    );
}
