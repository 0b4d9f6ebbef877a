//! Questions to other nodes and answers to theirs, over a [`Way`]: [`crate::peers`], or one that is
//! simulated.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use openraft::base::{BoxFuture, BoxStream};
use openraft::error::{
    NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable,
};
use openraft::network::{
    RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2, stream_append_sequential,
};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
    TransferLeaderRequest, VoteRequest, VoteResponse,
};
use tokio::net::TcpListener;

use super::gather::{Gathered, Hurry};
use super::line::{Connection, Line, LineError, Way};
use super::types::{NodeId, Peer, Raft, Types, Vote};
use super::wire::{Reply, Request};
use crate::cosigner::Cosigner;
use crate::peers::{Incoming, Outgoing, PeerTls};
use crate::transfer::{self, Host};

/// A node that has not synced entries by then is asked again.
const SYNCED_WITHIN: Duration = Duration::from_secs(3);

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
    pub(crate) hurry: Arc<Hurry>,
}

impl<W: Way> RaftNetworkFactory<Types> for Network<W> {
    type Network = Link;

    async fn new_client(&mut self, target: NodeId, peer: &Peer) -> Link {
        Link {
            own: self.own,
            target,
            hurry: Arc::clone(&self.hurry),
            line: Line::new(Arc::clone(&self.way), target, peer.address.clone()),
        }
    }
}

/// The library's questions to one other node.
pub(crate) struct Link {
    own: NodeId,
    target: NodeId,
    hurry: Arc<Hurry>,
    line: Line,
}

impl Link {
    async fn ask(
        &self,
        action: RPCTypes,
        request: &Request,
        within: Duration,
    ) -> Result<Reply, RPCError<Types>> {
        let network = |error: &(dyn std::error::Error + 'static)| {
            RPCError::Network(NetworkError::from_string(error.to_string()))
        };
        match tokio::time::timeout(within, self.line.ask(request.encode())).await {
            Ok(Ok(answer)) => Reply::decode(&answer).map_err(|error| network(&error)),
            Ok(Err(LineError::Connect(error))) => {
                Err(RPCError::Unreachable(Unreachable::new(&error)))
            }
            Ok(Err(LineError::Ask(error))) => Err(network(&error)),
            Err(_) => Err(RPCError::Timeout(Timeout {
                action,
                id: self.own,
                target: self.target,
                timeout: within,
            })),
        }
    }

    async fn ask_for_vote(
        &self,
        request: &Request,
        option: &RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        match self.ask(RPCTypes::Vote, request, option.hard_ttl()).await? {
            Reply::Vote(answer) => Ok(answer),
            _ => Err(unexpected()),
        }
    }
}

/// What a follower says to one message after the other.
type Answers<'s> = BoxStream<'s, Result<StreamAppendResult<Types>, RPCError<Types>>>;

fn unexpected() -> RPCError<Types> {
    let error = io::Error::other("the answer is to another question");
    RPCError::Network(NetworkError::new(&error))
}

impl RaftNetworkV2<Types> for Link {
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

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<Answers<'s>, RPCError<Types>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + Send + Unpin + 'static,
    {
        let input = Gathered::new(input, Arc::clone(&self.hurry));
        stream_append_sequential(self, input, option)
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

/// Who answers what.
#[derive(Clone)]
pub(crate) struct Answering {
    pub(crate) raft: Raft,
    pub(crate) cosigner: Arc<Cosigner>,
    pub(crate) host: Arc<Host>,
    /// Where files are read and sent.
    pub(crate) files: tokio::runtime::Handle,
}

/// Answers other nodes until the task is aborted.
pub(crate) async fn serve(listener: TcpListener, tls: Arc<PeerTls>, answering: Answering) {
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
        let (tls, answering) = (Arc::clone(&tls), answering.clone());
        connections.spawn(async move {
            match tls.accept(stream).await {
                Ok((connection, id)) => {
                    if let Err(error) = answer_all(connection, id, &answering).await {
                        tracing::debug!(%id, %error, "a connection of another node ended");
                    }
                }
                Err(error) => tracing::warn!(%error, "a stranger was turned away"),
            }
        });
    }
}

async fn answer_all(mut connection: Incoming, id: NodeId, answering: &Answering) -> io::Result<()> {
    let Answering {
        raft,
        cosigner,
        host,
        files,
    } = answering;
    while let Some(question) = connection.question().await? {
        if transfer::is_question(&question) {
            host.take_over(connection, id, question, files);
            return Ok(());
        }
        let request = Request::decode(&question).map_err(io::Error::other)?;
        drop(question);
        let reply = match request {
            Request::Cosign(ask) => Reply::Cosign(cosigner.answer(ask).await),
            request => answer(request, raft).await?,
        };
        connection.answer(&reply.encode()).await?;
    }
    Ok(())
}

/// What the library answers to a question of another node's.
pub(crate) async fn answer(request: Request, raft: &Raft) -> io::Result<Reply> {
    Ok(match request {
        Request::Append(rpc) => {
            Reply::Append(raft.append_entries(rpc).await.map_err(io::Error::other)?)
        }
        Request::Vote(rpc) => Reply::Vote(raft.vote(rpc).await.map_err(io::Error::other)?),
        Request::PreVote(rpc) => Reply::Vote(raft.pre_vote(rpc).await.map_err(io::Error::other)?),
        Request::Transfer(rpc) => {
            let done = raft.handle_transfer_leader(rpc).await;
            Reply::Transfer(done.map_err(io::Error::other)?.is_ok())
        }
        Request::Cosign(_) => return Err(io::ErrorKind::InvalidInput.into()),
    })
}
