//! Transaction ids and commit evidence: each has one spelling.
#![no_main]

use libfuzzer_sys::fuzz_target;
use verify::{TxId, evidence_tx_id};

fuzz_target!(|text: &str| {
    if let Ok(id) = text.parse::<TxId>() {
        assert_eq!(id.to_string(), text);
    }
    if let Ok(id) = evidence_tx_id(text) {
        assert!(text.starts_with(&format!("ce:{id}:")));
    }
});
