//! What was said of each row.

use std::fs;
use std::path::Path;

use anyhow::Result;
use audit::gateway::{BulkAnswer, Summary};
use audit::model::Verdict;
use serde::Serialize;
use serde_json::json;

use super::table::Row;
use crate::report::Failure;

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    Json,
}

impl Format {
    /// What the name of a file asks for.
    pub(super) fn of(path: &Path) -> Result<Self, Failure> {
        let kind = path.extension().and_then(|kind| kind.to_str());
        match kind.map(str::to_ascii_lowercase).as_deref() {
            Some("csv") => Ok(Self::Csv),
            Some("json") => Ok(Self::Json),
            _ => {
                let what = format!(
                    "a report is a .csv or a .json file, and not {}",
                    path.display()
                );
                Err(Failure::unreadable(what))
            }
        }
    }
}

/// What was said of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    /// Which, from 1.
    pub(super) row: u64,
    /// The record.
    pub(super) record: String,
    /// The verdict, or `failed` where there is none.
    pub(super) verdict: &'static str,
    /// Where the row differs, as JSON pointers.
    pub(super) altered: Vec<String>,
    /// Who recorded it, when, in which transaction.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) who: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) when: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) transaction: String,
    /// Whether the proof was checked here: `checked`, or why it does not hold.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) proof: String,
    /// Why there is no verdict.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) detail: String,
}

/// A proof that was checked.
pub(super) const CHECKED: &str = "checked";

impl Line {
    pub(super) fn new(row: &Row, answer: &BulkAnswer) -> Self {
        let mut line = Self {
            row: row.number,
            record: row.record.clone(),
            verdict: "failed",
            altered: Vec::new(),
            who: String::new(),
            when: String::new(),
            transaction: String::new(),
            proof: String::new(),
            detail: String::new(),
        };
        match answer {
            BulkAnswer::Failed { problem } => line.detail.clone_from(&problem.detail),
            BulkAnswer::Consulted(said) => {
                line.verdict = said.verdict.word();
                if let Verdict::Altered { fields } = &said.verdict {
                    line.altered.clone_from(fields);
                }
                if let Some(event) = &said.event {
                    line.who = event.who.to_string();
                    line.when = event.when.to_string();
                }
                if let Some(address) = &said.address {
                    line.transaction.clone_from(&address.transaction_address);
                }
            }
        }
        line
    }

    /// The same, with what came of checking its proof.
    pub(super) fn proven(mut self, outcome: Result<(), String>) -> Self {
        self.proof = match outcome {
            Ok(()) => CHECKED.to_owned(),
            Err(why) => why,
        };
        self
    }

    /// Whether nothing speaks against it.
    pub(super) fn is_valid(&self) -> bool {
        self.verdict == "valid" && matches!(self.proof.as_str(), "" | CHECKED)
    }

    /// What to say of it to people.
    pub(super) fn said(&self) -> String {
        if self.verdict == "valid" {
            return format!("said to be valid, not proven: {}", self.proof);
        }
        let more = [self.altered.join(" "), self.detail.clone()];
        let more = more.iter().filter(|text| !text.is_empty());
        let more: Vec<&str> = more.map(String::as_str).collect();
        match more.is_empty() {
            true => self.verdict.to_owned(),
            false => format!("{}: {}", self.verdict, more.join(" ")),
        }
    }
}

/// All lines so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    lines: Vec<Line>,
    summary: Summary,
    unproven: u64,
}

impl Report {
    pub(super) fn add(&mut self, line: Line) {
        let summary = &mut self.summary;
        summary.total += 1;
        let count = match line.verdict {
            "valid" => &mut summary.valid,
            "altered" => &mut summary.altered,
            "unknown" => &mut summary.unknown,
            "not_permitted" => &mut summary.not_permitted,
            "pending" => &mut summary.pending,
            _ => &mut summary.failed,
        };
        *count += 1;
        self.unproven += u64::from(!matches!(line.proof.as_str(), "" | CHECKED));
        self.lines.push(line);
    }

    pub(super) fn lines(&self) -> &[Line] {
        &self.lines
    }

    pub(super) const fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Verdicts whose proof does not hold.
    pub(super) const fn unproven(&self) -> u64 {
        self.unproven
    }

    pub(super) fn is_all_valid(&self) -> bool {
        self.lines.iter().all(Line::is_valid)
    }

    /// What the rows that are not valid are.
    pub(super) fn others(&self) -> String {
        let all = [
            (self.summary.altered, "altered"),
            (self.summary.unknown, "unknown"),
            (self.summary.not_permitted, "not permitted"),
            (self.summary.pending, "pending"),
            (self.summary.failed, "without a verdict"),
            (self.unproven, "not proven"),
        ];
        let some = all.iter().filter(|(count, _)| *count > 0);
        let words: Vec<_> = some
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        words.join(", ")
    }

    /// Writes it.
    pub(super) fn write(&self, path: &Path, format: Format) -> Result<(), Failure> {
        let bytes = match format {
            Format::Json => {
                let all =
                    json!({"rows": self.lines, "summary": self.summary, "unproven": self.unproven});
                let mut text = serde_json::to_string_pretty(&all).unwrap_or_default();
                text.push('\n');
                text.into_bytes()
            }
            Format::Csv => self.csv().map_err(|error| {
                Failure::new(format!("cannot write {}", path.display())).because(error)
            })?,
        };
        fs::write(path, bytes).map_err(Failure::writing(path))
    }

    fn csv(&self) -> Result<Vec<u8>, csv::Error> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record([
            "row",
            "record",
            "verdict",
            "altered",
            "who",
            "when",
            "transaction",
            "proof",
            "detail",
        ])?;
        for line in &self.lines {
            writer.write_record([
                line.row.to_string(),
                inert(&line.record),
                line.verdict.to_owned(),
                inert(&line.altered.join(" ")),
                inert(&line.who),
                line.when.clone(),
                inert(&line.transaction),
                inert(&line.proof),
                inert(&line.detail),
            ])?;
        }
        writer
            .into_inner()
            .map_err(|error| error.into_error().into())
    }
}

/// A text that no spreadsheet takes for a formula.
fn inert(text: &str) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r', '\0']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use audit::Problem;

    fn row(number: u64, record: &str) -> Row {
        Row {
            number,
            record: record.to_owned(),
            data: json!({}),
            bytes: 2,
        }
    }

    fn said(verdict: serde_json::Value) -> BulkAnswer {
        serde_json::from_value(verdict).unwrap()
    }

    #[test]
    fn a_report_counts_what_it_has_lines_of() {
        let mut report = Report::default();
        let valid = said(json!({"verdict": "valid"}));
        report.add(Line::new(&row(1, "a"), &valid));
        assert!(report.is_all_valid());
        report.add(Line::new(&row(2, "b"), &valid).proven(Ok(())));
        assert!(report.is_all_valid());
        let altered = said(json!({"verdict": "altered", "fields": ["/kg", "/grade"]}));
        report.add(Line::new(&row(3, "=1+1"), &altered));
        let problem = Problem::input("-no");
        report.add(Line::new(&row(4, "d"), &BulkAnswer::Failed { problem }));
        assert!(!report.is_all_valid());
        assert_eq!(report.others(), "1 altered, 1 without a verdict");
        let text = String::from_utf8(report.csv().unwrap()).unwrap();
        assert_eq!(
            text,
            "row,record,verdict,altered,who,when,transaction,proof,detail\n1,a,valid,,,,,,\n\
             2,b,valid,,,,,checked,\n3,'=1+1,altered,/kg /grade,,,,,\n4,d,failed,,,,,,'-no\n"
        );
    }

    #[test]
    fn a_verdict_whose_proof_does_not_hold_is_not_valid() {
        let mut report = Report::default();
        let valid = said(json!({"verdict": "valid"}));
        let line = Line::new(&row(1, "a"), &valid).proven(Err("the signature".to_owned()));
        assert_eq!(line.said(), "said to be valid, not proven: the signature");
        report.add(line);
        assert!(!report.is_all_valid());
        assert_eq!(
            (report.unproven(), report.others().as_str()),
            (1, "1 not proven")
        );
    }

    #[test]
    fn a_report_is_one_of_two_kinds() {
        assert_eq!(Format::of(Path::new("a.CSV")).unwrap(), Format::Csv);
        assert_eq!(Format::of(Path::new("a.json")).unwrap(), Format::Json);
        Format::of(Path::new("a.xlsx")).unwrap_err();
    }
}
