//! Questions about files, byte for byte (CBOR, RFC 8949).
//!
//! ```text
//! question  [16]                                        what have you?
//!           [17, first, offset, length]                 bytes of the ledger file that begins there
//!           [18, seqno, evidence, offset, length]       bytes of a snapshot
//!           [19]                                        make a snapshot
//! answer    [16, [chunk, ...], [mark, ...], place, snapshot]
//!           [17, bytes]                                 of either file; fewer at its end
//!           [19, bool]                                  whether one is being made
//!           [0, text]                                   why there is no answer
//! chunk     [first, last, bytes, closed]
//! mark      text, JSON as in `consensus/marks`
//! snapshot  [seqno, evidence, bytes] or null
//! ```
//! Kinds below 16 are the agreement's. A node that does not know these closes the connection.

use minicbor::decode::Error;
use minicbor::{Decoder, Encoder};
use store::arrival::Chunk;
use store::order::ToldOrder;
use store::snapshot::SnapshotName;
use verify::Seqno;

use crate::cbor::{counted, ended, exactly};

/// The first kind of ours.
const KINDS: u8 = 16;
/// More ledger files, or marks, than any ledger has: at 5 MB a file these are 5 TB.
const ROWS_MAX: u64 = 1 << 20;
/// Bytes in one answer: so that whoever else uses the line waits for a moment only.
pub(crate) const PIECE_BYTES: usize = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    Offer,
    Chunk {
        first: Seqno,
        offset: u64,
        length: usize,
    },
    Snapshot {
        name: SnapshotName,
        offset: u64,
        length: usize,
    },
    Make,
}

/// What a node has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Offer {
    /// Without a gap, from the first entry on.
    pub(crate) chunks: Vec<Chunk>,
    /// Up to the last batch in them.
    pub(crate) order: ToldOrder,
    /// The newest one, and its length.
    pub(crate) snapshot: Option<(SnapshotName, u64)>,
}

impl Offer {
    /// The last entry in it.
    pub(crate) fn last(&self) -> Seqno {
        self.chunks.last().map_or(Seqno::ZERO, |chunk| chunk.last)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Offer(Offer),
    Bytes(Vec<u8>),
    Make(bool),
    Refused(String),
}

/// Writing into memory does not fail.
macro_rules! put {
    ($out:expr $(, $method:ident ( $($value:expr)? ))+ $(,)?) => {
        {
            $( $out.$method($($value)?).expect("memory takes all that is written"); )+
        }
    };
}

/// Whether a frame asks about files; all others are the agreement's.
pub(crate) fn is_question(frame: &[u8]) -> bool {
    let mut input = Decoder::new(frame);
    input.array().is_ok() && input.u8().is_ok_and(|kind| kind >= KINDS)
}

impl Question {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = Encoder::new(Vec::with_capacity(64));
        match self {
            Self::Offer => put!(out, array(1), u8(16)),
            Self::Chunk {
                first,
                offset,
                length,
            } => {
                put!(out, array(4), u8(17), u64(first.0), u64(offset));
                put!(out, u64(length as u64));
            }
            Self::Snapshot {
                name,
                offset,
                length,
            } => {
                put!(out, array(5), u8(18), u64(name.seqno.0));
                put!(out, u64(name.evidence.0), u64(offset), u64(length as u64));
            }
            Self::Make => put!(out, array(1), u8(19)),
        }
        out.into_writer()
    }

    /// # Errors
    /// The bytes are none of the above, or ask for too much at a time.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut input = Decoder::new(bytes);
        let length = input.array()?;
        let question = match (input.u8()?, length) {
            (16, Some(1)) => Self::Offer,
            (17, Some(4)) => Self::Chunk {
                first: Seqno(input.u64()?),
                offset: input.u64()?,
                length: piece(&mut input)?,
            },
            (18, Some(5)) => Self::Snapshot {
                name: snapshot_name(&mut input)?,
                offset: input.u64()?,
                length: piece(&mut input)?,
            },
            (19, Some(1)) => Self::Make,
            _ => return Err(Error::message("no question of this kind is known")),
        };
        ended(&input)?;
        Ok(question)
    }
}

impl Answer {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let bytes = match self {
            Self::Bytes(bytes) => bytes.len(),
            _ => 0,
        };
        let mut out = Encoder::new(Vec::with_capacity(bytes + 64));
        match self {
            Self::Offer(offer) => {
                put!(out, array(5), u8(16), array(offer.chunks.len() as u64));
                for chunk in &offer.chunks {
                    put!(out, array(4), u64(chunk.first.0), u64(chunk.last.0));
                    put!(out, u64(chunk.bytes), bool(chunk.closed));
                }
                put!(out, array(offer.order.marks.len() as u64));
                for mark in &offer.order.marks {
                    let json = serde_json::to_string(mark).expect("strings and numbers are JSON");
                    put!(out, str(&json));
                }
                put!(out, u64(offer.order.place));
                match offer.snapshot {
                    Some((name, bytes)) => {
                        put!(out, array(3), u64(name.seqno.0), u64(name.evidence.0));
                        put!(out, u64(bytes));
                    }
                    None => put!(out, null()),
                }
            }
            Self::Bytes(bytes) => put!(out, array(2), u8(17), bytes(bytes)),
            Self::Make(begun) => put!(out, array(2), u8(19), bool(*begun)),
            Self::Refused(why) => put!(out, array(2), u8(0), str(why)),
        }
        out.into_writer()
    }

    /// # Errors
    /// The bytes are none of the above.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut input = Decoder::new(bytes);
        let length = input.array()?;
        let answer = match (input.u8()?, length) {
            (16, Some(5)) => {
                let count = counted(&mut input, ROWS_MAX)?;
                let chunks = (0..count).map(|_| chunk(&mut input));
                let chunks = chunks.collect::<Result<_, _>>()?;
                let count = counted(&mut input, ROWS_MAX)?;
                let marks = (0..count).map(|_| {
                    let mark = serde_json::from_str(input.str()?);
                    mark.map_err(|_| Error::message("a mark cannot be read"))
                });
                Self::Offer(Offer {
                    chunks,
                    order: ToldOrder {
                        marks: marks.collect::<Result<_, _>>()?,
                        place: input.u64()?,
                    },
                    snapshot: snapshot(&mut input)?,
                })
            }
            (17, Some(2)) => Self::Bytes(input.bytes()?.to_vec()),
            (19, Some(2)) => Self::Make(input.bool()?),
            (0, Some(2)) => Self::Refused(input.str()?.to_owned()),
            _ => return Err(Error::message("no answer of this kind is known")),
        };
        ended(&input)?;
        Ok(answer)
    }
}

fn chunk(input: &mut Decoder<'_>) -> Result<Chunk, Error> {
    exactly(input, 4)?;
    let chunk = Chunk {
        first: Seqno(input.u64()?),
        last: Seqno(input.u64()?),
        bytes: input.u64()?,
        closed: input.bool()?,
    };
    // Numbers that cannot be those of a file must not be computed with.
    if chunk.first > Seqno::ZERO && chunk.first <= chunk.last && chunk.last.0 < 1 << 62 {
        Ok(chunk)
    } else {
        Err(Error::message("a ledger file ends before it begins"))
    }
}

fn snapshot(input: &mut Decoder<'_>) -> Result<Option<(SnapshotName, u64)>, Error> {
    if input.datatype()? == minicbor::data::Type::Null {
        input.null()?;
        return Ok(None);
    }
    exactly(input, 3)?;
    Ok(Some((snapshot_name(input)?, input.u64()?)))
}

fn snapshot_name(input: &mut Decoder<'_>) -> Result<SnapshotName, Error> {
    Ok(SnapshotName {
        seqno: Seqno(input.u64()?),
        evidence: Seqno(input.u64()?),
    })
}

fn piece(input: &mut Decoder<'_>) -> Result<usize, Error> {
    let length = usize::try_from(input.u64()?).ok();
    length
        .filter(|length| *length <= PIECE_BYTES)
        .ok_or(Error::message("too much is asked for at a time"))
}

#[cfg(test)]
mod tests {
    use store::order::Mark;
    use verify::View;

    use super::*;

    const NAME: SnapshotName = SnapshotName {
        seqno: Seqno(7),
        evidence: Seqno(9),
    };

    #[test]
    fn a_question_is_read_as_it_was_written() {
        let chunk = Question::Chunk {
            first: Seqno(8),
            offset: 1 << 33,
            length: PIECE_BYTES,
        };
        let snapshot = Question::Snapshot {
            name: NAME,
            offset: 5,
            length: 1,
        };
        for question in [Question::Offer, chunk, snapshot, Question::Make] {
            let bytes = question.encode();
            assert!(is_question(&bytes));
            assert_eq!(Question::decode(&bytes).unwrap(), question);
            for end in 0..bytes.len() {
                assert!(Question::decode(&bytes[..end]).is_err(), "{end}");
            }
        }
        let greedy = Question::Chunk {
            first: Seqno(8),
            offset: 0,
            length: PIECE_BYTES + 1,
        };
        assert!(Question::decode(&greedy.encode()).is_err());
        assert!(!is_question(&[0x81, 4]) && !is_question(&[]));
    }

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let offer = Offer {
            chunks: vec![Chunk {
                first: Seqno(1),
                last: Seqno(30),
                bytes: 5_000,
                closed: true,
            }],
            order: ToldOrder {
                marks: vec![Mark {
                    index: 3,
                    view: View(2),
                    after: Seqno(12),
                    members: Some("us".to_owned()),
                }],
                place: 7,
            },
            snapshot: Some((NAME, 77)),
        };
        for answer in [
            Answer::Offer(offer),
            Answer::Offer(Offer::default()),
            Answer::Bytes(vec![7; 300]),
            Answer::Make(true),
            Answer::Refused("no".to_owned()),
        ] {
            let bytes = answer.encode();
            assert_eq!(Answer::decode(&bytes).unwrap(), answer);
            for end in 0..bytes.len() {
                assert!(Answer::decode(&bytes[..end]).is_err(), "{end}");
            }
        }
    }
}
