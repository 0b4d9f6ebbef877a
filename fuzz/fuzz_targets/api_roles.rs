//! Bodies about users and custom roles: what is taken stands in the body.
#![no_main]

use api::fuzzing;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// Whether a text stands anywhere in a document, as a value.
fn has(document: &Value, text: &str) -> bool {
    match document {
        Value::String(value) => value == text,
        Value::Array(values) => values.iter().any(|value| has(value, text)),
        Value::Object(fields) => fields.values().any(|value| has(value, text)),
        _ => false,
    }
}

fuzz_target!(|body: &[u8]| {
    let roles = fuzzing::roles(body).unwrap_or_default();
    let given = fuzzing::user_roles(body).unwrap_or_default();
    if roles.is_empty() && given.is_empty() {
        return;
    }
    // Numbers that are too large for anything may stand in fields that mean nothing here.
    let Ok(document) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    for (name, actions) in &roles {
        assert!(has(&document, name));
        assert!(actions.iter().all(|action| has(&document, action)));
    }
    assert!(given.iter().all(|role| has(&document, role)));
});
