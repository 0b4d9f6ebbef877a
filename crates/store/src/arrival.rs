//! A ledger that comes from other nodes: its files are kept apart until all of them are checked.
//!
//! ```text
//! DIR/arriving/ledger/        ledger files, `.part` while they come
//! DIR/arriving/snapshots/     a snapshot, likewise
//! DIR/arriving/index/         made from the ledger files
//! DIR/arriving/consensus/     likewise, and from what a node told of the order
//! DIR/arriving/complete       all of it is checked and synced: only the names are still to be moved
//! ```
//! A file that is there whole does not come again, and one that is there in part goes on, so an
//! interrupted arrival costs only what was lost on its way. Nobody is believed: the tree is computed
//! from the entries, and must lead to the root that a node of the service signed. Services may have
//! followed one another on the way, each endorsing the one before it: what the entries say about
//! services and nodes is checked as an auditor does ([`crate::audit`]).

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};

use ledger::chunk::ChunkName;
use ledger::signature::SignedRoot;
use verify::{Cert, Frontier, Seqno};

use crate::durable::{create_folder, sync_folder, write_atomically};
use crate::error::OpenError;
use crate::index::{HashFile, PlaceFile};
use crate::order::{ComingOrder, ToldOrder};
use crate::snapshot::restore::entry_in;
use crate::snapshot::{SnapshotName, digest, evidence_in};
use crate::store::append_leaves;
use crate::trust::Trust;

mod read;
use self::read::{Found, read_chunk};

/// So much is written before it is synced: whoever shares the disk, and syncs, waits for little.
const SYNC_EVERY: usize = 4 << 20;

/// A ledger file as another node has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Chunk {
    /// Its first entry.
    pub first: Seqno,
    /// Its last entry that is committed: a signature entry.
    pub last: Seqno,
    /// How long it is, or how far its committed entries go where it is open.
    pub bytes: u64,
    /// Whether it is closed.
    pub closed: bool,
}

impl Chunk {
    /// Its file's name.
    pub const fn name(&self) -> ChunkName {
        if self.closed {
            ChunkName::committed(self.first..=self.last)
        } else {
            ChunkName::open(self.first)
        }
    }
}

/// Why files that came cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArrivalError {
    /// The disk fails, or is full.
    #[error(transparent)]
    Disk(#[from] OpenError),
    /// Whoever sent this file changed it, or has another ledger. It is removed: get it from another.
    #[error("the ledger file {}: {why}", chunk.name())]
    Chunk {
        /// Which.
        chunk: Chunk,
        /// What is wrong with it.
        why: String,
    },
    /// Whoever told the order told what does not fit the ledger.
    #[error("what was told about the order of the batches does not fit the ledger: {0}")]
    Order(String),
    /// Whoever sent the snapshot changed it. It is removed: get it from another, or do without.
    #[error("the snapshot {name}: {why}")]
    Snapshot {
        /// Which.
        name: SnapshotName,
        /// What is wrong with it.
        why: String,
    },
}

/// The folder in which files arrive.
#[derive(Debug)]
pub struct Arrival {
    dir: PathBuf,
    at: PathBuf,
}

impl Arrival {
    /// Whether the node in `dir` waits for files to arrive, or has nothing of a ledger yet.
    pub fn is_due(dir: &Path) -> bool {
        let parts = ["ledger", "index", "state", "consensus"];
        dir.join("arriving").exists() || !parts.iter().any(|part| dir.join(part).exists())
    }

    /// Begins an arrival, or goes on with one that was interrupted. `None` if all had arrived: then
    /// it is moved to its place.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn begin(dir: &Path) -> Result<Option<Self>, OpenError> {
        let arrival = Self {
            dir: dir.to_owned(),
            at: dir.join("arriving"),
        };
        if arrival.at.join("complete").exists() {
            arrival.settle()?;
            return Ok(None);
        }
        let at = &arrival.at;
        for folder in [at, &at.join("ledger"), &at.join("snapshots")] {
            create_folder(folder).map_err(OpenError::io("create the folder", folder))?;
        }
        Ok(Some(arrival))
    }

    /// Whether something has arrived already.
    pub fn goes_on(&self) -> bool {
        let mut files = std::fs::read_dir(self.at.join("ledger"))
            .into_iter()
            .flatten();
        files.next().is_some()
    }

    /// The way of a ledger file to the disk.
    ///
    /// # Errors
    /// The disk fails.
    pub fn chunk(&self, chunk: &Chunk) -> io::Result<Part> {
        Part::open(self.chunk_path(chunk), chunk.bytes)
    }

    /// Removes a file that arrived, by its name: whoever sent it is not believed any more.
    ///
    /// # Errors
    /// The disk fails.
    pub fn discard(&self, name: &str) -> io::Result<()> {
        let folder = if name.starts_with("snapshot") {
            "snapshots"
        } else {
            "ledger"
        };
        match std::fs::remove_file(self.at.join(folder).join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The way of a snapshot of that many bytes to the disk.
    ///
    /// # Errors
    /// The disk fails.
    pub fn snapshot(&self, name: SnapshotName, bytes: u64) -> io::Result<Part> {
        Part::open(self.snapshot_path(name), bytes)
    }

    /// Checks all ledger files, which are here whole and make a ledger without a gap, and makes what
    /// is derived from them. A node of `service` signed its last root. `told` is what a node told of
    /// the order up to the last batch. Returns the first entry of that service: state from before it
    /// is sealed under a secret that was lost with an earlier one.
    ///
    /// Hashes on all cores; holds two ledger files for each in memory.
    ///
    /// # Errors
    /// See [`ArrivalError`]: the file that is to blame is removed.
    pub fn check(
        &self,
        chunks: &[Chunk],
        service: &Cert,
        told: ToldOrder,
    ) -> Result<Seqno, ArrivalError> {
        let index = self.at.join("index");
        let fresh = match std::fs::remove_dir_all(&index) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result,
        };
        fresh.map_err(OpenError::io("empty", &index))?;
        create_folder(&index).map_err(OpenError::io("create the folder", &index))?;
        let path = index.join("hashes");
        let hashes = HashFile::open(path.clone()).map_err(OpenError::io("create", &path))?;
        let path = index.join("seqnos");
        let places = PlaceFile::open(path.clone()).map_err(OpenError::io("create", &path))?;
        let mut check = Check {
            frontier: Frontier::new(),
            last: None,
            service,
            trust: Trust::default(),
            since: Seqno::FIRST,
            order: ComingOrder::begin(&self.at, told)?,
            hashes,
            places,
            unsynced: 0,
        };
        self.in_order(chunks, |chunk, found| check.take(chunk, found))
            .inspect_err(|error| {
                if let ArrivalError::Chunk { chunk, .. } = error {
                    // One that cannot be removed is found wrong again.
                    let _ = std::fs::remove_file(self.chunk_path(chunk));
                }
            })?;
        check.finish()
    }

    /// Checks a snapshot that is here whole against the ledger files, which are checked; `since` is
    /// what [`Arrival::check`] returned.
    ///
    /// # Errors
    /// See [`ArrivalError`]: a snapshot that is wrong is removed.
    pub fn check_snapshot(
        &self,
        chunks: &[Chunk],
        name: SnapshotName,
        since: Seqno,
    ) -> Result<(), ArrivalError> {
        let path = self.snapshot_path(name);
        let refuse = |why: &str| ArrivalError::Snapshot {
            name,
            why: why.to_owned(),
        };
        let checked = (|| {
            if name.seqno < since {
                return Err(refuse("it is of an earlier service"));
            }
            let at = chunks.partition_point(|chunk| chunk.first <= name.evidence);
            let chunk = at.checked_sub(1).and_then(|at| chunks.get(at));
            let chunk = chunk.filter(|chunk| chunk.last >= name.evidence);
            let chunk = chunk.ok_or_else(|| refuse("its evidence is not there"))?;
            let file = self.chunk_path(chunk);
            let entry = entry_in(&file, chunk.name(), name.evidence)
                .map_err(OpenError::io("read", &file))?;
            let evidence =
                evidence_in(&entry).ok_or_else(|| refuse("the ledger does not record it"))?;
            let (header, found) = match digest(&path) {
                Ok(found) => found,
                Err(error) if error.kind() == ErrorKind::InvalidData => {
                    return Err(refuse(&error.to_string()));
                }
                Err(error) => return Err(OpenError::io("read", &path)(error).into()),
            };
            if (evidence.seqno(), evidence.hash) != (name.seqno, found)
                || header.seqno != name.seqno
            {
                return Err(refuse("its digest is not the one that the ledger records"));
            }
            Ok(())
        })();
        if matches!(checked, Err(ArrivalError::Snapshot { .. })) {
            // One that cannot be removed is found wrong again.
            let _ = std::fs::remove_file(&path);
        }
        checked
    }

    /// All is checked: moves it to its place. Files that are not among `chunks` are left behind.
    ///
    /// # Errors
    /// The disk fails. It goes on at the next start.
    pub fn finish(
        &self,
        chunks: &[Chunk],
        snapshot: Option<SnapshotName>,
    ) -> Result<(), OpenError> {
        let chunks = chunks.iter().map(|chunk| chunk.name().to_string());
        self.keep_only("ledger", &chunks.collect::<Vec<_>>())?;
        let snapshots: Vec<String> = snapshot.iter().map(SnapshotName::to_string).collect();
        self.keep_only("snapshots", &snapshots)?;
        for folder in ["index", "."] {
            let folder = self.at.join(folder);
            sync_folder(&folder).map_err(OpenError::io("sync", &folder))?;
        }
        let path = self.at.join("complete");
        write_atomically(&path, b"", 0o600).map_err(OpenError::io("write", &path))?;
        self.settle()
    }

    /// Gives up: what arrived is removed.
    ///
    /// # Errors
    /// The disk fails.
    pub fn abandon(&self) -> Result<(), OpenError> {
        std::fs::remove_dir_all(&self.at).map_err(OpenError::io("remove", &self.at))
    }

    fn keep_only(&self, folder: &str, names: &[String]) -> Result<(), OpenError> {
        let folder = self.at.join(folder);
        let keep = || -> io::Result<()> {
            for file in std::fs::read_dir(&folder)? {
                let file = file?;
                let known = file.file_name().to_str().map(str::to_owned);
                if !known.is_some_and(|name| names.contains(&name)) {
                    std::fs::remove_file(file.path())?;
                }
            }
            sync_folder(&folder)
        };
        keep().map_err(OpenError::io("tidy", &folder))
    }

    /// The ledger last: a folder that has it has everything.
    fn settle(&self) -> Result<(), OpenError> {
        for name in ["snapshots", "index", "consensus", "ledger"] {
            let from = self.at.join(name);
            if from.exists() {
                let to = self.dir.join(name);
                std::fs::rename(&from, &to).map_err(OpenError::io("rename", &from))?;
            }
        }
        sync_folder(&self.dir).map_err(OpenError::io("sync", &self.dir))?;
        std::fs::remove_dir_all(&self.at).map_err(OpenError::io("remove", &self.at))
    }

    /// Reads the files on all cores, and hands out what is in them one after the other.
    fn in_order(
        &self,
        chunks: &[Chunk],
        mut take: impl FnMut(&Chunk, Found) -> Result<(), ArrivalError>,
    ) -> Result<(), ArrivalError> {
        let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        std::thread::scope(|scope| {
            let results: Vec<Receiver<_>> = (0..threads)
                .map(|thread| {
                    // One that is read and one that waits, for each thread.
                    let (sender, results) = sync_channel(1);
                    scope.spawn(move || {
                        for chunk in chunks.iter().skip(thread).step_by(threads) {
                            let found = read_chunk(&self.chunk_path(chunk), chunk);
                            let over = found.is_err();
                            // Nobody listens behind the first error.
                            if sender.send(found).is_err() || over {
                                return;
                            }
                        }
                    });
                    results
                })
                .collect();
            for (chunk, results) in chunks.iter().zip(results.iter().cycle()) {
                let found = results.recv().map_err(|_| ArrivalError::Chunk {
                    chunk: *chunk,
                    why: "it could not be read".to_owned(),
                })?;
                take(chunk, found?)?;
            }
            Ok(())
        })
    }

    fn chunk_path(&self, chunk: &Chunk) -> PathBuf {
        self.at.join("ledger").join(chunk.name().to_string())
    }

    fn snapshot_path(&self, name: SnapshotName) -> PathBuf {
        self.at.join("snapshots").join(name.to_string())
    }
}

/// What goes from one ledger file to the next.
struct Check<'a> {
    frontier: Frontier,
    last: Option<(Chunk, SignedRoot)>,
    service: &'a Cert,
    trust: Trust,
    /// The first entry of the last service so far.
    since: Seqno,
    order: ComingOrder,
    hashes: HashFile,
    places: PlaceFile,
    /// Bytes that are written and not synced.
    unsynced: usize,
}

impl Check<'_> {
    fn take(&mut self, chunk: &Chunk, found: Found) -> Result<(), ArrivalError> {
        let refuse = |why: &str| ArrivalError::Chunk {
            chunk: *chunk,
            why: why.to_owned(),
        };
        if chunk.first.0 != self.frontier.size() {
            return Err(refuse("it does not begin where the one before it ends"));
        }
        let before = self.last.as_ref().map(|(_, signed)| signed.id.view);
        if before.is_some_and(|view| view > found.first_view) {
            return Err(refuse(
                "its first entry is of an older view than the one before it",
            ));
        }
        let mut leaves = found.leaves;
        let signature = leaves.pop().ok_or_else(|| refuse("it has no entries"))?;
        let mut nodes = append_leaves(&mut self.frontier, leaves.into_iter());
        let signed = found.signed;
        if self.frontier.root() != signed.root {
            return Err(refuse(
                "its entries do not lead to the root that it says was signed",
            ));
        }
        for (seqno, observed) in &found.observed {
            let service = self.trust.service_cert().map(Cert::key_digest);
            observed
                .take_over(&mut self.trust)
                .map_err(|error| refuse(&format!("entry {seqno}: {error}")))?;
            if service != self.trust.service_cert().map(Cert::key_digest) {
                self.since = *seqno;
            }
        }
        // The last one covers the others.
        self.trust
            .verify(&signed)
            .map_err(|error| refuse(&format!("its last root: {error}")))?;
        self.trust.signed(&signed);
        nodes.extend(append_leaves(
            &mut self.frontier,
            std::iter::once(signature),
        ));
        let path = self.hashes.path();
        self.hashes
            .write(chunk.first, &nodes)
            .map_err(OpenError::io("write to", path))?;
        self.places
            .write(chunk.first, &found.places)
            .map_err(OpenError::io("write to", self.places.path()))?;
        self.unsynced += nodes.len() + found.places.len();
        if self.unsynced > SYNC_EVERY {
            self.sync()?;
        }
        for first in found.batches {
            self.order.push_batch(first).map_err(misplaced)?;
        }
        self.last = Some((*chunk, signed));
        Ok(())
    }

    fn finish(mut self) -> Result<Seqno, ArrivalError> {
        let service = self.trust.service_cert().map(Cert::key_digest);
        if let Some((chunk, _)) = &self.last
            && service != Some(self.service.key_digest())
        {
            return Err(ArrivalError::Chunk {
                chunk: *chunk,
                why: "its last root was signed by no node of the service".to_owned(),
            });
        }
        self.sync()?;
        self.order.finish().map_err(misplaced)?;
        Ok(self.since)
    }

    fn sync(&mut self) -> Result<(), OpenError> {
        self.unsynced = 0;
        self.hashes
            .sync()
            .map_err(OpenError::io("sync", self.hashes.path()))?;
        self.places
            .sync()
            .map_err(OpenError::io("sync", self.places.path()))
    }
}

fn misplaced(error: io::Error) -> ArrivalError {
    match error.kind() {
        ErrorKind::InvalidData => ArrivalError::Order(error.to_string()),
        _ => OpenError::io("write", Path::new("arriving/consensus"))(error).into(),
    }
}

/// A file on its way. It has its name when it is whole and synced.
#[derive(Debug)]
pub struct Part {
    path: PathBuf,
    /// `None` once it is whole.
    file: Option<File>,
    length: u64,
    bytes: u64,
}

impl Part {
    fn open(path: PathBuf, bytes: u64) -> io::Result<Self> {
        let whole = match std::fs::metadata(&path) {
            Ok(file) if file.len() == bytes => true,
            // An open one that has grown since.
            Ok(_) => {
                std::fs::rename(&path, part_path(&path))?;
                false
            }
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        let mut part = Self {
            path,
            file: None,
            length: bytes,
            bytes,
        };
        if !whole {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(part_path(&part.path))?;
            part.length = file.metadata()?.len();
            if part.length > bytes {
                file.set_len(0)?;
                part.length = 0;
            }
            part.file = Some(file);
        }
        Ok(part)
    }

    /// Where the next bytes belong: what is before is here.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Whether nothing is missing and the file is in its place.
    pub const fn is_whole(&self) -> bool {
        self.file.is_none()
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// The disk fails; or more comes than there is ([`ErrorKind::InvalidData`]).
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = self.length + bytes.len() as u64;
        let file = self.file.as_ref().filter(|_| length <= self.bytes);
        let file = file.ok_or(ErrorKind::InvalidData)?;
        file.write_all_at(bytes, self.length)?;
        self.length = length;
        Ok(())
    }

    /// Syncs the file and gives it its name, if nothing is missing.
    ///
    /// # Errors
    /// The disk fails.
    pub fn finish(&mut self) -> io::Result<()> {
        if self.length == self.bytes
            && let Some(file) = self.file.take()
        {
            file.sync_all()?;
            std::fs::rename(part_path(&self.path), &self.path)?;
        }
        Ok(())
    }
}

fn part_path(path: &Path) -> PathBuf {
    path.with_added_extension("part")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_came_in_part_goes_on_and_one_that_is_whole_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut part = Part::open(path.clone(), 6).unwrap();
        part.write(b"abc").unwrap();
        part.finish().unwrap();
        assert!(!part.is_whole());
        drop(part);
        let mut part = Part::open(path.clone(), 6).unwrap();
        assert_eq!(part.length(), 3);
        assert!(part.write(b"defg").is_err(), "more than there is");
        part.write(b"def").unwrap();
        part.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abcdef");
        assert!(Part::open(path.clone(), 6).unwrap().is_whole());
        let mut grown = Part::open(path.clone(), 7).unwrap();
        assert_eq!((grown.is_whole(), grown.length()), (false, 6));
        grown.write(b"g").unwrap();
        grown.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abcdefg");
    }
}
