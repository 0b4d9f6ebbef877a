//! The story of a ledger whose files anybody may have written: it is told, whatever stands there.
#![no_main]

use ledger::WriteSet;
use ledger::governance::story::{Event, Story};
use ledger::write_set::Domain;
use libfuzzer_sys::fuzz_target;
use verify::{Seqno, TxId, View};

fuzz_target!(|bytes: &[u8]| {
    let mut writes = WriteSet::default();
    if writes.decode(Domain::Public, bytes).is_err() {
        return;
    }
    let mut story = Story::default();
    for seqno in 1..3 {
        let events = story.read(TxId::new(View(2), Seqno(seqno)), &writes);
        assert!(events.iter().map(Event::sentence).all(|it| !it.is_empty()));
    }
});
