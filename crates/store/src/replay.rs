//! Reading batches back from the bytes of a ledger file, and checking them against the tree.

use ledger::chunk::{CHUNK_HEADER_LEN, ChunkName, decode_positions};
use ledger::entry::{HEADER_LEN, length_of};
use ledger::signature::SignedRoot;
use ledger::tables::{SIGNATURES, SINGLETON};
use ledger::write_set::Domain;
use ledger::{Entry, LedgerSecrets, WriteSet};
use verify::{Digest, Frontier, Seqno, View};

use crate::batch::BatchEntry;

/// A batch found in a ledger file: its root is the tree's, its signature is not checked yet.
#[derive(Debug)]
pub(crate) struct FoundBatch {
    pub(crate) first: Seqno,
    pub(crate) view: View,
    /// Where it begins and ends in its ledger file.
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) entries: Vec<BatchEntry>,
    /// What its entries write in clear, until it is taken.
    pub(crate) public: Vec<WriteSet>,
    pub(crate) signed: SignedRoot,
    /// The nodes that its leaves complete, as they stand in the hash file.
    pub(crate) nodes: Vec<u8>,
    /// The tree after it.
    pub(crate) frontier: Frontier,
}

impl FoundBatch {
    /// The signature entry.
    pub(crate) fn last(&self) -> Seqno {
        self.signed.id.seqno
    }

    /// Takes what its entries write, private parts too where their secret is known, given the bytes of
    /// its ledger file.
    ///
    /// # Errors
    /// The seqno of the entry that does not open.
    pub(crate) fn take_writes(
        &mut self,
        file: &[u8],
        secrets: &LedgerSecrets,
    ) -> Result<Vec<WriteSet>, Seqno> {
        let mut writes = std::mem::take(&mut self.public);
        for (slice, writes) in self.slices(file).zip(&mut writes) {
            let entry = Entry::parse(slice).expect("the batch was read from it");
            if entry.has_private_part()
                && let Some(secret) = secrets.at(entry.id.seqno)
            {
                entry
                    .add_private_writes(writes, &secret)
                    .map_err(|_| entry.id.seqno)?;
            }
        }
        Ok(writes)
    }

    /// Its entries' bytes, given those of its ledger file.
    pub(crate) fn slices<'a>(&self, file: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = &file[self.start..self.end];
        self.entries.iter().map(move |entry| {
            let (bytes, after) = rest.split_at(entry.length as usize);
            rest = after;
            bytes
        })
    }
}

/// Reads the batch that begins at `start`, following on the tree `before` and the view `view`.
///
/// # Errors
/// Which rule is broken, in words.
pub(crate) fn batch_at(
    bytes: &[u8],
    start: usize,
    before: &Frontier,
    view: View,
) -> Result<FoundBatch, String> {
    let first = Seqno(before.size());
    let mut frontier = before.clone();
    let mut nodes = Vec::new();
    let mut entries: Vec<BatchEntry> = Vec::new();
    let mut public = Vec::new();
    let mut at = start;
    let mut batch_view = None;
    loop {
        let seqno = frontier.size();
        let slice = entry_at(bytes, at).map_err(|why| format!("entry {seqno}: {why}"))?;
        let entry = Entry::parse(slice).map_err(|error| format!("entry {seqno}: {error}"))?;
        if entry.id.seqno.0 != seqno {
            return Err(format!(
                "entry {} stands where entry {seqno} should",
                entry.id.seqno
            ));
        }
        if *batch_view.get_or_insert(entry.id.view) != entry.id.view || entry.id.view < view {
            return Err(format!("entry {seqno} is of another view than its batch"));
        }
        let writes = entry
            .public_writes()
            .map_err(|error| format!("entry {seqno}: {error}"))?;
        let signed =
            SignedRoot::from_writes(&writes).map_err(|error| format!("entry {seqno}: {error}"))?;
        let leaf = entry.leaf();
        let before = signed
            .is_some()
            .then(|| (frontier.root(), frontier.peaks()));
        frontier.append(leaf, |_, node| nodes.extend_from_slice(&node.0));
        let length = u32::try_from(slice.len()).map_err(|_| "an entry is too long".to_owned())?;
        entries.push(BatchEntry { length, leaf });
        public.push(writes);
        at += slice.len();
        if let (Some(signed), Some((root, peaks))) = (signed, before) {
            if signed.id != entry.id {
                return Err(format!(
                    "the signature in entry {seqno} is of {}",
                    signed.id
                ));
            }
            if signed.root != root {
                return Err(format!(
                    "the root signed in entry {seqno} is not that of the entries before it"
                ));
            }
            if signed.frontier != peaks || !is_plain(slice, &entry, &signed) {
                return Err(format!(
                    "the signature entry {seqno} is not spelled as it should be"
                ));
            }
            let view = entry.id.view;
            return Ok(FoundBatch {
                first,
                view,
                start,
                end: at,
                entries,
                public,
                signed,
                nodes,
                frontier,
            });
        }
    }
}

/// Whether a signature entry is spelled in the one way in which it is encoded. Later roots cover
/// it, but none covers the last one. (The tag and the commit evidence need the ledger secret.)
fn is_plain(slice: &[u8], entry: &Entry<'_>, signed: &SignedRoot) -> bool {
    let mut maps = 0u64.to_le_bytes().to_vec(); // reserved, in front of the maps
    signed.to_writes().encode(Domain::Public, &mut maps);
    let flags = slice[1];
    flags == 0
        && entry.claims_digest == Digest::ZERO
        && !entry.has_private_part()
        && slice.ends_with(&maps)
}

/// The entry that begins at `at`.
pub(crate) fn entry_at(bytes: &[u8], at: usize) -> Result<&[u8], String> {
    let rest = bytes.get(at..).unwrap_or(&[]);
    let header = rest
        .first_chunk::<HEADER_LEN>()
        .ok_or("the file ends within its header")?;
    let length = length_of(*header).map_err(|error| error.to_string())?;
    rest.get(..length)
        .ok_or_else(|| "the file ends within it".to_owned())
}

/// Where the entries of a ledger file end: at the positions, or at the end of an open file.
///
/// # Errors
/// Header or positions cannot be those of a file with this name, in words.
pub(crate) fn entries_end(name: ChunkName, bytes: &[u8]) -> Result<usize, String> {
    let header = bytes
        .first_chunk::<CHUNK_HEADER_LEN>()
        .ok_or("it has no header")?;
    let end = u64::from_le_bytes(*header);
    if end == 0 {
        return match name.last {
            Some(_) => Err("its header says that it was never closed".to_owned()),
            None => Ok(bytes.len()),
        };
    }
    let end = usize::try_from(end)
        .ok()
        .filter(|end| (CHUNK_HEADER_LEN..=bytes.len()).contains(end))
        .ok_or("its header points outside the file")?;
    let positions = bytes.len() - end;
    let fits = match name.last {
        Some(last) => positions as u64 == 4 * (last.0 - name.first.0 + 1),
        None => positions > 0 && positions.is_multiple_of(4),
    };
    if fits {
        Ok(end)
    } else {
        Err("its positions are not as many as its entries".to_owned())
    }
}

/// Whether the positions of a closed file are those of its entries.
pub(crate) fn positions_match(bytes: &[u8], end: usize, offsets: &[u32]) -> bool {
    decode_positions(&bytes[end..]).is_some_and(|positions| positions == offsets)
}

/// The signed roots that can be made out in `bytes` wherever they begin, at most `limit`.
///
/// A torn write leaves at most one, because a batch ends with it and the next batch is written only
/// after this one is synced. More of them mean that something before them was damaged later.
pub(crate) fn signed_roots_in(bytes: &[u8], limit: usize) -> Vec<SignedRoot> {
    let table = SIGNATURES;
    let name = table.name().as_bytes();
    // Name, read version, read count, write count, length of the key, key, length of the value.
    let head = name.len() + 24 + 8 + SINGLETON.len();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) = find(&bytes[at..], name) {
        let row = &bytes[at + next..];
        at += next + name.len();
        let root = row.get(head..).and_then(|rest| {
            let (length, rest) = rest.split_first_chunk::<8>()?;
            let json = rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
            let mut writes = WriteSet::default();
            writes.put(SIGNATURES, SINGLETON, json);
            SignedRoot::from_writes(&writes).ok().flatten()
        });
        found.extend(root);
        if found.len() == limit {
            break;
        }
    }
    found
}

/// How many signature entries, good or not, can be reached from entry to entry.
pub(crate) fn signature_entries_in(bytes: &[u8]) -> usize {
    let mut at = 0;
    let mut found = 0;
    while let Ok(slice) = entry_at(bytes, at) {
        at += slice.len();
        let writes = Entry::parse(slice).and_then(|entry| entry.public_writes());
        let signed = |writes: WriteSet| writes.written(&SIGNATURES, &SINGLETON).is_some();
        found += usize::from(writes.is_ok_and(signed));
    }
    found
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes
        .windows(needle.len())
        .position(|window| window == needle)
}
