//! From a TCP connection to requests and back, until told to stop.
//!
//! A connection has no timers of its own: one sweeper looks at all of them every second and wakes
//! those that were quiet for too long or must go because the server stops.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use node::Node;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::{self, App};
use crate::auth::{IssuerError, Tokens};
use crate::config::ApiConfig;
use crate::error::chain;
use crate::forward::Forward;
use crate::limits::{
    CONNECTION_WINDOW, HANDSHAKE_TIMEOUT, HEADER_BYTES_MAX, SESSIONS_TURNED_AWAY, STREAM_WINDOW,
    STREAMS_MAX,
};
use crate::metrics::HttpMetrics;
use crate::mount::Mount;
use crate::tls::{self, ShownCertificate, TlsError};

mod session;

pub(crate) use session::{Busy, Session};
use session::{Order, Watched};

/// Why the HTTP front cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another program listens there, or the address is not this machine's.
    #[error("listening on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The node's certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The configuration names an issuer that cannot be believed.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
}

/// A front that is being served.
#[derive(Debug)]
pub struct Served {
    /// Where it listens: the port is the one taken where the configuration said 0.
    pub local_addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Served {
    /// Waits until it was told to stop and all requests under way are answered.
    pub async fn finished(self) {
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the server ended early");
        }
    }
}

/// Listens, and serves, with what is mounted, until `shutdown` is cancelled; then takes no more connections, lets requests
/// under way finish, and ends. Stop the node only after [`Served::finished`].
///
/// # Errors
/// See [`ServeError`]; nothing is served then.
pub async fn serve(
    node: Arc<Node>,
    config: ApiConfig,
    mounts: Vec<Arc<dyn Mount>>,
    shutdown: CancellationToken,
) -> Result<Served, ServeError> {
    let shown = Arc::new(ShownCertificate::of(&node)?);
    let tls = Arc::new(tls::server_config(Arc::clone(&shown))?);
    let tokens = Tokens::new(config.jwt.clone())?;
    let address = config.listen;
    let failed = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let local_addr = listener.local_addr().map_err(failed)?;
    let metrics = HttpMetrics::new(&node);
    let forward = Forward::new(&node)?;
    let app = Arc::new(App {
        node,
        tokens,
        forward,
        mounts,
        metrics,
        stopping: shutdown,
    });
    let front = Arc::new(Front {
        app,
        tls: TlsAcceptor::from(tls),
        shown,
        http1: http1(),
        http2: http2(),
        session_max: config.session_max,
        idle_timeout: config.idle_timeout,
        sessions: AtomicUsize::new(0),
        watched: Mutex::default(),
    });
    let task = tokio::spawn(front.run(listener, config.drain_timeout));
    tracing::info!(%local_addr, "serving");
    Ok(Served { local_addr, task })
}

fn http1() -> http1::Builder {
    let mut http = http1::Builder::new();
    // No more than 100 headers: that is hyper's own limit, and another one would cost each request
    // two pieces of memory as long as all of them.
    http.pipeline_flush(true).max_header_size(HEADER_BYTES_MAX);
    http
}

fn http2() -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEADER_BYTES_MAX as u32);
    http
}

struct Front {
    app: Arc<App>,
    tls: TlsAcceptor,
    shown: Arc<ShownCertificate>,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    session_max: usize,
    idle_timeout: Duration,
    sessions: AtomicUsize,
    watched: Mutex<Vec<Watched>>,
}

/// How often the sweeper looks.
const SWEEP: Duration = Duration::from_secs(1);

impl Front {
    async fn run(self: Arc<Self>, listener: TcpListener, drain_timeout: Duration) {
        let stopping = self.app.stopping.clone();
        let connections = TaskTracker::new();
        let keys = Arc::clone(&self.app);
        let key_task =
            tokio::spawn(async move { keys.tokens.keep_fresh(keys.stopping.clone()).await });
        let sweeper = tokio::spawn(Arc::clone(&self).sweep());
        loop {
            let accepted = tokio::select! {
                () = stopping.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    if let Some(place) = Place::take(&self) {
                        connections.spawn(place.serve(stream));
                    }
                }
                Err(error) => {
                    // Usually: no file descriptors left. Some come back when connections end.
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        drop(listener);
        connections.close();
        self.order_all(Order::Drain);
        if timeout(drain_timeout, connections.wait()).await.is_err() {
            tracing::warn!(
                left = connections.len(),
                "closing connections that did not drain"
            );
            self.order_all(Order::Close);
            connections.wait().await;
        }
        sweeper.abort();
        key_task.abort();
    }

    async fn sweep(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(SWEEP);
        loop {
            ticks.tick().await;
            let now = Instant::now();
            self.watched()
                .retain_mut(|watched| watched.look(now, self.idle_timeout));
            self.shown.look(&self.app.node);
        }
    }

    fn order_all(&self, order: Order) {
        for watched in self.watched().iter() {
            watched.order(order);
        }
    }

    fn watched(&self) -> std::sync::MutexGuard<'_, Vec<Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place among those that are served at a time.
pub(crate) struct Place {
    front: Arc<Front>,
    turned_away: bool,
}

impl Place {
    /// `None` if there are so many connections that nobody is even told.
    fn take(front: &Arc<Front>) -> Option<Self> {
        let before = front.sessions.fetch_add(1, Ordering::Relaxed);
        front.app.metrics.sessions.inc();
        let turned_away = before >= front.session_max;
        let place = Self {
            front: Arc::clone(front),
            turned_away,
        };
        if turned_away {
            front.app.metrics.turned_away.inc();
        }
        (before < front.session_max + SESSIONS_TURNED_AWAY).then_some(place)
    }

    async fn serve(self, stream: TcpStream) {
        let front = Arc::clone(&self.front);
        // Small answers must not wait for more to send.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection was gone before it began");
            return;
        }
        let handshake = tokio::select! {
            () = front.app.stopping.cancelled() => return,
            handshake = timeout(HANDSHAKE_TIMEOUT, front.tls.accept(stream)) => handshake,
        };
        let stream = match handshake {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                front.app.metrics.handshakes_failed.inc();
                tracing::debug!(error = %chain(&error), "a TLS handshake failed");
                return;
            }
            Err(_) => {
                front.app.metrics.handshakes_failed.inc();
                return;
            }
        };
        let certificate = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(<[_]>::first);
        let app = Arc::clone(&front.app);
        let session = Session::new(app, certificate.map(AsRef::as_ref), self);
        front.watched().push(Watched::new(&session));
        if front.app.stopping.is_cancelled() {
            session.order(Order::Drain);
        }
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let stream = TokioIo::new(stream);
        let requests = Arc::clone(&session);
        let service = service_fn(move |request| app::answer(Arc::clone(&requests), request));
        if is_http2 {
            let connection = front.http2.serve_connection(stream, service);
            drive(&session, connection, http2::Connection::graceful_shutdown).await;
        } else {
            let connection = front.http1.serve_connection(stream, service);
            let end = http1::UpgradeableConnection::graceful_shutdown;
            drive(&session, connection.with_upgrades(), end).await;
        }
    }
}

/// Serves a connection until its client or an order ends it.
async fn drive<C, E>(session: &Session, connection: C, end: impl Fn(Pin<&mut C>))
where
    C: Future<Output = Result<(), E>>,
    E: std::error::Error,
{
    let mut connection = pin!(connection);
    let mut draining = false;
    let outcome = std::future::poll_fn(|cx| {
        loop {
            if let Poll::Ready(outcome) = connection.as_mut().poll(cx) {
                return Poll::Ready(outcome);
            }
            match session.ordered(cx) {
                Order::Close => return Poll::Ready(Ok(())),
                Order::Drain if !draining => {
                    draining = true;
                    end(connection.as_mut());
                }
                Order::Drain | Order::Serve => return Poll::Pending,
            }
        }
    });
    if let Err(error) = outcome.await {
        tracing::debug!(error = %chain(&error), "a connection ended with an error");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.front.sessions.fetch_sub(1, Ordering::Relaxed);
        self.front.app.metrics.sessions.dec();
    }
}
