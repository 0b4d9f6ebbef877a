//! One connection: who is at its other end, and whether it is still of use.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Context;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::task::AtomicWaker;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use ledger::users::UserId;
use tokio::time::Instant;

use super::Place;
use crate::app::App;
use crate::auth::{Identity, Verified, fingerprint};
use crate::error::ApiError;
use crate::forward::Shown;

/// What a connection is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Order {
    /// Go on.
    Serve,
    /// Finish what is under way, then end.
    Drain,
    /// End now.
    Close,
}

/// One connection, shared by the requests on it.
pub(crate) struct Session {
    /// What all connections share.
    pub(crate) app: Arc<App>,
    /// One too many: all its requests are refused.
    pub(crate) turned_away: bool,
    /// Who holds the key of the client certificate. The same for as long as the connection lives.
    certificate: Option<Arc<Identity>>,
    /// The certificate itself: it may be another node's, that speaks for somebody.
    shown: Option<Shown>,
    /// Clients send the same token with each request; comparing is cheaper than digesting.
    last_token: Mutex<Option<(HeaderValue, Arc<Verified>)>>,
    in_flight: AtomicU32,
    answered: AtomicU64,
    /// Free again when nobody needs this connection any more.
    _place: Place,
    order: AtomicU8,
    waker: AtomicWaker,
}

impl Session {
    /// A connection whose client showed this certificate, if any.
    pub(crate) fn new(app: Arc<App>, certificate: Option<&[u8]>, place: Place) -> Arc<Self> {
        let user = certificate.map(fingerprint);
        Arc::new(Self {
            app,
            turned_away: place.turned_away,
            certificate: user.map(|user| Arc::new(Identity::of_certificate(user))),
            shown: certificate.map(Shown::new),
            last_token: Mutex::default(),
            in_flight: AtomicU32::new(0),
            answered: AtomicU64::new(0),
            _place: place,
            order: AtomicU8::new(Order::Serve as u8),
            waker: AtomicWaker::new(),
        })
    }

    /// Who is calling: whoever the bearer token names, or else holds the certificate's key.
    ///
    /// # Errors
    /// There is neither, or the token is not good.
    pub(crate) async fn caller(&self, headers: &HeaderMap) -> Result<Arc<Identity>, ApiError> {
        let Some(value) = headers.get(AUTHORIZATION) else {
            let shown = self.shown.as_ref();
            let identity = match shown.and_then(|it| it.spoken_for(&self.app.node, headers)) {
                Some(user) => user.map(|user| Arc::new(Identity::of_certificate(user))),
                None => self.certificate.clone(),
            };
            return identity.ok_or_else(|| {
                ApiError::unauthenticated(
                    "Send a bearer token, or connect with a client certificate.",
                )
            });
        };
        self.app.tokens.follow(&self.app.node);
        if let Some((last, verified)) = &*self.last_token()
            && last == value
            && self.app.tokens.still_good(verified)
        {
            return Ok(Arc::clone(&verified.identity));
        }
        let token = value.to_str().ok().and_then(token).ok_or_else(|| {
            ApiError::unauthenticated("The Authorization header must be: Bearer, a space, a token.")
        })?;
        let verified = self.app.tokens.verify(&token).await?;
        // A copy of its own: the header's bytes keep all bytes that arrived with it alive.
        if let Ok(copy) = HeaderValue::from_bytes(value.as_bytes()) {
            *self.last_token() = Some((copy, Arc::clone(&verified)));
        }
        Ok(Arc::clone(&verified.identity))
    }

    /// Who holds the key of the client certificate.
    pub(crate) fn certificate_user(&self) -> Option<&UserId> {
        self.certificate.as_deref().map(Identity::user)
    }

    fn last_token(&self) -> std::sync::MutexGuard<'_, Option<(HeaderValue, Arc<Verified>)>> {
        self.last_token
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks a request as under way until the guard is dropped.
    pub(crate) fn busy(session: &Arc<Self>) -> Busy {
        session.in_flight.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(session))
    }

    /// Tells the connection what to do. It never goes back to less.
    pub(crate) fn order(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::Release);
        self.waker.wake();
    }

    /// What the connection is to do; its task is woken when that changes.
    pub(crate) fn ordered(&self, cx: &Context<'_>) -> Order {
        self.waker.register(cx.waker());
        match self.order.load(Ordering::Acquire) {
            0 => Order::Serve,
            1 => Order::Drain,
            _ => Order::Close,
        }
    }
}

/// The token of `Bearer TOKEN`. Some clients can be given nothing but a URL; there it is the password, and
/// arrives as `Basic`.
fn token(header: &str) -> Option<Cow<'_, str>> {
    let (scheme, rest) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().into());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (_, password) = text.split_once(':')?;
    Some(password.to_owned().into())
}

/// A request under way.
pub(crate) struct Busy(Arc<Session>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the sweeper knows of a connection.
pub(crate) struct Watched {
    session: Weak<Session>,
    answered: u64,
    quiet_since: Instant,
}

impl Watched {
    /// A connection that has just begun.
    pub(crate) fn new(session: &Arc<Session>) -> Self {
        Self {
            session: Arc::downgrade(session),
            answered: 0,
            quiet_since: Instant::now(),
        }
    }

    /// Ends the connection if nothing happened on it for `idle_timeout`: first gracefully, and if
    /// that does not help for as long again, at once. `false` once it is gone.
    pub(crate) fn look(&mut self, now: Instant, idle_timeout: Duration) -> bool {
        let Some(session) = self.session.upgrade() else {
            return false;
        };
        let answered = session.answered.load(Ordering::Relaxed);
        if answered != self.answered || session.in_flight.load(Ordering::Relaxed) > 0 {
            self.answered = answered;
            self.quiet_since = now;
            return true;
        }
        let quiet = now.saturating_duration_since(self.quiet_since);
        if quiet >= idle_timeout * 2 {
            session.order(Order::Close);
        } else if quiet >= idle_timeout {
            session.order(Order::Drain);
        }
        true
    }

    /// Tells the connection what to do.
    pub(crate) fn order(&self, order: Order) {
        if let Some(session) = self.session.upgrade() {
            session.order(order);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_as_bearer_or_as_the_password_of_a_url() {
        let is = |header, expected: Option<&str>| {
            assert_eq!(token(header).as_deref(), expected, "{header}");
        };
        is("Bearer a.b.c", Some("a.b.c"));
        is("bearer  a.b.c ", Some("a.b.c"));
        is("Basic OmEuYi5j", Some("a.b.c"));
        is("basic dTpw", Some("p"));
        is("Basic dXA=", None);
        is("Basic !", None);
        is("Digest a.b.c", None);
        is("a.b.c", None);
    }
}
