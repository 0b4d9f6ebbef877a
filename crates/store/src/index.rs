//! The two files that find things: digests of the tree, and places of the entries.
//!
//! ```text
//! index/hashes   32 bytes for each complete node of the tree, in post-order, leaf 0 first
//! index/seqnos   8 bytes for each seqno from 1: u32 offset of the entry in its ledger file,
//!                u32 distance to the signature entry that closes its batch (0: it is that entry)
//! ```
//! Integers are little-endian. Both are derived from the ledger files and written without a sync:
//! what power loss takes is written again from the last checkpoint on.

use std::fs::{File, OpenOptions};
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use verify::{Digest, Frontier, Seqno, TreeNode, nodes_in, peaks_of};

use crate::batch::BatchEntry;

/// Bytes of a row in the file of places.
pub(crate) const PLACE_LEN: usize = 8;

/// Nodes are read for proofs in pages: the siblings near a leaf lie close to it.
const PAGE_LEN: usize = 4096;
/// Pages kept in memory, 4 MiB in all: the upper part of the tree serves every proof.
const PAGES: NonZeroUsize = NonZeroUsize::new(1024).expect("1024 is not zero");

/// Complete nodes of the tree, each written once.
pub(crate) struct HashFile {
    file: File,
    path: PathBuf,
    pages: Mutex<LruCache<u64, Box<[u8; PAGE_LEN]>>>,
}

impl HashFile {
    /// Opens or creates it, with leaf 0 in it.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        let file = open(&path)?;
        if file.metadata()?.len() < Digest::LEN as u64 {
            file.write_all_at(&Digest::ZERO.0, 0)?;
        }
        Ok(Self {
            file,
            path,
            pages: Mutex::new(LruCache::new(PAGES)),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How many leaves it holds completely, going by its length.
    pub(crate) fn leaves(&self) -> io::Result<u64> {
        let nodes = self.file.metadata()?.len() / Digest::LEN as u64;
        // `nodes_in(size)` lies between `size` and `2 * size`, and grows with `size`.
        let mut size = nodes / 2;
        while nodes_in(size + 1) <= nodes {
            size += 1;
        }
        Ok(size)
    }

    pub(crate) fn node(&self, node: TreeNode) -> io::Result<Digest> {
        let mut digest = Digest::ZERO;
        self.file.read_exact_at(
            &mut digest.0,
            node.post_order_position() * Digest::LEN as u64,
        )?;
        Ok(digest)
    }

    /// Like [`HashFile::node`], for a tree of which `size` leaves are written for good.
    pub(crate) fn node_for_proof(&self, node: TreeNode, size: u64) -> io::Result<Digest> {
        let at = node.post_order_position() * Digest::LEN as u64;
        let page = at / PAGE_LEN as u64;
        let start = page * PAGE_LEN as u64;
        if start + PAGE_LEN as u64 > nodes_in(size) * Digest::LEN as u64 {
            return self.node(node);
        }
        let within = (at - start) as usize;
        let digest = |bytes: &[u8; PAGE_LEN]| {
            let digest = bytes[within..].first_chunk().copied();
            Digest(digest.expect("a page holds whole digests"))
        };
        if let Some(bytes) = self.pages().get(&page) {
            return Ok(digest(bytes));
        }
        let mut bytes = Box::new([0; PAGE_LEN]);
        self.file.read_exact_at(&mut bytes[..], start)?;
        let found = digest(&bytes);
        self.pages().put(page, bytes);
        Ok(found)
    }

    /// A cache is only a cache: a thread that panicked while it held the lock left it usable.
    fn pages(&self) -> MutexGuard<'_, LruCache<u64, Box<[u8; PAGE_LEN]>>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn leaf(&self, seqno: Seqno) -> io::Result<Digest> {
        self.node(TreeNode::leaf(seqno.0))
    }

    /// The tree of `size` leaves, which must be there.
    pub(crate) fn frontier(&self, size: u64) -> io::Result<Frontier> {
        let peaks: io::Result<Vec<Digest>> = peaks_of(size).map(|peak| self.node(peak)).collect();
        Frontier::from_peaks(size, peaks?).ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    /// Writes the nodes that the leaves from `first` on complete.
    pub(crate) fn write(&self, first: Seqno, nodes: &[u8]) -> io::Result<()> {
        self.file
            .write_all_at(nodes, nodes_in(first.0) * Digest::LEN as u64)
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Drops whatever stands behind the tree of `size` leaves.
    pub(crate) fn cut(&self, size: u64) -> io::Result<()> {
        self.file.set_len(nodes_in(size) * Digest::LEN as u64)
    }
}

/// Where an entry lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Offset in its ledger file.
    pub(crate) offset: u32,
    /// Entries up to the signature that closes its batch.
    pub(crate) to_signature: u32,
}

impl Place {
    pub(crate) fn to_bytes(self) -> [u8; PLACE_LEN] {
        let mut bytes = [0; PLACE_LEN];
        bytes[..4].copy_from_slice(&self.offset.to_le_bytes());
        bytes[4..].copy_from_slice(&self.to_signature.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: [u8; PLACE_LEN]) -> Self {
        let [a, b, c, d, e, f, g, h] = bytes;
        Self {
            offset: u32::from_le_bytes([a, b, c, d]),
            to_signature: u32::from_le_bytes([e, f, g, h]),
        }
    }
}

/// Appends the rows of a batch whose first entry lies at `offset`.
pub(crate) fn place_rows(rows: &mut Vec<u8>, offset: u32, entries: &[BatchEntry]) {
    let count = u32::try_from(entries.len()).expect("batches are checked for it");
    let mut place = Place {
        offset,
        to_signature: count,
    };
    for entry in entries {
        place.to_signature -= 1;
        rows.extend_from_slice(&place.to_bytes());
        // Only behind the last entry of a chunk can this reach 4 GiB, and that is no place.
        place.offset = place.offset.wrapping_add(entry.length);
    }
}

/// Places of the entries.
#[derive(Debug)]
pub(crate) struct PlaceFile {
    file: File,
    path: PathBuf,
}

impl PlaceFile {
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        Ok(Self {
            file: open(&path)?,
            path,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The last seqno it has a place for, going by its length.
    ///
    /// The file grows only after an entry is committed, so this many entries were, even where power
    /// loss left the places themselves blank.
    pub(crate) fn last(&self) -> io::Result<Seqno> {
        Ok(Seqno(self.file.metadata()?.len() / PLACE_LEN as u64))
    }

    pub(crate) fn place(&self, seqno: Seqno) -> io::Result<Place> {
        let mut bytes = [0; PLACE_LEN];
        self.file.read_exact_at(&mut bytes, at(seqno))?;
        Ok(Place::from_bytes(bytes))
    }

    /// The places of two neighbours, in one read.
    pub(crate) fn places(&self, seqno: Seqno) -> io::Result<(Place, Place)> {
        let mut bytes = [0; 2 * PLACE_LEN];
        self.file.read_exact_at(&mut bytes, at(seqno))?;
        let (places, _) = bytes.as_chunks::<PLACE_LEN>();
        Ok((Place::from_bytes(places[0]), Place::from_bytes(places[1])))
    }

    /// Writes the places of the entries from `first` on.
    pub(crate) fn write(&self, first: Seqno, places: &[u8]) -> io::Result<()> {
        self.file.write_all_at(places, at(first))
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Makes it exactly as long as `last` entries need: shorter, or longer with blank places.
    pub(crate) fn resize(&self, last: Seqno) -> io::Result<()> {
        self.file.set_len(last.0 * PLACE_LEN as u64)
    }
}

const fn at(seqno: Seqno) -> u64 {
    (seqno.0 - 1) * PLACE_LEN as u64
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_file_knows_how_many_leaves_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        let hashes = HashFile::open(dir.path().join("hashes")).unwrap();
        let mut frontier = Frontier::new();
        for leaf in 1..100 {
            assert_eq!(hashes.leaves().unwrap(), leaf);
            let mut nodes = Vec::new();
            frontier.append(Digest::of(&[leaf as u8]), |_, node| nodes.extend(node.0));
            hashes.write(Seqno(leaf), &nodes).unwrap();
            assert_eq!(hashes.frontier(leaf + 1).unwrap(), frontier);
        }
        hashes.cut(50).unwrap();
        assert_eq!(hashes.leaves().unwrap(), 50);
    }

    #[test]
    fn nodes_for_proofs_are_those_in_the_file_while_it_grows() {
        let dir = tempfile::tempdir().unwrap();
        let hashes = HashFile::open(dir.path().join("hashes")).unwrap();
        let mut frontier = Frontier::new();
        for leaf in 1..600 {
            let (mut nodes, mut completed) = (Vec::new(), Vec::new());
            frontier.append(
                Digest::of(&leaf.to_string().into_bytes()),
                |node, digest| {
                    nodes.extend(digest.0);
                    completed.push((node, digest));
                },
            );
            hashes.write(Seqno(leaf), &nodes).unwrap();
            for (node, digest) in completed {
                assert_eq!(hashes.node_for_proof(node, leaf + 1).unwrap(), digest);
            }
            let again = TreeNode::leaf(leaf / 2);
            let expected = hashes.node(again).unwrap();
            assert_eq!(hashes.node_for_proof(again, leaf + 1).unwrap(), expected);
        }
    }

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let places = PlaceFile::open(dir.path().join("seqnos")).unwrap();
        let one = Place {
            offset: 8,
            to_signature: 1,
        };
        let two = Place {
            offset: 400,
            to_signature: 0,
        };
        places
            .write(Seqno(1), &[one.to_bytes(), two.to_bytes()].concat())
            .unwrap();
        assert_eq!(places.last().unwrap(), Seqno(2));
        assert_eq!(places.places(Seqno(1)).unwrap(), (one, two));
        assert_eq!(places.place(Seqno(2)).unwrap(), two);
        assert!(places.place(Seqno(3)).is_err());
    }
}
