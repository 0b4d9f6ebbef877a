//! `counterfoil audit`: the services that store who did what, and say later whether it still holds.

mod config;
mod files;
mod services;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use serde::Serialize;

use super::block_on_all_cores;
use crate::connection::ConnectionArgs;
use crate::out::{self, bold, faint, marked, say};
use crate::server::{StopSignals, end_of_input};
use config::Config;
use services::Services;

/// Store who did what, and consult it later.
#[derive(Subcommand, Debug)]
pub(crate) enum Audit {
    All(All),
}

impl Audit {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Self::All(all) => all.run(),
        }
    }
}

/// Run gateway, users and audit in one process, on a ledger.
///
/// The folder is created if missing, and holds the database, the keys and a certificate, unless the
/// configuration names others. Ctrl-C or SIGTERM stops it: requests under way are answered first.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil audit all --ledger ledger                 on the ledger that `up --dev` started
  counterfoil audit all --config /etc/audit.toml --url https://ledger.example --service-cert s.pem \\
      --client-cert audit.pem --client-key audit_key.pem")]
pub(crate) struct All {
    /// The folder that holds everything of the services [default: audit].
    #[arg(short, long, env = "COUNTERFOIL_AUDIT_DIR")]
    dir: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:8444].
    #[arg(short, long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    /// A configuration file (TOML); flags win over it.
    #[arg(short, long, env = "COUNTERFOIL_AUDIT_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Stop when standard input ends too: for programs that start services, so that none outlives them.
    #[arg(long)]
    until_stdin_ends: bool,
    /// When ready, print one line of JSON for scripts, and nothing else.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The line of JSON.
#[derive(Serialize)]
struct Ready<'a> {
    url: &'a str,
    certificate: &'a Path,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy_url: Option<&'a str>,
    pid: u32,
}

impl All {
    fn run(self) -> Result<ExitCode> {
        let mut config = match &self.config {
            Some(path) => Config::read(path)?,
            None => Config::default(),
        };
        config.dir = self.dir.unwrap_or(config.dir);
        config.listen = self.listen.unwrap_or(config.listen);
        let ledger = self.connection.read()?;
        block_on_all_cores(async {
            let mut input_ends = std::pin::pin!(end_of_input(self.until_stdin_ends));
            let services = Services::start(config, ledger).await?;
            let mut stop = StopSignals::listen()?;
            if self.json {
                out::write_json(&Ready {
                    url: &services.url,
                    certificate: &services.certificate,
                    proxy_url: services.proxy_url.as_deref(),
                    pid: std::process::id(),
                });
            } else {
                show(&services);
            }
            tokio::select! {
                () = stop.next() => {}
                () = &mut input_ends => {}
            }
            services.stop().await;
            Ok(ExitCode::SUCCESS)
        })
    }
}

fn show(services: &Services) {
    say!(
        "{} {}",
        bold("counterfoil audit"),
        faint(env!("CARGO_PKG_VERSION"))
    );
    say!();
    say!("  address        {}", bold(&services.url));
    say!("  ledger         {}", services.ledger);
    say!("  certificate    {}", services.certificate.display());
    if let Some(url) = &services.proxy_url {
        say!("  proxy          {}", bold(url));
    }
    if !services.has_root {
        say!();
        say!(
            "There is no root yet: {} makes one",
            marked("POST /v1/root/slot, then /v1/root")
        );
    }
    say!();
    say!("{}", faint("Ctrl-C stops it."));
}
