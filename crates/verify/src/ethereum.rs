//! What became of a transaction of the ledger's contracts, as a claim shows it.
//!
//! Its digest is the SHA-256 of an RLP list (Ethereum's yellow paper, appendix B): hash, sender, recipient
//! (empty for none), whether it succeeded (1 or 0), gas used, the contract that it made (empty for none),
//! and its logs, each a list of emitter, topics and data.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::Digest;

/// The protocol of these claims.
pub const ETHEREUM_TRANSACTION_V1: &str = "EthereumTransactionV1";

/// A contract call, or the making of a contract, and its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EthereumTransaction {
    /// The transaction's hash, which stands for all that was signed.
    pub transaction_hash: Hex<32>,
    /// Who signed it.
    pub from: Hex<20>,
    /// Whom it called; nobody, if it made a contract.
    pub to: Option<Hex<20>>,
    /// Whether it succeeded.
    pub succeeded: bool,
    /// Gas that it used.
    pub gas_used: u64,
    /// The contract that it made.
    pub contract_address: Option<Hex<20>>,
    /// What it left for others to see.
    pub logs: Vec<EthereumLog>,
}

/// A log of a contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EthereumLog {
    /// The contract that left it.
    pub address: Hex<20>,
    /// By what it is found.
    pub topics: Vec<Hex<32>>,
    /// What it says.
    #[serde(serialize_with = "write_hex", deserialize_with = "read_hex")]
    pub data: Vec<u8>,
}

impl EthereumTransaction {
    /// The digest that the claim has under [`ETHEREUM_TRANSACTION_V1`].
    pub fn digest(&self) -> Digest {
        let address = |address: &Option<Hex<20>>| {
            let bytes = address.as_ref().map(|address| &address.0[..]);
            text(bytes.unwrap_or_default())
        };
        let logs: Vec<Vec<u8>> = self.logs.iter().map(EthereumLog::encode).collect();
        Digest::of(&list(&[
            text(&self.transaction_hash.0),
            text(&self.from.0),
            address(&self.to),
            number(u64::from(self.succeeded)),
            number(self.gas_used),
            address(&self.contract_address),
            list(&logs),
        ]))
    }
}

impl EthereumLog {
    fn encode(&self) -> Vec<u8> {
        let topics: Vec<_> = self.topics.iter().map(|topic| text(&topic.0)).collect();
        list(&[text(&self.address.0), list(&topics), text(&self.data)])
    }
}

/// Bytes as Ethereum writes them: `0x` and hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hex<const N: usize>(pub [u8; N]);

impl<const N: usize> fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

impl<const N: usize> fmt::Debug for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = read_hex(deserializer)?;
        let length = bytes.len();
        let bytes = bytes.try_into().map_err(|_| {
            serde::de::Error::custom(format!("{length} bytes where {N} are expected"))
        })?;
        Ok(Self(bytes))
    }
}

fn write_hex<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("0x{}", hex::encode(bytes)))
}

fn read_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    use serde::de::Error;
    let text = String::deserialize(deserializer)?;
    let digits = text
        .strip_prefix("0x")
        .ok_or_else(|| D::Error::custom("bytes begin with 0x"))?;
    hex::decode(digits).map_err(D::Error::custom)
}

/// A string of RLP.
fn text(bytes: &[u8]) -> Vec<u8> {
    match bytes {
        [byte @ 0..0x80] => vec![*byte],
        _ => with_length(0x80, bytes),
    }
}

/// A number of RLP: big-endian, without leading zeros.
fn number(value: u64) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let zeros = value.leading_zeros() / 8;
    text(&bytes[zeros as usize..])
}

/// A list of RLP, of encoded items.
fn list(items: &[Vec<u8>]) -> Vec<u8> {
    with_length(0xc0, &items.concat())
}

fn with_length(kind: u8, payload: &[u8]) -> Vec<u8> {
    const SHORT: usize = 55;
    let length = payload.len();
    let mut encoded = Vec::with_capacity(length + 9);
    match u8::try_from(length) {
        Ok(short) if length <= SHORT => encoded.push(kind + short),
        _ => {
            let bytes = length.to_be_bytes();
            let digits = &bytes[(length.leading_zeros() / 8) as usize..];
            encoded.push(kind + SHORT as u8 + digits.len() as u8);
            encoded.extend(digits);
        }
    }
    encoded.extend(payload);
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_encoded_as_in_the_examples_of_the_yellow_paper() {
        assert_eq!(text(b"dog"), b"\x83dog");
        assert_eq!(list(&[text(b"cat"), text(b"dog")]), b"\xc8\x83cat\x83dog");
        assert_eq!((text(b""), list(&[])), (vec![0x80], vec![0xc0]));
        assert_eq!(number(0), [0x80]);
        assert_eq!(number(15), [0x0f]);
        assert_eq!(number(1024), [0x82, 4, 0]);
        let lorem = b"Lorem ipsum dolor sit amet, consectetur adipisicing elit";
        assert_eq!(text(lorem)[..2], [0xb8, 0x38]);
        assert_eq!(text(&[0; 1024])[..3], [0xb9, 4, 0]);
    }

    #[test]
    fn every_part_of_the_result_is_in_the_digest() {
        let call = EthereumTransaction {
            transaction_hash: Hex([1; 32]),
            from: Hex([2; 20]),
            to: Some(Hex([3; 20])),
            succeeded: true,
            gas_used: 21_000,
            contract_address: None,
            logs: vec![EthereumLog {
                address: Hex([3; 20]),
                topics: vec![Hex([4; 32])],
                data: vec![5, 6],
            }],
        };
        let mut others = vec![call.clone(); 8];
        others[0].transaction_hash.0[0] ^= 1;
        others[1].from.0[0] ^= 1;
        others[2].to = None;
        others[3].succeeded = false;
        others[4].gas_used += 1;
        others[5].contract_address = Some(Hex([0; 20]));
        others[6].logs[0].data[0] ^= 1;
        others[7].logs[0].topics.clear();
        for other in others {
            assert_ne!(other.digest(), call.digest(), "{other:?}");
        }
        let json = serde_json::to_string(&call).unwrap();
        assert_eq!(
            serde_json::from_str::<EthereumTransaction>(&json).unwrap(),
            call
        );
    }
}
