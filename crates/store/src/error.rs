//! What can go wrong with a folder, who is to blame and what to do.

use std::io;
use std::path::{Path, PathBuf};

use ledger::rekey::BadRekey;
use verify::Seqno;

/// Why a folder could not be opened. Nothing was served from it, and nothing that was committed was
/// removed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Two processes would write one ledger: stop the other one.
    #[error("{dir} is in use by {}: stop that process, or choose another folder", holder(*pid))]
    Locked {
        /// The folder.
        dir: PathBuf,
        /// The process that holds it, where it says so.
        pid: Option<u32>,
    },
    /// The operating system refused.
    #[error("cannot {doing} {path}")]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// Bring the missing ledger files back from a backup or a peer.
    #[error(
        "{dir} has no ledger file with the entries {from} to {to}: restore it from a backup or a peer"
    )]
    MissingChunk {
        /// The folder of ledger files.
        dir: PathBuf,
        /// First missing entry.
        from: Seqno,
        /// Last missing entry.
        to: Seqno,
    },
    /// Somebody or something changed a file. Restore it; `counterfoil ledger audit` tells more.
    #[error(
        "{file} is damaged: {why}. Truth ends after seqno {truth_ends}{}. {remedy}",
        known_beyond(*truth_ends, *known)
    )]
    Damaged {
        /// The damaged file.
        file: PathBuf,
        /// Everything up to here is as it was committed.
        truth_ends: Seqno,
        /// The last entry that is known to have been committed.
        known: Seqno,
        /// Which rule is broken.
        why: String,
        /// What to do now.
        remedy: &'static str,
    },
    /// A file that is derived from the ledger files was changed. Those are the truth; they are not
    /// known to be damaged.
    #[error("{file} is damaged: {why}. {remedy}")]
    DamagedIndex {
        /// The damaged file.
        file: PathBuf,
        /// Which rule is broken.
        why: String,
        /// What to do now.
        remedy: &'static str,
    },
    /// What this node knows of the agreement with others was changed. It cannot be made again from
    /// the ledger, and must not be guessed: let the node join anew with an empty folder.
    #[error("{file} is damaged: {why}. Let this node join anew with an empty folder")]
    DamagedOrder {
        /// The damaged file.
        file: PathBuf,
        /// Which rule is broken.
        why: String,
    },
    /// The disk is full or broken.
    #[error("the ledger is sound, but what is derived from it cannot be written")]
    Write(#[source] StoreError),
    /// The ledger is sound, but was sealed under another secret: give the right one.
    #[error(
        "the private part of entry {seqno} does not open: this is not the secret of this ledger"
    )]
    WrongSecret {
        /// The first entry that does not fit.
        seqno: Seqno,
    },
    /// The ledger was rekeyed, and this node does not know the new secret.
    #[error(transparent)]
    Rekey(#[from] BadRekey),
    /// The state store failed. It holds nothing that is not in the ledger files: if it keeps
    /// failing, remove the folder `state` and open again.
    #[error("the state store in {path} failed; it is rebuilt from the ledger files if removed")]
    State {
        /// Its folder.
        path: PathBuf,
        /// The reason.
        #[source]
        source: fjall::Error,
    },
}

/// What to do about a ledger file that lost committed entries.
pub(crate) const RESTORE: &str = "Restore the file from a backup or a peer; \
    `counterfoil ledger audit` checks a folder without opening it";

/// What to do about a file that is derived from the ledger files.
pub(crate) const REBUILD: &str = "It is derived from the ledger files: check those with \
    `counterfoil ledger audit`, then remove the folders `index` and `state`: both are rebuilt at the next start";

/// Why a write failed.
///
/// After any of these the process must end: whether the bytes are on the disk is unknown, and a
/// sync that failed once must never be retried, because the kernel may have dropped the pages and
/// the next sync would succeed without them. What is true is found at the next start.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full or broken.
    #[error(
        "cannot {doing} {path}: the process must end, the ledger is recovered at the next start"
    )]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// The state store failed.
    #[error("cannot write the state store: the process must end, it is rebuilt at the next start")]
    State(#[from] fjall::Error),
    /// The caller is at fault: a batch out of order, or one that contradicts itself.
    #[error("the batch from seqno {first} cannot be taken: {why}")]
    BadBatch {
        /// First seqno of the batch.
        first: Seqno,
        /// Which rule it breaks.
        why: &'static str,
    },
    /// An earlier write failed, and the caller went on.
    #[error("an earlier write failed: the process must end")]
    Poisoned,
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The disk is broken, or a file was removed.
    #[error("cannot read {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// The bytes are not those that were committed: they are not handed out. Restore the file.
    #[error("{file} is damaged at seqno {seqno}: {why}")]
    Damaged {
        /// The file that does not fit.
        file: PathBuf,
        /// The entry.
        seqno: Seqno,
        /// Which rule is broken.
        why: String,
    },
    /// The caller asked for a proof that cannot exist yet.
    #[error(
        "there is no proof for leaf {leaf} in a tree of {size} leaves: {committed} is the last entry"
    )]
    NoSuchProof {
        /// The leaf.
        leaf: Seqno,
        /// The size of the tree.
        size: u64,
        /// The last committed entry.
        committed: Seqno,
    },
    /// The state store failed.
    #[error("cannot read the state store")]
    State(#[from] fjall::Error),
}

impl OpenError {
    /// For `map_err`: what was attempted on which path.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            doing,
            path: path.to_owned(),
            source,
        }
    }
}

impl StoreError {
    /// For `map_err`: what was attempted on which path.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            doing,
            path: path.to_owned(),
            source,
        }
    }
}

impl ReadError {
    /// For `map_err`: which file.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(
        || "another process".to_owned(),
        |pid| format!("process {pid}"),
    )
}

fn known_beyond(truth_ends: Seqno, known: Seqno) -> String {
    if known > truth_ends {
        format!(", but entries up to {known} were committed")
    } else {
        String::new()
    }
}
