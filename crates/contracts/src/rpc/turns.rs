//! Who runs a call now, and who waits to.

use std::num::NonZeroUsize;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::error::RpcError;
use crate::limits::CALLS_WAITING_MAX;

/// The cores are the process's, so all chains in it share them.
static TURNS: LazyLock<Turns> = LazyLock::new(|| Turns {
    cores: Semaphore::new(available_parallelism().map_or(1, NonZeroUsize::get)),
    waiting: AtomicUsize::new(0),
});

/// What a call does with its gas takes a core and up to some hundred megabytes, for a second or so. Those
/// that wait have no thread: each that ran calls keeps memory for the next.
struct Turns {
    cores: Semaphore,
    waiting: AtomicUsize,
}

/// Runs a call when there is a core for it.
///
/// # Errors
/// Too many wait already, or what the call says.
pub(super) async fn run<T, E>(call: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<RpcError> + Send + 'static,
{
    TURNS.run(call).await
}

impl Turns {
    async fn run<T, E>(
        &'static self,
        call: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<RpcError> + Send + 'static,
    {
        let core = match self.cores.try_acquire() {
            Ok(core) => core,
            Err(_) => {
                let _waiting = Waiting::one_more(&self.waiting)?;
                self.cores.acquire().await.expect("it is never closed")
            }
        };
        let ran = spawn_blocking(move || {
            let _core = core;
            call()
        });
        let stopping = |_| Err(RpcError::server("the node is stopping").into());
        ran.await.unwrap_or_else(stopping)
    }
}

/// One of those that wait, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn one_more(waiting: &'a AtomicUsize) -> Result<Self, RpcError> {
        let one = Self(waiting);
        if waiting.fetch_add(1, Ordering::Relaxed) >= CALLS_WAITING_MAX {
            return Err(RpcError::busy("too many calls at once: try again later"));
        }
        Ok(one)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::thread;
    use std::time::Duration;

    #[tokio::test(flavor = "multi_thread")]
    async fn no_more_calls_run_than_there_are_cores_and_no_more_wait_than_may() {
        const CORES: usize = 2;
        static TURNS: Turns = Turns {
            cores: Semaphore::const_new(CORES),
            waiting: AtomicUsize::new(0),
        };
        // Nobody ends before it is open.
        static OPEN: AtomicBool = AtomicBool::new(false);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let calls: Vec<_> = (0..CORES + CALLS_WAITING_MAX)
            .map(|_| {
                let (now, most) = (Arc::clone(&now), Arc::clone(&most));
                tokio::spawn(TURNS.run(move || {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    while !OPEN.load(Ordering::SeqCst) {
                        thread::sleep(Duration::from_millis(1));
                    }
                    now.fetch_sub(1, Ordering::SeqCst);
                    Ok::<_, RpcError>(())
                }))
            })
            .collect();
        // A call has its core before a thread runs it.
        while TURNS.waiting.load(Ordering::Relaxed) < CALLS_WAITING_MAX
            || now.load(Ordering::SeqCst) < CORES
        {
            tokio::task::yield_now().await;
        }
        let refused = TURNS.run(|| Ok::<_, RpcError>(())).await;
        assert!(refused.is_err());
        OPEN.store(true, Ordering::SeqCst);
        for call in calls {
            call.await.unwrap().unwrap();
        }
        assert_eq!(most.load(Ordering::SeqCst), CORES);
        assert_eq!(TURNS.waiting.load(Ordering::Relaxed), 0);
    }
}
