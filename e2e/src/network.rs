//! Several nodes of one ledger, each the release binary in a process of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::TempDir;

use crate::http::Http;
use crate::server::{Ready, Server, counterfoil};

/// What does not happen by then never will.
const WITHIN: Duration = Duration::from_secs(60);
/// Wait between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// A node of a network. Dropping it kills its process.
#[derive(Debug)]
pub struct Node {
    folder: PathBuf,
    args: Vec<String>,
    server: Option<Server>,
    ready: Ready,
}

/// A network; dropping it kills its nodes and removes their folders.
#[derive(Debug)]
pub struct Network {
    folder: TempDir,
    /// The nodes, in the order in which they came.
    pub nodes: Vec<Node>,
    token: String,
}

#[derive(Deserialize)]
struct Consensus {
    details: Details,
}

/// What a node says about who leads.
#[derive(Debug, Clone, Deserialize)]
pub struct Details {
    /// The view.
    pub current_view: u64,
    /// The leader's id, if one is known.
    pub primary_id: Option<String>,
    /// `Leader` or `Follower`.
    pub leadership_state: String,
    /// The nodes that decide.
    pub deciding: Vec<String>,
}

impl Node {
    /// What it printed when it was ready.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Server::pid)
    }

    /// Ends it at once, as a loss of power would.
    ///
    /// # Errors
    /// When there is no process to end.
    pub fn kill(&mut self) -> Result<()> {
        let mut server = self.server.take().context("the node does not run")?;
        server.kill()
    }

    /// Asks it to stop and waits until it has.
    ///
    /// # Errors
    /// When it does not stop in time, or not with success.
    pub fn stop(&mut self) -> Result<()> {
        let mut server = self.server.take().context("the node does not run")?;
        server.stop()
    }

    /// Starts it again in its folder.
    ///
    /// # Errors
    /// When it does not say that it is ready.
    pub fn start(&mut self) -> Result<()> {
        ensure!(self.server.is_none(), "the node runs already");
        let token = self.ready.token.clone();
        let (server, ready) = Server::start(&self.folder, &self.args)?;
        self.server = Some(server);
        self.ready = Ready { token, ..ready };
        Ok(())
    }

    /// What it wrote to standard error so far.
    pub fn log(&self) -> String {
        crate::server::log_of(&self.folder)
    }

    /// Asks it as the administrator.
    ///
    /// # Errors
    /// When the certificate cannot be used.
    pub fn http(&self) -> Result<Http> {
        Http::new(&self.ready)
    }
}

impl Network {
    /// `count` nodes, founded and joined, that all decide.
    ///
    /// # Errors
    /// When they do not come to that.
    pub fn of(count: usize) -> Result<Self> {
        Self::with(count, &[])
    }

    /// The same, each started with more arguments.
    ///
    /// # Errors
    /// When they do not come to that.
    pub fn with(count: usize, args: &[&str]) -> Result<Self> {
        let folder = TempDir::with_prefix("counterfoil-network-").context("making a folder")?;
        let one = folder.path().join("one");
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        let own = [&["--dev".to_owned()], &peers()[..], &args].concat();
        let (server, ready) = Server::start(&one, &own)?;
        let token = ready.token.clone();
        let mut network = Self {
            folder,
            nodes: vec![Node {
                folder: one,
                args: own,
                server: Some(server),
                ready,
            }],
            token,
        };
        for number in 1..count {
            network.join(&format!("node{number}"), &args)?;
        }
        network.all_decide(count)?;
        Ok(network)
    }

    /// A folder beside the nodes', for whoever tests them.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn scratch(&self) -> Result<PathBuf> {
        let scratch = self.folder.path().join("scratch");
        fs::create_dir_all(&scratch).context("making a scratch folder")?;
        Ok(scratch)
    }

    /// Lets another node join, as its members would.
    ///
    /// # Errors
    /// When it is not let in.
    pub fn join(&mut self, name: &str, args: &[String]) -> Result<()> {
        let folder = self.folder.path().join(name);
        let known = self.running().context("no node runs")?;
        let cert = known.ready.service_cert.display().to_string();
        let join = ["--join", &known.ready.url, "--service-cert", &cert];
        let join = join.map(str::to_owned);
        let own = [&peers()[..], args].concat();
        let starting = Server::spawn(&folder, &[&own[..], &join].concat())?;
        let id = waited_for(&folder, WITHIN)?;
        self.propose(&[
            "transition_node_to_trusted",
            &format!("node_id={id}"),
            "valid_from=260101000000Z",
        ])?;
        let ready = starting.ready()?;
        let ready = Ready {
            token: self.token.clone(),
            ..ready
        };
        self.nodes.push(Node {
            folder,
            args: own,
            server: Some(starting),
            ready,
        });
        Ok(())
    }

    /// Proposes, and votes for it: the founding member decides alone.
    ///
    /// # Errors
    /// When it is not accepted.
    pub fn propose(&self, action: &[&str]) -> Result<()> {
        let args = [&["proposal", "create"], action, &["--yes", "--json"]].concat();
        let said: Value = serde_json::from_slice(&self.command(&args)?.stdout)?;
        ensure!(said["proposalState"] == "Accepted", "{said}");
        Ok(())
    }

    /// Runs a command of the binary against a node that runs, as the founder's administrator and
    /// member.
    ///
    /// # Errors
    /// When it fails; with what it said.
    pub fn command(&self, args: &[&str]) -> Result<Output> {
        let known = self.running().context("no node runs")?;
        let founder = &self.nodes[0].folder;
        let output = counterfoil()?
            .args(args)
            .env("COUNTERFOIL_URL", &known.ready.url)
            .env("COUNTERFOIL_SERVICE_CERT", &known.ready.service_cert)
            .env("COUNTERFOIL_TOKEN", &self.token)
            .env("COUNTERFOIL_MEMBER_CERT", founder.join("member0_cert.pem"))
            .env("COUNTERFOIL_MEMBER_KEY", founder.join("member0_privk.pem"))
            .output()
            .context("running a command")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            bail!("{args:?}: {}\n{said}", output.status);
        }
        Ok(output)
    }

    /// What a node says about who leads; `None` if it does not answer.
    pub fn standing(&self, node: usize) -> Option<Details> {
        let consensus: Consensus = self.asked(node, "/node/consensus")?;
        Some(consensus.details)
    }

    /// Waits until a node leads, and tells which.
    ///
    /// # Errors
    /// When none does in time.
    pub fn leader(&self) -> Result<usize> {
        let mut leader = None;
        self.until("a node leads", |network| {
            leader = (0..network.nodes.len()).find(|&node| {
                let standing = network.standing(node);
                standing.is_some_and(|standing| standing.leadership_state == "Leader")
            });
            leader.is_some()
        })?;
        leader.context("no node leads")
    }

    /// Waits until all nodes know that so many decide.
    ///
    /// # Errors
    /// When they do not in time.
    pub fn all_decide(&self, count: usize) -> Result<()> {
        self.until("all nodes decide", |network| {
            let nodes =
                (0..network.nodes.len()).filter(|&node| network.nodes[node].pid().is_some());
            nodes.into_iter().all(|node| {
                let standing = network.standing(node);
                standing.is_some_and(|standing| standing.deciding.len() == count)
            })
        })
    }

    /// Waits until all nodes that run have committed as much as the leader has now, and tells up to
    /// which seqno.
    ///
    /// # Errors
    /// When they have not in time.
    pub fn caught_up(&self) -> Result<u64> {
        let leader = self.leader()?;
        let last = self
            .committed(leader)
            .context("the leader does not answer")?;
        self.until("all have what the leader has", |network| {
            let mut running =
                (0..network.nodes.len()).filter(|&node| network.nodes[node].pid().is_some());
            running.all(|node| network.committed(node) >= Some(last))
        })?;
        Ok(last)
    }

    /// The last seqno that a node has committed; `None` if it does not answer.
    pub fn committed(&self, node: usize) -> Option<u64> {
        let commit: Value = self.asked(node, "/node/commit")?;
        let id = commit["transaction_id"].as_str()?;
        id.split_once('.')?.1.parse().ok()
    }

    /// Asks a node that runs, on a thread of its own: the caller may be in a runtime.
    fn asked<T: DeserializeOwned + Send + 'static>(
        &self,
        node: usize,
        path: &'static str,
    ) -> Option<T> {
        let node = &self.nodes[node];
        node.pid()?;
        let http = node.http().ok()?;
        let asking = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .ok()?;
            runtime.block_on(http.get_json(path)).ok()
        });
        asking.join().ok()?
    }

    fn running(&self) -> Option<&Node> {
        self.nodes.iter().find(|node| node.server.is_some())
    }

    fn until(&self, what: &str, mut done: impl FnMut(&Self) -> bool) -> Result<()> {
        let start = Instant::now();
        while !done(self) {
            if start.elapsed() > WITHIN {
                let logs = self.nodes.iter().map(Node::log);
                let logs: String = logs.collect::<Vec<_>>().join("\n--- next node\n");
                bail!("waited in vain until {what}\n{logs}");
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

fn peers() -> [String; 4] {
    ["--peers", "127.0.0.1:0", "--log", "info"].map(str::to_owned)
}

/// The id of a node that waits for the members to let it in.
fn waited_for(folder: &Path, within: Duration) -> Result<String> {
    let start = Instant::now();
    loop {
        let log = crate::server::log_of(folder);
        let line = log
            .lines()
            .find(|line| line.contains("waiting for the members"));
        let id = line.and_then(|line| {
            let (_, id) = line.split_once("node=\"")?;
            Some(id.split('"').next()?.to_owned())
        });
        if let Some(id) = id {
            return Ok(id);
        }
        if start.elapsed() > within {
            bail!("the node does not ask to join\n{log}");
        }
        std::thread::sleep(LOOK);
    }
}
