//! Bytes over TLS, with no client's help: what no client would send. And a server that keeps what it is sent.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Whether it may answer.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A connection to a server whose certificate is in this file, for HTTP/1.1.
///
/// # Errors
/// When it is not to be had.
pub async fn connect(url: &str, certificate: &Path) -> Result<TlsStream<TcpStream>> {
    let address = url.trim_start_matches("https://");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&fs::read(certificate)?)?)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let host = address.rsplit_once(':').context("a port")?.0;
    let name = ServerName::try_from(host.to_owned())?;
    let stream = TcpStream::connect(address).await?;
    Ok(TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?)
}

/// What comes back for these bytes until the server closes, or says nothing for so long.
///
/// # Errors
/// When nobody can be connected to.
pub async fn exchange(
    url: &str,
    certificate: &Path,
    bytes: &[u8],
    silence: Duration,
) -> Result<String> {
    let mut stream = connect(url, certificate).await?;
    // The server may close before it has read all: what it said is to be read all the same.
    let _ = stream.write_all(bytes).await;
    Ok(all_of(&mut stream, silence).await)
}

/// What comes until the server closes, or says nothing for so long.
pub async fn all_of(stream: &mut TlsStream<TcpStream>, silence: Duration) -> String {
    let mut all = Vec::new();
    let mut some = [0; 4096];
    while let Ok(Ok(count @ 1..)) = tokio::time::timeout(silence, stream.read(&mut some)).await {
        all.extend_from_slice(&some[..count]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// A server that answers everything with 200 and keeps what it was sent. It ends with the test.
#[derive(Debug, Clone)]
pub struct Keeper {
    /// Where it is.
    pub address: SocketAddr,
    kept: Arc<Mutex<Vec<u8>>>,
    is_slow: Arc<AtomicBool>,
}

impl Keeper {
    /// One on a port of its own.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let keeper = Self {
            address,
            kept: Arc::default(),
            is_slow: Arc::default(),
        };
        let ours = keeper.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let keeper = ours.clone();
                std::thread::spawn(move || keeper.keep(stream));
            }
        });
        Ok(keeper)
    }

    /// All bytes that it was sent, on all connections.
    pub fn kept(&self) -> String {
        String::from_utf8_lossy(&self.lock()).into_owned()
    }

    /// From now on it answers nobody, until this is said again with `false`.
    pub fn is_slow(&self, is_slow: bool) {
        self.is_slow.store(is_slow, Ordering::SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, mut stream: std::net::TcpStream) {
        let mut request = Vec::new();
        let mut some = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut some) {
            request.extend_from_slice(&some[..count]);
            self.lock().extend_from_slice(&some[..count]);
            if is_whole(&request) {
                request.clear();
                while self.is_slow.load(Ordering::SeqCst) {
                    std::thread::sleep(LOOK_AGAIN);
                }
                let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
        }
    }
}

/// Whether all of a request is there, as its own headers say.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    if head.contains("transfer-encoding: chunked") {
        return body.ends_with("0\r\n\r\n");
    }
    let length = head.split("content-length: ").nth(1);
    let length = length.and_then(|rest| rest.lines().next()?.trim().parse().ok());
    body.len() >= length.unwrap_or(0)
}
