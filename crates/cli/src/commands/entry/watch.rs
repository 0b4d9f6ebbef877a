//! `counterfoil entry watch`: entries as they are committed.

use std::pin::pin;
use std::process::ExitCode;

use anyhow::Result;
use futures_util::TryStreamExt;
use verify::TxId;

use crate::commands::block_on;
use crate::connection::ConnectionArgs;

/// Show entries as they are committed, until Ctrl-C. Lost connections are made again.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil entry watch
  counterfoil entry watch --collection lots --after 2.100 --json | ./react.sh")]
pub(crate) struct Watch {
    /// The collection.
    #[arg(short, long, value_name = "ID")]
    collection: Option<String>,
    /// Begin after this transaction; without it, with what comes now.
    #[arg(long, value_name = "TXID")]
    after: Option<TxId>,
    /// End after so many entries.
    #[arg(short, long, value_name = "COUNT")]
    limit: Option<usize>,
    /// Print each entry as one line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl Watch {
    pub(super) fn run(self) -> Result<ExitCode> {
        let client = self.connection.client()?;
        block_on(async {
            let mut entries = pin!(client.watch(self.collection.as_deref(), self.after));
            let mut left = self.limit.unwrap_or(usize::MAX);
            while left > 0 {
                let next = tokio::select! {
                    next = entries.try_next() => next?,
                    stop = tokio::signal::ctrl_c() => {
                        stop?;
                        break;
                    }
                };
                let Some(entry) = next else { break };
                super::show(&entry, self.json);
                left -= 1;
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}
