//! What is in one ledger file, read without those before it.

use std::path::Path;

use ledger::chunk::{CHUNK_HEADER_LEN, encode_positions};
use ledger::signature::SignedRoot;
use ledger::tables::{NODE_CERTS, NODES, SERVICE};
use ledger::{Entry, WriteSet};
use verify::{Digest, Seqno, View};

use super::{ArrivalError, Chunk};
use crate::batch::BatchEntry;
use crate::error::OpenError;
use crate::index::place_rows;
use crate::replay::{entries_end, entry_at};
use crate::trust::{Trust, Untrusted};

/// What is in a ledger file.
pub(super) struct Found {
    pub(super) leaves: Vec<Digest>,
    /// Rows of the file of places.
    pub(super) places: Vec<u8>,
    /// The first entry of each batch.
    pub(super) batches: Vec<Seqno>,
    pub(super) first_view: View,
    /// What entries say about who may sign.
    pub(super) observed: Vec<(Seqno, Observed)>,
    /// The last entry.
    pub(super) signed: SignedRoot,
}

/// What an entry says about who may sign.
pub(super) struct Observed {
    /// The last root of this file before it.
    before: Option<SignedRoot>,
    writes: WriteSet,
}

impl Observed {
    pub(super) fn take_over(&self, trust: &mut Trust) -> Result<(), Untrusted> {
        if let Some(signed) = &self.before {
            trust.signed(signed);
        }
        trust.observe(&self.writes)
    }
}

/// Reads a file and takes the digests of its entries. All is checked that can be without the tree.
pub(super) fn read_chunk(path: &Path, chunk: &Chunk) -> Result<Found, ArrivalError> {
    let bytes = std::fs::read(path).map_err(OpenError::io("read", path))?;
    found_in(&bytes, chunk).map_err(|why| ArrivalError::Chunk { chunk: *chunk, why })
}

fn found_in(bytes: &[u8], chunk: &Chunk) -> Result<Found, String> {
    let end = entries_end(chunk.name(), bytes)?;
    if !chunk.closed && end != bytes.len() {
        return Err("it is closed, but not named so".to_owned());
    }
    let count = usize::try_from(chunk.last.0 - chunk.first.0 + 1).map_err(|_| "it is too long")?;
    // Grows with what is there, not with what was announced.
    let mut leaves = Vec::with_capacity(count.min(bytes.len() / 64));
    let mut offsets = Vec::with_capacity(count.min(bytes.len() / 64));
    let mut places = Vec::new();
    let mut batches = Vec::new();
    let mut batch: Vec<BatchEntry> = Vec::new();
    let mut views: Option<(View, View)> = None;
    let mut observed = Vec::new();
    let mut last_signed: Option<SignedRoot> = None;
    let mut at = CHUNK_HEADER_LEN;
    let mut batch_at = at;
    let mut seqno = chunk.first;
    while at < end {
        let wrong = |why: &dyn std::fmt::Display| format!("entry {seqno}: {why}");
        let slice = entry_at(&bytes[..end], at).map_err(|why| wrong(&why))?;
        let entry = Entry::parse(slice).map_err(|error| wrong(&error))?;
        let (_, last_view) = *views.get_or_insert((entry.id.view, entry.id.view));
        let same_view = batch.is_empty() || entry.id.view == last_view;
        if entry.id.seqno != seqno || entry.id.view < last_view || !same_view {
            return Err(wrong(&format!("the entry {} stands there", entry.id)));
        }
        if let Some((_, last)) = &mut views {
            *last = entry.id.view;
        }
        if batch.is_empty() {
            batches.push(seqno);
            batch_at = at;
        }
        let leaf = entry.leaf();
        leaves.push(leaf);
        offsets.push(u32::try_from(at).map_err(|_| wrong(&"it lies too far from the start"))?);
        let length = slice.len() as u32;
        batch.push(BatchEntry { length, leaf });
        at += slice.len();
        let writes = entry.public_writes().map_err(|error| wrong(&error))?;
        let signed = SignedRoot::from_writes(&writes).map_err(|error| wrong(&error))?;
        let about_signers = |table| [SERVICE, NODES, NODE_CERTS].contains(table);
        if writes.iter().any(|write| about_signers(&write.table)) {
            let before = last_signed.clone();
            observed.push((seqno, Observed { before, writes }));
        }
        if let Some(signed) = signed {
            if signed.id != entry.id {
                return Err(wrong(&"it is the signature of another entry"));
            }
            place_rows(&mut places, batch_at as u32, &batch);
            batch.clear();
            last_signed = Some(signed);
        }
        seqno = seqno.next();
    }
    if seqno != chunk.last.next() {
        return Err(format!("it ends before entry {seqno}"));
    }
    if chunk.closed && bytes[end..] != encode_positions(&offsets) {
        return Err("its positions are wrong".to_owned());
    }
    let signed = last_signed
        .filter(|_| batch.is_empty())
        .ok_or("it does not end with a signature")?;
    let (first_view, _) = views.ok_or("it has no entries")?;
    Ok(Found {
        leaves,
        places,
        batches,
        first_view,
        observed,
        signed,
    })
}
