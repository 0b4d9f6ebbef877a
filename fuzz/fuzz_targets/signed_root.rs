//! Signature entries: the three tables of one, out of damaged writes.
#![no_main]

use ledger::WriteSet;
use ledger::signature::SignedRoot;
use ledger::write_set::Domain;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut writes = WriteSet::default();
    if writes.decode(Domain::Public, bytes).is_err() {
        return;
    }
    let Ok(Some(signed)) = SignedRoot::from_writes(&writes) else { return };
    let again = SignedRoot::from_writes(&signed.to_writes());
    assert_eq!(again, Ok(Some(signed)));
});
