//! How entries lie in a ledger file (a chunk), as CCF lays them out.
//!
//! ```text
//! u64          offset of the positions, 0 while the chunk is open
//! entries      one after the other, without gaps
//! positions    u32 for each entry: its offset from the start of the file
//! ```
//! A chunk begins where the last one ended and ends with a signature entry, so each can be checked
//! alone once the tree's frontier before it is known. Drawing: `docs/formats/ledger-file.md`.

use std::ops::RangeInclusive;

use verify::Seqno;

/// Bytes in front of the first entry.
pub const CHUNK_HEADER_LEN: usize = 8;

/// A chunk's name tells which entries it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkName {
    /// Its first entry.
    pub first: Seqno,
    /// Its last entry; `None` while the chunk is open.
    pub last: Option<Seqno>,
}

impl ChunkName {
    /// The name of an open chunk.
    pub const fn open(first: Seqno) -> Self {
        Self { first, last: None }
    }

    /// The name of a closed chunk, all of whose entries are committed.
    pub const fn committed(entries: RangeInclusive<Seqno>) -> Self {
        Self {
            first: *entries.start(),
            last: Some(*entries.end()),
        }
    }

    /// Reads `ledger_FIRST` or `ledger_FIRST-LAST.committed`; `None` for any other file name.
    pub fn parse(name: &str) -> Option<Self> {
        let range = name.strip_prefix("ledger_")?;
        let parsed = match range.strip_suffix(".committed") {
            None => Self::open(seqno(range)?),
            Some(range) => {
                let (first, last) = range.split_once('-')?;
                Self {
                    first: seqno(first)?,
                    last: Some(seqno(last)?),
                }
            }
        };
        (parsed.to_string() == name && parsed.last.is_none_or(|last| last >= parsed.first))
            .then_some(parsed)
    }
}

impl std::fmt::Display for ChunkName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.last {
            None => write!(f, "ledger_{}", self.first),
            Some(last) => write!(f, "ledger_{}-{}.committed", self.first, last),
        }
    }
}

fn seqno(text: &str) -> Option<Seqno> {
    text.parse().ok().filter(|&seqno| seqno > 0).map(Seqno)
}

/// The positions table of a chunk: appended when it is closed.
pub fn encode_positions(offsets: &[u32]) -> Vec<u8> {
    offsets
        .iter()
        .flat_map(|offset| offset.to_le_bytes())
        .collect()
}

/// Reads a positions table; `None` if it is not a whole number of positions.
pub fn decode_positions(bytes: &[u8]) -> Option<Vec<u32>> {
    let (positions, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| {
        positions
            .iter()
            .map(|bytes| u32::from_le_bytes(*bytes))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_name_is_read_as_it_is_written() {
        for name in [
            "ledger_1",
            "ledger_1-17.committed",
            "ledger_18-18.committed",
        ] {
            assert_eq!(ChunkName::parse(name).unwrap().to_string(), name);
        }
    }

    #[test]
    fn other_names_are_not_chunks() {
        for name in [
            "",
            "ledger_",
            "ledger_0",
            "ledger_01",
            "ledger_1-",
            "ledger_1-2",
            "ledger_2-1.committed",
            "ledger_1.committed",
            "ledger_1-2.recovery",
            "snapshot_1_2",
        ] {
            assert_eq!(ChunkName::parse(name), None, "{name}");
        }
    }

    #[test]
    fn positions_are_read_as_they_are_written() {
        assert_eq!(
            decode_positions(&encode_positions(&[8, 300])),
            Some(vec![8, 300])
        );
        assert_eq!(decode_positions(&[0; 5]), None);
    }
}
