//! Gets one file after the other, in pieces, from any of the nodes that have it.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use store::OpenError;
use store::arrival::{Arrival, Chunk, Part};
use store::snapshot::SnapshotName;

use super::lines::Lines;
use super::wire::{Answer, PIECE_BYTES, Question};
use crate::peers::Outgoing;

/// A file, and who has it.
pub(super) struct Wanted {
    pub(super) what: What,
    pub(super) from: Vec<usize>,
}

#[derive(Clone, Copy)]
pub(super) enum What {
    Chunk(Chunk),
    Snapshot(SnapshotName, u64),
}

impl What {
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Chunk(chunk) => chunk.bytes,
            Self::Snapshot(_, bytes) => *bytes,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Chunk(chunk) => chunk.name().to_string(),
            Self::Snapshot(name, _) => name.to_string(),
        }
    }

    fn part(&self, arrival: &Arrival) -> io::Result<Part> {
        let mut part = match self {
            Self::Chunk(chunk) => arrival.chunk(chunk)?,
            Self::Snapshot(name, bytes) => arrival.snapshot(*name, *bytes)?,
        };
        if let Self::Chunk(Chunk { closed: false, .. }) = self
            && part.length() == 0
        {
            // It may be closed there at this moment, but not here.
            part.write(&[0; ledger::chunk::CHUNK_HEADER_LEN])?;
        }
        Ok(part)
    }

    const fn question(&self, offset: u64, length: usize) -> Question {
        match self {
            Self::Chunk(chunk) => Question::Chunk {
                first: chunk.first,
                offset,
                length,
            },
            Self::Snapshot(name, _) => Question::Snapshot {
                name: *name,
                offset,
                length,
            },
        }
    }
}

/// Gets one file after the other.
pub(super) struct Worker {
    pub(super) lines: Arc<Lines>,
    arrival: Arc<Arrival>,
    connections: HashMap<usize, Outgoing>,
}

impl Worker {
    pub(super) fn new(lines: Arc<Lines>, arrival: Arc<Arrival>) -> Self {
        Self {
            lines,
            arrival,
            connections: HashMap::new(),
        }
    }

    /// Gets a file from one of those that have it; returns whether it is here.
    pub(super) async fn get(&mut self, number: usize, file: &Wanted) -> Result<bool, OpenError> {
        let disk = |source| OpenError::Io {
            doing: "write",
            path: file.what.name().into(),
            source,
        };
        let mut part = file.what.part(&self.arrival).map_err(disk)?;
        if part.is_whole() {
            return Ok(true);
        }
        for turn in 0..file.from.len() {
            let peer = file.from[(number + turn) % file.from.len()];
            self.lines.set_source(file.what.name(), peer);
            while part.length() < file.what.bytes() {
                let Some(bytes) = self.piece(peer, &file.what, part.length()).await else {
                    break;
                };
                self.lines.came(bytes.len() as u64);
                part.write(&bytes).map_err(disk)?;
            }
            if part.length() == file.what.bytes() {
                let finish = tokio::task::spawn_blocking(move || part.finish()).await;
                let finish = finish.unwrap_or_else(|error| Err(io::Error::other(error)));
                return finish.map_err(disk).map(|()| true);
            }
        }
        Ok(false)
    }

    /// The next bytes of a file; `None` if this node does not send them.
    async fn piece(&mut self, peer: usize, what: &What, offset: u64) -> Option<Vec<u8>> {
        let missing = what.bytes() - offset;
        let length = usize::try_from(missing).map_or(PIECE_BYTES, |all| all.min(PIECE_BYTES));
        let mut connection = match self.connections.remove(&peer) {
            Some(connection) => connection,
            None => self.lines.connect(peer).await?,
        };
        let question = what.question(offset, length);
        match self.lines.ask(peer, &mut connection, question).await? {
            Answer::Bytes(bytes) if !bytes.is_empty() && bytes.len() <= length => {
                self.connections.insert(peer, connection);
                Some(bytes)
            }
            other => {
                let what = what.name();
                tracing::warn!(node = %self.lines.peers[peer].id, what, answer = ?kind(&other), "a node does not send what it offered");
                None
            }
        }
    }
}

fn kind(answer: &Answer) -> &str {
    match answer {
        Answer::Offer(_) => "an offer",
        Answer::Bytes(_) => "another number of bytes",
        Answer::Make(_) => "about a snapshot",
        Answer::Refused(why) => why,
    }
}
