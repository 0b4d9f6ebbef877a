//! What an application on the ledger reads: its tables as they are, as they were, and the entries that
//! wrote them.

use std::cell::OnceCell;
use std::ops::RangeInclusive;

use ledger::tables::Kept;
use ledger::{State, Table};
use store::Moment;
use verify::{Digest, Seqno, TxId};

use crate::Node;
use crate::reads::ReadError;

/// The state as it was after the transaction at a seqno, as far as it can be told: of tables that are
/// kept with their versions, the version of then; of all others what they have now. Each value is read
/// from the ledger, which takes tens of microseconds.
pub struct Past<'n> {
    node: &'n Node,
    seqno: Seqno,
    failed: OnceCell<ReadError>,
}

impl Node {
    /// The state as it is now, for as long as it is held: what is read from it belongs together.
    pub fn moment(&self) -> Moment<'_> {
        self.reader().moment()
    }

    /// The state as it was after the transaction at `seqno`.
    pub const fn past(&self, seqno: Seqno) -> Past<'_> {
        Past {
            node: self,
            seqno,
            failed: OnceCell::new(),
        }
    }

    /// The committed seqnos in a range that wrote `key`, ascending, `limit` at the most. For tables
    /// that are kept as streams or with their versions.
    ///
    /// # Errors
    /// The state store fails.
    pub fn seqnos_of(
        &self,
        table: &Table,
        key: &[u8],
        range: RangeInclusive<Seqno>,
        limit: usize,
    ) -> Result<Vec<Seqno>, ReadError> {
        Ok(self.reader().stream(table, key, range, limit)?)
    }

    /// The last committed seqno that wrote `key`, in all that a [moment](Self::moment) taken before shows. For
    /// the same tables.
    ///
    /// # Errors
    /// The state store fails.
    pub fn last_seqno_of(&self, table: &Table, key: &[u8]) -> Result<Option<Seqno>, ReadError> {
        // Not only what was told of: that comes a little later.
        Ok(self.reader().latest(table, key, Seqno(u64::MAX))?)
    }

    /// The id of the transaction at a committed seqno.
    pub fn id_at(&self, seqno: Seqno) -> Option<TxId> {
        self.tx_id_at(seqno)
    }

    /// Where the batch of a committed transaction ends: its signature entry.
    ///
    /// # Errors
    /// It is not committed, or this node's files are damaged.
    pub fn batch_end(&self, seqno: Seqno) -> Result<Seqno, ReadError> {
        self.covering(seqno)
    }
}

impl Past<'_> {
    /// Ends reading.
    ///
    /// # Errors
    /// Something could not be read meanwhile, and was taken for missing.
    pub fn end(self) -> Result<(), ReadError> {
        self.failed.into_inner().map_or(Ok(()), Err)
    }

    fn version(&self, table: &Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(seqno) = self.node.reader().latest(table, key, self.seqno)? else {
            return Ok(None);
        };
        let writes = self.node.writes_at(seqno)?;
        let written = writes.written(table, key).ok_or_else(|| {
            ReadError::Damaged(format!(
                "the index names seqno {seqno}, which wrote no such key"
            ))
        })?;
        Ok(written.map(<[u8]>::to_vec))
    }
}

impl State for Past<'_> {
    fn value(&self, table: &Table, key: &[u8]) -> Option<Vec<u8>> {
        if table.kept() != Kept::Versions {
            return self.node.state().value(table, key);
        }
        self.version(table, key).unwrap_or_else(|error| {
            let _ = self.failed.set(error);
            None
        })
    }

    fn values(&self, table: &Table) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.node.state().values(table)
    }

    fn signed_root(&self, seqno: Seqno) -> Option<Digest> {
        self.node.state().signed_root(seqno)
    }
}
