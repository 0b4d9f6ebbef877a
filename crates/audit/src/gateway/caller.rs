//! Who calls: by a bearer token, from an address.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;

use super::Gateway;
use crate::Problem;
use crate::edge::Sender;
use crate::inside::May;
use crate::model::Text;
use crate::users::{Authenticated, Caller, Kind, Secret};

/// Somebody who showed a good token.
pub(super) struct Known {
    gateway: Arc<Gateway>,
    /// As the users' service wants it.
    pub(super) caller: Caller,
    who: Text,
    /// The session: no secret, and no token.
    pub(super) session: Authenticated,
    may: May,
}

impl Known {
    /// The user's id.
    pub(super) const fn who(&self) -> &Text {
        &self.who
    }

    /// Where the request came from.
    pub(super) const fn place(&self) -> &Text {
        &self.caller.place
    }

    /// Whether they look after others.
    pub(super) const fn governs(&self) -> bool {
        matches!(self.caller.kind, Kind::Root | Kind::Administrator)
    }

    /// That they may do this.
    ///
    /// # Errors
    /// They may not, or it cannot be found out.
    pub(super) async fn require(&self, operation: &str) -> Result<(), Problem> {
        let users = &self.gateway.users;
        users.demand(&self.caller, &self.may, operation).await
    }
}

impl FromRequestParts<Arc<Gateway>> for Known {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        gateway: &Arc<Gateway>,
    ) -> Result<Self, Problem> {
        let token = bearer(&parts.headers)?.ok_or_else(|| {
            Problem::unauthenticated(
                "sign in, and send the access token: Authorization: Bearer ...",
            )
        })?;
        let (session, may) = gateway.users.identify(token).await?;
        if let Some(sender) = parts.extensions.get::<Sender>() {
            sender.is(session.user.as_str());
        }
        gateway.config.edge.admit_caller(&session.user)?;
        let caller = session.at(place(parts));
        let who =
            Text::parse(caller.user.as_str()).map_err(|e| Problem::internal("a user's id", &e))?;
        Ok(Self {
            gateway: Arc::clone(gateway),
            caller,
            who,
            session,
            may,
        })
    }
}

/// Somebody who may have signed in or not.
pub(super) struct Visitor(Option<Known>);

impl Visitor {
    /// Who they are, if they signed in.
    pub(super) const fn known(&self) -> Option<&Known> {
        self.0.as_ref()
    }

    /// Whether they may trace and consult.
    ///
    /// # Errors
    /// It cannot be found out.
    pub(super) async fn may_read(&self, gateway: &Gateway) -> Result<bool, Problem> {
        match &self.0 {
            Some(known) => {
                let users = &gateway.users;
                users
                    .has_access(&known.caller, &known.may, "readData")
                    .await
            }
            None => Ok(gateway.config.open_to_visitors),
        }
    }
}

impl FromRequestParts<Arc<Gateway>> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        gateway: &Arc<Gateway>,
    ) -> Result<Self, Problem> {
        // A token that is no good is told, and not overlooked.
        match parts.headers.contains_key(AUTHORIZATION) {
            true => Known::from_request_parts(parts, gateway)
                .await
                .map(|known| Self(Some(known))),
            false => Ok(Self(None)),
        }
    }
}

/// Where a request came from.
pub(super) struct Place(pub(super) Text);

impl<S: Send + Sync> FromRequestParts<S> for Place {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(place(parts)))
    }
}

fn place(parts: &Parts) -> Text {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map_or_else(Text::default, |ConnectInfo(peer)| {
        Text::fitting(&peer.ip().to_string())
    })
}

fn bearer(headers: &HeaderMap) -> Result<Option<Secret>, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let wrong =
        || Problem::unauthenticated("Authorization is one header: Bearer, a blank, the token");
    if values.next().is_some() {
        return Err(wrong());
    }
    let text = value.to_str().map_err(|_| wrong())?;
    let (scheme, token) = text.split_once(' ').ok_or_else(wrong)?;
    match scheme.eq_ignore_ascii_case("bearer") {
        true => Ok(Some(Secret::from(token.trim().to_owned()))),
        false => Err(wrong()),
    }
}
