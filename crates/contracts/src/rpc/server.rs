//! A plain listener on this machine, for development: whoever reaches it may do everything.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use jsonrpsee::server::{BatchRequestConfig, Server, ServerConfig, ServerHandle};

use super::subscriptions::Names;
use super::{Rpc, methods};
use crate::limits::{
    CONNECTIONS_MAX, REQUEST_BYTES_MAX, REQUESTS_MAX, RESPONSE_BYTES_MAX, SUBSCRIPTIONS_MAX,
    UNREAD_MAX,
};

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

/// A plain listener that is being served, over HTTP and WebSocket.
#[derive(Debug)]
pub struct Plain {
    /// Where it listens: the port is the one taken where 0 was asked for.
    pub local_addr: SocketAddr,
    handle: ServerHandle,
}

impl Plain {
    /// Listens on a loopback address.
    ///
    /// # Errors
    /// See [`PlainError`].
    pub async fn serve(address: SocketAddr, rpc: Arc<Rpc>) -> Result<Self, PlainError> {
        if !address.ip().is_loopback() {
            return Err(PlainError::NotLoopback(address));
        }
        let failed = |source| PlainError::Listen { address, source };
        let server = Server::builder().set_config(config());
        let server = server.build(address).await.map_err(failed)?;
        let local_addr = server.local_addr().map_err(failed)?;
        let methods = methods(rpc).expect("each method has a name of its own");
        Ok(Self {
            local_addr,
            handle: server.start(methods),
        })
    }

    /// Takes no more requests, and waits until those under way are answered.
    pub async fn stop(self) {
        // It may have stopped by itself.
        let _ = self.handle.stop();
        self.handle.stopped().await;
    }
}

fn config() -> ServerConfig {
    ServerConfig::builder()
        .max_request_body_size(REQUEST_BYTES_MAX)
        .max_response_body_size(RESPONSE_BYTES_MAX)
        .max_connections(CONNECTIONS_MAX)
        .max_subscriptions_per_connection(SUBSCRIPTIONS_MAX)
        .set_message_buffer_capacity(UNREAD_MAX)
        .set_batch_request_config(BatchRequestConfig::Limit(REQUESTS_MAX))
        .set_id_provider(Names)
        .set_tcp_no_delay(true)
        .build()
}
