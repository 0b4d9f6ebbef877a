//! What proves that a snapshot of the state belongs to the ledger.
//!
//! Whoever makes a snapshot records its digest, in CCF's table and with CCF's row. The digest is also
//! what the transaction claims, so its receipt proves the snapshot without the write set.

use serde::{Deserialize, Serialize};
use verify::{Digest, Seqno};

use crate::governance::wishes::{self, SNAPSHOT};
use crate::kv::{Rejection, Transaction, Tx};
use crate::tables::{SINGLETON, SNAPSHOT_EVIDENCE};
use crate::write_set::WriteSet;

/// That there is a snapshot, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotEvidence {
    /// The digest of the whole file.
    pub hash: Digest,
    /// The seqno whose state it is.
    pub version: u64,
}

impl SnapshotEvidence {
    /// Reads it from what an entry writes; `None` where the entry is about something else.
    pub fn from_writes(writes: &WriteSet) -> Option<Self> {
        let row = writes.written(&SNAPSHOT_EVIDENCE, &SINGLETON)??;
        serde_json::from_slice(row).ok()
    }

    /// The seqno whose state the snapshot is.
    pub const fn seqno(&self) -> Seqno {
        Seqno(self.version)
    }
}

/// Records that there is a snapshot, and takes the wish for one that was made before it.
#[derive(Debug, Clone, Copy)]
pub struct RecordSnapshot(pub SnapshotEvidence);

impl Transaction for RecordSnapshot {
    fn run(self: Box<Self>, tx: &mut Tx<'_>) -> Result<Digest, Rejection> {
        let evidence = self.0;
        let row = serde_json::to_vec(&evidence).expect("a digest and a number are JSON");
        tx.put(SNAPSHOT_EVIDENCE, SINGLETON, row);
        let wish = wishes::all(tx).into_iter().find(|(key, _)| key == SNAPSHOT);
        if wish.is_some_and(|(_, wish)| wish.seqno <= evidence.version) {
            wishes::take(tx, SNAPSHOT);
        }
        Ok(evidence.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::{MemoryState, State};
    use crate::tables::WISHES;

    #[test]
    fn a_wish_that_is_younger_than_the_snapshot_stays() {
        for (version, left) in [(7, 0), (6, 1)] {
            let mut state = MemoryState::default();
            let wish = wishes::Wish {
                seqno: 7,
                args: serde_json::Value::Null,
            };
            let wish = serde_json::to_vec(&wish).unwrap();
            state
                .run(move |tx: &mut Tx<'_>| {
                    tx.put(WISHES, SNAPSHOT.as_bytes(), wish);
                    Ok(Digest::ZERO)
                })
                .unwrap();
            let evidence = SnapshotEvidence {
                hash: Digest::of(b"snapshot"),
                version,
            };
            state
                .run(move |tx: &mut Tx<'_>| Box::new(RecordSnapshot(evidence)).run(tx))
                .unwrap();
            assert_eq!(wishes::all(&state).len(), left);
            let row = state.value(&SNAPSHOT_EVIDENCE, &SINGLETON).unwrap();
            let mut writes = WriteSet::default();
            writes.put(SNAPSHOT_EVIDENCE, SINGLETON, row);
            assert_eq!(SnapshotEvidence::from_writes(&writes), Some(evidence));
        }
    }
}
