//! A network whose links, disks and clocks can be harmed.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::runtime::Handle;

use super::clock::Clock;
use super::disk::{self, SmallDisk};
use super::load::Targets;
use super::plan::Plan;
use crate::network::Network;
use crate::proxy::Links;
use crate::server::Launch;

/// Small files, so that much falls on their opening and closing.
const CHUNK_BYTES: usize = 100_000;

/// What things happen to.
pub(crate) struct Stage {
    /// The node that has it, and its disk. Taken away before the folder that it is mounted in.
    pub(crate) disk: Option<(usize, SmallDisk)>,
    pub(crate) network: Network,
    pub(crate) links: Arc<Links>,
    pub(crate) targets: Arc<Targets>,
    /// By node.
    pub(crate) clocks: Vec<Option<Clock>>,
    wants_clocks: bool,
    runtime: Handle,
}

impl Stage {
    /// The network that a plan begins with.
    pub(crate) fn set(plan: &Plan, runtime: &Handle) -> Result<Self> {
        let folder = TempDir::with_prefix("counterfoil-chaos-").context("making a folder")?;
        disk::enough(folder.path())?;
        let links = Links::sound();
        let mut disk = None;
        if let Some(at) = plan.small_disk {
            let small = SmallDisk::at(&folder.path().join(format!("node{at}")))?;
            disk = small.map(|small| (at, small));
        }
        let (launch, clock) = launch(folder.path(), 0, &links, runtime, plan.clocks)?;
        let mut stage = Self {
            network: Network::founded_in(folder, &launch)?,
            links,
            targets: Arc::default(),
            clocks: vec![clock],
            disk,
            wants_clocks: plan.clocks,
            runtime: runtime.clone(),
        };
        stage.targets.add(stage.network.nodes[0].ready())?;
        for _ in 1..plan.nodes {
            stage.join()?;
        }
        stage.network.all_decide(plan.nodes)?;
        Ok(stage)
    }

    /// Lets another node join.
    pub(crate) fn join(&mut self) -> Result<()> {
        let place = self.network.nodes.len();
        let folder = self.network.folder().to_owned();
        let (launch, clock) = launch(
            &folder,
            place,
            &self.links,
            &self.runtime,
            self.wants_clocks,
        )?;
        self.clocks.push(clock);
        self.network.join_as(&format!("node{place}"), &launch)?;
        self.targets.add(self.network.nodes[place].ready())
    }
}

/// How the node at `place` is started, with the way to it through the proxy.
fn launch(
    folder: &Path,
    place: usize,
    links: &Arc<Links>,
    runtime: &Handle,
    clocks: bool,
) -> Result<(Launch, Option<Clock>)> {
    let node = folder.join(format!("node{place}"));
    let (listen, peers, proxy) = (free_address()?, free_address()?, free_address()?);
    links.add(runtime, (place, node.clone()), proxy, peers)?;
    let config = node.with_extension("toml");
    let text = format!(
        "[peers]\nlisten = '{peers}'\npublished_address = '{proxy}'\n\
         [server]\nchunk_bytes = {CHUNK_BYTES}\ndrain_seconds = 3\n"
    );
    fs::write(&config, text).context("writing a configuration")?;
    let clock = match clocks {
        true => Clock::right(&node.with_extension("clock"))?,
        false => None,
    };
    let (listen, peers) = (listen.to_string(), peers.to_string());
    let config = config.display().to_string();
    let mut launch = Launch::with(&[
        "--listen", &listen, "--peers", &peers, "--config", &config, "--log", "info",
    ]);
    launch.env = clock.as_ref().map(Clock::environment).unwrap_or_default();
    Ok((launch, clock))
}

/// An address that nobody has, and that the system gives to nobody by chance: a node that is started
/// again must find its own free.
fn free_address() -> Result<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    /// The system's own choice begins above.
    const PORTS: std::ops::Range<u16> = 10_000..32_000;
    // Each process begins somewhere else.
    let count = u32::from(PORTS.end - PORTS.start);
    let begin = std::process::id().wrapping_mul(211) % count;
    for _ in 0..count {
        let next = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + u16::try_from((begin + next) % count)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    anyhow::bail!("no port is free")
}
