//! How values of private tables lie on the disk.
//!
//! ```text
//! VIEW(u64 LE) SEQNO(u64 LE) INDEX(u32 LE)      which write it was; the last two are the nonce
//! LENGTH(u32 LE) KEY VALUE TAG(16)              AES-256-GCM, with the table's name
//! ```

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ledger::secret::TAG_LEN;
use ledger::{LedgerSecret, Table};
use lru::LruCache;

/// View, seqno and index in front of a sealed value.
const HEAD_LEN: usize = 8 + 8 + 4;
/// Views whose keys are ready: rows are mostly of the last few.
const READY: NonZeroUsize = NonZeroUsize::new(16).expect("16 is not zero");

/// One key for each view: a seqno can come again in another view after a disaster, and a nonce must
/// never come again under one key.
pub(super) struct SealingKeys {
    secret: Arc<LedgerSecret>,
    ready: Mutex<LruCache<u64, Arc<LessSafeKey>>>,
}

impl SealingKeys {
    pub(super) fn new(secret: Arc<LedgerSecret>) -> Self {
        Self {
            secret,
            ready: Mutex::new(LruCache::new(READY)),
        }
    }

    pub(super) fn of(&self, view: u64) -> Arc<LessSafeKey> {
        let made = || {
            let mut label = b"counterfoil state ".to_vec();
            label.extend_from_slice(&view.to_le_bytes());
            let key = self.secret.derive(&label);
            let key = UnboundKey::new(&AES_256_GCM, &*key).expect("32 bytes are a key");
            Arc::new(LessSafeKey::new(key))
        };
        // A panic elsewhere cannot leave a cache of finished values half changed.
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(ready.get_or_insert(view, made))
    }
}

/// Seals key and value; the result begins with what is needed to open it.
pub(super) fn seal(
    sealing_key: &LessSafeKey,
    table: &Table,
    [view, seqno]: [u64; 2],
    index: u32,
    key: &[u8],
    value: &[u8],
) -> Vec<u8> {
    let plain = 4 + key.len() + value.len();
    let mut bytes = Vec::with_capacity(HEAD_LEN + plain + TAG_LEN);
    bytes.extend_from_slice(&view.to_le_bytes());
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&seqno.to_le_bytes());
    nonce[8..].copy_from_slice(&index.to_le_bytes());
    bytes.extend_from_slice(&nonce);
    let key_length = u32::try_from(key.len()).expect("a key is far below 4 GiB");
    bytes.extend_from_slice(&key_length.to_le_bytes());
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(value);
    let tag = sealing_key
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(table.name().as_bytes()),
            &mut bytes[HEAD_LEN..],
        )
        .expect("a value is far shorter than AES-GCM's limit");
    bytes.extend_from_slice(tag.as_ref());
    bytes
}

/// Key and value; `None` if they were changed, or are of another table.
pub(super) fn unseal(
    keys: &SealingKeys,
    table: &Table,
    bytes: &[u8],
) -> Option<(Vec<u8>, Vec<u8>)> {
    let (head, sealed) = bytes.split_first_chunk::<HEAD_LEN>()?;
    let view = u64::from_le_bytes(*head.first_chunk()?);
    let nonce: [u8; 12] = *head.last_chunk()?;
    let mut bytes = sealed.to_vec();
    let plain = keys
        .of(view)
        .open_in_place(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(table.name().as_bytes()),
            &mut bytes,
        )
        .ok()?;
    let (length, rest) = plain.split_first_chunk::<4>()?;
    let (key, value) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((key.to_vec(), value.to_vec()))
}
