//! The ledger files as they lie in the folder: what they must look like, what of them can be believed,
//! and what is removed from their end.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::path::PathBuf;

use ledger::Entry;
use ledger::chunk::{CHUNK_HEADER_LEN, ChunkName};
use verify::{Digest, Seqno, View};

use super::Recovery;
use crate::error::{OpenError, RESTORE};
use crate::replay::{batch_at, entries_end, entry_at, signature_entries_in, signed_roots_in};

/// Bytes of the first ledger file that hold its first batch, usually: the certificates in it are
/// below 1 KiB each.
const HEAD: u64 = 64 << 10;

impl Recovery {
    /// Makes sure that the secret is the one that the first entries were made with, before anything
    /// is judged by it.
    pub(super) fn check_secret(&self, names: &[ChunkName]) -> Result<(), OpenError> {
        let Some(&name) = names.first() else {
            return Ok(());
        };
        let path = self.path(name);
        let mut bytes = Vec::new();
        let mut head = std::fs::File::open(&path)
            .map_err(OpenError::io("open", &path))?
            .take(HEAD);
        head.read_to_end(&mut bytes)
            .map_err(OpenError::io("read", &path))?;
        let mut at = CHUNK_HEADER_LEN;
        let mut strangers = 0;
        while let Ok(slice) = entry_at(&bytes, at) {
            at += slice.len();
            if let Ok(entry) = Entry::parse(slice) {
                let Some(secret) = self.secrets.at(entry.id.seqno) else {
                    return Ok(());
                };
                let evidence = secret.commit_evidence(entry.id);
                if entry.commit_evidence_digest == Digest::of(evidence.as_bytes()) {
                    return Ok(());
                }
                strangers += 1;
            }
        }
        // A single one could be damaged; that is found out elsewhere.
        if strangers > 1 {
            Err(OpenError::WrongSecret { seqno: name.first })
        } else {
            Ok(())
        }
    }

    /// Looks at the ends of a chunk only. Returns its length.
    pub(super) fn plausible(&self, name: ChunkName) -> Result<u64, OpenError> {
        use std::os::unix::fs::FileExt;
        let path = self.path(name);
        let io = || OpenError::io("read", &path);
        let file = std::fs::File::open(&path).map_err(io())?;
        let length = file.metadata().map_err(io())?.len();
        if let Some(last) = name.last {
            let mut header = [0; CHUNK_HEADER_LEN];
            let positions = 4 * (last.0 - name.first.0 + 1);
            let read = file.read_exact_at(&mut header, 0);
            let end = u64::from_le_bytes(header);
            if read.is_err() || end.checked_add(positions) != Some(length) {
                let why = "its header, its positions and its length do not fit".to_owned();
                return Err(self.damaged(name, Seqno(name.first.0 - 1), why));
            }
        }
        Ok(length)
    }

    /// Reads a chunk, and makes sure that an open one is on the disk: a process that was killed may
    /// have written more than it synced, and what is applied must survive power loss.
    pub(super) fn read(&self, name: ChunkName) -> Result<(Vec<u8>, usize), OpenError> {
        let path = self.path(name);
        if name.last.is_none() {
            let sync = || -> io::Result<()> {
                let file = OpenOptions::new().write(true).open(&path)?;
                if file.metadata()?.len() < CHUNK_HEADER_LEN as u64 {
                    file.set_len(0)?;
                    file.set_len(CHUNK_HEADER_LEN as u64)?;
                }
                file.sync_all()
            };
            sync().map_err(OpenError::io("sync", &path))?;
        }
        let bytes = std::fs::read(&path).map_err(OpenError::io("read", &path))?;
        match entries_end(name, &bytes) {
            Ok(end) => Ok((bytes, end)),
            Err(why) => Err(self.damaged(name, Seqno(name.first.0 - 1), why)),
        }
    }

    /// Removes a torn write that nobody was told of.
    pub(super) fn cut(
        &self,
        name: ChunkName,
        at: usize,
        lost: usize,
        why: &str,
    ) -> Result<(), OpenError> {
        tracing::warn!(
            file = %self.path(name).display(),
            after = self.taken.last().0,
            bytes = lost,
            why,
            "a torn write at the end of the ledger is cut; nobody was told that it is committed"
        );
        self.cut_file(name, at)
    }

    /// Removes positions that were being written when a file was being closed. It is closed again.
    pub(super) fn cut_positions(
        &self,
        name: ChunkName,
        at: usize,
        bytes: usize,
    ) -> Result<(), OpenError> {
        let file = self.path(name);
        tracing::info!(file = %file.display(), bytes, "a file was being closed: closing it again");
        self.cut_file(name, at)
    }

    fn cut_file(&self, name: ChunkName, at: usize) -> Result<(), OpenError> {
        let path = self.path(name);
        let cut = || -> io::Result<()> {
            let file = OpenOptions::new().write(true).open(&path)?;
            file.set_len(at as u64)?;
            file.sync_all()
        };
        cut().map_err(OpenError::io("cut", &path))
    }

    /// Whether the tail shows more than one write that was torn: then it is damage.
    pub(super) fn more_was_signed(&self, tail: &[u8]) -> bool {
        let mut seqnos: Vec<Seqno> = signed_roots_in(tail, 64)
            .into_iter()
            .filter(|signed| self.trust.was_signed(signed))
            .map(|signed| signed.id.seqno)
            .collect();
        seqnos.sort_unstable();
        seqnos.dedup();
        seqnos.len() > 1 || signature_entries_in(tail) > 1
    }

    /// The last batch that can be believed in a damaged chunk before the checkpoint.
    pub(super) fn truth_within(&mut self, name: ChunkName, bytes: &[u8]) -> Seqno {
        let mut truth = Seqno(name.first.0 - 1);
        let Ok(mut frontier) = self.reader.hashes.frontier(name.first.0) else {
            return truth;
        };
        let mut at = CHUNK_HEADER_LEN;
        while let Ok(batch) = batch_at(bytes, at, &frontier, View::default()) {
            if self.trust.verify(&batch.signed).is_err() {
                break;
            }
            truth = batch.last();
            (at, frontier) = (batch.end, batch.frontier);
        }
        truth
    }

    pub(super) fn path(&self, name: ChunkName) -> PathBuf {
        self.reader.ledger_dir().join(name.to_string())
    }

    pub(super) fn damaged(&self, name: ChunkName, truth_ends: Seqno, why: String) -> OpenError {
        OpenError::Damaged {
            file: self.path(name),
            truth_ends,
            known: self.known,
            why,
            remedy: RESTORE,
        }
    }

    pub(super) fn entries_missing(&self, names: &[ChunkName]) -> OpenError {
        let last = match names.last() {
            None => Seqno::ZERO,
            Some(ChunkName {
                last: Some(last), ..
            }) => *last,
            Some(_) => self.taken.last(),
        };
        OpenError::MissingChunk {
            dir: self.reader.ledger_dir().to_owned(),
            from: last.next(),
            to: self.known,
        }
    }
}

/// Where the entry `seqno` begins in the chunk `name`.
pub(super) fn offset_of(bytes: &[u8], name: ChunkName, seqno: Seqno) -> Result<usize, String> {
    let mut at = CHUNK_HEADER_LEN;
    for _ in name.first.0..seqno.0 {
        at += entry_at(bytes, at)?.len();
    }
    Ok(at)
}

pub(super) fn offsets_in(bytes: &[u8]) -> Vec<u32> {
    let mut offsets = Vec::new();
    let mut at = CHUNK_HEADER_LEN;
    while let Ok(entry) = entry_at(bytes, at) {
        offsets.push(at as u32);
        at += entry.len();
    }
    offsets
}
