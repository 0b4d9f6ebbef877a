//! What the ledger takes of entries: what the operator says, unless members decided otherwise.

use std::sync::{PoisonError, RwLock};

use ledger::State;
use ledger::entries::EntryLimits;
use ledger::governance::service::entry_limits;

/// Limits that follow the members' decisions.
pub(crate) struct GovernedLimits {
    own: EntryLimits,
    /// What held at an access version; asked for with every write.
    known: RwLock<Option<(u64, EntryLimits)>>,
}

impl GovernedLimits {
    /// What the operator says.
    pub(crate) const fn new(own: EntryLimits) -> Self {
        Self {
            own,
            known: RwLock::new(None),
        }
    }

    /// What holds in `state`, which is at least as new as `access_version`.
    pub(crate) fn at(&self, access_version: u64, state: &dyn State) -> EntryLimits {
        let known = *self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((version, limits)) = known
            && version == access_version
        {
            return limits;
        }
        let limits = entry_limits(state, self.own);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        *known = Some((access_version, limits));
        limits
    }
}

#[cfg(test)]
mod tests {
    use ledger::kv::{MemoryState, Tx};
    use ledger::tables::FEATURES;
    use verify::Digest;

    use super::*;

    #[test]
    fn what_members_decide_holds_from_the_next_access_version_on() {
        let limits = GovernedLimits::new(EntryLimits::default());
        let mut state = MemoryState::default();
        assert_eq!(limits.at(1, &state), EntryLimits::default());
        state
            .run(|tx: &mut Tx<'_>| {
                tx.put(FEATURES, *b"limits", *br#"{"contents_bytes":10}"#);
                Ok(Digest::ZERO)
            })
            .unwrap();
        assert_eq!(limits.at(1, &state), EntryLimits::default());
        assert_eq!(limits.at(2, &state).contents_bytes, 10);
    }
}
