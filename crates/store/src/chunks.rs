//! The folder of ledger files: which are there, and the one that is being written.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use ledger::chunk::{CHUNK_HEADER_LEN, ChunkName, encode_positions};
use verify::Seqno;

use crate::durable::sync_folder;
use crate::error::{OpenError, RESTORE, StoreError};

/// Lists the chunks in `dir`, oldest first, and makes sure that none is missing.
///
/// Whatever is not named like a chunk is left alone.
///
/// Several may be open, one after the other, at the end: what is in them shows where they end.
///
/// # Errors
/// A chunk is missing or overlaps another; one that is closed follows one that is still open.
pub(crate) fn list(dir: &Path) -> Result<Vec<ChunkName>, OpenError> {
    let mut names = Vec::new();
    let read = |error| OpenError::io("list", dir)(error);
    for file in std::fs::read_dir(dir).map_err(read)? {
        let name = file.map_err(read)?.file_name();
        names.extend(name.to_str().and_then(ChunkName::parse));
    }
    names.sort();
    let mut next = Seqno::FIRST;
    let mut open = false;
    for name in &names {
        let damaged = |why: &str| OpenError::Damaged {
            file: dir.join(name.to_string()),
            truth_ends: Seqno(next.0 - 1),
            known: Seqno::ZERO,
            why: why.to_owned(),
            remedy: RESTORE,
        };
        if open && name.last.is_some() {
            return Err(damaged("it is closed, but the one before it is not"));
        }
        if name.first > next && !open {
            let to = Seqno(name.first.0 - 1);
            return Err(OpenError::MissingChunk {
                dir: dir.to_owned(),
                from: next,
                to,
            });
        }
        if name.first < next {
            return Err(damaged("it has entries that another ledger file has too"));
        }
        open = name.last.is_none();
        // An open one has at least one entry if another follows.
        next = name.last.unwrap_or(name.first).next();
    }
    Ok(names)
}

/// The chunk that is being written.
#[derive(Debug)]
pub(crate) struct OpenChunk {
    dir: PathBuf,
    path: PathBuf,
    file: File,
    pub(crate) first: Seqno,
    /// Bytes, header included.
    pub(crate) length: u64,
    /// Where its entries begin.
    pub(crate) offsets: Vec<u32>,
    /// It takes no more entries: it was being closed, or members want it closed.
    pub(crate) complete: bool,
}

impl OpenChunk {
    /// Creates the chunk that begins with `first`. Its name is durable when this returns.
    pub(crate) fn create(dir: &Path, first: Seqno) -> Result<Self, StoreError> {
        let path = dir.join(ChunkName::open(first).to_string());
        let create = || -> io::Result<File> {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .open(&path)?;
            file.write_all_at(&[0; CHUNK_HEADER_LEN], 0)?;
            sync_folder(dir)?;
            Ok(file)
        };
        let file = create().map_err(StoreError::io("create", &path))?;
        let length = CHUNK_HEADER_LEN as u64;
        Ok(Self {
            dir: dir.to_owned(),
            path,
            file,
            first,
            length,
            offsets: Vec::new(),
            complete: false,
        })
    }

    /// Takes up a chunk again that recovery has read: all of it up to `length` is sound.
    pub(crate) fn resume(
        dir: &Path,
        first: Seqno,
        length: u64,
        offsets: Vec<u32>,
    ) -> io::Result<Self> {
        let path = dir.join(ChunkName::open(first).to_string());
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        Ok(Self {
            dir: dir.to_owned(),
            path,
            file,
            first,
            length,
            offsets,
            complete: false,
        })
    }

    /// Appends encoded entries with the given lengths: one write, one fdatasync.
    pub(crate) fn append(
        &mut self,
        bytes: &[u8],
        lengths: impl Iterator<Item = u32>,
    ) -> Result<(), StoreError> {
        self.file
            .write_all_at(bytes, self.length)
            .map_err(StoreError::io("write to", &self.path))?;
        self.file
            .sync_data()
            .map_err(StoreError::io("sync", &self.path))?;
        let mut offset = u32::try_from(self.length).expect("a chunk is below 4 GiB");
        for length in lengths {
            self.offsets.push(offset);
            offset += length;
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Its last entry so far.
    pub(crate) fn last(&self) -> Option<Seqno> {
        let entries = self.offsets.len() as u64;
        entries
            .checked_sub(1)
            .map(|more| Seqno(self.first.0 + more))
    }

    /// Drops the entries from `from` on, the first of which lies at `offset`. They do not come back
    /// when this returns.
    pub(crate) fn cut(&mut self, from: Seqno, offset: u32) -> Result<(), StoreError> {
        let cut = || {
            self.file.set_len(u64::from(offset))?;
            self.file.sync_all()
        };
        cut().map_err(StoreError::io("cut", &self.path))?;
        self.length = u64::from(offset);
        self.complete = false;
        self.offsets.truncate((from.0 - self.first.0) as usize);
        Ok(())
    }

    /// Removes the file.
    pub(crate) fn remove(self) -> Result<(), StoreError> {
        std::fs::remove_file(&self.path)
            .and_then(|()| sync_folder(&self.dir))
            .map_err(StoreError::io("remove", &self.path))
    }

    /// Closes it: positions, then the header that points to them, then its final name, each synced
    /// before the next, so that a closed chunk is a whole one. Returns its name.
    ///
    /// `publish` runs the rename, so that the caller can keep readers out meanwhile.
    pub(crate) fn close(
        self,
        publish: impl FnOnce(ChunkName, &mut dyn FnMut() -> io::Result<()>) -> io::Result<()>,
    ) -> Result<ChunkName, StoreError> {
        let last = Seqno(self.first.0 + self.offsets.len() as u64 - 1);
        let name = ChunkName::committed(self.first..=last);
        let close = || -> io::Result<()> {
            self.file
                .write_all_at(&encode_positions(&self.offsets), self.length)?;
            self.file.sync_data()?;
            self.file.write_all_at(&self.length.to_le_bytes(), 0)?;
            self.file.sync_data()?;
            let to = self.dir.join(name.to_string());
            publish(name, &mut || std::fs::rename(&self.path, &to))?;
            sync_folder(&self.dir)
        };
        close().map_err(StoreError::io("close", &self.path))?;
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(names: &[&str]) -> Result<Vec<ChunkName>, OpenError> {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            std::fs::write(dir.path().join(name), b"").unwrap();
        }
        list(dir.path())
    }

    #[test]
    fn chunks_are_listed_by_place_not_by_spelling() {
        let names = folder(&[
            "ledger_100",
            "ledger_9-99.committed",
            "ledger_1-8.committed",
            "x",
        ]);
        let names: Vec<String> = names.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            [
                "ledger_1-8.committed",
                "ledger_9-99.committed",
                "ledger_100"
            ]
        );
        assert!(folder(&[]).unwrap().is_empty());
    }

    #[test]
    fn a_missing_chunk_is_named() {
        let missing = |names: &[&str]| match folder(names) {
            Err(OpenError::MissingChunk { from, to, .. }) => (from.0, to.0),
            other => panic!("{other:?}"),
        };
        assert_eq!(missing(&["ledger_9"]), (1, 8));
        assert_eq!(
            missing(&["ledger_1-8.committed", "ledger_20-30.committed"]),
            (9, 19)
        );
    }

    #[test]
    fn two_chunks_with_the_same_entries_are_refused() {
        for names in [
            ["ledger_1-8.committed", "ledger_1"],
            ["ledger_1-8.committed", "ledger_8-9.committed"],
            ["ledger_1", "ledger_9-12.committed"],
        ] {
            assert!(
                matches!(folder(&names), Err(OpenError::Damaged { .. })),
                "{names:?}"
            );
        }
    }
}
