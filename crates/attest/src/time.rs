//! The time at which evidence is judged: an argument, never a clock.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Seconds since 1970-01-01 00:00:00 UTC, leap seconds not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// A time of a certificate; what lies before 1970 becomes 1970.
    pub(crate) fn of_certificate(seconds: i64) -> Self {
        Self(u64::try_from(seconds).unwrap_or(0))
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unix time {}", self.0)
    }
}
