//! Several nodes of one ledger, each the release binary in a process of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::Place;
use crate::http::Http;
use crate::server::{Launch, Ready, Server, counterfoil};

/// What does not happen by then never will.
const WITHIN: Duration = Duration::from_secs(60);
/// Wait between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// A node of a network. Dropping it kills its process.
#[derive(Debug)]
pub struct Node {
    folder: PathBuf,
    launch: Launch,
    server: Option<Server>,
    ready: Ready,
}

/// A network; dropping it kills its nodes and removes their folders.
#[derive(Debug)]
pub struct Network {
    folder: TempDir,
    /// The nodes, in the order in which they came.
    pub nodes: Vec<Node>,
    founder: PathBuf,
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
        self.begin()?;
        self.begun_within(WITHIN)
    }

    /// Another program runs it from its next start on.
    pub fn upgrade(&mut self, program: &Path) {
        self.launch.program = Some(program.to_owned());
    }

    /// Starts it again in its folder, and does not wait until it is ready.
    ///
    /// # Errors
    /// When it runs already, or cannot be started.
    pub fn begin(&mut self) -> Result<()> {
        ensure!(self.server.is_none(), "the node runs already");
        self.server = Some(Server::spawn(&self.folder, &self.launch)?);
        Ok(())
    }

    /// Waits until it is ready, after [`begin`](Self::begin).
    ///
    /// # Errors
    /// When it does not say so in time.
    pub fn begun_within(&mut self, within: Duration) -> Result<()> {
        let server = self.server.as_ref().context("the node does not run")?;
        let token = self.ready.token.clone();
        let ready = server.ready_within(within)?;
        self.ready = Ready { token, ..ready };
        Ok(())
    }

    /// Whether it has said that it is ready, after [`begin`](Self::begin).
    pub fn has_begun(&self) -> bool {
        self.server.as_ref().is_some_and(Server::is_ready)
    }

    /// Sends its process a signal, such as `STOP` or `CONT`.
    ///
    /// # Errors
    /// When there is no process.
    pub fn signal(&self, name: &str) -> Result<()> {
        let server = self.server.as_ref().context("the node does not run")?;
        server.signal(name)
    }

    /// Waits until it has stopped, after it was sent `TERM`.
    ///
    /// # Errors
    /// When it does not stop in time, or not with success.
    pub fn stopped(&mut self) -> Result<()> {
        let mut server = self.server.take().context("the node does not run")?;
        server.stopped()
    }

    /// How its process ended, if it ended by itself; it does not run from then on.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let Some(server) = &mut self.server else {
            return Ok(None);
        };
        let status = server.ended()?;
        if status.is_some() {
            self.server = None;
        }
        Ok(status)
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
        let launch = Launch::with(args).after(&PEERS);
        let mut network = Self::founded(&launch)?;
        for number in 1..count {
            network.join_as(&format!("node{number}"), &launch)?;
        }
        network.all_decide(count)?;
        Ok(network)
    }

    /// The first node of a network, in a new folder.
    ///
    /// # Errors
    /// When it does not say that it is ready.
    pub fn founded(launch: &Launch) -> Result<Self> {
        let folder = TempDir::with_prefix("counterfoil-network-").context("making a folder")?;
        Self::founded_in(folder, launch)
    }

    /// The first node of a network, which gets this folder.
    ///
    /// # Errors
    /// When it does not say that it is ready.
    pub fn founded_in(folder: TempDir, launch: &Launch) -> Result<Self> {
        let founder = folder.path().join("node0");
        let launch = launch.after(&["--dev"]);
        let (server, ready) = Server::start(&founder, &launch)?;
        let token = ready.token.clone();
        let node = Node {
            folder: founder.clone(),
            launch,
            server: Some(server),
            ready,
        };
        Ok(Self {
            folder,
            nodes: vec![node],
            founder,
            token,
        })
    }

    /// The folder that holds the nodes' folders.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves all that is on the disk when the network is dropped.
    pub fn keep(&mut self) {
        self.folder.disable_cleanup(true);
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

    /// Where a script finds a node; it gets a folder of this name.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn place(&self, node: usize, name: &str) -> Result<Place> {
        let scratch = self.scratch()?.join(name);
        fs::create_dir_all(&scratch).context("making a scratch folder")?;
        let node = &self.nodes[node];
        Ok(Place {
            ready: node.ready.clone(),
            folder: node.folder.clone(),
            scratch,
        })
    }

    /// Lets another node join, as its members would.
    ///
    /// # Errors
    /// When it is not let in.
    pub fn join(&mut self, name: &str, args: &[&str]) -> Result<()> {
        self.join_as(name, &Launch::with(args).after(&PEERS))
    }

    /// The same, started like this.
    ///
    /// # Errors
    /// When it is not let in.
    pub fn join_as(&mut self, name: &str, launch: &Launch) -> Result<()> {
        let folder = self.folder.path().join(name);
        let known = self.running().context("no node runs")?;
        let cert = known.ready.service_cert.display().to_string();
        let joining = launch.after(&["--join", &known.ready.url, "--service-cert", &cert]);
        let starting = Server::spawn(&folder, &joining)?;
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
            launch: launch.clone(),
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

    /// Waits until the leader has done what members decided.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn wishes_are_done(&self) -> Result<()> {
        let leader = self.leader()?;
        self.until("what members decided is done", |network| {
            let info: Option<Value> =
                network.asked(leader, "/gov/service/info?api-version=2024-07-01");
            info.is_some_and(|info| info["wishes"] == Value::Array(Vec::new()))
        })
    }

    /// Runs a command of the binary against a node that runs, as the founder's administrator and
    /// member.
    ///
    /// # Errors
    /// When it fails; with what it said.
    pub fn command(&self, args: &[&str]) -> Result<Output> {
        let known = self.running().context("no node runs")?;
        let mut command = self.founders(known, args)?;
        let output = command.output().context("running a command")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            bail!("{args:?}: {}\n{said}", output.status);
        }
        Ok(output)
    }

    /// A proposal of the founding member to this node, under way: what becomes of it is not waited for.
    ///
    /// # Errors
    /// When the binary does not start.
    pub fn begin_proposing(&self, node: usize, action: &[&str]) -> Result<Child> {
        let args = [&["proposal", "create"], action, &["--yes", "--json"]].concat();
        let mut command = self.founders(&self.nodes[node], &args)?;
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(Stdio::null()).spawn();
        child.context("running a command")
    }

    /// A command of the founder against a node.
    fn founders(&self, node: &Node, args: &[&str]) -> Result<Command> {
        let founder = &self.founder;
        let mut command = counterfoil()?;
        command
            .args(args)
            .env("COUNTERFOIL_URL", &node.ready.url)
            .env("COUNTERFOIL_SERVICE_CERT", &node.ready.service_cert)
            .env("COUNTERFOIL_TOKEN", &self.token)
            .env("COUNTERFOIL_MEMBER_CERT", founder.join("member0_cert.pem"))
            .env("COUNTERFOIL_MEMBER_KEY", founder.join("member0_privk.pem"));
        Ok(command)
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

    /// Asks each node as the administrator.
    ///
    /// # Errors
    /// When the certificate cannot be used.
    pub fn all_http(&self) -> Result<Vec<Http>> {
        self.nodes.iter().map(Node::http).collect()
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

/// What makes a node one of several.
const PEERS: [&str; 4] = ["--peers", "127.0.0.1:0", "--log", "info"];

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
