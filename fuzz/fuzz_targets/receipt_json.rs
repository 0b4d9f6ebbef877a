//! JSON receipts: what is read is written and read back the same, and only one is true.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use verify::{Cert, Receipt, ReceiptDocument, Verifier};

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let service = include_str!("../../crates/verify/testdata/azure-service-2023.pem");
    Verifier::new(Cert::from_pem(service).unwrap())
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = ReceiptDocument::from_json(bytes) else { return };
    let receipt = &document.receipt;
    assert_eq!(Receipt::from_json(receipt.to_json().as_bytes()).as_ref(), Ok(receipt));
    assert_eq!(Receipt::from_json(receipt.to_ccf_json().as_bytes()).as_ref(), Ok(receipt));
    if let Ok(verified) = VERIFIER.verify_document(&document) {
        assert_eq!(verified.tx_id.to_string(), "2.13", "the service signed one root");
    }
});
