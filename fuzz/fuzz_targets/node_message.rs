//! What nodes say to each other, about the order and about the ledger's files: what is read and written
//! again is read the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use node::fuzzing::{answer, question, reply, request};

fuzz_target!(|bytes: &[u8]| {
    for read in [request, reply, question, answer] {
        if let Some(written) = read(bytes) {
            assert_eq!(read(&written).as_ref(), Some(&written));
        }
    }
});
