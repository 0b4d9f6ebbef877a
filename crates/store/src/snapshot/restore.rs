//! The state store of a folder that has none, from a snapshot that the ledger proves.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use ledger::LedgerSecret;
use ledger::chunk::{CHUNK_HEADER_LEN, ChunkName};
use verify::Seqno;

use super::file::SnapshotReader;
use super::{SnapshotName, digest, evidence_in, folder, list};
use crate::checkpoint::CheckpointFile;
use crate::durable::sync_folder;
use crate::error::OpenError;
use crate::replay::entry_at;
use crate::state::StateStore;
use crate::store::{Folders, StoreOptions};

/// What is derived from the ledger and is still there.
pub(crate) struct Derived<'a> {
    pub(crate) names: &'a [ChunkName],
    pub(crate) checkpoint: &'a CheckpointFile,
    /// The last entry in the hash file, and in the file of places: both must reach the snapshot.
    pub(crate) last: Seqno,
}

/// Makes the state store from the newest snapshot that can be used, if there is no state store. What
/// follows the snapshot is replayed, and with it the entry that proves it. Where no snapshot can be
/// used, everything is.
pub(crate) fn restore(
    folders: &Folders,
    secret: &Arc<LedgerSecret>,
    derived: &Derived<'_>,
    options: StoreOptions,
) -> Result<(), OpenError> {
    if folders.state.exists() || derived.last == Seqno::ZERO {
        return Ok(());
    }
    let snapshots = folder(&folders.dir);
    let names = list(&folders.dir).map_err(OpenError::io("list", &snapshots))?;
    for name in names.into_iter().rev() {
        if name.evidence > derived.last {
            continue;
        }
        let path = snapshots.join(name.to_string());
        match proven(&path, name, folders, derived.names) {
            Ok(()) => return load(&path, name, folders, secret, derived, options),
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "a snapshot is not used");
            }
        }
    }
    Ok(())
}

/// Whether the file is what the entry in its name says. That entry is one of those that are replayed
/// afterwards, so a root that a node signed covers it.
fn proven(
    path: &Path,
    name: SnapshotName,
    folders: &Folders,
    names: &[ChunkName],
) -> io::Result<()> {
    let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    let (header, digest) = digest(path)?;
    let at = names.partition_point(|chunk| chunk.first <= name.evidence);
    let chunk = at.checked_sub(1).and_then(|at| names.get(at));
    let chunk = chunk.ok_or_else(|| invalid("no ledger file has its evidence"))?;
    let entry = entry_in(
        &folders.ledger.join(chunk.to_string()),
        *chunk,
        name.evidence,
    )?;
    let evidence = evidence_in(&entry).ok_or_else(|| invalid("the ledger does not record it"))?;
    if evidence.hash != digest || evidence.seqno() != name.seqno || header.seqno != name.seqno {
        return Err(invalid("its digest is not the one that the ledger records"));
    }
    Ok(())
}

/// The bytes of one entry, going by the lengths of those before it.
pub(crate) fn entry_in(path: &Path, chunk: ChunkName, seqno: Seqno) -> io::Result<Vec<u8>> {
    let bytes = std::fs::read(path)?;
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let mut at = CHUNK_HEADER_LEN;
    for _ in chunk.first.0..seqno.0 {
        at += entry_at(&bytes, at).map_err(invalid)?.len();
    }
    entry_at(&bytes, at).map(<[u8]>::to_vec).map_err(invalid)
}

fn load(
    path: &Path,
    name: SnapshotName,
    folders: &Folders,
    secret: &Arc<LedgerSecret>,
    derived: &Derived<'_>,
    options: StoreOptions,
) -> Result<(), OpenError> {
    tracing::info!(file = %path.display(), "making the state from a snapshot");
    let new = folders.dir.join("state.new");
    match std::fs::remove_dir_all(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(OpenError::io("remove", &new)(error));
        }
        _ => {}
    }
    let file = File::open(path).map_err(OpenError::io("open", path))?;
    let mut rows = SnapshotReader::new(file).map_err(OpenError::io("read", path))?;
    let state = StateStore::open(&new, Arc::clone(secret), options.cache_bytes);
    let state = state.map_err(|source| OpenError::State {
        path: new.clone(),
        source,
    })?;
    let loaded = state.load(|| rows.next_row());
    loaded.map_err(OpenError::io("write the snapshot to", &new))?;
    drop(state);
    // From here on the replay begins at the snapshot. If the power goes before the state has its
    // name, all this is done again.
    derived
        .checkpoint
        .write(name.seqno)
        .map_err(OpenError::Write)?;
    std::fs::rename(&new, &folders.state)
        .and_then(|()| sync_folder(&folders.dir))
        .map_err(OpenError::io("rename", &new))
}
