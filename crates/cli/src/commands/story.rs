//! `counterfoil ledger governance`: who decided what, from the ledger files alone.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use ledger::governance::story::{Event, Story, What};
use store::{AuditError, AuditOptions, AuditReport, audit_each};
use time::OffsetDateTime;
use time::macros::format_description;

use super::ledger::{folders, read_cert, show_broken};
use crate::out::{self, bad, faint, say};
use crate::report::UNREADABLE;

/// Tell who decided what, from the ledger files alone.
///
/// No node is asked. The files are audited first (see `ledger audit`); then each member's signature
/// is checked, and each decision is made again by the rules. Exit code 0: all of it holds; 1: it does
/// not; 2: it could not be read.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil ledger governance ledger --service-cert service_cert.pem
  counterfoil ledger governance /mnt/backup/ledger --json | jq 'select(.event == \"decided\")'")]
pub(crate) struct Governance {
    /// The folder of a node, or the folder with its ledger files.
    dir: PathBuf,
    /// The service whose ledger this must be (PEM). Without it, any service's ledger passes.
    #[arg(long, env = "COUNTERFOIL_SERVICE_CERT", value_name = "FILE")]
    service_cert: Option<PathBuf>,
    /// Print each event as one line of JSON.
    #[arg(long)]
    json: bool,
}

impl Governance {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let service = match &self.service_cert {
            Some(path) => Some(read_cert(path)?),
            None => None,
        };
        let (chunks, _) = folders(&self.dir);
        let options = AuditOptions {
            service,
            ..AuditOptions::default()
        };
        let (events, verdict) = read(&chunks, &options);
        let wrong = events
            .iter()
            .any(|event| matches!(event.what, What::Wrong { .. }));
        for event in &events {
            match self.json {
                true => out::write_json(event),
                false => tell(event),
            }
        }
        Ok(match &verdict {
            Ok(_) if wrong => ExitCode::FAILURE,
            Ok(_) => ExitCode::SUCCESS,
            Err(error) => {
                match self.json {
                    true => eprintln!("error: {error}"),
                    false => show_broken(error),
                }
                match error {
                    AuditError::Empty { .. } | AuditError::Io { .. } => ExitCode::from(UNREADABLE),
                    _ => ExitCode::FAILURE,
                }
            }
        })
    }
}

/// What happened by the ledger files in a folder, as far as they hold, and whether all of them do.
pub(super) fn read(
    chunks: &Path,
    options: &AuditOptions,
) -> (Vec<Event>, Result<AuditReport, AuditError>) {
    let mut story = Story::default();
    let mut events = Vec::new();
    let verdict = audit_each(
        chunks,
        options,
        |_| {},
        |id, writes| events.extend(story.read(id, writes)),
    );
    // What stands behind a broken place is nobody's word.
    if let Err(AuditError::Broken { truth_ends, .. }) = &verdict {
        events.retain(|event| event.transaction_id.seqno <= *truth_ends);
    }
    (events, verdict)
}

fn tell(event: &Event) {
    let time = event.created_at.and_then(moment).unwrap_or_default();
    let sentence = out::one_line(&event.sentence(), 400);
    let id = format!("{:>8}  {time:<16}", event.transaction_id.to_string());
    match event.what {
        What::Wrong { .. } => say!("{}  {}", faint(id), bad(sentence)),
        _ => say!("{}  {sentence}", faint(id)),
    }
}

/// By the clock of the member who signed.
fn moment(seconds: u64) -> Option<String> {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]");
    let seconds = i64::try_from(seconds).ok()?;
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    time.format(format).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_to_the_minute_if_they_can_be() {
        assert_eq!(moment(0).unwrap(), "1970-01-01 00:00");
        assert_eq!(moment(u64::MAX), None);
    }
}
