//! Write sets of either domain: what is read is written and read back the same.
#![no_main]

use ledger::WriteSet;
use ledger::write_set::Domain;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for domain in [Domain::Public, Domain::Private] {
        let mut writes = WriteSet::default();
        if writes.decode(domain, bytes).is_err() {
            continue;
        }
        let mut written = Vec::new();
        writes.encode(domain, &mut written);
        let mut again = WriteSet::default();
        again.decode(domain, &written).unwrap();
        assert_eq!(again.into_writes(), writes.into_writes());
    }
});
