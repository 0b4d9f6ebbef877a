//! Bodies of answers: bytes that are there, or a stream of them.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, SizeHint};

use crate::server::Busy;

/// Why a body broke.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer.
pub(crate) enum AnswerBody {
    /// All of it; `None` once it is taken, and for no body.
    Whole(Option<Bytes>),
    /// Pieces as they come. The connection counts as busy until the last.
    Stream {
        /// The pieces.
        pieces: Pin<Box<dyn Stream<Item = Bytes> + Send>>,
        /// Keeps the connection from being closed as idle.
        busy: Option<Busy>,
    },
    /// What the leader answers, as it comes. Where that breaks, this breaks too.
    Passed {
        /// The leader's body.
        body: Pin<Box<reqwest::Body>>,
        /// Keeps the connection from being closed as idle.
        busy: Option<Busy>,
    },
    /// What a [`crate::Mount`] answers.
    Mounted {
        /// Its body.
        body: UnsyncBoxBody<Bytes, BodyError>,
        /// Keeps the connection from being closed as idle.
        busy: Option<Busy>,
    },
}

impl AnswerBody {
    /// A body that comes in pieces.
    pub(crate) fn stream(pieces: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self::Stream {
            pieces: Box::pin(pieces),
            busy: None,
        }
    }

    /// The body of what another crate answers.
    pub(crate) const fn mounted(body: UnsyncBoxBody<Bytes, BodyError>) -> Self {
        Self::Mounted { body, busy: None }
    }

    /// The body of an answer of another node.
    pub(crate) fn passed(body: reqwest::Body) -> Self {
        Self::Passed {
            body: Box::pin(body),
            busy: None,
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream { pieces, .. } => pieces
                .as_mut()
                .poll_next(cx)
                .map(|piece| piece.map(|bytes| Ok(Frame::data(bytes)))),
            Self::Passed { body, .. } => body
                .as_mut()
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(BodyError::from))),
            Self::Mounted { body, .. } => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Stream { .. } => false,
            Self::Passed { body, .. } => body.is_end_stream(),
            Self::Mounted { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Stream { .. } => SizeHint::default(),
            Self::Passed { body, .. } => body.size_hint(),
            Self::Mounted { body, .. } => body.size_hint(),
        }
    }
}
