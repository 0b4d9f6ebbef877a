//! The outbox's file: what was signed, and how it ended.
//!
//! ```text
//! outbox      a line for each record, appended and synced before anybody relies on it; how a transaction
//!             ended is synced with the next one, because the chain says it again
//! line        as `lines` has it
//! first line  which chain and which key the file belongs to
//! ```

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alloy_primitives::{Address, B256, BlockHash, Bytes, TxHash};
use serde::{Deserialize, Serialize};

use crate::durable;
use crate::error::OutboxError;
use crate::limits::{COMPACT_BYTES, LINE_BYTES_MAX};
use crate::lines::{self, line};
use crate::status::Outcome;

const VERSION: u32 = 1;

/// Whose the file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Owner {
    pub(crate) chain_id: u64,
    pub(crate) genesis: BlockHash,
    pub(crate) address: Address,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            chain_id,
            genesis,
            address,
        } = self;
        write!(
            f,
            "{address} on chain {chain_id} that begins with {genesis}"
        )
    }
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "record",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub(crate) enum Record {
    Begun { version: u32, owner: Owner },
    Signed(Signed),
    Settled(Ended),
}

impl Record {
    fn nonce(&self) -> u64 {
        match self {
            Self::Begun { .. } => 0,
            Self::Signed(signed) => signed.nonce,
            Self::Settled(ended) => ended.nonce,
        }
    }
}

/// A transaction that may be sent from now on. Another one with the same number offers more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Signed {
    pub(crate) nonce: u64,
    pub(crate) hash: TxHash,
    pub(crate) raw: Bytes,
    /// Digest of what the caller asked for.
    pub(crate) call: B256,
    pub(crate) reference: Option<String>,
}

/// A number that is used for good. It says all that is kept, so that the transactions may go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Ended {
    pub(crate) nonce: u64,
    pub(crate) call: B256,
    pub(crate) reference: Option<String>,
    pub(crate) outcome: Outcome,
}

/// The file, open and locked.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: Arc<File>,
    _lock: File,
    /// Set while the end of the file is not known.
    broken: bool,
}

impl Journal {
    /// Opens the file in `dir`, which is made if it is missing, and reads what it has.
    pub(crate) fn open(dir: &Path, owner: &Owner) -> Result<(Self, Vec<Record>), OutboxError> {
        durable::create_folder(dir).map_err(OutboxError::io("make the folder", dir))?;
        let lock = lock(dir)?;
        let path = dir.join("outbox");
        let mut file = open(&path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(OutboxError::io("read", &path))?;
        let (records, good) = read(&path, &bytes)?;
        if good < bytes.len() {
            tracing::warn!(path = %path.display(), bytes = bytes.len() - good, "the outbox had a torn tail");
            file.set_len(good as u64)
                .and_then(|()| file.sync_all())
                .map_err(OutboxError::io("cut", &path))?;
        }
        let mut journal = Self {
            path,
            file: Arc::new(file),
            _lock: lock,
            broken: false,
        };
        let mut records = records.into_iter();
        match records.next() {
            Some(Record::Begun { version, owner: of }) => {
                if version != VERSION {
                    return Err(
                        journal.corrupt(1, format!("its version is {version}, not {VERSION}"))
                    );
                }
                if of != *owner {
                    return Err(OutboxError::Another {
                        path: journal.path,
                        theirs: of.to_string(),
                        ours: owner.to_string(),
                    });
                }
            }
            Some(_) => return Err(journal.corrupt(1, "it does not say whose the file is".into())),
            None => journal.write(&line(&begun(owner)))?,
        }
        let records: Vec<_> = records.collect();
        if good as u64 > COMPACT_BYTES {
            journal.rewrite(owner, &records)?;
        }
        Ok((journal, records))
    }

    /// Appends a record and makes it survive power loss. After a failure nothing is appended any
    /// more.
    pub(crate) async fn append(&mut self, record: &Record) -> Result<(), OutboxError> {
        self.put(record, true).await
    }

    /// Appends a record that can be found out again: power loss may take it, as long as no later one was
    /// appended.
    pub(crate) async fn note(&mut self, record: &Record) -> Result<(), OutboxError> {
        self.put(record, false).await
    }

    async fn put(&mut self, record: &Record, sync: bool) -> Result<(), OutboxError> {
        if std::mem::replace(&mut self.broken, true) {
            return Err(OutboxError::Stopped);
        }
        let (line, file) = (line(record), Arc::clone(&self.file));
        let write = move || {
            (&*file).write_all(&line)?;
            if sync { file.sync_data() } else { Ok(()) }
        };
        let written = tokio::task::spawn_blocking(write).await;
        written
            .map_err(std::io::Error::other)
            .flatten()
            .map_err(OutboxError::io("write", &self.path))?;
        self.broken = false;
        Ok(())
    }

    fn write(&self, line: &[u8]) -> Result<(), OutboxError> {
        (&*self.file)
            .write_all(line)
            .and_then(|()| self.file.sync_all())
            .and_then(|()| durable::sync_folder_of(&self.path))
            .map_err(OutboxError::io("write", &self.path))
    }

    /// Writes the file anew, without transactions whose end is known: the old file or the new one is
    /// there, never a mixture.
    fn rewrite(&mut self, owner: &Owner, records: &[Record]) -> Result<(), OutboxError> {
        let ended: std::collections::HashSet<u64> = records
            .iter()
            .filter_map(|record| match record {
                Record::Settled(ended) => Some(ended.nonce),
                _ => None,
            })
            .collect();
        let kept = |record: &&Record| !matches!(record, Record::Signed(signed) if ended.contains(&signed.nonce));
        let mut kept: Vec<_> = records.iter().filter(kept).collect();
        // A number may have ended before the one below it was asked about.
        kept.sort_by_key(|record| record.nonce());
        let mut bytes = line(&begun(owner));
        bytes.extend(kept.into_iter().flat_map(line));
        durable::write_atomically(&self.path, &bytes)
            .map_err(OutboxError::io("rewrite", &self.path))?;
        let file = open(&self.path)?;
        self.file = Arc::new(file);
        Ok(())
    }

    fn corrupt(&self, line: usize, why: String) -> OutboxError {
        OutboxError::Corrupt {
            path: self.path.clone(),
            line,
            why,
        }
    }

    /// What a record would be refused for that contradicts those before it.
    pub(crate) fn contradiction(&self, at: usize, why: &str) -> OutboxError {
        // The first record after the owner's stands in line 2.
        self.corrupt(at + 2, why.to_owned())
    }
}

fn begun(owner: &Owner) -> Record {
    Record::Begun {
        version: VERSION,
        owner: owner.clone(),
    }
}

/// The records in a file, and how many bytes of it are whole. What a crash may have torn beside the last one is how
/// transactions ended: the chain says that again.
fn read(path: &Path, bytes: &[u8]) -> Result<(Vec<Record>, usize), OutboxError> {
    let is_note = |record: &Record| matches!(record, Record::Settled(_));
    lines::read(bytes, LINE_BYTES_MAX, is_note).map_err(|damage| OutboxError::Corrupt {
        path: path.to_owned(),
        line: damage.line,
        why: damage.why,
    })
}

fn open(path: &Path) -> Result<File, OutboxError> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(OutboxError::io("open", path))
}

fn lock(dir: &Path) -> Result<File, OutboxError> {
    let path = dir.join("lock");
    let file = open(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OutboxError::Locked {
            dir: dir.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(OutboxError::io("lock", &path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn owner() -> Owner {
        Owner {
            chain_id: 4711,
            genesis: B256::repeat_byte(1),
            address: Address::repeat_byte(2),
        }
    }

    fn signed(nonce: u64) -> Record {
        Record::Signed(Signed {
            nonce,
            hash: B256::repeat_byte(3),
            raw: vec![7; 100].into(),
            call: B256::repeat_byte(4),
            reference: Some(format!("batch {nonce}")),
        })
    }

    fn settled(nonce: u64) -> Record {
        Record::Settled(Ended {
            nonce,
            call: B256::repeat_byte(4),
            reference: None,
            outcome: Outcome::Failed {
                hash: B256::repeat_byte(3),
                reason: "it \"reverted\"\n".to_owned(),
            },
        })
    }

    /// A folder whose outbox has these records.
    async fn outbox(records: &[Record]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, before) = Journal::open(dir.path(), &owner()).unwrap();
        assert!(before.is_empty());
        for record in records {
            journal.append(record).await.unwrap();
        }
        let path = dir.path().join("outbox");
        (dir, path)
    }

    fn records_in(dir: &Path) -> Result<Vec<Record>, OutboxError> {
        Journal::open(dir, &owner()).map(|(_, records)| records)
    }

    #[tokio::test]
    async fn what_was_appended_is_read_back() {
        let all = [signed(0), signed(1), settled(0)];
        let (dir, _) = outbox(&all).await;
        assert_eq!(records_in(dir.path()).unwrap(), all);
    }

    #[tokio::test]
    async fn a_torn_tail_is_cut_at_any_byte() {
        let (dir, path) = outbox(&[signed(0), signed(1)]).await;
        let whole = fs::read(&path).unwrap();
        let last = whole[..whole.len() - 1]
            .iter()
            .rposition(|&byte| byte == b'\n')
            .unwrap()
            + 1;
        for length in last..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(records_in(dir.path()).unwrap(), [signed(0)], "{length}");
            assert_eq!(fs::read(&path).unwrap(), whole[..last]);
        }
        // The length reached the disk, and a page of the line did not.
        let mut zeros = whole.clone();
        zeros[last + 10..whole.len() - 1].fill(0);
        fs::write(&path, &zeros).unwrap();
        assert_eq!(records_in(dir.path()).unwrap(), [signed(0)]);
        // Notes before it were not synced either, and one of them did not reach the disk.
        let (mut journal, _) = Journal::open(dir.path(), &owner()).unwrap();
        let before = fs::read(&path).unwrap().len();
        journal.note(&settled(0)).await.unwrap();
        let mut unsynced = fs::read(&path).unwrap();
        unsynced[before + 10..before + 20].fill(0);
        unsynced.extend(line(&settled(0)));
        drop(journal);
        fs::write(&path, &unsynced).unwrap();
        assert_eq!(records_in(dir.path()).unwrap(), [signed(0)]);
        // Appending goes on behind the cut.
        let (mut journal, _) = Journal::open(dir.path(), &owner()).unwrap();
        journal.append(&signed(1)).await.unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole);
    }

    #[tokio::test]
    async fn a_changed_line_is_refused_and_named() {
        let (dir, path) = outbox(&[signed(0), signed(1)]).await;
        let whole = fs::read_to_string(&path).unwrap();
        for (line, changed) in [
            (2, whole.replacen("batch 0", "batch 9", 1)),
            (3, whole.replacen("batch 1", "batch 9", 1)),
            (1, whole.replacen(' ', "", 1)),
            (1, format!("\n{whole}")),
        ] {
            fs::write(&path, changed).unwrap();
            match records_in(dir.path()) {
                Err(OutboxError::Corrupt { line: found, .. }) => assert_eq!(found, line),
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn an_outbox_of_another_chain_or_key_is_refused() {
        let (dir, _) = outbox(&[]).await;
        let others = [
            Owner {
                chain_id: 1,
                ..owner()
            },
            Owner {
                genesis: B256::ZERO,
                ..owner()
            },
            Owner {
                address: Address::ZERO,
                ..owner()
            },
        ];
        for other in others {
            let opened = Journal::open(dir.path(), &other);
            assert!(matches!(opened, Err(OutboxError::Another { .. })));
        }
    }

    #[tokio::test]
    async fn a_key_has_one_writer() {
        let dir = tempfile::tempdir().unwrap();
        let first = Journal::open(dir.path(), &owner()).unwrap();
        let second = Journal::open(dir.path(), &owner());
        assert!(matches!(second, Err(OutboxError::Locked { .. })));
        drop(first);
        assert!(Journal::open(dir.path(), &owner()).is_ok());
    }

    #[tokio::test]
    async fn rewriting_keeps_what_is_not_final_and_how_the_rest_ended() {
        let all = [signed(0), settled(0), signed(1)];
        let (dir, path) = outbox(&all).await;
        let (mut journal, _) = Journal::open(dir.path(), &owner()).unwrap();
        journal.rewrite(&owner(), &all).unwrap();
        journal.append(&signed(2)).await.unwrap();
        drop(journal);
        let kept = [settled(0), signed(1), signed(2)];
        assert_eq!(records_in(dir.path()).unwrap(), kept);
        assert!(!path.with_extension("new").exists());
    }
}
