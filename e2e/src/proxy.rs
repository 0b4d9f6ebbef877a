//! Bad links between nodes: each node is published at an address of ours, and what arrives there is
//! passed on, late, slowly, or not at all.
//!
//! A link has a direction. Who connects is found out from the system's table of sockets, so that the
//! link from one node to another can fail while all others hold.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Read at a time.
const PIECE: usize = 16 << 10;
/// A node that has just been started may not be found at once.
const LOOKS: usize = 4;
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A set of nodes, by their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nodes(u64);

impl Nodes {
    /// All there are and will be.
    pub const ALL: Self = Self(u64::MAX);

    /// These.
    pub fn of(places: &[usize]) -> Self {
        Self(places.iter().fold(0, |all, place| all | 1 << place))
    }

    /// All others.
    #[must_use]
    pub const fn others(self) -> Self {
        Self(!self.0)
    }

    /// Whether the node is among them. One that is not known is in every set.
    fn has(self, place: Option<&usize>) -> bool {
        place.is_none_or(|place| self.0 & (1 << place) != 0)
    }
}

/// What becomes of bytes on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Connections break, and no new ones come about.
    Refuse,
    /// Nothing arrives as long as this lasts; then all of it does.
    Hold,
    /// What is sent is lost, and so is the connection, later.
    Swallow,
    /// Each piece is late by so much.
    Delay(Duration),
    /// So many bytes a second.
    Throttle(u32),
}

/// What happens on the links from some nodes to others.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// The links from these
    pub from: Nodes,
    /// to these.
    pub to: Nodes,
    /// What becomes of bytes.
    pub effect: Effect,
}

/// All links of a network.
#[derive(Debug)]
pub struct Links {
    rules: watch::Sender<Vec<(usize, Rule)>>,
    /// The nodes' folders: a process is known by what it was started with.
    folders: Mutex<Vec<PathBuf>>,
}

impl Links {
    /// They hold.
    pub fn sound() -> Arc<Self> {
        Arc::new(Self {
            rules: watch::Sender::new(Vec::new()),
            folders: Mutex::default(),
        })
    }

    /// From now on this holds too, until [`mend`](Self::mend) ends it.
    pub fn harm(&self, name: usize, rule: Rule) {
        self.rules.send_modify(|rules| rules.push((name, rule)));
    }

    /// Ends what was begun under this name.
    pub fn mend(&self, name: usize) {
        self.rules
            .send_modify(|rules| rules.retain(|(other, _)| *other != name));
    }

    /// Ends all that was begun.
    pub fn mend_all(&self) {
        self.rules.send_modify(Vec::clear);
    }

    /// Listens at `at` for what is sent to the node at `place`, which has this folder and listens at
    /// `node`.
    ///
    /// # Errors
    /// When it cannot listen there.
    pub fn add(
        self: &Arc<Self>,
        runtime: &Handle,
        (place, folder): (usize, PathBuf),
        at: SocketAddr,
        node: SocketAddr,
    ) -> Result<()> {
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        let count = folders.len().max(place + 1);
        folders.resize(count, PathBuf::new());
        folders[place] = folder;
        drop(folders);
        let listener = std::net::TcpListener::bind(at).with_context(|| format!("proxy at {at}"))?;
        listener.set_nonblocking(true)?;
        let links = Arc::clone(self);
        let _inside = runtime.enter();
        let listener = TcpListener::from_std(listener)?;
        runtime.spawn(async move {
            while let Ok((stream, from)) = listener.accept().await {
                let links = Arc::clone(&links);
                tokio::spawn(async move { links.serve(stream, from, place, node).await });
            }
        });
        Ok(())
    }

    /// A connection that breaks is part of the game: errors end it and nothing else.
    async fn serve(&self, stream: TcpStream, from: SocketAddr, to: usize, node: SocketAddr) {
        // Who it is from takes time to find out: nobody waits for it while all links hold.
        let known = OnceLock::new();
        if !self.rules.borrow().is_empty() {
            self.find(from.port(), &known).await;
        }
        if self
            .effects(known.get(), Some(&to))
            .contains(&Effect::Refuse)
            || self
                .effects(Some(&to), known.get())
                .contains(&Effect::Refuse)
        {
            return;
        }
        let Ok(onward) = TcpStream::connect(node).await else {
            return;
        };
        let _ = (stream.set_nodelay(true), onward.set_nodelay(true));
        let (read, write) = stream.into_split();
        let (back, forth) = onward.into_split();
        let find = async {
            self.find(from.port(), &known).await;
            std::future::pending::<()>().await;
        };
        // When one direction ends, so does the other.
        tokio::select! {
            _ = self.pump(read, forth, || self.effects(known.get(), Some(&to))) => {}
            _ = self.pump(back, write, || self.effects(Some(&to), known.get())) => {}
            () = find => {}
        }
    }

    async fn pump(
        &self,
        mut read: OwnedReadHalf,
        mut write: OwnedWriteHalf,
        effects: impl Fn() -> Vec<Effect>,
    ) -> io::Result<()> {
        let mut rules = self.rules.subscribe();
        let mut bytes = vec![0; PIECE];
        let mut lost = false;
        loop {
            let count = tokio::select! {
                count = read.read(&mut bytes) => count?,
                _ = rules.changed() => {
                    if effects().contains(&Effect::Refuse) {
                        return Ok(());
                    }
                    continue;
                }
            };
            if count == 0 {
                return Ok(());
            }
            while effects().contains(&Effect::Hold) {
                // The sender of the rules lives as long as we.
                let _ = rules.changed().await;
            }
            let mut pause = Duration::ZERO;
            let mut swallowed = false;
            for effect in effects() {
                match effect {
                    Effect::Refuse => return Ok(()),
                    Effect::Swallow => swallowed = true,
                    Effect::Delay(time) => pause += time,
                    Effect::Throttle(rate) => {
                        pause += Duration::from_secs_f64(count as f64 / f64::from(rate));
                    }
                    Effect::Hold => {}
                }
            }
            if swallowed {
                lost = true;
                continue;
            }
            if lost {
                return Ok(());
            }
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            write.write_all(&bytes[..count]).await?;
        }
    }

    fn effects(&self, from: Option<&usize>, to: Option<&usize>) -> Vec<Effect> {
        let rules = self.rules.borrow();
        let met = rules
            .iter()
            .filter(|(_, rule)| rule.from.has(from) && rule.to.has(to));
        met.map(|(_, rule)| rule.effect).collect()
    }

    /// Finds the node whose socket has this port on its side. It stays unknown if the connection is
    /// closed before.
    async fn find(&self, port: u16, known: &OnceLock<usize>) {
        for _ in 0..LOOKS {
            if known.get().is_some() {
                return;
            }
            let folders = self
                .folders
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            let Some(inode) = inode(port) else { return };
            if let Some(place) = owner(inode, &folders) {
                let _ = known.set(place);
                return;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// The inode of the socket with this port on its side, from Linux's table of TCP sockets.
fn inode(port: u16) -> Option<u64> {
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().skip(1).find_map(|line| {
        let mut words = line.split_whitespace();
        let own = words.nth(1)?.rsplit_once(':')?.1;
        let inode = words.nth(7)?.parse().ok()?;
        (u16::from_str_radix(own, 16).ok()? == port && inode != 0).then_some(inode)
    })
}

/// The place of the node whose process has this socket.
fn owner(inode: u64, folders: &[PathBuf]) -> Option<usize> {
    let socket = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let path = process.path();
        let Ok(line) = fs::read(path.join("cmdline")) else {
            continue;
        };
        let words: HashSet<&[u8]> = line.split(|byte| *byte == 0).collect();
        let place = folders.iter().position(|folder| {
            let folder = folder.as_os_str().as_encoded_bytes();
            !folder.is_empty() && words.contains(folder)
        });
        let (Some(place), Ok(files)) = (place, fs::read_dir(path.join("fd"))) else {
            continue;
        };
        let mut links = files
            .flatten()
            .filter_map(|file| fs::read_link(file.path()).ok());
        if links.any(|link| link.as_os_str() == socket.as_str()) {
            return Some(place);
        }
    }
    None
}

/// A way to one listener that can be cut.
#[derive(Debug)]
pub struct Way {
    links: Arc<Links>,
    url: String,
}

impl Way {
    /// To where this address, `http` or `https`, leads; its path stays.
    ///
    /// # Errors
    /// When it is no address of a listener, or no port is free.
    pub fn to(url: &str) -> Result<Self> {
        let (scheme, rest) = url.split_once("://").context("an address has a scheme")?;
        let (host, path) = match rest.split_once('/') {
            Some((host, path)) => (host, format!("/{path}")),
            None => (rest, String::new()),
        };
        let links = Links::sound();
        let free = std::net::TcpListener::bind("127.0.0.1:0").context("finding a port")?;
        let at = free.local_addr()?;
        drop(free);
        let node = host.parse().context("a host is an address and a port")?;
        links.add(&Handle::current(), (0, "no folder".into()), at, node)?;
        let url = format!("{scheme}://{at}{path}");
        Ok(Self { links, url })
    }

    /// The address by this way.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Breaks what goes by it, and lets nothing more in.
    pub fn cut(&self) {
        let effect = Effect::Refuse;
        let (from, to) = (Nodes::ALL, Nodes::ALL);
        self.links.harm(0, Rule { from, to, effect });
    }

    /// Lets all in again.
    pub fn mend(&self) {
        self.links.mend(0);
    }
}
