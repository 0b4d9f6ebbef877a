//! JSON in and out: bodies are bounded, read strictly, and refused with the place of what is wrong.

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Problem;
use crate::limits::REQUEST_BYTES_MAX;
use crate::model::strict;

/// A request's body.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let kind = request
            .headers()
            .get(CONTENT_TYPE)
            .map(HeaderValue::as_bytes);
        // A form of another site's page could be anything else.
        if !kind.is_some_and(|kind| kind.starts_with(b"application/json")) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UnsupportedMediaType",
                "send JSON, and say so: Content-Type: application/json",
            ));
        }
        let bytes = to_bytes(request.into_body(), REQUEST_BYTES_MAX).await;
        let bytes = bytes.map_err(|_| {
            Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "TooLarge",
                format!("the request has more than {REQUEST_BYTES_MAX} bytes, or did not arrive"),
            )
        })?;
        let value = strict::parse(&bytes);
        let value = value.map_err(|error| Problem::input(format!("this is no JSON: {error}")))?;
        let body = serde_json::from_value(value);
        body.map(Self)
            .map_err(|error| Problem::input(error.to_string()))
    }
}

/// A JSON answer.
#[derive(Debug)]
pub(super) struct Answer<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => {
                let json = HeaderValue::from_static("application/json");
                ([(CONTENT_TYPE, json)], body).into_response()
            }
            Err(error) => Problem::internal("writing an answer", &error).into_response(),
        }
    }
}
