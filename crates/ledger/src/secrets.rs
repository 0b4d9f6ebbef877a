//! The ledger secrets of one ledger: each is valid from a seqno on, until the next one.
//!
//! A ledger begins with one. A rekey and a recovery from a disaster begin another; after a disaster
//! the earlier ones are not known until enough members gave their shares.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use verify::Seqno;
use zeroize::Zeroizing;

use crate::secret::LedgerSecret;

/// A secret as it is kept: the first seqno that it is valid for, and its bytes.
pub type KeptSecret = (Seqno, Zeroizing<[u8; 32]>);

/// The secrets that a node knows. Shared; what is added is seen at once.
#[derive(Debug)]
pub struct LedgerSecrets {
    ring: RwLock<BTreeMap<Seqno, Arc<LedgerSecret>>>,
}

impl LedgerSecrets {
    /// These secrets.
    pub fn new(secrets: &[KeptSecret]) -> Self {
        let ring = secrets
            .iter()
            .map(|(from, bytes)| (*from, Arc::new(LedgerSecret::new(**bytes))));
        Self {
            ring: RwLock::new(ring.collect()),
        }
    }

    /// The secret of the entry at `seqno`; `None` where it is not known (any more).
    pub fn at(&self, seqno: Seqno) -> Option<Arc<LedgerSecret>> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        let (_, secret) = ring.range(..=seqno).next_back()?;
        Some(Arc::clone(secret))
    }

    /// The newest one, and from where on it is valid; `None` where none is known.
    pub fn newest(&self) -> Option<(Seqno, Arc<LedgerSecret>)> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        let (from, secret) = ring.last_key_value()?;
        Some((*from, Arc::clone(secret)))
    }

    /// Whether the ledger can be read from its first entry on.
    pub fn is_complete(&self) -> bool {
        self.at(Seqno::FIRST).is_some()
    }

    /// Adds secrets that became known.
    pub fn add(&self, secrets: &[KeptSecret]) {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        for (from, bytes) in secrets {
            ring.insert(*from, Arc::new(LedgerSecret::new(**bytes)));
        }
    }

    /// All of them, oldest first, to be kept or handed on.
    pub fn kept(&self) -> Vec<KeptSecret> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        let kept = ring.iter();
        kept.map(|(from, secret)| (*from, Zeroizing::new(*secret.bytes())))
            .collect()
    }
}

impl From<Arc<LedgerSecret>> for LedgerSecrets {
    /// One secret for the whole ledger.
    fn from(secret: Arc<LedgerSecret>) -> Self {
        Self {
            ring: RwLock::new([(Seqno::FIRST, secret)].into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(from: u64, byte: u8) -> KeptSecret {
        (Seqno(from), Zeroizing::new([byte; 32]))
    }

    #[test]
    fn a_secret_is_valid_until_the_next_one() {
        let secrets = LedgerSecrets::new(&[kept(10, 2)]);
        assert!(secrets.at(Seqno(9)).is_none());
        assert!(!secrets.is_complete());
        secrets.add(&[kept(1, 1), kept(20, 3)]);
        assert!(secrets.is_complete());
        let byte = |seqno| secrets.at(Seqno(seqno)).unwrap().bytes()[0];
        assert_eq!([1, 9, 10, 19, 20, 99].map(byte), [1, 1, 2, 2, 3, 3]);
        assert_eq!(secrets.newest().unwrap().0, Seqno(20));
        assert_eq!(secrets.kept(), [kept(1, 1), kept(10, 2), kept(20, 3)]);
    }
}
