//! Errors as they are told to callers (RFC 9457), whoever of the services found them.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use serde::{Deserialize, Serialize};

use crate::telemetry::{self, Failure};

/// Why a request was not done: who is to blame is in the status, what to do is in the detail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail} ({kind})")]
pub struct Problem {
    /// A word for programs: `InvalidInput`, `NotPermitted`, ... It stays what it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened, and what to do about it.
    pub detail: String,
    /// Where in the request, as a JSON pointer (RFC 6901).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// After so many seconds it may go; the header `Retry-After` says it too.
    #[serde(
        default,
        rename = "retryAfter",
        skip_serializing_if = "Option::is_none"
    )]
    pub retry_after: Option<u64>,
    /// The trace by which the operator finds the request, if it is recorded.
    #[serde(default, rename = "traceId", skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// What a problem is called, in the extensions of the answer that tells of it.
#[derive(Debug, Clone)]
pub(crate) struct Told(pub(crate) String);

/// The word for what is on its way.
const PENDING: &str = "Pending";

impl Problem {
    /// A problem of this kind.
    pub fn new(status: StatusCode, kind: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: kind.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            pointer: None,
            retry_after: None,
            trace_id: None,
        }
    }

    /// The caller sent something that cannot be; sending it again does not help.
    pub fn input(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidInput", detail)
    }

    /// It is not known who calls. Why not is for the logs.
    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthenticated", detail)
    }

    /// It is known who calls, and they may not.
    pub fn not_permitted(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "NotPermitted", detail)
    }

    /// There is no such thing, or not for this caller.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", detail)
    }

    /// It contradicts what is there.
    pub fn conflict(kind: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, kind, detail)
    }

    /// Too much at once; later it may go.
    pub fn busy(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "Busy", detail).after(1)
    }

    /// Something that this service needs is not there now.
    pub fn unavailable(kind: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, kind, detail)
    }

    /// Neither done nor refused: the event is kept, and will be recorded.
    pub fn pending(detail: impl Into<String>) -> Self {
        Self::unavailable(PENDING, detail)
    }

    /// Whether it is neither done nor refused: whoever waits for it must not take anything back.
    pub fn is_pending(&self) -> bool {
        self.kind == PENDING
    }

    /// Our own fault. What it is stands in the log, under the name that the caller gets.
    pub fn internal(what: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        let causes = std::iter::successors(Some(error), |error| error.source());
        let why: Vec<String> = causes.map(ToString::to_string).collect();
        tracing::error!(what, why = why.join(": "), "a request failed");
        let detail = format!("{what} failed; the service's log says why");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal", detail)
    }

    /// The same, at a place in the request.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = Some(pointer.into());
        self
    }

    /// The same, and when to come again.
    #[must_use]
    pub const fn after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        self.trace_id = self.trace_id.or_else(telemetry::trace_id);
        let status = StatusCode::from_u16(self.status);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).expect("text is JSON");
        let mut response = (status, body).into_response();
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response.extensions_mut().insert(Told(self.kind));
        if let Some(seconds) = self.retry_after {
            let seconds = HeaderValue::from(seconds);
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        response
    }
}

impl Failure for Problem {
    fn word(&self) -> Cow<'static, str> {
        Cow::Owned(self.kind.clone())
    }

    fn is_ours(&self) -> bool {
        self.status >= 500
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_told_to_come_later_is_told_when() {
        let answer = Problem::busy("too much").into_response();
        assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(answer.headers()[RETRY_AFTER], "1");
        let answer = Problem::input("wrong").into_response();
        assert_eq!(answer.headers().get(RETRY_AFTER), None);
        let told = Problem::busy("too much").after(7);
        let written = serde_json::to_value(&told).unwrap();
        assert_eq!(written["retryAfter"], 7);
        assert_eq!(serde_json::from_value::<Problem>(written).unwrap(), told);
    }
}
