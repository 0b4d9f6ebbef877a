//! COSE_Sign1 (RFC 9052) and the little of CBOR that it needs.

use std::convert::Infallible;

use minicbor::data::{Tag, Type};
use minicbor::decode::{Decoder, Error as CborError};
use minicbor::encode::{Encoder, Error as EncodeError};

use crate::error::ReceiptError;

pub(super) const COSE_SIGN1: Tag = Tag::new(18);

/// The four parts of a COSE_Sign1, tagged and of definite lengths.
pub(super) struct Sign1<'a> {
    pub(super) protected: &'a [u8],
    /// The map, still encoded.
    pub(super) unprotected: &'a [u8],
    pub(super) payload: Option<&'a [u8]>,
    pub(super) signature: &'a [u8],
}

impl<'a> Sign1<'a> {
    pub(super) fn parse(bytes: &'a [u8], limit: usize) -> Result<Self, ReceiptError> {
        if bytes.len() > limit {
            return Err(ReceiptError::TooLarge {
                what: "bytes of COSE",
                limit,
            });
        }
        let mut d = Decoder::new(bytes);
        if d.tag()? != COSE_SIGN1 || length(d.array()?)? != 4 {
            return Err(malformed("it is no tagged COSE_Sign1"));
        }
        let protected = d.bytes()?;
        let start = d.position();
        if d.datatype()? != Type::Map {
            return Err(malformed("the unprotected header is no map"));
        }
        d.skip()?;
        let unprotected = &bytes[start..d.position()];
        let payload = match d.datatype()? {
            Type::Null => d.null().map(|()| None)?,
            _ => Some(d.bytes()?),
        };
        let signature = d.bytes()?;
        end(&d)?;
        Ok(Self {
            protected,
            unprotected,
            payload,
            signature,
        })
    }
}

/// A key in a COSE header.
#[derive(Clone, Copy)]
pub(super) enum Label<'a> {
    Int(i64),
    Text(&'a str),
}

/// Reads a map of definite length; `field` reads, or skips, the value of each label.
pub(super) fn map<'a>(
    d: &mut Decoder<'a>,
    mut field: impl FnMut(&mut Decoder<'a>, Label<'a>) -> Result<(), ReceiptError>,
) -> Result<(), ReceiptError> {
    for _ in 0..length(d.map()?)? {
        let label = match d.datatype()? {
            Type::String => Label::Text(d.str()?),
            _ => Label::Int(d.i64()?),
        };
        field(d, label)?;
    }
    Ok(())
}

/// Fills a slot; a label that comes twice would let two readers see two things.
pub(super) fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), ReceiptError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(malformed("a label comes twice")),
    }
}

pub(super) fn length(length: Option<u64>) -> Result<u64, ReceiptError> {
    length.ok_or_else(|| malformed("a length is not definite"))
}

pub(super) fn end(d: &Decoder<'_>) -> Result<(), ReceiptError> {
    if d.position() == d.input().len() {
        Ok(())
    } else {
        Err(malformed("bytes follow its end"))
    }
}

pub(super) fn malformed(what: &str) -> ReceiptError {
    ReceiptError::Malformed(what.to_owned())
}

impl From<CborError> for ReceiptError {
    fn from(error: CborError) -> Self {
        Self::Malformed(error.to_string())
    }
}

pub(super) fn encoded(
    write: impl FnOnce(&mut Encoder<Vec<u8>>) -> Result<(), EncodeError<Infallible>>,
) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::with_capacity(512));
    match write(&mut encoder) {
        Ok(()) => encoder.into_writer(),
        Err(error) => unreachable!("writing to memory cannot fail: {error}"),
    }
}

/// What is signed: the Sig_structure of RFC 9052, without external data.
pub fn sig_structure(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    encoded(|e| {
        e.array(4)?
            .str("Signature1")?
            .bytes(protected)?
            .bytes(&[])?
            .bytes(payload)?;
        Ok(())
    })
}
