//! What is measured: the services on a ledger, and a system behind their proxy that does nothing.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicUsize;

use anyhow::{Context, Result};
use e2e::{Audit, Ledger, Person};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Users whose events are stored.
const USERS: usize = 8;

/// The audit services, with users who are signed in.
pub(crate) struct Services {
    audit: Audit,
    /// The users.
    pub(crate) people: Vec<Person>,
    /// The ledger's process.
    pub(crate) ledger: u32,
    certificate: Vec<u8>,
    /// Records so far, of each client.
    pub(crate) stored: Vec<AtomicUsize>,
    _folder: TempDir,
}

impl Services {
    /// Starts them on a ledger, and in front of a system if there is one.
    pub(crate) async fn start(
        ledger: &Ledger,
        connector: &str,
        upstream: Option<&Upstream>,
    ) -> Result<Self> {
        let folder = TempDir::with_prefix("counterfoil-audit-")?;
        let mut audit = Audit::start_with(
            folder.path(),
            ledger.ready(),
            Some(&format!("connector = \"{connector}\"\n")),
            None,
        )?;
        let (_, _, people) = audit.people(USERS).await?;
        if let Some(upstream) = upstream {
            audit.kill()?;
            audit.configure(&format!(
                "connector = \"{connector}\"\n[proxy]\nlisten = \"127.0.0.1:0\"\n\
                 upstreams = [\"http://{}\"]\nuser = \"{}\"\n[[proxy.rules]]\nmethods = [\"POST\"]\n\
                 path = \"/lots\"\nrecord = \"p-{{request:/id}}\"\nabout = [\"lot:{{request:/id}}\"]\n",
                upstream.address, people[0].id
            ))?;
            audit.start_again(ledger.ready())?;
        }
        Ok(Self {
            certificate: fs::read(&audit.ready().certificate)?,
            people,
            ledger: ledger.ready().pid,
            stored: (0..256).map(|_| AtomicUsize::new(0)).collect(),
            audit,
            _folder: folder,
        })
    }

    /// Where the gateway is.
    pub(crate) fn gateway(&self) -> Result<SocketAddr> {
        address(&self.audit.ready().url)
    }

    /// Where the proxy is.
    pub(crate) fn proxy(&self) -> Result<SocketAddr> {
        let url = self.audit.ready().proxy_url.as_deref();
        address(url.context("there is no proxy")?)
    }

    /// What they show, PEM.
    pub(crate) fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Their process.
    pub(crate) fn pid(&self) -> u32 {
        self.audit.ready().pid
    }
}

fn address(url: &str) -> Result<SocketAddr> {
    let address = url.trim_start_matches("https://").trim_end_matches('/');
    address.parse().with_context(|| format!("reading {url}"))
}

/// A system that answers everything with the same few bytes.
pub(crate) struct Upstream {
    /// Where it is.
    pub(crate) address: SocketAddr,
}

impl Upstream {
    /// Starts it, for as long as the program runs.
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream));
            }
        });
        Ok(Self { address })
    }
}

/// Requests here are small, and come one after the other: one read has one of them, and the end of its body.
async fn answer(mut stream: tokio::net::TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut asked = Vec::new();
    loop {
        asked.clear();
        loop {
            if stream.read_buf(&mut asked).await? == 0 {
                return Ok(());
            }
            let ended = asked.ends_with(b"\r\n\r\n") || asked.ends_with(b"}");
            if ended || asked.ends_with(b"0\r\n\r\n") {
                break;
            }
        }
        let body = "{\"ok\":true}";
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await?;
    }
}
