//! `counterfoil entry list`: the entries of a collection.

use std::pin::pin;
use std::process::ExitCode;

use anyhow::Result;
use client::EntryRange;
use futures_util::TryStreamExt;
use verify::TxId;

use crate::commands::block_on;
use crate::connection::ConnectionArgs;

/// List the entries of a collection, in the order of the ledger.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil entry list
  counterfoil entry list --collection lots --from 2.100 --limit 20
  counterfoil entry list --json | jq -r .contents")]
pub(crate) struct List {
    /// The collection.
    #[arg(short, long, value_name = "ID")]
    collection: Option<String>,
    /// Only entries with this tag.
    #[arg(short, long)]
    tag: Option<String>,
    /// From this transaction on.
    #[arg(long, value_name = "TXID")]
    from: Option<TxId>,
    /// Up to and with this transaction.
    #[arg(long, value_name = "TXID")]
    to: Option<TxId>,
    /// So many at the most.
    #[arg(short, long, value_name = "COUNT")]
    limit: Option<usize>,
    /// Print each entry as one line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl List {
    pub(super) fn run(self) -> Result<ExitCode> {
        let client = self.connection.client()?;
        let range = EntryRange {
            collection_id: self.collection,
            tag: self.tag,
            from: self.from,
            to: self.to,
        };
        block_on(async {
            let mut entries = pin!(client.entries(&range));
            let mut left = self.limit.unwrap_or(usize::MAX);
            while left > 0 {
                let Some(entry) = entries.try_next().await? else {
                    break;
                };
                super::show(&entry, self.json);
                left -= 1;
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}
