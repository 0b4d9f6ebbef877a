//! Proposals and ballots: what is valid can be applied or says why not, and does all or nothing.
#![no_main]

use ledger::governance::{Ballot, actions};
use ledger::kv::MemoryState;
use ledger::{State, Tx, tables};
use libfuzzer_sys::fuzz_target;
use verify::{Seqno, TxId, View};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(ballot) = Ballot::parse(bytes) {
        assert_eq!(Ballot::from_function(&ballot.function()), Some(ballot));
    }
    let Ok(proposed) = actions::parse(bytes) else {
        return;
    };
    assert!(proposed.names().iter().all(|name| actions::exists(name)));
    let mut state = MemoryState::default();
    let mut tx = Tx::new(&state, TxId::new(View(2), Seqno(1)), [0; 32]);
    let applied = proposed.apply(&mut tx);
    let writes = tx.into_writes();
    assert!(applied.is_ok() || writes.is_empty());
    state.apply(&writes);
    for table in &tables::GOVERNED {
        for (_, value) in state.values(table) {
            assert!(!value.is_empty());
        }
    }
});
