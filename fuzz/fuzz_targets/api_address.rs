//! Paths and queries: one endpoint each, values as they were encoded, entries within their limits.
#![no_main]

use api::fuzzing;
use http::{Method, Uri};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(address) = text.parse::<Uri>() else {
        return;
    };
    for method in [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
    ] {
        if let Some((route, param)) = fuzzing::route(&method, address.path()) {
            assert_eq!(route.contains('{'), param.is_some());
        }
    }
    let query = address.query().unwrap_or_default();
    let value = |name| fuzzing::query(query, name).unwrap_or_default();
    let (collection, tags) = (value("collectionId"), value("tags"));
    if !query.contains(['%', '+']) {
        // What needs no decoding stands there as it is.
        assert!(query.contains(&*collection) && query.contains(&*tags));
    }
    if let Some((entry, tags)) = fuzzing::tagged("contents", &collection, &tags) {
        assert_eq!(entry.collection(), collection);
        assert!(!collection.is_empty() && !collection.contains(char::is_control));
        assert!(tags.iter().all(|tag| !tag.is_empty() && !tag.contains(',')));
    }
});
