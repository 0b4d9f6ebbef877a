//! What time it is: an argument, so that tests say it.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::millis;

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
