//! The contracts' chain on the API server: who calls is the server's to know, what they ask the chain's.

use std::sync::Arc;

use api::{Mount, MountBody, Mounted};
use contracts::rpc::{Asked, Caller, Rights, Rpc, Service, ToLeader};
use http::Request;
use hyper::body::Incoming;
use ledger::roles::Action;
use ledger::users::UserId;
use node::Node;

/// Where the chain is reached, below the server's address.
pub(crate) const PATH: &str = "/rpc";

/// What the leader answers when it takes a transaction: a few lines.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// The chain, and what serves it.
pub(crate) struct Chain {
    /// The chain.
    pub(crate) rpc: Arc<Rpc>,
    service: Arc<Service>,
}

impl Chain {
    /// The chain on this node's ledger.
    ///
    /// # Errors
    /// The node's certificate and key cannot be used to reach others.
    pub(crate) fn new(node: &Arc<Node>) -> Result<Self, api::tls::TlsError> {
        let leader = api::ToLeader::new(Arc::clone(node))?;
        let rpc = Rpc::new(Arc::clone(node), Arc::new(Leader(leader)));
        let service = Arc::new(Service::new(Arc::clone(&rpc)));
        Ok(Self { rpc, service })
    }

    /// What the API server serves.
    pub(crate) fn mount(&self) -> Arc<dyn Mount> {
        Arc::new(AtPath(Arc::clone(&self.service)))
    }

    /// Ends what goes on without requests.
    pub(crate) async fn stop(&self) {
        self.service.stop().await;
    }
}

/// Whoever reaches a listener that asks nobody: may do everything, as this user.
pub(crate) fn everybody(user: UserId) -> Caller {
    Caller::new(Arc::new(Everybody(user)))
}

struct AtPath(Arc<Service>);

impl Mount for AtPath {
    fn path(&self) -> &'static str {
        PATH
    }

    fn answer(&self, caller: api::Caller, request: Request<Incoming>) -> Mounted {
        let service = Arc::clone(&self.0);
        Box::pin(async move {
            let caller = Caller::new(Arc::new(Known(caller)));
            let answer = service.answer(caller, request).await;
            answer.map(MountBody::new)
        })
    }
}

struct Known(api::Caller);

impl Rights for Known {
    fn user(&self) -> &UserId {
        self.0.user()
    }

    fn may(&self, action: Action) -> bool {
        self.0.may(action)
    }
}

struct Everybody(UserId);

impl Rights for Everybody {
    fn user(&self) -> &UserId {
        &self.0
    }

    fn may(&self, _: Action) -> bool {
        true
    }
}

struct Leader(api::ToLeader);

impl ToLeader for Leader {
    fn ask<'a>(&'a self, user: &'a UserId, request: Vec<u8>) -> Asked<'a> {
        Box::pin(async move {
            let answer = self.0.post(PATH, user, request, ANSWER_BYTES_MAX).await;
            answer.map_err(|error| error.to_string())
        })
    }
}
