//! Byte strings of fixed length that people read and write in hexadecimal.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `N` bytes; in text and JSON twice as many hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HexBytes<const N: usize>(pub [u8; N]);

/// What hardware says about the code that was loaded: a SHA-384 digest on SNP and TDX.
pub type Measurement = HexBytes<48>;
/// What the host gave to an SNP guest at launch, unchangeable afterwards: the digest of the
/// workload's own policy.
pub type HostData = HexBytes<32>;
/// What the code under evidence chose to have signed; see [`crate::report_data_for`].
pub type ReportData = HexBytes<64>;

/// The text is not a byte string of the expected length. Whoever wrote it should compare it with
/// the source it was copied from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not {0} hexadecimal digits")]
pub struct NotHex(usize);

impl<const N: usize> HexBytes<N> {
    /// All bytes zero: what hardware reports for a value that was never set.
    pub const ZERO: Self = Self([0; N]);

    /// The first `N` bytes from `offset` on.
    ///
    /// The caller has checked the length: this is for layouts of fixed size.
    pub(crate) fn at(bytes: &[u8], offset: usize) -> Self {
        let mut field = [0; N];
        field.copy_from_slice(&bytes[offset..offset + N]);
        Self(field)
    }
}

impl<const N: usize> FromStr for HexBytes<N> {
    type Err = NotHex;

    fn from_str(text: &str) -> Result<Self, NotHex> {
        let mut bytes = [0; N];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NotHex(2 * N))?;
        Ok(Self(bytes))
    }
}

impl<const N: usize> fmt::Display for HexBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl<const N: usize> fmt::Debug for HexBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const N: usize> Serialize for HexBytes<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for HexBytes<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Bytes of any length: in text standard base64 with padding.
pub(crate) mod base64_bytes {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text.as_bytes());
        bytes.map_err(|_| serde::de::Error::custom("not base64"))
    }

    /// The same for bytes that may be absent.
    pub(crate) mod option {
        use serde::{Deserialize, Deserializer, Serialize, Serializer};

        #[derive(Serialize, Deserialize)]
        struct Present(#[serde(with = "super")] Vec<u8>);

        pub(crate) fn serialize<S: Serializer>(
            bytes: &Option<Vec<u8>>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match bytes {
                Some(bytes) => super::serialize(bytes, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Vec<u8>>, D::Error> {
            let present = Option::<Present>::deserialize(deserializer)?;
            Ok(present.map(|Present(bytes)| bytes))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_and_written_in_hexadecimal() {
        let bytes: HexBytes<3> = "00fFa0".parse().unwrap();
        assert_eq!(bytes, HexBytes([0, 0xff, 0xa0]));
        assert_eq!(serde_json::to_string(&bytes).unwrap(), r#""00ffa0""#);
        assert_eq!(
            serde_json::from_str::<HexBytes<3>>(r#""00ffa0""#).unwrap(),
            bytes
        );
    }

    #[test]
    fn another_length_is_refused() {
        for text in ["", "00", "00ffa", "00ffa000", "00ffzz"] {
            assert_eq!(text.parse::<HexBytes<3>>(), Err(NotHex(6)), "{text}");
        }
    }
}
