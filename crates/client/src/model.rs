//! What travels: the JSON of the data plane, as this client reads and writes it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use verify::{ReceiptDocument, TxId, TxStatus};

/// An entry to be written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewEntry {
    /// The contents, any UTF-8 text.
    pub contents: String,
    /// The collection; none means the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection_id: Option<String>,
    /// Tags, to find the entry again. Public ledgers only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

impl NewEntry {
    /// An entry for the default collection.
    pub fn new(contents: impl Into<String>) -> Self {
        Self {
            contents: contents.into(),
            ..Self::default()
        }
    }

    /// Puts it into a collection, which begins with its first entry.
    #[must_use]
    pub fn collection(mut self, id: impl Into<String>) -> Self {
        self.collection_id = Some(id.into());
        self
    }

    /// Adds a tag.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }
}

/// An entry that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The collection it belongs to.
    pub collection_id: String,
    /// The contents.
    pub contents: String,
    /// The transaction that wrote it, or as of which it was read.
    pub transaction_id: TxId,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// A committed write with the receipt that proves it.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The transaction.
    pub id: TxId,
    /// The collection it went to.
    pub collection_id: String,
    /// Its receipt: already verified against the service certificate and against what was written,
    /// unless the client was made without verification.
    pub receipt: ReceiptDocument,
}

/// An entry that is committed, with a receipt that need not be read any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The transaction.
    pub id: TxId,
    /// The collection it went to.
    pub collection_id: String,
    /// Its receipt as the ledger wrote it: JSON that [`ReceiptDocument::from_json`] reads. Verified as that of
    /// [`Recorded`].
    pub receipt: String,
}

/// Which entries of a collection to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EntryRange {
    /// The collection; none means the default one.
    pub collection_id: Option<String>,
    /// Only entries with this tag.
    pub tag: Option<String>,
    /// The first transaction, included; none means from the beginning.
    pub from: Option<TxId>,
    /// The last transaction, included; none means to the end.
    pub to: Option<TxId>,
}

/// What became of one entry of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum BatchAnswer {
    /// It is committed.
    Recorded {
        /// The transaction.
        #[serde(rename = "transactionId")]
        transaction_id: TxId,
    },
    /// It was refused, and is not in the ledger.
    Refused {
        /// Why.
        error: ErrorBody,
    },
}

/// An error as it stands in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} ({code})")]
pub struct ErrorBody {
    /// The code: `EntrySizeCapacityExceeded`, `InvalidInput`, ...
    pub code: String,
    /// The reason in words.
    #[serde(default)]
    pub message: String,
}

/// A user and the roles of the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LedgerUser {
    /// A certificate's fingerprint or a token's subject.
    pub user_id: String,
    /// The roles, by name.
    pub assigned_roles: BTreeSet<String>,
}

/// A role that an administrator defined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Role {
    /// Its name.
    #[serde(alias = "role_name")]
    pub role_name: String,
    /// What it allows.
    #[serde(alias = "role_actions")]
    pub role_actions: BTreeSet<String>,
}

/// The ledger's rules in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constitution {
    /// The text.
    pub script: String,
    /// Hex SHA-256 of the text.
    pub digest: String,
}

/// A member of the consortium.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Hex SHA-256 of the member's certificate.
    pub id: String,
    /// The certificate, PEM.
    pub certificate: String,
}

/// Evidence of the nodes about their hardware.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnclaveQuotes {
    /// The node that answered.
    pub current_node_id: String,
    /// Evidence, by node.
    pub enclave_quotes: std::collections::BTreeMap<String, EnclaveQuote>,
}

/// Evidence of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnclaveQuote {
    /// The node.
    pub node_id: String,
    /// Digest of the code, where the platform has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mrenclave: Option<String>,
    /// Which kind of evidence.
    pub quote_version: String,
    /// The evidence, hex.
    pub raw: String,
}

/// `/node/tx`: what has become of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeTx {
    /// The transaction.
    pub transaction_id: TxId,
    /// Its state.
    pub status: TxStatus,
}

/// `/node/network`: the service as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// `Opening`, `Open`, ...
    pub service_status: String,
    /// The service certificate, PEM.
    pub service_certificate: String,
    /// The view.
    pub current_view: Option<u64>,
    /// The leader.
    pub primary_id: Option<String>,
    /// How many times the service was recovered.
    #[serde(default)]
    pub recovery_count: u64,
}

/// `/node/state`: the node itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// Hex digest of its public key.
    pub node_id: String,
    /// `PartOfNetwork` when it serves.
    pub state: String,
    /// The last signature entry.
    #[serde(default)]
    pub last_signed_seqno: u64,
}

/// Whether an answer is there or still loaded.
#[derive(Deserialize)]
pub(crate) struct Loading {
    #[serde(default)]
    state: Option<String>,
}

impl Loading {
    pub(crate) fn is_ready(&self) -> bool {
        self.state.as_deref() != Some("Loading")
    }
}

/// What a node can show about its hardware, and what one needs to judge it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeQuote {
    /// The node: the digest of its public key, in hex.
    pub node_id: String,
    /// The kind of evidence, in CCF's words.
    pub format: String,
    /// The node's public key, SubjectPublicKeyInfo, DER in base64.
    pub public_key: String,
    /// The nonce that the evidence is about, in hex.
    pub nonce: String,
    /// The evidence itself; null where the ledger has none.
    pub evidence: serde_json::Value,
}

/// The keys of those who sign a ledger's checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CosignerKeys {
    /// The service's, as C2SP writes them.
    pub service: Vec<String>,
    /// The nodes'.
    pub cosigners: Vec<CosignerKey>,
}

/// A node as a cosigner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CosignerKey {
    /// The node: the digest of its public key, in hex.
    pub node_id: String,
    /// Whose node it is, as members noted.
    #[serde(default)]
    pub organisation: Option<String>,
    /// Where clients reach it, `host:port`.
    pub address: String,
    /// Its public key, SubjectPublicKeyInfo, DER in base64.
    pub public_key: String,
    /// The key with which it countersigns, as C2SP writes it; `None` where it did not answer.
    #[serde(default)]
    pub key: Option<String>,
    /// By which its own key says so, see [`verify::checkpoint::cosigner_binding`]; DER in base64.
    #[serde(default)]
    pub binding: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_goes_out_without_what_it_does_not_have() {
        let text = serde_json::to_string(&NewEntry::new("x")).unwrap();
        assert_eq!(text, r#"{"contents":"x"}"#);
        let text = serde_json::to_string(&NewEntry::new("x").collection("c").tag("t")).unwrap();
        assert_eq!(text, r#"{"contents":"x","collectionId":"c","tags":["t"]}"#);
    }

    #[test]
    fn each_answer_of_a_batch_is_a_place_or_a_reason() {
        let read = |text| serde_json::from_str::<BatchAnswer>(text).unwrap();
        let id = "2.17".parse().unwrap();
        assert_eq!(
            read(r#"{"transactionId":"2.17","collectionId":"subledger:0"}"#),
            BatchAnswer::Recorded { transaction_id: id }
        );
        let refused = read(r#"{"error":{"code":"InvalidInput","message":"no"}}"#);
        assert!(matches!(refused, BatchAnswer::Refused { error } if error.code == "InvalidInput"));
    }

    #[test]
    fn roles_are_read_in_both_spellings() {
        for text in [
            r#"{"roleName":"a","roleActions":["/content/read"]}"#,
            r#"{"role_name":"a","role_actions":["/content/read"]}"#,
        ] {
            assert_eq!(serde_json::from_str::<Role>(text).unwrap().role_name, "a");
        }
    }
}
