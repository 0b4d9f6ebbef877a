//! The one writer of a folder.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledger::chunk::ChunkName;
use ledger::signature::SignedRoot;
use verify::{Digest, Frontier, Seqno, TxId, View};

use crate::batch::{Batch, BatchEntry};
use crate::checkpoint::CheckpointFile;
use crate::chunks::OpenChunk;
use crate::error::{OpenError, StoreError};
use crate::index::{PLACE_LEN, place_rows};
use crate::lock::FolderLock;
use crate::reader::Reader;
use crate::recovery;
use crate::replay::batch_at;
use crate::secrets::StoreSecrets;

/// What an operator may choose.
#[derive(Debug, Clone, Copy)]
pub struct StoreOptions {
    /// A ledger file is closed at the end of the batch that makes it at least this long, bytes.
    /// At most [`CHUNK_BYTES_MAX`].
    pub chunk_bytes: u64,
    /// Memory for parts of the state store that were read lately, bytes.
    pub cache_bytes: u64,
    /// What a batch at the end of the ledger means when the folder is opened.
    pub tail: Tail,
}

/// What it means that a batch is synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// It is committed: one node alone decides.
    Committed,
    /// It may yet be undone, unless it was applied: nodes decide together. Batches that are not
    /// known to be committed are kept apart when the folder is opened ([`Store::take_undecided`]).
    Undecided,
}

impl Default for StoreOptions {
    /// CCF's chunk size, 5 MB, and a cache of 64 MiB: what says of ten million rows that a key is none of theirs.
    fn default() -> Self {
        Self {
            chunk_bytes: 5_000_000,
            cache_bytes: 64 << 20,
            tail: Tail::Committed,
        }
    }
}

/// Longest chunk that an operator may ask for: offsets in a chunk have 32 bits, and one more batch
/// may follow.
pub const CHUNK_BYTES_MAX: u64 = 1 << 30;

/// A batch that is synced but not shown to readers.
#[derive(Debug)]
pub(crate) struct Appended {
    pub(crate) first: Seqno,
    /// Where its first entry lies in its chunk.
    pub(crate) offset: u32,
    /// The nodes that its leaves complete, as they stand in the hash file.
    pub(crate) nodes: Vec<u8>,
    /// The tree before it, and the view of the batch before it: what is true again if it is undone.
    pub(crate) before: (Frontier, View),
}

/// The tree with a batch that was received, if it is the next one.
#[derive(Debug)]
struct Received {
    entries: Vec<BatchEntry>,
    frontier: Frontier,
    nodes: Vec<u8>,
}

/// What recovery hands to a store.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// The tree and the view after the last batch.
    pub(crate) frontier: Frontier,
    pub(crate) view: View,
    /// Files that are not closed, oldest first.
    pub(crate) chunks: VecDeque<OpenChunk>,
    /// Batches that are not known to be committed, oldest first.
    pub(crate) appended: VecDeque<Appended>,
    pub(crate) undecided: Vec<Batch>,
}

/// The one writer of a folder.
///
/// Every error of a method is final: end the process (see [`StoreError`]).
#[derive(Debug)]
pub struct Store {
    pub(crate) reader: Arc<Reader>,
    secrets: StoreSecrets,
    frontier: Frontier,
    /// Of the last batch appended.
    view: View,
    /// The file that is written to.
    chunk: Option<OpenChunk>,
    /// Files before it that are as long as they get, oldest first: they are closed when all that is
    /// in them is applied.
    full: VecDeque<OpenChunk>,
    checkpoint: CheckpointFile,
    chunk_bytes: u64,
    /// Oldest first.
    appended: VecDeque<Appended>,
    /// What was found out about a batch that is about to be appended.
    received: Option<Received>,
    undecided: Vec<Batch>,
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
        secrets: impl Into<StoreSecrets>,
        options: StoreOptions,
    ) -> Result<Self, OpenError> {
        recovery::open(Folders::under(dir), secrets.into(), options)
    }

    pub(crate) fn recovered(
        reader: Arc<Reader>,
        secrets: StoreSecrets,
        recovered: Recovered,
        checkpoint: CheckpointFile,
        options: StoreOptions,
        lock: FolderLock,
    ) -> Self {
        let Recovered {
            frontier,
            view,
            mut chunks,
            appended,
            undecided,
        } = recovered;
        Self {
            reader,
            secrets,
            frontier,
            view,
            chunk: chunks.pop_back(),
            full: chunks,
            checkpoint,
            chunk_bytes: options.chunk_bytes.min(CHUNK_BYTES_MAX),
            appended,
            received: None,
            undecided,
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

    /// The last entry appended; zero for none.
    pub fn last_appended(&self) -> Seqno {
        Seqno(self.frontier.size() - 1)
    }

    /// The batches that were found when the folder was opened and are not known to be committed,
    /// oldest first: appended, and not applied. Empty when asked again, and with
    /// [`Tail::Committed`].
    pub fn take_undecided(&mut self) -> Vec<Batch> {
        std::mem::take(&mut self.undecided)
    }

    /// Reads a batch that another node made, to be appended next. Its entries, their places, its
    /// root and its private parts are right; whether the node that signed the root may sign is left
    /// to be judged.
    ///
    /// # Errors
    /// It does not continue this ledger, in words.
    pub fn received(&mut self, bytes: Vec<u8>) -> Result<(Batch, SignedRoot), String> {
        let mut found = batch_at(&bytes, 0, &self.frontier, self.view)?;
        if found.end != bytes.len() {
            return Err("more follows its signature entry".to_owned());
        }
        let secrets = &self.secrets.ledger;
        if secrets.at(found.first).is_none() {
            return Err("its ledger secret is not known here".to_owned());
        }
        let writes = found.take_writes(&bytes, secrets).map_err(|seqno| {
            format!("entry {seqno} was sealed under another ledger secret, or changed")
        })?;
        for (place, writes) in (0..).zip(&writes) {
            let id = TxId::new(found.view, Seqno(found.first.0 + place));
            let begun = secrets.begun_by(id, writes);
            if begun.map_err(|error| error.to_string())?.is_some()
                && id.seqno.next() != found.signed.id.seqno
            {
                return Err(format!("more than its signature follows the rekey in {id}"));
            }
        }
        self.received = Some(Received {
            entries: found.entries.clone(),
            frontier: found.frontier,
            nodes: found.nodes,
        });
        let batch = Batch {
            first: found.first,
            view: found.view,
            entries: found.entries,
            writes,
            bytes,
        };
        Ok((batch, found.signed))
    }

    /// Appends `batch` to the ledger: one write, one fdatasync. When this returns, the batch
    /// survives power loss; readers do not see it before [`Store::apply`].
    ///
    /// # Errors
    /// The process must end: see [`StoreError`].
    pub fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.guarded(|store| store.append_now(batch))
    }

    /// Undoes the batches after `last`, which were appended and not applied. When this returns, they
    /// do not come back.
    ///
    /// # Errors
    /// `last` is within a batch, or before what is applied; or the disk fails. The process must end:
    /// see [`StoreError`].
    pub fn truncate(&mut self, last: Seqno) -> Result<(), StoreError> {
        self.guarded(|store| store.truncate_now(last))
    }

    /// Shows an appended batch to readers. Oldest first.
    ///
    /// Nothing is synced (the ledger has it), unless a ledger file is full and all of it is applied:
    /// then it is closed and [`Store::checkpoint`] runs.
    ///
    /// # Errors
    /// The process must end: see [`StoreError`].
    pub fn apply(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.guarded(|store| {
            store.apply_now(batch)?;
            store.close_applied()
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
        batch.check(self.last_appended().next())?;
        batch
            .teach(&self.secrets.ledger)
            .map_err(|_| StoreError::BadBatch {
                first: batch.first,
                why: "it begins a ledger secret that does not open here",
            })?;
        if self.chunk_is_full() {
            self.full.extend(self.chunk.take());
            self.close_applied()?;
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
        chunk.complete |= batch.ends_file();
        self.reader.add_bytes(batch.bytes.len() as u64);
        // Nothing was appended or undone since it was received: whatever does that forgets it.
        let received = self.received.take();
        let (frontier, nodes) = match received.filter(|seen| seen.entries == batch.entries) {
            Some(seen) => (seen.frontier, seen.nodes),
            None => {
                let mut frontier = self.frontier.clone();
                let leaves = batch.entries.iter().map(|entry| entry.leaf);
                let nodes = append_leaves(&mut frontier, leaves);
                (frontier, nodes)
            }
        };
        let before = (std::mem::replace(&mut self.frontier, frontier), self.view);
        self.view = batch.view;
        self.appended.push_back(Appended {
            first: batch.first,
            offset,
            nodes,
            before,
        });
        Ok(())
    }

    fn truncate_now(&mut self, last: Seqno) -> Result<(), StoreError> {
        self.received = None;
        let mut undone = None;
        while self.appended.back().is_some_and(|batch| batch.first > last) {
            undone = self.appended.pop_back();
        }
        let (first, after) = match &undone {
            Some(batch) => (batch.first, batch.first),
            None => (last.next(), self.last_appended().next()),
        };
        if after != last.next() {
            return Err(StoreError::BadBatch {
                first,
                why: "it cannot be undone: it is applied, or only a part of it was named",
            });
        }
        let Some(undone) = undone else {
            return Ok(());
        };
        self.secrets.ledger.forget_after(last);
        (self.frontier, self.view) = undone.before;
        self.undecided.retain(|batch| batch.first <= last);
        // The newest file first: whatever a crash leaves has no hole.
        while let Some(mut chunk) = self.chunk.take() {
            let bytes = chunk.length;
            if chunk.first < undone.first {
                chunk.cut(undone.first, undone.offset)?;
                self.reader.remove_bytes(bytes - chunk.length);
                self.chunk = Some(chunk);
                break;
            }
            let began_with_it = chunk.first == undone.first;
            self.reader.remove_chunk(chunk.first);
            self.reader.remove_bytes(bytes);
            chunk.remove()?;
            self.chunk = self.full.pop_back();
            if began_with_it {
                break;
            }
        }
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
            .is_some_and(|chunk| chunk.complete || chunk.length >= self.chunk_bytes)
    }

    /// Closes the files that are full and all applied.
    pub(crate) fn close_applied(&mut self) -> Result<(), StoreError> {
        let applied = self.reader.committed_seqno();
        if self.chunk_is_full() && self.chunk.as_ref().and_then(OpenChunk::last) == Some(applied) {
            self.full.extend(self.chunk.take());
        }
        let mut closed = false;
        while self.full.front().and_then(OpenChunk::last) <= Some(applied)
            && let Some(chunk) = self.full.pop_front()
        {
            let positions = chunk.offsets.len() as u64 * 4;
            let reader = &self.reader;
            chunk.close(|name, rename| reader.close_chunk(name, rename))?;
            self.reader.add_bytes(positions);
            closed = true;
        }
        if closed {
            self.checkpoint_now()
        } else {
            Ok(())
        }
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
