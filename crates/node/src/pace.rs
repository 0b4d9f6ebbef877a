//! When a batch is closed, once the log is free to take it.
//!
//! Each batch costs two signatures and a sync, whatever it holds. A lone writer's batch is closed at
//! once. Where many write at the same time, those who were answered with the last batch are about to
//! write again; a moment's patience puts them into one batch instead of two, and halves that cost.

use std::time::{Duration, Instant};

/// Below this many callers at a time a write waits for nobody.
const CROWD: usize = 8;

/// The longest that a batch waits for callers who are expected back: a fraction of what a sync
/// usually takes on a shared disk, and some multiples of what signing costs.
const PATIENCE: Duration = Duration::from_micros(700);

/// Remembers how many callers the last batches had.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Callers in the batch that the log took last.
    last: usize,
    /// Callers in the one before it.
    before_last: usize,
    free_since: Option<Instant>,
}

impl Pace {
    /// The log is free to take a batch from now on.
    pub(crate) fn log_is_free(&mut self, now: Instant) {
        self.free_since = Some(now);
    }

    /// A batch with this many callers goes to the log.
    pub(crate) fn closed(&mut self, callers: usize) {
        self.before_last = self.last;
        self.last = callers;
    }

    /// How much longer a batch with this many callers should wait; `None` to close it now.
    pub(crate) fn wait(&self, callers: usize, now: Instant) -> Option<Duration> {
        let expected = self.last + self.before_last;
        if expected < CROWD || callers >= expected {
            return None;
        }
        let waited = self
            .free_since
            .map_or(PATIENCE, |since| now.saturating_duration_since(since));
        PATIENCE.checked_sub(waited).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_writer_waits_for_nobody() {
        let mut pace = Pace::default();
        let now = Instant::now();
        for _ in 0..3 {
            pace.log_is_free(now);
            assert_eq!(pace.wait(1, now), None);
            pace.closed(1);
        }
    }

    #[test]
    fn a_crowd_is_waited_for_until_it_is_back_but_not_for_long() {
        let mut pace = Pace::default();
        let now = Instant::now();
        pace.closed(32);
        pace.closed(32);
        pace.log_is_free(now);
        assert_eq!(pace.wait(40, now), Some(PATIENCE));
        assert_eq!(pace.wait(64, now), None);
        assert_eq!(pace.wait(40, now + PATIENCE), None);
    }

    #[test]
    fn a_crowd_that_left_is_forgotten_after_two_batches() {
        let mut pace = Pace::default();
        let now = Instant::now();
        pace.closed(64);
        pace.closed(1);
        pace.closed(1);
        pace.log_is_free(now);
        assert_eq!(pace.wait(1, now), None);
    }
}
