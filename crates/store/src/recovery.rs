//! Opening a folder: what an earlier process left is checked, completed or refused.
//!
//! The ledger files are the truth. Whatever follows the last checkpoint is read from them again.
//! What tells a torn write, which nobody was told of, from damage, which took something that was
//! acknowledged: the files derived from the ledger are written only after the ledger is synced, so
//! an entry that one of them knows was committed.

mod files;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use ledger::chunk::{CHUNK_HEADER_LEN, ChunkName};
use ledger::entry::encode;
use ledger::{Entry, LedgerSecret, LedgerSecrets};
use verify::{Frontier, Seqno, TreeNode, View};

use self::files::{offset_of, offsets_in};
use crate::batch::Batch;
use crate::checkpoint::CheckpointFile;
use crate::chunks::{self, OpenChunk};
use crate::durable::{create_folder, sync_folder};
use crate::error::{OpenError, REBUILD, StoreError};
use crate::index::{HashFile, PlaceFile};
use crate::lock::FolderLock;
use crate::reader::Reader;
use crate::replay::{FoundBatch, batch_at, entry_at, positions_match};
use crate::secrets::StoreSecrets;
use crate::snapshot::restore::{Derived, restore};
use crate::state::{self, StateStore};
use crate::store::{Appended, Folders, Recovered, Store, StoreOptions, Tail, index_and_apply};
use crate::trust::Trust;

pub(crate) fn open(
    folders: Folders,
    secrets: StoreSecrets,
    options: StoreOptions,
) -> Result<Store, OpenError> {
    for folder in [&folders.dir, &folders.ledger, &folders.index] {
        create_folder(folder).map_err(OpenError::io("create the folder", folder))?;
    }
    let lock = FolderLock::take(&folders.dir)?;
    // A process that was killed may have left names that are not synced.
    sync_folder(&folders.ledger).map_err(OpenError::io("sync", &folders.ledger))?;

    let names = chunks::list(&folders.ledger)?;
    let checkpoint = CheckpointFile::new(folders.index.join("checkpoint"));
    let path = folders.index.join("hashes");
    let hashes = HashFile::open(path.clone()).map_err(OpenError::io("open", &path))?;
    let leaves = hashes.leaves().map_err(OpenError::io("read", &path))?;
    let path = folders.index.join("seqnos");
    let places = PlaceFile::open(path.clone()).map_err(OpenError::io("open", &path))?;
    let placed = places.last().map_err(OpenError::io("read", &path))?;

    let derived = Derived {
        names: &names,
        checkpoint: &checkpoint,
        last: placed.min(Seqno(leaves - 1)),
    };
    restore(&folders, &secrets.state, &derived, options)?;
    let noted = checkpoint.read()?;
    let state = open_state(&folders.state, &secrets.state, options)?;
    let state_failed = |source| OpenError::State {
        path: folders.state.clone(),
        source,
    };
    sync_folder(&folders.dir).map_err(OpenError::io("sync", &folders.dir))?;
    let [applied, applied_too] = state.applied().map_err(state_failed)?;
    let known = noted
        .max(placed)
        .max(applied.max(applied_too))
        .max(Seqno(leaves - 1));
    let complete = applied.min(applied_too) >= noted && placed >= noted && leaves > noted.0;
    let from = if complete { noted } else { Seqno::ZERO };
    if !complete {
        tracing::warn!(
            noted = noted.0,
            "index or state are incomplete: reading the whole ledger"
        );
        // As long as the rebuild lasts, the length of this file keeps what is known.
        places
            .resize(known)
            .map_err(OpenError::io("extend", places.path()))?;
    }
    let mut views = state.views().map_err(state_failed)?;
    views.retain(|(_, first)| *first <= from);

    let reader = Reader::new(folders.ledger.clone(), hashes, places, state, views);
    secrets.ledger.learn_from(&reader)?;
    let closed = names.iter().rev().find_map(|name| name.last);
    let decided = match options.tail {
        Tail::Committed => Seqno(u64::MAX),
        Tail::Undecided => known.max(closed.unwrap_or(Seqno::ZERO)),
    };
    let mut recovery = Recovery {
        reader: Arc::new(reader),
        secrets: Arc::clone(&secrets.ledger),
        known,
        decided,
        frontier: Frontier::new(),
        view: View::default(),
        trust: Trust::default(),
        ready: None,
        taken: Taken::default(),
        chunks: VecDeque::new(),
        ends: Vec::new(),
        replayed: false,
    };
    recovery.run(&names, from)?;
    let Recovery {
        reader,
        taken,
        mut chunks,
        ends,
        replayed,
        ..
    } = recovery;
    for chunk in &mut chunks {
        chunk.complete |= chunk.last().is_some_and(|last| ends.contains(&last));
    }
    let recovered = Recovered {
        frontier: taken.frontier,
        view: taken.view,
        chunks,
        appended: taken.appended,
        undecided: taken.undecided,
    };
    let mut store = Store::recovered(reader, secrets, recovered, checkpoint, options, lock);
    store.close_applied().map_err(wrapped)?;
    if replayed {
        store.checkpoint().map_err(wrapped)?;
    }
    Ok(store)
}

/// Opens the state store; one that a kill or power loss left half made is begun anew.
fn open_state(
    path: &Path,
    secret: &Arc<LedgerSecret>,
    options: StoreOptions,
) -> Result<StateStore, OpenError> {
    let open = || StateStore::open(path, Arc::clone(secret), options.cache_bytes);
    let failed = |source| OpenError::State {
        path: path.to_owned(),
        source,
    };
    match open() {
        Err(error) if state::is_damage(&error) => {
            tracing::warn!(%error, "the state store is damaged: it is rebuilt from the ledger");
            std::fs::remove_dir_all(path).map_err(OpenError::io("remove", path))?;
            open().map_err(failed)
        }
        result => result.map_err(failed),
    }
}

/// A batch that is right as far as the tree goes, in the file it was found in.
struct Ready {
    batch: FoundBatch,
    bytes: Arc<Vec<u8>>,
}

struct Recovery {
    reader: Arc<Reader>,
    secrets: Arc<LedgerSecrets>,
    /// The last entry that is known to have been committed.
    known: Seqno,
    /// Batches that begin up to here are applied; those after it are kept apart.
    decided: Seqno,
    /// The tree over all batches found so far, `ready` included.
    frontier: Frontier,
    view: View,
    trust: Trust,
    /// The last batch found. The next one's root covers it; only the very last one's signature has
    /// to be checked, because it covers everything.
    ready: Option<Ready>,
    taken: Taken,
    /// Files to go on with, oldest first.
    chunks: VecDeque<OpenChunk>,
    /// Entries after which members want a file closed.
    ends: Vec<Seqno>,
    replayed: bool,
}

/// What the batches that were checked lead to.
#[derive(Default)]
struct Taken {
    frontier: Frontier,
    view: View,
    appended: VecDeque<Appended>,
    undecided: Vec<Batch>,
}

impl Taken {
    fn last(&self) -> Seqno {
        Seqno(self.frontier.size() - 1)
    }
}

impl Recovery {
    fn run(&mut self, names: &[ChunkName], from: Seqno) -> Result<(), OpenError> {
        for &name in names {
            let bytes = self.plausible(name)?;
            self.reader.add_chunk(name);
            self.reader.add_bytes(bytes);
        }
        self.check_secret(names)?;
        let mut start = CHUNK_HEADER_LEN;
        let mut remaining = names;
        if from > Seqno::ZERO {
            let after = names.partition_point(|name| name.first <= from);
            let place = after
                .checked_sub(1)
                .filter(|&place| names[place].last.is_none_or(|last| last >= from));
            let Some(place) = place else {
                return Err(self.entries_missing(names));
            };
            remaining = &names[place..];
            start = self.anchor(names[place], from)?;
        }
        for (index, &name) in remaining.iter().enumerate() {
            if index > 0 {
                self.follows(name)?;
            }
            let start = std::mem::replace(&mut start, CHUNK_HEADER_LEN);
            self.replay(name, start, remaining.get(index + 1).copied())?;
        }
        // The last chunk is closed: its last batch is still unchecked.
        if let Some(ready) = self.ready.take() {
            self.trust.verify(&ready.batch.signed).map_err(|error| {
                let last = names
                    .last()
                    .copied()
                    .unwrap_or(ChunkName::open(Seqno::FIRST));
                self.damaged(last, Seqno(ready.batch.first.0 - 1), error.to_string())
            })?;
            self.take_over(ready)?;
        }
        if self.reader.committed_seqno() < self.known {
            return Err(self.entries_missing(names));
        }
        let Reader { hashes, places, .. } = &*self.reader;
        let last = self.reader.committed_seqno();
        hashes
            .cut(last.0 + 1)
            .map_err(OpenError::io("cut", hashes.path()))?;
        places
            .resize(last)
            .map_err(OpenError::io("cut", places.path()))?;
        Ok(())
    }

    /// Makes sure that a file begins where the one before it ends: the name of an open file does not
    /// tell.
    fn follows(&self, name: ChunkName) -> Result<(), OpenError> {
        let next = Seqno(self.frontier.size());
        if name.first > next {
            return Err(OpenError::MissingChunk {
                dir: self.reader.ledger_dir().to_owned(),
                from: next,
                to: Seqno(name.first.0 - 1),
            });
        }
        if name.first < next {
            let why = "it has entries that another ledger file has too".to_owned();
            return Err(self.damaged(name, Seqno(name.first.0 - 1), why));
        }
        Ok(())
    }

    /// Takes up the tree at the checkpoint `from`, and makes sure that the hash file and the ledger
    /// agree there. Returns where the next entry begins.
    fn anchor(&mut self, name: ChunkName, from: Seqno) -> Result<usize, OpenError> {
        let trusted = Trust::of_state(&self.reader.state);
        self.trust = trusted.map_err(|why| OpenError::DamagedIndex {
            file: self.reader.ledger_dir().with_file_name("state"),
            why,
            remedy: REBUILD,
        })?;
        let (bytes, end) = self.read(name)?;
        let found = (|| {
            let start = offset_of(&bytes[..end], name, from)?;
            let slice = entry_at(&bytes[..end], start)?;
            let entry = Entry::parse(slice).map_err(|error| error.to_string())?;
            let writes = entry.public_writes().map_err(|error| error.to_string())?;
            let signed = ledger::signature::SignedRoot::from_writes(&writes)
                .map_err(|error| error.to_string())?
                .ok_or("it is no signature")?;
            if signed.id != entry.id || entry.id.seqno != from {
                return Err("it is the signature of another entry".to_owned());
            }
            self.trust
                .verify(&signed)
                .map_err(|error| error.to_string())?;
            Ok((start + slice.len(), signed, entry.leaf()))
        })();
        let (next, signed, leaf) = match found {
            Ok(found) => found,
            Err(why) => {
                let truth_ends = self.truth_within(name, &bytes[..end]);
                return Err(self.damaged(name, truth_ends, format!("entry {from}: {why}")));
            }
        };
        let hashes = &self.reader.hashes;
        let read = OpenError::io("read", hashes.path());
        let mut frontier = hashes.frontier(from.0).map_err(read)?;
        let mut agrees = frontier.root() == signed.root;
        frontier.append(leaf, |node: TreeNode, digest| {
            agrees &= hashes.node(node).is_ok_and(|found| found == digest);
        });
        if !agrees {
            return Err(OpenError::DamagedIndex {
                file: hashes.path().to_owned(),
                why: format!("it does not lead to the root signed at seqno {from}"),
                remedy: REBUILD,
            });
        }
        self.trust.signed(&signed);
        self.taken.frontier = frontier.clone();
        self.taken.view = signed.id.view;
        self.frontier = frontier;
        self.view = signed.id.view;
        self.reader.publish(from, signed.id.view, from);
        Ok(next)
    }

    /// Reads the batches of one chunk from `start` on, which `next` follows.
    fn replay(
        &mut self,
        name: ChunkName,
        start: usize,
        next: Option<ChunkName>,
    ) -> Result<(), OpenError> {
        let (bytes, end) = self.read(name)?;
        if name.last.is_none() && end < bytes.len() {
            // It is being closed, so all of it was committed.
            let entries = (bytes.len() - end) as u64 / 4;
            self.decided = self.decided.max(Seqno(name.first.0 + entries - 1));
        }
        let bytes = Arc::new(bytes);
        let mut at = start;
        let mut broken = None;
        while at < end {
            match batch_at(&bytes[..end], at, &self.frontier, self.view) {
                Ok(batch) => {
                    at = batch.end;
                    self.next(Ready {
                        batch,
                        bytes: Arc::clone(&bytes),
                    })?;
                }
                Err(why) => {
                    broken = Some(why);
                    break;
                }
            }
        }
        let found = Seqno(self.frontier.size() - 1);
        match (name.last, broken) {
            (None, broken) if next.is_none() => self.resume(name, &bytes, end, at, broken),
            (None, Some(_)) if end == bytes.len() && is_closing(name, next, found, end - at) => {
                self.cut_positions(name, at, end - at)?;
                self.reopen(name, &bytes[..at], at, at)
            }
            (_, Some(why)) => Err(self.damaged(name, found, why)),
            (Some(last), None) if found != last => {
                Err(self.damaged(name, found, format!("it ends at entry {found}")))
            }
            (Some(_), None) => Ok(()),
            (None, None) => self.reopen(name, &bytes, end, at),
        }
    }

    /// Goes on with the last open chunk, all of whose bytes up to `at` are batches.
    fn resume(
        &mut self,
        name: ChunkName,
        bytes: &[u8],
        end: usize,
        mut at: usize,
        mut broken: Option<String>,
    ) -> Result<(), OpenError> {
        if let Some(ready) = self.ready.take() {
            match self.verify_last(&ready) {
                Ok(()) => self.take_over(ready)?,
                Err(why) if ready.batch.first >= name.first => {
                    at = ready.batch.start;
                    broken = Some(why);
                }
                Err(why) => {
                    let truth_ends = Seqno(ready.batch.first.0 - 1);
                    return Err(self.damaged(name, truth_ends, why));
                }
            }
        }
        let last = self.taken.last();
        let closed = end < bytes.len();
        if let Some(why) = broken {
            if last < self.known || closed || self.more_was_signed(&bytes[at..end]) {
                return Err(self.damaged(name, last, why));
            }
            self.cut(name, at, end - at, &why)?;
        }
        self.frontier = self.taken.frontier.clone();
        self.reopen(name, bytes, end, at)
    }

    /// Takes up an open chunk again, whose entries end at `at`.
    fn reopen(
        &mut self,
        name: ChunkName,
        bytes: &[u8],
        end: usize,
        at: usize,
    ) -> Result<(), OpenError> {
        let offsets = offsets_in(&bytes[..at]);
        if end < bytes.len() && !positions_match(bytes, end, &offsets) {
            let last = self.taken.last();
            return Err(self.damaged(name, last, "its positions are wrong".to_owned()));
        }
        let dir = self.reader.ledger_dir();
        let mut chunk = OpenChunk::resume(dir, name.first, at.max(8) as u64, offsets)
            .map_err(OpenError::io("open", &self.path(name)))?;
        chunk.complete = end < bytes.len();
        self.chunks.push_back(chunk);
        Ok(())
    }

    /// Checks the signature of the last batch, and that its signature entry is exactly the one that
    /// was encoded: no later root covers that entry.
    fn verify_last(&mut self, Ready { batch, bytes }: &Ready) -> Result<(), String> {
        self.trust
            .verify(&batch.signed)
            .map_err(|error| error.to_string())?;
        let written = batch.slices(bytes).last().unwrap_or(&[]);
        let Some(secret) = self.secrets.at(batch.last()) else {
            // What it says was checked; its tag and its commit evidence nobody can check.
            return Ok(());
        };
        let encoded = Entry::parse(written).ok().and_then(|entry| {
            let writes = entry.writes(&secret).ok()?;
            let mut encoded = Vec::with_capacity(written.len());
            encode(
                &mut encoded,
                entry.id,
                &writes,
                entry.claims_digest,
                &secret,
            );
            Some(encoded)
        });
        if encoded.as_deref() == Some(written) {
            Ok(())
        } else {
            Err(format!("entry {} is not as it was encoded", batch.last()))
        }
    }

    /// A batch follows on the last one, whose root it therefore covers.
    fn next(&mut self, found: Ready) -> Result<(), OpenError> {
        if let Some(before) = self.ready.take() {
            self.take_over(before)?;
        }
        self.frontier = found.batch.frontier.clone();
        self.view = found.batch.view;
        for writes in &found.batch.public {
            if let Err(error) = self.trust.observe(writes) {
                let name = ChunkName::open(found.batch.first);
                return Err(self.damaged(name, Seqno(found.batch.first.0 - 1), error.to_string()));
            }
        }
        self.ready = Some(found);
        Ok(())
    }

    /// Writes what is derived from a batch.
    fn take_over(&mut self, ready: Ready) -> Result<(), OpenError> {
        let Ready { mut batch, bytes } = ready;
        // What a trusted node signed is not damaged, so this is another secret.
        let writes = batch
            .take_writes(&bytes, &self.secrets)
            .map_err(|seqno| OpenError::WrongSecret { seqno })?;
        let offset = u32::try_from(batch.start).expect("a chunk is below 4 GiB");
        // A full disk may have taken a part of what is derived from a batch; only decided ones have
        // any, so a part is enough.
        let decided = batch.first <= self.decided;
        let before = (
            std::mem::replace(&mut self.taken.frontier, batch.frontier),
            std::mem::replace(&mut self.taken.view, batch.view),
        );
        let nodes = batch.nodes;
        let kept = if decided {
            &[]
        } else {
            &bytes[batch.start..batch.end]
        };
        let batch = Batch {
            first: batch.first,
            view: batch.view,
            bytes: kept.to_vec(),
            entries: batch.entries,
            writes,
        };
        batch.teach(&self.secrets)?;
        if batch.ends_file() {
            self.ends.push(batch.last());
        }
        if decided {
            self.replayed = true;
            return index_and_apply(&self.reader, &batch, offset, &nodes).map_err(wrapped);
        }
        self.taken.appended.push_back(Appended {
            first: batch.first,
            offset,
            nodes,
            before,
        });
        self.taken.undecided.push(batch);
        Ok(())
    }
}

/// Whether what follows the last batch of an open file, `found`, is from a close that was interrupted
/// before the header told of it: another file goes on after that batch, so none is missing, and there is
/// no more than the positions of the file's entries.
fn is_closing(name: ChunkName, next: Option<ChunkName>, found: Seqno, tail: usize) -> bool {
    let entries = (found.0 + 1).saturating_sub(name.first.0);
    next.is_some_and(|next| next.first == found.next()) && tail as u64 <= 4 * entries
}

fn wrapped(error: StoreError) -> OpenError {
    OpenError::Write(error)
}
