//! `counterfoil ledger`: check a whole ledger offline, tell its story, or fetch its identity.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use serde::Serialize;
use store::{AuditError, AuditOptions, AuditReport, audit_with};
use verify::{Cert, Digest, Seqno, TxId};

use super::block_on;
use super::story::Governance;
use crate::connection::ConnectionArgs;
use crate::out::{self, bad, bold, faint, good, say, warning};
use crate::report::{Failure, UNREADABLE};
use crate::server::CHUNKS_FOLDER;

/// A whole ledger.
#[derive(Subcommand, Debug)]
pub(crate) enum Ledger {
    Audit(Audit),
    Governance(Governance),
    Identity(Identity),
}

impl Ledger {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Self::Audit(audit) => audit.run(),
            Self::Governance(governance) => governance.run(),
            Self::Identity(identity) => identity.run(),
        }
    }
}

/// Check a ledger's files offline: every digest, every signature, the continuity of the chain.
///
/// No secret is needed and nobody is asked. Exit code 0: all of it holds; 1: it does not, and the
/// first place where truth ends is named; 2: it could not be read.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil ledger audit ledger --service-cert service_cert.pem
  counterfoil ledger audit /mnt/backup/ledger --json | jq .truthEnds")]
pub(crate) struct Audit {
    /// The folder of a node, or the folder with its ledger files.
    dir: PathBuf,
    /// The service whose ledger this must be (PEM). Without it, any service's ledger passes.
    #[arg(long, env = "COUNTERFOIL_SERVICE_CERT", value_name = "FILE")]
    service_cert: Option<PathBuf>,
    /// Leave out the node's index files, which are derived from the ledger files.
    #[arg(long)]
    no_index: bool,
    /// Print the verdict as one line of JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Passed<'a> {
    valid: bool,
    transactions: u64,
    signatures: u64,
    files: u64,
    bytes: u64,
    last: TxId,
    root: Digest,
    service: String,
    service_status: &'a str,
    service_expected: bool,
    unfinished_bytes: u64,
    index_compared: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NotPassed<'a> {
    valid: bool,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    truth_ends: Option<u64>,
}

impl Audit {
    fn run(self) -> Result<ExitCode> {
        let service = match &self.service_cert {
            Some(path) => Some(read_cert(path)?),
            None => None,
        };
        let expected = service.is_some();
        let (chunks, index) = folders(&self.dir);
        let index = index.filter(|_| !self.no_index);
        let options = AuditOptions {
            service,
            index,
            ..AuditOptions::default()
        };
        let bar = progress();
        let verdict = audit_with(&chunks, &options, |progress| {
            bar.set_length(progress.total_bytes);
            bar.set_position(progress.bytes);
            bar.set_message(HumanCount(progress.entries).to_string());
        });
        bar.finish_and_clear();
        match (&verdict, self.json) {
            (Ok(report), true) => out::write_json(&passed(report, expected)),
            (Ok(report), false) => show(report, expected),
            (Err(error), true) => out::write_json(&not_passed(error)),
            (Err(error), false) => show_broken(error),
        }
        Ok(match &verdict {
            Ok(_) => ExitCode::SUCCESS,
            Err(AuditError::Empty { .. } | AuditError::Io { .. }) => ExitCode::from(UNREADABLE),
            Err(_) => ExitCode::FAILURE,
        })
    }
}

/// The ledger files and, in the folder of a node, its index.
pub(crate) fn folders(dir: &Path) -> (PathBuf, Option<PathBuf>) {
    let chunks = dir.join(CHUNKS_FOLDER);
    if !chunks.is_dir() {
        return (dir.to_owned(), None);
    }
    let index = dir.join("index");
    (chunks, index.is_dir().then_some(index))
}

/// A bar of the bytes checked; invisible where standard error is no terminal.
pub(super) fn progress() -> ProgressBar {
    let template = "{bar:30.cyan/dim} {bytes}/{total_bytes}  {msg} entries  {eta} left";
    let style = ProgressStyle::with_template(template).expect("the template is well formed");
    ProgressBar::new(0).with_style(style)
}

fn show(report: &AuditReport, expected: bool) {
    say!(
        "{} all {} entries, {} signatures, {} in {} files",
        good("SOUND"),
        bold(HumanCount(report.entries)),
        HumanCount(report.signatures),
        HumanBytes(report.bytes),
        report.files
    );
    say!("  last     {}", report.last);
    say!("  root     {}", report.root);
    say!(
        "  service  {} {}",
        report.service.fingerprint_text(),
        faint(&report.service_status)
    );
    if report.index_compared {
        say!("  index    fits the ledger files");
    }
    if report.unfinished_bytes > 0 {
        say!(
            "  tail     {} that were never signed",
            HumanBytes(report.unfinished_bytes)
        );
    }
    if !expected {
        say!(
            "{} compare the service's fingerprint with the one you were told, or say --service-cert",
            warning("note:")
        );
    }
}

/// Shows who noticed what, and where.
pub(crate) fn show_broken(error: &AuditError) {
    match error {
        AuditError::Broken {
            file,
            truth_ends,
            rule,
        } => {
            say!("{} {rule}", bad("BROKEN"));
            say!("  file     {}", file.display());
            say!("  truth    {}", where_it_ends(*truth_ends));
        }
        AuditError::OtherService { .. } => say!("{} {error}", bad("ANOTHER LEDGER")),
        error => {
            say!("{} {error}", bad("NOT AUDITED"));
            if let Some(source) = std::error::Error::source(error) {
                say!("  because  {source}");
            }
        }
    }
}

fn where_it_ends(truth_ends: Seqno) -> String {
    match truth_ends.0 {
        0 => "ends before the first entry".to_owned(),
        last => format!("ends after seqno {last}"),
    }
}

fn passed(report: &AuditReport, service_expected: bool) -> Passed<'_> {
    Passed {
        valid: true,
        transactions: report.entries,
        signatures: report.signatures,
        files: report.files,
        bytes: report.bytes,
        last: report.last,
        root: report.root,
        service: report.service.fingerprint_text(),
        service_status: &report.service_status,
        service_expected,
        unfinished_bytes: report.unfinished_bytes,
        index_compared: report.index_compared,
    }
}

fn not_passed(error: &AuditError) -> NotPassed<'_> {
    let (file, truth_ends) = match error {
        AuditError::Broken {
            file, truth_ends, ..
        } => (Some(file.as_path()), Some(truth_ends.0)),
        AuditError::Empty { dir } => (Some(dir.as_path()), None),
        AuditError::Io { path, .. } => (Some(path.as_path()), None),
        AuditError::OtherService { .. } => (None, None),
    };
    NotPassed {
        valid: false,
        reason: error.to_string(),
        file,
        truth_ends,
    }
}

/// Fetch a ledger's service certificate: what everything else is checked against.
///
/// Without a certificate to check against, the answer shows who answered, not that it is the ledger
/// you mean: compare the fingerprint with one that came another way.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil ledger identity https://127.0.0.1:8443 -o service_cert.pem
  counterfoil ledger identity --ledger ledger")]
pub(crate) struct Identity {
    /// The ledger's address, where it is not known yet.
    address: Option<String>,
    /// Write the certificate to a file, not to standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl Identity {
    fn run(self) -> Result<ExitCode> {
        let pem = block_on(async {
            Ok(match &self.address {
                Some(url) => client::fetch_identity_on_first_use(url).await?,
                None => self.connection.client()?.identity().await?,
            })
        })?;
        let cert = Cert::from_pem(&pem).map_err(|error| {
            Failure::new("the ledger's service certificate cannot be used").because(error)
        })?;
        match &self.output {
            Some(path) => std::fs::write(path, &pem).map_err(Failure::writing(path))?,
            None => out::write_bytes(pem.as_bytes()),
        }
        // Beside the certificate, so that the certificate alone can be piped on.
        eprintln!("SHA-256 fingerprint {}", cert.fingerprint_text());
        if self.address.is_some() {
            eprintln!("trusted on first use: compare it with a fingerprint that came another way");
        }
        Ok(ExitCode::SUCCESS)
    }
}

pub(crate) fn read_cert(path: &Path) -> Result<Cert, Failure> {
    let pem = std::fs::read_to_string(path).map_err(Failure::reading(path))?;
    Cert::from_pem(&pem).map_err(|error| {
        Failure::unreadable(format!("{} cannot be used", path.display())).because(error)
    })
}
