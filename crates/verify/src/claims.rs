//! Claims: what an application wants attested about its transaction.
//!
//! The protocols are those of Azure Confidential Ledger, so its SDK computes the same digests.
//! A claim about a ledger entry is blinded by a key of its own, so that a digest in a receipt tells
//! nothing about contents that can be guessed.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::Digest;
use crate::ethereum::{ETHEREUM_TRANSACTION_V1, EthereumTransaction};
use crate::hmac::hmac_sha256;

/// The one protocol for claims about ledger entries.
pub const LEDGER_ENTRY_V1: &str = "LedgerEntryV1";

/// One claim of a transaction.
///
/// Its JSON is that of the receipt endpoint, `{"kind": "LedgerEntry", "ledgerEntry": {..}}` or
/// `{"kind": "ClaimDigest", "digest": {..}}`, and ours for contracts, `{"kind": "EthereumTransaction",
/// "ethereumTransaction": {..}}`; the older snake_case keys are read too.
#[derive(Clone, PartialEq, Eq)]
pub enum Claim {
    /// The transaction appended `contents` to a collection.
    LedgerEntry {
        /// The collection, for example `subledger:0`.
        collection_id: String,
        /// What was appended.
        contents: String,
        /// Blinds the claim; whoever shows the claim shows the key with it.
        secret_key: [u8; 32],
    },
    /// The transaction was one of a contract, with this result.
    EthereumTransaction(EthereumTransaction),
    /// A claim that only its digest stands for.
    Digest {
        /// How the digest was made.
        protocol: String,
        /// The digest.
        value: Digest,
    },
}

impl Claim {
    /// The digest of this claim alone: `H(protocol || value)`, where the value of a ledger entry is
    /// `H(HMAC(key, collection id) || HMAC(key, contents))`.
    pub fn digest(&self) -> Digest {
        match self {
            Self::LedgerEntry {
                collection_id,
                contents,
                secret_key,
            } => ledger_entry_digest(collection_id, contents, secret_key),
            Self::EthereumTransaction(transaction) => Digest::of_parts(&[
                ETHEREUM_TRANSACTION_V1.as_bytes(),
                transaction.digest().as_bytes(),
            ]),
            Self::Digest { protocol, value } => {
                Digest::of_parts(&[protocol.as_bytes(), value.as_bytes()])
            }
        }
    }
}

/// The digest of all claims of a transaction, in their order: what stands in its leaf.
///
/// A transaction without claims has [`Digest::ZERO`] there, so that is the digest of no claims.
pub fn claims_digest(claims: &[Claim]) -> Digest {
    if claims.is_empty() {
        return Digest::ZERO;
    }
    let mut bytes = Vec::with_capacity(4 + Digest::LEN * claims.len());
    let count = u32::try_from(claims.len()).unwrap_or(u32::MAX);
    bytes.extend(count.to_le_bytes());
    for claim in claims {
        bytes.extend(claim.digest().0);
    }
    Digest::of(&bytes)
}

/// [`claims_digest`] of the single claim that most transactions have, without building it.
pub fn ledger_entry_claims_digest(
    collection_id: &str,
    contents: &str,
    secret_key: &[u8; 32],
) -> Digest {
    let claim = ledger_entry_digest(collection_id, contents, secret_key);
    Digest::of_parts(&[&1u32.to_le_bytes(), claim.as_bytes()])
}

fn ledger_entry_digest(collection_id: &str, contents: &str, secret_key: &[u8; 32]) -> Digest {
    let collection_id = hmac_sha256(secret_key, &[collection_id.as_bytes()]);
    let contents = hmac_sha256(secret_key, &[contents.as_bytes()]);
    let value = Digest::of_parts(&[&collection_id.0, &contents.0]);
    Digest::of_parts(&[LEDGER_ENTRY_V1.as_bytes(), value.as_bytes()])
}

/// Shows neither contents nor key: claims may be private, logs are not.
impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LedgerEntry { collection_id, .. } => f
                .debug_struct("LedgerEntry")
                .field("collection_id", collection_id)
                .finish_non_exhaustive(),
            Self::EthereumTransaction(transaction) => f
                .debug_tuple("EthereumTransaction")
                .field(&transaction.transaction_hash)
                .finish(),
            Self::Digest { protocol, value } => f
                .debug_struct("Digest")
                .field("protocol", protocol)
                .field("value", value)
                .finish(),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireClaim<'a> {
    #[serde(borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(
        borrow,
        default,
        alias = "ledger_entry",
        skip_serializing_if = "Option::is_none"
    )]
    ledger_entry: Option<WireEntry<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ethereum_transaction: Option<EthereumTransaction>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    digest: Option<WireDigest<'a>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireEntry<'a> {
    #[serde(borrow)]
    protocol: std::borrow::Cow<'a, str>,
    #[serde(borrow, alias = "collection_id")]
    collection_id: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    contents: std::borrow::Cow<'a, str>,
    #[serde(borrow, alias = "secret_key")]
    secret_key: std::borrow::Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireDigest<'a> {
    #[serde(borrow)]
    protocol: std::borrow::Cow<'a, str>,
    value: Digest,
}

const LEDGER_ENTRY: &str = "LedgerEntry";
const ETHEREUM_TRANSACTION: &str = "EthereumTransaction";
const CLAIM_DIGEST: &str = "ClaimDigest";

impl Serialize for Claim {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let claim = match self {
            Self::LedgerEntry {
                collection_id,
                contents,
                secret_key,
            } => WireClaim {
                kind: LEDGER_ENTRY.into(),
                ledger_entry: Some(WireEntry {
                    protocol: LEDGER_ENTRY_V1.into(),
                    collection_id: collection_id.into(),
                    contents: contents.into(),
                    secret_key: STANDARD.encode(secret_key).into(),
                }),
                ethereum_transaction: None,
                digest: None,
            },
            Self::EthereumTransaction(transaction) => WireClaim {
                kind: ETHEREUM_TRANSACTION.into(),
                ledger_entry: None,
                ethereum_transaction: Some(transaction.clone()),
                digest: None,
            },
            Self::Digest { protocol, value } => WireClaim {
                kind: CLAIM_DIGEST.into(),
                ledger_entry: None,
                ethereum_transaction: None,
                digest: Some(WireDigest {
                    protocol: protocol.into(),
                    value: *value,
                }),
            },
        };
        claim.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Claim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let claim = WireClaim::deserialize(deserializer)?;
        if claim.kind == ETHEREUM_TRANSACTION {
            let shown = claim.ethereum_transaction;
            return shown
                .map(Self::EthereumTransaction)
                .ok_or_else(|| Error::missing_field("ethereumTransaction"));
        }
        match (&*claim.kind, claim.ledger_entry, claim.digest) {
            (LEDGER_ENTRY, Some(entry), _) => {
                if entry.protocol != LEDGER_ENTRY_V1 {
                    return Err(Error::custom(
                        "the protocol of a ledger entry is LedgerEntryV1",
                    ));
                }
                let secret_key = STANDARD.decode(&*entry.secret_key).ok();
                let secret_key = secret_key.and_then(|key| key.try_into().ok());
                Ok(Self::LedgerEntry {
                    collection_id: entry.collection_id.into_owned(),
                    contents: entry.contents.into_owned(),
                    secret_key: secret_key
                        .ok_or_else(|| Error::custom("a secretKey is 32 bytes in base64"))?,
                })
            }
            (CLAIM_DIGEST, _, Some(WireDigest { protocol, value })) => Ok(Self::Digest {
                protocol: protocol.into_owned(),
                value,
            }),
            (LEDGER_ENTRY, None, _) => Err(Error::missing_field("ledgerEntry")),
            (CLAIM_DIGEST, _, None) => Err(Error::missing_field("digest")),
            (kind, ..) => Err(Error::unknown_variant(
                kind,
                &[LEDGER_ENTRY, ETHEREUM_TRANSACTION, CLAIM_DIGEST],
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = r#"{"kind":"LedgerEntry","ledgerEntry":{"protocol":"LedgerEntryV1","collectionId":"subledger:0","contents":"Hello world","secretKey":"Jde/VvaIfyrjQ/B19P+UJCBwmcrgN7sERStoyHnYO0M="}}"#;
    const VALUE: &str = r#"{"kind":"ClaimDigest","digest":{"protocol":"LedgerEntryV1","value":"feb516ef1f903c64f1e388d9ee9fde11f64d1e2bc170248828c9eab9894f9ab9"}}"#;

    fn claim(text: &str) -> Claim {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_ledger_entry_has_the_digest_that_azure_computes() {
        let known = "d08d8764437d09b2d4d07d52293cddaf40f44a3ea2176a0528819a80002df9f6";
        let entry = claim(ENTRY);
        assert_eq!(
            entry.digest().to_string(),
            "d7a056b7b1be1a546cf22efa4bf4f8c3af81f90972d826463046f78842a9808b"
        );
        assert_eq!(
            claims_digest(std::slice::from_ref(&entry)).to_string(),
            known
        );
        assert_eq!(
            claims_digest(&[claim(VALUE)]).to_string(),
            known,
            "the same claim, digested"
        );
        let Claim::LedgerEntry { secret_key, .. } = entry else {
            panic!("a ledger entry")
        };
        let digest = ledger_entry_claims_digest("subledger:0", "Hello world", &secret_key);
        assert_eq!(digest.to_string(), known);
    }

    #[test]
    fn lists_of_claims_have_the_digests_that_azure_computes() {
        let entry = Claim::LedgerEntry {
            collection_id: "subledger:0".into(),
            contents: "Hello world".into(),
            secret_key: [0; 32],
        };
        let digest = Claim::Digest {
            protocol: LEDGER_ENTRY_V1.into(),
            value: Digest([0xab; 32]),
        };
        for (claims, known) in [
            (
                vec![entry.clone()],
                "58ec1cceca0d0bdf80419f1ba1d19d55435ff316b1ff594e417d79044669821c",
            ),
            (
                vec![digest.clone()],
                "eb0d52f4de86117861111cf7bcd44cb23e94bf2ec34d957a2515845383ab0626",
            ),
            (
                vec![entry.clone(), digest.clone()],
                "20f749b71771565c3ff63754757e9a9bfb84bc6db62fa41f9532201954914ed6",
            ),
        ] {
            assert_eq!(claims_digest(&claims).to_string(), known);
        }
        assert_ne!(
            claims_digest(&[digest.clone(), entry.clone()]),
            claims_digest(&[entry, digest])
        );
        assert_eq!(claims_digest(&[]), Digest::ZERO);
    }

    #[test]
    fn claims_are_written_as_they_are_read_and_snake_case_is_understood() {
        for text in [ENTRY, VALUE] {
            assert_eq!(serde_json::to_string(&claim(text)).unwrap(), text);
        }
        let snake = ENTRY
            .replace("ledgerEntry", "ledger_entry")
            .replace("collectionId", "collection_id")
            .replace("secretKey", "secret_key");
        assert_eq!(claim(&snake), claim(ENTRY));
    }

    #[test]
    fn claims_of_another_shape_are_refused() {
        for text in [
            ENTRY.replace("\"LedgerEntry\"", "\"Other\""),
            ENTRY.replace("LedgerEntryV1", "LedgerEntryV2"),
            ENTRY.replace("Jde/", "Jde"),
            ENTRY.replace("Jde/Vva", "===="),
            ENTRY.replace("\"contents\"", "\"more\":1,\"contents\""),
            ENTRY.replace("\"ledgerEntry\"", "\"digest\""),
            VALUE.replace("feb5", "fe"),
            VALUE.replace("\"kind\":\"ClaimDigest\",", ""),
        ] {
            assert!(serde_json::from_str::<Claim>(&text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_logged_claim_shows_neither_contents_nor_key() {
        let text = format!("{:?}", claim(ENTRY));
        assert!(text.contains("subledger:0") && !text.contains("Hello") && !text.contains("37"));
    }
}
