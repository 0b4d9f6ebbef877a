//! `counterfoil entry`: the ledger's contents.

mod import;
mod list;
mod read;
mod watch;
mod write;

use std::process::ExitCode;

use anyhow::Result;
use client::Entry as Read;

use crate::out::{self, faint, marked, say};

/// Entries.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Entry {
    Write(write::Write),
    Read(read::ReadOne),
    List(list::List),
    Import(import::Import),
    Watch(watch::Watch),
}

impl Entry {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Self::Write(write) => write.run(),
            Self::Read(read) => read.run(),
            Self::List(list) => list.run(),
            Self::Import(import) => import.run(),
            Self::Watch(watch) => watch.run(),
        }
    }
}

/// Shows an entry on one line: for people shortened, as JSON whole.
fn show(entry: &Read, json: bool) {
    if json {
        return out::write_json(entry);
    }
    let id = entry.transaction_id.to_string();
    let tags = match entry.tags.as_slice() {
        [] => String::new(),
        tags => format!(" [{}]", out::one_line(&tags.join(","), 40)),
    };
    say!(
        "{}{}  {}",
        marked(format!("{id:>8}")),
        faint(tags),
        out::one_line(&entry.contents, 160)
    );
}
