//! `counterfoil entry read`: one entry.

use std::process::ExitCode;

use anyhow::Result;
use verify::TxId;

use crate::commands::block_on;
use crate::connection::ConnectionArgs;
use crate::out::{self, say};

/// Read an entry: its contents and nothing else, or all of it with --json.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil entry read 2.17
  counterfoil entry read --collection lots          the newest one
  counterfoil entry read 2.17 --collection lots     what `lots` was as of 2.17")]
pub(crate) struct ReadOne {
    /// The transaction that wrote it; without one, the newest entry of the collection.
    transaction: Option<TxId>,
    /// The collection.
    #[arg(short, long, value_name = "ID")]
    collection: Option<String>,
    /// Print the entry as one line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl ReadOne {
    pub(super) fn run(self) -> Result<ExitCode> {
        let client = self.connection.client()?;
        let collection = self.collection.as_deref();
        let entry = block_on(async {
            Ok(match (self.transaction, collection) {
                (Some(id), Some(collection)) => client.entry_as_of(id, collection).await?,
                (Some(id), None) => client.entry(id).await?,
                (None, collection) => client.current(collection).await?,
            })
        })?;
        match self.json {
            true => out::write_json(&entry),
            false => say!("{}", entry.contents),
        }
        Ok(ExitCode::SUCCESS)
    }
}
