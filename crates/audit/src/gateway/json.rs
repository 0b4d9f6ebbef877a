//! JSON in and out: bodies are bounded, read strictly, and refused with the place of what is wrong.

use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Problem;
use crate::body::whole;
use crate::limits::REQUEST_BYTES_MAX;
use crate::model::strict;

/// A request's body.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        says_json(request.headers(), &["application/json"])?;
        let bytes = whole(request.into_body(), REQUEST_BYTES_MAX).await?;
        let value = strict::parse(&bytes);
        let value = value.map_err(|error| Problem::input(format!("this is no JSON: {error}")))?;
        let body = serde_json::from_value(value);
        body.map(Self)
            .map_err(|error| Problem::input(error.to_string()))
    }
}

/// That a body says to be of one of these media types. A form of another site's page cannot say so without
/// asking first, and is not allowed to.
///
/// # Errors
/// It says something else, or nothing.
pub(super) fn says_json(headers: &HeaderMap, media_types: &[&str]) -> Result<(), Problem> {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let essence = kind.and_then(|kind| kind.split(|byte| *byte == b';').next());
    let essence = essence.unwrap_or_default().trim_ascii();
    if media_types
        .iter()
        .any(|known| essence.eq_ignore_ascii_case(known.as_bytes()))
    {
        return Ok(());
    }
    let detail = format!(
        "send JSON, and say so: Content-Type: {}",
        media_types.join(" or ")
    );
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Err(Problem::new(status, "UnsupportedMediaType", detail))
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
