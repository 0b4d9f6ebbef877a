//! What the operator decides about the HTTP front.

use std::net::SocketAddr;
use std::time::Duration;

use crate::limits;

/// How the HTTP front is served.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// Where to listen. Port 0 takes a free one: [`crate::Served::local_addr`] says which.
    pub listen: SocketAddr,
    /// Who may vouch for users by bearer tokens. Empty: client certificates only.
    pub jwt: Vec<JwtIssuer>,
    /// Connections served at a time.
    pub session_max: usize,
    /// A connection on which no request was finished for so long is closed.
    pub idle_timeout: Duration,
    /// After the word to stop, requests under way have so long to finish.
    pub drain_timeout: Duration,
}

impl ApiConfig {
    /// The defaults, at `listen`, without token issuers.
    pub const fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            jwt: Vec::new(),
            session_max: limits::SESSIONS_DEFAULT,
            idle_timeout: limits::IDLE_TIMEOUT,
            drain_timeout: limits::DRAIN_TIMEOUT,
        }
    }
}

/// Somebody whose tokens are believed.
///
/// A token must name this issuer and one of the audiences, be signed by one of the issuer's keys
/// and not have expired. All issuers share one space of user ids: name only issuers that may vouch
/// for any of them.
#[derive(Debug, Clone)]
pub struct JwtIssuer {
    /// The `iss` claim, exactly.
    pub issuer: String,
    /// The `aud` claims that mean this ledger. At least one.
    pub audiences: Vec<String>,
    /// Where the issuer's keys are.
    pub jwks: JwksSource,
    /// The claim that is the user id; `None` takes `oid` (Entra ID's object id), else `sub`.
    pub user_claim: Option<String>,
    /// Certificates, PEM, that vouch for the issuer's web server, beside the well-known ones.
    pub tls_roots: Option<String>,
}

/// Where an issuer's keys are.
#[derive(Debug, Clone)]
pub enum JwksSource {
    /// Below the issuer's URL (OpenID Connect Discovery 1.0).
    Discovery,
    /// At this URL.
    Url(String),
    /// Here, a JSON Web Key Set; never fetched.
    Static(String),
}
