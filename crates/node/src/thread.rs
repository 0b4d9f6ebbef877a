//! Threads of the node.

use std::io;
use std::thread::{Builder, JoinHandle};

/// Starts a thread whose panic ends the process: a node without it would never answer again.
pub(crate) fn spawn(
    name: &'static str,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    struct EndsWithUs;
    impl Drop for EndsWithUs {
        fn drop(&mut self) {
            if std::thread::panicking() {
                tracing::error!("a thread of the node panicked; the node stops");
                std::process::abort();
            }
        }
    }
    let work = move || {
        let _guard = EndsWithUs;
        work();
    };
    Builder::new().name(name.to_owned()).spawn(work)
}
