//! Fail-stop: what cannot be trusted any more must not answer any more.

/// Ends the process. Whatever was acknowledged is durable; whatever was not is unanswered, so no
/// client is told a lie. A supervisor restarts the node, which recovers from its files.
///
/// A failed sync is never retried: the kernel may have dropped the dirty pages, and a second sync
/// would succeed without them (Rebello et al., "Can Applications Recover from fsync Failures?",
/// USENIX ATC 2020).
pub(crate) fn fail_stop(what: &str, error: &dyn std::error::Error) -> ! {
    let mut causes = String::new();
    let mut source = error.source();
    while let Some(cause) = source {
        causes.push_str(": ");
        causes.push_str(&cause.to_string());
        source = cause.source();
    }
    tracing::error!(%error, causes, "{what}; the node stops so that nothing is acknowledged that may be lost");
    std::process::abort()
}
