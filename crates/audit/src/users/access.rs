//! Logging in, renewing, leaving, and checking tokens.

use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::AnyConnection;

use super::accounts::may_not;
use super::changing::{of_ours, of_user};
use super::model::{Deed, Email, Identity, Kind, Oidc, SessionId, Status, User, UserId};
use super::oidc;
use super::passwords::{Compared, Hash};
use super::permissions::{LOGIN, has_access};
use super::secret::{Secret, chance, exposed, exposed_if_any};
use super::store::changes::Change;
use super::store::sessions::{self, Refresh, Session};
use super::store::{self, Kept, attempts};
use super::tokens::{self, Claims, Refused, seconds};
use super::{Caller, Users};
use crate::Problem;
use crate::limits::{ACCESS_LIFETIME, CLOCK_SKEW, SESSION_IDLE, SESSION_LIFETIME};
use crate::model::{Operation, Text, millis};

/// What somebody shows to be let in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// Their address, as they typed it.
    pub email: String,
    /// Their password.
    #[serde(serialize_with = "exposed")]
    pub password: Secret,
    /// A code of their second factor.
    #[serde(default, serialize_with = "exposed_if_any")]
    pub totp: Option<Secret>,
}

/// What lets somebody in who has shown it, if it is theirs still when their session begins.
pub(super) enum Shown {
    /// The password of this hash.
    Password(Hash),
    /// That they are this at the identity provider.
    Identity(Identity),
}

impl Shown {
    fn is_of(&self, kept: &Kept) -> bool {
        match (self, &kept.user.oidc) {
            (Self::Password(hash), _) => *hash == kept.password,
            (Self::Identity(identity), Oidc::Linked(linked)) => identity == linked,
            (Self::Identity(_), Oidc::Unsaid | Oidc::Allowed | Oidc::Refused) => false,
        }
    }

    /// What somebody is told whose it is not.
    fn refused(&self) -> Problem {
        match self {
            Self::Password(_) => not_them(),
            Self::Identity(_) => oidc::not_by_provider(),
        }
    }
}

/// What somebody gets who was let in: written as RFC 6749 has it (section 5.1), with the user beside it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tokens {
    /// Shows who calls, for some minutes: `Authorization: Bearer`.
    #[serde(rename = "access_token", serialize_with = "exposed")]
    pub access: Secret,
    /// How it is shown.
    pub token_type: Bearer,
    /// For how many seconds.
    pub expires_in: u64,
    /// Gets the next pair, once.
    #[serde(rename = "refresh_token", serialize_with = "exposed")]
    pub refresh: Secret,
    /// The session that both belong to.
    pub session: SessionId,
    /// Who.
    pub user: User,
}

/// The kind of all our access tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bearer {
    /// Whoever shows it is believed.
    Bearer,
}

/// Who calls, as a good token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authenticated {
    /// Who.
    pub user: UserId,
    /// What they are.
    pub kind: Kind,
    /// In which session.
    pub session: SessionId,
    /// Until when, in seconds after the beginning of 1970.
    pub expires: i64,
}

impl Authenticated {
    /// The caller of a request that came from there.
    pub fn at(&self, place: Text) -> Caller {
        Caller {
            user: self.user.clone(),
            kind: self.kind,
            place,
        }
    }
}

impl Users {
    /// Lets somebody in who shows their password, and a code if they have a second factor.
    ///
    /// # Errors
    /// They are not who they say (nothing says whether such a user exists), they have to wait after wrong
    /// attempts, a code is missing, or the event cannot be recorded.
    pub async fn login(&self, login: Login, place: &Text) -> Result<Tokens, Problem> {
        let (user, shown) = self.recognize(login, place).await?;
        self.open_session(&user, &shown, place).await
    }

    /// Who shows this, and what of it has to be theirs still when their session begins.
    async fn recognize(&self, login: Login, place: &Text) -> Result<(UserId, Shown), Problem> {
        let email = Email::parse(&login.email);
        let account = match &email {
            Ok(email) => format!("login of {email}"),
            Err(_) => "login of nobody".to_owned(),
        };
        self.begin_attempt(&account, place).await?;
        let mut connection = self.connection().await?;
        let kept = match &email {
            Ok(email) => store::find_by_email(&mut connection, email).await?,
            Err(_) => None,
        };
        drop(connection);
        let hash = kept.as_ref().map(|kept| &kept.password);
        let compared = self.passwords.compare(&login.password, hash).await?;
        let kept = match (kept, compared) {
            (Some(kept), Compared::Same | Compared::SameAtAnotherCost)
                if kept.user.status == Status::Active =>
            {
                kept
            }
            _ => return Err(not_them()),
        };
        if kept.user.totp {
            self.check_code(&kept.user, login.totp.as_ref()).await?;
        }
        self.attempt_succeeded(&account, place).await?;
        let id = kept.user.id.clone();
        let hash = match compared {
            Compared::SameAtAnotherCost => self.hash_anew(kept, &login.password).await?,
            Compared::Same | Compared::Different => kept.password,
        };
        Ok((id, Shown::Password(hash)))
    }

    async fn check_code(&self, user: &User, code: Option<&Secret>) -> Result<(), Problem> {
        let Some(code) = code else {
            return Err(totp_required());
        };
        match self.use_up_code(&user.id, code).await? {
            true => Ok(()),
            false => Err(not_them()),
        }
    }

    /// Keeps a hash of the same password at today's cost. Gives back the hash that is kept then.
    async fn hash_anew(&self, kept: Kept, password: &Secret) -> Result<Hash, Problem> {
        let Ok(wanted) = super::Password::parse(password.clone()) else {
            return Ok(kept.password);
        };
        let id = &kept.user.id;
        let hash = self.passwords.hash(wanted).await?;
        let mut connection = self.connection().await?;
        if store::rehash(&mut connection, id, &kept.password, &hash).await? {
            return Ok(hash);
        }
        // Somebody was faster: who logged in with the same password, or who changed it.
        let kept = store::find(&mut connection, id).await?;
        drop(connection);
        let hash = kept.ok_or_else(not_them)?.password;
        match self.passwords.compare(password, Some(&hash)).await? {
            Compared::Different => Err(not_them()),
            Compared::Same | Compared::SameAtAnotherCost => Ok(hash),
        }
    }

    /// Begins a session of somebody who has shown who they are: here, or to an identity provider that is
    /// believed.
    ///
    /// # Errors
    /// What they have shown is not theirs any more, they may not log in, or the event cannot be recorded.
    pub(super) async fn open_session(
        &self,
        id: &UserId,
        shown: &Shown,
        place: &Text,
    ) -> Result<Tokens, Problem> {
        let mut transaction = self.transaction().await?;
        // Held: whoever disables the user meanwhile, or takes away what they have shown, ends this session too.
        let held = store::lock(&mut transaction, id).await?;
        let kept = store::find(&mut transaction, id).await?;
        let kept = kept.filter(|kept| held && shown.is_of(kept));
        let user = kept.ok_or_else(|| shown.refused())?.user;
        let dictionary = store::permissions::dictionary(&mut transaction).await?;
        if !has_access(&dictionary, user.kind, &user.grants, LOGIN) {
            return Err(may_not(LOGIN));
        }
        let session = Session {
            id: SessionId::of(chance()),
            user: user.id.clone(),
            began: self.now(),
            revoked: false,
        };
        let expires = session.began + millis(SESSION_IDLE);
        sessions::begin(&mut transaction, &session, expires).await?;
        let refresh = put_refresh(&mut transaction, &session.id, expires).await?;
        transaction.commit().await?;
        if self.config.record_logins {
            let how = Operation::Create;
            let recorded = self
                .record_session(&user, &session.id, how, LOGIN, place)
                .await;
            if let Err(problem) = recorded {
                // Nobody has its tokens.
                self.end(&session.id).await?;
                return Err(problem);
            }
        }
        Ok(self.tokens(user, session.id, session.began, refresh))
    }

    /// The next pair of tokens, for a refresh token that was not used before.
    ///
    /// # Errors
    /// It is unknown or too old; or it was used before, and the session ends, because somebody stole it.
    pub async fn renew(&self, refresh: &Secret, place: &Text) -> Result<Tokens, Problem> {
        let mut transaction = self.transaction().await?;
        let now = self.now();
        let used = sessions::use_refresh(&mut transaction, &refresh.fingerprint(), now).await?;
        let session = match used {
            Refresh::Unknown => return Err(no_session()),
            Refresh::Fresh(session) => session,
            Refresh::Reused(session) => {
                sessions::revoke(&mut transaction, &session, now).await?;
                transaction.commit().await?;
                self.refresh().await?;
                tracing::warn!(%session, "a refresh token was used twice, and its session has ended");
                return Err(no_session());
            }
        };
        let session = sessions::find(&mut transaction, &session).await?;
        let session = session.filter(|session| !session.revoked);
        let session = session.ok_or_else(no_session)?;
        if !store::lock(&mut transaction, &session.user).await? {
            return Err(no_session());
        }
        let end = session.began + millis(SESSION_LIFETIME);
        let expires = end.min(now + millis(SESSION_IDLE));
        if expires <= now {
            return Err(no_session());
        }
        let kept = store::find(&mut transaction, &session.user).await?;
        let user = kept.ok_or_else(no_session)?.user;
        sessions::prolong(&mut transaction, &session.id, expires).await?;
        let refresh = put_refresh(&mut transaction, &session.id, expires).await?;
        transaction.commit().await?;
        if self.config.record_renewals {
            let how = Operation::Update;
            self.record_session(&user, &session.id, how, "tokenRenovation", place)
                .await?;
        }
        Ok(self.tokens(user, session.id, now, refresh))
    }

    /// Who an access token belongs to. Needs no database. A key that is not known yet may be one that
    /// another replica has just made, so for it the folder is read again, once a second at most.
    ///
    /// # Errors
    /// It is not good any more, or never was; or it cannot be told now.
    pub fn validate(&self, access: &Secret) -> Result<Authenticated, Problem> {
        let now = self.now();
        let issuer = &self.config.issuer;
        let mut claims = self.seen.verify(&self.keys.ring(), issuer, access, now);
        if claims == Err(Refused::Key) && self.keys.look_again(now) {
            claims = self.seen.verify(&self.keys.ring(), issuer, access, now);
        }
        let claims = claims?;
        if self.standing.is_revoked(&claims.sid, now)? {
            return Err(Refused::Revoked.into());
        }
        Ok(Authenticated {
            user: claims.sub,
            kind: claims.kind,
            session: claims.sid,
            expires: claims.exp,
        })
    }

    /// The public keys that verify our tokens: a JSON Web Key Set.
    pub fn jwks(&self) -> serde_json::Value {
        self.keys.ring().jwks(self.now())
    }

    /// Makes a new key, which signs from now on.
    ///
    /// # Errors
    /// The folder cannot be written, or there are too many keys.
    pub fn rotate(&self) -> Result<(), super::KeyError> {
        self.keys.rotate(self.now())
    }

    /// Ends a session. Its tokens are not believed any more: here from now on, elsewhere in a second.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn logout(&self, session: &SessionId) -> Result<(), Problem> {
        self.end(session).await
    }

    /// Ends all sessions of a user: oneself, or somebody below. It is an event.
    ///
    /// # Errors
    /// The caller may not change them, or the event cannot be recorded.
    pub async fn revoke_sessions(&self, caller: &Caller, id: &UserId) -> Result<(), Problem> {
        let (transaction, by, user) = self.begin_change(caller, id, Deed::Update).await?;
        let change = Change::EndSessions;
        let intent = of_user(&user, change, &by.id, &caller.place, "revokeSessions");
        self.change(transaction, &intent).await
    }

    async fn end(&self, session: &SessionId) -> Result<(), Problem> {
        let mut connection = self.connection().await?;
        sessions::revoke(&mut connection, session, self.now()).await?;
        drop(connection);
        self.refresh().await
    }

    pub(super) async fn forget_old_sessions(&self) -> Result<(), Problem> {
        let before = self.now() - millis(ACCESS_LIFETIME) - 2 * millis(CLOCK_SKEW);
        let mut transaction = self.transaction().await?;
        sessions::prune(&mut transaction, before).await?;
        Ok(transaction.commit().await?)
    }

    async fn record_session(
        &self,
        user: &User,
        session: &SessionId,
        how: Operation,
        did: &str,
        place: &Text,
    ) -> Result<(), Problem> {
        let act = of_ours(
            format!("session-{session}"),
            &format!("user:{}", user.id),
            how,
            &user.id,
            place,
            did,
            json!({ "session": session, "user": user.id }),
        );
        self.recorder.record(act).await.map(drop)
    }

    /// Tokens of a session that counted at this moment. They are good from then on, however long recording it took:
    /// nobody knows by heart for longer that it was revoked.
    fn tokens(&self, user: User, session: SessionId, at: i64, refresh: Secret) -> Tokens {
        let iat = at.div_euclid(1_000);
        let claims = Claims {
            iss: self.config.issuer.clone(),
            sub: user.id.clone(),
            kind: user.kind,
            sid: session.clone(),
            iat,
            exp: iat + seconds(ACCESS_LIFETIME),
            jti: hex::encode(chance::<16>()),
        };
        Tokens {
            access: tokens::sign(&self.keys.ring(), &claims),
            token_type: Bearer::Bearer,
            expires_in: ACCESS_LIFETIME.as_secs(),
            refresh,
            session,
            user,
        }
    }

    /// Counts an attempt as failed, for the account and for where it came from, until it succeeds.
    ///
    /// # Errors
    /// Too many have failed.
    pub(super) async fn begin_attempt(&self, account: &str, place: &Text) -> Result<(), Problem> {
        let now = self.now();
        self.sources.begin(place.as_str(), now)?;
        let mut transaction = self.transaction().await?;
        attempts::begin(&mut transaction, &key_of(account), now).await?;
        Ok(transaction.commit().await?)
    }

    pub(super) async fn attempt_succeeded(
        &self,
        account: &str,
        place: &Text,
    ) -> Result<(), Problem> {
        self.sources.succeeded(place.as_str());
        let mut connection = self.connection().await?;
        attempts::succeeded(&mut connection, &key_of(account)).await
    }
}

/// What is kept of an account that somebody tried: not even a name that does not exist.
fn key_of(account: &str) -> String {
    Secret::from(account).fingerprint()
}

async fn put_refresh(
    connection: &mut AnyConnection,
    session: &SessionId,
    expires: i64,
) -> Result<Secret, Problem> {
    let refresh = Secret::random();
    sessions::put_refresh(connection, &refresh.fingerprint(), session, expires).await?;
    Ok(refresh)
}

/// The one answer to whoever is not let in: it does not say whether the user exists.
fn not_them() -> Problem {
    Problem::unauthenticated("the email address or the password is wrong")
}

/// Somebody with a second factor showed the first alone.
pub(crate) fn totp_required() -> Problem {
    Problem::new(
        http::StatusCode::UNAUTHORIZED,
        "TotpRequired",
        "send a code of the second factor too",
    )
}

fn no_session() -> Problem {
    Problem::unauthenticated("the refresh token opens no session: log in again")
}

#[cfg(test)]
mod tests;
