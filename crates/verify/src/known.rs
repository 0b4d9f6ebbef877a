//! What a verifier has found true already, so that it need not check it again.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{PoisonError, RwLock};

/// A bounded set of facts; cheap to forget, because each can be checked again.
#[derive(Debug)]
pub(crate) struct Known<T> {
    facts: RwLock<HashSet<T>>,
    most: usize,
}

impl<T: Eq + Hash> Known<T> {
    /// Nothing yet, and never more than `most`.
    pub(crate) fn up_to(most: usize) -> Self {
        Self {
            facts: RwLock::default(),
            most,
        }
    }

    pub(crate) fn has(&self, fact: &T) -> bool {
        // Facts are only ever added whole: a thread that panicked left none half there.
        let facts = self.facts.read().unwrap_or_else(PoisonError::into_inner);
        facts.contains(fact)
    }

    pub(crate) fn add(&self, fact: T) {
        let mut facts = self.facts.write().unwrap_or_else(PoisonError::into_inner);
        if facts.len() >= self.most {
            facts.clear();
        }
        facts.insert(fact);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_holds_more_than_it_may() {
        let known = Known::up_to(3);
        for fact in 0..100 {
            known.add(fact);
            assert!(known.has(&fact));
            assert!(known.facts.read().unwrap().len() <= 3);
        }
        assert!(!known.has(&0));
    }
}
