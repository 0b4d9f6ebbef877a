//! `counterfoil audit`: the services that store who did what, and say later whether it still holds.

mod chain;
mod check;
mod config;
mod files;
mod identity;
mod services;
mod traces;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use serde::Serialize;

use super::block_on_all_cores;
use crate::connection::{ConnectionArgs, TrustArgs};
use crate::out::{self, bold, faint, marked, say};
use crate::server::{StopSignals, end_of_input};
use config::Config;
use services::{Onto, Services};

/// Store who did what, and consult it later.
#[derive(Subcommand, Debug)]
pub(crate) enum Audit {
    All(All),
    Gateway(Gateway),
    Users(Users),
    #[command(name = "audit")]
    Alone(AuditAlone),
    Identity(identity::Identity),
    Check(check::Check),
}

impl Audit {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Self::All(all) => all.run(),
            Self::Gateway(gateway) => gateway.run(),
            Self::Users(users) => users.run(),
            Self::Alone(audit) => audit.run(),
            Self::Identity(identity) => identity.run(),
            Self::Check(check) => check.run(),
        }
    }
}

/// Run gateway, users and audit in one process, on a ledger or on another chain.
///
/// The folder is created if missing, and holds the database, the keys and a certificate, unless the
/// configuration names others. Where the configuration says [chain], events go to that chain, and no ledger is
/// named. Ctrl-C or SIGTERM stops it: requests under way are answered first.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil audit all --ledger ledger                 on the ledger that `up --dev` started
  counterfoil audit all --config /etc/audit.toml --url https://ledger.example --service-cert s.pem \\
      --client-cert audit.pem --client-key audit_key.pem
  counterfoil audit all --config /etc/audit.toml        on the chain that [chain] in it names")]
pub(crate) struct All {
    #[command(flatten)]
    process: Process,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Run the gateway alone: the entry, which asks the users' and the audit service.
///
/// It keeps nothing but its certificate, and needs no ledger: only its service certificate, which it shows to
/// browsers; and not that where the configuration says [chain]. Of the addresses of another service one after
/// the other is asked; one that does not answer is left out for a while.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil audit gateway --service-cert ledger/service_cert.pem        the others on this machine
  counterfoil audit gateway --config /etc/audit.toml --listen 0.0.0.0:443 --service-cert s.pem")]
pub(crate) struct Gateway {
    #[command(flatten)]
    process: Process,
    #[command(flatten)]
    trust: TrustArgs,
    /// Where the users' service is, https://host:port; once for each replica.
    #[arg(long, value_name = "URL")]
    users: Vec<String>,
    /// Where the audit service is, https://host:port; once for each replica.
    #[arg(long, value_name = "URL")]
    audit: Vec<String>,
}

/// Run the users' service alone: who takes part, and what they may.
///
/// It answers to gateways that show a certificate of the services' authority, and to nobody else. Replicas
/// share the database, the keys that sign tokens, and the master key.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil audit users                               the audit service on this machine
  counterfoil audit users --config /etc/audit.toml --listen 10.0.0.11:8445")]
pub(crate) struct Users {
    #[command(flatten)]
    process: Process,
    /// Where the audit service is, https://host:port; once for each replica.
    #[arg(long, value_name = "URL")]
    audit: Vec<String>,
}

/// Run the audit service alone: it stores events on a ledger or on another chain, and consults them.
///
/// It answers to gateways and users' services that show a certificate of the services' authority, and to nobody
/// else. Replicas share the database, and are the same user of the ledger; each has a folder of its own. Where the
/// configuration says [chain], events go to that chain, and no ledger is named.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil audit audit --ledger ledger               on the ledger that `up --dev` started
  counterfoil audit audit --config /etc/audit.toml --listen 10.0.0.21:8446 --url https://ledger.example \\
      --service-cert s.pem --client-cert audit.pem --client-key audit_key.pem")]
pub(crate) struct AuditAlone {
    #[command(flatten)]
    process: Process,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// What all services are told.
#[derive(clap::Args, Debug)]
struct Process {
    /// The folder that holds everything of the services [default: audit].
    #[arg(short, long, env = "COUNTERFOIL_AUDIT_DIR")]
    dir: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:8444, users 8445, audit 8446].
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
}

/// The line of JSON.
#[derive(Serialize)]
struct Ready<'a> {
    url: &'a str,
    certificate: &'a Path,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics_url: Option<&'a str>,
    pid: u32,
}

impl All {
    fn run(self) -> Result<ExitCode> {
        let mut config = self.process.config()?;
        config.listen = self.process.listen.unwrap_or(config.listen);
        let onto = Onto::of(&config, &self.connection)?;
        self.process.run("audit", Services::start(config, onto))
    }
}

impl Gateway {
    fn run(self) -> Result<ExitCode> {
        let mut config = self.process.config()?;
        config.listen = self.process.listen.unwrap_or(config.listen);
        instead(&mut config.services.users, self.users);
        instead(&mut config.services.audit, self.audit);
        let service_cert = match &config.chain {
            None => Some(self.trust.anchor()?),
            Some(_) => {
                services::no_ledger(self.trust.given())?;
                None
            }
        };
        self.process
            .run("audit gateway", Services::gateway(config, service_cert))
    }
}

impl Users {
    fn run(self) -> Result<ExitCode> {
        let mut config = self.process.config()?;
        let alone = &mut config.services;
        alone.users_listen = self.process.listen.unwrap_or(alone.users_listen);
        instead(&mut alone.audit, self.audit);
        self.process.run("audit users", Services::users(config))
    }
}

impl AuditAlone {
    fn run(self) -> Result<ExitCode> {
        let mut config = self.process.config()?;
        let alone = &mut config.services;
        alone.audit_listen = self.process.listen.unwrap_or(alone.audit_listen);
        let onto = Onto::of(&config, &self.connection)?;
        self.process
            .run("audit audit", Services::audit(config, onto))
    }
}

/// Flags win, all of them together.
fn instead(configured: &mut Vec<String>, said: Vec<String>) {
    if !said.is_empty() {
        *configured = said;
    }
}

impl Process {
    fn config(&self) -> Result<Config> {
        let mut config = match &self.config {
            Some(path) => Config::read(path)?,
            None => Config::default(),
        };
        if let Some(dir) = &self.dir {
            config.dir.clone_from(dir);
        }
        Ok(config)
    }

    /// Starts services, says that they are ready, and stops them when it is told to.
    fn run(&self, name: &str, start: impl Future<Output = Result<Services>>) -> Result<ExitCode> {
        block_on_all_cores(async {
            let mut input_ends = std::pin::pin!(end_of_input(self.until_stdin_ends));
            let services = start.await?;
            let mut stop = StopSignals::listen()?;
            if self.json {
                out::write_json(&Ready {
                    url: &services.url,
                    certificate: &services.certificate,
                    proxy_url: services.proxy_url.as_deref(),
                    metrics_url: services.metrics_url.as_deref(),
                    pid: std::process::id(),
                });
            } else {
                show(name, &services);
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

fn show(name: &str, services: &Services) {
    say!(
        "{} {}",
        bold(&format!("counterfoil {name}")),
        faint(env!("CARGO_PKG_VERSION"))
    );
    say!();
    say!("  address        {}", bold(&services.url));
    match &services.onto {
        Some(Onto::Ledger(ledger)) => say!("  ledger         {}", ledger.url),
        Some(Onto::Chain(chain)) => say!("  chain          {}", chain.id),
        None => {}
    }
    say!("  certificate    {}", services.certificate.display());
    if let Some(url) = &services.proxy_url {
        say!("  proxy          {}", bold(url));
    }
    if let Some(url) = &services.metrics_url {
        say!("  metrics        {url}");
    }
    if services.has_root == Some(false) {
        say!();
        say!(
            "There is no root yet: {} makes one",
            marked("POST /v1/root/slot, then /v1/root")
        );
    }
    say!();
    say!("{}", faint("Ctrl-C stops it."));
}
