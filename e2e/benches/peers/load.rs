//! Load: so many connections, each with one request at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::process;

/// A server under load.
#[derive(Clone)]
pub(crate) struct Target {
    pid: u32,
    port: u16,
    cert: Vec<u8>,
    tls: TlsConnector,
    token: String,
}

/// One request, made anew each time.
#[derive(Clone)]
pub(crate) struct Call {
    method: &'static str,
    path: String,
    body: Bytes,
}

impl Call {
    /// A POST of JSON.
    pub(crate) fn post(path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            method: "POST",
            path: path.into(),
            body: body.into(),
        }
    }

    /// What it sends.
    pub(crate) fn body(&self) -> Bytes {
        self.body.clone()
    }

    /// A GET.
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self {
            method: "GET",
            path: path.into(),
            body: Bytes::new(),
        }
    }
}

/// What a load did.
pub(crate) struct Measured {
    /// Requests answered with success.
    pub(crate) calls: usize,
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
    /// Processor time of the server meanwhile.
    pub(crate) cpu: Duration,
    /// How long each answer took, sorted.
    pub(crate) latencies: Vec<Duration>,
}

impl Measured {
    /// The server's processor time for one request.
    pub(crate) fn cpu_per_call(&self) -> Duration {
        self.cpu.div_f64(self.calls.max(1) as f64)
    }

    /// Requests answered in a second.
    pub(crate) fn per_second(&self) -> f64 {
        self.calls as f64 / self.elapsed.as_secs_f64()
    }
}

/// The value that half of the sorted ones do not exceed; zero where there are none.
pub(crate) fn median(sorted: &[Duration]) -> Duration {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

impl Target {
    /// The server with this process and port, whose certificate this one (PEM) vouches for.
    ///
    /// # Errors
    /// When the certificate is none.
    pub(crate) fn new(pid: u32, port: u16, cert: &[u8], token: &str) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(cert).context("reading a certificate")?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = TlsConnector::from(Arc::new(config));
        Ok(Self {
            pid,
            port,
            cert: cert.to_vec(),
            tls,
            token: token.to_owned(),
        })
    }

    /// The certificate that vouches for the server, PEM.
    pub(crate) fn cert(&self) -> &[u8] {
        &self.cert
    }

    /// Sends requests for a while, `call(n)` being the n-th.
    ///
    /// # Errors
    /// When a request fails: a figure with failures in it is none.
    pub(crate) async fn load(
        &self,
        connections: usize,
        seconds: Duration,
        call: impl Fn(usize) -> Call + Send + Sync + 'static,
    ) -> Result<Measured> {
        let (call, next) = (Arc::new(call), Arc::new(AtomicUsize::new(0)));
        let mut clients = Vec::new();
        for _ in 0..connections {
            let mut client = self.connect().await?;
            // The first request of a connection is not counted: it may pay for a lookup.
            let n = next.fetch_add(1, Ordering::Relaxed);
            client.call(&call(n)).await?;
            clients.push(client);
        }
        let cpu = process::cpu(self.pid)?;
        let start = Instant::now();
        let tasks = clients.into_iter().map(|mut client| {
            let (call, next) = (Arc::clone(&call), Arc::clone(&next));
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                while start.elapsed() < seconds {
                    let request = call(next.fetch_add(1, Ordering::Relaxed));
                    let before = Instant::now();
                    client.call(&request).await?;
                    latencies.push(before.elapsed());
                }
                anyhow::Ok(latencies)
            })
        });
        let mut latencies = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            latencies.extend(task.await??);
        }
        latencies.sort_unstable();
        let elapsed = start.elapsed();
        let cpu = process::cpu(self.pid)?.saturating_sub(cpu);
        Ok(Measured {
            calls: latencies.len(),
            elapsed,
            cpu,
            latencies,
        })
    }

    /// One request on a connection of its own.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) async fn once(&self, call: &Call) -> Result<(HeaderMap, Bytes)> {
        self.connect().await?.call(call).await
    }

    async fn connect(&self) -> Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", self.port))
            .await
            .context("connecting")?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("127.0.0.1")?;
        let stream = self
            .tls
            .connect(name, stream)
            .await
            .context("the TLS handshake")?;
        let (requests, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let token = format!("Bearer {}", self.token);
        Ok(Client {
            requests,
            host: format!("127.0.0.1:{}", self.port),
            token,
        })
    }
}

struct Client {
    requests: SendRequest<Full<Bytes>>,
    host: String,
    token: String,
}

impl Client {
    async fn call(&mut self, call: &Call) -> Result<(HeaderMap, Bytes)> {
        let request = Request::builder()
            .method(call.method)
            .uri(&call.path)
            .header("host", &self.host)
            .header("authorization", &self.token)
            .header("content-type", "application/json")
            .body(Full::new(call.body.clone()))?;
        let answer = self.requests.send_request(request).await?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        if !head.status.is_success() {
            let said = String::from_utf8_lossy(&body);
            bail!("{} {}: {}: {said}", call.method, call.path, head.status);
        }
        Ok((head.headers, body))
    }
}
