//! How many requests one source and one caller may send. Pure, given the time.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;

use super::Limits;
use crate::limits::RATES_REMEMBERED;
use crate::users::UserId;

/// Whose requests are counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// All from there.
    Source(IpAddr),
    /// All of a user, wherever from.
    Caller(UserId),
}

/// A bucket for each, as the time at which it is full again (the generic cell rate algorithm).
#[derive(Debug)]
pub(super) struct Rates {
    /// How long one request takes to be earned back.
    each: Duration,
    /// How long all of a burst takes.
    all: Duration,
    full_at: Mutex<LruCache<Key, Instant>>,
}

impl Rates {
    pub(super) fn new(limits: Limits) -> Self {
        // Nothing at all for anybody is no limit that somebody means.
        let each = Duration::from_secs(1) / limits.requests_per_second.max(1);
        let capacity = NonZeroUsize::new(RATES_REMEMBERED).expect("the limit is not zero");
        Self {
            each,
            all: each * limits.burst.max(1),
            full_at: Mutex::new(LruCache::new(capacity)),
        }
    }

    /// Takes one request.
    ///
    /// # Errors
    /// How long to wait until there is one again.
    pub(super) fn take(&self, key: Key, now: Instant) -> Result<(), Duration> {
        // Nobody panics while holding it; if so, counts are counts.
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let at = full_at.get_or_insert_mut(key, || now);
        let next = (*at).max(now) + self.each;
        let latest = now + self.all;
        if next > latest {
            return Err(next - latest);
        }
        *at = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last: u8) -> Key {
        Key::Source([203, 0, 113, last].into())
    }

    #[test]
    fn a_burst_is_free_and_then_it_goes_at_the_pace() {
        let rates = Rates::new(Limits {
            requests_per_second: 10,
            burst: 3,
        });
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        for _ in 0..3 {
            rates.take(source(1), at(0)).unwrap();
        }
        let wait = rates.take(source(1), at(0)).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        rates.take(source(2), at(0)).unwrap();
        // Refused ones cost nothing: whoever waits as long as they are told gets one.
        rates.take(source(1), at(99)).unwrap_err();
        rates.take(source(1), at(100)).unwrap();
        rates.take(source(1), at(100)).unwrap_err();
        // After a pause there is a burst again, and no more than one.
        for _ in 0..3 {
            rates.take(source(1), at(60_000)).unwrap();
        }
        rates.take(source(1), at(60_000)).unwrap_err();
    }

    #[test]
    fn those_who_were_longest_quiet_are_forgotten_first() {
        let rates = Rates::new(Limits {
            requests_per_second: 1,
            burst: 1,
        });
        let now = Instant::now();
        rates.take(source(1), now).unwrap();
        for number in 0..u32::try_from(RATES_REMEMBERED).unwrap() {
            let [a, b, c, _] = number.to_be_bytes();
            let [.., d] = number.to_be_bytes();
            rates
                .take(Key::Source([10 + a, b, c, d].into()), now)
                .unwrap();
        }
        assert_eq!(rates.full_at.lock().unwrap().len(), RATES_REMEMBERED);
        rates.take(source(1), now).unwrap();
    }
}
