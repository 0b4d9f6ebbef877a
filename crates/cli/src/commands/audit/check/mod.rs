//! `counterfoil audit check`: consults a whole table, row by row, and writes what was said.

mod proof;
mod report;
mod service;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use alloy_primitives::Address;
use anyhow::Result;
use audit::gateway::{BulkAnswer, Summary};
use audit::model::Verdict;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use serde_json::json;
use verify::ethereum::Hex;

use crate::commands::block_on;
use crate::out::{self, bad, bold, faint, good, say};
use crate::report::Failure;
use proof::Proof;
use report::{Format, Line, Report};
use service::{AccountArgs, Service};
use table::{Columns, Row};

/// Rows in one request: few enough to be answered soon, and to show that something happens.
const ROWS_TOGETHER: usize = 200;

/// Bytes of rows in one request: half of what the service takes.
const BYTES_TOGETHER: usize = 4 << 20;

/// Consult a whole table: which rows are still what was recorded?
///
/// Each row is the data of a record, whose name stands in one of its columns. In CSV a cell that is a number,
/// true, false or null in JSON is that, an empty one is left out, and every other one is text. With the
/// ledger's service certificate each verdict is checked here too, and not taken from the service.
///
/// Exit code 0: every row is valid. 1: some are not, or could not be judged.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil audit check lots.csv --url https://audit.example --id-column lot --prefix lot- \\
      --email ana@farm.example --password-file password --report said.csv
  counterfoil audit check lots.json --id-column id --service-cert service_cert.pem --report said.json")]
pub(crate) struct Check {
    /// The table: .csv with a header, .json with a list of objects, or .ndjson; - for NDJSON on standard input.
    file: PathBuf,
    /// Which column, or member of the objects, names the record.
    #[arg(long, value_name = "COLUMN")]
    id_column: String,
    /// What stands before that in the record's name.
    #[arg(long, default_value = "", value_name = "TEXT")]
    prefix: String,
    /// The column that names the record is not a part of its data.
    #[arg(long)]
    without_id: bool,
    /// A column of CSV that is text even where it looks like a number; may be repeated.
    #[arg(long = "text", value_name = "COLUMN")]
    text: Vec<String>,
    /// Where to write what was said of each row: a .csv or a .json file.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// The ledger's service certificate (PEM): check the proofs here.
    #[arg(long, value_name = "FILE")]
    service_cert: Option<PathBuf>,
    /// Where events are in contracts: the root of their tree. The proofs must be of that tree.
    #[arg(long, value_name = "ADDRESS", requires = "service_cert")]
    root: Option<Address>,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    account: AccountArgs,
}

impl Check {
    pub(super) fn run(self) -> Result<ExitCode> {
        let columns = Columns {
            id: self.id_column.clone(),
            prefix: self.prefix.clone(),
            without_id: self.without_id,
            text: self.text.clone(),
        };
        // Before anything is asked: a report that cannot be written is told at once.
        let format = self.report.as_deref().map(Format::of).transpose()?;
        let proof = self.service_cert.as_deref();
        let proof = proof
            .map(|path| Proof::by(path, self.root.map(|root| Hex(root.0.0))))
            .transpose()?;
        let rows = table::read(&self.file, &columns)?;
        let bar = progress(rows.len());
        let mut report = Report::default();
        let asked = block_on(async {
            let mut service = Service::connect(&self.account).await?;
            for rows in portions(&rows) {
                let said = service.ask(rows).await?;
                for (row, answer) in rows.iter().zip(said) {
                    report.add(judged(row, answer, proof.as_ref()));
                }
                bar.inc(rows.len() as u64);
            }
            Ok(())
        });
        bar.finish_and_clear();
        // What was said so far is worth keeping, whatever came then.
        if let (Some(path), Some(format)) = (&self.report, format) {
            report.write(path, format)?;
        }
        asked.map_err(|error: anyhow::Error| {
            let done = report.lines().len();
            let what = format!("the check ended early, after {done} of {} rows", rows.len());
            Failure::new(what).because(error)
        })?;
        if self.json {
            let summary = report.summary();
            out::write_json(&json!({"summary": summary, "unproven": report.unproven()}));
        } else {
            show(&report);
        }
        Ok(match report.is_all_valid() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }
}

/// What is said of a row, once it was checked.
fn judged(row: &Row, answer: BulkAnswer, proof: Option<&Proof>) -> Line {
    let line = Line::new(row, &answer);
    match (answer, proof) {
        (BulkAnswer::Consulted(said), Some(proof)) => match said.verdict {
            Verdict::Valid | Verdict::Altered { .. } => line.proven(proof.check(row, &said)),
            Verdict::Unknown | Verdict::NotPermitted | Verdict::Pending => line,
        },
        _ => line,
    }
}

/// The rows, as many at a time as fit into one request.
fn portions(rows: &[Row]) -> impl Iterator<Item = &[Row]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fitting = rest.iter().take(ROWS_TOGETHER).take_while(|row| {
            bytes += row.bytes;
            bytes <= BYTES_TOGETHER
        });
        // One that is larger than all goes alone, and the service says what it thinks of it.
        let count = fitting.count().max(1).min(rest.len());
        let (now, later) = rest.split_at(count);
        rest = later;
        (!now.is_empty()).then_some(now)
    })
}

/// A bar of the rows that were judged; invisible where standard error is no terminal.
fn progress(rows: usize) -> ProgressBar {
    let template = "{bar:30.cyan/dim} {human_pos}/{human_len} rows  {per_sec}  {eta} left";
    let style = ProgressStyle::with_template(template).expect("the template is well formed");
    ProgressBar::new(rows as u64).with_style(style)
}

/// Rows that are named on the terminal; all of them are in the report.
const SHOWN_MAX: usize = 20;

fn show(report: &Report) {
    let wrong = report.lines().iter().filter(|line| !line.is_valid());
    for line in wrong.clone().take(SHOWN_MAX) {
        say!(
            "row {}  {}  {}",
            line.row,
            bold(&line.record),
            bad(line.said())
        );
    }
    let more = wrong.count().saturating_sub(SHOWN_MAX);
    if more > 0 {
        say!("{}", faint(format!("and {} more", HumanCount(more as u64))));
    }
    let Summary { total, valid, .. } = report.summary();
    let counted = format!("{} of {} rows", HumanCount(*valid), HumanCount(*total));
    if report.is_all_valid() {
        say!("{} are {}", counted, good("valid"));
    } else {
        say!("{} are valid; {}", counted, report.others());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn row(bytes: usize) -> Row {
        Row {
            number: 1,
            record: "a".to_owned(),
            data: Value::Null,
            bytes,
        }
    }

    #[test]
    fn portions_are_no_larger_than_a_request_takes_and_leave_none_out() {
        let sizes = |rows: &[Row]| portions(rows).map(<[Row]>::len).collect::<Vec<_>>();
        let rows: Vec<_> = (0..ROWS_TOGETHER * 2 + 1).map(|_| row(10)).collect();
        assert_eq!(sizes(&rows), [ROWS_TOGETHER, ROWS_TOGETHER, 1]);
        let large = [row(BYTES_TOGETHER), row(1), row(BYTES_TOGETHER * 2), row(1)];
        assert_eq!(sizes(&large), [1, 1, 1, 1]);
        assert!(sizes(&[]).is_empty());
    }
}
