//! The peer: the least that an HTTPS server in this stack can do. It sends back what it got, or as
//! many bytes as the path asks for.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::routing::{get, post};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Makes the bench a peer.
pub(crate) const ARGUMENT: &str = "--echo";

/// A running peer. Dropping it ends it.
pub(crate) struct Echo {
    server: Child,
    /// Its port on the loopback interface.
    pub(crate) port: u16,
    /// Its certificate, PEM.
    pub(crate) cert: String,
}

#[derive(Serialize, Deserialize)]
struct Ready {
    port: u16,
    cert: String,
}

impl Echo {
    /// Starts this program once more, as the peer.
    ///
    /// # Errors
    /// When it does not say that it is ready.
    pub(crate) fn start() -> Result<Self> {
        let mut server = Command::new(std::env::current_exe()?)
            .arg(ARGUMENT)
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the peer")?;
        let mut line = String::new();
        BufReader::new(server.stdout.take().expect("a pipe")).read_line(&mut line)?;
        let ready: Ready = serde_json::from_str(&line).context("the peer is not ready")?;
        Ok(Self {
            server,
            port: ready.port,
            cert: ready.cert,
        })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.server.id()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Serves until it is killed.
///
/// # Errors
/// When it cannot start.
pub(crate) fn serve() -> Result<()> {
    // P-384, as the node's certificates have.
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384)?;
    let cert = rcgen::CertificateParams::new(["127.0.0.1".to_owned()])?.self_signed(&key)?;
    let private = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let tls = ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()?
    .with_no_client_auth()
    .with_single_cert(vec![cert.der().clone()], private)?;
    tokio::runtime::Runtime::new()?.block_on(answer(TlsAcceptor::from(Arc::new(tls)), cert.pem()))
}

async fn answer(tls: TlsAcceptor, cert: String) -> Result<()> {
    let routes = Router::new()
        .route("/echo", post(|body: Bytes| async { body }))
        .route(
            "/bytes/{length}",
            get(|Path(n): Path<usize>| async move { vec![b'x'; n] }),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    println!("{}", serde_json::to_string(&Ready { port, cert })?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (tls, routes) = (tls.clone(), routes.clone());
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else {
                return;
            };
            let service = TowerToHyperService::new(routes);
            // A client that goes away is no concern of the peer's.
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
