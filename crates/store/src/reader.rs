//! What is committed, for any number of readers at once.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use ledger::chunk::{CHUNK_HEADER_LEN, ChunkName};
use ledger::entry::{HEADER_LEN, length_of};
use ledger::signature::SignedRoot;
use ledger::{Entry, State, Table};
use lru::LruCache;
use verify::{Digest, InclusionProof, Seqno, TxId, View, prove};

use crate::arrival::Chunk;
use crate::batch::BATCH_BYTES_MAX;
use crate::error::ReadError;
use crate::index::{HashFile, Place, PlaceFile};
use crate::moment::Newest;
use crate::state::StateStore;

/// Ledger files kept open: reads of old entries come in runs, and a process may only have so many.
const OPEN_FILES: NonZeroUsize = NonZeroUsize::new(64).expect("64 is not zero");
/// Signed roots kept in memory, some 2 KiB each: receipts are asked for soon after the write.
const SIGNED_ROOTS: NonZeroUsize = NonZeroUsize::new(512).expect("512 is not zero");

/// Reads what is applied. Shared by all threads; reads of different entries do not wait for each
/// other, nor for the writer.
///
/// Whatever comes from a ledger file is compared with the hash file before it is handed out, and a
/// proof is compared with the signed root that it leads to.
pub struct Reader {
    ledger_dir: PathBuf,
    pub(crate) hashes: HashFile,
    pub(crate) places: PlaceFile,
    pub(crate) state: StateStore,
    pub(crate) newest: Newest,
    /// Oldest first; only the last may be open.
    chunks: RwLock<Vec<ChunkName>>,
    files: Mutex<LruCache<Seqno, Arc<File>>>,
    roots: Mutex<LruCache<Seqno, Arc<SignedRoot>>>,
    views: RwLock<Vec<(View, Seqno)>>,
    committed: AtomicU64,
    bytes: AtomicU64,
}

impl Reader {
    pub(crate) fn new(
        ledger_dir: PathBuf,
        hashes: HashFile,
        places: PlaceFile,
        state: StateStore,
        views: Vec<(View, Seqno)>,
    ) -> Self {
        Self {
            ledger_dir,
            hashes,
            places,
            state,
            newest: Newest::default(),
            chunks: RwLock::default(),
            files: Mutex::new(LruCache::new(OPEN_FILES)),
            roots: Mutex::new(LruCache::new(SIGNED_ROOTS)),
            views: RwLock::new(views),
            committed: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// The last committed transaction; [`TxId::default`] while the ledger is empty. Reads no file.
    pub fn committed(&self) -> TxId {
        let seqno = self.committed_seqno();
        self.view_at(seqno)
            .map_or_else(TxId::default, |view| TxId::new(view, seqno))
    }

    /// The encoded entry at `seqno`; `None` where there is none (yet).
    ///
    /// # Errors
    /// The disk fails, or the bytes do not have the digest that was committed.
    pub fn entry(&self, seqno: Seqno) -> Result<Option<Vec<u8>>, ReadError> {
        if !self.has(seqno) {
            return Ok(None);
        }
        let (chunk, file) = self.file_of(seqno)?;
        let path = || self.ledger_dir.join(chunk.to_string());
        let damaged = |why: String| ReadError::Damaged {
            file: path(),
            seqno,
            why,
        };
        let (place, length) = self.place_and_length(seqno, chunk)?;
        let read = |bytes: &mut [u8]| match file.read_exact_at(bytes, u64::from(place.offset)) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(damaged("the file ends before the entry does".to_owned()))
            }
            result => result.map_err(ReadError::io(&path())),
        };
        if (place.offset as usize) < CHUNK_HEADER_LEN {
            return Err(self.damaged_place(seqno, "an entry cannot lie in the header"));
        }
        let length = match length {
            Some(length) => length,
            None => {
                let mut header = [0; HEADER_LEN];
                read(&mut header)?;
                length_of(header).map_err(|error| damaged(error.to_string()))?
            }
        };
        let mut bytes = vec![0; length];
        read(&mut bytes)?;
        let entry = Entry::parse(&bytes).map_err(|error| damaged(error.to_string()))?;
        if entry.id.seqno != seqno {
            return Err(damaged(format!("entry {} lies there", entry.id.seqno)));
        }
        if entry.leaf() != self.leaf_of(seqno)? {
            return Err(damaged(
                "its digest is not the one in the hash file".to_owned(),
            ));
        }
        Ok(Some(bytes))
    }

    /// The batch that begins at `first`, as it was appended, and its last seqno; `None` where there
    /// is none (yet). Its bytes are not compared with the tree: whoever takes the batch does that.
    ///
    /// # Errors
    /// The disk fails, or the file of places contradicts itself.
    pub fn batch(&self, first: Seqno) -> Result<Option<(Vec<u8>, Seqno)>, ReadError> {
        let Some(last) = self.signature_covering(first)? else {
            return Ok(None);
        };
        let (chunk, file) = self.file_of(first)?;
        let path = self.ledger_dir.join(chunk.to_string());
        let start = u64::from(self.place(first)?.offset);
        let end = u64::from(self.place(last)?.offset);
        let mut header = [0; HEADER_LEN];
        file.read_exact_at(&mut header, end)
            .map_err(ReadError::io(&path))?;
        let last_length = length_of(header).map_err(|error| ReadError::Damaged {
            file: path.clone(),
            seqno: last,
            why: error.to_string(),
        })?;
        let length = (end + last_length as u64)
            .checked_sub(start)
            .and_then(|length| usize::try_from(length).ok())
            .filter(|length| *length <= BATCH_BYTES_MAX)
            .ok_or_else(|| self.damaged_place(first, "its batch ends before it begins"))?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, start)
            .map_err(ReadError::io(&path))?;
        Ok(Some((bytes, last)))
    }

    /// The ledger files, oldest first, as far as their entries are committed: what another node needs
    /// to have the same ledger.
    ///
    /// # Errors
    /// The disk fails, or the file of places contradicts itself.
    pub fn files(&self) -> Result<Vec<Chunk>, ReadError> {
        let committed = self.committed_seqno();
        let names = self
            .chunks
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut files = Vec::with_capacity(names.len());
        for (at, name) in names.iter().enumerate() {
            let next = names.get(at + 1).map(|next| Seqno(next.first.0 - 1));
            let last = name.last.or(next).unwrap_or(committed).min(committed);
            if last < name.first {
                break;
            }
            let path = self.ledger_dir.join(name.to_string());
            let bytes = if name.last.is_some() {
                std::fs::metadata(&path)
                    .map_err(ReadError::io(&path))?
                    .len()
            } else {
                let (_, file) = self.file_of(name.first)?;
                let start = u64::from(self.place(last)?.offset);
                let mut header = [0; HEADER_LEN];
                file.read_exact_at(&mut header, start)
                    .map_err(ReadError::io(&path))?;
                let length = length_of(header)
                    .map_err(|error| self.damaged_place(last, &error.to_string()))?;
                start + length as u64
            };
            files.push(Chunk {
                first: name.first,
                last,
                bytes,
                closed: name.last.is_some(),
            });
        }
        Ok(files)
    }

    /// Bytes of the ledger file that begins with the entry `first`, from `offset` on; fewer than
    /// asked for at its end. They are not compared with the tree: whoever takes them does that.
    ///
    /// # Errors
    /// The disk fails, or there is no such entry.
    pub fn file_bytes(
        &self,
        first: Seqno,
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>, ReadError> {
        if !self.has(first) {
            return Err(self.damaged_place(first, "there is no such entry"));
        }
        let (name, file) = self.file_of(first)?;
        let path = self.ledger_dir.join(name.to_string());
        let mut bytes = vec![0; length];
        let mut found = 0;
        while found < length {
            match file.read_at(&mut bytes[found..], offset + found as u64) {
                Ok(0) => break,
                Ok(more) => found += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ReadError::io(&path)(error)),
            }
        }
        bytes.truncate(found);
        Ok(bytes)
    }

    /// The signature entry whose root covers `seqno`; for a signature entry, itself. `None` where
    /// there is no such entry (yet).
    ///
    /// # Errors
    /// The disk fails, or the file of places contradicts itself.
    pub fn signature_covering(&self, seqno: Seqno) -> Result<Option<Seqno>, ReadError> {
        if !self.has(seqno) {
            return Ok(None);
        }
        let place = self.place(seqno)?;
        if place.to_signature == 0 {
            return Ok(Some(seqno));
        }
        let signature = Seqno(seqno.0 + u64::from(place.to_signature));
        if !self.has(signature) || self.place(signature)?.to_signature != 0 {
            return Err(self.damaged_place(seqno, "it points to an entry that is no signature"));
        }
        Ok(Some(signature))
    }

    /// The signed root that stands at `seqno`; `None` where there is no entry (yet). Recent ones
    /// are kept in memory.
    ///
    /// # Errors
    /// The disk fails, or the entry is damaged or no signature.
    pub fn signed_root(&self, seqno: Seqno) -> Result<Option<Arc<SignedRoot>>, ReadError> {
        if let Some(root) = locked(&self.roots).get(&seqno) {
            return Ok(Some(Arc::clone(root)));
        }
        let Some(bytes) = self.entry(seqno)? else {
            return Ok(None);
        };
        let damaged = |why: String| self.damaged_place(seqno, &why);
        let entry = Entry::parse(&bytes).map_err(|error| damaged(error.to_string()))?;
        let writes = entry
            .public_writes()
            .map_err(|error| damaged(error.to_string()))?;
        let root = SignedRoot::from_writes(&writes)
            .map_err(|error| damaged(error.to_string()))?
            .map(Arc::new)
            .ok_or_else(|| damaged("it points to an entry that is no signature".to_owned()))?;
        locked(&self.roots).put(seqno, Arc::clone(&root));
        Ok(Some(root))
    }

    /// The digest that the entry at `seqno` has in the tree; `None` where there is none (yet).
    ///
    /// # Errors
    /// The disk fails.
    pub fn leaf(&self, seqno: Seqno) -> Result<Option<Digest>, ReadError> {
        if self.has(seqno) {
            self.leaf_of(seqno).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Proof that leaf `leaf` is in the tree of `size` leaves. A signature entry at seqno `n` signs
    /// the tree of size `n`.
    ///
    /// # Errors
    /// There is no such tree or leaf yet; the disk fails; the hash file does not lead to the root
    /// that was signed at `size`, where one was.
    pub fn prove(&self, leaf: Seqno, size: u64) -> Result<InclusionProof, ReadError> {
        let committed = self.committed_seqno();
        if leaf.0 >= size || size > committed.0 + 1 {
            return Err(ReadError::NoSuchProof {
                leaf,
                size,
                committed,
            });
        }
        let read = |node| {
            let node = self.hashes.node_for_proof(node, committed.0 + 1);
            node.map_err(ReadError::io(self.hashes.path()))
        };
        let proof = prove(leaf.0, size, read)?;
        let signed_at = Seqno(size);
        if self.has(signed_at) && self.place(signed_at)?.to_signature == 0 {
            let signed = self.signed_root(signed_at)?;
            let root = proof.root(self.leaf_of(leaf)?);
            if signed.is_some_and(|signed| signed.root != root) {
                return Err(ReadError::Damaged {
                    file: self.hashes.path().to_owned(),
                    seqno: leaf,
                    why: format!("its proof does not lead to the root signed at {signed_at}"),
                });
            }
        }
        Ok(proof)
    }

    /// The view in which the entry at `seqno` was made; `None` where there is none (yet).
    pub fn view_at(&self, seqno: Seqno) -> Option<View> {
        if !self.has(seqno) {
            return None;
        }
        let views = self.views.read().unwrap_or_else(PoisonError::into_inner);
        let after = views.partition_point(|(_, first)| *first <= seqno);
        Some(views[after.checked_sub(1)?].0)
    }

    /// Every view with its first seqno, in order.
    pub fn view_history(&self) -> Vec<(View, Seqno)> {
        self.views
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Where `key` was written, ascending: the seqnos in `range`, at most `limit`. For tables that
    /// are kept as streams.
    ///
    /// # Errors
    /// The state store fails.
    pub fn stream(
        &self,
        table: &Table,
        key: &[u8],
        range: RangeInclusive<Seqno>,
        limit: usize,
    ) -> Result<Vec<Seqno>, ReadError> {
        let to = (*range.end()).min(self.committed_seqno());
        Ok(self.state.stream(table, key, *range.start(), to, limit)?)
    }

    /// Where `key` was written last, up to `up_to`. For tables that are kept as streams.
    ///
    /// # Errors
    /// The state store fails.
    pub fn latest(
        &self,
        table: &Table,
        key: &[u8],
        up_to: Seqno,
    ) -> Result<Option<Seqno>, ReadError> {
        Ok(self
            .state
            .latest(table, key, up_to.min(self.committed_seqno()))?)
    }

    /// Bytes of all ledger files.
    pub fn ledger_bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn committed_seqno(&self) -> Seqno {
        Seqno(self.committed.load(Ordering::Acquire))
    }

    /// Shows everything up to `last` to readers: files and state have it.
    pub(crate) fn publish(&self, first: Seqno, view: View, last: Seqno) {
        if self.is_new_view(view) {
            let mut views = self.views.write().unwrap_or_else(PoisonError::into_inner);
            views.push((view, first));
        }
        self.committed.store(last.0, Ordering::Release);
    }

    /// Whether a batch in `view` would be the first of it.
    pub(crate) fn is_new_view(&self, view: View) -> bool {
        let views = self.views.read().unwrap_or_else(PoisonError::into_inner);
        views.last().is_none_or(|(last, _)| *last < view)
    }

    pub(crate) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn remove_bytes(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// A file without a committed entry is gone.
    pub(crate) fn remove_chunk(&self, first: Seqno) {
        let mut chunks = self.chunks.write().unwrap_or_else(PoisonError::into_inner);
        chunks.retain(|chunk| chunk.first != first);
        locked(&self.files).pop(&first);
    }

    pub(crate) fn add_chunk(&self, chunk: ChunkName) {
        self.chunks
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(chunk);
    }

    /// An open chunk gets the name of a closed one; no reader looks for the file meanwhile.
    pub(crate) fn close_chunk(
        &self,
        name: ChunkName,
        rename: &mut dyn FnMut() -> io::Result<()>,
    ) -> io::Result<()> {
        let mut chunks = self.chunks.write().unwrap_or_else(PoisonError::into_inner);
        rename()?;
        for chunk in chunks.iter_mut().filter(|chunk| chunk.first == name.first) {
            *chunk = name;
        }
        Ok(())
    }

    fn has(&self, seqno: Seqno) -> bool {
        seqno > Seqno::ZERO && seqno <= self.committed_seqno()
    }

    fn leaf_of(&self, seqno: Seqno) -> Result<Digest, ReadError> {
        self.hashes
            .leaf(seqno)
            .map_err(ReadError::io(self.hashes.path()))
    }

    fn place(&self, seqno: Seqno) -> Result<Place, ReadError> {
        self.places
            .place(seqno)
            .map_err(ReadError::io(self.places.path()))
    }

    /// Where the entry lies, and its length where the next one's place tells it.
    fn place_and_length(
        &self,
        seqno: Seqno,
        chunk: ChunkName,
    ) -> Result<(Place, Option<usize>), ReadError> {
        let next = seqno.next();
        if !self.has(next) || chunk.last == Some(seqno) {
            return Ok((self.place(seqno)?, None));
        }
        let (place, after) = self
            .places
            .places(seqno)
            .map_err(ReadError::io(self.places.path()))?;
        // Where a chunk was closed meanwhile, the next entry lies in another file: no length then.
        let length = after
            .offset
            .checked_sub(place.offset)
            .map(|length| length as usize);
        Ok((
            place,
            length.filter(|length| ENTRY_LENGTHS.contains(length)),
        ))
    }

    fn file_of(&self, seqno: Seqno) -> Result<(ChunkName, Arc<File>), ReadError> {
        let chunks = self.chunks.read().unwrap_or_else(PoisonError::into_inner);
        let after = chunks.partition_point(|chunk| chunk.first <= seqno);
        let chunk = *after
            .checked_sub(1)
            .and_then(|place| chunks.get(place))
            .ok_or_else(|| self.damaged_place(seqno, "no ledger file has this entry"))?;
        if let Some(file) = locked(&self.files).get(&chunk.first) {
            return Ok((chunk, Arc::clone(file)));
        }
        // Opened while the list cannot change, so the name is the file's name.
        let path = self.ledger_dir.join(chunk.to_string());
        let file = Arc::new(File::open(&path).map_err(ReadError::io(&path))?);
        locked(&self.files).put(chunk.first, Arc::clone(&file));
        Ok((chunk, file))
    }

    fn damaged_place(&self, seqno: Seqno, why: &str) -> ReadError {
        ReadError::Damaged {
            file: self.places.path().to_owned(),
            seqno,
            why: why.to_owned(),
        }
    }

    pub(crate) fn ledger_dir(&self) -> &Path {
        &self.ledger_dir
    }
}

const ENTRY_LENGTHS: RangeInclusive<usize> =
    ledger::entry::ENTRY_BYTES_MIN..=ledger::limits::ENTRY_BYTES_MAX;

/// The committed state.
///
/// # Panics
/// The state store is broken. A transaction that ran on a guess would be signed and could not be
/// taken back, so the process ends instead; the store is rebuilt from the ledger files if removed.
impl State for Reader {
    fn value(&self, table: &Table, key: &[u8]) -> Option<Vec<u8>> {
        self.state
            .value(table, key)
            .unwrap_or_else(|error| broken(&error))
    }

    fn values(&self, table: &Table) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.state
            .values(table)
            .unwrap_or_else(|error| broken(&error))
    }

    fn signed_root(&self, seqno: Seqno) -> Option<Digest> {
        let root = || {
            let Some(signature) = self.signature_covering(seqno)? else {
                return Ok(None);
            };
            self.signed_root(signature)
        };
        let root: Result<_, ReadError> = root();
        root.unwrap_or_else(|error| broken(&error))
            .map(|signed| signed.root)
    }
}

pub(crate) fn broken(error: &impl std::error::Error) -> ! {
    panic!("{error}: {:?}", error.source())
}

/// A cache is only a cache: a thread that panicked while it held the lock left it usable.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("ledger_dir", &self.ledger_dir)
            .field("committed", &self.committed())
            .finish_non_exhaustive()
    }
}
