//! When a batch is closed, once the log is free to take it.
//!
//! Each batch costs a signature and a sync, whatever it holds. A lone writer's batch is closed at
//! once. Where many write at the same time, those who were answered with the last batch are about to
//! write again; a moment's patience puts them into one batch instead of two, and halves that cost.

use std::time::{Duration, Instant};

/// Below this many callers at a time a write waits for nobody.
const CROWD: usize = 8;

/// The longest that a batch waits for callers who are expected back: about what it takes a few dozen
/// of them on a small machine to read their answers and write again.
const PATIENCE: Duration = Duration::from_millis(2);

/// Remembers who is expected back.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Callers in the batch that the log took last.
    last: usize,
    /// Callers in that batch and in the one that was filled meanwhile: all who write just now. Some
    /// are always on their way and seen in neither, so it shrinks by a quarter at a time.
    crowd: usize,
    free_since: Option<Instant>,
}

/// What a batch should still wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    /// This many more callers,
    pub(crate) callers: usize,
    /// or the end of this time.
    pub(crate) left: Duration,
}

impl Pace {
    /// The log is free to take a batch from now on; the one being filled has this many callers.
    pub(crate) fn log_is_free(&mut self, callers: usize, now: Instant) {
        let seen = self.last + callers;
        self.crowd = seen.max(self.crowd - self.crowd.div_ceil(4));
        self.free_since = Some(now);
    }

    /// A batch with this many callers goes to the log.
    pub(crate) fn closed(&mut self, callers: usize) {
        self.last = callers;
    }

    /// What a batch with this many callers should still wait for; `None` to close it now.
    pub(crate) fn wait(&self, callers: usize, now: Instant) -> Option<Patience> {
        if self.crowd < CROWD || callers >= self.crowd {
            return None;
        }
        let waited = now.saturating_duration_since(self.free_since?);
        let left = PATIENCE
            .checked_sub(waited)
            .filter(|left| !left.is_zero())?;
        Some(Patience {
            callers: self.crowd - callers,
            left,
        })
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
            assert_eq!(pace.wait(1, now), None);
            pace.closed(1);
            pace.log_is_free(0, now);
        }
    }

    #[test]
    fn a_crowd_is_waited_for_until_it_is_back_but_not_for_long() {
        let mut pace = Pace::default();
        let now = Instant::now();
        pace.closed(40);
        pace.log_is_free(24, now);
        let expected = Patience {
            callers: 34,
            left: PATIENCE,
        };
        assert_eq!(pace.wait(30, now), Some(expected));
        assert_eq!(pace.wait(64, now), None);
        assert_eq!(pace.wait(30, now + PATIENCE), None);
    }

    #[test]
    fn a_crowd_is_expected_whole_although_some_are_always_on_their_way() {
        let mut pace = Pace::default();
        let now = Instant::now();
        pace.closed(64);
        pace.log_is_free(0, now);
        pace.closed(40);
        pace.log_is_free(10, now);
        assert_eq!(pace.wait(10, now).map(|wait| wait.callers), Some(40));
    }

    #[test]
    fn a_crowd_that_left_is_forgotten_within_a_few_batches() {
        let mut pace = Pace::default();
        let now = Instant::now();
        pace.closed(64);
        let waited = (0..100).take_while(|_| {
            pace.log_is_free(0, now);
            pace.closed(1);
            pace.wait(1, now).is_some()
        });
        assert!(waited.count() <= 8);
    }
}
