//! One request on its way through the front: what handlers ask it.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use http::request::Parts;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use ledger::users::UserId;
use node::Node;
use percent_encoding::percent_decode_str;
use tokio::time::{Instant, timeout_at};
use verify::TxId;

use crate::auth::Identity;
use crate::error::{ApiError, Code};
use crate::limits::{BODY_TIMEOUT, BODY_TOTAL_TIMEOUT};
use crate::routes::Params;
use crate::server::Session;
use crate::version::ApiVersion;

/// A request whose caller was checked.
pub(crate) struct Call {
    /// The connection it came on.
    pub(crate) session: Arc<Session>,
    /// Method, path, headers.
    pub(crate) head: Parts,
    /// The version of the API that is spoken.
    pub(crate) version: ApiVersion,
    body: Incoming,
    caller: Option<Arc<Identity>>,
    params: Params,
}

impl Call {
    pub(crate) const fn new(
        session: Arc<Session>,
        head: Parts,
        body: Incoming,
        version: ApiVersion,
        caller: Option<Arc<Identity>>,
        params: Params,
    ) -> Self {
        Self {
            session,
            head,
            version,
            body,
            caller,
            params,
        }
    }

    /// The node.
    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.session.app.node
    }

    /// Who is calling.
    ///
    /// # Panics
    /// On routes that ask for no caller.
    pub(crate) fn caller(&self) -> &Arc<Identity> {
        self.caller.as_ref().expect("the route asks who is calling")
    }

    /// A query parameter, decoded; `None` where it is not given.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub(crate) fn query(&self, name: &str) -> Result<Option<Cow<'_, str>>, ApiError> {
        query_value(self.head.uri.query(), name)
    }

    /// A query parameter that is `true` or `false`.
    ///
    /// # Errors
    /// It is something else.
    pub(crate) fn query_flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.query(name)?.as_deref() {
            None | Some("") => Ok(None),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(_) => Err(ApiError::query(format!(
                "The query parameter {name} is true or false."
            ))),
        }
    }

    /// A query parameter that is a transaction id.
    ///
    /// # Errors
    /// It is something else.
    pub(crate) fn query_tx_id(&self, name: &str) -> Result<Option<TxId>, ApiError> {
        match self.query(name)?.as_deref() {
            None | Some("") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|error| {
                ApiError::query(format!(
                    "The query parameter {name} is {text:?}, but {error}."
                ))
            }),
        }
    }

    /// What stands in the path for `{...}`, decoded.
    ///
    /// # Errors
    /// It is not UTF-8.
    ///
    /// # Panics
    /// On routes without such a place.
    pub(crate) fn param(&self) -> Result<Cow<'_, str>, ApiError> {
        self.part(self.params.first())
    }

    /// What stands in the path for `{name}`, decoded.
    ///
    /// # Errors
    /// It is not UTF-8.
    ///
    /// # Panics
    /// On routes without such a place.
    pub(crate) fn named(&self, name: &str) -> Result<Cow<'_, str>, ApiError> {
        self.part(self.params.named(name))
    }

    fn part(&self, range: Option<Range<usize>>) -> Result<Cow<'_, str>, ApiError> {
        let range = range.expect("the route has such a parameter in its path");
        percent_decode_str(&self.head.uri.path()[range])
            .decode_utf8()
            .map_err(|_| ApiError::input("The path is not UTF-8."))
    }

    /// The transaction id in the path.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn tx_id(&self) -> Result<TxId, ApiError> {
        let text = self.param()?;
        text.parse().map_err(|error| {
            ApiError::new(
                Code::InvalidTransactionId,
                format!("{text:?} cannot be: {error}."),
            )
        })
    }

    /// The user id in the path.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn user_id(&self) -> Result<UserId, ApiError> {
        Ok(UserId::parse(&self.param()?)?)
    }

    /// A header's text.
    ///
    /// # Errors
    /// It is there and is no text.
    pub(crate) fn header(&self, name: &HeaderName) -> Result<Option<&str>, ApiError> {
        let value = self.head.headers.get(name).map(|value| value.to_str());
        value
            .transpose()
            .map_err(|_| ApiError::input(format!("The header {name} is not text.")))
    }

    /// Whether the caller asks for this media type by name.
    pub(crate) fn accepts(&self, media_type: &str) -> bool {
        self.head.headers.get_all(ACCEPT).iter().any(|value| {
            let names = value.to_str().unwrap_or_default().split(',');
            names
                .into_iter()
                .any(|name| essence(name).eq_ignore_ascii_case(media_type))
        })
    }

    /// The media type of the body, without parameters; empty where it is not said.
    pub(crate) fn content_type(&self) -> &str {
        let value = self.head.headers.get(CONTENT_TYPE);
        value
            .and_then(|value| value.to_str().ok())
            .map_or("", essence)
    }

    /// The whole body, which must be JSON if its type is said.
    ///
    /// # Errors
    /// It is of another type, longer than `limit` bytes, or does not arrive.
    pub(crate) async fn json_bytes(&mut self, limit: usize) -> Result<Bytes, ApiError> {
        let media_type = self.content_type();
        let is_json = ["", "application/json", "application/merge-patch+json"]
            .iter()
            .any(|known| media_type.eq_ignore_ascii_case(known));
        if !is_json {
            let message = format!("The body is {media_type}; send application/json.");
            return Err(ApiError::new(Code::UnsupportedContentType, message));
        }
        self.bytes(limit).await
    }

    /// The whole body, which must be COSE if its type is said.
    ///
    /// # Errors
    /// It is of another type, longer than `limit` bytes, or does not arrive.
    pub(crate) async fn cose_bytes(&mut self, limit: usize) -> Result<Bytes, ApiError> {
        let media_type = self.content_type();
        if !media_type.is_empty() && !media_type.eq_ignore_ascii_case("application/cose") {
            let message = format!("The body is {media_type}; send application/cose.");
            return Err(ApiError::new(Code::UnsupportedContentType, message));
        }
        self.bytes(limit).await
    }

    async fn bytes(&mut self, limit: usize) -> Result<Bytes, ApiError> {
        let too_large = || {
            let message = format!("The body exceeds the limit of {limit} bytes.");
            ApiError::new(Code::RequestBodyTooLarge, message)
        };
        let expected = self.body.size_hint().lower();
        if expected > limit as u64 {
            return Err(too_large());
        }
        let mut now = Instant::now();
        let give_up = now + BODY_TOTAL_TIMEOUT;
        // Most bodies are one piece, and are not copied.
        let mut first = Bytes::new();
        let mut whole = BytesMut::new();
        while let Some(piece) = next_piece(&mut self.body, give_up.min(now + BODY_TIMEOUT)).await? {
            if first.len().max(whole.len()) + piece.len() > limit {
                return Err(too_large());
            }
            if first.is_empty() {
                first = piece;
                continue;
            }
            now = Instant::now();
            if whole.is_empty() {
                whole.reserve(usize::try_from(expected).unwrap_or(limit));
                whole.extend_from_slice(&first);
            }
            whole.extend_from_slice(&piece);
        }
        Ok(if whole.is_empty() {
            first
        } else {
            whole.freeze()
        })
    }

    /// Splits the body off, to be read piece by piece with [`next_piece`].
    pub(crate) fn into_body(self) -> Incoming {
        self.body
    }
}

/// The next bytes of a body, waited for until `until`; `None` at its end.
///
/// # Errors
/// The connection broke, or nothing came for too long.
pub(crate) async fn next_piece(
    body: &mut Incoming,
    until: Instant,
) -> Result<Option<Bytes>, ApiError> {
    // Where the end is known there is nothing to wait for.
    while !body.is_end_stream() {
        let frame = timeout_at(until, body.frame()).await;
        match frame.map_err(|_| timed_out())? {
            None => return Ok(None),
            Some(Err(_)) => return Err(ApiError::input("The body was cut off.")),
            // Trailers mean nothing here.
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Ok(Some(bytes)),
                Err(_) => {}
            },
        }
    }
    Ok(None)
}

fn timed_out() -> ApiError {
    ApiError::new(Code::RequestTimeout, "The body did not arrive in time.")
}

/// The first value of `name` in a query string, decoded as HTML forms are.
pub(crate) fn query_value<'a>(
    query: Option<&'a str>,
    name: &str,
) -> Result<Option<Cow<'a, str>>, ApiError> {
    let pairs = query.unwrap_or_default().split('&');
    let value = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find_map(|(key, value)| (key == name).then_some(value));
    let Some(value) = value else { return Ok(None) };
    let not_text = |_| ApiError::query(format!("The query parameter {name} is not UTF-8."));
    if value.contains('+') {
        let value = value.replace('+', " ");
        let text = percent_decode_str(&value).decode_utf8().map_err(not_text)?;
        return Ok(Some(Cow::Owned(text.into_owned())));
    }
    percent_decode_str(value)
        .decode_utf8()
        .map(Some)
        .map_err(not_text)
}

fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_parameter_is_found_and_decoded() {
        let query = Some("a=1&collectionId=subledger%3A0&tags=x%2Cy+z&flag&a=2");
        let value = |name| query_value(query, name).unwrap().map(Cow::into_owned);
        assert_eq!(value("a").as_deref(), Some("1"));
        assert_eq!(value("collectionId").as_deref(), Some("subledger:0"));
        assert_eq!(value("tags").as_deref(), Some("x,y z"));
        assert_eq!(value("flag").as_deref(), Some(""));
        assert_eq!(value("b"), None);
        assert!(query_value(Some("a=%FF"), "a").is_err());
        assert_eq!(query_value(None, "a").unwrap(), None);
    }

    #[test]
    fn parameters_of_a_media_type_do_not_count() {
        assert_eq!(
            essence("application/json; charset=utf-8"),
            "application/json"
        );
        assert_eq!(essence(""), "");
    }
}
