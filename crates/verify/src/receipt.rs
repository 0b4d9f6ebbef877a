//! JSON receipts, as CCF nodes and Azure Confidential Ledger give them out.
//!
//! Reading checks the shape and the sizes; whether a receipt is true is [`crate::verifier`]'s.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::cert::Cert;
use crate::claims::Claim;
use crate::cosigned::Cosigned;
use crate::digest::Digest;
use crate::error::ReceiptError;
use crate::limits::{
    MAX_CLAIMS, MAX_COMMIT_EVIDENCE_BYTES, MAX_JSON_BYTES, MAX_SERVICE_ENDORSEMENTS,
    MAX_SIGNATURE_BYTES,
};
use crate::merkle::InclusionProof;
use crate::tx_id::TxId;

/// The three things that a leaf of the tree is the digest of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeafComponents {
    /// Digest of the whole serialised entry.
    pub write_set_digest: Digest,
    /// `ce:<view>.<seqno>:<nonce>`: names the transaction and shows that it is committed.
    pub commit_evidence: String,
    /// Digest of what the application claims, [`Digest::ZERO`] without claims.
    pub claims_digest: Digest,
}

impl LeafComponents {
    /// The leaf: `H(write set digest || H(commit evidence) || claims digest)`.
    pub fn leaf(&self) -> Digest {
        let evidence = Digest::of(self.commit_evidence.as_bytes());
        Digest::of_parts(&[
            self.write_set_digest.as_bytes(),
            evidence.as_bytes(),
            self.claims_digest.as_bytes(),
        ])
    }
}

/// What the signed root of a receipt covers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Covered {
    /// A transaction, through its leaf and a path.
    Transaction {
        /// What the leaf is made from.
        components: LeafComponents,
        /// From the leaf to the root.
        proof: InclusionProof,
        /// The leaf, as older services state it besides.
        leaf: Option<Digest>,
    },
    /// Nothing but the root itself: the receipt of a signature transaction.
    Root(Digest),
}

/// A node's signature over a root, and the way from the root to what it covers.
///
/// Serialised it is the camelCase JSON of Azure Confidential Ledger; deserialised it may also have
/// the older snake_case keys of CCF. `claimsDigest` is required: without it a leaf would be the
/// digest of two digests, as inner nodes are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// The certificate of the node that signed.
    pub cert: Cert,
    /// That node's id, if stated: the digest of its key.
    pub node_id: Option<Digest>,
    /// What is proven.
    pub covered: Covered,
    /// ECDSA signature over the root, DER.
    pub signature: Vec<u8>,
    /// Certificates from the service that endorsed the node up to today's service (exclusive), one
    /// per disaster recovery in between.
    pub service_endorsements: Vec<Cert>,
    /// The root, if stated.
    pub root: Option<Digest>,
    /// A checkpoint of the same history that others countersigned, and the way to it.
    pub cosigned: Option<Cosigned>,
}

impl Receipt {
    /// The receipt of a transaction, for those who make receipts.
    pub fn new(
        cert: Cert,
        components: LeafComponents,
        proof: InclusionProof,
        signature: Vec<u8>,
        service_endorsements: Vec<Cert>,
    ) -> Self {
        let node_id = Some(cert.key_digest());
        let covered = Covered::Transaction {
            components,
            proof,
            leaf: None,
        };
        Self {
            cert,
            node_id,
            covered,
            signature,
            service_endorsements,
            root: None,
            cosigned: None,
        }
    }

    /// The receipt of a signature transaction, which covers the root that it signed.
    pub fn of_root(
        cert: Cert,
        root: Digest,
        signature: Vec<u8>,
        service_endorsements: Vec<Cert>,
    ) -> Self {
        let node_id = Some(cert.key_digest());
        let covered = Covered::Root(root);
        Self {
            cert,
            node_id,
            covered,
            signature,
            service_endorsements,
            root: None,
            cosigned: None,
        }
    }

    /// What the leaf is made from; None for a signature transaction.
    pub fn leaf_components(&self) -> Option<&LeafComponents> {
        match &self.covered {
            Covered::Transaction { components, .. } => Some(components),
            Covered::Root(_) => None,
        }
    }

    /// The path to the root; None for a signature transaction.
    pub fn proof(&self) -> Option<&InclusionProof> {
        match &self.covered {
            Covered::Transaction { proof, .. } => Some(proof),
            Covered::Root(_) => None,
        }
    }

    /// Reads a receipt, with or without the answer of the receipt endpoint around it.
    pub fn from_json(json: &[u8]) -> Result<Self, ReceiptError> {
        Ok(ReceiptDocument::from_json(json)?.receipt)
    }

    /// The receipt with camelCase keys, as Azure Confidential Ledger has it.
    pub fn to_json(&self) -> String {
        text(self)
    }

    /// The receipt with snake_case keys, as CCF's `/node/receipt` has it.
    pub fn to_ccf_json(&self) -> String {
        text(&self.as_ccf())
    }

    /// This receipt, to be serialised with CCF's snake_case keys.
    pub fn as_ccf(&self) -> impl Serialize {
        Spelled {
            receipt: self,
            keys: &SNAKE_CASE,
        }
    }
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings and lists are always JSON")
}

/// The answer of a receipt endpoint, or a receipt on its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReceiptDocument {
    /// The transaction that the answer is about, if it says so.
    pub transaction_id: Option<TxId>,
    /// The claims that the transaction made, if they are shown; never an empty list, which says as
    /// little as none does.
    pub claims: Option<Vec<Claim>>,
    /// The receipt.
    pub receipt: Receipt,
}

impl ReceiptDocument {
    /// Reads `{"state", "transactionId", "applicationClaims", "receipt"}` or a bare receipt.
    pub fn from_json(json: &[u8]) -> Result<Self, ReceiptError> {
        if json.len() > MAX_JSON_BYTES {
            return Err(ReceiptError::TooLarge {
                what: "bytes of JSON",
                limit: MAX_JSON_BYTES,
            });
        }
        let envelope: WireEnvelope<'_> = serde_json::from_slice(json).map_err(malformed)?;
        if envelope.state.as_deref() == Some("Loading") {
            return Err(ReceiptError::NotReady);
        }
        let claims = envelope
            .application_claims
            .filter(|claims| !claims.is_empty());
        if claims
            .as_ref()
            .is_some_and(|claims| claims.len() > MAX_CLAIMS)
        {
            return Err(ReceiptError::TooLarge {
                what: "claims",
                limit: MAX_CLAIMS,
            });
        }
        let receipt = match envelope.receipt {
            Some(receipt) => receipt,
            None => serde_json::from_slice(json).map_err(malformed)?,
        };
        let transaction_id = envelope.transaction_id;
        Ok(Self {
            transaction_id,
            claims,
            receipt: receipt.try_into()?,
        })
    }
}

/// The answer of a receipt endpoint that has it ready.
impl Serialize for ReceiptDocument {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Ready<'a> {
            state: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            transaction_id: Option<TxId>,
            #[serde(skip_serializing_if = "Option::is_none")]
            application_claims: Option<&'a [Claim]>,
            receipt: &'a Receipt,
        }
        let ready = Ready {
            state: "Ready",
            transaction_id: self.transaction_id,
            application_claims: self.claims.as_deref(),
            receipt: &self.receipt,
        };
        ready.serialize(serializer)
    }
}

fn malformed(error: serde_json::Error) -> ReceiptError {
    ReceiptError::Malformed(error.to_string())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireEnvelope<'a> {
    #[serde(borrow, default)]
    state: Option<Cow<'a, str>>,
    #[serde(default, alias = "transaction_id")]
    transaction_id: Option<TxId>,
    #[serde(default, alias = "application_claims")]
    application_claims: Option<Vec<Claim>>,
    #[serde(borrow, default)]
    receipt: Option<WireReceipt<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireReceipt<'a> {
    #[serde(borrow)]
    cert: Cow<'a, str>,
    #[serde(default, alias = "node_id")]
    node_id: Option<Digest>,
    #[serde(default, alias = "leaf_components")]
    leaf_components: Option<WireComponents>,
    proof: InclusionProof,
    #[serde(borrow)]
    signature: Cow<'a, str>,
    #[serde(default, alias = "service_endorsements")]
    service_endorsements: Option<Vec<String>>,
    #[serde(default)]
    leaf: Option<Digest>,
    #[serde(default)]
    root: Option<Digest>,
    #[serde(default)]
    cosigned: Option<Cosigned>,
    #[serde(default, alias = "is_signature_transaction")]
    is_signature_transaction: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireComponents {
    #[serde(alias = "write_set_digest")]
    write_set_digest: Digest,
    #[serde(alias = "commit_evidence")]
    commit_evidence: String,
    #[serde(alias = "claims_digest")]
    claims_digest: Digest,
}

impl TryFrom<WireReceipt<'_>> for Receipt {
    type Error = ReceiptError;

    fn try_from(wire: WireReceipt<'_>) -> Result<Self, ReceiptError> {
        let endorsements = wire.service_endorsements.unwrap_or_default();
        if endorsements.len() > MAX_SERVICE_ENDORSEMENTS {
            let limit = MAX_SERVICE_ENDORSEMENTS;
            return Err(ReceiptError::TooLarge {
                what: "service endorsements",
                limit,
            });
        }
        let bad = |what: &str| ReceiptError::Malformed(what.to_owned());
        let signed_root = wire
            .is_signature_transaction
            .unwrap_or(wire.leaf_components.is_none());
        let covered = match (signed_root, wire.leaf_components, wire.leaf) {
            (false, Some(components), leaf) => {
                let components = components.try_into()?;
                Covered::Transaction {
                    components,
                    proof: wire.proof,
                    leaf,
                }
            }
            (true, None, Some(root)) if wire.proof.steps.is_empty() => Covered::Root(root),
            (false, None, _) => return Err(bad("leafComponents are missing")),
            (true, ..) => {
                return Err(bad(
                    "a signature transaction has a leaf, an empty proof and no \
                    leafComponents; a transaction has leafComponents",
                ));
            }
        };
        let cert = certificate("the node's certificate", &wire.cert)?;
        let service_endorsements = endorsements
            .iter()
            .map(|pem| certificate("a service endorsement", pem))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            cert,
            node_id: wire.node_id,
            covered,
            signature: signature(&wire.signature)?,
            service_endorsements,
            root: wire.root,
            cosigned: wire.cosigned,
        })
    }
}

impl TryFrom<WireComponents> for LeafComponents {
    type Error = ReceiptError;

    fn try_from(wire: WireComponents) -> Result<Self, ReceiptError> {
        let WireComponents {
            write_set_digest,
            commit_evidence,
            claims_digest,
        } = wire;
        if commit_evidence.len() > MAX_COMMIT_EVIDENCE_BYTES {
            let limit = MAX_COMMIT_EVIDENCE_BYTES;
            return Err(ReceiptError::TooLarge {
                what: "bytes of commit evidence",
                limit,
            });
        }
        Ok(Self {
            write_set_digest,
            commit_evidence,
            claims_digest,
        })
    }
}

fn certificate(which: &'static str, pem: &str) -> Result<Cert, ReceiptError> {
    Cert::from_pem(pem).map_err(|reason| ReceiptError::Cert { which, reason })
}

fn signature(text: &str) -> Result<Vec<u8>, ReceiptError> {
    // Four characters of base64 for three bytes.
    if text.len() > MAX_SIGNATURE_BYTES.div_ceil(3) * 4 {
        let limit = MAX_SIGNATURE_BYTES;
        return Err(ReceiptError::TooLarge {
            what: "bytes of signature",
            limit,
        });
    }
    STANDARD
        .decode(text)
        .map_err(|_| ReceiptError::Malformed("the signature is not base64".to_owned()))
}

impl<'de> Deserialize<'de> for Receipt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        WireReceipt::deserialize(deserializer)?
            .try_into()
            .map_err(serde::de::Error::custom)
    }
}

impl Serialize for Receipt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Spelled {
            receipt: self,
            keys: &CAMEL_CASE,
        }
        .serialize(serializer)
    }
}

/// The two spellings of the same keys.
struct Keys {
    node_id: &'static str,
    leaf_components: &'static str,
    write_set_digest: &'static str,
    commit_evidence: &'static str,
    claims_digest: &'static str,
    service_endorsements: &'static str,
}

const CAMEL_CASE: Keys = Keys {
    node_id: "nodeId",
    leaf_components: "leafComponents",
    write_set_digest: "writeSetDigest",
    commit_evidence: "commitEvidence",
    claims_digest: "claimsDigest",
    service_endorsements: "serviceEndorsements",
};

const SNAKE_CASE: Keys = Keys {
    node_id: "node_id",
    leaf_components: "leaf_components",
    write_set_digest: "write_set_digest",
    commit_evidence: "commit_evidence",
    claims_digest: "claims_digest",
    service_endorsements: "service_endorsements",
};

struct Spelled<'a> {
    receipt: &'a Receipt,
    keys: &'static Keys,
}

impl Serialize for Spelled<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { receipt, keys } = *self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("cert", &receipt.cert.to_pem())?;
        if let Some(node_id) = &receipt.node_id {
            map.serialize_entry(keys.node_id, node_id)?;
        }
        match &receipt.covered {
            Covered::Transaction {
                components,
                proof,
                leaf,
            } => {
                if let Some(leaf) = leaf {
                    map.serialize_entry("leaf", leaf)?;
                }
                map.serialize_entry(keys.leaf_components, &SpelledLeaf { components, keys })?;
                map.serialize_entry("proof", proof)?;
            }
            Covered::Root(root) => {
                map.serialize_entry("leaf", root)?;
                map.serialize_entry("proof", &[(); 0])?;
            }
        }
        if let Some(root) = &receipt.root {
            map.serialize_entry("root", root)?;
        }
        map.serialize_entry("signature", &STANDARD.encode(&receipt.signature))?;
        let endorsements: Vec<_> = receipt
            .service_endorsements
            .iter()
            .map(Cert::to_pem)
            .collect();
        map.serialize_entry(keys.service_endorsements, &endorsements)?;
        if let Some(cosigned) = &receipt.cosigned {
            map.serialize_entry("cosigned", cosigned)?;
        }
        map.end()
    }
}

struct SpelledLeaf<'a> {
    components: &'a LeafComponents,
    keys: &'static Keys,
}

impl Serialize for SpelledLeaf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { components, keys } = *self;
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry(keys.write_set_digest, &components.write_set_digest)?;
        map.serialize_entry(keys.commit_evidence, &components.commit_evidence)?;
        map.serialize_entry(keys.claims_digest, &components.claims_digest)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::Step;
    use crate::tx_id::{Seqno, View};

    const DOCUMENT: &str = include_str!("../testdata/azure-receipt-2023.json");
    const SNAKE: &str = include_str!("../testdata/azure-receipt-2022-snake.json");

    #[test]
    fn the_answer_of_azure_is_read_with_its_claims() {
        let document = ReceiptDocument::from_json(DOCUMENT.as_bytes()).unwrap();
        assert_eq!(document.transaction_id, Some(TxId::new(View(2), Seqno(13))));
        assert_eq!(document.claims.unwrap().len(), 1);
        let components = document.receipt.leaf_components().unwrap();
        assert_eq!(
            components.leaf().to_string(),
            "ab64db6ebde6fa0427dd5b7d74e1ac3376f463648515a180adc2bb8cfaac4b4a"
        );
        assert_eq!(
            document
                .receipt
                .proof()
                .unwrap()
                .root(components.leaf())
                .to_string(),
            "f7b9072e3235ea1f5fe150f7153527bd670009ebbc48a37e4fd6c4428f6fa148"
        );
    }

    #[test]
    fn both_spellings_are_written_and_read_back() {
        let receipt = Receipt::from_json(DOCUMENT.as_bytes()).unwrap();
        assert_eq!(
            Receipt::from_json(receipt.to_json().as_bytes()),
            Ok(receipt.clone())
        );
        assert_eq!(
            Receipt::from_json(receipt.to_ccf_json().as_bytes()),
            Ok(receipt.clone())
        );
        assert!(receipt.to_json().contains("\"nodeId\""));
        assert!(!receipt.to_json().contains('_'));
        assert!(
            receipt
                .to_ccf_json()
                .contains("\"leaf_components\":{\"write_set_digest\"")
        );
        assert_eq!(
            serde_json::from_str::<Receipt>(&receipt.to_json()).unwrap(),
            receipt
        );
        Receipt::from_json(SNAKE.as_bytes()).unwrap();
    }

    #[test]
    fn the_receipt_of_a_signature_transaction_is_written_and_read_back() {
        let cert = Receipt::from_json(DOCUMENT.as_bytes()).unwrap().cert;
        let receipt = Receipt::of_root(cert, Digest::of(b"root"), vec![1, 2, 3], vec![]);
        for json in [receipt.to_json(), receipt.to_ccf_json()] {
            assert_eq!(Receipt::from_json(json.as_bytes()), Ok(receipt.clone()));
            let flagged = json.replacen('{', "{\"is_signature_transaction\":true,", 1);
            assert_eq!(Receipt::from_json(flagged.as_bytes()), Ok(receipt.clone()));
        }
    }

    #[test]
    fn a_receipt_that_is_not_ready_says_so() {
        let loading = br#"{"state":"Loading","transactionId":"2.13"}"#;
        assert_eq!(Receipt::from_json(loading), Err(ReceiptError::NotReady));
    }

    fn refused(json: &str) -> ReceiptError {
        Receipt::from_json(json.as_bytes()).unwrap_err()
    }

    #[test]
    fn unknown_keys_are_allowed_around_but_not_inside_what_is_proven() {
        let more = SNAKE.replacen("\"cert\"", "\"more\": 1, \"cert\"", 1);
        assert!(Receipt::from_json(more.as_bytes()).is_ok());
        for place in ["\"claims_digest\"", "\"left\""] {
            let more = SNAKE.replacen(place, &format!("\"more\": 1, {place}"), 1);
            assert!(
                matches!(refused(&more), ReceiptError::Malformed(_)),
                "{place}"
            );
        }
    }

    #[test]
    fn receipts_of_another_shape_are_refused() {
        for (from, to) in [
            ("\"cert\":", "\"cart\":"),
            ("\"proof\":", "\"prof\":"),
            ("\"signature\":", "\"sig\":"),
            ("\"leaf_components\":", "\"leaf\": null, \"other\":"),
            ("\"claims_digest\":", "\"commit_evidence\":"),
            ("\"signature\": \"MEY", "\"signature\": \"M!Y"),
            (
                "\"is_signature_transaction\": false",
                "\"is_signature_transaction\": true",
            ),
            ("\"left\": \"5e", "\"left\": \""),
            ("\"cert\":", "\"nodeId\": null, \"cert\":"),
        ] {
            assert!(SNAKE.contains(from), "{from}");
            let error = refused(&SNAKE.replacen(from, to, 1));
            assert!(
                matches!(error, ReceiptError::Malformed(_)),
                "{from} {error:?}"
            );
        }
        let error = refused(&SNAKE.replacen("BEGIN", "BEGAN", 1));
        assert!(matches!(error, ReceiptError::Cert { .. }), "{error:?}");
    }

    #[test]
    fn oversized_parts_are_refused() {
        let receipt = Receipt::from_json(DOCUMENT.as_bytes()).unwrap();
        let endorsed = Receipt {
            service_endorsements: vec![receipt.cert.clone(); MAX_SERVICE_ENDORSEMENTS + 1],
            ..receipt.clone()
        };
        let signed = Receipt {
            signature: vec![0; MAX_SIGNATURE_BYTES + 3],
            ..receipt.clone()
        };
        let Covered::Transaction {
            mut components,
            mut proof,
            leaf,
        } = receipt.covered.clone()
        else {
            panic!("a transaction")
        };
        components.commit_evidence = "c".repeat(MAX_COMMIT_EVIDENCE_BYTES + 1);
        let evidenced = Receipt {
            covered: Covered::Transaction {
                components,
                proof: proof.clone(),
                leaf,
            },
            ..receipt.clone()
        };
        for receipt in [endorsed, signed, evidenced] {
            assert!(matches!(
                refused(&receipt.to_json()),
                ReceiptError::TooLarge { .. }
            ));
        }
        let components = receipt.leaf_components().unwrap().clone();
        proof.steps = vec![Step::Left(Digest::ZERO); 65];
        let high = Receipt {
            covered: Covered::Transaction {
                components,
                proof,
                leaf,
            },
            ..receipt
        };
        assert!(matches!(
            refused(&high.to_json()),
            ReceiptError::Malformed(_)
        ));
    }
}
