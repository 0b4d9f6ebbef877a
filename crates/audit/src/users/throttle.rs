//! How long somebody waits after wrong passwords: longer each time.
//!
//! An attempt counts as failed from its beginning, and is forgiven when it succeeds: so a thousand that begin
//! at once are not a thousand free guesses. Failures for an account are kept in the database, whether it
//! exists or not; those from a source are remembered here.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use lru::LruCache;

use crate::Problem;
use crate::limits::{FAILURE_DELAY_MAX, FAILURE_MEMORY, FAILURES_FREE_SOURCE, SOURCES_REMEMBERED};
use crate::model::millis;

/// The wait after so many failures, of which some are free: a second, then twice as long each time.
pub(super) fn delay(failures: u32, free: u32) -> Duration {
    let Some(doubled) = failures.checked_sub(free.saturating_add(1)) else {
        return Duration::ZERO;
    };
    let seconds = 1_u64.checked_shl(doubled).unwrap_or(u64::MAX);
    Duration::from_secs(seconds).min(FAILURE_DELAY_MAX)
}

/// When a wait that begins now is over. No wait was over long ago: of two that come at once, the one that took
/// its time first may come second.
pub(super) fn until(now: i64, delay: Duration) -> i64 {
    if delay.is_zero() {
        0
    } else {
        now + millis(delay)
    }
}

/// Tells somebody to wait for so many milliseconds.
pub(super) fn wait(millis: i64) -> Problem {
    let seconds = millis.max(1).unsigned_abs().div_ceil(1_000);
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "TooManyAttempts",
        format!("too many attempts have failed: try again in {seconds} seconds"),
    )
    .after(seconds)
}

/// Failures by where they came from.
pub(super) struct Sources(Mutex<LruCache<String, Failures>>);

#[derive(Clone, Copy, Default)]
struct Failures {
    count: u32,
    at: i64,
    until: i64,
}

impl Default for Sources {
    fn default() -> Self {
        let capacity = NonZeroUsize::new(SOURCES_REMEMBERED).expect("the limit is not zero");
        Self(Mutex::new(LruCache::new(capacity)))
    }
}

impl Sources {
    /// Begins an attempt.
    ///
    /// # Errors
    /// The source has to wait first.
    pub(super) fn begin(&self, place: &str, now: i64) -> Result<(), Problem> {
        let mut sources = self.lock();
        let failures = sources.get_or_insert_mut(source(place), Failures::default);
        if failures.until > now {
            return Err(wait(failures.until - now));
        }
        if failures.at < now - millis(FAILURE_MEMORY) {
            failures.count = 0;
        }
        failures.count = failures.count.saturating_add(1);
        failures.at = now;
        failures.until = until(now, delay(failures.count, FAILURES_FREE_SOURCE));
        Ok(())
    }

    /// Forgives one attempt, which succeeded. The others stay: one's own account is no way to try others.
    pub(super) fn succeeded(&self, place: &str) {
        if let Some(failures) = self.lock().get_mut(&source(place)) {
            failures.count = failures.count.saturating_sub(1);
            failures.until = 0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<String, Failures>> {
        // Nobody panics while holding it; if so, counts are counts.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where they came from; a place that is no address is itself.
fn source(place: &str) -> String {
    match place.parse() {
        Ok(address) => crate::source::source(address).to_string(),
        Err(_) => place.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_after_the_free_failures_and_has_an_end() {
        let seconds: Vec<_> = (4..10)
            .map(|failures| delay(failures, 5).as_secs())
            .collect();
        assert_eq!(seconds, [0, 0, 1, 2, 4, 8]);
        assert_eq!(delay(u32::MAX, 5), FAILURE_DELAY_MAX);
        assert_eq!(delay(100, 5), FAILURE_DELAY_MAX);
    }

    #[test]
    fn a_source_that_fails_often_waits_and_others_do_not() {
        let sources = Sources::default();
        for _ in 0..=FAILURES_FREE_SOURCE {
            sources.begin("203.0.113.7", 0).unwrap();
        }
        let refused = sources.begin("203.0.113.7", 100).unwrap_err();
        assert_eq!(
            (refused.status, refused.kind.as_str()),
            (429, "TooManyAttempts")
        );
        assert_eq!(refused.retry_after, Some(1));
        assert!(
            refused.detail.ends_with("try again in 1 seconds"),
            "{refused}"
        );
        sources.begin("203.0.113.8", 100).unwrap();
        sources.begin("203.0.113.7", 1_000).unwrap();
    }

    #[test]
    fn who_overtakes_another_does_not_wait() {
        let sources = Sources::default();
        sources.begin("here", 1_000).unwrap();
        sources.begin("here", 999).unwrap();
        sources.succeeded("here");
        sources.begin("here", 998).unwrap();
    }

    #[test]
    fn one_success_does_not_forgive_the_failures_before_it() {
        let sources = Sources::default();
        for _ in 0..=FAILURES_FREE_SOURCE {
            sources.begin("here", 0).unwrap();
        }
        sources.succeeded("here");
        sources.begin("here", 0).unwrap();
        sources.begin("here", 0).unwrap_err();
    }

    #[test]
    fn failures_are_forgotten_after_a_while() {
        let sources = Sources::default();
        for _ in 0..=FAILURES_FREE_SOURCE {
            sources.begin("here", 0).unwrap();
        }
        let later = millis(FAILURE_MEMORY) + 1;
        for _ in 0..=FAILURES_FREE_SOURCE {
            sources.begin("here", later).unwrap();
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        assert_eq!(source("2001:db8:1:2::1"), source("2001:db8:1:2:3:4:5:6"));
        assert_eq!(source("no address"), "no address");
    }
}
