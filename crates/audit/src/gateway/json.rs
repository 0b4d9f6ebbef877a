//! JSON in and out: bodies are bounded, read strictly, and refused with the place of what is wrong. So are
//! paths and queries: whoever is refused is told why in the one form that all refusals have.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
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
        // A list could stand for an object whose fields have an order, which ours have not.
        if !value.is_object() {
            return Err(Problem::input("send a JSON object"));
        }
        let body = serde_json::from_value(value);
        body.map(Self)
            .map_err(|error| Problem::input(error.to_string()))
    }
}

/// What a path names.
#[derive(Debug)]
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(named)| Self(named))
            .map_err(|refused| Problem::input(refused.body_text()))
    }
}

/// What a query asks for.
#[derive(Debug)]
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::from_request_parts(parts, state).await;
        query
            .map(|axum::extract::Query(asked)| Self(asked))
            .map_err(|refused| Problem::input(refused.body_text()))
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

#[cfg(test)]
mod tests {
    use axum::body::Body as HttpBody;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Named {
        name: String,
    }

    fn request(uri: &str, body: &str) -> Request {
        let request = Request::builder().uri(uri);
        let request = request.header(CONTENT_TYPE, "application/json");
        request.body(HttpBody::from(body.to_owned())).unwrap()
    }

    async fn refused<T: FromRequest<(), Rejection = Problem> + std::fmt::Debug>(
        request: Request,
    ) -> (u16, String) {
        let problem = T::from_request(request, &()).await.unwrap_err();
        (problem.status, problem.kind)
    }

    #[tokio::test]
    async fn a_list_stands_for_no_object() {
        let body = Body::<Named>::from_request(request("/", r#"{"name":"ana"}"#), &()).await;
        assert_eq!(body.unwrap().0.name, "ana");
        for junk in [r#"["ana"]"#, "[]", "\"ana\"", "null", "7"] {
            let refused = refused::<Body<Named>>(request("/", junk)).await;
            assert_eq!(refused, (400, "InvalidInput".to_owned()), "{junk}");
        }
    }

    #[tokio::test]
    async fn a_body_that_is_too_long_is_a_problem_of_its_own() {
        let long = "x".repeat(REQUEST_BYTES_MAX + 1);
        let refused = refused::<Body<Named>>(request("/", &long)).await;
        assert_eq!(refused, (413, "TooLarge".to_owned()));
    }

    #[tokio::test]
    async fn queries_are_refused_as_bodies_are() {
        async fn read(uri: &str) -> Result<String, Problem> {
            let (mut parts, _) = request(uri, "").into_parts();
            let query = Query::<Named>::from_request_parts(&mut parts, &()).await;
            query.map(|Query(named)| named.name)
        }
        assert_eq!(read("/?name=ana").await.unwrap(), "ana");
        for uri in ["/", "/?name=ana&admin=1", "/?nom=ana"] {
            let refused = read(uri).await.unwrap_err();
            assert_eq!(
                (refused.status, &*refused.kind),
                (400, "InvalidInput"),
                "{uri}"
            );
        }
    }

    #[tokio::test]
    async fn paths_are_refused_as_bodies_are() {
        use axum::routing::get;
        use tower::ServiceExt;
        let routes =
            axum::Router::new().route("/{n}", get(async |Path(n): Path<u8>| n.to_string()));
        let answer = routes.clone().oneshot(request("/7", "")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let answer = routes.oneshot(request("/seven", "")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/problem+json");
    }
}
