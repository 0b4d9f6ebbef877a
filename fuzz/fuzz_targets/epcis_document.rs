//! EPCIS documents: what is taken is read again alike, and its events keep their names.
#![no_main]

use epcis::{Document, EventHash};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = Document::parse(bytes) else {
        return;
    };
    let text: serde_json::Value = serde_json::from_slice(bytes).expect("it was read as JSON");
    let again = serde_json::to_vec(&text).expect("JSON is written");
    let again = Document::parse(&again).expect("what is taken is taken again");
    assert_eq!(document.events().len(), again.events().len());
    for (one, other) in document.events().iter().zip(again.events()) {
        assert_eq!(EventHash::of(one), EventHash::of(other));
    }
});
