//! From a request to its answer: find the route, ask who is calling, ask whether they may, run it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use http::{Method, Request};
use hyper::body::Incoming;
use node::Node;
use tokio_util::sync::CancellationToken;

use crate::answer::Answer;
use crate::auth::{Identity, Needs, Tokens};
use crate::body::AnswerBody;
use crate::call::{Call, query_value};
use crate::error::{ApiError, Code};
use crate::forward::{self, Forward, Way};
use crate::limits::ARRIVAL_PATIENCE;
use crate::metrics::HttpMetrics;
use crate::mount::{self, Mount};
use crate::routes::{self, Found, Route};
use crate::server::Session;
use crate::version::{self, ApiVersion};

/// What all connections share.
pub(crate) struct App {
    /// The node.
    pub(crate) node: Arc<Node>,
    /// Who may vouch for users.
    pub(crate) tokens: Tokens,
    /// The way to the leader.
    pub(crate) forward: Forward,
    /// What other crates serve.
    pub(crate) mounts: Vec<Arc<dyn Mount>>,
    /// What an operator watches.
    pub(crate) metrics: HttpMetrics,
    /// Cancelled when no new requests are taken.
    pub(crate) stopping: CancellationToken,
}

/// Answers one request. Never fails: what goes wrong is an answer too.
pub(crate) async fn answer(
    session: Arc<Session>,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    let started = Instant::now();
    let busy = Session::busy(&session);
    let app = Arc::clone(&session.app);
    let (route, outcome) = dispatch(session, request).await;
    let mut answer = outcome.unwrap_or_else(ApiError::into_answer);
    app.metrics.count(route, answer.status(), started.elapsed());
    match answer.body_mut() {
        AnswerBody::Stream { busy: place, .. }
        | AnswerBody::Passed { busy: place, .. }
        | AnswerBody::Mounted { busy: place, .. } => {
            *place = Some(busy);
        }
        AnswerBody::Whole(_) => {}
    }
    Ok(answer)
}

/// The route's index, where there is one, and what came of it.
async fn dispatch(
    session: Arc<Session>,
    request: Request<Incoming>,
) -> (Option<usize>, Result<Answer, ApiError>) {
    if session.turned_away {
        let message = "The node serves as many connections as it can. Try again later.";
        return (None, Err(ApiError::new(Code::SessionCapExhausted, message)));
    }
    let (index, route, params) = match routes::find(request.method(), request.uri().path()) {
        Found::Route {
            index,
            route,
            params,
        } => (index, route, params),
        Found::OtherMethods(allow) => return (None, Err(ApiError::wrong_method(allow))),
        Found::Nothing => return (None, mounted(session, request).await),
    };
    let (head, body) = request.into_parts();
    let user = session.certificate_user();
    let (head, body) = match forward::to_the_leader(&session.app, head, body, user).await {
        Way::Here(head, body) => (head, body),
        Way::Answered(answered) => return (Some(index), answered),
    };
    let outcome = async {
        let (version, caller) = admit(&session, route, &head).await?;
        if route.path.starts_with("/app/")
            && !matches!(route.needs, Needs::Nothing)
            && !session.app.node.is_complete()
        {
            return Err(ApiError::recovering());
        }
        let asked = params.first().map(|at| &head.uri.path()[at]);
        up_to_date(&session.app.node, route, asked).await?;
        (route.handler)(Call::new(session, head, body, version, caller, params)).await
    };
    (Some(index), outcome.await)
}

/// What another crate answers at this path.
async fn mounted(session: Arc<Session>, request: Request<Incoming>) -> Result<Answer, ApiError> {
    let path = request.uri().path();
    let Some(mount) = mount::at(&session.app.mounts, path).cloned() else {
        return Err(ApiError::not_found(format!("There is nothing at {path}.")));
    };
    let caller = session.caller(request.headers()).await?;
    if !session.app.node.is_complete() {
        return Err(ApiError::recovering());
    }
    if request.headers().contains_key(forward::FORWARDED) {
        session.app.node.somebody_waits_for_a_follower();
    }
    Ok(mount::answer(&*mount, caller, session, request).await)
}

/// What a caller was told by any node is there for it at the next, too: a leader makes sure that it
/// still is one before it tells what is newest; a follower waits a moment for a transaction that it
/// was asked about.
async fn up_to_date(node: &Node, route: &Route, asked: Option<&str>) -> Result<(), ApiError> {
    if node.is_alone() || route.method != Method::GET || !route.path.starts_with("/app/") {
        return Ok(());
    }
    if let Some(id) = asked.and_then(|id| id.parse().ok()) {
        node.wait_for(id, ARRIVAL_PATIENCE).await;
    } else if node.leads() {
        node.confirm_leading().await?;
    }
    Ok(())
}

/// Who is calling in which version, if they may call this route at all.
async fn admit(
    session: &Session,
    route: &Route,
    head: &http::request::Parts,
) -> Result<(ApiVersion, Option<Arc<Identity>>), ApiError> {
    if route.path.starts_with("/gov/") {
        let version = query_value(head.uri.query(), "api-version")?;
        version::require_governance(version.as_deref())?;
    }
    if matches!(route.needs, Needs::Nothing) {
        return Ok((ApiVersion::NEWEST, None));
    }
    let caller = session.caller(&head.headers).await?;
    let version = query_value(head.uri.query(), "api-version")?;
    let version = ApiVersion::parse(version.as_deref())?;
    if !caller.meets(&session.app.node, route.needs) {
        return Err(not_allowed(route, &caller));
    }
    Ok((version, Some(caller)))
}

fn not_allowed(route: &Route, caller: &Identity) -> ApiError {
    let message = format!(
        "Not allowed to call {} {}: user {} has no role that allows {}. An Administrator can give \
         one with PATCH /app/ledgerUsers/{{userId}}.",
        route.method,
        route.path,
        caller.user(),
        route.needs,
    );
    ApiError::new(Code::NotAllowed, message)
}
