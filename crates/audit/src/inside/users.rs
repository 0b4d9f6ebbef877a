//! The users' service as the gateway asks for it.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use lru::LruCache;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use verify::Digest;

use super::{Peers, calls};
use crate::Problem;
use crate::limits::{CALLERS_REMEMBERED, STANDING_REFRESH};
use crate::model::Text;
use crate::telemetry::{Kind, timed};
use crate::users::oidc::{Begun, Came, Returned};
use crate::users::{
    Caller, Changes, Credentials, Exposed, Identified, Login, NewUser, OperationName, Page,
    Password, Permission, PreparedUser, Reset, ResetCode, RootSlot, Secret, SessionId, Tokens,
    User, UserId, Users, Wanted, may_not,
};

/// The users' service, wherever it is. Cheap to clone.
#[derive(Debug, Clone)]
pub enum UsersAt {
    /// In this process.
    Here(Arc<Users>),
    /// In others.
    There(Arc<Remembering>),
}

impl From<Arc<Users>> for UsersAt {
    fn from(users: Arc<Users>) -> Self {
        Self::Here(users)
    }
}

impl From<Peers> for UsersAt {
    fn from(peers: Peers) -> Self {
        Self::There(Arc::new(Remembering::new(peers)))
    }
}

calls! {
    UsersAt is Arc<Users> as users, served by routes;

    /// Who an access token belongs to, and what they may do.
    asks look_at(token: Exposed<Secret>) -> Identified = users.identify(&token.0);
    /// See [`Users::jwks`].
    asks jwks() -> Value = async { Ok(users.jwks()) };
    /// See [`Users::has_root`].
    asks has_root() -> bool = users.has_root();

    /// See [`Users::reserve_root`].
    tells reserve_root(na: String) -> RootSlot = users.reserve_root(&na);
    /// See [`Users::create_root`].
    tells create_root(session: String, nb: Exposed<Secret>, root: Credentials, place: Text) -> User =
        users.create_root(&session, &nb.0, root, &place);
    /// See [`Users::register_consumer`].
    tells register_consumer(new: NewUser, place: Text) -> User =
        users.register_consumer(new, &place);
    /// See [`Users::login`].
    tells login(login: Login, place: Text) -> Tokens = users.login(login, &place);
    /// See [`Users::begin_oidc`].
    asks begin_oidc() -> Begun = users.begin_oidc();
    /// See [`Users::finish_oidc`].
    tells finish_oidc(returned: Returned, place: Text) -> Came =
        users.finish_oidc(returned, &place);
    /// See [`Users::finish_oidc_totp`].
    tells finish_oidc_totp(kept: Exposed<Secret>, code: Exposed<Secret>, place: Text) -> Tokens =
        users.finish_oidc_totp(&kept.0, &code.0, &place);
    /// See [`Users::renew`].
    tells renew(refresh: Exposed<Secret>, place: Text) -> Tokens = users.renew(&refresh.0, &place);
    /// See [`Users::logout`].
    insists logout(session: SessionId) -> () = users.logout(&session);

    /// See [`Users::list`].
    asks list(caller: Caller, wanted: Wanted) -> Page = users.list(&caller, &wanted);
    /// See [`Users::read_user`].
    asks read_user(caller: Caller, id: UserId) -> User = users.read_user(&caller, &id);
    /// See [`Users::create_user`].
    tells create_user(caller: Caller, new: NewUser) -> User = users.create_user(&caller, new);
    /// See [`Users::prepare_user`]: what is prepared twice expires.
    tells prepare_user(caller: Caller, new: NewUser) -> PreparedUser =
        users.prepare_user(&caller, new);
    /// See [`Users::submit_user`].
    insists submit_user(caller: Caller, id: UserId, signed: String) -> User =
        users.submit_user(&caller, &id, signed);
    /// See [`Users::update_user`].
    tells update_user(caller: Caller, id: UserId, changes: Changes) -> User =
        users.update_user(&caller, &id, changes);
    /// See [`Users::delete_user`].
    tells delete_user(caller: Caller, id: UserId) -> User = users.delete_user(&caller, &id);
    /// See [`Users::revoke_sessions`].
    tells revoke_sessions(caller: Caller, id: UserId) -> () = users.revoke_sessions(&caller, &id);
    /// See [`Users::grant`].
    tells grant(caller: Caller, id: UserId, operation: OperationName) -> User =
        users.grant(&caller, &id, operation);
    /// See [`Users::revoke`].
    tells revoke(caller: Caller, id: UserId, operation: OperationName) -> User =
        users.revoke(&caller, &id, operation);
    /// See [`Users::change_password`].
    tells change_password(caller: Caller, old: Exposed<Secret>, new: Exposed<Password>) -> () =
        users.change_password(&caller, &old.0, new.0);
    /// See [`Users::enrol_totp`].
    tells enrol_totp(caller: Caller) -> Exposed<Secret> =
        async { users.enrol_totp(&caller).await.map(Exposed) };
    /// See [`Users::confirm_totp`].
    tells confirm_totp(caller: Caller, code: String) -> User = users.confirm_totp(&caller, &code);
    /// See [`Users::disable_totp`].
    tells disable_totp(caller: Caller, code: String) -> User = users.disable_totp(&caller, &code);

    /// See [`Users::reset_totp`].
    tells reset_totp(caller: Caller, id: UserId) -> User = users.reset_totp(&caller, &id);

    /// See [`Users::give_reset_code`].
    tells give_reset_code(caller: Caller, id: UserId) -> ResetCode =
        users.give_reset_code(&caller, &id);
    /// See [`Users::reset_password`].
    tells reset_password(reset: Reset, place: Text) -> () = users.reset_password(reset, &place);

    /// See [`Users::allow_oidc`].
    tells allow_oidc(caller: Caller, id: UserId) -> User = users.allow_oidc(&caller, &id);
    /// See [`Users::refuse_oidc`].
    tells refuse_oidc(caller: Caller, id: UserId) -> User = users.refuse_oidc(&caller, &id);

    /// See [`Users::dictionary`].
    asks dictionary() -> Vec<Permission> =
        async { Ok(users.dictionary().values().cloned().collect()) };
    /// See [`Users::put_permission`].
    tells put_permission(caller: Caller, entry: Permission) -> () =
        users.put_permission(&caller, entry);
    /// See [`Users::delete_permission`].
    tells delete_permission(caller: Caller, name: OperationName) -> () =
        users.delete_permission(&caller, &name);
}

/// What somebody may do, as far as it was told with who they are.
#[derive(Debug, Clone)]
pub(crate) enum May {
    /// It is asked for when it matters.
    Asked,
    /// All of this.
    These(Arc<BTreeSet<OperationName>>),
}

impl UsersAt {
    /// Who an access token belongs to. Of another process this is a second old at most.
    ///
    /// # Errors
    /// See [`Users::validate`]; or the service does not answer.
    pub(crate) async fn identify(
        &self,
        token: Secret,
    ) -> Result<(crate::users::Authenticated, May), Problem> {
        let there = match self {
            Self::Here(users) => return Ok((users.validate(&token)?, May::Asked)),
            Self::There(there) => there,
        };
        let name = Digest::of(token.expose().as_bytes());
        let known = match there.recall(&name) {
            Some(known) => known,
            None => {
                let asked_at = Instant::now();
                let found = self.look_at(Exposed(token)).await?;
                there.remember(name, asked_at, found)
            }
        };
        Ok((known.session.clone(), May::These(known.may)))
    }

    /// Whether somebody may do something.
    ///
    /// # Errors
    /// It cannot be found out.
    pub(crate) async fn has_access(
        &self,
        caller: &Caller,
        may: &May,
        operation: &str,
    ) -> Result<bool, Problem> {
        match (self, may) {
            (_, May::These(these)) => Ok(these.iter().any(|name| name.as_str() == operation)),
            (Self::Here(users), May::Asked) => {
                let asked = users.has_access(caller, operation);
                timed("users.has_access", Kind::Internal, asked).await
            }
            (Self::There(_), May::Asked) => Ok(false),
        }
    }

    /// The same, as an answer to be passed on.
    ///
    /// # Errors
    /// They may not, or it cannot be found out.
    pub(crate) async fn demand(
        &self,
        caller: &Caller,
        may: &May,
        operation: &str,
    ) -> Result<(), Problem> {
        match self.has_access(caller, may, operation).await? {
            true => Ok(()),
            false => Err(may_not(operation)),
        }
    }
}

/// The service in other processes, and whose tokens it has just looked at.
#[derive(Debug)]
pub struct Remembering {
    peers: Peers,
    callers: Mutex<LruCache<Digest, Remembered>>,
}

/// Who somebody is, and since when that is known.
#[derive(Debug, Clone)]
struct Remembered {
    at: Instant,
    session: crate::users::Authenticated,
    may: Arc<BTreeSet<OperationName>>,
}

impl Remembering {
    fn new(peers: Peers) -> Self {
        let most = NonZeroUsize::new(CALLERS_REMEMBERED).expect("the limit is not zero");
        Self {
            peers,
            callers: Mutex::new(LruCache::new(most)),
        }
    }

    fn recall(&self, token: &Digest) -> Option<Remembered> {
        let known = self.callers().get(token)?.clone();
        (known.at.elapsed() < STANDING_REFRESH).then_some(known)
    }

    fn remember(&self, token: Digest, at: Instant, found: Identified) -> Remembered {
        let Identified { session, may } = found;
        let known = Remembered {
            at,
            session,
            may: Arc::new(may),
        };
        self.callers().put(token, known.clone());
        known
    }

    async fn asks<T: DeserializeOwned>(
        &self,
        call: &'static str,
        arguments: &impl Serialize,
    ) -> Result<T, Problem> {
        self.peers.asks(call, arguments).await
    }

    /// What is told changes what somebody may do, or who they are: all is asked for anew.
    async fn tells<T: DeserializeOwned>(
        &self,
        call: &'static str,
        arguments: &impl Serialize,
    ) -> Result<T, Problem> {
        let answer = self.peers.tells(call, arguments).await;
        self.callers().clear();
        answer
    }

    /// The same, for what may be told again.
    async fn insists<T: DeserializeOwned>(
        &self,
        call: &'static str,
        arguments: &impl Serialize,
    ) -> Result<T, Problem> {
        let answer = self.peers.insists(call, arguments).await;
        self.callers().clear();
        answer
    }

    fn callers(&self) -> MutexGuard<'_, LruCache<Digest, Remembered>> {
        // Nobody panics while holding it; if so, what is there is whole.
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
