//! `counterfoil receipt`: fetch a receipt, checked, to be kept.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use verify::TxId;

use super::block_on;
use crate::connection::ConnectionArgs;
use crate::out;
use crate::report::Failure;

/// Receipts.
#[derive(Subcommand, Debug)]
pub(crate) enum Receipt {
    Get(Get),
}

impl Receipt {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Self::Get(get) => get.run(),
        }
    }
}

/// Fetch the receipt of a transaction.
///
/// It is checked before it is handed out. Keep it with the service certificate: together they prove
/// the entry offline, for ever, also after the ledger is gone.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil receipt get 2.17 -o receipt.json
  counterfoil receipt get 2.17 --cose -o receipt.cose
  counterfoil receipt get 2.17 --cosignatures -o receipt.json
  counterfoil receipt get 2.17 | jq .applicationClaims")]
pub(crate) struct Get {
    /// The transaction, for example 2.17.
    transaction: TxId,
    /// As COSE (RFC 9942): shorter, without the entry's contents.
    #[arg(long)]
    cose: bool,
    /// With a checkpoint that the nodes of the network countersigned, those that answer in a moment:
    /// for `counterfoil verify --require`.
    #[arg(long, conflicts_with = "cose")]
    cosignatures: bool,
    /// Write to a file, not to standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl Get {
    fn run(self) -> Result<ExitCode> {
        if self.cose && self.output.is_none() && out::is_terminal() {
            let failure = Failure::unreadable("a COSE receipt is not text for a terminal");
            return Err(failure.hint("say -o receipt.cose").into());
        }
        let client = self.connection.client()?;
        let id = self.transaction;
        let bytes = block_on(async {
            if self.cose {
                return Ok(client.cose_receipt(id).await?.to_vec());
            }
            let receipt = match self.cosignatures {
                true => client.cosigned_receipt(id).await?,
                false => client.receipt(id).await?,
            };
            let mut json = client::receipt_json(&receipt).into_bytes();
            json.push(b'\n');
            Ok(json)
        })?;
        match self.output {
            Some(path) => std::fs::write(&path, bytes).map_err(Failure::writing(&path))?,
            None => out::write_bytes(&bytes),
        }
        Ok(ExitCode::SUCCESS)
    }
}
