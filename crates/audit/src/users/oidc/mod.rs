//! Signing in by an identity provider: OpenID Connect, the authorization code flow with PKCE.
//!
//! | file | is |
//! |---|---|
//! | `attempt` | what a browser keeps between leaving for the provider and coming back: sealed, for some minutes |
//! | `provider` | the provider: what it says of itself, its keys, codes for tokens; bounded, over HTTPS |
//! | `token` | whether an ID token is good, by the book; pure |
//! | `signing_in` | whose account it is, and the session |
//! | `linking` | which accounts may be linked to an identity |
//!
//! An account is linked to a provider's own name for somebody, once, by their address; afterwards the address
//! does not count. The provider's tokens are looked at here, and go nowhere.

mod attempt;
mod linking;
mod provider;
mod signing_in;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod token;

pub use signing_in::{Begun, Came, Returned};

pub(super) use linking::not_by_provider;
pub(super) use provider::Provider;

use super::secret::Secret;

/// What the operator says about the provider.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its name, exactly as it writes it itself: an `https` URL, without query and fragment.
    pub issuer: String,
    /// Our name there.
    pub client_id: String,
    /// What shows there that it is us.
    pub client_secret: Secret,
    /// What is asked for; `openid` always is.
    pub scopes: Vec<String>,
    /// How the provider must have found out who somebody is (`acr`): one of these. None: as it likes.
    pub acr: Vec<String>,
    /// Who else may stand in a token's audience beside us. Usually nobody.
    pub audiences: Vec<String>,
    /// Where browsers come back to, as it is registered there.
    pub redirect_uri: String,
    /// Whether all administrators and users of the system are linked by their addresses, and not only those
    /// who were allowed.
    pub link_by_email: bool,
}

/// Why a provider cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Its name is none.
    #[error(
        "an issuer is an https URL without query and fragment, or http on this machine, and not {0:?}"
    )]
    Issuer(String),
    /// Browsers cannot come back there.
    #[error("browsers come back to an https URL, and not to {0:?}")]
    RedirectUri(String),
    /// It has no name for us, or nothing to know us by.
    #[error("the client's id or its secret is empty")]
    Client,
    /// TLS cannot be set up.
    #[error("setting up connections to the identity provider")]
    Tls(#[source] reqwest::Error),
}
