//! Signed transactions: one spelling, known by their hash, and whatever they do is written whole or not at
//! all.
#![no_main]

use std::sync::{Arc, OnceLock};

use contracts::{Execute, Outcome, Signed};
use ledger::contracts::FEATURE;
use ledger::kv::MemoryState;
use ledger::tables::{EVM_TRANSACTIONS, FEATURES};
use ledger::{State, Transaction, Tx};
use libfuzzer_sys::fuzz_target;
use verify::{Digest, Seqno, TxId, View};

const CHAIN: u64 = 1;

fuzz_target!(|bytes: &[u8]| {
    let Ok(signed) = Signed::decode(bytes.to_vec().into(), CHAIN) else {
        return;
    };
    let again = Signed::recorded(signed.raw().clone(), signed.sender()).unwrap();
    assert_eq!((again.hash(), again.nonce()), (signed.hash(), signed.nonce()));
    let mut state = MemoryState::default();
    let settings = |tx: &mut Tx<'_>| {
        let settings = format!(r#"{{"chain_id": {CHAIN}}}"#);
        tx.put(FEATURES, FEATURE.as_bytes(), settings);
        Ok(Digest::ZERO)
    };
    state.run(settings).unwrap();
    let (hash, answer) = (signed.hash(), Arc::new(OnceLock::new()));
    let execute = Execute {
        signed,
        time: 1_800_000_000,
        codes: Arc::default(),
        gaps: Arc::default(),
        answer: Arc::clone(&answer),
    };
    let mut tx = Tx::new(&state, TxId::new(View(2), Seqno(10)), [7; 32]);
    let ran = Box::new(execute).run(&mut tx);
    let answer = answer.get().unwrap();
    assert_eq!(ran.is_ok(), answer.is_ok());
    if let Ok(outcome) = answer {
        state.apply(&tx.into_writes());
        let row = state.value(&EVM_TRANSACTIONS, hash.as_slice()).unwrap();
        assert_eq!(Outcome::decode_row(&row).as_ref(), Ok(&**outcome));
    }
});
