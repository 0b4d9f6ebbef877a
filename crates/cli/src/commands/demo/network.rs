//! Chapter one: three nodes become one ledger, each let in by two of three members.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use client::{Client, Credential};
use verify::{Cert, TxId};

use super::organisations::{NAMES, Organisation};
use super::process::{Process, Ready, until};
use crate::out::{bad, faint, good, marked, one_line, say};
use crate::report::Failure;

/// A node of one of the organisations.
pub(super) struct Node {
    /// Whose it is.
    pub(super) name: &'static str,
    /// Its folder.
    pub(super) dir: PathBuf,
    /// Asks this node first.
    pub(super) client: Client,
    id: String,
    args: Vec<String>,
    process: Option<Process>,
}

/// The nodes, and what is common to them.
pub(super) struct Network {
    /// In the order of [`NAMES`].
    pub(super) nodes: Vec<Node>,
    /// The file with the trust anchor.
    pub(super) service_cert: PathBuf,
    /// The development administrator's token.
    pub(super) token: String,
    /// This program, which the processes run.
    pub(super) program: PathBuf,
    dir: PathBuf,
    members: Vec<Organisation>,
}

impl Network {
    /// The first organisation's node founds the ledger; the three are its members.
    pub(super) async fn found(dir: &Path) -> Result<Self> {
        let program = std::env::current_exe().context("finding this program")?;
        let members = NAMES.map(|name| Organisation::new(name, dir));
        let members = members.into_iter().collect::<Result<Vec<_>>>()?;
        let mut args = vec!["--dev".to_owned()];
        for member in &members {
            args.extend([
                "--member".to_owned(),
                member.cert_file.display().to_string(),
            ]);
        }
        let own = folder(dir, NAMES[0]);
        let mut process = Process::start(&program, &own, &args)?;
        let ready: Ready = process.ready().await?;
        let token = ready.token.context("the founder has a token")?;
        let mut network = Self {
            nodes: Vec::new(),
            service_cert: ready.service_cert,
            token,
            dir: dir.to_owned(),
            program,
            members,
        };
        network.add(NAMES[0], args, process, &ready.url).await?;
        say!(
            "   {}'s node founds the ledger {}",
            NAMES[0],
            faint(&ready.url)
        );
        Ok(network)
    }

    /// An organisation's node joins: `proposer` proposes it, which is not enough, and `second`
    /// agrees.
    pub(super) async fn let_in(
        &mut self,
        joining: usize,
        proposer: usize,
        second: usize,
    ) -> Result<()> {
        let name = NAMES[joining];
        let args = self.joining();
        let mut process = Process::start(&self.program, &folder(&self.dir, name), &args)?;
        let id = process.pending().await?;
        let client = &self.nodes[0].client;
        let proposed = self.members[proposer].propose_to_trust(client, &id).await?;
        say!(
            "   {name}'s node asks to join with its evidence: {}; {} proposes to trust it: {}, 1 of 3",
            marked("Pending"),
            NAMES[proposer],
            marked(&proposed.proposal_state)
        );
        expect(&proposed.proposal_state, "Open")?;
        let decided = self.members[second].vote_for(client, &proposed).await?;
        expect(&decided.proposal_state, "Accepted")?;
        let ready: Ready = process.ready().await?;
        say!(
            "   {} votes yes too: {}, and {name}'s node joins {}",
            NAMES[second],
            good(&decided.proposal_state),
            faint(&ready.url)
        );
        self.add(name, args, process, &ready.url).await?;
        self.caught_up(self.nodes.len() - 1).await
    }

    /// A node that runs other code: this program, and one byte behind it.
    pub(super) async fn refuse_other_code(&self) -> Result<()> {
        let program = self.dir.join("counterfoil-changed");
        std::fs::copy(&self.program, &program).map_err(Failure::writing(&program))?;
        let copy = std::fs::File::options().append(true).open(&program);
        copy.and_then(|mut copy| copy.write_all(&[0]))
            .map_err(Failure::writing(&program))?;
        let dir = folder(&self.dir, "stranger");
        let said = Process::start(&program, &dir, &self.joining())?
            .refused()
            .await?;
        let reason = said.lines().find(|line| line.starts_with("error: "));
        let reason = reason.unwrap_or(&said).trim_start_matches("error: ");
        say!(
            "   a fourth node, of which one byte differs: {} {}",
            bad("REFUSED"),
            one_line(reason, 110)
        );
        std::fs::remove_file(&program).map_err(Failure::writing(&program))?;
        match said.contains("FailedInvalidHostData") {
            true => Ok(()),
            false => Err(Failure::new("it was refused for another reason than its code").into()),
        }
    }

    /// Waits until a node that runs leads; gives which, and the view.
    pub(super) async fn leader(&self) -> Result<(usize, u64)> {
        let leader = until(async || {
            for (at, node) in self.nodes.iter().enumerate() {
                if node.process.is_none() {
                    continue;
                }
                let Ok(seen) = node.client.node_network().await else {
                    continue;
                };
                if seen.primary_id.as_ref() == Some(&node.id) {
                    return Some((at, seen.current_view?));
                }
            }
            None
        });
        Ok(leader.await.ok_or_else(|| Failure::new("no node leads"))?)
    }

    /// Waits until a node has committed what the leader has now.
    pub(super) async fn caught_up(&self, node: usize) -> Result<()> {
        let (leader, _) = self.leader().await?;
        let last = self.nodes[leader].client.node_commit().await?;
        let node = &self.nodes[node];
        let has = until(async || {
            let committed: TxId = node.client.node_commit().await.ok()?;
            (committed.seqno >= last.seqno).then_some(())
        });
        has.await.ok_or_else(|| {
            Failure::new(format!(
                "{}'s node does not catch up with the others",
                node.name
            ))
            .into()
        })
    }

    /// Kills a node's process (SIGKILL).
    pub(super) fn kill(&mut self, node: usize) {
        if let Some(mut process) = self.nodes[node].process.take() {
            process.kill();
        }
    }

    /// Starts a node again, and waits until it has what the others have.
    pub(super) async fn start_again(&mut self, node: usize) -> Result<()> {
        let found = &mut self.nodes[node];
        let mut process = Process::start(&self.program, &found.dir, &found.args)?;
        process.ready::<Ready>().await?;
        found.process = Some(process);
        self.caught_up(node).await
    }

    /// Stops all nodes.
    pub(super) async fn stop(self) {
        for process in self.nodes.into_iter().filter_map(|node| node.process) {
            process.stop().await;
        }
    }

    /// The trust anchor, read from its file as any outsider would.
    pub(super) fn anchor(&self) -> Result<Cert> {
        Cert::from_pem(&self.service_cert_pem()?).context("the service certificate cannot be used")
    }

    fn service_cert_pem(&self) -> Result<String, Failure> {
        std::fs::read_to_string(&self.service_cert).map_err(Failure::reading(&self.service_cert))
    }

    fn joining(&self) -> Vec<String> {
        let cert = self.service_cert.display().to_string();
        let url = self.nodes[0].client.url().to_owned();
        ["--join".to_owned(), url, "--service-cert".to_owned(), cert].to_vec()
    }

    async fn add(
        &mut self,
        name: &'static str,
        args: Vec<String>,
        process: Process,
        url: &str,
    ) -> Result<()> {
        let client = Client::builder(url)
            .service_cert(self.service_cert_pem()?)
            .credential(Credential::bearer(&self.token))
            .build()?;
        let id = client.node_state().await?.node_id;
        self.nodes.push(Node {
            name,
            dir: folder(&self.dir, name),
            client,
            id,
            args,
            process: Some(process),
        });
        Ok(())
    }
}

fn folder(dir: &Path, name: &str) -> PathBuf {
    dir.join(name.to_lowercase())
}

fn expect(state: &str, expected: &str) -> Result<(), Failure> {
    match state == expected {
        true => Ok(()),
        false => Err(Failure::new(format!(
            "the proposal is {state}, not {expected}"
        ))),
    }
}
