//! What other crates serve on the same port, at a path of their own: they get the requests of callers
//! who are known, and what these may do.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use ledger::roles::Action;
use ledger::users::UserId;

use crate::answer::Answer;
use crate::auth::Identity;
use crate::body::{AnswerBody, BodyError};
use crate::server::Session;

/// The body of a mount's answer.
pub type MountBody = UnsyncBoxBody<Bytes, BodyError>;

/// A mount's answer, under way.
pub type Mounted = Pin<Box<dyn Future<Output = Response<MountBody>> + Send>>;

/// Something that is served at a path of its own. It may take a connection over (HTTP/1.1 upgrade);
/// then it ends it by itself when the server stops.
pub trait Mount: Send + Sync {
    /// Where it is served; there is nothing below it.
    fn path(&self) -> &'static str;

    /// Answers a request of somebody who is known. What they may do is for it to ask.
    fn answer(&self, caller: Caller, request: Request<Incoming>) -> Mounted;
}

/// Somebody who is known. The connection's place among those that are served is theirs as long as
/// this is kept.
#[derive(Clone)]
pub struct Caller {
    identity: Arc<Identity>,
    session: Arc<Session>,
}

impl Caller {
    /// Who they are.
    pub fn user(&self) -> &UserId {
        self.identity.user()
    }

    /// Whether they may do this now: no token has expired, and no role was taken from them.
    pub fn may(&self, action: Action) -> bool {
        self.identity.may(&self.session.app.node, action)
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Caller").field(self.user()).finish()
    }
}

/// What is mounted here, if anything is.
pub(crate) fn at<'a>(mounts: &'a [Arc<dyn Mount>], path: &str) -> Option<&'a Arc<dyn Mount>> {
    mounts.iter().find(|mount| mount.path() == path)
}

/// Lets a mount answer.
pub(crate) async fn answer(
    mount: &dyn Mount,
    identity: Arc<Identity>,
    session: Arc<Session>,
    request: Request<Incoming>,
) -> Answer {
    let caller = Caller { identity, session };
    mount.answer(caller, request).await.map(AnswerBody::mounted)
}
