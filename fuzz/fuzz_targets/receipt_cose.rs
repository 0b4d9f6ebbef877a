//! COSE receipts and root signatures under a key that signed none of them.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use verify::cose::{CoseReceipt, receipt, verify_root_signature};
use verify::{Cert, Digest, InclusionProof, LeafComponents, PublicKey};

static KEY: LazyLock<PublicKey> = LazyLock::new(|| {
    let service = include_str!("../../crates/verify/testdata/azure-service-2023.pem");
    Cert::from_pem(service).unwrap().public_key()
});

fuzz_target!(|bytes: &[u8]| {
    if let Ok(parsed) = CoseReceipt::parse(bytes) {
        assert!(parsed.verify(&KEY, None).is_err());
    }
    assert!(verify_root_signature(bytes, &KEY, &Digest::ZERO).is_err());
    let components = LeafComponents {
        write_set_digest: Digest::ZERO,
        commit_evidence: "ce:2.1:".to_owned(),
        claims_digest: Digest::ZERO,
    };
    if let Ok(made) = receipt(bytes, &components, &InclusionProof::default())
        && let Ok(parsed) = CoseReceipt::parse(&made)
    {
        assert_eq!(parsed.components, components);
    }
});
