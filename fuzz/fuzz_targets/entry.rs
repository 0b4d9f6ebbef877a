//! Ledger entries as they lie in a chunk.
#![no_main]

use ledger::Entry;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(entry) = Entry::parse(bytes) else { return };
    let _ = entry.leaf();
    let _ = entry.has_private_part();
    let _ = entry.public_writes();
});
