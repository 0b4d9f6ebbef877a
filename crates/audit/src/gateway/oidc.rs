//! Signing in by the identity provider, as a browser does it: it is sent there, comes back to the page `/oidc`,
//! and that page asks for the session. Meanwhile the browser keeps a cookie, which no script reads and no
//! other site makes it send; it opens nothing by itself.

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::header::{COOKIE, HeaderName, HeaderValue, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use super::Gateway;
use super::caller::{Known, Place};
use super::json::{Answer, Body, Path};
use crate::Problem;
use crate::limits::{OIDC_ATTEMPT_LIFETIME, OIDC_HALF_LIFETIME, OIDC_RETURNED_BYTES_MAX};
use crate::users::oidc::{Came, Returned};
use crate::users::{Exposed, Secret, Tokens, User, UserId, totp_required};

type Here = State<Arc<Gateway>>;

/// Browsers send it to this very host alone, and nobody else sets it (`__Host-`).
const COOKIE_NAME: &str = "__Host-counterfoil-oidc";

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// `GET /v1/oidc`: whether one may sign in by an identity provider, and what it is called.
pub(super) async fn about(State(gateway): Here) -> Answer<impl Serialize> {
    #[derive(Serialize)]
    struct About {
        available: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    }
    let name = gateway.config.oidc.clone();
    Answer(About {
        available: name.is_some(),
        name,
    })
}

/// `GET /v1/oidc/start`: sends a browser to the provider. A link on a page of another site leads to our first
/// page instead: nobody is signed in without having asked for it.
pub(super) async fn start(State(gateway): Here, headers: HeaderMap) -> Result<Response, Problem> {
    let site = headers.get(FETCH_SITE).map(HeaderValue::as_bytes);
    if !matches!(site, None | Some(b"same-origin" | b"none")) {
        return Ok(Redirect::to("/").into_response());
    }
    let begun = gateway.users.begin_oidc().await?;
    let cookie = keeping(&begun.kept, OIDC_ATTEMPT_LIFETIME.as_secs())?;
    Ok(([(SET_COOKIE, cookie)], Redirect::to(&begun.url)).into_response())
}

/// What a page brings that the provider sent a browser back to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Back {
    code: Secret,
    state: Secret,
    #[serde(default)]
    iss: Option<String>,
}

/// `POST /v1/oidc/session`: a session for what the provider said; or a code of a second factor is asked for.
pub(super) async fn session(
    State(gateway): Here,
    Place(place): Place,
    Kept(kept): Kept,
    Body(back): Body<Back>,
) -> Result<Response, Problem> {
    let returned = Returned {
        kept,
        state: back.state,
        code: back.code,
        iss: back.iss,
    };
    match gateway.users.finish_oidc(returned, place).await {
        Ok(Came::In(tokens)) => Ok(done(*tokens)),
        Ok(Came::Half(half)) => {
            let cookie = keeping(&half.0, OIDC_HALF_LIFETIME.as_secs())?;
            Ok(([(SET_COOKIE, cookie)], totp_required()).into_response())
        }
        // What it kept is used up, or good for nothing.
        Err(problem) => Ok((forgetting(), problem).into_response()),
    }
}

/// A code of a second factor.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Code {
    totp: Secret,
}

/// `POST /v1/oidc/totp`: a session for what the provider said, and a code of a second factor.
pub(super) async fn totp(
    State(gateway): Here,
    Place(place): Place,
    Kept(kept): Kept,
    Body(code): Body<Code>,
) -> Result<Response, Problem> {
    let tokens = gateway
        .users
        .finish_oidc_totp(Exposed(kept), Exposed(code.totp), place);
    tokens.await.map(done)
}

/// `PUT /v1/users/{user}/oidc`: somebody below may sign in by the provider.
pub(super) async fn allow(
    State(gateway): Here,
    known: Known,
    Path(id): Path<UserId>,
) -> Result<Answer<User>, Problem> {
    gateway.users.allow_oidc(known.caller, id).await.map(Answer)
}

/// `DELETE /v1/users/{user}/oidc`: they may not, or no longer.
pub(super) async fn refuse(
    State(gateway): Here,
    known: Known,
    Path(id): Path<UserId>,
) -> Result<Answer<User>, Problem> {
    gateway
        .users
        .refuse_oidc(known.caller, id)
        .await
        .map(Answer)
}

fn done(tokens: Tokens) -> Response {
    (forgetting(), Answer(tokens)).into_response()
}

/// What a browser kept for us.
pub(super) struct Kept(Secret);

impl<S: Send + Sync> FromRequestParts<S> for Kept {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        kept(&parts.headers).map(Self).ok_or_else(|| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "SignInNotBegun",
                "this browser has not begun to sign in, or keeps no cookies; begin again",
            )
        })
    }
}

/// HTTP/2 may send cookies one by one.
fn kept(headers: &HeaderMap) -> Option<Secret> {
    let lines = headers.get_all(COOKIE).iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';'));
    let mut ours = pairs.filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name.trim() == COOKIE_NAME).then(|| value.trim())
    });
    let value = ours.next()?;
    // Two of them are one that somebody slipped in.
    let fits = ours.next().is_none() && value.len() <= OIDC_RETURNED_BYTES_MAX;
    fits.then(|| Secret::from(value))
}

fn keeping(value: &Secret, seconds: u64) -> Result<HeaderValue, Problem> {
    let cookie = format!(
        "{COOKIE_NAME}={}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Strict",
        value.expose()
    );
    let mut cookie =
        HeaderValue::try_from(cookie).map_err(|error| Problem::internal("a cookie", &error))?;
    cookie.set_sensitive(true);
    Ok(cookie)
}

fn forgetting() -> [(HeaderName, HeaderValue); 1] {
    const GONE: &str =
        "__Host-counterfoil-oidc=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict";
    [(SET_COOKIE, HeaderValue::from_static(GONE))]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let lines = lines.iter();
        lines
            .map(|line| (COOKIE, HeaderValue::from_str(line).unwrap()))
            .collect()
    }

    #[test]
    fn a_cookie_is_found_among_others_and_not_if_there_are_two() {
        let found = |lines: &[&str]| kept(&headers(lines)).map(|kept| kept.expose().to_owned());
        let ours = "__Host-counterfoil-oidc=abc";
        assert_eq!(found(&[ours]).as_deref(), Some("abc"));
        assert_eq!(found(&["a=b; c=d", ours]).as_deref(), Some("abc"));
        let among = format!("a=b;{ours}; c=d");
        assert_eq!(found(&[&among]).as_deref(), Some("abc"));
        assert_eq!(found(&[]), None);
        assert_eq!(found(&["counterfoil-oidc=abc", "a"]), None);
        assert_eq!(found(&[ours, "__Host-counterfoil-oidc=evil"]), None);
        let long = format!("{ours}{}", "x".repeat(OIDC_RETURNED_BYTES_MAX));
        assert_eq!(found(&[&long]), None);
    }

    #[test]
    fn the_cookie_is_this_hosts_for_no_script_and_for_no_other_site() {
        let cookie = keeping(&Secret::from("abc"), 600).unwrap();
        let expected = "__Host-counterfoil-oidc=abc; Path=/; Max-Age=600; Secure; HttpOnly; \
                        SameSite=Strict";
        assert_eq!(cookie, expected);
        assert!(cookie.is_sensitive());
        let [(name, gone)] = forgetting();
        let expected = expected.replace("=abc", "=").replace("600", "0");
        assert_eq!((name, gone.to_str().unwrap()), (SET_COOKIE, &*expected));
    }
}
