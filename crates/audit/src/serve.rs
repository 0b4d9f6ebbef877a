//! HTTPS for the services: TLS 1.3, HTTP/1.1 and 2, bounded, until told to stop.
//!
//! What somebody asked for is done to its end, whether they still wait for the answer or not: nobody has a change made
//! whose event is never recorded by hanging up.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, version};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinError;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::body::Paced;
use crate::limits::{
    CONNECTIONS_MAX, DRAIN_PATIENCE, HEADER_BYTES_MAX, HEADER_PATIENCE, STREAMS_MAX,
};

/// Why nothing can be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Certificate or key cannot be read.
    #[error("reading {path} as PEM")]
    Pem {
        /// The file.
        path: String,
        /// Why not.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// They do not fit together.
    #[error("the certificate and its key cannot be used for TLS")]
    Tls(#[from] rustls::Error),
    /// Somebody else listens there, or the address is not this machine's.
    #[error("listening on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// A certificate (PEM, with its chain) and its key, ready to be shown.
#[derive(Debug, Clone)]
pub struct Identity(Arc<ServerConfig>);

impl Identity {
    /// What a configuration of TLS shows, and asks for, by HTTP/2 or 1.1.
    pub(crate) fn of(mut config: ServerConfig) -> Self {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self(Arc::new(config))
    }

    /// Reads both from files.
    ///
    /// # Errors
    /// They cannot be read, or do not fit together.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, ServeError> {
        let failed = |path: &Path| {
            let path = path.display().to_string();
            move |source| ServeError::Pem { path, source }
        };
        let chain = CertificateDer::pem_file_iter(certificate).map_err(failed(certificate))?;
        let chain = chain
            .collect::<Result<Vec<_>, _>>()
            .map_err(failed(certificate))?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(failed(key))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider);
        let config = config.with_protocol_versions(&[&version::TLS13])?;
        let config = config.with_no_client_auth().with_single_cert(chain, key)?;
        Ok(Self::of(config))
    }
}

/// A service that is being served.
#[derive(Debug)]
pub struct Served {
    /// Where.
    pub address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Served {
    /// Waits until it was told to stop, and what was under way is answered.
    pub async fn finished(self) {
        if let Err(error) = self.task.await {
            tracing::error!(%error, "a server ended early");
        }
    }
}

/// A place where a service will be served: its address is known before what is served there.
#[derive(Debug)]
pub struct Listening {
    /// Where: the port is the one taken where 0 was asked for.
    pub address: SocketAddr,
    listener: TcpListener,
}

impl Listening {
    /// Takes an address.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub async fn at(address: SocketAddr) -> Result<Self, ServeError> {
        let failed = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { address, listener })
    }

    /// Serves `routes` until `stop` is cancelled. Handlers find the caller's address as
    /// [`ConnectInfo`]`<SocketAddr>`.
    pub fn serve(self, identity: Identity, routes: Router, stop: CancellationToken) -> Served {
        Served {
            address: self.address,
            task: tokio::spawn(accept(self.listener, identity, routes, stop)),
        }
    }
}

/// Takes an address, and serves `routes` there.
///
/// # Errors
/// See [`ServeError`].
pub async fn serve(
    address: SocketAddr,
    identity: Identity,
    routes: Router,
    stop: CancellationToken,
) -> Result<Served, ServeError> {
    let listening = Listening::at(address).await?;
    Ok(listening.serve(identity, routes, stop))
}

async fn accept(
    listener: TcpListener,
    identity: Identity,
    routes: Router,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let tasks = TaskTracker::new();
    let tls = TlsAcceptor::from(identity.0);
    loop {
        // Without a place nobody is accepted: who comes then waits in the kernel's queue.
        let place = tokio::select! {
            () = stop.cancelled() => break,
            place = Arc::clone(&places).acquire_owned() => place.expect("it is never closed"),
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let answering = Answering::new(peer, routes.clone(), tasks.clone(), place);
                tasks.spawn(connection(stream, tls.clone(), answering, stop.clone()));
            }
            Err(error) => {
                // Usually no file descriptors are left; some come back when connections end.
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    if timeout(DRAIN_PATIENCE, tasks.wait()).await.is_err() {
        tracing::warn!(
            left = tasks.len(),
            "leaving connections and requests that did not end"
        );
    }
}

/// Answers the requests of one connection, each in a task of its own, which goes on when the connection ends.
#[derive(Debug, Clone)]
struct Answering {
    peer: SocketAddr,
    routes: Router,
    tasks: TaskTracker,
    /// The connection's, until all of its requests are done.
    place: Arc<OwnedSemaphorePermit>,
    /// Of its requests, those too whose streams are closed.
    requests: Arc<Semaphore>,
}

impl Answering {
    fn new(
        peer: SocketAddr,
        routes: Router,
        tasks: TaskTracker,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            peer,
            routes,
            tasks,
            place: Arc::new(place),
            requests: Arc::new(Semaphore::new(STREAMS_MAX as usize)),
        }
    }

    /// # Errors
    /// The request's handler panicked.
    async fn answer(self, mut request: Request<Incoming>) -> Result<Response<Body>, JoinError> {
        let Self { peer, place, .. } = self;
        let request_place = self.requests.acquire_owned().await;
        let request_place = request_place.expect("it is never closed");
        request.extensions_mut().insert(ConnectInfo(peer));
        let request = request.map(|body| Body::new(Paced::new(body)));
        let mut routes = self.routes;
        let answering = self.tasks.spawn(async move {
            let _places = (place, request_place);
            routes.call(request).await
        });
        let answer = answering.await?;
        Ok(answer.unwrap_or_else(|never| match never {}))
    }
}

async fn connection(
    stream: TcpStream,
    tls: TlsAcceptor,
    answering: Answering,
    stop: CancellationToken,
) {
    let peer = answering.peer;
    // Small answers must not wait for more to send.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let stream = match timeout(HEADER_PATIENCE, tls.accept(stream)).await {
        Ok(Ok(stream)) => TokioIo::new(stream),
        Ok(Err(error)) => return tracing::debug!(%error, %peer, "a TLS handshake failed"),
        Err(_) => return,
    };
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_PATIENCE)
        .max_buf_size(HEADER_BYTES_MAX);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX as u32)
        .keep_alive_interval(HEADER_PATIENCE);
    let service = service_fn(move |request| answering.clone().answer(request));
    let served = server.serve_connection_with_upgrades(stream, service);
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, %peer, "a connection ended with an error");
    }
}
