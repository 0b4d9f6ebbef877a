//! Questions to other nodes and answers to theirs, over a [`Way`]: [`crate::peers`], or one that is
//! simulated.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use openraft::error::{
    NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable,
};
use openraft::network::{RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    VoteRequest, VoteResponse,
};
use tokio::net::TcpListener;

use super::types::{NodeId, Peer, Raft, Types, Vote};
use super::wire::{Reply, Request};
use crate::peers::{Incoming, Outgoing, PeerTls};

/// A node that has not synced entries by then is asked again on a new connection.
const SYNCED_WITHIN: Duration = Duration::from_secs(3);

/// Leads to other nodes.
pub(crate) trait Way: Send + Sync + 'static {
    /// One of its connections.
    type Connection: Connection;

    /// Connects to a node, and makes sure that it is that one.
    fn connect(
        &self,
        target: NodeId,
        address: &str,
    ) -> impl Future<Output = io::Result<Self::Connection>> + Send;
}

/// A connection to one node.
pub(crate) trait Connection: Send + Sync + 'static {
    /// One question, one answer.
    fn ask(&mut self, question: &[u8]) -> impl Future<Output = io::Result<Vec<u8>>> + Send;
}

impl Way for PeerTls {
    type Connection = Outgoing;

    async fn connect(&self, target: NodeId, address: &str) -> io::Result<Outgoing> {
        Self::connect(self, target, address).await
    }
}

impl Connection for Outgoing {
    async fn ask(&mut self, question: &[u8]) -> io::Result<Vec<u8>> {
        Self::ask(self, question).await
    }
}

/// Makes connections to other nodes.
pub(crate) struct Network<W> {
    pub(crate) way: Arc<W>,
    pub(crate) own: NodeId,
}

impl<W: Way> RaftNetworkFactory<Types> for Network<W> {
    type Network = Link<W>;

    async fn new_client(&mut self, target: NodeId, peer: &Peer) -> Link<W> {
        Link {
            way: Arc::clone(&self.way),
            own: self.own,
            target,
            address: peer.address.clone(),
            connection: None,
        }
    }
}

/// A way to one other node; connected when it is needed.
pub(crate) struct Link<W: Way> {
    way: Arc<W>,
    own: NodeId,
    target: NodeId,
    address: String,
    connection: Option<W::Connection>,
}

impl<W: Way> Link<W> {
    /// One question, one answer. A connection that failed or is late is not used again: its next
    /// frame could be the answer to an older question.
    async fn ask(
        &mut self,
        action: RPCTypes,
        request: &Request,
        within: Duration,
    ) -> Result<Reply, RPCError<Types>> {
        let asked = tokio::time::timeout(within, async {
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => {
                    let connected = self.way.connect(self.target, &self.address).await;
                    connected.map_err(|error| RPCError::Unreachable(Unreachable::new(&error)))?
                }
            };
            let network = |error: &io::Error| RPCError::Network(NetworkError::new(error));
            let answer = connection.ask(&request.encode()).await;
            let answer = answer.map_err(|error| network(&error))?;
            let reply =
                Reply::decode(&answer).map_err(|error| network(&io::Error::other(error)))?;
            self.connection = Some(connection);
            Ok(reply)
        });
        let late = RPCError::Timeout(Timeout {
            action,
            id: self.own,
            target: self.target,
            timeout: within,
        });
        asked.await.unwrap_or(Err(late))
    }

    async fn ask_for_vote(
        &mut self,
        request: &Request,
        option: &RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        match self.ask(RPCTypes::Vote, request, option.hard_ttl()).await? {
            Reply::Vote(answer) => Ok(answer),
            _ => Err(unexpected()),
        }
    }
}

fn unexpected() -> RPCError<Types> {
    let error = io::Error::other("the answer is to another question");
    RPCError::Network(NetworkError::new(&error))
}

impl<W: Way> RaftNetworkV2<Types> for Link<W> {
    type SnapshotData = ();

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        // The library's time is that of a heartbeat. Entries have to be synced before the answer,
        // and sending them again would make a slow disk slower.
        let within = if rpc.entries.is_empty() {
            option.hard_ttl()
        } else {
            SYNCED_WITHIN
        };
        let request = Request::Append(rpc);
        match self.ask(RPCTypes::AppendEntries, &request, within).await? {
            Reply::Append(answer) => Ok(answer),
            _ => Err(unexpected()),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.ask_for_vote(&Request::Vote(rpc), &option).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.ask_for_vote(&Request::PreVote(rpc), &option).await
    }

    async fn full_snapshot(
        &mut self,
        _: Vote,
        _: openraft::type_config::alias::SnapshotOf<Types, ()>,
        _: impl Future<Output = ReplicationClosed> + Send + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let error = io::Error::other("the log is whole, so there are no snapshots in its place");
        Err(StreamingError::Unreachable(Unreachable::new(&error)))
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<openraft::raft::TransferLeaderResponse<Types>, RPCError<Types>> {
        let request = Request::Transfer(rpc);
        match self
            .ask(RPCTypes::TransferLeader, &request, option.hard_ttl())
            .await?
        {
            Reply::Transfer(true) => Ok(Ok(())),
            Reply::Transfer(false) => {
                let error = io::Error::other("the node does not take the leadership over");
                Err(RPCError::Network(NetworkError::new(&error)))
            }
            _ => Err(unexpected()),
        }
    }
}

/// Answers other nodes until the task is aborted.
pub(crate) async fn serve(listener: TcpListener, tls: Arc<PeerTls>, raft: Raft) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection of another node");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (tls, raft) = (Arc::clone(&tls), raft.clone());
        connections.spawn(async move {
            match tls.accept(stream).await {
                Ok((connection, id)) => {
                    if let Err(error) = answer_all(connection, &raft).await {
                        tracing::debug!(%id, %error, "a connection of another node ended");
                    }
                }
                Err(error) => tracing::warn!(%error, "a stranger was turned away"),
            }
        });
    }
}

async fn answer_all(mut connection: Incoming, raft: &Raft) -> io::Result<()> {
    while let Some(question) = connection.question().await? {
        let answer = answer(question, raft).await?;
        connection.answer(&answer).await?;
    }
    Ok(())
}

/// What this node answers to a question of another one.
pub(crate) async fn answer(question: Vec<u8>, raft: &Raft) -> io::Result<Vec<u8>> {
    let request = Request::decode(&question).map_err(io::Error::other)?;
    drop(question);
    let reply = match request {
        Request::Append(rpc) => {
            Reply::Append(raft.append_entries(rpc).await.map_err(io::Error::other)?)
        }
        Request::Vote(rpc) => Reply::Vote(raft.vote(rpc).await.map_err(io::Error::other)?),
        Request::PreVote(rpc) => Reply::Vote(raft.pre_vote(rpc).await.map_err(io::Error::other)?),
        Request::Transfer(rpc) => {
            let done = raft.handle_transfer_leader(rpc).await;
            Reply::Transfer(done.map_err(io::Error::other)?.is_ok())
        }
    };
    Ok(reply.encode())
}
