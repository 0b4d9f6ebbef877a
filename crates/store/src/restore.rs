//! Reading what is private again, after a disaster: the public part of the ledger is applied, and the
//! earlier ledger secrets have become known.

use ledger::{Entry, LedgerSecrets, WriteSet};
use verify::{Seqno, TxId};

use crate::error::{ReadError, StoreError};
use crate::reader::Reader;

/// Entries that go into the state store at once: bounds the memory.
const ENTRIES_AT_ONCE: usize = 1_000;
/// Bytes of such entries, likewise.
const BYTES_AT_ONCE: usize = 8 << 20;

/// Why private values cannot be read again. What was written so far does no harm: begin anew.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A ledger file cannot be read, or is damaged.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The secrets are not those of this ledger.
    #[error("the private part of entry {0} does not open under the recovered ledger secret")]
    Sealed(Seqno),
    /// The state store cannot be written: end the process.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Reader {
    /// Applies the private parts of all entries before `end` to the state, and syncs it. To be called
    /// while nothing private is written; costs time in proportion to the ledger.
    ///
    /// # Errors
    /// See [`RestoreError`].
    pub fn restore_private(
        &self,
        secrets: &LedgerSecrets,
        end: Seqno,
        mut progress: impl FnMut(Seqno),
    ) -> Result<(), RestoreError> {
        let mut found: Vec<(TxId, WriteSet)> = Vec::new();
        let mut bytes_found = 0;
        for seqno in (Seqno::FIRST.0..end.0).map(Seqno) {
            let Some(bytes) = self.entry(seqno)? else {
                break;
            };
            let sealed = || RestoreError::Sealed(seqno);
            let entry = Entry::parse(&bytes).map_err(|_| sealed())?;
            if entry.has_private_part() {
                let secret = secrets.at(seqno).ok_or_else(sealed)?;
                let writes = entry.writes(&secret).map_err(|_| sealed())?;
                found.push((entry.id, writes));
                bytes_found += bytes.len();
            }
            if found.len() == ENTRIES_AT_ONCE || bytes_found >= BYTES_AT_ONCE {
                self.state.apply_private(&found).map_err(StoreError::from)?;
                progress(seqno);
                found.clear();
                bytes_found = 0;
            }
        }
        self.state.apply_private(&found).map_err(StoreError::from)?;
        self.newest.forget();
        self.state.sync().map_err(StoreError::from)?;
        Ok(())
    }
}
