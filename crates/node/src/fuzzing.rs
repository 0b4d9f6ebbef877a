//! What reads the bytes of other nodes in here, for the targets in `fuzz/` alone (`--cfg fuzzing`).

use crate::consensus::wire::{Reply, Request};
use crate::transfer::wire::{Answer, Question};

/// A question about the order, as this node would write it, if it is one.
pub fn request(bytes: &[u8]) -> Option<Vec<u8>> {
    Some(Request::decode(bytes).ok()?.encode())
}

/// An answer about the order, likewise.
pub fn reply(bytes: &[u8]) -> Option<Vec<u8>> {
    Some(Reply::decode(bytes).ok()?.encode())
}

/// A question about the ledger's files, likewise.
pub fn question(bytes: &[u8]) -> Option<Vec<u8>> {
    Some(Question::decode(bytes).ok()?.encode())
}

/// An answer about the ledger's files, likewise.
pub fn answer(bytes: &[u8]) -> Option<Vec<u8>> {
    Some(Answer::decode(bytes).ok()?.encode())
}
