//! What all messages between nodes share in how they are read: CBOR, each array of a known length.

use minicbor::decode::{Decoder, Error};

/// Begins an array of exactly this length.
pub(crate) fn exactly(input: &mut Decoder<'_>, length: u64) -> Result<(), Error> {
    match input.array()? {
        Some(found) if found == length => Ok(()),
        _ => Err(Error::message("an array has another length than expected")),
    }
}

/// Begins an array of at most so many, and tells of how many.
pub(crate) fn counted(input: &mut Decoder<'_>, most: u64) -> Result<u64, Error> {
    match input.array()? {
        Some(count) if count <= most => Ok(count),
        _ => Err(Error::message("an array is longer than a message may have")),
    }
}

/// Makes sure that nothing follows.
pub(crate) fn ended(input: &Decoder<'_>) -> Result<(), Error> {
    if input.position() == input.input().len() {
        Ok(())
    } else {
        Err(Error::message("something follows the message"))
    }
}
