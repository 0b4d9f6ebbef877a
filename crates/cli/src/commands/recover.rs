//! `counterfoil recover`: a ledger taken up after all its nodes were lost.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use node::{PREVIOUS_SERVICE_CERT_FILE, RecoverError, Recovered, SERVICE_CERT_FILE};
use serde::Serialize;

use crate::config::Config;
use crate::out::{self, bold, faint, good, marked, say, warning};
use crate::report::Failure;

/// Take up a ledger whose nodes are all lost, from a copy of its files.
///
/// Put the folder `ledger` of the node that knew most into a new folder, and name that one. The files
/// are checked up to the last signed root. A new service is written behind them; members have to
/// accept it and to give their recovery shares before anything private can be read or written.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  mkdir /srv/new && cp -r /mnt/rescued/ledger /srv/new/ledger
  counterfoil recover --dir /srv/new
  counterfoil up --dir /srv/new --listen 0.0.0.0:8443")]
pub(crate) struct Recover {
    /// The folder that holds the folder `ledger` [default: ledger].
    #[arg(short, long, env = "COUNTERFOIL_DIR")]
    dir: Option<PathBuf>,
    /// A configuration file (TOML), as for `counterfoil up`.
    #[arg(short, long, env = "COUNTERFOIL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print what was found and begun as one line of JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Begun<'a> {
    last_transaction: String,
    entries: u64,
    cut_bytes: u64,
    previous_service: String,
    service: String,
    previous_service_cert: &'a Path,
    service_cert: &'a Path,
    recovery_threshold: u64,
    share_holders: usize,
}

impl Recover {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let mut config = Config::named(self.config.as_deref())?;
        config.dir = self.dir.or(config.dir);
        let node = config.node()?;
        let bar = super::ledger::progress();
        let recovered = node::recover(&node, |progress| {
            bar.set_length(progress.total_bytes);
            bar.set_position(progress.bytes);
        });
        bar.finish_and_clear();
        let recovered = recovered.map_err(|error| match error {
            RecoverError::TakenUp { .. } => Failure::new("this ledger was taken up before").hint(
                format!("start it: counterfoil up --dir {}", node.dir.display()),
            ),
            error => Failure::new("the ledger is not recovered").because(error),
        })?;
        let cert = node.dir.join(SERVICE_CERT_FILE);
        let previous_cert = node.dir.join(PREVIOUS_SERVICE_CERT_FILE);
        if self.json {
            out::write_json(&Begun {
                last_transaction: recovered.last.to_string(),
                entries: recovered.entries,
                cut_bytes: recovered.cut_bytes,
                previous_service: recovered.previous.fingerprint().to_string(),
                service: recovered.service.fingerprint().to_string(),
                previous_service_cert: &previous_cert,
                service_cert: &cert,
                recovery_threshold: recovered.threshold,
                share_holders: recovered.holders,
            });
        } else {
            show(&recovered, &node.dir, &cert, &previous_cert);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn show(recovered: &Recovered, dir: &Path, cert: &Path, previous_cert: &Path) {
    let Recovered {
        last,
        entries,
        cut_bytes,
        threshold,
        holders,
        ..
    } = recovered;
    say!("{} {}", good("TAKEN UP"), dir.display());
    say!(
        "  entries           {entries}, the last one is {}",
        bold(last)
    );
    if *cut_bytes > 0 {
        say!("  cut               {cut_bytes} bytes that no root covers");
    }
    say!(
        "  previous service  {}",
        faint(recovered.previous.fingerprint())
    );
    say!(
        "  new service       {}",
        faint(recovered.service.fingerprint())
    );
    say!();
    say!(
        "{}",
        warning(
            "Does anybody have a receipt of a later transaction? Then this copy is not the newest:"
        )
    );
    say!("{}", warning("stop here, and recover from a better one."));
    say!();
    say!("1. Start the node, and give its new certificate to all:");
    say!(
        "     {}",
        marked(format!("counterfoil up --dir {}", dir.display()))
    );
    say!("2. A member proposes to open it, and the members vote:");
    say!(
        "     {}",
        marked(format!(
            "counterfoil proposal create transition_service_to_open \
             previous_service_identity=@{} next_service_identity=@{}",
            previous_cert.display(),
            cert.display()
        ))
    );
    say!("3. {threshold} of the {holders} members that hold a share give it:");
    say!(
        "     {}",
        marked("counterfoil member recovery-share --encryption-key NAME_enc_privk.pem")
    );
    say!("4. When it is open, other nodes join it with empty folders (`counterfoil up --join`).");
}
