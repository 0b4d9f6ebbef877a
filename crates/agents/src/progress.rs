//! How far a run is, for whoever watches it.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// What is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Many want to be the root.
    Race,
    /// The root makes administrators, and they make users.
    Setup,
    /// Friendly and unfriendly requests.
    Requests,
    /// All logs and users are read, and compared with what was done.
    Check,
}

impl Phase {
    const ALL: [Self; 4] = [Self::Race, Self::Setup, Self::Requests, Self::Check];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Race => "racing for root",
            Self::Setup => "making users",
            Self::Requests => "asking",
            Self::Check => "checking",
        }
    }
}

/// Counts that the agents keep up to date.
#[derive(Debug, Default)]
pub struct Progress {
    phase: AtomicU8,
    accepted: AtomicU64,
    refused: AtomicU64,
    other: AtomicU64,
    broken: AtomicU64,
}

/// The counts at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// What is going on.
    pub phase: Phase,
    /// Requests that were done, as they had to be.
    pub accepted: u64,
    /// Requests that were refused, as they had to be.
    pub refused: u64,
    /// Requests that were put off, or are pending.
    pub other: u64,
    /// Answers that should not have been.
    pub broken: u64,
}

impl Seen {
    /// Requests so far.
    pub const fn requests(&self) -> u64 {
        self.accepted + self.refused + self.other + self.broken
    }
}

impl Progress {
    /// How far it is.
    pub fn seen(&self) -> Seen {
        let phase = usize::from(self.phase.load(Ordering::Relaxed));
        Seen {
            phase: Phase::ALL[phase],
            accepted: self.accepted.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            other: self.other.load(Ordering::Relaxed),
            broken: self.broken.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub(crate) fn count(&self, outcome: &crate::expect::Outcome) {
        use crate::expect::Outcome;
        let count = match outcome {
            Outcome::Accepted => &self.accepted,
            Outcome::Refused => &self.refused,
            Outcome::Later | Outcome::Pending => &self.other,
            Outcome::Unanswered(_) | Outcome::Broken(_) => &self.broken,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}
