//! Events before the database has them: files that are appended to, and synced once for many.
//!
//! ```text
//! N.journal   a line for each record, as `connector::lines` has it: events, and those that were taken back; synced
//!             before anybody relies on them
//! ```
//!
//! That an event is in the ledger does not stand here: the ledger says so, with the receipt, when it is asked again. A
//! file is gone as soon as the database has all that is in it. What a crash left is brought into the database at the
//! next start; that some of it is there already does no harm.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use connector::lines;
use serde::{Deserialize, Serialize};

use super::fresh::Key;
use super::store::{Pending, Row};
use crate::limits::{JOURNAL_BYTES, REQUEST_BYTES_MAX};
use crate::model::RecordId;

const SUFFIX: &str = "journal";

/// Bytes of a line: an event with its data, whose quotes are escaped.
const LINE_BYTES_MAX: usize = 4 * REQUEST_BYTES_MAX;

/// One record.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Record {
    /// An event that is on its way.
    Event(Box<Row>),
    /// One that the ledger refused.
    TakenBack { record: RecordId, version: u64 },
}

/// What the files of a folder have that a database may not.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) events: Vec<Pending>,
    files: Vec<PathBuf>,
}

impl Left {
    /// Reads the files of a folder, the oldest first.
    pub(super) fn read(folder: &Path) -> io::Result<Self> {
        let mut left = Self::default();
        for number in numbers(folder)? {
            let path = path(folder, number);
            left.add(&path).map_err(|error| {
                let words = format!("{}: {error}", path.display());
                io::Error::new(error.kind(), words)
            })?;
            left.files.push(path);
        }
        Ok(left)
    }

    fn add(&mut self, path: &Path) -> io::Result<()> {
        let read = lines::read(&fs::read(path)?, LINE_BYTES_MAX, |_| false);
        let (records, _) = read.map_err(|damage| {
            let (line, why) = (damage.line, damage.why);
            io::Error::other(format!("line {line} was changed: {why}"))
        })?;
        for record in records {
            match record {
                Record::Event(row) => {
                    let event = crate::model::Event::from_canonical(&row.event);
                    let event = event.map_err(io::Error::other)?;
                    self.events.push(Pending { event, row: *row });
                }
                Record::TakenBack { record, version } => self
                    .events
                    .retain(|one| (&one.event.record, one.event.version) != (&record, version)),
            }
        }
        Ok(())
    }

    /// Takes the files away: the database has all of it, synced.
    pub(super) fn forget(self) -> io::Result<()> {
        self.files.iter().try_for_each(fs::remove_file)
    }
}

/// Lines that are to be written together.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    pub(super) fn event(&mut self, row: &Row) {
        self.push("event", row);
    }

    /// Whoever sent it was told that nothing of it is kept.
    pub(super) fn taken_back(&mut self, (record, version): &Key) {
        let taken_back = serde_json::json!({"record": record, "version": version});
        self.push("takenBack", &taken_back);
    }

    // The same as `Record`, of what is borrowed.
    fn push(&mut self, kind: &'static str, record: &impl Serialize) {
        let record = std::collections::BTreeMap::from([(kind, record)]);
        self.0.extend(lines::line(&record));
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The file that is appended to, and those before it. The folder is this process's: whoever opens it has locked
/// it.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    now: Option<Open>,
    next: u64,
    /// The number of the last change that is in them.
    last: u64,
    before: Arc<Before>,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: Arc<File>,
    bytes: u64,
}

/// Files that are complete, each with the number of the last change in it.
#[derive(Debug, Default)]
pub(super) struct Before(Mutex<VecDeque<(PathBuf, u64)>>);

impl Before {
    /// The database has all changes up to this number: takes the files away that have no others.
    pub(super) fn forget(&self, number: u64) {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((path, _)) = files.front().filter(|(_, last)| *last <= number) {
            if let Err(error) = fs::remove_file(path) {
                // It is read once more at the next start, and does no harm.
                tracing::warn!(%error, path = %path.display(), "a journal that is done stays");
            }
            files.pop_front();
        }
    }
}

impl Journal {
    /// A journal in a folder, which is made if it is missing. What is in it goes on.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self {
            next: numbers(folder)?.last().map_or(0, |last| last + 1),
            folder: folder.to_owned(),
            now: None,
            last: 0,
            before: Arc::default(),
        })
    }

    /// The files that are complete.
    pub(super) fn before(&self) -> Arc<Before> {
        Arc::clone(&self.before)
    }

    /// Appends lines. They are synced when this answers. After a failure none of them is there, or it is said that
    /// they may be.
    pub(super) async fn append(&mut self, Lines(bytes): Lines) -> io::Result<()> {
        let mut open = match self.now.take() {
            Some(open) => open,
            None => self.begin()?,
        };
        let (file, count) = (Arc::clone(&open.file), bytes.len() as u64);
        let write = move || {
            (&*file).write_all(&bytes)?;
            file.sync_data()
        };
        let written = tokio::task::spawn_blocking(write).await;
        if let Err(error) = written.map_err(io::Error::other).flatten() {
            self.cut(open);
            return Err(error);
        }
        open.bytes += count;
        self.now = Some(open);
        Ok(())
    }

    /// All changes up to this number stand in the files.
    pub(super) fn reached(&mut self, number: u64) {
        self.last = number;
        if self
            .now
            .as_ref()
            .is_some_and(|open| open.bytes >= JOURNAL_BYTES)
        {
            self.close();
        }
    }

    fn begin(&mut self) -> io::Result<Open> {
        let path = path(&self.folder, self.next);
        let mut options = File::options();
        let options = options.append(true).create_new(true).mode(0o600);
        let file = Arc::new(options.open(&path)?);
        File::open(&self.folder)?.sync_all()?;
        self.next += 1;
        Ok(Open {
            path,
            file,
            bytes: 0,
        })
    }

    /// What could not be written is cut off, and the next lines go to another file.
    fn cut(&self, open: Open) {
        let cut = open
            .file
            .set_len(open.bytes)
            .and_then(|()| open.file.sync_all());
        if let Err(error) = cut {
            let path = open.path.display();
            tracing::error!(%error, %path, "events that were refused may be recorded at the next start");
        }
        self.end(open);
    }

    fn end(&self, open: Open) {
        let mut files = self.before.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.push_back((open.path, self.last));
    }

    /// Ends the file that is appended to, where there is one.
    pub(super) fn close(&mut self) {
        if let Some(open) = self.now.take() {
            self.end(open);
        }
    }
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number}.{SUFFIX}"))
}

/// The numbers of the files in a folder, in their order; none if there is no folder.
fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let files = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        files => files?,
    };
    let mut numbers = Vec::new();
    for file in files {
        let path = file?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let number: Option<u64> = stem.and_then(|stem| stem.parse().ok());
        if path.extension().is_some_and(|suffix| suffix == SUFFIX) {
            numbers.extend(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}
