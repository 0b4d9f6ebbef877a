//! Parameters of Ethereum's JSON-RPC, as each method reads them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = str::from_utf8(bytes) {
        contracts::rpc::fuzzing::params(text);
    }
});
