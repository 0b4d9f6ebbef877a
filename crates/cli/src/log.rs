//! Logs: events with fields, on standard error.

use tracing_subscriber::EnvFilter;

/// What is logged, and how.
#[derive(clap::Args, Debug)]
pub(crate) struct LogArgs {
    /// What to log: `warn`, `info`, `debug`, or directives such as `info,hyper=warn`.
    #[arg(
        long,
        global = true,
        env = "RUST_LOG",
        value_name = "FILTER",
        help_heading = "Logs"
    )]
    log: Option<String>,
    /// Log as JSON, one event a line.
    #[arg(
        long,
        global = true,
        env = "COUNTERFOIL_LOG_JSON",
        help_heading = "Logs"
    )]
    log_json: bool,
}

/// Starts logging to standard error.
pub(crate) fn start(args: &LogArgs, default: &str) {
    let filter = EnvFilter::new(args.log.as_deref().unwrap_or(default));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if args.log_json {
        builder.json().init();
    } else {
        let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
        builder.with_ansi(colours).with_target(false).init();
    }
}
