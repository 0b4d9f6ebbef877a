//! What a store must know to read and write what is private.

use std::sync::Arc;

use ledger::{LedgerSecret, LedgerSecrets};

/// The secrets of a folder.
#[derive(Debug, Clone)]
pub struct StoreSecrets {
    /// The ledger's, as far as they are known. Where they are not, the store has the public part
    /// only, until [`crate::Reader::restore_private`].
    pub ledger: Arc<LedgerSecrets>,
    /// This folder's own: under it the state store keeps private values. It never changes.
    pub state: Arc<LedgerSecret>,
}

impl From<Arc<LedgerSecret>> for StoreSecrets {
    /// One secret for everything.
    fn from(secret: Arc<LedgerSecret>) -> Self {
        Self {
            ledger: Arc::new(Arc::clone(&secret).into()),
            state: secret,
        }
    }
}
