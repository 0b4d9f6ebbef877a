//! `counterfoil entry import`: many entries from a file, batch by batch.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use client::{BatchAnswer, Client, NewEntry};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use serde::Serialize;
use verify::TxId;

use crate::commands::block_on;
use crate::connection::ConnectionArgs;
use crate::out::{self, bold, faint, good, say};
use crate::report::Failure;

/// Contents of one request, bytes: large enough to be cheap, small enough to be read while the
/// batch before it is committed.
const BATCH_BYTES: usize = 4 << 20;

/// Write the lines of a file, each as an entry of its own.
///
/// Every line is the contents of one entry; empty lines are left out. Lines are sent in batches, in
/// order, each committed before the next is sent. At the first error the import ends and says which
/// lines are recorded, so that it can go on from there with --skip.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil entry import events.ndjson
  counterfoil entry import --collection apt --batch 5000 events.ndjson
  journalctl -o json | counterfoil entry import --collection journal -")]
pub(crate) struct Import {
    /// The file; - for standard input.
    file: PathBuf,
    /// The collection.
    #[arg(short, long, value_name = "ID")]
    collection: Option<String>,
    /// A tag for every entry; may be repeated. Public ledgers only.
    #[arg(short, long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Lines in one request.
    #[arg(long, default_value_t = 1_000, value_parser = parse_batch)]
    batch: usize,
    /// Lines to leave out at the beginning.
    #[arg(long, default_value_t = 0, value_name = "LINES")]
    skip: u64,
    /// Print the transaction of each line as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

fn parse_batch(text: &str) -> Result<usize, String> {
    let limit = client::limits::BATCH_ENTRIES_MAX;
    match text.parse() {
        Ok(count @ 1..) if count <= limit => Ok(count),
        _ => Err(format!("a batch has 1 to {limit} entries")),
    }
}

/// How far an import got.
#[derive(Debug, Default)]
pub(crate) struct Imported {
    /// Entries that are committed.
    pub(crate) entries: u64,
    /// Line of the last of them.
    pub(crate) last_line: u64,
    /// The first and the last of them.
    pub(crate) span: Option<(TxId, TxId)>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    line: u64,
    transaction_id: TxId,
}

impl Import {
    pub(super) fn run(self) -> Result<ExitCode> {
        let client = self.connection.client()?;
        let (input, bytes) = open(&self.file)?;
        let bar = progress(bytes);
        let input = BufReader::with_capacity(1 << 20, bar.wrap_read(input));
        let started = Instant::now();
        let mut imported = Imported::default();
        let outcome = block_on(self.import(&client, input, &mut imported));
        bar.finish_and_clear();
        if let Err(error) = outcome {
            let failure = Failure::new(match imported.last_line {
                0 => "the import ended early; no line before this was recorded".to_owned(),
                line => format!("the import ended early; all lines up to {line} are recorded"),
            });
            let source: Box<dyn std::error::Error + Send + Sync> = error.into();
            return Err(failure.because(source).into());
        }
        if !self.json {
            summary(&imported, started.elapsed().as_secs_f64());
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn import(
        &self,
        client: &Client,
        input: impl BufRead,
        imported: &mut Imported,
    ) -> Result<()> {
        let mut batch: Vec<(u64, NewEntry)> = Vec::new();
        let mut bytes = 0;
        for (line, number) in input.lines().zip(1..) {
            let line = line.with_context(|| format!("cannot read line {number}"))?;
            if number <= self.skip || line.trim().is_empty() {
                continue;
            }
            bytes += line.len();
            let (collection_id, tags) = (self.collection.clone(), self.tags.clone());
            batch.push((
                number,
                NewEntry {
                    contents: line,
                    collection_id,
                    tags,
                },
            ));
            if batch.len() == self.batch || bytes >= BATCH_BYTES {
                self.send(client, std::mem::take(&mut batch), imported)
                    .await?;
                bytes = 0;
            }
        }
        match batch.is_empty() {
            true => Ok(()),
            false => self.send(client, batch, imported).await,
        }
    }

    async fn send(
        &self,
        client: &Client,
        batch: Vec<(u64, NewEntry)>,
        imported: &mut Imported,
    ) -> Result<()> {
        let (lines, entries): (Vec<u64>, Vec<NewEntry>) = batch.into_iter().unzip();
        let span = format!("lines {} to {}", lines[0], lines[lines.len() - 1]);
        let answers = client.append_batch(&entries).await;
        let answers = answers.map_err(|error| {
            let fate = if error.may_be_recorded() {
                "may or may not be"
            } else {
                "are not"
            };
            anyhow::Error::from(error).context(format!("{span} {fate} recorded"))
        })?;
        // Entries stand alone: those behind a refused one may be recorded, so all are looked at.
        let mut refused = None;
        let mut behind = 0_u64;
        for (line, answer) in lines.into_iter().zip(answers) {
            match answer {
                BatchAnswer::Recorded { transaction_id } => {
                    if self.json {
                        out::write_json(&Line {
                            line,
                            transaction_id,
                        });
                    }
                    if refused.is_some() {
                        behind += 1;
                        continue;
                    }
                    imported.entries += 1;
                    imported.last_line = line;
                    let first = imported.span.map_or(transaction_id, |(first, _)| first);
                    imported.span = Some((first, transaction_id));
                }
                BatchAnswer::Refused { error } => {
                    refused.get_or_insert((line, error));
                }
            }
        }
        match refused {
            None => Ok(()),
            Some((line, error)) => {
                let context = match behind {
                    0 => format!("line {line} was refused"),
                    _ => format!("line {line} was refused; {behind} lines behind it are recorded"),
                };
                Err(anyhow::Error::from(error).context(context))
            }
        }
    }
}

fn open(path: &Path) -> Result<(Box<dyn Read>, Option<u64>), Failure> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let file = File::open(path).map_err(Failure::reading(path))?;
    let length = file.metadata().map_err(Failure::reading(path))?.len();
    Ok((Box::new(file), Some(length)))
}

/// A bar of the bytes read; invisible where standard error is no terminal.
fn progress(bytes: Option<u64>) -> ProgressBar {
    let template = match bytes {
        Some(_) => "{bar:30.cyan/dim} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left",
        None => "{spinner} {bytes}  {bytes_per_sec}",
    };
    let style = ProgressStyle::with_template(template).expect("the template is well formed");
    let bar = bytes.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    bar.with_style(style)
}

fn summary(imported: &Imported, seconds: f64) {
    let Some((first, last)) = imported.span else {
        return say!("there was nothing to import");
    };
    let rate = imported.entries as f64 / seconds.max(0.001);
    say!(
        "{} entries {}, {} to {} {}",
        bold(HumanCount(imported.entries)),
        good("committed"),
        first,
        last,
        faint(format!("({} a second)", HumanCount(rate as u64)))
    );
}
