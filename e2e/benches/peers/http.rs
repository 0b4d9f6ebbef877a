//! HTTP/1.1, plain or over TLS, as cheap as it can be made: the generator stands on the same cores as the
//! server, so requests are bytes beforehand, and one connection has one request under way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::process;

/// A server answers within this, or never.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a load came to.
pub(crate) struct Ran {
    /// Operations that were asked for; all of them succeeded.
    pub(crate) operations: usize,
    /// From the first request to the last answer.
    pub(crate) wall: Duration,
    /// Processor time of the server.
    pub(crate) cpu: Duration,
    /// Times to each answer, ascending.
    pub(crate) times: Vec<Duration>,
}

impl Ran {
    /// Processor time of one operation, microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.operations.max(1) as f64
    }

    /// Operations in a second.
    pub(crate) fn rate(&self) -> f64 {
        self.operations as f64 / self.wall.as_secs_f64()
    }

    /// The time within which this part of the answers came, microseconds.
    pub(crate) fn within_us(&self, part: f64) -> f64 {
        let last = self.times.len().saturating_sub(1);
        let place = (last as f64 * part).round() as usize;
        self.times
            .get(place)
            .map_or(0.0, |time| time.as_secs_f64() * 1e6)
    }
}

/// The bytes of a request with one call.
pub(crate) fn request(method: &str, params: &Value) -> Vec<u8> {
    message(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
}

/// The bytes of a request with several calls.
pub(crate) fn batch(method: &str, params: &[Value]) -> Vec<u8> {
    let calls = (1..).zip(params);
    let calls = calls.map(
        |(id, params)| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}),
    );
    message(&calls.collect())
}

fn message(body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Sends each list of requests over a connection of its own, one after the other, and waits in the
/// end until `settled`. `calls` are in each request.
pub(crate) async fn load(
    address: SocketAddr,
    pid: u32,
    work: Vec<Vec<Vec<u8>>>,
    calls: usize,
    settled: impl AsyncFnOnce() -> Result<()>,
) -> Result<Ran> {
    let requests: usize = work.iter().map(Vec::len).sum();
    let mut connections = Vec::new();
    for requests in work {
        connections.push((Connection::open(address).await?, requests));
    }
    let before = process::cpu(pid)?;
    let began = Instant::now();
    let tasks = connections.into_iter().map(|(mut connection, requests)| {
        tokio::spawn(async move {
            let mut times = Vec::with_capacity(requests.len());
            for request in requests {
                let asked = Instant::now();
                connection.ask(&request, calls).await?;
                times.push(asked.elapsed());
            }
            anyhow::Ok(times)
        })
    });
    let mut times = Vec::with_capacity(requests);
    for task in tasks.collect::<Vec<_>>() {
        times.extend(task.await??);
    }
    settled().await?;
    let wall = began.elapsed();
    let cpu = process::cpu(pid)?.saturating_sub(before);
    times.sort_unstable();
    Ok(Ran {
        operations: requests * calls,
        wall,
        cpu,
        times,
    })
}

/// One call, for its result.
pub(crate) async fn call(address: SocketAddr, method: &str, params: Value) -> Result<Value> {
    let mut connection = Connection::open(address).await?;
    let asked = request(method, &params);
    let body = connection.exchange(&asked).await?;
    let answer = serde_json::from_slice(&connection.answer[body..]);
    let mut answer: Value = answer.context("reading an answer")?;
    ensure!(answer.get("error").is_none(), "{method}: {answer}");
    Ok(answer["result"].take())
}

/// A connection that stays.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    answer: Vec<u8>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Connection {
    /// Connects without TLS.
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        Ok(Self::over(connected(address).await?))
    }

    /// Connects to a server that shows this certificate (PEM).
    pub(crate) async fn secure(address: SocketAddr, certificate: &[u8]) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(certificate)?)?;
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::from(address.ip());
        let tls = TlsConnector::from(Arc::new(config));
        let stream = tls.connect(name, connected(address).await?).await;
        Ok(Self::over(stream.context("a TLS handshake")?))
    }

    fn over(stream: impl Stream + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            answer: Vec::with_capacity(16 << 10),
        }
    }

    /// The body of the answer to a request, which was successful.
    pub(crate) async fn body(&mut self, request: &[u8]) -> Result<&[u8]> {
        let answered = tokio::time::timeout(PATIENCE, self.exchange(request)).await;
        let body = answered.context("waiting for an answer")??;
        Ok(&self.answer[body..])
    }

    /// The body of the answer, in which nothing failed and nothing is missing.
    async fn ask(&mut self, request: &[u8], calls: usize) -> Result<&[u8]> {
        let body = self.body(request).await?;
        let count = |what: &[u8]| body.windows(what.len()).filter(|at| *at == what).count();
        let results = count(b"\"result\":");
        if count(b"\"error\":") > 0 || results < calls || count(b"\"result\":null") > 0 {
            let shown = &body[..body.len().min(1_000)];
            bail!("asked, and told {}", String::from_utf8_lossy(shown));
        }
        Ok(body)
    }

    /// Where the body begins.
    async fn exchange(&mut self, request: &[u8]) -> Result<usize> {
        self.stream.write_all(request).await?;
        // What TLS has not handed to the socket yet.
        self.stream.flush().await?;
        self.answer.clear();
        let head = loop {
            self.more().await?;
            if let Some(end) = find(&self.answer, b"\r\n\r\n") {
                break end + 4;
            }
        };
        let (length, chunked) = framing(&self.answer[..head])?;
        if chunked {
            while !self.answer.ends_with(b"0\r\n\r\n") {
                self.more().await?;
            }
            let body = unchunked(&self.answer[head..])?;
            self.answer.truncate(head);
            self.answer.extend(body);
        } else {
            while self.answer.len() < head + length {
                self.more().await?;
            }
        }
        Ok(head)
    }

    async fn more(&mut self) -> Result<()> {
        let read = self.stream.read_buf(&mut self.answer).await?;
        ensure!(read > 0, "a server closed the connection");
        Ok(())
    }
}

async fn connected(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).await;
    let stream = stream.with_context(|| format!("connecting to {address}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|at| at == what)
}

/// How long the body is, or that it comes in chunks.
fn framing(head: &[u8]) -> Result<(usize, bool)> {
    let head = std::str::from_utf8(head)?.to_ascii_lowercase();
    ensure!(head.starts_with("http/1.1 20"), "a server said {head}");
    let header = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name));
        line.map(|value| value.trim_start_matches(':').trim())
    };
    if header("transfer-encoding") == Some("chunked") {
        return Ok((0, true));
    }
    let length = header("content-length").context("an answer without a length")?;
    Ok((length.parse()?, false))
}

fn unchunked(mut chunks: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = find(chunks, b"\r\n").context("a chunk without a length")?;
        let length = usize::from_str_radix(std::str::from_utf8(&chunks[..end])?, 16)?;
        let chunk = chunks.get(end + 2..end + 2 + length);
        if length == 0 {
            return Ok(body);
        }
        body.extend_from_slice(chunk.context("a chunk that is cut")?);
        chunks = chunks
            .get(end + 4 + length..)
            .context("a chunk without an end")?;
    }
}
