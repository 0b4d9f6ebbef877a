//! Transactions that came before those they follow: kept until these are there.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use alloy_primitives::{Address, B256};

use crate::limits::{GAPS_FOR, GAPS_MAX, GAPS_OF_ONE_MAX};
use crate::signed::Signed;

/// Waiting transactions, by sender and number. The executor puts them here and, in order, takes none
/// twice: what is put after its predecessor ran is not put at all, because then nothing is missing.
#[derive(Debug, Default)]
pub struct Gaps(Mutex<BTreeMap<(Address, u64), Waiting>>);

#[derive(Debug)]
struct Waiting {
    signed: Signed,
    since: Instant,
}

impl Gaps {
    /// Keeps a transaction. One that waits already under this number stays.
    ///
    /// # Errors
    /// Too many wait.
    pub fn put(&self, signed: Signed) -> Result<(), Full> {
        let mut waiting = self.lock();
        let sender = signed.sender();
        let place = (sender, signed.nonce());
        if waiting.contains_key(&place) {
            return Ok(());
        }
        if waiting.len() >= GAPS_MAX {
            // What they wait for does not come any more.
            waiting.retain(|_, one| one.since.elapsed() < GAPS_FOR);
        }
        let of_sender = waiting.range((sender, 0)..=(sender, u64::MAX)).count();
        if of_sender >= GAPS_OF_ONE_MAX || waiting.len() >= GAPS_MAX {
            return Err(Full);
        }
        let since = Instant::now();
        waiting.insert(place, Waiting { signed, since });
        Ok(())
    }

    /// Takes the one that follows, if it is here.
    pub fn take(&self, sender: Address, nonce: u64) -> Option<Signed> {
        let taken = self.lock().remove(&(sender, nonce));
        taken.map(|waiting| waiting.signed)
    }

    /// One of those that wait.
    pub fn find(&self, hash: &B256) -> Option<Signed> {
        let waiting = self.lock();
        let mut all = waiting.values().map(|waiting| &waiting.signed);
        all.find(|signed| signed.hash() == *hash).cloned()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Address, u64), Waiting>> {
        // Each change is one step: a panic elsewhere leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Too many transactions wait for others. Send those that are missing first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("txpool is full: too many transactions wait for earlier ones")]
pub struct Full;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{CHAIN, Wallet, call};

    fn signed(wallet: &Wallet, nonce: u64) -> Signed {
        let raw = wallet.sign(call(nonce, Address::ZERO.into(), []));
        Signed::decode(raw, CHAIN).unwrap()
    }

    #[test]
    fn what_waits_is_taken_by_its_number_once() {
        let (gaps, wallet) = (Gaps::default(), Wallet::new(1));
        let later = signed(&wallet, 3);
        gaps.put(later.clone()).unwrap();
        gaps.put(later.clone()).unwrap();
        assert_eq!(gaps.len(), 1);
        assert_eq!(gaps.find(&later.hash()).unwrap().nonce(), 3);
        let sender = wallet.address();
        assert!(gaps.take(sender, 2).is_none());
        assert!(gaps.take(Wallet::new(2).address(), 3).is_none());
        assert_eq!(gaps.take(sender, 3).unwrap().hash(), later.hash());
        assert!(gaps.take(sender, 3).is_none() && gaps.is_empty());
    }

    #[test]
    fn one_sender_does_not_fill_it() {
        let (gaps, wallet) = (Gaps::default(), Wallet::new(1));
        for nonce in 1..=GAPS_OF_ONE_MAX as u64 {
            gaps.put(signed(&wallet, nonce)).unwrap();
        }
        assert_eq!(gaps.put(signed(&wallet, 1_000)), Err(Full));
        gaps.put(signed(&Wallet::new(2), 1)).unwrap();
    }
}
