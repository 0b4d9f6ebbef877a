//! One act on a record at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;

use crate::model::RecordId;

type Turn = tokio::sync::Mutex<()>;

/// The records that somebody acts on now.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    now: Mutex<HashMap<RecordId, Weak<Turn>>>,
}

impl Turns {
    /// Waits until nobody else acts on this record, until what this returns is dropped.
    pub(crate) async fn of(&self, record: &RecordId) -> OwnedMutexGuard<()> {
        let turn = {
            let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
            if now.len() > 1_024 {
                now.retain(|_, turn| turn.strong_count() > 0);
            }
            let known = now.get(record).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let turn = Arc::new(Turn::new(()));
                now.insert(record.clone(), Arc::downgrade(&turn));
                turn
            })
        };
        turn.lock_owned().await
    }
}
