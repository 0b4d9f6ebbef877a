//! Making answers.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION};
use http::{HeaderName, Response, StatusCode};
use serde::Serialize;
use verify::TxId;

use crate::body::AnswerBody;

/// What goes back to the caller.
pub(crate) type Answer = Response<AnswerBody>;

/// The header in which a write's transaction id is told.
pub(crate) const TRANSACTION_ID: HeaderName = HeaderName::from_static("x-ms-ccf-transaction-id");

/// Media type of JSON.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// `value` as JSON, with status 200.
pub(crate) fn json(value: &impl Serialize) -> Answer {
    let bytes = serde_json::to_vec(value).expect("strings, numbers and lists of them are JSON");
    whole(JSON, bytes)
}

/// `bytes` of some media type, with status 200.
pub(crate) fn whole(media_type: HeaderValue, bytes: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(AnswerBody::Whole(Some(bytes.into())));
    answer.headers_mut().insert(CONTENT_TYPE, media_type);
    answer
}

/// Pieces of some media type as they come, with status 200. Nobody on the way may keep them.
pub(crate) fn stream(
    media_type: HeaderValue,
    pieces: impl futures_util::Stream<Item = Bytes> + Send + 'static,
) -> Answer {
    let mut answer = Response::new(AnswerBody::stream(pieces));
    answer.headers_mut().insert(CONTENT_TYPE, media_type);
    answer
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

/// No body, and another place to ask; `None` where that is no address.
pub(crate) fn redirection(status: StatusCode, location: &str) -> Option<Answer> {
    let mut answer = empty(status);
    let location = HeaderValue::from_str(location).ok()?;
    answer.headers_mut().insert(LOCATION, location);
    Some(answer)
}

/// A status and nothing else.
pub(crate) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(AnswerBody::Whole(None));
    *answer.status_mut() = status;
    answer
}

/// Tells in a header which transaction it was.
pub(crate) fn with_transaction(mut answer: Answer, id: TxId) -> Answer {
    let text = HeaderValue::try_from(id.to_string()).expect("digits and a dot are a header value");
    answer.headers_mut().insert(TRANSACTION_ID, text);
    answer
}
