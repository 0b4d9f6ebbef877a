//! The order on which nodes agree, beside the ledger that they agree on.
//!
//! ```text
//! DIR/consensus/vote        whom this node voted for, one JSON object, replaced as a whole
//! DIR/consensus/marks       what has a place in the order and no bytes in the ledger: lines of
//!                           eight bytes of a digest in hex, and the JSON that it is of
//! DIR/consensus/positions   u64 for each place from 0: first seqno of its batch; 0 for a mark
//! ```
//! A batch is one place in the order. Its bytes are in the ledger and nowhere else. The few places
//! that are no batches - a leader that begins to reign, a change of the nodes that decide - are
//! *marks*, synced before they count. Each says which batch it follows; so the places of all batches
//! follow from the ledger, and `positions` is only there to find them quickly: it is written without
//! a sync, and made again from the last *milepost* among the marks.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use verify::{Digest, Seqno, View};

use crate::batch::Batch;
use crate::durable::{create_folder, write_atomically};
use crate::error::{OpenError, StoreError};
use crate::reader::Reader;

/// How many places lie between mileposts: so many steps a start may take to find the last place.
pub const MILEPOST_EVERY: u64 = 1 << 16;

/// The files are for their owner only, like everything else in the folder.
const MODE: u32 = 0o600;

/// What has a place in the order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slot {
    /// The batch that begins at this seqno.
    Batch(Seqno),
    /// Something that is not in the ledger.
    Mark(Mark),
}

/// A place in the order without bytes in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// Its place, from 0.
    pub index: u64,
    /// The view in which it was made; zero for the very first.
    pub view: View,
    /// The last entry before it.
    pub after: Seqno,
    /// Who decides from here on, in the words of the layer above; `None` if that does not change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<String>,
}

/// Whom a node voted for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vote {
    /// In which view.
    pub view: View,
    /// The node, by its id.
    pub node: String,
    /// Whether a majority did, so that it leads.
    pub won: bool,
}

/// A line of the file of marks, after the first eight bytes of its digest in hex.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Record {
    Mark(Mark),
    /// The place `index` is the batch that begins at `first`; it is committed, and `positions` is
    /// synced up to it.
    Milepost {
        index: u64,
        first: Seqno,
    },
}

/// The order, as one node knows it. Every failure to write is final, as in [`crate::Store`].
#[derive(Debug)]
pub struct Order {
    dir: PathBuf,
    marks: BTreeMap<u64, Mark>,
    milepost: (u64, Seqno),
    file: File,
    positions: File,
    /// The place that comes next.
    next: u64,
}

impl Order {
    /// Whether the folder of a ledger holds one.
    pub fn exists(dir: &Path) -> bool {
        folder(dir).join("marks").exists()
    }

    /// Begins an order for the ledger in `dir`, which one node wrote alone so far: `members` decide
    /// from its beginning.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn begin(dir: &Path, members: String) -> Result<(), OpenError> {
        let folder = folder(dir);
        create_folder(&folder).map_err(OpenError::io("create the folder", &folder))?;
        let path = folder.join("marks");
        let first = Mark {
            index: 0,
            view: View::default(),
            after: Seqno::ZERO,
            members: Some(members),
        };
        write_atomically(&path, &encode(&Record::Mark(first)), MODE)
            .map_err(OpenError::io("write", &path))
    }

    /// Begins an order for a node that will learn it from others, in an empty ledger.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn begin_empty(dir: &Path) -> Result<(), OpenError> {
        let folder = folder(dir);
        create_folder(&folder).map_err(OpenError::io("create the folder", &folder))?;
        let path = folder.join("marks");
        write_atomically(&path, b"", MODE).map_err(OpenError::io("write", &path))
    }

    /// Reads the order of the ledger in `dir`: of what `reader` shows as committed, and of the
    /// batches that follow, undecided.
    ///
    /// # Errors
    /// Files are damaged, or are not of this ledger.
    pub fn open(dir: &Path, reader: &Reader, undecided: &[Batch]) -> Result<Self, OpenError> {
        let folder = folder(dir);
        let path = folder.join("marks");
        let text = std::fs::read(&path).map_err(OpenError::io("read", &path))?;
        let (records, whole) = decode(&text).map_err(|why| damaged(&path, why))?;
        let mut marks = BTreeMap::new();
        let mut milepost = (0, Seqno::FIRST);
        for record in records {
            match record {
                Record::Mark(mark) => drop(marks.insert(mark.index, mark)),
                Record::Milepost { index, first } => milepost = (index, first),
            }
        }
        let open = |path: &Path| {
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
        };
        let file = open(&path).map_err(OpenError::io("open", &path))?;
        let cut = || file.set_len(whole as u64).and_then(|()| file.sync_all());
        cut().map_err(OpenError::io("cut", &path))?;
        let at = folder.join("positions");
        let positions = open(&at).map_err(OpenError::io("open", &at))?;
        let length = positions
            .metadata()
            .map_err(OpenError::io("look at", &at))?
            .len();
        // Places before a milepost were synced. A file that lacks some is made again from the start.
        if length / 8 < milepost.0 {
            milepost = (0, Seqno::FIRST);
        }
        let mut order = Self {
            dir: folder,
            marks,
            milepost,
            file,
            positions,
            next: 0,
        };
        order
            .find_places(reader, undecided)
            .map_err(|why| damaged(&path, why))?;
        Ok(order)
    }

    /// The place that comes next.
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// All marks, in order.
    pub fn marks(&self) -> impl DoubleEndedIterator<Item = &Mark> {
        self.marks.values()
    }

    /// What is at `index`; `None` where nothing is (yet).
    ///
    /// # Errors
    /// The disk fails.
    pub fn slot(&self, index: u64) -> io::Result<Option<Slot>> {
        if index >= self.next {
            return Ok(None);
        }
        if let Some(mark) = self.marks.get(&index) {
            return Ok(Some(Slot::Mark(mark.clone())));
        }
        let mut bytes = [0; 8];
        self.positions.read_exact_at(&mut bytes, index * 8)?;
        Ok(Some(Slot::Batch(Seqno(u64::from_le_bytes(bytes)))))
    }

    /// The place of the last batch that begins at `seqno` or before; `None` if there is none.
    ///
    /// # Errors
    /// The disk fails.
    pub fn place_of(&self, seqno: Seqno) -> io::Result<Option<u64>> {
        // Seqnos grow with the places; marks take the seqno of the batch before them.
        let (mut low, mut high) = (0, self.next);
        let mut found = None;
        while low < high {
            let middle = low + (high - low) / 2;
            let mut batch = middle;
            let first = loop {
                match self.slot(batch)? {
                    Some(Slot::Batch(first)) => break Some(first),
                    Some(Slot::Mark(_)) if batch > 0 => batch -= 1,
                    _ => break None,
                }
            };
            match first {
                Some(first) if first > seqno => high = middle,
                Some(_) => {
                    found = Some(batch);
                    low = middle + 1;
                }
                None => low = middle + 1,
            }
        }
        Ok(found)
    }

    /// The batch that begins at `first` takes the next place. The ledger has it already.
    ///
    /// # Errors
    /// The disk fails: the process must end.
    pub fn push_batch(&mut self, first: Seqno) -> Result<u64, StoreError> {
        self.set_position(first)
            .map_err(StoreError::io("write to", &self.dir))
    }

    /// A mark takes the next place; it survives power loss when this returns.
    ///
    /// # Errors
    /// The disk fails: the process must end.
    pub fn push_mark(
        &mut self,
        view: View,
        after: Seqno,
        members: Option<String>,
    ) -> Result<u64, StoreError> {
        let mark = Mark {
            index: self.next,
            view,
            after,
            members,
        };
        self.append(&Record::Mark(mark.clone()))
            .map_err(StoreError::io("write to", &self.dir))?;
        self.marks.insert(mark.index, mark);
        self.push_batch(Seqno::ZERO)
    }

    /// Forgets all places from `next` on. Cut the ledger first.
    ///
    /// # Errors
    /// The disk fails: the process must end.
    pub fn truncate(&mut self, next: u64) -> Result<(), StoreError> {
        let gone = self.marks.split_off(&next);
        self.next = self.next.min(next);
        if gone.is_empty() {
            return Ok(());
        }
        self.rewrite().map_err(StoreError::io("write", &self.dir))
    }

    /// The places up to and with the batch that begins at `first` are committed: the next start
    /// need not look before it. Does nothing if the last milepost is near.
    ///
    /// # Errors
    /// The disk fails: the process must end.
    pub fn reached(&mut self, index: u64, first: Seqno) -> Result<(), StoreError> {
        if index < self.milepost.0 + MILEPOST_EVERY {
            return Ok(());
        }
        self.positions
            .sync_data()
            .and_then(|()| self.append(&Record::Milepost { index, first }))
            .map_err(StoreError::io("sync", &self.dir))?;
        self.milepost = (index, first);
        Ok(())
    }

    /// The last vote that was kept.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn vote(&self) -> Result<Option<Vote>, OpenError> {
        let path = self.dir.join("vote");
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| damaged(&path, error.to_string())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(OpenError::io("read", &path)(error)),
        }
    }

    /// Keeps a vote; it survives power loss when this returns.
    ///
    /// # Errors
    /// The disk fails: the process must end.
    pub fn keep_vote(&self, vote: &Vote) -> Result<(), StoreError> {
        let path = self.dir.join("vote");
        let json = serde_json::to_vec(vote).expect("strings and numbers are JSON");
        write_atomically(&path, &json, MODE).map_err(StoreError::io("write", &path))
    }

    fn append(&self, record: &Record) -> io::Result<()> {
        let end = self.file.metadata()?.len();
        self.file.write_all_at(&encode(record), end)?;
        self.file.sync_data()
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let (index, first) = self.milepost;
        let marks = self.marks.values().cloned().map(Record::Mark);
        let mut text: Vec<u8> = marks.flat_map(|mark| encode(&mark)).collect();
        if index > 0 {
            text.extend(encode(&Record::Milepost { index, first }));
        }
        let path = self.dir.join("marks");
        write_atomically(&path, &text, MODE)?;
        self.file = OpenOptions::new().read(true).write(true).open(&path)?;
        Ok(())
    }

    fn set_position(&mut self, first: Seqno) -> io::Result<u64> {
        let index = self.next;
        self.positions
            .write_all_at(&first.0.to_le_bytes(), index * 8)?;
        self.next = index + 1;
        Ok(index)
    }

    /// Walks from the last milepost to the end of what is there.
    fn find_places(&mut self, reader: &Reader, undecided: &[Batch]) -> Result<(), String> {
        let failed = |error: io::Error| format!("its positions cannot be written: {error}");
        let (index, mut seqno) = self.milepost;
        self.next = index;
        let committed = reader.committed().seqno;
        let mut undecided = undecided.iter().peekable();
        loop {
            if let Some(mark) = self.marks.get(&self.next) {
                if mark.after.next() != seqno {
                    return Err(format!(
                        "place {} follows entry {}, but entry {seqno} is next",
                        mark.index, mark.after
                    ));
                }
                self.set_position(Seqno::ZERO).map_err(failed)?;
                continue;
            }
            let last = if seqno <= committed {
                let covering = reader.signature_covering(seqno);
                covering.map_err(|error| error.to_string())?
            } else {
                undecided
                    .next_if(|batch| batch.first == seqno)
                    .map(Batch::last)
            };
            let Some(last) = last else { break };
            self.set_position(seqno).map_err(failed)?;
            seqno = last.next();
        }
        if undecided.peek().is_some() {
            return Err("the ledger goes on where the order does not".to_owned());
        }
        // Marks behind what a crash took from the ledger were never acknowledged together with it.
        let next = self.next;
        self.truncate(next).map_err(|error| error.to_string())
    }
}

/// What a node tells another of its order, which has the batches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToldOrder {
    /// All marks before the last batch.
    pub marks: Vec<Mark>,
    /// The place of the last batch.
    pub place: u64,
}

/// The order of a ledger that comes from another node: its marks are told, the places of its batches
/// follow as they are found.
pub(crate) struct ComingOrder {
    dir: PathBuf,
    told: ToldOrder,
    /// How many of the marks have their place.
    placed: usize,
    positions: BufWriter<File>,
    next: u64,
    last: Option<(u64, Seqno)>,
}

impl ComingOrder {
    /// Begins it in `dir`; what is there is replaced.
    pub(crate) fn begin(dir: &Path, told: ToldOrder) -> Result<Self, OpenError> {
        let dir = folder(dir);
        create_folder(&dir).map_err(OpenError::io("create the folder", &dir))?;
        let path = dir.join("positions");
        let positions = File::create(&path).map_err(OpenError::io("create", &path))?;
        Ok(Self {
            dir,
            told,
            placed: 0,
            positions: BufWriter::with_capacity(1 << 16, positions),
            next: 0,
            last: None,
        })
    }

    /// The next batch begins at `first`.
    pub(crate) fn push_batch(&mut self, first: Seqno) -> io::Result<()> {
        while let Some(mark) = self.told.marks.get(self.placed)
            && mark.index == self.next
        {
            if mark.after.next() != first {
                let why = format!("place {} does not follow entry {}", mark.index, mark.after);
                return Err(io::Error::new(ErrorKind::InvalidData, why));
            }
            self.placed += 1;
            self.push(Seqno::ZERO)?;
        }
        self.last = Some((self.next, first));
        self.push(first)
    }

    fn push(&mut self, first: Seqno) -> io::Result<()> {
        self.next += 1;
        self.positions.write_all(&first.0.to_le_bytes())
    }

    /// Ends with the last batch, which is committed. It survives power loss when this returns.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        let all_placed = self.placed == self.told.marks.len();
        let last = self
            .last
            .filter(|(index, _)| all_placed && *index == self.told.place);
        let Some((index, first)) = last else {
            let why = format!("the last batch does not have the place {}", self.told.place);
            return Err(io::Error::new(ErrorKind::InvalidData, why));
        };
        self.positions.flush()?;
        self.positions.get_ref().sync_all()?;
        let marks = self.told.marks.into_iter().map(Record::Mark);
        let mut text: Vec<u8> = marks.flat_map(|mark| encode(&mark)).collect();
        text.extend(encode(&Record::Milepost { index, first }));
        write_atomically(&self.dir.join("marks"), &text, MODE)
    }
}

fn folder(dir: &Path) -> PathBuf {
    dir.join("consensus")
}

fn encode(record: &Record) -> Vec<u8> {
    let json = serde_json::to_string(record).expect("strings and numbers are JSON");
    format!("{} {json}\n", sum(&json)).into_bytes()
}

fn sum(json: &str) -> String {
    hex::encode(&Digest::of(json.as_bytes()).0[..8])
}

/// The records, and how many bytes they take: a last line that was cut is none.
fn decode(text: &[u8]) -> Result<(Vec<Record>, usize), String> {
    let whole = text
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |at| at + 1);
    let mut records = Vec::new();
    for (number, line) in text[..whole]
        .split_inclusive(|&byte| byte == b'\n')
        .enumerate()
    {
        let record = std::str::from_utf8(line)
            .ok()
            .and_then(|line| line.trim_end().split_once(' '))
            .filter(|(said, json)| *said == sum(json))
            .and_then(|(_, json)| serde_json::from_str(json).ok());
        records.push(record.ok_or(format!("line {} is not as it was written", number + 1))?);
    }
    Ok((records, whole))
}

fn damaged(path: &Path, why: String) -> OpenError {
    OpenError::DamagedOrder {
        file: path.to_owned(),
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_is_none_and_one_that_was_changed_is_damage() {
        let mark = Mark {
            index: 7,
            view: View(3),
            after: Seqno(12),
            members: Some("[]".to_owned()),
        };
        let milepost = Record::Milepost {
            index: 9,
            first: Seqno(13),
        };
        let text = [encode(&Record::Mark(mark.clone())), encode(&milepost)].concat();
        let (records, whole) = decode(&text).unwrap();
        assert_eq!(whole, text.len());
        assert!(
            matches!(&records[..], [Record::Mark(found), Record::Milepost { .. }] if *found == mark)
        );
        let first = text.iter().position(|&byte| byte == b'\n').unwrap() + 1;
        for end in first..text.len() {
            let (records, whole) = decode(&text[..end]).unwrap();
            assert_eq!((records.len(), whole), (1, first));
        }
        for place in 0..text.len() - 1 {
            let mut changed = text.clone();
            changed[place] ^= 1;
            assert!(decode(&changed).is_err(), "{place}");
        }
    }
}
