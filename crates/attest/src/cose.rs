//! COSE_Sign1 (RFC 9052) as far as signed statements about platforms use it.

use aws_lc_rs::signature::{self, VerificationAlgorithm};
use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

/// What is wrong with a message, for the sentence of the caller's own refusal.
pub(crate) type Fault = &'static str;

/// No statement about a platform has more.
const MAX_HEADERS: u64 = 32;

/// A message, read and not yet believed.
#[derive(Clone, Copy)]
pub(crate) struct Sign1<'a> {
    /// The protected headers as they are signed.
    pub(crate) protected: &'a [u8],
    pub(crate) payload: &'a [u8],
    pub(crate) signature: &'a [u8],
}

/// The name of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Label<'a> {
    Number(i64),
    Text(&'a str),
}

impl<'a> Sign1<'a> {
    /// Reads a message, with its tag or without.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut cbor = Decoder::new(bytes);
        let parsed = Self::read(&mut cbor).map_err(|_| "it is no COSE_Sign1 message")?;
        if cbor.position() != bytes.len() {
            return Err("something follows the COSE_Sign1 message");
        }
        parsed.ok_or("it is no COSE_Sign1 message")
    }

    fn read(cbor: &mut Decoder<'a>) -> Result<Option<Self>, minicbor::decode::Error> {
        const SIGN1: u64 = 18;
        if cbor.datatype()? == Type::Tag && cbor.tag()?.as_u64() != SIGN1 {
            return Ok(None);
        }
        if cbor.array()? != Some(4) {
            return Ok(None);
        }
        let protected = cbor.bytes()?;
        if cbor.datatype()? != Type::Map {
            return Ok(None);
        }
        cbor.skip()?;
        Ok(Some(Self {
            protected,
            payload: cbor.bytes()?,
            signature: cbor.bytes()?,
        }))
    }

    /// The protected headers, each once.
    pub(crate) fn headers(&self) -> Result<Map<'a>, Fault> {
        Map::parse(self.protected)
    }

    /// The bytes that the signature is over.
    pub(crate) fn signed(&self) -> Vec<u8> {
        let mut cbor = Encoder::new(Vec::with_capacity(
            self.protected.len() + self.payload.len() + 32,
        ));
        let written = cbor
            .array(4)
            .and_then(|cbor| cbor.str("Signature1"))
            .and_then(|cbor| cbor.bytes(self.protected))
            .and_then(|cbor| cbor.bytes(&[]))
            .and_then(|cbor| cbor.bytes(self.payload))
            .map(|_| ());
        written.expect("invariant: writing to memory cannot fail");
        cbor.into_writer()
    }
}

/// A map whose keys are known to be different, its values still in CBOR.
pub(crate) struct Map<'a>(Vec<(Label<'a>, &'a [u8])>);

impl<'a> Map<'a> {
    /// Reads a map that fills `bytes`.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut cbor = Decoder::new(bytes);
        let map = Self::read(bytes, &mut cbor).map_err(|_| "its headers are not a CBOR map")?;
        let map = map.ok_or("its headers are too many, or one is there twice")?;
        if cbor.position() != bytes.len() {
            return Err("something follows its headers");
        }
        Ok(map)
    }

    fn read(
        bytes: &'a [u8],
        cbor: &mut Decoder<'a>,
    ) -> Result<Option<Self>, minicbor::decode::Error> {
        let length = cbor.map()?.unwrap_or(u64::MAX);
        if length > MAX_HEADERS {
            return Ok(None);
        }
        let mut entries: Vec<(Label<'a>, &'a [u8])> = Vec::new();
        for _ in 0..length {
            let label = match cbor.datatype()? {
                Type::String => Label::Text(cbor.str()?),
                _ => Label::Number(cbor.i64()?),
            };
            let start = cbor.position();
            cbor.skip()?;
            if entries.iter().any(|(other, _)| *other == label) {
                return Ok(None);
            }
            entries.push((label, &bytes[start..cbor.position()]));
        }
        Ok(Some(Self(entries)))
    }

    /// The entries, in their order, their values in CBOR.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (Label<'a>, &'a [u8])> + '_ {
        self.0.iter().copied()
    }

    /// The value under a label, in CBOR.
    pub(crate) fn raw(&self, label: Label<'_>) -> Option<&'a [u8]> {
        let mut entries = self.0.iter();
        let (_, value) = entries.find(|(other, _)| *other == label)?;
        Some(value)
    }

    /// The value under a label, to be decoded.
    pub(crate) fn get(&self, label: Label<'_>) -> Option<Decoder<'a>> {
        self.raw(label).map(Decoder::new)
    }

    /// The text under a label.
    pub(crate) fn text(&self, label: Label<'_>) -> Option<&'a str> {
        self.get(label)?.str().ok()
    }
}

/// The algorithm behind a number of the COSE registry: the ones that vendors sign with.
pub(crate) fn algorithm(number: i64) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match number {
        -7 => &signature::ECDSA_P256_SHA256_FIXED,
        -35 => &signature::ECDSA_P384_SHA384_FIXED,
        -37 => &signature::RSA_PSS_2048_8192_SHA256,
        -38 => &signature::RSA_PSS_2048_8192_SHA384,
        -39 => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_with_its_tag_and_without() {
        let tagged = [0xd2, 0x84, 0x43, 0xa1, 0x01, 0x26, 0xa0, 0x41, 7, 0x41, 9];
        for bytes in [&tagged[..], &tagged[1..]] {
            let message = Sign1::parse(bytes).unwrap();
            assert_eq!((message.payload, message.signature), (&[7][..], &[9][..]));
            let headers = message.headers().unwrap();
            let algorithm = headers.get(Label::Number(1)).unwrap().i64();
            assert_eq!(algorithm.unwrap(), -7);
        }
        // RFC 9052, section 4.4.
        let signed = hex::encode(Sign1::parse(&tagged).unwrap().signed());
        assert_eq!(signed, "846a5369676e61747572653143a10126404107");
    }

    #[test]
    fn other_messages_are_refused() {
        for hex in [
            "",
            "a0",
            "d18443a10126a041074109",
            "8343a10126a04107",
            "8443a10126a04107410900",
            "8443a10126804107",
            "8443a10126a0f64109",
        ] {
            assert!(Sign1::parse(&hex::decode(hex).unwrap()).is_err(), "{hex}");
        }
    }

    #[test]
    fn a_header_is_there_once() {
        for hex in ["a201260126", "a0ff", "a101", "bf0126ff", "a14100f6"] {
            assert!(Map::parse(&hex::decode(hex).unwrap()).is_err(), "{hex}");
        }
    }
}
