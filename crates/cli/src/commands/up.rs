//! `counterfoil up`: a ledger in a folder, served until it is asked to stop.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use ledger::entries::Visibility;
use serde::Serialize;

use super::block_on_all_cores;
use crate::config::{Config, DIR_DEFAULT, Founder, Peers};
use crate::join::{self, Network};
use crate::out::{self, bold, faint, marked, say, warning};
use crate::server::{Server, StopSignals, end_of_input};

/// Start a ledger, or go on with the one in the folder.
///
/// The folder is created if missing, and holds everything. Ctrl-C or SIGTERM stops it: requests
/// under way are answered first.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  counterfoil up --dev                                  try it: an administrator is made for you
  counterfoil up --dir /srv/ledger --administrator alice.pem --listen 0.0.0.0:8443
  counterfoil up --config /etc/counterfoil.toml

A network of three on one machine:
  counterfoil up --dev --dir one --listen 127.0.0.1:8443 --peers 127.0.0.1:0
  counterfoil up --dir two --listen 127.0.0.1:8444 --peers 127.0.0.1:0 \\
      --join https://127.0.0.1:8443 --service-cert one/service_cert.pem
  counterfoil up --dir three --listen 127.0.0.1:8445 --peers 127.0.0.1:0 \\
      --join https://127.0.0.1:8443 --service-cert one/service_cert.pem")]
pub(crate) struct Up {
    /// The folder that holds everything of the ledger [default: ledger].
    #[arg(short, long, env = "COUNTERFOIL_DIR")]
    dir: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:8443].
    #[arg(short, long, env = "COUNTERFOIL_LISTEN", value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    /// For development: make an administrator whose bearer token is in the ledger's folder.
    #[arg(long)]
    dev: bool,
    /// For development: serve the contracts' JSON-RPC here too, without TLS and without asking who
    /// calls. An address of this machine alone; port 0 takes a free one.
    #[arg(long, value_name = "IP:PORT", requires = "dev")]
    rpc: Option<SocketAddr>,
    /// Keep contents in clear in the ledger files. Only for a new ledger; fixed from then on.
    #[arg(long)]
    public: bool,
    /// An administrator of a new ledger: a certificate (PEM file), its fingerprint, or the subject
    /// of a token. May be repeated.
    #[arg(short, long = "administrator", value_name = "USER")]
    administrators: Vec<String>,
    /// A member who governs a new ledger: a certificate (PEM file). May be repeated. Where none is
    /// named, one is made, and its key is left in the folder.
    #[arg(short, long = "member", value_name = "CERT")]
    members: Vec<PathBuf>,
    /// Where to listen for the other nodes of a network; port 0 takes a free one, and keeps it. A
    /// node without it is alone.
    #[arg(long, env = "COUNTERFOIL_PEERS", value_name = "IP:PORT")]
    peers: Option<SocketAddr>,
    /// Join the network of the node at this address, with an empty folder; its members decide. Goes
    /// with --peers and --service-cert.
    #[arg(
        long,
        value_name = "URL",
        requires = "peers",
        requires = "service_cert"
    )]
    join: Option<String>,
    /// The service certificate of the network to join (PEM file): what makes sure that it is the
    /// right one.
    #[arg(long, value_name = "FILE", requires = "join")]
    service_cert: Option<PathBuf>,
    /// A configuration file (TOML); flags win over it.
    #[arg(short, long, env = "COUNTERFOIL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Stop when standard input ends too: for programs that start nodes, so that no node outlives
    /// them.
    #[arg(long)]
    until_stdin_ends: bool,
    /// When ready, print one line of JSON for scripts, and nothing else.
    #[arg(long)]
    json: bool,
}

/// The exit code of who was interrupted (128 + SIGINT).
const INTERRUPTED: i32 = 130;

/// The line of JSON.
#[derive(Serialize)]
struct Ready<'a> {
    url: &'a str,
    service_cert: &'a Path,
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rpc_url: Option<&'a str>,
    pid: u32,
    ledger_dir: &'a Path,
}

impl Up {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let mut config = Config::named(self.config.as_deref())?;
        config.dir = self.dir.or(config.dir);
        config.listen = self.listen.or(config.listen);
        config.public |= self.public;
        config.administrators.extend(self.administrators);
        let members = self.members.into_iter().map(Founder::with_cert);
        config.members.extend(members);
        if let Some(listen) = self.peers {
            let peers = config.peers.get_or_insert(Peers::on(listen));
            peers.listen = listen;
        }
        let network = match (self.join, self.service_cert) {
            (Some(url), Some(cert)) => Some(Network::named(url, &cert)?),
            _ => None,
        };
        block_on_all_cores(async {
            let mut input_ends = std::pin::pin!(end_of_input(self.until_stdin_ends));
            if let Some(network) = &network {
                tokio::select! {
                    joined = join::join(&mut config, network) => joined?,
                    () = &mut input_ends => return Ok(ExitCode::SUCCESS),
                }
            }
            let server = Server::start(&mut config, self.dev, self.rpc).await?;
            let mut stop = StopSignals::listen()?;
            if self.json {
                out::write_json(&Ready {
                    url: &server.url,
                    service_cert: &server.service_cert(),
                    token: server.token.as_ref().map(|(token, _)| token.as_str()),
                    rpc_url: server.rpc_url().as_deref(),
                    pid: std::process::id(),
                    ledger_dir: &server.dir,
                });
            } else {
                show(&server, config.dir());
            }
            tokio::select! {
                () = stop.next() => {}
                () = &mut input_ends => {}
            }
            tracing::info!("stopping: requests under way are answered first");
            tokio::select! {
                () = server.stop() => Ok(ExitCode::SUCCESS),
                () = stop.next() => {
                    // What was acknowledged is on the disk; the next start reads the tail again.
                    tracing::warn!("asked again: ending at once");
                    std::process::exit(INTERRUPTED)
                }
            }
        })
    }
}

fn show(server: &Server, dir: &Path) {
    let visibility = match server.node.visibility() {
        Visibility::Private => "private",
        Visibility::Public => "public",
    };
    say!(
        "{} {}",
        bold("counterfoil"),
        faint(env!("CARGO_PKG_VERSION"))
    );
    say!();
    show_warning(server);
    say!("  address        {}", bold(&server.url));
    say!(
        "  folder         {} {}",
        server.dir.display(),
        faint(format!("({visibility} ledger)"))
    );
    say!("  trust anchor   {}", server.service_cert().display());
    match &server.token {
        Some((_, path)) => say!("  administrator  token in {}", path.display()),
        None => say!("  administrators as the ledger has them: `counterfoil user list`"),
    }
    if let Some(url) = server.rpc_url() {
        say!(
            "  contracts      {} {}",
            bold(&url),
            faint("(no TLS, open to this machine)")
        );
    }
    say!("  page           {}/", server.url);
    say!();
    say!("In another terminal:");
    // Commands find a ledger in the default folder by themselves.
    let ledger = match dir == Path::new(DIR_DEFAULT) {
        true => String::new(),
        false => format!(" --ledger {}", dir.display()),
    };
    let next = next(server);
    for command in [
        format!("entry write 'lot 7 harvested'{ledger}"),
        format!("entry list{ledger}"),
        format!("receipt get {next} -o receipt.json{ledger}"),
        format!("verify receipt.json{ledger}"),
    ] {
        say!("  {}", marked(format!("counterfoil {command}")));
    }
    say!();
    say!("{}", faint("Ctrl-C stops it."));
}

/// The transaction that the next write will have while nobody else writes.
fn next(server: &Server) -> verify::TxId {
    let committed = server.node.committed();
    verify::TxId::new(server.node.view(), committed.seqno.next())
}

/// What everybody must know who relies on a ledger without hardware protection.
pub(crate) fn show_warning(server: &Server) {
    if server.node.platform() == "Virtual" {
        say!(
            "  {}",
            warning("VIRTUAL MODE: nothing here is protected by hardware.")
        );
        say!(
            "  {}",
            warning("Whoever runs this machine can read every private entry and sign")
        );
        say!(
            "  {}",
            warning("in the name of this ledger. For development only.")
        );
        say!();
    }
}
