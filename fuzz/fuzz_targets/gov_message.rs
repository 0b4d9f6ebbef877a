//! Governance messages: what is read is written and read back the same, and nobody is a member who
//! has no certificate.
#![no_main]

use ledger::governance::message::{Draft, MessageError};
use ledger::governance::{Message, SignedRequest};
use libfuzzer_sys::fuzz_target;
use verify::CoseAlgorithm;

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = Message::parse(bytes) else {
        return;
    };
    let draft = Draft::new(
        message.signer,
        CoseAlgorithm::Es384,
        message.kind,
        message.created_at,
        message.proposal,
        &message.payload,
    );
    let again = Message::parse(&draft.signed(&[0; 96])).unwrap();
    assert_eq!(again.signer, message.signer);
    assert_eq!(again.kind, message.kind);
    assert_eq!(again.created_at, message.created_at);
    assert_eq!(again.proposal, message.proposal);
    assert_eq!(again.payload, message.payload);
    let refused = SignedRequest::verify(bytes, |_| None);
    assert!(matches!(refused, Err(MessageError::Stranger(_))));
});
