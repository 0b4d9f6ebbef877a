//! The one writer of a folder.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledger::chunk::ChunkName;
use ledger::entry::ENTRY_BYTES_MIN;
use ledger::{LedgerSecret, WriteSet};
use verify::{Digest, Frontier, Seqno, View};

use crate::checkpoint::CheckpointFile;
use crate::chunks::OpenChunk;
use crate::error::{OpenError, StoreError};
use crate::index::{PLACE_LEN, place_rows};
use crate::lock::FolderLock;
use crate::reader::Reader;
use crate::recovery;

/// What an operator may choose.
#[derive(Debug, Clone, Copy)]
pub struct StoreOptions {
    /// A ledger file is closed at the end of the batch that makes it at least this long, bytes.
    /// At most [`CHUNK_BYTES_MAX`].
    pub chunk_bytes: u64,
    /// Memory for parts of the state store that were read lately, bytes.
    pub cache_bytes: u64,
}

impl Default for StoreOptions {
    /// CCF's chunk size, 5 MB, and a cache of 16 MiB.
    fn default() -> Self {
        Self {
            chunk_bytes: 5_000_000,
            cache_bytes: 16 << 20,
        }
    }
}

/// Longest chunk that an operator may ask for: offsets in a chunk have 32 bits, and one more batch
/// may follow.
pub const CHUNK_BYTES_MAX: u64 = 1 << 30;

/// Longest batch, bytes.
pub const BATCH_BYTES_MAX: usize = 2 << 30;

/// Entries that are committed together. The last one is the signature entry that covers them.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Seqno of the first entry.
    pub first: Seqno,
    /// The view of all its entries.
    pub view: View,
    /// The encoded entries, one after the other.
    pub bytes: Vec<u8>,
    /// Length and leaf of each entry.
    pub entries: Vec<BatchEntry>,
    /// What each entry writes, in clear.
    pub writes: Vec<WriteSet>,
}

/// One entry of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchEntry {
    /// Encoded length, bytes.
    pub length: u32,
    /// Its leaf in the Merkle tree.
    pub leaf: Digest,
}

impl Batch {
    /// Seqno of the last entry, the signature.
    ///
    /// # Panics
    /// The batch has no entries.
    pub fn last(&self) -> Seqno {
        Seqno(self.first.0 + self.entries.len() as u64 - 1)
    }

    fn check(&self, next: Seqno) -> Result<(), StoreError> {
        let lengths: u64 = self
            .entries
            .iter()
            .map(|entry| u64::from(entry.length))
            .sum();
        let why = if self.first != next {
            "it does not follow what is there"
        } else if self.entries.is_empty() || self.entries.len() > u32::MAX as usize {
            "it has no entries, or too many"
        } else if self.entries.len() != self.writes.len() {
            "it has not one write set for each entry"
        } else if lengths != self.bytes.len() as u64
            || self
                .entries
                .iter()
                .any(|entry| (entry.length as usize) < ENTRY_BYTES_MIN)
        {
            "its lengths are not those of its bytes"
        } else if self.bytes.len() > BATCH_BYTES_MAX {
            "it is too long"
        } else {
            return Ok(());
        };
        Err(StoreError::BadBatch {
            first: self.first,
            why,
        })
    }
}

/// A batch that is synced but not shown to readers.
#[derive(Debug)]
struct Appended {
    first: Seqno,
    /// Where its first entry lies in its chunk.
    offset: u32,
    /// The nodes that its leaves complete, as they stand in the hash file.
    nodes: Vec<u8>,
}

/// The one writer of a folder.
///
/// Every error of a method is final: end the process (see [`StoreError`]).
#[derive(Debug)]
pub struct Store {
    pub(crate) reader: Arc<Reader>,
    pub(crate) frontier: Frontier,
    pub(crate) chunk: Option<OpenChunk>,
    pub(crate) checkpoint: CheckpointFile,
    pub(crate) chunk_bytes: u64,
    /// Oldest first.
    appended: VecDeque<Appended>,
    poisoned: bool,
    _lock: FolderLock,
}

/// The folders under the one that the operator names.
#[derive(Debug)]
pub(crate) struct Folders {
    pub(crate) dir: PathBuf,
    pub(crate) ledger: PathBuf,
    pub(crate) index: PathBuf,
    pub(crate) state: PathBuf,
}

impl Folders {
    pub(crate) fn under(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            ledger: dir.join("ledger"),
            index: dir.join("index"),
            state: dir.join("state"),
        }
    }
}

impl Store {
    /// Opens the ledger in `dir`, or begins one there, and recovers what an earlier process left:
    /// everything that was ever committed is there and applied when this returns.
    ///
    /// Costs time in proportion to what was written since the last [`Store::checkpoint`], not to
    /// the ledger; only where the folders `index` or `state` were removed, all of it is read.
    ///
    /// # Errors
    /// See [`OpenError`]. Nothing is served from a ledger that is damaged.
    pub fn open(
        dir: &Path,
        secret: Arc<LedgerSecret>,
        options: StoreOptions,
    ) -> Result<Self, OpenError> {
        recovery::open(Folders::under(dir), secret, options)
    }

    pub(crate) fn recovered(
        reader: Arc<Reader>,
        frontier: Frontier,
        chunk: Option<OpenChunk>,
        checkpoint: CheckpointFile,
        options: StoreOptions,
        lock: FolderLock,
    ) -> Self {
        Self {
            reader,
            frontier,
            chunk,
            checkpoint,
            chunk_bytes: options.chunk_bytes.min(CHUNK_BYTES_MAX),
            appended: VecDeque::new(),
            poisoned: false,
            _lock: lock,
        }
    }

    /// For readers; stays valid as long as any of them holds it.
    pub fn reader(&self) -> Arc<Reader> {
        Arc::clone(&self.reader)
    }

    /// The tree over everything appended.
    pub const fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// Appends `batch` to the ledger: one write, one fdatasync. When this returns, the batch
    /// survives power loss; readers do not see it before [`Store::apply`].
    ///
    /// # Errors
    /// The process must end: see [`StoreError`].
    pub fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.guarded(|store| store.append_now(batch))
    }

    /// Shows an appended batch to readers. Oldest first.
    ///
    /// Nothing is synced (the ledger has it), unless the ledger file is full: then it is closed and
    /// [`Store::checkpoint`] runs.
    ///
    /// # Errors
    /// The process must end: see [`StoreError`].
    pub fn apply(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.guarded(|store| {
            store.apply_now(batch)?;
            if store.appended.is_empty() && store.chunk_is_full() {
                store.roll()
            } else {
                Ok(())
            }
        })
    }

    /// Syncs everything that is derived from the ledger, and notes how far it goes, so that the
    /// next start begins from here. For a graceful stop.
    ///
    /// # Errors
    /// The process must end: see [`StoreError`].
    pub fn checkpoint(&mut self) -> Result<(), StoreError> {
        self.guarded(|store| store.checkpoint_now())
    }

    fn guarded(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if self.poisoned {
            return Err(StoreError::Poisoned);
        }
        work(self).inspect_err(|_| self.poisoned = true)
    }

    fn append_now(&mut self, batch: &Batch) -> Result<(), StoreError> {
        batch.check(Seqno(self.frontier.size()))?;
        if self.chunk_is_full() {
            self.roll()?;
        }
        let chunk = match &mut self.chunk {
            Some(chunk) => chunk,
            None => {
                let chunk = OpenChunk::create(self.reader.ledger_dir(), batch.first)?;
                self.reader.add_chunk(ChunkName::open(batch.first));
                self.reader.add_bytes(chunk.length);
                self.chunk.insert(chunk)
            }
        };
        let offset = u32::try_from(chunk.length).expect("a chunk is below 4 GiB");
        chunk.append(&batch.bytes, batch.entries.iter().map(|entry| entry.length))?;
        self.reader.add_bytes(batch.bytes.len() as u64);
        let leaves = batch.entries.iter().map(|entry| entry.leaf);
        let nodes = append_leaves(&mut self.frontier, leaves);
        self.appended.push_back(Appended {
            first: batch.first,
            offset,
            nodes,
        });
        Ok(())
    }

    fn apply_now(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let bad = |why| StoreError::BadBatch {
            first: batch.first,
            why,
        };
        batch.check(self.reader.committed_seqno().next())?;
        let appended = self
            .appended
            .pop_front()
            .ok_or_else(|| bad("it was not appended"))?;
        if appended.first != batch.first {
            return Err(bad("an older one is not applied yet"));
        }
        index_and_apply(&self.reader, batch, appended.offset, &appended.nodes)
    }

    fn chunk_is_full(&self) -> bool {
        self.chunk
            .as_ref()
            .is_some_and(|chunk| chunk.length >= self.chunk_bytes)
    }

    pub(crate) fn roll(&mut self) -> Result<(), StoreError> {
        let Some(chunk) = self.chunk.take() else {
            return Ok(());
        };
        let positions = chunk.offsets.len() as u64 * 4;
        let reader = &self.reader;
        chunk.close(|name, rename| reader.close_chunk(name, rename))?;
        self.reader.add_bytes(positions);
        self.checkpoint_now()
    }

    fn checkpoint_now(&self) -> Result<(), StoreError> {
        let Reader {
            hashes,
            places,
            state,
            ..
        } = &*self.reader;
        hashes
            .sync()
            .map_err(StoreError::io("sync", hashes.path()))?;
        places
            .sync()
            .map_err(StoreError::io("sync", places.path()))?;
        state.sync()?;
        self.checkpoint.write(self.reader.committed_seqno())
    }
}

/// Appends `leaves` to the tree; returns the nodes that they complete, as they stand in the file.
pub(crate) fn append_leaves(
    frontier: &mut Frontier,
    leaves: impl ExactSizeIterator<Item = Digest>,
) -> Vec<u8> {
    let mut nodes = Vec::with_capacity((2 * leaves.len() + 64) * Digest::LEN);
    for leaf in leaves {
        frontier.append(leaf, |_, node| nodes.extend_from_slice(&node.0));
    }
    nodes
}

/// Writes what is derived from a batch, and shows it to readers. Doing it again changes nothing.
pub(crate) fn index_and_apply(
    reader: &Reader,
    batch: &Batch,
    offset: u32,
    nodes: &[u8],
) -> Result<(), StoreError> {
    let Reader {
        hashes,
        places,
        state,
        ..
    } = reader;
    let mut rows = Vec::with_capacity(batch.entries.len() * PLACE_LEN);
    place_rows(&mut rows, offset, &batch.entries);
    hashes
        .write(batch.first, nodes)
        .map_err(StoreError::io("write to", hashes.path()))?;
    places
        .write(batch.first, &rows)
        .map_err(StoreError::io("write to", places.path()))?;
    state.apply(
        batch.first,
        batch.view,
        reader.is_new_view(batch.view),
        &batch.writes,
    )?;
    reader.publish(batch.first, batch.view, batch.last());
    Ok(())
}
