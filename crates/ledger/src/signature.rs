//! The entry that closes every batch: a signed Merkle root, in CCF's three tables.
//!
//! At seqno `n` it signs the root over leaves 0 to `n - 1`. The node signs every root, for JSON
//! receipts; the service's own signature, for COSE receipts, is in some of them. The frontier lets a
//! reader go on from here without what came before.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use verify::{Digest, TxId};

use crate::tables::{COSE_SIGNATURES, SIGNATURES, SINGLETON, TREE};
use crate::write_set::WriteSet;

/// A signed root, as a signature entry records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRoot {
    /// The node that signed: hex digest of its public key.
    pub node: String,
    /// The signature entry itself.
    pub id: TxId,
    /// Root over all leaves before it.
    pub root: Digest,
    /// ECDSA by the node's key over the root as a prehashed digest, DER.
    pub signature: Vec<u8>,
    /// The node's certificate, endorsed by the service, PEM.
    pub cert: String,
    /// COSE_Sign1 by the service's key over the root, detached. Not in every signature entry.
    pub cose: Option<Vec<u8>>,
    /// Roots of the complete subtrees under the root, smallest first.
    pub frontier: Vec<Digest>,
}

/// CCF's JSON row of a signed root.
#[derive(Serialize, Deserialize)]
struct Row {
    cert: String,
    node: String,
    root: Digest,
    seqno: u64,
    sig: String,
    view: u64,
}

/// The entry has a signature table that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature entry is damaged: {0}")]
pub struct DamagedSignature(&'static str);

impl SignedRoot {
    /// The writes of the signature entry.
    pub fn to_writes(&self) -> WriteSet {
        let row = Row {
            cert: self.cert.clone(),
            node: self.node.clone(),
            root: self.root,
            seqno: self.id.seqno.0,
            sig: STANDARD.encode(&self.signature),
            view: self.id.view.0,
        };
        let mut tree = Vec::with_capacity(16 + self.frontier.len() * Digest::LEN);
        tree.extend_from_slice(&0u64.to_be_bytes()); // leaves that are written out
        tree.extend_from_slice(&self.id.seqno.0.to_be_bytes()); // leaves in the subtrees below
        tree.extend(self.frontier.iter().flat_map(|root| root.0));

        let json = serde_json::to_vec(&row).expect("strings and numbers are JSON");
        let mut writes = WriteSet::default();
        writes.put(SIGNATURES, SINGLETON, json);
        if let Some(cose) = &self.cose {
            let cose = serde_json::to_vec(&STANDARD.encode(cose)).expect("a string is JSON");
            writes.put(COSE_SIGNATURES, SINGLETON, cose);
        }
        writes.put(TREE, SINGLETON, tree);
        writes
    }

    /// Reads a signature entry; `None` where the entry is none. Nothing is verified here.
    ///
    /// # Errors
    /// It has the table, but not a readable row in it.
    pub fn from_writes(writes: &WriteSet) -> Result<Option<Self>, DamagedSignature> {
        let Some(Some(json)) = writes.written(&SIGNATURES, &SINGLETON) else {
            return Ok(None);
        };
        let row: Row =
            serde_json::from_slice(json).map_err(|_| DamagedSignature("its row is not JSON"))?;
        let signature = STANDARD
            .decode(&row.sig)
            .map_err(|_| DamagedSignature("its signature is not base64"))?;
        let cose = match writes.written(&COSE_SIGNATURES, &SINGLETON).flatten() {
            Some(json) => Some(cose_of_row(json)?),
            None => None,
        };
        let tree = writes.written(&TREE, &SINGLETON).flatten().unwrap_or(&[]);
        let frontier = tree.get(16..).unwrap_or(&[]);
        let (frontier, rest) = frontier.as_chunks::<{ Digest::LEN }>();
        if !rest.is_empty() {
            return Err(DamagedSignature("its frontier is cut"));
        }
        Ok(Some(Self {
            node: row.node,
            id: TxId::new(verify::View(row.view), verify::Seqno(row.seqno)),
            root: row.root,
            signature,
            cert: row.cert,
            cose,
            frontier: frontier.iter().map(|bytes| Digest(*bytes)).collect(),
        }))
    }
}

fn cose_of_row(json: &[u8]) -> Result<Vec<u8>, DamagedSignature> {
    let text: String = serde_json::from_slice(json)
        .map_err(|_| DamagedSignature("its COSE signature is not a JSON string"))?;
    STANDARD
        .decode(text)
        .map_err(|_| DamagedSignature("its COSE signature is not base64"))
}

#[cfg(test)]
mod tests {
    use verify::{Seqno, View};

    use super::*;

    #[test]
    fn a_signed_root_is_read_as_it_was_written() {
        let signed = SignedRoot {
            node: "ab".repeat(32),
            id: TxId::new(View(2), Seqno(9)),
            root: Digest::of(b"root"),
            signature: vec![1, 2, 3],
            cert: "PEM".to_owned(),
            cose: Some(vec![4, 5]),
            frontier: vec![Digest::of(b"small"), Digest::of(b"large")],
        };
        for signed in [
            SignedRoot {
                cose: None,
                ..signed.clone()
            },
            signed,
        ] {
            assert_eq!(
                SignedRoot::from_writes(&signed.to_writes()),
                Ok(Some(signed))
            );
        }
    }

    #[test]
    fn an_entry_without_the_table_is_no_signature() {
        assert_eq!(SignedRoot::from_writes(&WriteSet::default()), Ok(None));
    }

    #[test]
    fn a_damaged_row_is_an_error_not_a_missing_signature() {
        let mut writes = WriteSet::default();
        writes.put(SIGNATURES, SINGLETON, b"{}");
        assert!(SignedRoot::from_writes(&writes).is_err());
    }
}
