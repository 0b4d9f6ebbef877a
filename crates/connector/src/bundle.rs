//! The proof that a record was anchored, checked offline.
//!
//! It is a JSON document (`docs/connector.md` draws it). Who checks it needs the record's digest and one
//! thing to trust: a block's hash, from any node or explorer; or, on a ledger of ours, the service
//! certificate. Nothing in the document is believed that does not follow from these.

use alloy_primitives::{Address, B256, BlockHash, Log, TxHash, keccak256};
use serde::{Deserialize, Serialize};

use crate::error::BundleError;
use crate::limits::{BUNDLE_BYTES_MAX, PATH_STEPS_MAX};
use crate::merkle::{Path, leaf};
pub use crate::proof::{Proof, Trust};

/// What the document calls itself.
pub const TYPE: &str = "counterfoil.anchored-record";
/// The version of the document that this reads and writes.
pub const VERSION: u32 = 1;

/// The proof of one record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bundle {
    /// [`TYPE`].
    #[serde(rename = "type")]
    pub kind: String,
    /// [`VERSION`].
    pub version: u32,
    /// What was anchored.
    pub record: Salted,
    /// From the record's leaf to the root.
    pub path: Path,
    /// The root that the contract has.
    pub root: B256,
    /// Where it has it.
    pub anchor: Anchored,
    /// How to see that.
    pub proof: Proof,
}

/// The digest of a record, and the salt that hides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Salted {
    /// The digest, as whoever has the record computes it.
    pub digest: B256,
    /// 32 random bytes.
    pub salt: B256,
}

/// Where a root was anchored first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Anchored {
    /// The chain.
    pub chain_id: u64,
    /// The anchor contract.
    pub contract: Address,
    /// The transaction.
    pub transaction_hash: TxHash,
    /// The block's number.
    pub block_number: u64,
    /// The block's hash; on a ledger of ours the root that the receipt's node signed.
    pub block_hash: BlockHash,
    /// The event's place among those of the transaction, from 0.
    pub log_index: u64,
}

/// The first topic of the contract's event.
pub(crate) fn event() -> B256 {
    keccak256("Anchored(bytes32,address)")
}

impl Bundle {
    /// Reads a document. Whether it proves anything is [`Bundle::verify`]'s.
    ///
    /// # Errors
    /// It is too large, or not such a document.
    pub fn from_json(json: &[u8]) -> Result<Self, BundleError> {
        if json.len() > BUNDLE_BYTES_MAX {
            let why = format!("it has more than {BUNDLE_BYTES_MAX} bytes");
            return Err(BundleError::Malformed(why));
        }
        let bundle: Self = serde_json::from_slice(json)
            .map_err(|error| BundleError::Malformed(error.to_string()))?;
        match (bundle.kind.as_str(), bundle.version) {
            (TYPE, VERSION) => Ok(bundle),
            (kind, version) => Err(BundleError::Malformed(format!(
                "it is {kind:?}, version {version}"
            ))),
        }
    }

    /// The document.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("the document has text for keys")
    }

    /// Checks that the record with this digest was anchored where the document says.
    ///
    /// With a trusted block all of [`Anchored`] is proven. With a trusted ledger all but the chain's
    /// id and the block's number: the ledger is the one that the certificate names.
    ///
    /// # Errors
    /// Something does not follow from what is trusted; the error says what.
    pub fn verify(&self, record: B256, trust: Trust<'_>) -> Result<(), BundleError> {
        let broken = |what| Err(BundleError::Broken(what));
        if self.record.digest != record {
            return broken("the proof is about another record");
        }
        if self.path.steps.len() > PATH_STEPS_MAX {
            return broken("the path is longer than any tree is high");
        }
        let leaf = leaf(&self.record.salt, &self.record.digest);
        if self.path.root(leaf) != Some(self.root) {
            return broken("the path does not lead from the record to the root");
        }
        let shown = self.proof.shows(trust)?;
        let anchor = &self.anchor;
        if shown.block_hash != anchor.block_hash {
            return broken("the receipt is of another block");
        }
        if shown.hash != anchor.transaction_hash {
            return broken("the receipt is of another transaction");
        }
        if let Some(place) = &shown.header {
            if place.number != anchor.block_number {
                return broken("the block has another number");
            }
            if place.chain_id != Some(anchor.chain_id) {
                return broken("the transaction was signed for another chain");
            }
        }
        self.logged(shown.succeeded, &shown.logs)
    }

    /// Whether the contract said that it has the root.
    fn logged(&self, succeeded: bool, logs: &[Log]) -> Result<(), BundleError> {
        let place = usize::try_from(self.anchor.log_index).ok();
        let log = place.and_then(|place| logs.get(place));
        match log.filter(|_| succeeded) {
            Some(log) if is_anchoring(log, self.anchor.contract, self.root) => Ok(()),
            _ => Err(BundleError::Broken(
                "the contract did not say there that it has the root",
            )),
        }
    }
}

/// Whether this is the contract's event about this root.
pub(crate) fn is_anchoring(log: &Log, contract: Address, root: B256) -> bool {
    log.address == contract && log.topics().starts_with(&[event(), root])
}

#[cfg(test)]
pub(crate) mod tests {
    use alloy_consensus::{
        Header, Receipt, ReceiptEnvelope, SignableTransaction, TxEnvelope, TxLegacy,
    };
    use alloy_eips::eip2718::Encodable2718;
    use alloy_primitives::{Bytes, LogData, Signature, TxKind};
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::merkle::Tree;
    use crate::proof::Roots;
    use crate::trie;

    const CHAIN: u64 = 4711;

    fn contract() -> Address {
        Address::repeat_byte(0xc0)
    }

    fn transaction(nonce: u64) -> Vec<u8> {
        let legacy = TxLegacy {
            chain_id: Some(CHAIN),
            nonce,
            to: TxKind::Call(contract()),
            ..TxLegacy::default()
        };
        let signed = legacy.into_signed(Signature::test_signature());
        TxEnvelope::from(signed).encoded_2718()
    }

    fn receipt(root: B256, succeeded: bool) -> Vec<u8> {
        let log = |root| Log {
            address: contract(),
            data: LogData::new_unchecked(
                vec![event(), root, Address::ZERO.into_word()],
                Bytes::new(),
            ),
        };
        let receipt = Receipt {
            status: succeeded.into(),
            cumulative_gas_used: 21_000,
            logs: vec![log(B256::ZERO), log(root)],
        };
        ReceiptEnvelope::Legacy(receipt.with_bloom()).encoded_2718()
    }

    /// A record among three, in the second transaction of a block of five.
    fn bundle() -> Bundle {
        let record = Salted {
            digest: B256::repeat_byte(1),
            salt: B256::repeat_byte(2),
        };
        let leaves = vec![
            B256::repeat_byte(9),
            B256::repeat_byte(8),
            leaf(&record.salt, &record.digest),
        ];
        let tree = Tree::new(leaves).unwrap();
        let transactions: Vec<_> = (0..5).map(transaction).collect();
        let receipts: Vec<_> = (0..5)
            .map(|n| match n {
                1 => receipt(tree.root(), true),
                _ => receipt(B256::repeat_byte(n), n == 4),
            })
            .collect();
        let (transactions_root, transaction_nodes) = trie::prove(&transactions, 1).unwrap();
        let (receipts_root, receipt_nodes) = trie::prove(&receipts, 1).unwrap();
        let header = alloy_rlp::encode(Header {
            transactions_root,
            receipts_root,
            number: 77,
            ..Header::default()
        });
        Bundle {
            kind: TYPE.to_owned(),
            version: VERSION,
            record,
            path: tree.path(2).unwrap(),
            root: tree.root(),
            anchor: Anchored {
                chain_id: CHAIN,
                contract: contract(),
                transaction_hash: keccak256(&transactions[1]),
                block_number: 77,
                block_hash: keccak256(&header),
                log_index: 1,
            },
            proof: Proof::Header {
                header: header.into(),
                transaction_index: 1,
                transaction: transactions[1].clone().into(),
                transaction_nodes,
                receipt: receipts[1].clone().into(),
                receipt_nodes,
            },
        }
    }

    #[test]
    fn a_bundle_is_verified_offline_and_read_back() {
        let bundle = bundle();
        let trust = Trust::Block(bundle.anchor.block_hash);
        bundle.verify(B256::repeat_byte(1), trust).unwrap();
        let read = Bundle::from_json(bundle.to_json().as_bytes()).unwrap();
        assert_eq!(read, bundle);
    }

    #[test]
    fn a_bundle_about_another_record_or_block_is_refused() {
        let bundle = bundle();
        let hash = bundle.anchor.block_hash;
        let about = |record, trust| bundle.verify(record, trust).is_err();
        assert!(about(B256::repeat_byte(3), Trust::Block(hash)));
        assert!(about(B256::repeat_byte(1), Trust::Block(B256::ZERO)));
    }

    #[test]
    fn no_change_of_a_bundle_goes_unnoticed() {
        let bundle = bundle();
        let trust = Trust::Block(bundle.anchor.block_hash);
        let json = serde_json::to_value(&bundle).unwrap();
        let mut places = Vec::new();
        leaves_of(&json, String::new(), &mut places);
        assert!(places.len() > 20, "{places:?}");
        for place in places {
            let mut changed = json.clone();
            let value = changed.pointer_mut(&place).unwrap();
            *value = match &*value {
                Value::Number(number) => (number.as_u64().unwrap() + 1).into(),
                Value::String(text) => changed_text(text).into(),
                other => panic!("{other}"),
            };
            let read = Bundle::from_json(changed.to_string().as_bytes());
            let verdict = read.and_then(|read| read.verify(B256::repeat_byte(1), trust));
            assert!(verdict.is_err(), "{place} was changed");
        }
    }

    /// The same text with its middle digit changed.
    fn changed_text(text: &str) -> String {
        let middle = text.len() / 2 + 1;
        let digit = if text[middle..].starts_with('0') {
            "1"
        } else {
            "0"
        };
        format!("{}{digit}{}", &text[..middle], &text[middle + 1..])
    }

    fn leaves_of(value: &Value, at: String, places: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    leaves_of(value, format!("{at}/{name}"), places);
                }
            }
            Value::Array(items) => {
                for (place, value) in items.iter().enumerate() {
                    leaves_of(value, format!("{at}/{place}"), places);
                }
            }
            _ => places.push(at),
        }
    }

    #[test]
    fn what_is_no_bundle_is_refused() {
        let json = bundle().to_json();
        for text in [
            "",
            "{}",
            "[]",
            &json.replace("\"version\":1", "\"version\":2"),
            &json.replace(TYPE, "counterfoil.other"),
            &json.replace("\"root\"", "\"more\":1,\"root\""),
            &format!("{}{}", json, " ".repeat(BUNDLE_BYTES_MAX)),
        ] {
            let read = Bundle::from_json(text.as_bytes());
            assert!(matches!(read, Err(BundleError::Malformed(_))));
        }
    }

    #[test]
    fn the_event_has_the_digest_of_its_signature() {
        let artifact = include_str!("../../../contracts-sol/artifacts/Anchor.json");
        let artifact: Value = serde_json::from_str(artifact).unwrap();
        let topic = alloy_primitives::hex::encode(event());
        assert!(artifact["bytecode"].as_str().unwrap().contains(&topic));
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Bundle::from_json(&bytes);
            let _ = Roots::of(&bytes);
        }
    }
}
