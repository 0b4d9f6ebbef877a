//! Snapshots: the state store as it was at the end of a batch, in one file.
//!
//! Two nodes that make one at the same seqno make the same bytes, because both have the same rows (but
//! for lists of seqnos that [`Reader::restore_private`] wrote, which cuts them elsewhere).
//! Values of private tables are sealed in it as they are in the state store. What proves that a
//! snapshot belongs to the ledger is its digest, recorded in an entry ([`ledger::snapshot`]); that
//! entry's seqno is in the file's name. The bytes are drawn in `docs/formats/snapshot.md`.

pub mod file;
pub(crate) mod restore;

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ledger::Entry;
use ledger::snapshot::SnapshotEvidence;
use verify::{Digest, Seqno};

use self::file::{Header, Section, SnapshotWriter};
use crate::durable::{create_folder, sync_folder};
use crate::error::ReadError;
use crate::reader::Reader;

/// So many bytes are written and synced at a time, so that the syncs of batches, which share the
/// disk, wait for little.
const SYNC_EVERY: u64 = 1 << 20;
/// After each of them the disk and the processor belong to others for this long.
const PAUSE: Duration = Duration::from_millis(2);

/// The file name of a snapshot that is recorded in the ledger: `snapshot_SEQNO_EVIDENCE.committed`,
/// as CCF has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotName {
    /// Whose state it is.
    pub seqno: Seqno,
    /// The entry that records its digest.
    pub evidence: Seqno,
}

impl SnapshotName {
    /// Reads a file name; `None` for any other.
    pub fn parse(name: &str) -> Option<Self> {
        let rest = name.strip_prefix("snapshot_")?.strip_suffix(".committed")?;
        let (seqno, evidence) = rest.split_once('_')?;
        let parsed = Self {
            seqno: Seqno(seqno.parse().ok()?),
            evidence: Seqno(evidence.parse().ok()?),
        };
        (parsed.to_string() == name && parsed.evidence > parsed.seqno).then_some(parsed)
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "snapshot_{}_{}.committed", self.seqno, self.evidence)
    }
}

/// The folder of snapshots of the node in `dir`.
pub fn folder(dir: &Path) -> PathBuf {
    dir.join("snapshots")
}

/// The recorded snapshots of the node in `dir`, oldest first.
///
/// # Errors
/// The folder cannot be read; one that is not there is empty.
pub fn list(dir: &Path) -> io::Result<Vec<SnapshotName>> {
    let files = match std::fs::read_dir(folder(dir)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        files => files?,
    };
    let mut names = Vec::new();
    for file in files {
        names.extend(file?.file_name().to_str().and_then(SnapshotName::parse));
    }
    names.sort_unstable();
    Ok(names)
}

/// Why no snapshot was made. Nothing else is harmed by it.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The disk is full or broken.
    #[error("writing {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The state store failed.
    #[error("reading the state store")]
    State(#[source] fjall::Error),
    /// Nothing is committed yet, or the state store does not say up to where it goes.
    #[error("there is no state to make a snapshot of")]
    NoState,
    /// The node stops.
    #[error("the node stops")]
    Stopped,
}

/// A snapshot that is made and not recorded yet. Its file goes with it unless it is kept.
#[derive(Debug)]
pub struct Made {
    evidence: SnapshotEvidence,
    bytes: u64,
    path: PathBuf,
    kept: bool,
}

impl Made {
    /// What to record.
    pub const fn evidence(&self) -> SnapshotEvidence {
        self.evidence
    }

    /// Its length.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives it its final name: the entry `evidence` records it, and is committed. Removes all but
    /// this one and the one before it, which others may be reading.
    ///
    /// # Errors
    /// The disk fails.
    pub fn keep(mut self, evidence: Seqno) -> io::Result<SnapshotName> {
        let name = SnapshotName {
            seqno: self.evidence.seqno(),
            evidence,
        };
        let folder = self
            .path
            .parent()
            .ok_or(ErrorKind::InvalidInput)?
            .to_owned();
        std::fs::rename(&self.path, folder.join(name.to_string()))?;
        self.kept = true;
        sync_folder(&folder)?;
        let dir = folder.parent().ok_or(ErrorKind::InvalidInput)?;
        let names = list(dir)?;
        for old in names.iter().rev().skip(2) {
            std::fs::remove_file(folder.join(old.to_string()))?;
        }
        Ok(name)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if !self.kept {
            // A leftover does no harm: the next attempt begins it anew.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Makes a snapshot of what is committed now, in the folder of the node that `reader` reads. Writes
/// go on meanwhile; so does everything else. `stop` is asked now and then.
///
/// # Errors
/// See [`SnapshotError`].
pub fn make(reader: &Reader, stop: &dyn Fn() -> bool) -> Result<Made, SnapshotError> {
    let dir = reader.ledger_dir().with_file_name("snapshots");
    let path = dir.join("snapshot.new");
    let io = |source| SnapshotError::Io {
        path: path.clone(),
        source,
    };
    let still = reader.state.still();
    let seqno = still.applied().map_err(SnapshotError::State)?;
    let seqno = seqno.ok_or(SnapshotError::NoState)?;
    let view = still.last_view().map_err(SnapshotError::State)?;
    let view = view.ok_or(SnapshotError::NoState)?;
    create_folder(&dir).map_err(io)?;
    let file = File::create(&path).map_err(io)?;
    let mut made = Made {
        evidence: SnapshotEvidence {
            hash: Digest::ZERO,
            version: seqno.0,
        },
        bytes: 0,
        path: path.clone(),
        kept: false,
    };
    let out = Gentle {
        file: BufWriter::new(file),
        since: 0,
    };
    let mut writer = SnapshotWriter::new(out, Header { seqno, view }).map_err(io)?;
    for section in [Section::Values, Section::Streams] {
        for row in still.rows(section) {
            let (key, value) = row.map_err(SnapshotError::State)?;
            writer.row(section, &key, &value).map_err(io)?;
            if stop() {
                return Err(SnapshotError::Stopped);
            }
        }
    }
    let (out, bytes, hash) = writer.finish().map_err(io)?;
    let file = out
        .file
        .into_inner()
        .map_err(|error| io(error.into_error()))?;
    file.sync_all().map_err(io)?;
    made.evidence.hash = hash;
    made.bytes = bytes;
    Ok(made)
}

/// The digest and length of a snapshot file, and whose state it is, once all of it is found sound.
///
/// # Errors
/// The file cannot be read, or is not a snapshot ([`ErrorKind::InvalidData`]).
pub fn digest(path: &Path) -> io::Result<(Header, Digest)> {
    let mut rows = file::SnapshotReader::new(File::open(path)?)?;
    while rows.next_row()?.is_some() {}
    Ok((rows.header(), rows.digest()))
}

/// What the entry `seqno` records about a snapshot; `None` if it does not.
///
/// # Errors
/// See [`ReadError`].
pub fn evidence(reader: &Reader, seqno: Seqno) -> Result<Option<SnapshotEvidence>, ReadError> {
    let entry = reader.entry(seqno)?;
    Ok(entry.as_deref().and_then(evidence_in))
}

/// What an entry records about a snapshot.
pub(crate) fn evidence_in(entry: &[u8]) -> Option<SnapshotEvidence> {
    let writes = Entry::parse(entry).ok()?.public_writes().ok()?;
    SnapshotEvidence::from_writes(&writes)
}

/// Writes a little at a time.
struct Gentle {
    file: BufWriter<File>,
    since: u64,
}

impl Write for Gentle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.since += written as u64;
        if self.since >= SYNC_EVERY {
            self.since = 0;
            self.file.flush()?;
            self.file.get_ref().sync_data()?;
            std::thread::sleep(PAUSE);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_state_and_evidence() {
        let name = SnapshotName {
            seqno: Seqno(7),
            evidence: Seqno(9),
        };
        assert_eq!(SnapshotName::parse(&name.to_string()), Some(name));
        for wrong in [
            "snapshot_7_9",
            "snapshot_07_9.committed",
            "snapshot_9_9.committed",
            "snapshot_7.committed",
            "ledger_7_9.committed",
        ] {
            assert_eq!(SnapshotName::parse(wrong), None, "{wrong}");
        }
    }
}
