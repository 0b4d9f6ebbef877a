//! What nodes say to each other about the order, byte for byte (CBOR, RFC 8949).
//!
//! ```text
//! request   [kind, ...]
//!           [1, vote, prev, commit, [entry, ...]]     append
//!           [2, vote, last, transfer]                 vote for me
//!           [3, vote, last, transfer]                 would you vote for me?
//!           [4, vote, to, last]                       another one should lead
//!           [5, size, root]                           countersign this root
//! answer    [kind, ...]
//!           [1, 0] took all | [1, 1, last] took up to | [1, 2] does not follow | [1, 3, vote] older
//!           [2, vote, granted, last]
//!           [4, bool]
//!           [5, key, binding, signature or null]
//! vote      [view, node id, won]
//! prev, commit, last   [view, index] or null
//! entry     [view, index, 0] | [view, index, 1, first, last, bytes] | [view, index, 2, members]
//! ```
//! The shapes are ours, not the library's: nodes of neighbouring versions understand each other as
//! long as these stay.

use std::sync::Arc;

use minicbor::decode::Error;
use minicbor::{Decoder, Encoder};
use openraft::EntryPayload;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest, VoteResponse,
};
use verify::{Digest, Seqno, View};

use super::members;
use super::types::{Content, LogEntry, LogId, Proposal, Types, Vote, log_entry, log_id};
use crate::cbor::{counted, ended, exactly};
use crate::cosigner::{Ask, Countersigned};

/// Entries in one request: the reader stops at far fewer.
const ENTRIES_MAX: u64 = 4_096;

/// A question to another node.
#[derive(Debug)]
pub(crate) enum Request {
    Append(AppendEntriesRequest<Types>),
    Vote(VoteRequest<Types>),
    PreVote(VoteRequest<Types>),
    Transfer(TransferLeaderRequest<Types>),
    Cosign(Ask),
}

/// Its answer.
#[derive(Debug, PartialEq)]
pub(crate) enum Reply {
    Append(AppendEntriesResponse<Types>),
    Vote(VoteResponse<Types>),
    Transfer(bool),
    Cosign(Countersigned),
}

type Out = Encoder<Vec<u8>>;

/// Writing into memory does not fail.
macro_rules! put {
    ($out:expr $(, $method:ident ( $($value:expr)? ))+ $(,)?) => {
        {
            $( $out.$method($($value)?).expect("memory takes all that is written"); )+
        }
    };
}

impl Request {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let bytes = match self {
            Self::Append(request) => request.entries.iter().map(entry_len).sum(),
            _ => 0,
        };
        let mut out = Encoder::new(Vec::with_capacity(bytes + 256));
        match self {
            Self::Append(request) => {
                put!(out, array(5), u8(1));
                put_vote(&mut out, &request.vote);
                put_log_id(&mut out, request.prev_log_id.as_ref());
                put_log_id(&mut out, request.leader_commit.as_ref());
                put!(out, array(request.entries.len() as u64));
                for entry in &request.entries {
                    put_entry(&mut out, entry);
                }
            }
            Self::Vote(request) => put_vote_request(&mut out, 2, request),
            Self::PreVote(request) => put_vote_request(&mut out, 3, request),
            Self::Transfer(request) => {
                put!(out, array(4), u8(4));
                put_vote(&mut out, request.from_leader());
                put!(out, bytes(&request.to_node_id().0));
                put_log_id(&mut out, request.last_log_id());
            }
            Self::Cosign(ask) => {
                put!(out, array(3), u8(5), u64(ask.size), bytes(&ask.root.0));
            }
        }
        out.into_writer()
    }

    /// # Errors
    /// The bytes are none of the above.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut input = Decoder::new(bytes);
        let length = input.array()?;
        let request = match (input.u8()?, length) {
            (1, Some(5)) => {
                let vote = vote(&mut input)?;
                let prev_log_id = log_id_of(&mut input)?;
                let leader_commit = log_id_of(&mut input)?;
                let count = counted(&mut input, ENTRIES_MAX)?;
                let entries = (0..count).map(|_| entry(&mut input));
                Self::Append(AppendEntriesRequest {
                    vote,
                    prev_log_id,
                    leader_commit,
                    entries: entries.collect::<Result<_, _>>()?,
                })
            }
            (2, Some(4)) => Self::Vote(vote_request(&mut input)?),
            (3, Some(4)) => Self::PreVote(vote_request(&mut input)?),
            (4, Some(4)) => {
                let from = vote(&mut input)?;
                let to = digest(&mut input)?;
                Self::Transfer(TransferLeaderRequest::new(from, to, log_id_of(&mut input)?))
            }
            (5, Some(3)) => Self::Cosign(Ask {
                size: input.u64()?,
                root: digest(&mut input)?,
            }),
            _ => return Err(Error::message("no request of this kind is known")),
        };
        ended(&input)?;
        Ok(request)
    }
}

impl Reply {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new(Vec::with_capacity(128));
        match self {
            Self::Append(AppendEntriesResponse::Success) => put!(out, array(2), u8(1), u8(0)),
            Self::Append(AppendEntriesResponse::PartialSuccess(last)) => {
                put!(out, array(3), u8(1), u8(1));
                put_log_id(&mut out, last.as_ref());
            }
            Self::Append(AppendEntriesResponse::Conflict) => put!(out, array(2), u8(1), u8(2)),
            Self::Append(AppendEntriesResponse::HigherVote(vote)) => {
                put!(out, array(3), u8(1), u8(3));
                put_vote(&mut out, vote);
            }
            Self::Vote(answer) => {
                put!(out, array(4), u8(2));
                put_vote(&mut out, &answer.vote);
                put!(out, bool(answer.vote_granted));
                put_log_id(&mut out, answer.last_log_id.as_ref());
            }
            Self::Transfer(done) => put!(out, array(2), u8(4), bool(*done)),
            Self::Cosign(answer) => {
                put!(
                    out,
                    array(4),
                    u8(5),
                    bytes(&answer.key),
                    bytes(&answer.binding)
                );
                match &answer.signature {
                    Some(signature) => put!(out, bytes(signature)),
                    None => put!(out, null()),
                }
            }
        }
        out.into_writer()
    }

    /// # Errors
    /// The bytes are none of the above.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut input = Decoder::new(bytes);
        let length = input.array()?;
        let reply = match (input.u8()?, length) {
            (1, Some(length)) => Self::Append(match (input.u8()?, length) {
                (0, 2) => AppendEntriesResponse::Success,
                (1, 3) => AppendEntriesResponse::PartialSuccess(log_id_of(&mut input)?),
                (2, 2) => AppendEntriesResponse::Conflict,
                (3, 3) => AppendEntriesResponse::HigherVote(vote(&mut input)?),
                _ => return Err(Error::message("no answer of this kind is known")),
            }),
            (2, Some(4)) => {
                let vote = vote(&mut input)?;
                let granted = input.bool()?;
                Self::Vote(VoteResponse::new(vote, log_id_of(&mut input)?, granted))
            }
            (4, Some(2)) => Self::Transfer(input.bool()?),
            (5, Some(4)) => Self::Cosign(countersigned(&mut input)?),
            _ => return Err(Error::message("no answer of this kind is known")),
        };
        ended(&input)?;
        Ok(reply)
    }
}

fn countersigned(input: &mut Decoder<'_>) -> Result<Countersigned, Error> {
    let key = digest(input)?.0;
    let binding = input.bytes()?.to_vec();
    let none = input.datatype()? == minicbor::data::Type::Null;
    let signature = if none {
        input.null()?;
        None
    } else {
        Some(input.bytes()?.to_vec())
    };
    Ok(Countersigned {
        key,
        binding,
        signature,
    })
}

fn put_vote_request(out: &mut Out, kind: u8, request: &VoteRequest<Types>) {
    put!(out, array(4), u8(kind));
    put_vote(out, &request.vote);
    put_log_id(out, request.last_log_id.as_ref());
    put!(out, bool(request.leadership_transfer));
}

fn vote_request(input: &mut Decoder<'_>) -> Result<VoteRequest<Types>, Error> {
    let vote = vote(input)?;
    let mut request = VoteRequest::new(vote, log_id_of(input)?);
    request.leadership_transfer = input.bool()?;
    Ok(request)
}

fn put_vote(out: &mut Out, vote: &Vote) {
    put!(out, array(3), u64(vote.leader_id.term));
    put!(
        out,
        bytes(&vote.leader_id.voted_for.0),
        bool(vote.committed)
    );
}

fn vote(input: &mut Decoder<'_>) -> Result<Vote, Error> {
    exactly(input, 3)?;
    let (view, node) = (input.u64()?, digest(input)?);
    Ok(if input.bool()? {
        Vote::new_committed(view, node)
    } else {
        Vote::new(view, node)
    })
}

fn put_log_id(out: &mut Out, id: Option<&LogId>) {
    match id {
        Some(id) => put!(out, array(2), u64(id.leader_id.term), u64(id.index)),
        None => put!(out, null()),
    }
}

fn log_id_of(input: &mut Decoder<'_>) -> Result<Option<LogId>, Error> {
    if input.datatype()? == minicbor::data::Type::Null {
        input.null()?;
        return Ok(None);
    }
    exactly(input, 2)?;
    Ok(Some(log_id(View(input.u64()?), input.u64()?)))
}

/// About how many bytes an entry takes.
pub(crate) fn entry_len(entry: &LogEntry) -> usize {
    let content = match &entry.payload {
        EntryPayload::Normal(proposal) => proposal.bytes().len(),
        EntryPayload::Membership(members) => 256 * members.nodes().count(),
        EntryPayload::Blank => 0,
    };
    content + 64
}

fn put_entry(out: &mut Out, entry: &LogEntry) {
    let length = match &entry.payload {
        EntryPayload::Blank => 3,
        EntryPayload::Normal(_) => 6,
        EntryPayload::Membership(_) => 4,
    };
    put!(
        out,
        array(length),
        u64(entry.log_id.leader_id.term),
        u64(entry.log_id.index)
    );
    match &entry.payload {
        EntryPayload::Blank => put!(out, u8(0)),
        EntryPayload::Normal(proposal) => {
            put!(out, u8(1), u64(proposal.first.0), u64(proposal.last.0));
            put!(out, bytes(proposal.bytes()));
        }
        EntryPayload::Membership(members) => put!(out, u8(2), str(&members::encode(members))),
    }
}

fn entry(input: &mut Decoder<'_>) -> Result<LogEntry, Error> {
    let length = input.array()?;
    let (view, index) = (View(input.u64()?), input.u64()?);
    let payload = match (input.u8()?, length) {
        (0, Some(3)) => EntryPayload::Blank,
        (1, Some(6)) => EntryPayload::Normal(Proposal {
            first: Seqno(input.u64()?),
            last: Seqno(input.u64()?),
            content: Content::Received(Arc::new(input.bytes()?.to_vec())),
        }),
        (2, Some(4)) => {
            let members = members::decode(input.str()?);
            EntryPayload::Membership(members.ok_or(Error::message("no members"))?)
        }
        _ => return Err(Error::message("no entry of this kind is known")),
    };
    Ok(log_entry(view, index, payload))
}

fn digest(input: &mut Decoder<'_>) -> Result<Digest, Error> {
    let bytes = input.bytes()?.try_into();
    bytes
        .map(Digest)
        .map_err(|_| Error::message("a node id, a root and a key have 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vote() -> Vote {
        Vote::new_committed(7, Digest([1; 32]))
    }

    fn requests() -> Vec<Request> {
        let id = |index| Some(log_id(View(7), index));
        let batch = Proposal {
            first: Seqno(3),
            last: Seqno(9),
            content: Content::Received(Arc::new(vec![5; 300])),
        };
        let members = members::alone(Digest([1; 32]), "127.0.0.1:1".to_owned());
        let payloads = [
            EntryPayload::Blank,
            EntryPayload::Normal(batch),
            EntryPayload::Membership(members),
        ];
        let entries = (4..).zip(payloads);
        let entries = entries.map(|(index, payload)| log_entry(View(7), index, payload));
        let mut asked = VoteRequest::new(vote(), None);
        asked.leadership_transfer = true;
        vec![
            Request::Append(AppendEntriesRequest {
                vote: vote(),
                prev_log_id: id(3),
                leader_commit: None,
                entries: entries.collect(),
            }),
            Request::Vote(VoteRequest::new(vote(), id(3))),
            Request::PreVote(asked),
            Request::Transfer(TransferLeaderRequest::new(vote(), Digest([2; 32]), id(1))),
            Request::Cosign(Ask {
                size: 300,
                root: Digest([3; 32]),
            }),
        ]
    }

    fn countersigned(signature: Option<Vec<u8>>) -> Countersigned {
        Countersigned {
            key: [6; 32],
            binding: vec![7; 100],
            signature,
        }
    }

    #[test]
    fn a_request_is_read_as_it_was_written() {
        for request in requests() {
            let bytes = request.encode();
            let read = Request::decode(&bytes).unwrap();
            assert_eq!(format!("{read:?}"), format!("{request:?}"));
            assert_eq!(read.encode(), bytes);
            for end in 0..bytes.len() {
                assert!(Request::decode(&bytes[..end]).is_err(), "{end}");
            }
            assert!(Request::decode(&[&bytes[..], &[0]].concat()).is_err());
        }
    }

    #[test]
    fn a_request_of_a_later_shape_is_refused_whole() {
        for request in requests() {
            let bytes = request.encode();
            // One field more, announced; and a kind that is not known yet.
            let more = [&[bytes[0] + 1], &bytes[1..], &[0xf6]].concat();
            let other = [&[bytes[0], 9], &bytes[2..]].concat();
            assert!(Request::decode(&more).is_err());
            assert!(Request::decode(&other).is_err());
        }
    }

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let last = Some(log_id(View(7), 3));
        for reply in [
            Reply::Append(AppendEntriesResponse::Success),
            Reply::Append(AppendEntriesResponse::PartialSuccess(last)),
            Reply::Append(AppendEntriesResponse::Conflict),
            Reply::Append(AppendEntriesResponse::HigherVote(vote())),
            Reply::Vote(VoteResponse::new(vote(), None, true)),
            Reply::Transfer(true),
            Reply::Cosign(countersigned(None)),
            Reply::Cosign(countersigned(Some(vec![8; 72]))),
        ] {
            let bytes = reply.encode();
            assert_eq!(Reply::decode(&bytes).unwrap(), reply);
            for end in 0..bytes.len() {
                assert!(Reply::decode(&bytes[..end]).is_err(), "{end}");
            }
        }
    }
}
