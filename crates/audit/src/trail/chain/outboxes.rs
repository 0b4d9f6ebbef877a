//! The outboxes of many accounts, of which some are open.
//!
//! Each account has a folder of its own, named by its address, below one that belongs to one process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::Address;
use connector::{Call, HeldKey, Network, Outbox, OutboxError, Receipt, Settled};
use lru::LruCache;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use super::abi::content_hash;
use super::accounts::written;
use crate::limits::OUTBOXES_OPEN_MAX;

type Slot = Arc<OnceCell<Outbox>>;

/// The folder, and what is open of it.
#[derive(Debug)]
pub(super) struct Outboxes {
    folder: PathBuf,
    network: Network,
    open: Mutex<LruCache<Address, Slot>>,
    uses: Arc<Semaphore>,
    name: String,
    _lock: File,
}

/// An outbox, open as long as this is there.
struct Borrowed {
    outbox: Outbox,
    slot: Slot,
    _use: OwnedSemaphorePermit,
}

impl Outboxes {
    /// Takes the folder for this process. It is made if it is not there.
    pub(super) fn new(folder: &Path, network: Network) -> Result<Self, OutboxError> {
        let fault = |what| {
            move |source| OutboxError::Io {
                what,
                path: folder.to_owned(),
                source,
            }
        };
        std::fs::create_dir_all(folder).map_err(fault("make the folder"))?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(folder.join("lock"))
            .map_err(fault("open the lock in"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OutboxError::Locked {
                    dir: folder.to_owned(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(fault("lock")(error)),
        }
        let mut name = String::new();
        lock.read_to_string(&mut name)
            .map_err(fault("read the name of"))?;
        if name.is_empty() {
            name = crate::trail::storing::fresh().to_string();
            let written = lock
                .write_all(name.as_bytes())
                .and_then(|()| lock.sync_all());
            written.map_err(fault("name"))?;
        }
        Ok(Self {
            name,
            folder: folder.to_owned(),
            network,
            open: Mutex::new(LruCache::unbounded()),
            uses: Arc::new(Semaphore::new(OUTBOXES_OPEN_MAX)),
            _lock: lock,
        })
    }

    /// The folder's name, which no other has.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Sends an event by its account's outbox, and waits until it is final. Sent again, it is the same transaction.
    pub(super) async fn transact(
        &self,
        account: Address,
        key: impl FnOnce() -> Result<HeldKey, OutboxError>,
        call: Call,
        text: &str,
    ) -> Result<Receipt, OutboxError> {
        let borrowed = self.of(account, key).await?;
        let sent = borrowed.outbox.send(call.named(name(text))).await;
        let settled = match sent {
            Ok(ticket) => borrowed.outbox.settle(ticket).await,
            Err(error) => Err(error),
        };
        self.ended(account, &borrowed, settled)
    }

    /// The same for an event that was sent before; `None`: it was not.
    pub(super) async fn find(
        &self,
        account: Address,
        key: impl FnOnce() -> Result<HeldKey, OutboxError>,
        text: &str,
    ) -> Result<Option<Receipt>, OutboxError> {
        let borrowed = self.of(account, key).await?;
        let Some(ticket) = borrowed.outbox.ticket(&name(text)).await else {
            return Ok(None);
        };
        let settled = borrowed.outbox.settle(ticket).await;
        self.ended(account, &borrowed, settled).map(Some)
    }

    /// What a use came to. An outbox that could not write stops for good: the next use opens it again.
    fn ended(
        &self,
        account: Address,
        borrowed: &Borrowed,
        settled: Result<Settled, OutboxError>,
    ) -> Result<Receipt, OutboxError> {
        if let Err(OutboxError::Stopped | OutboxError::Io { .. }) = settled {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            let is_this = |slot: &Slot| Arc::ptr_eq(slot, &borrowed.slot);
            if open.peek(&account).is_some_and(is_this) {
                open.pop(&account);
            }
        }
        Ok(settled?.receipt)
    }

    /// The outbox of an account, opened with its key if it is not open. Waits while too many are in use.
    async fn of(
        &self,
        account: Address,
        key: impl FnOnce() -> Result<HeldKey, OutboxError>,
    ) -> Result<Borrowed, OutboxError> {
        let permit = Arc::clone(&self.uses).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let slot = self.slot(account);
        let open = || async {
            let dir = self.folder.join(written(account));
            Outbox::open(&dir, self.network.clone(), key()?).await
        };
        let outbox = slot.get_or_try_init(open).await?.clone();
        Ok(Borrowed {
            outbox,
            slot,
            _use: permit,
        })
    }

    /// A place for an outbox; who was not used for the longest time gives way.
    fn slot(&self, account: Address) -> Slot {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = open.get(&account) {
            return Arc::clone(slot);
        }
        while open.len() >= OUTBOXES_OPEN_MAX {
            // A use is a permit, and this one has no slot yet: so one of the slots is not in use.
            let idle = open
                .iter()
                .rev()
                .find(|(_, slot)| Arc::strong_count(slot) == 1);
            let Some(idle) = idle.map(|(account, _)| *account) else {
                break;
            };
            open.pop(&idle);
        }
        let slot = Slot::default();
        open.put(account, Arc::clone(&slot));
        slot
    }
}

/// The name of an event in its outbox.
fn name(text: &str) -> String {
    hex::encode(content_hash(text))
}
