//! Answers with a tag of what they say (RFC 9110, section 13): whoever has the same one is told so, and does not
//! get it again. Whether they may have it is found out before that, each time.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use verify::Digest;

use crate::Problem;

/// A JSON answer to a request with these headers, or that it is the one that they have.
pub(super) fn tagged(asked: &HeaderMap, answer: &impl Serialize) -> Response {
    let body = match serde_json::to_vec(answer) {
        Ok(body) => body,
        Err(error) => return Problem::internal("writing an answer", &error).into_response(),
    };
    let tag = format!("\"{}\"", Digest::of(&body));
    let mut response = if is_known(asked, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let json = HeaderValue::from_static("application/json");
        ([(CONTENT_TYPE, json)], body).into_response()
    };
    let tag = HeaderValue::try_from(tag).expect("digits and quotation marks");
    response.headers_mut().insert(ETAG, tag);
    response
}

/// Whether one of the tags that a request names is this one. Whatever stands between may have made them weak.
fn is_known(asked: &HeaderMap, tag: &str) -> bool {
    let lists = asked.get_all(IF_NONE_MATCH).iter();
    let tags = lists
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','));
    tags.map(str::trim)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(known: Option<&str>) -> Response {
        let mut headers = HeaderMap::new();
        if let Some(known) = known {
            headers.insert(IF_NONE_MATCH, known.parse().unwrap());
        }
        tagged(&headers, &"said")
    }

    #[test]
    fn who_has_the_same_answer_is_told_so_and_others_get_it() {
        let first = answered(None);
        assert_eq!(first.status(), StatusCode::OK);
        let tag = first.headers()[ETAG].to_str().unwrap();
        for known in [
            tag,
            &format!("W/{tag}"),
            &format!("\"another\", {tag}"),
            "*",
        ] {
            let answer = answered(Some(known));
            assert_eq!(answer.status(), StatusCode::NOT_MODIFIED, "{known}");
            assert_eq!(answer.headers()[ETAG], tag);
            assert!(!answer.headers().contains_key(CONTENT_TYPE));
        }
        for other in ["\"another\"", &tag[1..], "", "W/\"*\""] {
            assert_eq!(answered(Some(other)).status(), StatusCode::OK, "{other}");
        }
        assert_ne!(tagged(&HeaderMap::new(), &"else").headers()[ETAG], tag);
    }
}
