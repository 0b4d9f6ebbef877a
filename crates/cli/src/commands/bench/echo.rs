//! `counterfoil bench echo`: a server that does nothing, over the same TLS and HTTP as the ledger:
//! what any server in this house costs before it does anything.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::extract::DefaultBodyLimit;
use axum::routing::any;
use axum::{Json, Router};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ServerConfig, version};

use crate::commands::block_on_all_cores;
use crate::out;
use crate::report::Failure;
use crate::server::StopSignals;

/// Serve a bare echo of the ledger's write: the same body in, a small JSON answer out.
#[derive(clap::Args, Debug)]
pub(crate) struct Echo {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where to put the certificate that clients are to trust.
    #[arg(long, value_name = "FILE")]
    service_cert: PathBuf,
}

#[derive(Serialize)]
struct Ready<'a> {
    url: String,
    service_cert: &'a str,
    pid: u32,
}

/// A write as clients send it: one entry, or a batch.
#[derive(Deserialize)]
#[serde(untagged)]
enum Write {
    One(Entry),
    Batch { entries: Vec<Entry> },
}

#[derive(Deserialize)]
struct Entry {
    contents: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    collection_id: &'static str,
    state: &'static str,
    bytes: usize,
}

impl Echo {
    pub(super) fn run(self) -> Result<ExitCode> {
        block_on_all_cores(self.serve())?;
        Ok(ExitCode::SUCCESS)
    }

    async fn serve(self) -> Result<()> {
        let (tls, anchor) = tls()?;
        std::fs::write(&self.service_cert, anchor).map_err(Failure::writing(&self.service_cert))?;
        let listener = TcpListener::bind(self.listen)
            .await
            .context("cannot listen")?;
        let mut stop = StopSignals::listen()?;
        out::write_json(&Ready {
            url: format!("https://{}", listener.local_addr()?),
            service_cert: &self.service_cert.to_string_lossy(),
            pid: std::process::id(),
        });
        let app = Router::new()
            .fallback(any(nothing).post(echo))
            .layer(DefaultBodyLimit::max(64 << 20));
        let acceptor = TlsAcceptor::from(tls);
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1().pipeline_flush(true);
        let http = Arc::new(http);
        loop {
            let stream = tokio::select! {
                () = stop.next() => return Ok(()),
                accepted = listener.accept() => accepted?.0,
            };
            stream.set_nodelay(true)?;
            let (acceptor, app, http) = (acceptor.clone(), app.clone(), Arc::clone(&http));
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let service = TowerToHyperService::new(app);
                if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
                    tracing::debug!(error, "a connection ended");
                }
            });
        }
    }
}

async fn echo(Json(write): Json<Write>) -> Json<Answer> {
    let bytes = match write {
        Write::One(entry) => entry.contents.len(),
        Write::Batch { entries } => entries.iter().map(|entry| entry.contents.len()).sum(),
    };
    Json(Answer {
        collection_id: "subledger:0",
        state: "Committed",
        bytes,
    })
}

async fn nothing() -> Json<Answer> {
    Json(Answer {
        collection_id: "subledger:0",
        state: "Ready",
        bytes: 0,
    })
}

/// TLS as the ledger has it: P-384, TLS 1.3, tickets. And the certificate to trust, PEM.
fn tls() -> Result<(Arc<ServerConfig>, String)> {
    let key = || KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384);
    let mut service = CertificateParams::default();
    service.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let service = CertifiedIssuer::self_signed(service, key()?)?;
    let node_key = key()?;
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let node = CertificateParams::new(names)?.signed_by(&node_key, &service)?;
    let node_key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(node_key.serialize_der()));
    let provider = aws_lc_rs::default_provider();
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
        .with_no_client_auth()
        .with_single_cert(vec![node.der().clone()], node_key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok((Arc::new(config), service.pem()))
}
