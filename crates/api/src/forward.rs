//! Writes that reach a node which does not lead: it passes them on to the leader, and the answer back.
//!
//! ```text
//! client --TLS--> this node --TLS, with the node's certificate--> leader
//!                 x-counterfoil-forwarded: fingerprint of the client's certificate, or -
//! ```
//! A token goes along as it came. A certificate cannot: the leader takes the word of a node that the
//! members trust, and of nobody else, for whose key it was. Nothing is passed on twice. Clients that go
//! to the leader themselves say `Prefer: redirect`, and are told where it is.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderMap, HeaderValue, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderName, Method, Response, StatusCode};
use hyper::body::{Body, Incoming};
use ledger::nodes::{self, NodeStatus};
use ledger::users::UserId;
use node::Node;
use verify::Cert;

use crate::answer::{self, Answer, TRANSACTION_ID};
use crate::app::App;
use crate::body::AnswerBody;
use crate::error::{ApiError, chain};
use crate::limits::{HANDSHAKE_TIMEOUT, LEADER_GONE, PASSED_PATIENCE};
use crate::tls::TlsError;

/// Says that another node passes this on, and for whom.
pub(crate) const FORWARDED: HeaderName = HeaderName::from_static("x-counterfoil-forwarded");
/// In its place where the client showed no certificate.
const NOBODY: &str = "-";
/// How a client would like to be answered (RFC 7240).
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// Headers that are about one connection, and not about what is asked.
const OF_A_CONNECTION: [HeaderName; 10] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// An idle connection to the leader is closed by this side, long before the leader would.
const IDLE: Duration = Duration::from_secs(20);

/// Connections to whoever leads.
pub(crate) struct Forward {
    http: reqwest::Client,
}

impl Forward {
    /// Shows the node's certificate, and believes nodes of the same service.
    ///
    /// # Errors
    /// Certificate and key cannot be used.
    pub(crate) fn new(node: &Node) -> Result<Self, TlsError> {
        let key = STANDARD.encode(node.tls_key_pkcs8());
        let pem = format!(
            "{}\n-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n",
            node.node_cert()
        );
        let build = || {
            let service = reqwest::Certificate::from_pem(node.service_cert().as_bytes())?;
            reqwest::Client::builder()
                .tls_certs_only([service])
                .identity(reqwest::Identity::from_pem(pem.as_bytes())?)
                .tls_version_min(reqwest::tls::Version::TLS_1_3)
                .https_only(true)
                .http1_only()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(HANDSHAKE_TIMEOUT)
                .pool_idle_timeout(IDLE)
                .tcp_nodelay(true)
                .build()
        };
        Ok(Self {
            http: build().map_err(TlsError::Forward)?,
        })
    }

    /// Asks the leader, whose id and address these are, and gives its answer when this node has what
    /// it tells of.
    async fn pass(
        &self,
        node: &Node,
        (leader, address): (String, String),
        head: Parts,
        body: Incoming,
        user: Option<&UserId>,
    ) -> Result<Answer, ApiError> {
        let path = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let mut headers = of_the_request(head.headers);
        let user = user.map_or(NOBODY, UserId::as_str);
        let user = HeaderValue::from_str(user).expect("a fingerprint is hex and colons");
        headers.insert(FORWARDED, user);
        let mut request = self
            .http
            .request(head.method, format!("https://{address}{path}"))
            .headers(headers);
        if !body.is_end_stream() {
            request = request.body(reqwest::Body::wrap(body));
        }
        let answered = asked(node, &leader, request).await?;
        let (head, body) = Response::<reqwest::Body>::from(answered).into_parts();
        let headers = of_the_request(head.headers);
        // What the client asks this node next is answered with what it was just told.
        let transaction = headers.get(TRANSACTION_ID);
        if let Some(id) = transaction.and_then(|id| id.to_str().ok()?.parse().ok()) {
            node.wait_for(id, PASSED_PATIENCE).await;
        }
        let mut answer = Response::new(AnswerBody::passed(body));
        *answer.status_mut() = head.status;
        *answer.headers_mut() = headers;
        Ok(answer)
    }
}

/// Waits for the leader's answer, as long as it leads.
async fn asked(
    node: &Node,
    leader: &str,
    request: reqwest::RequestBuilder,
) -> Result<reqwest::Response, NotAsked> {
    let answered = tokio::select! {
        answered = request.send() => answered,
        () = gone(node, leader) => return Err(NotAsked::NoAnswer),
    };
    answered.map_err(|error| {
        tracing::debug!(leader, error = %chain(&error), "the leader did not answer");
        if error.is_connect() {
            NotAsked::NoLeader
        } else {
            NotAsked::NoAnswer
        }
    })
}

/// Why the leader did not do what it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAsked {
    /// It was not asked: nothing is done.
    #[error("there is no leader at the moment: nothing is recorded; send it again")]
    NoLeader,
    /// It was asked, and said nothing: what was sent may be recorded.
    #[error(
        "the leader was lost before it answered: look whether it is recorded, or send it again"
    )]
    NoAnswer,
}

impl From<NotAsked> for ApiError {
    fn from(why: NotAsked) -> Self {
        match why {
            NotAsked::NoLeader => Self::no_leader(),
            NotAsked::NoAnswer => Self::no_answer(),
        }
    }
}

/// The way to the leader for what another crate serves at a path of its own ([`crate::Mount`]).
pub struct ToLeader {
    node: Arc<Node>,
    forward: Forward,
}

impl ToLeader {
    /// From this node.
    ///
    /// # Errors
    /// The node's certificate and key cannot be used.
    pub fn new(node: Arc<Node>) -> Result<Self, TlsError> {
        let forward = Forward::new(&node)?;
        Ok(Self { node, forward })
    }

    /// Posts JSON to the leader, for this user; returns its answer, whatever the status.
    ///
    /// # Errors
    /// There is none, it did not answer, or with more than `limit` bytes.
    pub async fn post(
        &self,
        path: &str,
        user: &UserId,
        body: Vec<u8>,
        limit: usize,
    ) -> Result<Vec<u8>, NotAsked> {
        let (leader, address) = leader(&self.node).ok_or(NotAsked::NoLeader)?;
        let request = self.forward.http.post(format!("https://{address}{path}"));
        let request = request
            .header(FORWARDED, user.as_str())
            .header(CONTENT_TYPE, answer::JSON)
            .body(body);
        let mut answered = asked(&self.node, &leader, request).await?;
        let mut whole = Vec::new();
        while let Some(piece) = answered.chunk().await.map_err(|_| NotAsked::NoAnswer)? {
            if whole.len() + piece.len() > limit {
                return Err(NotAsked::NoAnswer);
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }
}

/// Where a request goes.
pub(crate) enum Way {
    /// It is answered here.
    Here(Parts, Incoming),
    /// It was answered elsewhere, or nowhere.
    Answered(Result<Answer, ApiError>),
}

/// Only the leader writes. Who calls is not judged here.
pub(crate) async fn to_the_leader(
    app: &App,
    head: Parts,
    body: Incoming,
    user: Option<&UserId>,
) -> Way {
    let node = &*app.node;
    if head.method == Method::GET || head.method == Method::HEAD {
        return Way::Here(head, body);
    }
    if node.leads() {
        if head.headers.contains_key(FORWARDED) {
            node.somebody_waits_for_a_follower();
        }
        return Way::Here(head, body);
    }
    let Some(leader) = leader(node).filter(|_| !head.headers.contains_key(FORWARDED)) else {
        return Way::Answered(Err(ApiError::no_leader()));
    };
    Way::Answered(if prefers_redirection(&head.headers) {
        let path = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let location = format!("https://{}{path}", leader.1);
        answer::redirection(StatusCode::TEMPORARY_REDIRECT, &location)
            .ok_or_else(ApiError::no_leader)
    } else {
        app.forward.pass(node, leader, head, body, user).await
    })
}

/// The leader's id and address, if there is another node that leads.
fn leader(node: &Node) -> Option<(String, String)> {
    Some((node.standing().leader?, node.leader_address()?))
}

fn prefers_redirection(headers: &HeaderMap) -> bool {
    let values = headers.get_all(PREFER).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts
        .flat_map(|text| text.split(','))
        .any(|preference| preference.trim().eq_ignore_ascii_case("redirect"))
}

/// Without what is about the connection.
fn of_the_request(mut headers: HeaderMap) -> HeaderMap {
    let named = headers.get_all(CONNECTION).iter();
    let named: Vec<HeaderName> = named
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&OF_A_CONNECTION) {
        headers.remove(name);
    }
    headers
}

/// Returns when this node has known for a while that `leader` leads no more. Before, it may be about
/// to answer.
async fn gone(node: &Node, leader: &str) {
    let mut standing = node.standing_changes();
    loop {
        let lost = standing.wait_for(|now| now.leader.as_deref() != Some(leader));
        if lost.await.is_err() {
            // This node ends, and the connection with it.
            return std::future::pending().await;
        }
        let back = standing.wait_for(|now| now.leader.as_deref() == Some(leader));
        if tokio::time::timeout(LEADER_GONE, back).await.is_err() {
            return;
        }
    }
}

/// The certificate that a client showed, as far as it could be a node's.
pub(crate) struct Shown {
    der: Bytes,
    node: OnceLock<Option<String>>,
}

impl Shown {
    /// Looks at it when it matters.
    pub(crate) fn new(der: &[u8]) -> Self {
        Self {
            der: Bytes::copy_from_slice(der),
            node: OnceLock::new(),
        }
    }

    /// For whom a node passes this request on: `Some(None)` for somebody without a certificate, and
    /// `None` if it is no node that members trust, or speaks for itself.
    pub(crate) fn spoken_for(&self, node: &Node, headers: &HeaderMap) -> Option<Option<UserId>> {
        let user = headers.get(FORWARDED)?.to_str().ok()?;
        let id = self.node.get_or_init(|| {
            let service = Cert::from_pem(node.service_cert()).ok()?;
            let cert = Cert::from_der(&self.der).ok()?;
            cert.is_signed_by(&service)
                .then(|| cert.key_digest().to_string())
        });
        let row = nodes::node(node.state(), id.as_deref()?)?;
        if row.status != NodeStatus::Trusted {
            return None;
        }
        Some(UserId::parse(user).ok().filter(|_| user != NOBODY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_the_connection_is_not_passed_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("content-length", "3"),
            ("transfer-encoding", "chunked"),
            ("host", "here"),
            ("authorization", "Bearer t"),
            ("idempotency-key", "k"),
        ] {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        let headers = of_the_request(headers);
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["authorization", "idempotency-key"]);
    }

    #[test]
    fn a_client_may_ask_to_be_redirected() {
        let prefers = |text| {
            let mut headers = HeaderMap::new();
            headers.insert(PREFER, HeaderValue::from_static(text));
            prefers_redirection(&headers)
        };
        assert!(prefers("redirect"));
        assert!(prefers("wait=10, Redirect"));
        assert!(!prefers("return=minimal"));
        assert!(!prefers_redirection(&HeaderMap::new()));
    }
}
