//! From an HTTP request, or a WebSocket, to a method and back.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::Body;
use jsonrpsee::core::middleware::RpcServiceBuilder;
use jsonrpsee::server::{
    BatchRequestConfig, HttpBody, Methods, PingConfig, Server, ServerConfig, ServerHandle,
    StopHandle, TowerServiceBuilder, stop_channel,
};
use tokio::time::timeout;
use tower::layer::util::{Identity, Stack};
use tower::{Service as _, ServiceBuilder};
use tower_http::cors::CorsLayer;

use super::Rpc;
use super::access::Caller;
use super::guard::GuardLayer;
use super::methods;
use super::subscriptions::Names;
use crate::limits::{
    CALLS_AT_A_TIME_MAX, CONNECTIONS_MAX, REQUEST_BYTES_MAX, REQUESTS_MAX, RESPONSE_BYTES_MAX,
    SUBSCRIPTIONS_MAX, UNREAD_MAX,
};

/// What takes longer is cut off when the node stops.
const STOPPED_WITHIN: Duration = Duration::from_secs(10);

/// JSON-RPC for whoever brings HTTP requests of callers that are known.
pub struct Service {
    builder: TowerServiceBuilder<Stack<GuardLayer, Identity>, Identity>,
    methods: Methods,
    /// Gone when no more is answered: whoever stops waits until nobody has one.
    stopping: Mutex<Option<StopHandle>>,
    stop: ServerHandle,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

impl Service {
    /// All methods.
    pub fn new(rpc: Arc<Rpc>) -> Self {
        let (stopping, stop) = stop_channel();
        let guard = RpcServiceBuilder::new().layer(GuardLayer);
        let builder = Server::builder()
            .set_config(config(CALLS_AT_A_TIME_MAX))
            .set_rpc_middleware(guard)
            .to_service_builder();
        Self {
            builder,
            methods: named(rpc),
            stopping: Mutex::new(Some(stopping)),
            stop,
        }
    }

    /// Answers a request of this caller. A request for a WebSocket takes the connection over.
    pub async fn answer<B>(&self, caller: Caller, mut request: Request<B>) -> Response<HttpBody>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Some(stopping) = self.stopping().clone() else {
            let mut answer = Response::new(HttpBody::empty());
            *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            return answer;
        };
        request.extensions_mut().insert(caller);
        let builder = self.builder.clone();
        let mut service = builder.build(self.methods.clone(), stopping);
        match service.call(request).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::error!(error, "JSON-RPC");
                jsonrpsee::server::http::response::internal_error()
            }
        }
    }

    /// Takes no more requests, and ends all WebSockets, when what was asked is answered.
    pub async fn stop(&self) {
        self.stopping().take();
        // It may have stopped by itself.
        let _ = self.stop.stop();
        if timeout(STOPPED_WITHIN, self.stop.clone().stopped())
            .await
            .is_err()
        {
            tracing::warn!("calls of contracts are still under way");
        }
    }

    fn stopping(&self) -> MutexGuard<'_, Option<StopHandle>> {
        self.stopping.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why there is no plain listener.
#[derive(Debug, thiserror::Error)]
pub enum PlainError {
    /// Anybody could transact: such a listener is for one's own machine.
    #[error(
        "{0} is not an address of this machine alone: plain JSON-RPC is for development, and lets \
         everybody in; listen on 127.0.0.1"
    )]
    NotLoopback(SocketAddr),
    /// Another program listens there.
    #[error("listening on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A plain listener on this machine, for development, over HTTP and WebSocket. Pages of any origin may use
/// it.
#[derive(Debug)]
pub struct Plain {
    /// Where it listens: the port is the one taken where 0 was asked for.
    pub local_addr: SocketAddr,
    handle: ServerHandle,
}

impl Plain {
    /// Listens on a loopback address. Whoever reaches it is taken for this caller.
    ///
    /// # Errors
    /// See [`PlainError`].
    pub async fn serve(
        address: SocketAddr,
        rpc: Arc<Rpc>,
        everybody: Caller,
    ) -> Result<Self, PlainError> {
        if !address.ip().is_loopback() {
            return Err(PlainError::NotLoopback(address));
        }
        let failed = |source| PlainError::Listen { address, source };
        let known = move |mut request: Request<_>| {
            request.extensions_mut().insert(everybody.clone());
            request
        };
        let server = Server::builder()
            .set_config(config(CONNECTIONS_MAX))
            .set_http_middleware(
                ServiceBuilder::new()
                    .layer(CorsLayer::permissive())
                    .map_request(known),
            )
            .set_rpc_middleware(RpcServiceBuilder::new().layer(GuardLayer));
        let server = server.build(address).await.map_err(failed)?;
        let local_addr = server.local_addr().map_err(failed)?;
        Ok(Self {
            local_addr,
            handle: server.start(named(rpc)),
        })
    }

    /// Takes no more requests, and waits until those under way are answered.
    pub async fn stop(self) {
        // It may have stopped by itself.
        let _ = self.handle.stop();
        self.handle.stopped().await;
    }
}

fn named(rpc: Arc<Rpc>) -> Methods {
    let methods = methods::all(rpc);
    methods.expect("each method has a name of its own").into()
}

fn config(connections: u32) -> ServerConfig {
    ServerConfig::builder()
        .max_request_body_size(REQUEST_BYTES_MAX)
        .max_response_body_size(RESPONSE_BYTES_MAX)
        .max_connections(connections)
        .max_subscriptions_per_connection(SUBSCRIPTIONS_MAX)
        .set_message_buffer_capacity(UNREAD_MAX)
        .set_batch_request_config(BatchRequestConfig::Limit(REQUESTS_MAX))
        .enable_ws_ping(PingConfig::new())
        .set_id_provider(Names)
        .set_tcp_no_delay(true)
        .build()
}
