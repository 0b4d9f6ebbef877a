//! Checking a folder of ledger files offline: without its secret, without trusting who keeps it.
//!
//! Every byte of the public part is looked at: the entries follow each other without a gap, their
//! digests make the tree whose roots were signed, each root is signed by a node of the service (and
//! by the service itself, where it signed), and the service changes on the way only by a recovery, in
//! which the new one endorses the one before it. Private parts stay sealed;
//! that they are unchanged follows from their digests.

use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use ledger::WriteSet;
use ledger::chunk::{CHUNK_HEADER_LEN, ChunkName};
use ledger::signature::SignedRoot;
use verify::cert::Cert;
use verify::key::PublicKey;
use verify::{Digest, Frontier, Seqno, TxId, View, cose, nodes_in};

use crate::chunks;
use crate::error::OpenError;
use crate::index::{PLACE_LEN, place_rows};
use crate::replay::{FoundBatch, batch_at, entries_end, positions_match, signed_roots_in};
use crate::trust::Trust;

/// What to compare a ledger with, beside itself.
#[derive(Debug, Clone, Default)]
pub struct AuditOptions {
    /// The service that the auditor expects; without it, whatever the first entry says is taken,
    /// and the auditor must compare [`AuditReport::service`].
    pub service: Option<Cert>,
    /// The folder `index` of the node, to be compared with the ledger files as far as it goes.
    pub index: Option<PathBuf>,
    /// Threads that check signatures; `None` for as many as the machine has.
    pub threads: Option<NonZeroUsize>,
}

/// How far an audit is. Reported after each ledger file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Entries checked.
    pub entries: u64,
    /// Bytes checked.
    pub bytes: u64,
    /// Bytes of all ledger files.
    pub total_bytes: u64,
}

/// What is true of a ledger that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditReport {
    /// Entries that a signed root covers, signature entries included.
    pub entries: u64,
    /// Signed roots: the node's signature on each was checked, and the service's where there is one.
    pub signatures: u64,
    /// Ledger files.
    pub files: u64,
    /// Bytes of all ledger files.
    pub bytes: u64,
    /// The last transaction: the last signature.
    pub last: TxId,
    /// The last signed root.
    pub root: Digest,
    /// The service whose ledger this is. Compare [`Cert::fingerprint`] with what you were told.
    pub service: Cert,
    /// What the service says of itself, for example `Open`.
    pub service_status: String,
    /// Every view with its first seqno.
    pub views: Vec<(View, Seqno)>,
    /// Bytes at the end that belong to no signed batch, and to none that was ever signed: a write
    /// under way while the files were copied, or torn. Nobody has a receipt for it.
    pub unfinished_bytes: u64,
    /// Whether a folder `index` was compared.
    pub index_compared: bool,
}

/// Why a ledger does not pass.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The ledger was changed, or a part of it is missing. Ask who keeps it.
    #[error("{file}: {rule}. Truth ends after seqno {truth_ends}")]
    Broken {
        /// The file in which it shows.
        file: PathBuf,
        /// Everything up to here is covered by a valid signature.
        truth_ends: Seqno,
        /// Which rule is broken.
        rule: String,
    },
    /// The ledger may be sound, but it is that of another service than the auditor expects.
    #[error("this is the ledger of the service {found}, not of {expected}")]
    OtherService {
        /// Fingerprint of the certificate in the ledger.
        found: Digest,
        /// Fingerprint of the expected one.
        expected: Digest,
    },
    /// There is nothing to audit: is it the right folder?
    #[error("{dir} has no signed entry: name the folder that has the files `ledger_...`")]
    Empty {
        /// The folder.
        dir: PathBuf,
    },
    /// The files cannot be read.
    #[error("cannot read {path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
}

/// Audits the ledger files in `ledger_dir` with the default options.
///
/// # Errors
/// The first rule that is broken, in the order of the ledger.
pub fn audit(ledger_dir: &Path, progress: impl FnMut(Progress)) -> Result<AuditReport, AuditError> {
    audit_with(ledger_dir, &AuditOptions::default(), progress)
}

/// Audits the ledger files in `ledger_dir`. Holds one file in memory at a time.
///
/// # Errors
/// The first rule that is broken, in the order of the ledger.
pub fn audit_with(
    ledger_dir: &Path,
    options: &AuditOptions,
    progress: impl FnMut(Progress),
) -> Result<AuditReport, AuditError> {
    audit_each(ledger_dir, options, progress, |_, _| {})
}

/// Audits the ledger files in `ledger_dir`, and shows each entry's public writes to `visit`, in
/// their order.
///
/// What `visit` sees stands in a batch whose root is that of its entries; that the root is signed is
/// checked after the whole file. So what it saw counts only up to where an error says that truth
/// ends.
///
/// # Errors
/// The first rule that is broken, in the order of the ledger.
pub fn audit_each(
    ledger_dir: &Path,
    options: &AuditOptions,
    mut progress: impl FnMut(Progress),
    mut visit: impl FnMut(TxId, &WriteSet),
) -> Result<AuditReport, AuditError> {
    let names = chunks::list(ledger_dir).map_err(|error| listing(ledger_dir, error))?;
    let mut total_bytes = 0;
    for name in &names {
        let path = ledger_dir.join(name.to_string());
        total_bytes += path.metadata().map_err(reading(&path))?.len();
    }
    let index = options.index.as_deref().map(Index::open).transpose()?;
    let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let mut auditor = Auditor {
        dir: ledger_dir,
        expected: options.service.as_ref(),
        threads: options.threads.unwrap_or_else(cores),
        index,
        differs: None,
        frontier: Frontier::new(),
        trust: Trust::default(),
        signatures: 0,
        last: None,
        views: Vec::new(),
        unfinished_bytes: 0,
        visit: &mut visit,
    };
    let mut bytes = Vec::new();
    let mut read = 0;
    for &name in &names {
        auditor.chunk(name, &mut bytes)?;
        read += bytes.len() as u64;
        progress(Progress {
            entries: auditor.frontier.size() - 1,
            bytes: read,
            total_bytes,
        });
    }
    auditor.report(names.len() as u64, total_bytes)
}

/// A signed root to be checked: the costly part, done for a whole file by several threads.
struct Claim {
    signed: SignedRoot,
    node: PublicKey,
    service: PublicKey,
}

impl Claim {
    fn check(&self) -> Result<(), String> {
        let Self {
            signed,
            node,
            service,
        } = self;
        let at = signed.id.seqno;
        node.verify_prehashed(&signed.root, &signed.signature)
            .map_err(|_| format!("the root in entry {at} is not signed by its node"))?;
        let Some(by_service) = &signed.cose else {
            return Ok(());
        };
        let header = cose::verify_root_signature(by_service, service, &signed.root)
            .map_err(|error| format!("the service's signature in entry {at}: {error}"))?;
        if header.tx_id != Some(signed.id) {
            return Err(format!(
                "the service's signature in entry {at} is of another one"
            ));
        }
        Ok(())
    }
}

struct Auditor<'a> {
    dir: &'a Path,
    expected: Option<&'a Cert>,
    threads: NonZeroUsize,
    index: Option<Index>,
    /// Where the index and the entries of the last batch differ. The entries are right if the root
    /// of the next batch covers them as they are; only then the index is to blame.
    differs: Option<Difference>,
    frontier: Frontier,
    trust: Trust,
    signatures: u64,
    last: Option<SignedRoot>,
    views: Vec<(View, Seqno)>,
    unfinished_bytes: u64,
    visit: &'a mut dyn FnMut(TxId, &WriteSet),
}

impl Auditor<'_> {
    fn chunk(&mut self, name: ChunkName, bytes: &mut Vec<u8>) -> Result<(), AuditError> {
        let path = self.dir.join(name.to_string());
        bytes.clear();
        File::open(&path)
            .and_then(|mut file| file.read_to_end(bytes))
            .map_err(reading(&path))?;
        let before = Seqno(self.frontier.size() - 1);
        let mut claims = Vec::new();
        let walked = self.walk(name, bytes, &mut claims);
        // A signature that is wrong comes before whatever was found behind it.
        if let Some((truth_ends, rule)) = check_all(&claims, before, self.threads) {
            return Err(AuditError::Broken {
                file: path,
                truth_ends,
                rule,
            });
        }
        self.signatures += claims.len() as u64;
        let truth_ends = claims.last().map_or(before, |claim| claim.signed.id.seqno);
        if let Some(claim) = claims.pop() {
            self.last = Some(claim.signed);
        }
        walked.map_err(|broken| match broken {
            Walk::Rule(rule) => AuditError::Broken {
                file: path,
                truth_ends,
                rule,
            },
            Walk::Index(difference) => difference.after(truth_ends),
        })
    }

    /// Everything about a file that needs no signature check.
    fn walk(&mut self, name: ChunkName, bytes: &[u8], claims: &mut Vec<Claim>) -> Result<(), Walk> {
        let end = entries_end(name, bytes)?;
        let mut at = CHUNK_HEADER_LEN;
        let mut offsets = Vec::new();
        while at < end {
            let view = self.views.last().map_or(View::default(), |(view, _)| *view);
            let batch = match batch_at(&bytes[..end], at, &self.frontier, view) {
                Ok(batch) => batch,
                Err(why) => {
                    let open = name.last.is_none() && end == bytes.len();
                    if open && signed_roots_in(&bytes[at..end], 1).is_empty() {
                        self.unfinished_bytes = (end - at) as u64;
                        return self.index_ends_here();
                    }
                    return Err(why.into());
                }
            };
            let mut offset = at as u32;
            for entry in &batch.entries {
                offsets.push(offset);
                offset = offset.wrapping_add(entry.length);
            }
            at = batch.end;
            claims.push(self.batch(batch)?);
        }
        if end < bytes.len() && !positions_match(bytes, end, &offsets) {
            return Err("its positions are not those of its entries".into());
        }
        match name.last {
            Some(last) if last.0 + 1 != self.frontier.size() => {
                let found = self.frontier.size() - 1;
                Err(
                    format!("its name says that it ends with {last}, but {found} is its last")
                        .into(),
                )
            }
            Some(_) => Ok(()),
            None => self.index_ends_here(),
        }
    }

    fn batch(&mut self, batch: FoundBatch) -> Result<Claim, Walk> {
        for (place, writes) in (0..).zip(&batch.public) {
            let observed = self.trust.observe(writes);
            observed.map_err(|error| format!("entries from {}: {error}", batch.first))?;
            (self.visit)(TxId::new(batch.view, Seqno(batch.first.0 + place)), writes);
        }
        let service = self
            .trust
            .service_cert()
            .ok_or("no entry says who the service is")?;
        let service = service.public_key();
        let node = self
            .trust
            .key_of(&batch.signed)
            .map_err(|error| format!("entry {}: {error}", batch.last()))?;
        if let Some(difference) = self.differs.take() {
            return Err(Walk::Index(difference));
        }
        if let Some(index) = &mut self.index {
            self.differs = index.compare(&batch).err();
        }
        if self.views.last().is_none_or(|(view, _)| *view < batch.view) {
            self.views.push((batch.view, batch.first));
        }
        self.frontier = batch.frontier;
        Ok(Claim {
            signed: batch.signed,
            node,
            service,
        })
    }

    fn index_ends_here(&self) -> Result<(), Walk> {
        let last = Seqno(self.frontier.size() - 1);
        match &self.index {
            Some(index) if index.last > last => Err(Walk::Rule(format!(
                "entries up to {} were committed, but the ledger files end at {last}",
                index.last
            ))),
            _ => Ok(()),
        }
    }

    fn report(self, files: u64, bytes: u64) -> Result<AuditReport, AuditError> {
        let truth_ends = Seqno(self.frontier.size() - 1);
        if let Some(difference) = self.differs {
            return Err(difference.after(truth_ends));
        }
        let empty = || AuditError::Empty {
            dir: self.dir.to_owned(),
        };
        if let Err(Walk::Rule(rule)) = self.index_ends_here() {
            return Err(AuditError::Broken {
                file: self.dir.to_owned(),
                truth_ends,
                rule,
            });
        }
        let last = self.last.as_ref().ok_or_else(empty)?;
        // The service may change on the way, by recoveries; the auditor knows the last one.
        if let (Some(expected), Some(service)) = (self.expected, self.trust.service_cert())
            && expected.key_digest() != service.key_digest()
        {
            let (found, expected) = (service.fingerprint(), expected.fingerprint());
            return Err(AuditError::OtherService { found, expected });
        }
        Ok(AuditReport {
            entries: self.frontier.size() - 1,
            signatures: self.signatures,
            files,
            bytes,
            last: last.id,
            root: last.root,
            service: self.trust.service_cert().cloned().ok_or_else(empty)?,
            service_status: self.trust.service_status().unwrap_or_default().to_owned(),
            unfinished_bytes: self.unfinished_bytes,
            index_compared: self.index.is_some(),
            views: self.views,
        })
    }
}

/// What ended the walk through a file.
enum Walk {
    Rule(String),
    Index(Difference),
}

/// A file of the index that does not fit the entries.
struct Difference {
    file: PathBuf,
    rule: String,
}

impl Difference {
    fn after(self, truth_ends: Seqno) -> AuditError {
        let Self { file, rule } = self;
        AuditError::Broken {
            file,
            truth_ends,
            rule,
        }
    }
}

impl From<String> for Walk {
    fn from(rule: String) -> Self {
        Self::Rule(rule)
    }
}

impl From<&str> for Walk {
    fn from(rule: &str) -> Self {
        Self::Rule(rule.to_owned())
    }
}

/// Checks all claims; the first one that is wrong, and where truth ends before it.
fn check_all(claims: &[Claim], before: Seqno, threads: NonZeroUsize) -> Option<(Seqno, String)> {
    let share = claims.len().div_ceil(threads.get()).max(1);
    let first_wrong = |claims: &[Claim]| {
        let mut checked = claims.iter().map(Claim::check);
        let place = checked.position(|result| result.is_err())?;
        claims[place].check().err().map(|why| (place, why))
    };
    let results = std::thread::scope(|scope| {
        let running: Vec<_> = claims
            .chunks(share)
            .map(|share| scope.spawn(move || first_wrong(share)))
            .collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        running.into_iter().map(join).collect::<Vec<_>>()
    });
    let (place, why) = results
        .into_iter()
        .enumerate()
        .find_map(|(part, wrong)| wrong.map(|(place, why)| (part * share + place, why)))?;
    let truth_ends = place
        .checked_sub(1)
        .map_or(before, |place| claims[place].signed.id.seqno);
    Some((truth_ends, why))
}

/// The files in the folder `index`, read along with the ledger.
struct Index {
    hashes: IndexFile,
    places: IndexFile,
    /// The last entry that they know.
    last: Seqno,
    expected: Vec<u8>,
}

struct IndexFile {
    path: PathBuf,
    file: File,
    length: u64,
    found: Vec<u8>,
}

impl Index {
    fn open(dir: &Path) -> Result<Self, AuditError> {
        let places = IndexFile::open(dir.join("seqnos"))?;
        let hashes = IndexFile::open(dir.join("hashes"))?;
        let last = Seqno(places.length / PLACE_LEN as u64);
        Ok(Self {
            hashes,
            places,
            last,
            expected: Vec::new(),
        })
    }

    fn compare(&mut self, batch: &FoundBatch) -> Result<(), Difference> {
        if batch.first == Seqno::FIRST {
            self.hashes.compare(0, &Digest::ZERO.0, batch.first)?;
        }
        let at = nodes_in(batch.first.0) * Digest::LEN as u64;
        self.hashes.compare(at, &batch.nodes, batch.first)?;
        self.expected.clear();
        place_rows(&mut self.expected, batch.start as u32, &batch.entries);
        let at = (batch.first.0 - 1) * PLACE_LEN as u64;
        self.places.compare(at, &self.expected, batch.first)
    }
}

impl IndexFile {
    fn open(path: PathBuf) -> Result<Self, AuditError> {
        let file = File::open(&path).map_err(reading(&path))?;
        let length = file.metadata().map_err(reading(&path))?.len();
        Ok(Self {
            path,
            file,
            length,
            found: Vec::new(),
        })
    }

    /// Compares as much as there is: what is not synced yet may be missing at the end.
    fn compare(&mut self, at: u64, expected: &[u8], first: Seqno) -> Result<(), Difference> {
        use std::os::unix::fs::FileExt;
        let there = self.length.saturating_sub(at).min(expected.len() as u64) as usize;
        self.found.resize(there, 0);
        let read = self.file.read_exact_at(&mut self.found, at);
        if read.is_err() || self.found != expected[..there] {
            return Err(Difference {
                file: self.path.clone(),
                rule: format!("it does not fit the entries from {first} on"),
            });
        }
        Ok(())
    }
}

fn reading(path: &Path) -> impl FnOnce(io::Error) -> AuditError {
    move |source| AuditError::Io {
        path: path.to_owned(),
        source,
    }
}

fn listing(dir: &Path, error: OpenError) -> AuditError {
    match error {
        OpenError::MissingChunk { dir, from, to } => AuditError::Broken {
            file: dir,
            truth_ends: Seqno(from.0 - 1),
            rule: format!("no file has the entries {from} to {to}"),
        },
        OpenError::Damaged {
            file,
            truth_ends,
            why,
            ..
        } => AuditError::Broken {
            file,
            truth_ends,
            rule: why,
        },
        OpenError::Io { path, source, .. } => AuditError::Io { path, source },
        other => AuditError::Io {
            path: dir.to_owned(),
            source: io::Error::other(other),
        },
    }
}
