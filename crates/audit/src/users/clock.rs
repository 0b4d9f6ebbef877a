//! What time it is: an argument, so that tests say it.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::{Timestamp, millis};

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Milliseconds after the beginning of 1970.
    fn millis(&self) -> i64;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn millis(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, millis)
    }
}

/// A moment that a clock told, so many milliseconds after the beginning of 1970.
pub(super) fn moment(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).expect("the clock is between the years 0 and 9999")
}
