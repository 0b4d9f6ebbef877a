//! Bodies of requests: entries alone, in batches, in lines. What is taken is what was sent.
#![no_main]

use api::fuzzing;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    // Numbers that are too large for anything may stand in fields that mean nothing here.
    let value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let contents = value.get("contents").and_then(Value::as_str);
    if let (Some(taken), Some(sent)) = (fuzzing::entry(body), contents) {
        assert_eq!(taken, sent);
    }
    let entries = value.get("entries").and_then(Value::as_array);
    if let (Some(taken), Some(sent)) = (fuzzing::batch(body), entries) {
        assert_eq!(taken, sent.len());
    }
    for line in body.split(|&byte| byte == b'\n') {
        let value = serde_json::from_slice(line).unwrap_or(Value::Null);
        if value.is_object() && fuzzing::line(line) {
            assert!(value["contents"].is_string());
        }
    }
});
