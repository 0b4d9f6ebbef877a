//! The single entry: finds out who calls and whether they may, and maps HTTP to events.
//!
//! Everything here is the table of contents below and handlers of a few lines; the rules are in `model`, in
//! `trail` and in `users`.

mod bulk;
mod caller;
mod conditional;
mod epcis;
mod json;
mod oidc;
pub mod openapi;
mod pages;
mod people;
mod prepared;
mod records;

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use serde::Serialize;

use crate::Problem;
use crate::edge::Edge;
use crate::inside::{TrailAt, UsersAt};
pub use bulk::{Answers, BulkAnswer, Summary};
use json::Answer;

/// The gateway's own part of what a client waits for (W3C Server Timing).
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// What the operator says about the entry.
#[derive(Debug, Clone)]
pub struct Config {
    /// Whether reading a record is an event.
    pub log_reads: bool,
    /// Whether visitors who did not sign in may trace and consult, as a consumer with a phone does.
    pub open_to_visitors: bool,
    /// Where readers reach the pages: what labels lead to.
    pub public_url: String,
    /// The ledger's service certificate, PEM: what browsers check receipts with. A chain of others has none.
    pub service_cert: Option<String>,
    /// What the identity provider is called on the button that leads there, if people may sign in by one.
    pub oidc: Option<String>,
    /// From which pages requests may come, and how many.
    pub edge: Edge,
}

/// The gateway.
pub struct Gateway {
    config: Config,
    trail: TrailAt,
    users: UsersAt,
    /// The root of the tree of contracts, once it was asked for and there was one: it is the same ever after.
    root: OnceLock<String>,
}

impl Gateway {
    /// An entry to these services, in this process or elsewhere.
    pub fn new(config: Config, trail: impl Into<TrailAt>, users: impl Into<UsersAt>) -> Self {
        Self {
            config,
            trail: trail.into(),
            users: users.into(),
            root: OnceLock::new(),
        }
    }

    async fn root(&self) -> Result<Option<String>, Problem> {
        if let Some(root) = self.root.get() {
            return Ok(Some(root.clone()));
        }
        let root = self.trail.root().await?;
        Ok(root.map(|root| self.root.get_or_init(|| root).clone()))
    }

    /// All that is served.
    pub fn routes(self) -> Router {
        let edge = self.config.edge.clone();
        let routes = self.bare();
        edge.around_gateway(routes)
            .layer(axum::middleware::from_fn(guarded))
    }

    fn bare(self) -> Router {
        Router::new()
            // Records and their history.
            .route("/v1/records", post(records::create))
            .route(
                "/v1/records/{record}",
                get(records::read)
                    .put(records::update)
                    .delete(records::delete),
            )
            .route(
                "/v1/records/{record}/versions/{version}",
                get(records::evidence),
            )
            .route("/v1/consult", post(records::consult))
            .route("/v1/consult/bulk", post(bulk::consult))
            .route("/v1/logs", get(records::logs))
            .route("/v1/traces", get(records::trace))
            // The same for those who sign themselves.
            .route("/v1/prepared/records", post(prepared::create))
            .route(
                "/v1/prepared/records/{record}",
                put(prepared::update).delete(prepared::delete),
            )
            .route("/v1/prepared/users", post(prepared::create_user))
            .route("/v1/prepared/{prepared}", post(prepared::submit))
            // Supply-chain events, as EPCIS 2.0 has them.
            .route("/capture", post(epcis::capture))
            .route("/capture/{job}", get(epcis::job))
            .route("/events", get(epcis::events))
            .route("/events/{event}", get(epcis::event))
            // Coming and going.
            .route("/v1/root/slot", post(people::reserve_root))
            .route("/v1/root", post(people::create_root))
            .route("/v1/register", post(people::register))
            .route("/v1/login", post(people::login))
            .route("/v1/oidc", get(oidc::about))
            .route("/v1/oidc/start", get(oidc::start))
            .route("/v1/oidc/session", post(oidc::session))
            .route("/v1/oidc/totp", post(oidc::totp))
            .route("/v1/renew", post(people::renew))
            .route("/v1/logout", post(people::logout))
            .route("/v1/session", get(people::session))
            .route("/v1/keys", get(people::keys))
            // Who takes part, and what they may.
            .route("/v1/users", get(people::list).post(people::create))
            .route(
                "/v1/users/{user}",
                get(people::read).put(people::update).delete(people::delete),
            )
            .route(
                "/v1/users/{user}/sessions",
                axum::routing::delete(people::end_sessions),
            )
            .route(
                "/v1/users/{user}/totp",
                axum::routing::delete(people::reset_totp),
            )
            .route(
                "/v1/users/{user}/oidc",
                put(oidc::allow).delete(oidc::refuse),
            )
            .route(
                "/v1/users/{user}/grants/{operation}",
                put(people::grant).delete(people::revoke),
            )
            .route(
                "/v1/users/{user}/password-reset",
                post(people::give_reset_code),
            )
            .route("/v1/password-reset", post(people::reset_password))
            .route("/v1/password", put(people::password))
            .route(
                "/v1/totp",
                post(people::enrol_totp)
                    .put(people::confirm_totp)
                    .delete(people::disable_totp),
            )
            .route(
                "/v1/permissions",
                get(people::permissions).put(people::put_permission),
            )
            .route(
                "/v1/permissions/{operation}",
                axum::routing::delete(people::delete_permission),
            )
            // The service itself.
            .route("/v1/identity", get(identity))
            .route("/health", get(health))
            .route("/openapi.json", get(openapi::served))
            // What browsers show.
            .merge(pages::routes(
                &self.config.public_url,
                self.config.oidc.as_deref(),
            ))
            .fallback(nothing)
            .method_not_allowed_fallback(not_so)
            .with_state(Arc::new(self))
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway")
            .field("trail", &self.trail)
            .finish_non_exhaustive()
    }
}

/// What every answer says to browsers and to what stands between; and how long it took to make.
async fn guarded(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let mut answer = next.run(request).await;
    let headers = answer.headers_mut();
    let millis = began.elapsed().as_secs_f64() * 1_000.0;
    if let Ok(timing) = HeaderValue::from_str(&format!("app;dur={millis:.3}")) {
        headers.insert(SERVER_TIMING, timing);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
        .entry(STRICT_TRANSPORT_SECURITY)
        .or_insert(HeaderValue::from_static("max-age=31536000"));
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    // Pages say what they need; whatever else is opened as a page can do nothing.
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(
            "default-src 'none'; frame-ancestors 'none'",
        ));
    headers
        .entry(REFERRER_POLICY)
        .or_insert(HeaderValue::from_static("no-referrer"));
    answer
}

async fn nothing() -> Response {
    Problem::not_found("there is nothing at this path").into_response()
}

async fn not_so() -> Response {
    let status = http::StatusCode::METHOD_NOT_ALLOWED;
    Problem::new(
        status,
        "MethodNotAllowed",
        "this path does not take this method",
    )
    .into_response()
}

/// `GET /v1/identity`: what receipts are checked with. Whoever wants to be sure gets it elsewhere.
async fn identity(State(gateway): State<Arc<Gateway>>) -> Result<Answer<impl Serialize>, Problem> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Identity {
        /// None where events go to a chain of others.
        #[serde(skip_serializing_if = "Option::is_none")]
        service_certificate: Option<String>,
        /// Where events are in contracts: the address of the root of their tree.
        #[serde(skip_serializing_if = "Option::is_none")]
        root: Option<String>,
    }
    Ok(Answer(Identity {
        service_certificate: gateway.config.service_cert.clone(),
        root: gateway.root().await?,
    }))
}

/// `GET /health`: whether the other services answer, and their databases.
async fn health(State(gateway): State<Arc<Gateway>>) -> Result<&'static str, Problem> {
    gateway.trail.is_well().await?;
    gateway.users.has_root().await?;
    Ok("well\n")
}
