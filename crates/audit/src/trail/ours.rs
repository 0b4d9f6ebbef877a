//! What this replica sends: each version of a record once at a time, from before it is written until the ledger has it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::fresh::Key;
use crate::model::Event;

/// What this replica sends now.
#[derive(Debug)]
pub(super) struct Sending {
    name: Arc<str>,
    now: Mutex<HashSet<Key>>,
    /// The last transaction that we know of.
    seen: Mutex<Option<String>>,
}

/// An event that we send, until this is dropped.
#[derive(Debug)]
pub(super) struct Ours {
    sending: Arc<Sending>,
    event: Key,
}

impl Sending {
    pub(super) fn of(name: Arc<str>) -> Self {
        Self {
            name,
            now: Mutex::default(),
            seen: Mutex::default(),
        }
    }

    /// What this replica is called.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Begins to send an event; `None` if we do already.
    pub(super) fn begin(self: &Arc<Self>, event: &Event) -> Option<Ours> {
        let event = (event.record.clone(), event.version);
        lock(&self.now).insert(event.clone()).then(|| Ours {
            sending: Arc::clone(self),
            event,
        })
    }

    /// The last transaction that the ledger is known to have: what is sent from now on stands behind it.
    pub(super) fn seen(&self) -> Option<String> {
        lock(&self.seen).clone()
    }

    /// The ledger has this transaction.
    pub(super) fn saw(&self, tx: &str) {
        *lock(&self.seen) = Some(tx.to_owned());
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        lock(&self.sending.now).remove(&self.event);
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nobody panics while holding it; if so, what is there is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
