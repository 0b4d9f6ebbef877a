//! The leanest client that still speaks HTTP/1.1 over TLS 1.3: what it costs itself must not hide
//! what the server costs.

use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use client::Credential;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, version};

use crate::connection::Connection;

/// Where to connect, ready for many connections.
#[derive(Clone)]
pub(super) struct Target {
    address: String,
    host: HeaderValue,
    name: ServerName<'static>,
    tls: TlsConnector,
    authorization: Option<HeaderValue>,
}

/// What to send, again and again.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Bytes,
}

impl Target {
    pub(super) fn new(connection: &Connection) -> Result<Self> {
        let uri: hyper::Uri = connection
            .url
            .parse()
            .context("the address cannot be read")?;
        let host = uri
            .host()
            .context("the address has no host")?
            .trim_matches(['[', ']']);
        let port = uri.port_u16().unwrap_or(443);
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(
            connection.service_cert.as_bytes(),
        )?)?;
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&version::TLS13])?
            .with_root_certificates(roots);
        let mut config = match &connection.credential {
            Credential::Certificate(pem) => {
                let certificates = CertificateDer::pem_slice_iter(pem.as_bytes());
                let certificates = certificates.collect::<Result<Vec<_>, _>>()?;
                let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())?;
                builder.with_client_auth_cert(certificates, key)?
            }
            Credential::None | Credential::Bearer(_) => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let authorization = match &connection.credential {
            Credential::Bearer(token) => Some(HeaderValue::try_from(format!("Bearer {token}"))?),
            _ => None,
        };
        let authority = uri.authority().context("the address has no host")?.as_str();
        Ok(Self {
            address: format!("{}:{port}", uri.host().unwrap_or_default()),
            host: HeaderValue::from_str(authority)?,
            name: ServerName::try_from(host.to_owned())?,
            tls: TlsConnector::from(Arc::new(config)),
            authorization,
        })
    }

    /// Opens a connection, to be kept.
    pub(super) async fn connect(&self) -> Result<Wire> {
        let stream = TcpStream::connect(&self.address).await;
        let stream = stream.with_context(|| format!("cannot connect to {}", self.address))?;
        stream.set_nodelay(true)?;
        let stream = self.tls.connect(self.name.clone(), stream).await;
        let stream = stream.context("the TLS handshake failed")?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
        });
        let (host, authorization) = (self.host.clone(), self.authorization.clone());
        Ok(Wire {
            sender,
            host,
            authorization,
        })
    }
}

/// A connection.
pub(super) struct Wire {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
    authorization: Option<HeaderValue>,
}

impl Wire {
    /// Asks, reads the whole answer and forgets it; gives its status.
    pub(super) async fn ask(&mut self, ask: &Ask) -> Result<u16> {
        let mut request = Request::builder().method(&ask.method).uri(&ask.path);
        if let Some(headers) = request.headers_mut() {
            headers.insert(HOST, self.host.clone());
            if let Some(authorization) = &self.authorization {
                headers.insert(AUTHORIZATION, authorization.clone());
            }
            if ask.method == Method::POST {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            }
        }
        self.sender.ready().await?;
        let response = self
            .sender
            .send_request(request.body(Full::new(ask.body.clone()))?)
            .await?;
        let status = response.status().as_u16();
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            frame?;
        }
        Ok(status)
    }
}
