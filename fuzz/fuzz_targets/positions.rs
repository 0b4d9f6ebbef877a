//! The table of positions at the end of a ledger file.
#![no_main]

use ledger::chunk::{decode_positions, encode_positions};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(positions) = decode_positions(bytes) {
        assert_eq!(encode_positions(&positions), bytes);
    }
});
