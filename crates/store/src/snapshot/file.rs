//! A snapshot, byte for byte.
//!
//! ```text
//! "CFSNAP" 0 2                            what it is, and the version of this drawing
//! u64 seqno | u64 view                    the last entry of the batch whose state this is
//! rows, ascending by section and key:
//!   u8 section (1 values, 2 streams) | u32 length of the key | u32 length of the value | key | value
//! u8 0 | u64 number of rows               the end
//! ```
//! Integers are little-endian. The rows are those of the state store (crate-private `state`), byte
//! for byte. Order and end are fixed, so the same state has the same bytes and one digest.

use std::io::{self, BufReader, ErrorKind, Read, Write};

use aws_lc_rs::digest::{Context, SHA256};
use ledger::limits::ENTRY_BYTES_MAX;
use verify::{Digest, Seqno, View};

const TITLE: [u8; 8] = *b"CFSNAP\0\x02";
const END: u8 = 0;

/// Longest key: what the state store takes.
const KEY_BYTES_MAX: usize = u16::MAX as usize;
/// Longest value: an entry holds it, and its seal adds less than this.
const VALUE_BYTES_MAX: usize = ENTRY_BYTES_MAX + 1_024;

/// Whose state a snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The last entry of a batch.
    pub seqno: Seqno,
    /// The view of that batch.
    pub view: View,
}

/// Where a row belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// Latest values.
    Values = 1,
    /// Lists of seqnos.
    Streams = 2,
}

/// A row: where it belongs, its key and its value.
pub type Row = (Section, Vec<u8>, Vec<u8>);

/// Writes a snapshot and takes its digest.
pub struct SnapshotWriter<W> {
    out: W,
    context: Context,
    bytes: u64,
    rows: u64,
}

impl<W: Write> SnapshotWriter<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// `out` fails.
    pub fn new(out: W, header: Header) -> io::Result<Self> {
        let mut writer = Self {
            out,
            context: Context::new(&SHA256),
            bytes: 0,
            rows: 0,
        };
        writer.put(&TITLE)?;
        writer.put(&header.seqno.0.to_le_bytes())?;
        writer.put(&header.view.0.to_le_bytes())?;
        Ok(writer)
    }

    /// Writes a row. Rows come ascending by section and key.
    ///
    /// # Errors
    /// `out` fails, or the row is longer than any of the state store.
    pub fn row(&mut self, section: Section, key: &[u8], value: &[u8]) -> io::Result<()> {
        let length = |bytes: &[u8], most: usize| {
            u32::try_from(bytes.len())
                .ok()
                .filter(|_| bytes.len() <= most)
                .ok_or_else(|| invalid("a row is too long"))
        };
        let mut head = [0; 9];
        head[0] = section as u8;
        head[1..5].copy_from_slice(&length(key, KEY_BYTES_MAX)?.to_le_bytes());
        head[5..].copy_from_slice(&length(value, VALUE_BYTES_MAX)?.to_le_bytes());
        self.rows += 1;
        self.put(&head)?;
        self.put(key)?;
        self.put(value)
    }

    /// Ends it. Returns where it was written to, its length and its digest.
    ///
    /// # Errors
    /// `out` fails.
    pub fn finish(mut self) -> io::Result<(W, u64, Digest)> {
        let rows = self.rows;
        self.put(&[END])?;
        self.put(&rows.to_le_bytes())?;
        self.out.flush()?;
        Ok((self.out, self.bytes, digest_of(self.context)))
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.context.update(bytes);
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}

/// Reads a snapshot row by row; memory does not grow with it. Whatever is not exactly as it is drawn
/// is an error of kind [`ErrorKind::InvalidData`].
pub struct SnapshotReader<R> {
    input: BufReader<R>,
    context: Context,
    header: Header,
    rows: u64,
    last: Option<(Section, Vec<u8>)>,
    ended: bool,
}

impl<R: Read> SnapshotReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// See [`SnapshotReader`].
    pub fn new(input: R) -> io::Result<Self> {
        let mut reader = Self {
            input: BufReader::with_capacity(1 << 16, input),
            context: Context::new(&SHA256),
            header: Header {
                seqno: Seqno::ZERO,
                view: View::default(),
            },
            rows: 0,
            last: None,
            ended: false,
        };
        if reader.array::<8>()? != TITLE {
            return Err(invalid("it is no snapshot of this version"));
        }
        reader.header = Header {
            seqno: Seqno(u64::from_le_bytes(reader.array()?)),
            view: View(u64::from_le_bytes(reader.array()?)),
        };
        Ok(reader)
    }

    /// Whose state it is.
    pub const fn header(&self) -> Header {
        self.header
    }

    /// The next row; `None` at the end, behind which nothing may stand.
    ///
    /// # Errors
    /// See [`SnapshotReader`].
    pub fn next_row(&mut self) -> io::Result<Option<Row>> {
        if self.ended {
            return Ok(None);
        }
        let section = match self.array::<1>()? {
            [1] => Section::Values,
            [2] => Section::Streams,
            [END] => return self.end(),
            _ => return Err(invalid("a row belongs nowhere")),
        };
        let key_length = u32::from_le_bytes(self.array()?) as usize;
        let value_length = u32::from_le_bytes(self.array()?) as usize;
        if !(1..=KEY_BYTES_MAX).contains(&key_length) || value_length > VALUE_BYTES_MAX {
            return Err(invalid("a row is too long"));
        }
        let key = self.bytes(key_length)?;
        let value = self.bytes(value_length)?;
        let follows = self
            .last
            .as_ref()
            .is_none_or(|(before, last)| (*before, &last[..]) < (section, &key[..]));
        if !follows {
            return Err(invalid("its rows are not in order"));
        }
        self.last = Some((section, key.clone()));
        self.rows += 1;
        Ok(Some((section, key, value)))
    }

    /// The digest of what was read so far: of the whole once there is no next row.
    pub fn digest(&self) -> Digest {
        digest_of(self.context.clone())
    }

    fn end(&mut self) -> io::Result<Option<Row>> {
        if u64::from_le_bytes(self.array()?) != self.rows {
            return Err(invalid("it has another number of rows than it says"));
        }
        if self.input.read(&mut [0])? > 0 {
            return Err(invalid("something stands behind its end"));
        }
        self.ended = true;
        Ok(None)
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes).map_err(cut)?;
        self.context.update(&bytes);
        Ok(bytes)
    }

    /// Grows with what comes, not with what is announced.
    fn bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length.min(1 << 16));
        let mut input = (&mut self.input).take(length as u64);
        if input.read_to_end(&mut bytes)? < length {
            return Err(invalid("it is cut"));
        }
        self.context.update(&bytes);
        Ok(bytes)
    }
}

fn digest_of(context: Context) -> Digest {
    let digest = context.finish();
    Digest::try_from(digest.as_ref()).expect("SHA-256 has 32 bytes")
}

fn cut(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::UnexpectedEof => invalid("it is cut"),
        _ => error,
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: Header = Header {
        seqno: Seqno(17),
        view: View(2),
    };

    fn rows() -> Vec<Row> {
        let row = |section, key: &[u8], value: &[u8]| (section, key.to_vec(), value.to_vec());
        vec![
            row(Section::Values, b"a", b""),
            row(Section::Values, b"b", &[7; 300]),
            row(Section::Streams, b"a", b"x"),
        ]
    }

    fn written(rows: &[Row]) -> (Vec<u8>, Digest) {
        let mut writer = SnapshotWriter::new(Vec::new(), HEADER).unwrap();
        for (section, key, value) in rows {
            writer.row(*section, key, value).unwrap();
        }
        let (bytes, length, digest) = writer.finish().unwrap();
        assert_eq!(bytes.len() as u64, length);
        (bytes, digest)
    }

    fn read(bytes: &[u8]) -> io::Result<(Vec<Row>, Digest)> {
        let mut reader = SnapshotReader::new(bytes)?;
        let mut rows = Vec::new();
        while let Some(row) = reader.next_row()? {
            rows.push(row);
        }
        assert!(reader.next_row()?.is_none());
        Ok((rows, reader.digest()))
    }

    #[test]
    fn a_snapshot_is_read_as_it_was_written() {
        let (bytes, digest) = written(&rows());
        assert_eq!(digest, Digest::of(&bytes));
        assert_eq!(SnapshotReader::new(&bytes[..]).unwrap().header(), HEADER);
        assert_eq!(read(&bytes).unwrap(), (rows(), digest));
        for end in 0..bytes.len() {
            let cut = read(&bytes[..end]).unwrap_err();
            assert_eq!(cut.kind(), ErrorKind::InvalidData, "{end}");
        }
        assert!(read(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn a_changed_byte_is_refused_or_changes_the_digest() {
        let (bytes, digest) = written(&rows());
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 0x20;
            if let Ok((_, found)) = read(&changed) {
                assert_ne!(found, digest, "{place}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_has_one_spelling(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            end in any::<prop::sample::Index>(),
        ) {
            let (mut bytes, _) = written(&rows());
            for (place, byte) in &changes {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            if changes.len() == 3 {
                bytes.truncate(end.index(bytes.len()));
            }
            if let Ok((rows, digest)) = read(&bytes) {
                let header = SnapshotReader::new(&bytes[..]).unwrap().header();
                let mut writer = SnapshotWriter::new(Vec::new(), header).unwrap();
                for (section, key, value) in rows {
                    writer.row(section, &key, &value).unwrap();
                }
                let (again, _, same) = writer.finish().unwrap();
                prop_assert_eq!(again, bytes);
                prop_assert_eq!(same, digest);
            }
        }
    }

    #[test]
    fn rows_out_of_order_or_twice_are_refused() {
        for swapped in [[0, 0], [1, 0], [2, 1]] {
            let rows = rows();
            let rows: Vec<Row> = swapped.iter().map(|at| rows[*at].clone()).collect();
            assert!(read(&written(&rows).0).is_err(), "{swapped:?}");
        }
    }
}
