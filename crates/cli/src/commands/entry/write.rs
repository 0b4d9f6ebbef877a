//! `counterfoil entry write`: record something and keep the receipt.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use client::{ClientError, NewEntry};
use serde::Serialize;
use verify::TxId;

use crate::commands::block_on;
use crate::connection::ConnectionArgs;
use crate::out::{self, bold, faint, good, say};
use crate::report::Failure;

/// Write an entry and wait until it is committed.
///
/// The receipt comes with the answer and is checked: against the service certificate, and against
/// what was written.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil entry write 'lot 7 harvested'
  counterfoil entry write --collection lots --receipt lot7.json 'lot 7 harvested'
  echo '{\"lot\": 7}' | counterfoil entry write -")]
pub(crate) struct Write {
    /// The contents; - for standard input.
    #[arg(default_value = "-")]
    text: String,
    /// The collection, which begins with its first entry.
    #[arg(short, long, value_name = "ID")]
    collection: Option<String>,
    /// A tag to find it by; may be repeated. Public ledgers only.
    #[arg(short, long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Keep the receipt in a file.
    #[arg(short, long, value_name = "FILE", conflicts_with = "no_wait")]
    receipt: Option<PathBuf>,
    /// Do not wait for the commit; there is no receipt yet then.
    #[arg(long)]
    no_wait: bool,
    /// Print the result as one line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    transaction_id: TxId,
    #[serde(skip_serializing_if = "Option::is_none")]
    collection_id: Option<String>,
    state: &'static str,
    receipt_verified: bool,
}

impl Write {
    pub(super) fn run(self) -> Result<ExitCode> {
        let contents = match self.text.as_str() {
            "-" => read_standard_input()?,
            text => text.to_owned(),
        };
        let client = self.connection.client()?;
        let entry = NewEntry {
            contents,
            collection_id: self.collection,
            tags: self.tags,
        };
        if self.no_wait {
            let id = block_on(async { written(client.append_without_waiting(&entry).await) })?;
            let written = Written {
                transaction_id: id,
                collection_id: entry.collection_id,
                state: "Pending",
                receipt_verified: false,
            };
            match self.json {
                true => out::write_json(&written),
                false => say!("{} has a place and is not committed yet", bold(id)),
            }
            return Ok(ExitCode::SUCCESS);
        }
        let recorded = block_on(async { written(client.append(&entry).await) })?;
        if let Some(path) = &self.receipt {
            let json = client::receipt_json(&recorded.receipt);
            std::fs::write(path, json + "\n").map_err(Failure::writing(path))?;
        }
        let receipt_verified = !self.connection.no_verify;
        if self.json {
            out::write_json(&Written {
                transaction_id: recorded.id,
                collection_id: Some(recorded.collection_id),
                state: "Committed",
                receipt_verified,
            });
            return Ok(ExitCode::SUCCESS);
        }
        let checked = if receipt_verified {
            "receipt verified"
        } else {
            "receipt not checked"
        };
        say!(
            "{} {} in {} {}",
            bold(recorded.id),
            good("committed"),
            recorded.collection_id,
            faint(format!("({checked})"))
        );
        Ok(ExitCode::SUCCESS)
    }
}

/// Says what a failure means for the entry.
fn written<T>(result: Result<T, ClientError>) -> Result<T> {
    let context = match &result {
        Err(error) if error.may_be_recorded() => "the entry may or may not be recorded",
        _ => "the entry was not recorded",
    };
    result.context(context)
}

fn read_standard_input() -> Result<String> {
    if std::io::stdin().is_terminal() {
        eprintln!("reading the entry from the terminal; end it with Ctrl-D");
    }
    let mut text = String::new();
    let read = std::io::stdin().lock().read_to_string(&mut text);
    read.map_err(Failure::reading(Path::new("standard input")))?;
    // The line end that `echo` and editors add is nobody's content.
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}
