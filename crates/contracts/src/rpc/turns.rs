//! Who runs a call now, and who waits to.

use std::num::NonZeroUsize;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use super::error::RpcError;
use crate::limits::CALLS_WAITING_MAX;

/// Waits until there is a core to run a call on.
///
/// # Errors
/// Too many wait already.
pub(super) fn take() -> Result<Turn<'static>, RpcError> {
    TURNS.take()
}

/// The cores are the process's, so all chains in it share them.
static TURNS: Turns = Turns::new();

/// Who runs a call, and how many wait to: what a call does with its gas takes a core and up to some
/// hundred megabytes, for a second or so.
struct Turns {
    taken: Mutex<Taken>,
    left: Condvar,
}

struct Taken {
    running: usize,
    waiting: usize,
}

/// A core to run a call on, until it is dropped.
pub(super) struct Turn<'a>(&'a Turns);

impl Turns {
    const fn new() -> Self {
        Self {
            taken: Mutex::new(Taken {
                running: 0,
                waiting: 0,
            }),
            left: Condvar::new(),
        }
    }

    /// Waits until there is a core.
    ///
    /// # Errors
    /// Too many wait already.
    fn take(&self) -> Result<Turn<'_>, RpcError> {
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        let mut taken = self.lock();
        if taken.running >= cores {
            if taken.waiting >= CALLS_WAITING_MAX {
                return Err(RpcError::busy("too many calls at once: try again later"));
            }
            taken.waiting += 1;
            let until = self.left.wait_while(taken, |taken| taken.running >= cores);
            taken = until.unwrap_or_else(PoisonError::into_inner);
            taken.waiting -= 1;
        }
        taken.running += 1;
        Ok(Turn(self))
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Each change is one step: a panic elsewhere leaves the counts right.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
        self.0.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    #[test]
    fn no_more_calls_run_than_there_are_cores_and_no_more_wait_than_may() {
        let turns = Turns::new();
        let cores = available_parallelism().unwrap().get();
        let held: Vec<Turn<'_>> = (0..cores).map(|_| turns.take().unwrap()).collect();
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..CALLS_WAITING_MAX {
                scope.spawn(|| {
                    let _turn = turns.take().unwrap();
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    now.fetch_sub(1, Ordering::SeqCst);
                });
            }
            while turns.lock().waiting < CALLS_WAITING_MAX {
                thread::yield_now();
            }
            assert!(turns.take().is_err());
            drop(held);
        });
        assert!(most.into_inner() <= cores);
        let taken = turns.lock();
        assert_eq!((taken.running, taken.waiting), (0, 0));
    }
}
