//! The ledger secrets of one ledger: each is valid from a seqno on, until the next one.
//!
//! A ledger begins with one. A rekey and a recovery from a disaster begin another; after a disaster
//! the earlier ones are not known until enough members gave their shares.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use verify::{Seqno, TxId};
use zeroize::Zeroizing;

use crate::kv::State;
use crate::rekey::{BadRekey, NewSecret, OpensForNode};
use crate::secret::LedgerSecret;
use crate::shares::open_earlier;
use crate::write_set::WriteSet;

/// A secret as it is kept: the first seqno that it is valid for, and its bytes.
pub type KeptSecret = (Seqno, Zeroizing<[u8; 32]>);

/// The secrets that a node knows. Shared; what is added is seen at once.
#[derive(Debug)]
pub struct LedgerSecrets {
    ring: RwLock<BTreeMap<Seqno, Arc<LedgerSecret>>>,
    /// Opens what a rekey seals to this node; `None` where nothing is.
    node: Option<Box<dyn OpensForNode>>,
}

impl LedgerSecrets {
    /// These secrets.
    pub fn new(secrets: &[KeptSecret]) -> Self {
        let ring = secrets
            .iter()
            .map(|(from, bytes)| (*from, Arc::new(LedgerSecret::new(**bytes))));
        Self {
            ring: RwLock::new(ring.collect()),
            node: None,
        }
    }

    /// The same, for a node that learns of new ones by itself.
    pub fn opened_by(self, node: Box<dyn OpensForNode>) -> Self {
        Self {
            node: Some(node),
            ..self
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

    /// The secret that an entry begins, given what it writes, where it is not known yet; `None` where
    /// the entry is no rekey. Nothing is added.
    ///
    /// # Errors
    /// See [`BadRekey`].
    pub fn begun_by(&self, id: TxId, writes: &WriteSet) -> Result<Option<KeptSecret>, BadRekey> {
        match NewSecret::begun_by(id, writes)? {
            Some(row) => self.open(&row),
            None => Ok(None),
        }
    }

    /// Adds the secret that an entry begins, given what it writes. Returns whether it began one that
    /// was not known.
    ///
    /// # Errors
    /// See [`BadRekey`].
    pub fn learn(&self, id: TxId, writes: &WriteSet) -> Result<bool, BadRekey> {
        let begun = self.begun_by(id, writes)?;
        self.add(begun.as_slice());
        Ok(begun.is_some())
    }

    /// Adds the newest secret that a state knows of, and those between it and what is known.
    ///
    /// # Errors
    /// See [`BadRekey`].
    pub fn learn_from(&self, state: &dyn State) -> Result<(), BadRekey> {
        let Some(row) = NewSecret::read(state) else {
            return Ok(());
        };
        let Some(newest) = self.open(&row)? else {
            return Ok(());
        };
        let mut found = open_earlier(state, &newest)
            .map_err(|_| BadRekey::Malformed(Seqno(row.previous_version)))?;
        found.retain(|(from, _)| !self.knows(*from));
        found.push(newest);
        self.add(&found);
        Ok(())
    }

    /// Forgets the secrets that entries after `last` began: those were undone.
    pub fn forget_after(&self, last: Seqno) {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        ring.retain(|from, _| *from <= last.next());
    }

    /// Opens a new secret; `None` for one that is known, or that a later one has replaced.
    fn open(&self, row: &NewSecret) -> Result<Option<KeptSecret>, BadRekey> {
        let version = Seqno(row.version);
        if self.newest().is_some_and(|(newest, _)| newest >= version) {
            return Ok(None);
        }
        let node = self.node.as_ref();
        let opened = node.and_then(|node| node.open(row));
        let secret = opened.ok_or(BadRekey::NotForThisNode(version))?;
        Ok(Some((version, secret)))
    }

    fn knows(&self, from: Seqno) -> bool {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        ring.contains_key(&from)
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
            node: None,
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
