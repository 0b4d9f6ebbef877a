//! A ledger, served by this process.

use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use api::{Served, dev};
use contracts::rpc::Plain;
use ledger::roles::ADMINISTRATOR;
use ledger::users;
use node::{Node, SERVICE_CERT_FILE};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::chain::{self, Chain};
use crate::config::Config;
use crate::profile::{IN_LEDGER, Profile};
use crate::report::Failure;

/// The development administrator's token in a ledger's folder.
const TOKEN_FILE: &str = "dev-administrator.token";

/// The founding member's keys in a ledger's folder, where nobody else was named.
const FOUNDING_MEMBER_CERT: &str = "member0_cert.pem";
const FOUNDING_MEMBER_KEY: &str = "member0_privk.pem";

/// The folder of ledger files in a ledger's folder.
pub(crate) const CHUNKS_FOLDER: &str = "ledger";

/// A ledger that is being served.
pub(crate) struct Server {
    /// The node.
    pub(crate) node: Arc<Node>,
    /// Where it is reached.
    pub(crate) url: String,
    /// Its folder, absolute.
    pub(crate) dir: PathBuf,
    /// The development administrator's token, and the file that holds it.
    pub(crate) token: Option<(String, PathBuf)>,
    served: Served,
    chain: Chain,
    plain: Option<Plain>,
    stop: CancellationToken,
}

impl Server {
    /// Creates or recovers the ledger, and serves it; contracts also in plain at `rpc`.
    pub(crate) async fn start(
        config: &mut Config,
        dev: bool,
        rpc: Option<SocketAddr>,
    ) -> Result<Self> {
        config.fix_port()?;
        let (mut node_config, mut api_config) = (config.node()?, config.api()?);
        let dir = config.dir();
        let is_new = is_new(dir);
        let administrator = match dev {
            true => Some(dev::administrator(dir)?),
            false => None,
        };
        if let Some(administrator) = &administrator {
            node_config.administrators.push(administrator.user.clone());
            api_config.jwt.push(administrator.issuer.clone());
            if node_config.peers.is_some() {
                node_config.founding_actions = Some(administrator.founding_actions());
            }
        }
        if is_new && node_config.administrators.is_empty() && !has_joined(dir) {
            let failure = Failure::unreadable("a new ledger needs an administrator");
            return Err(failure
                .hint("say --administrator CERT.pem, or --dev for trying things out")
                .into());
        }
        if !is_new && !config.administrators.is_empty() {
            tracing::warn!("administrators are for new ledgers; this one keeps those it has");
        }
        let starting = tokio::task::spawn_blocking(move || Node::start(node_config));
        let node = starting.await.context("starting the node")??;
        if let Some(administrator) = &administrator
            && !is_administrator(&node, &administrator.user)
        {
            node.stop().await;
            let failure = Failure::new("this ledger was not created with --dev")
                .hint("start it without --dev; its administrators can add users");
            return Err(failure.into());
        }
        let stop = CancellationToken::new();
        let chain = match Chain::new(&node) {
            Ok(chain) => chain,
            Err(error) => {
                node.stop().await;
                return Err(error.into());
            }
        };
        let mounts = vec![chain.mount()];
        let serving = api::serve(Arc::clone(&node), api_config, mounts, stop.clone());
        let served = match serving.await {
            Ok(served) => served,
            Err(error) => {
                node.stop().await;
                return Err(error.into());
            }
        };
        let plain = match rpc.zip(administrator.as_ref()) {
            None => None,
            Some((address, administrator)) => {
                let everybody = chain::everybody(administrator.user.clone());
                match Plain::serve(address, Arc::clone(&chain.rpc), everybody).await {
                    Ok(plain) => Some(plain),
                    Err(error) => {
                        stop.cancel();
                        served.finished().await;
                        node.stop().await;
                        return Err(error.into());
                    }
                }
            }
        };
        let dir = dir.canonicalize().map_err(Failure::reading(dir))?;
        let token = match administrator {
            Some(administrator) => Some(keep_token(&dir, administrator.token)?),
            None => None,
        };
        let url = format!("https://{}", reachable(served.local_addr));
        let server = Self {
            node,
            url,
            dir,
            token,
            served,
            chain,
            plain,
            stop,
        };
        server.write_profile()?;
        Ok(server)
    }

    /// The file with the trust anchor.
    pub(crate) fn service_cert(&self) -> PathBuf {
        self.dir.join(SERVICE_CERT_FILE)
    }

    /// Where contracts are reached in plain, if they are.
    pub(crate) fn rpc_url(&self) -> Option<String> {
        let plain = self.plain.as_ref()?;
        Some(format!("http://{}", plain.local_addr))
    }

    /// Takes no more requests, answers those under way, and leaves the files ready for a quick
    /// start.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        if let Some(plain) = self.plain {
            plain.stop().await;
        }
        self.chain.stop().await;
        self.served.finished().await;
        self.node.stop().await;
    }

    /// A file of this name in the ledger's folder, if it is there.
    fn beside(&self, name: &str) -> Option<PathBuf> {
        self.dir.join(name).is_file().then(|| name.into())
    }

    fn write_profile(&self) -> Result<(), Failure> {
        let profile = Profile {
            url: Some(self.url.clone()),
            service_cert: Some(SERVICE_CERT_FILE.into()),
            token_file: self.token.as_ref().map(|_| TOKEN_FILE.into()),
            member_cert: self.beside(FOUNDING_MEMBER_CERT),
            member_key: self.beside(FOUNDING_MEMBER_KEY),
            ..Profile::default()
        };
        profile.write(&self.dir.join(IN_LEDGER))
    }
}

/// The wish that this process end: SIGINT or SIGTERM.
///
/// Listen before anybody is told that the server is ready: a signal that nobody listens for ends the
/// process where it stands.
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// From now on signals are kept until they are waited for.
    pub(crate) fn listen() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Waits for the end of standard input; for ever if it is not to be looked at.
pub(crate) async fn end_of_input(wanted: bool) {
    if !wanted {
        return std::future::pending().await;
    }
    let (tell, told) = tokio::sync::oneshot::channel();
    // A thread of its own, as reading cannot be given up: a runtime would wait for it at its end.
    std::thread::spawn(move || {
        // An input that cannot be read has ended too.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        // Nobody waits any more where a signal came first.
        let _ = tell.send(());
    });
    let _ = told.await;
}

/// Whether the folder is that of a node which was let into a network.
pub(crate) fn has_joined(dir: &Path) -> bool {
    dir.join(node::join::ADMITTED_FILE).exists()
}

/// Whether there is no ledger in the folder yet.
pub(crate) fn is_new(dir: &Path) -> bool {
    let chunks = std::fs::read_dir(dir.join(CHUNKS_FOLDER));
    chunks.map_or(true, |mut chunks| chunks.next().is_none())
}

fn is_administrator(node: &Node, user: &users::UserId) -> bool {
    users::read(node.state(), user).is_some_and(|user| user.roles.contains(ADMINISTRATOR))
}

/// An address that clients can connect to: where the server listens on all, this machine's own.
fn reachable(mut address: std::net::SocketAddr) -> std::net::SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// Writes the token for its owner only.
fn keep_token(dir: &Path, token: String) -> Result<(String, PathBuf), Failure> {
    use std::io::Write;
    let path = dir.join(TOKEN_FILE);
    let mut options = std::fs::OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path);
    file.and_then(|mut file| file.write_all(token.as_bytes()))
        .map_err(Failure::writing(&path))?;
    Ok((token, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_all_is_reached_on_loopback() {
        let shown = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(shown("0.0.0.0:5"), "127.0.0.1:5");
        assert_eq!(shown("[::]:5"), "[::1]:5");
        assert_eq!(shown("10.0.0.7:5"), "10.0.0.7:5");
    }

    #[test]
    fn a_folder_without_ledger_files_is_new() {
        let dir = tempfile::tempdir().unwrap();
        assert!(is_new(&dir.path().join("nothing")));
        std::fs::create_dir(dir.path().join(CHUNKS_FOLDER)).unwrap();
        assert!(is_new(dir.path()));
        std::fs::write(dir.path().join(CHUNKS_FOLDER).join("ledger_1"), "").unwrap();
        assert!(!is_new(dir.path()));
    }
}
