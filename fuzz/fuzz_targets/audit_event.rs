//! Events of the audit as a ledger has them, and data: each has one form.
#![no_main]

use audit::model::{Content, Event, strict};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = str::from_utf8(bytes)
        && let Ok(event) = Event::from_canonical(text)
    {
        assert_eq!(event.to_canonical(), text);
    }
    if let Ok(data) = strict::parse(bytes)
        && let Ok(content) = Content::of(&data)
    {
        let again = strict::parse(content.as_str().as_bytes()).expect("the canonical form is strict");
        let again = Content::of(&again).expect("it has a canonical form");
        assert_eq!(content, again);
    }
});
