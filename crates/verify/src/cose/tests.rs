//! Receipts made by a service of the test, read, and tampered with.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use proptest::prelude::*;

use super::*;
use crate::key::PublicKey;
use crate::tx_id::{Seqno, View};

struct Service {
    pair: EcdsaKeyPair,
    key: PublicKey,
}

impl Service {
    fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        let spki = pair.public_key().as_der().unwrap();
        let key = PublicKey::from_spki_der(spki.as_ref()).unwrap();
        Self { pair, key }
    }

    fn protected(&self) -> Vec<u8> {
        let kid = self.key.key_digest().to_string();
        let tx_id = TxId::new(View(2), Seqno(19));
        protected_header(
            &kid,
            ES384,
            1_700_000_000,
            "service.example",
            "ledger",
            tx_id,
        )
    }

    fn sign(&self, protected: &[u8], root: &Digest) -> Vec<u8> {
        let message = to_be_signed(protected, root);
        let signature = self.pair.sign(&SystemRandom::new(), &message).unwrap();
        root_signature(protected, signature.as_ref())
    }
}

fn vector() -> (LeafComponents, InclusionProof) {
    let components = LeafComponents {
        write_set_digest: Digest::of(b"ws"),
        commit_evidence: format!("ce:2.15:{}", Digest::of(b"nonce")),
        claims_digest: Digest::of(b"claims"),
    };
    let steps = vec![Step::Left(Digest::of(b"l")), Step::Right(Digest::of(b"r"))];
    (components, InclusionProof { steps })
}

#[test]
fn leaf_and_root_match_the_known_answer() {
    let (components, proof) = vector();
    let leaf = components.leaf();
    assert_eq!(
        leaf.to_string(),
        "208ef4ebab6931ba0482d3772d2abfdbfed2009d4270f1dd4b9e3397139a26d5"
    );
    assert_eq!(
        proof.root(leaf).to_string(),
        "88b26d5d5cbd807d5a1c5ad0b3e4cd0b59c90b54dde837cf7c9ffe89ffe232c5"
    );
}

#[test]
fn the_protected_header_is_written_in_the_order_of_ccf() {
    let tx_id = TxId::new(View(2), Seqno(19));
    let header = protected_header("6b", ES384, 1, "i", "s", tx_id);
    let expected = [
        "a5",
        "013822",           // 1: -35
        "04423662",         // 4: kid as text bytes
        "19018b02",         // 395: 2
        "0fa3060101616902", // 15: {6: 1, 1: "i", 2:
        "6173",             // "s"}
        "666363662e7631",   // "ccf.v1"
        "a16474786964",     // {"txid":
        "64322e3139",       // "2.19"}
    ];
    assert_eq!(hex::encode(header), expected.concat());
}

#[test]
fn a_receipt_is_verified_under_the_key_that_signed_it_and_no_other() {
    let service = Service::new();
    let (components, proof) = vector();
    let root = proof.root(components.leaf());
    let signed = service.sign(&service.protected(), &root);
    let bytes = receipt(&signed, &components, &proof).unwrap();
    assert_eq!(bytes[0], 0xd2);

    let receipt = CoseReceipt::parse(&bytes).unwrap();
    let verified = receipt
        .verify(&service.key, Some(components.claims_digest))
        .unwrap();
    assert_eq!(verified.tx_id, TxId::new(View(2), Seqno(15)));
    assert_eq!(verified.root, root);
    assert_eq!(receipt.header.tx_id, Some(TxId::new(View(2), Seqno(19))));
    assert_eq!(receipt.header.issuer.as_deref(), Some("service.example"));
    assert_eq!(receipt.header.issued_at, Some(1_700_000_000));

    let other = Service::new().key;
    assert_eq!(receipt.verify(&other, None), Err(ReceiptError::OtherKey));
    let claims = receipt.verify(&service.key, Some(Digest::ZERO));
    assert!(matches!(claims, Err(ReceiptError::Claims { .. })));
}

#[test]
fn a_root_signature_is_verified_for_its_root_only() {
    let service = Service::new();
    let root = Digest::of(b"root");
    let signed = service.sign(&service.protected(), &root);
    let header = verify_root_signature(&signed, &service.key, &root).unwrap();
    assert_eq!(header.subject.as_deref(), Some("ledger"));
    let other = verify_root_signature(&signed, &service.key, &Digest::ZERO);
    assert!(matches!(other, Err(ReceiptError::Signature { .. })));
    let no_receipt = CoseReceipt::parse(&signed);
    assert!(matches!(no_receipt, Err(ReceiptError::WrongKind(_))));
}

#[test]
fn messages_of_another_kind_are_refused() {
    let service = Service::new();
    let (components, proof) = vector();
    let root = proof.root(components.leaf());
    let kid = service.key.key_digest().to_string();
    let header = |write: &dyn Fn(&mut Encoder<Vec<u8>>)| {
        encoded(|e| {
            write(e);
            Ok(())
        })
    };
    let headers = [
        header(&|e| drop(e.map(0))),
        // Another tree.
        header(&|e| {
            e.map(3)
                .unwrap()
                .i64(1)
                .unwrap()
                .i64(ES384)
                .unwrap()
                .i64(4)
                .unwrap();
            e.bytes(kid.as_bytes())
                .unwrap()
                .i64(395)
                .unwrap()
                .i64(1)
                .unwrap();
        }),
        // Critical headers that nobody here understands.
        header(&|e| {
            e.map(4)
                .unwrap()
                .i64(1)
                .unwrap()
                .i64(ES384)
                .unwrap()
                .i64(4)
                .unwrap();
            e.bytes(kid.as_bytes())
                .unwrap()
                .i64(395)
                .unwrap()
                .i64(2)
                .unwrap();
            e.i64(2).unwrap().array(1).unwrap().i64(77).unwrap();
        }),
        // The algorithm twice.
        header(&|e| {
            e.map(4)
                .unwrap()
                .i64(1)
                .unwrap()
                .i64(ES384)
                .unwrap()
                .i64(1)
                .unwrap();
            e.i64(ES256)
                .unwrap()
                .i64(4)
                .unwrap()
                .bytes(kid.as_bytes())
                .unwrap();
            e.i64(395).unwrap().i64(2).unwrap();
        }),
        // An algorithm that is not the key's.
        header(&|e| {
            e.map(3)
                .unwrap()
                .i64(1)
                .unwrap()
                .i64(ES256)
                .unwrap()
                .i64(4)
                .unwrap();
            e.bytes(kid.as_bytes())
                .unwrap()
                .i64(395)
                .unwrap()
                .i64(2)
                .unwrap();
        }),
    ];
    for protected in headers {
        let signed = service.sign(&protected, &root);
        let verified = receipt(&signed, &components, &proof)
            .and_then(|bytes| CoseReceipt::parse(&bytes)?.verify(&service.key, None));
        assert!(verified.is_err(), "{}", hex::encode(protected));
    }
    let signed = service.sign(&service.protected(), &root);
    let bytes = receipt(&signed, &components, &proof).unwrap();
    assert!(
        receipt(&bytes, &components, &proof).is_err(),
        "a receipt is no root signature"
    );
    assert!(
        CoseReceipt::parse(&[&bytes[..], &[0]].concat()).is_err(),
        "trailing byte"
    );
    assert!(CoseReceipt::parse(&bytes[1..]).is_err(), "untagged");
    assert!(CoseReceipt::parse(&[]).is_err());
}

#[test]
fn oversized_parts_are_refused() {
    let signed = root_signature(&Service::new().protected(), &[0; 96]);
    let (components, proof) = vector();
    let high = InclusionProof {
        steps: vec![proof.steps[0]; MAX_PROOF_STEPS + 1],
    };
    assert!(matches!(
        receipt(&signed, &components, &high),
        Err(ReceiptError::TooLarge { .. })
    ));
    let long = LeafComponents {
        commit_evidence: "c".repeat(1025),
        ..components
    };
    assert!(matches!(
        receipt(&signed, &long, &proof),
        Err(ReceiptError::TooLarge { .. })
    ));
    let big = vec![0xd2; MAX_COSE_BYTES + 1];
    assert!(matches!(
        CoseReceipt::parse(&big),
        Err(ReceiptError::TooLarge { .. })
    ));
}

#[test]
fn no_changed_bit_leaves_a_receipt_that_verifies() {
    let service = Service::new();
    let (components, proof) = vector();
    let root = proof.root(components.leaf());
    let bytes = receipt(
        &service.sign(&service.protected(), &root),
        &components,
        &proof,
    )
    .unwrap();
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[place] ^= 1 << bit;
            let verified =
                CoseReceipt::parse(&changed).and_then(|it| it.verify(&service.key, None));
            assert!(verified.is_err(), "byte {place}, bit {bit}");
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = CoseReceipt::parse(&bytes);
        let tagged = [&[0xd2, 0x84][..], &bytes].concat();
        let _ = CoseReceipt::parse(&tagged);
    }
}
