//! What has to hold, how often it was looked at, and where it did not.

use serde::Serialize;

/// What has to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Invariant {
    OneRoot,
    RootFirst,
    AsExpected,
    Answered,
    NoFaults,
    RefusalsSayWhy,
    AcceptedAreLogged,
    NothingElseIsLogged,
    VersionsFollow,
    OnceByKey,
    ReceiptsHold,
    HashesHold,
    VerdictsHold,
    DataStays,
    UsersAreAsMade,
    DictionaryIsAsMade,
}

impl Invariant {
    pub(crate) const ALL: [Self; 16] = [
        Self::OneRoot,
        Self::RootFirst,
        Self::AsExpected,
        Self::Answered,
        Self::NoFaults,
        Self::RefusalsSayWhy,
        Self::AcceptedAreLogged,
        Self::NothingElseIsLogged,
        Self::VersionsFollow,
        Self::OnceByKey,
        Self::ReceiptsHold,
        Self::HashesHold,
        Self::VerdictsHold,
        Self::DataStays,
        Self::UsersAreAsMade,
        Self::DictionaryIsAsMade,
    ];

    /// It as a sentence, with what was counted.
    pub(crate) const fn says(self) -> (&'static str, &'static str) {
        match self {
            Self::OneRoot => ("Of all who race for root, exactly one becomes it", "tries"),
            Self::RootFirst => ("The root's creation is the first log", "logs"),
            Self::AsExpected => ("Every answer is of the kind that was expected", "answers"),
            Self::Answered => ("Every request is answered", "requests"),
            Self::NoFaults => ("No answer is the services' own fault (5xx)", "answers"),
            Self::RefusalsSayWhy => ("Every refusal says why, as RFC 9457 has it", "refusals"),
            Self::AcceptedAreLogged => ("Every accepted request has its log, once", "events"),
            Self::NothingElseIsLogged => ("No refused request, and nobody else, has a log", "logs"),
            Self::VersionsFollow => ("The versions of a record are 1, 2, 3, …", "records"),
            Self::OnceByKey => ("Under one Idempotency-Key, a request is done once", "pairs"),
            Self::ReceiptsHold => ("Receipts prove their events offline", "receipts"),
            Self::HashesHold => ("A hash is what its definition gives", "hashes"),
            Self::VerdictsHold => (
                "What was altered is found, what was not is valid",
                "verdicts",
            ),
            Self::DataStays => ("What is read is what was stored", "readings"),
            Self::UsersAreAsMade => (
                "Users have the rights that they were given, no other",
                "users",
            ),
            Self::DictionaryIsAsMade => ("The dictionary is what the root made it", "operations"),
        }
    }
}

/// Where something did not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Violation {
    /// What did not.
    pub(crate) invariant: &'static str,
    /// By what kind of behaviour it was found.
    pub(crate) behaviour: &'static str,
    /// What was done, what had to come of it, and what did.
    pub(crate) what: String,
}

/// Places that are told; all are counted.
const TOLD_MAX: usize = 100;

/// How often each was looked at, and did not hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held {
    counts: [(u64, u64); Invariant::ALL.len()],
    pub(crate) violations: Vec<Violation>,
}

impl Held {
    /// Looks at one; says whether it holds.
    pub(crate) fn check(
        &mut self,
        invariant: Invariant,
        behaviour: &'static str,
        holds: bool,
        what: impl FnOnce() -> String,
    ) -> bool {
        let count = &mut self.counts[invariant as usize];
        count.0 += 1;
        if holds {
            return true;
        }
        count.1 += 1;
        if self.violations.len() < TOLD_MAX {
            self.violations.push(Violation {
                invariant: invariant.says().0,
                behaviour,
                what: what(),
            });
        }
        false
    }

    pub(crate) fn count(&self, invariant: Invariant) -> (u64, u64) {
        self.counts[invariant as usize]
    }

    pub(crate) fn broken(&self) -> u64 {
        self.counts.iter().map(|count| count.1).sum()
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (sum, count) in self.counts.iter_mut().zip(other.counts) {
            sum.0 += count.0;
            sum.1 += count.1;
        }
        let room = TOLD_MAX.saturating_sub(self.violations.len());
        self.violations
            .extend(other.violations.into_iter().take(room));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_invariant_has_its_place() {
        for (place, invariant) in Invariant::ALL.into_iter().enumerate() {
            assert_eq!(invariant as usize, place);
        }
    }

    #[test]
    fn what_does_not_hold_is_counted_always_and_told_a_while() {
        let mut held = Held::default();
        for number in 0..150 {
            held.check(Invariant::OneRoot, "x", false, || number.to_string());
        }
        held.check(Invariant::OneRoot, "x", true, || unreachable!());
        let mut sum = Held::default();
        sum.merge(held.clone());
        sum.merge(held);
        assert_eq!(sum.count(Invariant::OneRoot), (302, 300));
        assert_eq!((sum.broken(), sum.violations.len()), (300, TOLD_MAX));
    }
}
