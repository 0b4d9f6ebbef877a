//! Names of ledger files: each chunk has one.
#![no_main]

use ledger::chunk::ChunkName;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some(name) = ChunkName::parse(text) {
        assert_eq!(name.to_string(), text);
    }
});
