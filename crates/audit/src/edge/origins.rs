//! From which pages requests may come.
//!
//! Nothing that a browser sends by itself says who calls: access tokens are headers that scripts of our own
//! pages set, and the one cookie, of those who are about to sign in elsewhere, opens nothing alone. So a page
//! of another site can act in nobody's name; this is the second line, for what needs no name (the first root,
//! logging in) and for programs that are less careful.

use std::time::Duration;

use axum::extract::Request;
use http::header::{
    AUTHORIZATION, CONTENT_TYPE, ETAG, HOST, HeaderName, HeaderValue, IF_NONE_MATCH, LINK,
    LOCATION, ORIGIN, RETRY_AFTER,
};
use http::{Method, Uri};
use serde::Deserialize;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::foreign;
use crate::Problem;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// How long browsers remember what is allowed.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Whose pages: a scheme, a host, and a port if it is not the scheme's own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Origin(HeaderValue);

/// It is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "an origin is like https://shop.example or http://localhost:3000, as browsers write it, and not {0:?}"
)]
pub struct OriginError(String);

impl TryFrom<String> for Origin {
    type Error = OriginError;

    fn try_from(text: String) -> Result<Self, OriginError> {
        let url = reqwest::Url::parse(&text).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
        // A pattern would be taken for a host of that name, and fit nothing.
        let exact = url.is_some_and(|url| url.origin().ascii_serialization() == text);
        let exact = exact && !text.contains('*');
        let value = HeaderValue::from_str(&text).ok().filter(|_| exact);
        value.map(Self).ok_or(OriginError(text))
    }
}

/// Those that may ask, beside our own pages.
#[derive(Debug)]
pub(super) struct Origins(Vec<HeaderValue>);

impl Origins {
    pub(super) fn new(allowed: Vec<Origin>) -> Self {
        Self(allowed.into_iter().map(|Origin(value)| value).collect())
    }

    /// What tells browsers that these pages may read answers; nothing where there are none.
    pub(super) fn cors(&self) -> Option<CorsLayer> {
        if self.0.is_empty() {
            return None;
        }
        let layer = CorsLayer::new()
            .allow_origin(AllowOrigin::list(self.0.iter().cloned()))
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
            .allow_headers([AUTHORIZATION, CONTENT_TYPE, IDEMPOTENCY_KEY, IF_NONE_MATCH])
            .expose_headers([ETAG, LINK, LOCATION, RETRY_AFTER])
            .max_age(REMEMBERED);
        Some(layer)
    }

    /// That a request which may change something comes from our pages, from those that are allowed, or from
    /// no page at all. Browsers say it themselves, and scripts cannot change what they say.
    ///
    /// # Errors
    /// Another site's page sent it.
    pub(super) fn check(&self, request: &Request) -> Result<(), Problem> {
        if matches!(
            *request.method(),
            Method::GET | Method::HEAD | Method::OPTIONS
        ) {
            return Ok(());
        }
        let headers = request.headers();
        let origin = headers.get(ORIGIN);
        if origin.is_some_and(|origin| self.0.contains(origin)) {
            return Ok(());
        }
        let ours = match headers.get(FETCH_SITE).map(HeaderValue::as_bytes) {
            Some(b"same-origin" | b"none") => true,
            Some(_) => false,
            // An old browser, or none.
            None => origin.is_none_or(|origin| is_here(origin, request.uri(), headers.get(HOST))),
        };
        if ours { Ok(()) } else { Err(foreign()) }
    }
}

/// Whether an origin is the place that was asked.
fn is_here(origin: &HeaderValue, uri: &Uri, host: Option<&HeaderValue>) -> bool {
    let origin = origin.to_str().ok();
    let authority = origin.and_then(|origin| Some(origin.split_once("://")?.1));
    let asked = match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => host.and_then(|host| host.to_str().ok()),
    };
    authority.is_some() && authority == asked
}
