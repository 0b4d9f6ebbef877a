//! What a server streams to a client: the same events however the bytes were cut on their way.
#![no_main]

use client::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (size, body) = input;
    let whole = fuzzing::events([&body[..]]);
    let pieces = fuzzing::events(body.chunks(usize::from(size).max(1)));
    assert_eq!(whole, pieces);
    for (id, _, data) in whole.unwrap_or_default() {
        assert!(!id.contains(['\n', '\0']));
        assert!(data.len() <= body.len() * 3, "nothing is made up");
    }
});
