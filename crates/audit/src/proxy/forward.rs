//! One request on its way to the system and back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use verify::Digest;

use super::Proxy;
use super::rules::{Exchange, segments};
use crate::Problem;
use crate::body::whole;
use crate::limits::{COMMIT_PATIENCE, DATA_BYTES_MAX};
use crate::model::{Text, strict};
use crate::telemetry::{Kind, timed};
use crate::trail::{Act, CONCURRENT, Stored};

/// Headers between neighbours, which go no further (RFC 9110, 7.6.1).
const NEIGHBOURS: [HeaderName; 7] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("te"),
    HeaderName::from_static("trailer"),
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Headers by which a system would do something else than the method and the path say, unseen by the rules,
/// or believe what the client says about where it is.
const OVERRIDES: [HeaderName; 7] = [
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-method-override"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
    HeaderName::from_static("forwarded"),
    HeaderName::from_static("x-real-ip"),
];

/// What begins the headers that say where an event is: nobody but us says them.
const OURS: &str = "counterfoil-";

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// How long after the version before was on its way an event is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// Passes a request on; stores its event if a rule fits it.
pub(super) async fn forward(
    State(proxy): State<Arc<Proxy>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    if parts.headers.contains_key(UPGRADE) {
        let detail = "this proxy passes requests on, and no upgraded connections";
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "Upgrade", detail));
    }
    let path = segments(parts.uri.path()).ok_or_else(|| {
        Problem::input("the path could be read in two ways: with dots, double or escaped slashes")
    })?;
    let fit = proxy.rules.fitting(&parts.method, &path);
    for name in OVERRIDES {
        parts.headers.remove(name);
    }
    hand_on(&mut parts.headers, peer);
    let Some(fit) = fit else {
        if proxy.audited_only && !parts.method.is_safe() {
            let detail = "no audit rule fits this change, and changes without one do not pass";
            return Err(Problem::new(StatusCode::FORBIDDEN, "NotAudited", detail));
        }
        let body = reqwest::Body::wrap_stream(body.into_data_stream());
        return passed(sent(&proxy, &parts, body).await?);
    };
    if fit.rule.needs_response() {
        // It is read here, as it is.
        parts.headers.remove(ACCEPT_ENCODING);
    }
    let body = whole(body, DATA_BYTES_MAX).await?;
    let request = data(&parts.headers, &body)?;
    let place = Text::fitting(&peer.ip().to_string());
    let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
    let Query(query) = query.map_err(|error| Problem::input(error.to_string()))?;
    let exchange = Exchange {
        query: &query,
        headers: &parts.headers,
        request,
        response: Value::Null,
    };
    // What can be refused is refused before the system does it.
    let act = if fit.rule.needs_response() {
        fit.check(&exchange)?;
        Err(exchange)
    } else {
        Ok(fit.act(&proxy.who, &place, exchange)?)
    };
    let answer = sent(&proxy, &parts, body.into()).await?;
    if !fit.rule.is_done(answer.status()) {
        return passed(answer);
    }
    match act {
        Ok(act) => recorded(&proxy, Ok(act), passed(answer)?).await,
        Err(exchange) => {
            let (answer, response) = with_data(answer).await.map_err(|e| unrecorded(&e))?;
            let exchange = Exchange {
                response,
                ..exchange
            };
            let act = fit.act(&proxy.who, &place, exchange);
            recorded(&proxy, act, answer).await
        }
    }
}

/// The system's answer.
async fn sent(
    proxy: &Proxy,
    parts: &Parts,
    body: reqwest::Body,
) -> Result<reqwest::Response, Problem> {
    let asked = proxy.upstreams.send(parts, body);
    let answer = timed("upstream", Kind::Client, asked).await;
    answer.map_err(unreachable)
}

/// The answer, once the event is stored.
async fn recorded(
    proxy: &Proxy,
    act: Result<Act, Problem>,
    mut answer: Response,
) -> Result<Response, Problem> {
    let stored = match act {
        Ok(act) => in_its_turn(proxy, act).await,
        Err(problem) => Err(problem),
    };
    match stored {
        Ok(stored) => name(answer.headers_mut(), &stored),
        // It is kept, and will be in the ledger.
        Err(problem) if problem.is_pending() => {
            let pending = HeaderValue::from_static("pending");
            answer.headers_mut().insert("counterfoil-audit", pending);
        }
        Err(problem) => return Err(unrecorded(&problem)),
    }
    Ok(answer)
}

fn unrecorded(why: &Problem) -> Problem {
    tracing::error!(problem = %why, "a change of the system has no event");
    let detail = format!(
        "the system did it, and its event was not recorded: {}",
        why.detail
    );
    Problem::new(StatusCode::BAD_GATEWAY, "AuditFailed", detail)
}

/// Records what the system has done, after what others have done to the same record just before.
async fn in_its_turn(proxy: &Proxy, act: Act) -> Result<Stored, Problem> {
    let begun = Instant::now();
    loop {
        match proxy.recorder.record(act.clone()).await {
            Err(problem) if problem.kind == CONCURRENT && begun.elapsed() < COMMIT_PATIENCE => {
                sleep(AGAIN).await;
            }
            done => return done,
        }
    }
}

/// Tells where the event is.
fn name(headers: &mut HeaderMap, stored: &Stored) {
    let mut tell = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    tell("counterfoil-audit", "recorded");
    tell("counterfoil-record", stored.event.record.as_str());
    tell("counterfoil-version", &stored.event.version.to_string());
    tell(
        "counterfoil-transaction-address",
        &stored.address.transaction_address,
    );
    tell(
        "counterfoil-contract-address",
        &stored.address.contract_address,
    );
}

fn hand_on(headers: &mut HeaderMap, peer: SocketAddr) {
    without_neighbours(headers);
    if let Some(host) = headers.remove(HOST) {
        headers.insert(FORWARDED_HOST, host);
    }
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("https"));
    // What the client says of itself could be anything.
    if let Ok(address) = HeaderValue::from_str(&peer.ip().to_string()) {
        headers.insert(FORWARDED_FOR, address);
    }
}

fn without_neighbours(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|names| names.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in NEIGHBOURS.into_iter().chain(named) {
        headers.remove(name);
    }
}

/// An answer as it comes.
fn passed(answer: reqwest::Response) -> Result<Response, Problem> {
    let (parts, body) = http::Response::<reqwest::Body>::from(answer).into_parts();
    let mut answer = Response::from_parts(parts, Body::new(body));
    without_neighbours(answer.headers_mut());
    let names = answer.headers().keys();
    let forged: Vec<HeaderName> = names
        .filter(|name| name.as_str().starts_with(OURS))
        .cloned()
        .collect();
    for name in forged {
        answer.headers_mut().remove(name);
    }
    Ok(answer)
}

/// An answer with all of its body, and what it holds.
async fn with_data(answer: reqwest::Response) -> Result<(Response, Value), Problem> {
    let answer = passed(answer)?;
    let (mut parts, body) = answer.into_parts();
    let body = whole(body, DATA_BYTES_MAX).await?;
    let value = data(&parts.headers, &body)?;
    parts.headers.remove(CONTENT_LENGTH);
    Ok(((parts, body).into_response(), value))
}

/// What a body holds: its JSON, or the digest of its bytes.
fn data(headers: &HeaderMap, body: &Bytes) -> Result<Value, Problem> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if essence == "application/json" || essence.ends_with("+json") {
        return strict::parse(body)
            .map_err(|error| Problem::input(format!("this is no JSON: {error}")));
    }
    Ok(json!({"contentType": essence, "sha256": Digest::of(body).to_string()}))
}

fn unreachable(error: reqwest::Error) -> Problem {
    tracing::warn!(error = ?error.without_url(), "the system does not answer");
    let detail = "the system behind does not answer; whether it did what was asked is not known";
    Problem::new(StatusCode::BAD_GATEWAY, "SystemUnreachable", detail)
}
