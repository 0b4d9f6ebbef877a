//! Receipts of real services, receipts of services made here, and what becomes of both when
//! somebody touches them.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do: by panicking"
)]

use aws_lc_rs::digest::{Digest as ProviderDigest, SHA256, SHA384};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
};
use counterfoil_verify::key::prehashed_for_p384;
use counterfoil_verify::{
    Cert, Claim, Digest, Frontier, LeafComponents, Receipt, ReceiptDocument, ReceiptError, Seqno,
    ServiceIdentity, TxId, Verifier, View, claims_digest, prove,
};
use proptest::prelude::*;
use proptest::sample::Index;
use rcgen::{
    CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, SignatureAlgorithm,
};
use serde_json::Value;

const AZURE_2023: &str = include_str!("../testdata/azure-receipt-2023.json");
const AZURE_2023_SERVICE: &str = include_str!("../testdata/azure-service-2023.pem");
const AZURE_2022_SNAKE: &str = include_str!("../testdata/azure-receipt-2022-snake.json");
const AZURE_2022_SNAKE_SERVICE: &str = include_str!("../testdata/azure-service-2022-snake.pem");
const AZURE_2022_CAMEL: &str = include_str!("../testdata/azure-receipt-2022-camel.json");
const AZURE_2022_CAMEL_SERVICE: &str = include_str!("../testdata/azure-service-2022-camel.pem");

fn trusting(service_pem: &str) -> Verifier {
    Verifier::new(Cert::from_pem(service_pem).unwrap())
}

#[test]
fn the_receipt_of_a_real_ledger_with_its_claims_is_true() {
    let document = ReceiptDocument::from_json(AZURE_2023.as_bytes()).unwrap();
    let verified = trusting(AZURE_2023_SERVICE)
        .verify_document(&document)
        .unwrap();
    assert_eq!(verified.tx_id, TxId::new(View(2), Seqno(13)));
    assert_eq!(
        verified.root.to_string(),
        "f7b9072e3235ea1f5fe150f7153527bd670009ebbc48a37e4fd6c4428f6fa148"
    );
    assert_eq!(
        verified.node_id.unwrap().to_string(),
        "0db9a22e9301d1167a2a81596fa234642ad24bc742451a415b8d653af056795c"
    );
}

#[test]
fn receipts_in_both_spellings_of_2022_are_true_under_their_own_service_only() {
    let services = [
        AZURE_2022_SNAKE_SERVICE,
        AZURE_2022_CAMEL_SERVICE,
        AZURE_2023_SERVICE,
    ];
    for (json, service) in [
        (AZURE_2022_SNAKE, services[0]),
        (AZURE_2022_CAMEL, services[1]),
    ] {
        let receipt = Receipt::from_json(json.as_bytes()).unwrap();
        let verified = trusting(service).verify(&receipt, Some(&[])).unwrap();
        assert_eq!(verified.claims_digest, Digest::ZERO);
        for other in services.iter().filter(|it| **it != service) {
            let error = trusting(other).verify(&receipt, None).unwrap_err();
            assert_eq!(error, ReceiptError::NotEndorsed("the node that signed"));
        }
    }
}

/// A key, its certificate, and who can endorse others with it.
struct Identity {
    issuer: CertifiedIssuer<'static, KeyPair>,
    signer: EcdsaKeyPair,
    p384: bool,
}

impl Identity {
    fn new(name: &str, p384: bool, endorser: Option<&Self>) -> Self {
        let algorithm: &'static SignatureAlgorithm = if p384 {
            &PKCS_ECDSA_P384_SHA384
        } else {
            &PKCS_ECDSA_P256_SHA256
        };
        let key = KeyPair::generate_for(algorithm).unwrap();
        let signing = if p384 {
            &ECDSA_P384_SHA384_ASN1_SIGNING
        } else {
            &ECDSA_P256_SHA256_ASN1_SIGNING
        };
        let signer = EcdsaKeyPair::from_pkcs8(signing, key.serialized_der()).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = match endorser {
            None => CertifiedIssuer::self_signed(params, key),
            Some(endorser) => CertifiedIssuer::signed_by(params, key, &endorser.issuer),
        };
        Self {
            issuer: issuer.unwrap(),
            signer,
            p384,
        }
    }

    fn cert(&self) -> Cert {
        Cert::from_der(self.issuer.der()).unwrap()
    }

    /// The certificate that `endorser` gives this service after a recovery.
    fn endorsed_by(&self, endorser: &Self) -> Cert {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "earlier service");
        Cert::from_der(
            params
                .signed_by(self.issuer.key(), &endorser.issuer)
                .unwrap()
                .der(),
        )
        .unwrap()
    }

    fn sign(&self, root: &Digest) -> Vec<u8> {
        let digest = if self.p384 {
            ProviderDigest::import_less_safe(&prehashed_for_p384(root), &SHA384)
        } else {
            ProviderDigest::import_less_safe(root.as_bytes(), &SHA256)
        };
        self.signer
            .sign_digest(&digest.unwrap())
            .unwrap()
            .as_ref()
            .to_vec()
    }
}

fn claim(contents: &str) -> Claim {
    Claim::LedgerEntry {
        collection_id: "subledger:0".into(),
        contents: contents.into(),
        secret_key: [7; 32],
    }
}

fn components(seqno: u64) -> LeafComponents {
    LeafComponents {
        write_set_digest: Digest::of(&seqno.to_be_bytes()),
        commit_evidence: format!("ce:2.{seqno}:{}", Digest::of(b"nonce")),
        claims_digest: claims_digest(&[claim(&format!("entry {seqno}"))]),
    }
}

/// Receipts for every entry of a ledger of `size` leaves, signed by `node`.
fn receipts(node: &Identity, size: u64, endorsements: &[Cert]) -> Vec<Receipt> {
    let mut nodes = std::collections::HashMap::new();
    nodes.insert(counterfoil_verify::TreeNode::leaf(0), Digest::ZERO);
    let mut tree = Frontier::new();
    for seqno in 1..size {
        tree.append(components(seqno).leaf(), |node, digest| {
            nodes.insert(node, digest);
        });
    }
    let signature = node.sign(&tree.root());
    (1..size)
        .map(|seqno| {
            let proof = prove(seqno, size, |node| nodes.get(&node).copied().ok_or(())).unwrap();
            let (cert, signature) = (node.cert(), signature.clone());
            Receipt::new(
                cert,
                components(seqno),
                proof,
                signature,
                endorsements.to_vec(),
            )
        })
        .collect()
}

#[test]
fn every_entry_of_a_ledger_has_a_true_receipt_on_either_curve() {
    for (service_p384, node_p384) in [(true, true), (true, false), (false, true), (false, false)] {
        let service = Identity::new("CCF Network", service_p384, None);
        let node = Identity::new("CCF Node", node_p384, Some(&service));
        let verifier = Verifier::new(service.cert());
        for (seqno, receipt) in (1..).zip(receipts(&node, 20, &[])) {
            let receipt = Receipt::from_json(receipt.to_json().as_bytes()).unwrap();
            let claims = [claim(&format!("entry {seqno}"))];
            let verified = verifier.verify(&receipt, Some(&claims)).unwrap();
            assert_eq!(verified.tx_id, TxId::new(View(2), Seqno(seqno)));
            assert_eq!(verified.node_id, Some(node.cert().key_digest()));
            assert_eq!(verified.service, service.cert().key_digest());
        }
    }
}

#[test]
fn receipts_from_before_recoveries_are_true_through_the_chain_of_services() {
    let oldest = Identity::new("CCF Network", true, None);
    let old = Identity::new("CCF Network", false, None);
    let today = Identity::new("CCF Network", true, None);
    let node = Identity::new("CCF Node", true, Some(&oldest));
    let chain = [oldest.endorsed_by(&old), old.endorsed_by(&today)];
    let verifier = Verifier::new(today.cert());

    let receipt = &receipts(&node, 3, &chain)[0];
    let service = verifier.verify(receipt, None).unwrap().service;
    assert_eq!(service, today.cert().key_digest());
    assert!(verifier.verify(receipt, None).is_ok(), "from the cache");

    for broken in [
        &chain[..1],
        &chain[1..],
        &[chain[1].clone(), chain[0].clone()],
        &[],
    ] {
        let receipt = &receipts(&node, 3, broken)[0];
        let error = verifier.verify(receipt, None).unwrap_err();
        assert!(matches!(error, ReceiptError::NotEndorsed(_)), "{error:?}");
    }

    let both = ServiceIdentity {
        cert: today.cert(),
        previous: vec![oldest.cert()],
    };
    let bare = &receipts(&node, 3, &[])[0];
    let verified = Verifier::new(both).verify(bare, None).unwrap();
    assert_eq!(
        verified.service,
        oldest.cert().key_digest(),
        "known from before"
    );
}

#[test]
fn each_broken_rule_has_its_own_error() {
    let service = Identity::new("CCF Network", true, None);
    let node = Identity::new("CCF Node", true, Some(&service));
    let verifier = Verifier::new(service.cert());
    let good = receipts(&node, 9, &[]).remove(4);
    let json: Value = serde_json::from_str(&good.to_json()).unwrap();
    let error = |change: &dyn Fn(&mut Value)| {
        let mut json = json.clone();
        change(&mut json);
        let receipt = Receipt::from_json(json.to_string().as_bytes()).unwrap();
        verifier
            .verify(&receipt, Some(&[claim("entry 5")]))
            .unwrap_err()
    };
    let zero = Digest::ZERO.to_string();
    let claims = error(&|json| json["leafComponents"]["claimsDigest"] = zero.clone().into());
    assert!(matches!(
        claims,
        ReceiptError::Claims {
            recorded: Digest::ZERO,
            ..
        }
    ));
    let node_id = error(&|json| json["nodeId"] = zero.clone().into());
    assert!(matches!(
        node_id,
        ReceiptError::NodeId {
            stated: Digest::ZERO,
            ..
        }
    ));
    let leaf = error(&|json| json["leaf"] = zero.clone().into());
    assert!(matches!(leaf, ReceiptError::Stated { which: "leaf", .. }));
    let root = error(&|json| json["root"] = zero.clone().into());
    assert!(matches!(root, ReceiptError::Stated { which: "root", .. }));
    for change in [
        &(|json: &mut Value| json["proof"][0] = serde_json::json!({"left": Digest::ZERO}))
            as &dyn Fn(&mut Value),
        &|json| json["proof"].as_array_mut().unwrap().clear(),
        &|json| json["proof"].as_array_mut().unwrap().swap(0, 1),
        &|json| json["signature"] = "AAAA".into(),
        &|json| json["signature"] = "".into(),
        &|json| json["leafComponents"]["writeSetDigest"] = zero.clone().into(),
        &|json| json["leafComponents"]["commitEvidence"] = format!("ce:2.6:{zero}").into(),
    ] {
        assert!(matches!(error(change), ReceiptError::Signature { .. }));
    }
    let stranger = Identity::new("CCF Node", true, None).cert().to_pem();
    let endorsed = error(&|json| json["cert"] = stranger.clone().into());
    assert_eq!(endorsed, ReceiptError::NotEndorsed("the node that signed"));

    let mut document = ReceiptDocument {
        transaction_id: Some(TxId::new(View(2), Seqno(5))),
        claims: None,
        receipt: good,
    };
    assert!(verifier.verify_document(&document).is_ok());
    document.transaction_id = Some(TxId::new(View(3), Seqno(5)));
    let swapped = verifier.verify_document(&document);
    assert!(matches!(swapped, Err(ReceiptError::TxId { .. })));
}

#[test]
fn evidence_that_names_no_transaction_proves_none() {
    let service = Identity::new("CCF Network", true, None);
    let node = Identity::new("CCF Node", true, Some(&service));
    let components = LeafComponents {
        commit_evidence: "evidence".into(),
        ..components(1)
    };
    let proof = counterfoil_verify::InclusionProof::default();
    let signature = node.sign(&components.leaf());
    let receipt = Receipt::new(node.cert(), components, proof, signature, vec![]);
    let verified = Verifier::new(service.cert()).verify(&receipt, None);
    assert_eq!(verified, Err(ReceiptError::Evidence));
}

#[test]
fn a_signature_transaction_proves_its_root_and_no_entry() {
    let service = Identity::new("CCF Network", true, None);
    let node = Identity::new("CCF Node", true, Some(&service));
    let root = Digest::of(b"root");
    let receipt = Receipt::of_root(node.cert(), root, node.sign(&root), vec![]);
    let receipt = Receipt::from_json(receipt.to_ccf_json().as_bytes()).unwrap();
    let verifier = Verifier::new(service.cert());
    assert_eq!(verifier.verify_root(&receipt), Ok(root));
    assert_eq!(
        verifier.verify(&receipt, None),
        Err(ReceiptError::SignatureTransaction)
    );

    let forged = Receipt::of_root(node.cert(), Digest::ZERO, node.sign(&root), vec![]);
    assert!(verifier.verify_root(&forged).is_err());
    let ordinary = &receipts(&node, 3, &[])[0];
    assert!(verifier.verify_root(ordinary).is_err());
}

#[test]
fn a_root_that_was_found_signed_vouches_for_no_other_signature() {
    let service = Identity::new("service", true, None);
    let node = Identity::new("node", true, Some(&service));
    let verifier = Verifier::new(service.cert());
    let [first, second] = <[Receipt; 2]>::try_from(receipts(&node, 3, &[])).unwrap();
    verifier.verify(&first, None).unwrap();
    verifier.verify(&second, None).unwrap();
    let mut forged = second.clone();
    *forged.signature.last_mut().unwrap() ^= 1;
    for _ in 0..2 {
        let refused = verifier.verify(&forged, None).unwrap_err();
        assert!(matches!(refused, ReceiptError::Signature { .. }));
    }
    let stranger = Identity::new("stranger", true, Some(&service));
    let mut stolen = second;
    stolen.cert = stranger.cert();
    stolen.node_id = Some(stranger.cert().key_digest());
    let refused = verifier.verify(&stolen, None).unwrap_err();
    assert!(matches!(refused, ReceiptError::Signature { .. }));
}

#[test]
fn more_nodes_than_are_remembered_are_still_verified() {
    let service = Identity::new("CCF Network", false, None);
    let verifier = Verifier::new(service.cert());
    let root = Digest::of(b"root");
    for _ in 0..counterfoil_verify::limits::MAX_CACHED_NODES + 3 {
        let node = Identity::new("CCF Node", false, Some(&service));
        let receipt = Receipt::of_root(node.cert(), root, node.sign(&root), vec![]);
        assert_eq!(verifier.verify_root(&receipt), Ok(root));
    }
}

/// Every string below a JSON value, except those that prove nothing.
fn strings<'a>(value: &'a mut Value, found: &mut Vec<&'a mut String>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(items) => items.iter_mut().for_each(|item| strings(item, found)),
        Value::Object(fields) => fields
            .iter_mut()
            .filter(|(key, _)| !matches!(key.as_str(), "state" | "is_signature_transaction"))
            .for_each(|(_, value)| strings(value, found)),
        _ => {}
    }
}

fn changed(json: &str, field: Index, place: Index, by: char) -> String {
    let mut value: Value = serde_json::from_str(json).unwrap();
    let mut found = Vec::new();
    strings(&mut value, &mut found);
    let text = field.get(&found);
    let mut chars: Vec<char> = text.chars().collect();
    let place = place.index(chars.len());
    chars[place] = by;
    let new: String = chars.into_iter().collect();
    let index = field.index(found.len());
    *found[index] = new;
    value.to_string()
}

fn printable() -> impl Strategy<Value = char> {
    prop_oneof![
        4 => proptest::char::range('0', '9'),
        4 => proptest::char::range('a', 'z'),
        2 => proptest::char::range('A', 'Z'),
        1 => proptest::char::range(' ', '~'),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6000))]

    /// Whoever changes one character of a value gets a receipt that is refused, or one that says
    /// exactly the same (white space within PEM, hex in capitals).
    #[test]
    fn a_changed_receipt_is_refused(field: Index, place: Index, by in printable()) {
        for (json, service) in [
            (AZURE_2023, AZURE_2023_SERVICE),
            (AZURE_2022_SNAKE, AZURE_2022_SNAKE_SERVICE),
        ] {
            let verifier = trusting(service);
            let original = ReceiptDocument::from_json(json.as_bytes()).unwrap();
            let changed = changed(json, field, place, by);
            if let Ok(document) = ReceiptDocument::from_json(changed.as_bytes())
                && verifier.verify_document(&document).is_ok()
            {
                prop_assert_eq!(document, original, "{}", changed);
            }
        }
    }

    /// Any byte of the text, keys and punctuation included, may be broken without a panic.
    #[test]
    fn a_broken_document_never_panics(place: Index, by: u8) {
        let mut bytes = AZURE_2023.as_bytes().to_vec();
        let place = place.index(bytes.len());
        bytes[place] = by;
        let verifier = trusting(AZURE_2023_SERVICE);
        let verified = ReceiptDocument::from_json(&bytes)
            .and_then(|document| verifier.verify_document(&document));
        if let Ok(verified) = verified {
            prop_assert_eq!(verified.tx_id, TxId::new(View(2), Seqno(13)));
        }
    }
}
