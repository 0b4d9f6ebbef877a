//! Leaving for the provider, and coming back: whose account it is, and the session.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::super::access::{Shown, Tokens};
use super::super::accounts::existing;
use super::super::model::{Identity, Kind, Oidc, Status, User};
use super::super::secret::{Secret, exposed};
use super::super::store;
use super::super::{Exposed, Users};
use super::attempt::{self, Attempt, Half, Sealed};
use super::provider::Provider;
use super::token::Person;
use crate::Problem;
use crate::limits::{OIDC_ATTEMPT_LIFETIME, OIDC_HALF_LIFETIME, OIDC_RETURNED_BYTES_MAX};
use crate::model::{Text, millis};

/// What somebody gets who wants to sign in at the provider.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Begun {
    /// Where their browser goes.
    pub url: String,
    /// What it keeps for us meanwhile.
    #[serde(serialize_with = "exposed")]
    pub kept: Secret,
}

/// What a browser brings that comes back from the provider.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Returned {
    /// What it kept.
    #[serde(serialize_with = "exposed")]
    pub kept: Secret,
    /// What it was sent away with.
    #[serde(serialize_with = "exposed")]
    pub state: Secret,
    /// What the provider gave it.
    #[serde(serialize_with = "exposed")]
    pub code: Secret,
    /// Who the provider says that it is (RFC 9207).
    #[serde(default)]
    pub iss: Option<String>,
}

/// What becomes of somebody who came back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Came {
    /// They are in.
    In(Box<Tokens>),
    /// They owe a code of their second factor, and keep this until they have typed it.
    Half(Exposed<Secret>),
}

impl Users {
    /// Sends somebody to the provider. Nothing is kept here of it.
    ///
    /// # Errors
    /// There is no provider, or it cannot be asked.
    pub async fn begin_oidc(&self) -> Result<Begun, Problem> {
        let provider = self.provider()?;
        let attempt = Attempt::begin(self.now());
        let url = provider.sign_in_url(&attempt, self.now()).await?;
        Ok(Begun {
            url: url.into(),
            kept: attempt::seal(&attempt, &self.master, &provider.config),
        })
    }

    /// Lets somebody in who comes back from the provider: to the account that is linked to their identity, or
    /// will be; or asks for a code of their second factor first.
    ///
    /// # Errors
    /// This browser was not sent there, or long ago, or was back before; the provider's answer is not
    /// believed; they have no account that signs in like this; or an event cannot be recorded.
    pub async fn finish_oidc(&self, returned: Returned, place: &Text) -> Result<Came, Problem> {
        let provider = self.provider()?;
        let attempt = self.attempt(provider, &returned)?;
        let now = self.now();
        let said = returned.iss.as_deref();
        provider.check_issuer(said, now).await?;
        self.sources.begin(place.as_str(), now)?;
        self.use_up(&attempt).await?;
        let (about, access) = provider.redeem(&returned.code, &attempt, now).await?;
        let identity = Identity {
            issuer: provider.config.issuer.clone(),
            subject: about.subject,
        };
        let linked = self.linked(&identity).await?;
        let is_linked = linked.is_some();
        let user = match linked {
            Some(user) => user,
            None => {
                let person = self
                    .person(provider, &identity, about.person, access)
                    .await?;
                self.link(identity.clone(), &person, place).await?
            }
        };
        // As where they register with a password, nothing forgives new consumers.
        if is_linked || user.kind != Kind::Consumer {
            self.sources.succeeded(place.as_str());
        }
        if user.totp {
            let half = Half {
                user: user.id,
                subject: identity.subject,
                began: now,
            };
            let kept = attempt::seal(&half, &self.master, &provider.config);
            return Ok(Came::Half(Exposed(kept)));
        }
        let shown = Shown::Identity(identity);
        let tokens = self.open_session(&user.id, &shown, place).await?;
        Ok(Came::In(Box::new(tokens)))
    }

    /// Lets somebody in whom the provider knows, with a code of their second factor.
    ///
    /// # Errors
    /// The code is wrong, too many were, or it took too long.
    pub async fn finish_oidc_totp(
        &self,
        kept: &Secret,
        code: &Secret,
        place: &Text,
    ) -> Result<Tokens, Problem> {
        let provider = self.provider()?;
        let half: Half = self.unsealed(provider, kept)?;
        if !self.is_recent(half.began, millis(OIDC_HALF_LIFETIME)) {
            return Err(too_late());
        }
        let identity = Identity {
            issuer: provider.config.issuer.clone(),
            subject: half.subject,
        };
        let user = self.linked(&identity).await?;
        let user = user
            .filter(|user| user.id == half.user)
            .ok_or_else(too_late)?;
        let account = format!("code of {}", user.id);
        self.begin_attempt(&account, place).await?;
        if !self.use_up_code(&user.id, code).await? {
            return Err(Problem::unauthenticated(
                "the code is wrong, or was used before",
            ));
        }
        self.attempt_succeeded(&account, place).await?;
        let shown = Shown::Identity(identity);
        self.open_session(&user.id, &shown, place).await
    }

    fn provider(&self) -> Result<&Provider, Problem> {
        let none = || Problem::not_found("nobody signs in by an identity provider here");
        self.provider.as_ref().ok_or_else(none)
    }

    /// What this browser was sent away with, if it is what comes back.
    fn attempt(&self, provider: &Provider, returned: &Returned) -> Result<Attempt, Problem> {
        let said = [&returned.state, &returned.code, &returned.kept];
        if said
            .iter()
            .any(|text| text.expose().len() > OIDC_RETURNED_BYTES_MAX)
        {
            return Err(Problem::input("the identity provider's answer is too long"));
        }
        let attempt: Attempt = self.unsealed(provider, &returned.kept)?;
        if !self.is_recent(attempt.began, millis(OIDC_ATTEMPT_LIFETIME)) {
            return Err(too_late());
        }
        let (ours, theirs) = (attempt.state.expose(), returned.state.expose());
        verify_slices_are_equal(ours.as_bytes(), theirs.as_bytes())
            .map_err(|_| begin_again("the answer is not to what this browser asked last"))?;
        Ok(attempt)
    }

    fn unsealed<T: Sealed>(&self, provider: &Provider, kept: &Secret) -> Result<T, Problem> {
        let opened = attempt::open(kept, &self.master, &provider.config);
        opened.ok_or_else(|| begin_again("this browser has not begun to sign in"))
    }

    fn is_recent(&self, began: i64, life: i64) -> bool {
        // Replicas' clocks differ.
        let skew = millis(crate::limits::CLOCK_SKEW);
        (began - skew..began + life).contains(&self.now())
    }

    async fn use_up(&self, attempt: &Attempt) -> Result<(), Problem> {
        let skew = millis(crate::limits::CLOCK_SKEW);
        let expires = attempt.began + millis(OIDC_ATTEMPT_LIFETIME) + 2 * skew;
        let state = attempt.state.fingerprint();
        let mut transaction = self.transaction().await?;
        let fresh =
            store::oidc::use_up(&mut transaction, &state, expires, self.now() - skew).await?;
        transaction.commit().await?;
        match fresh {
            true => Ok(()),
            false => Err(begin_again("this answer was used before")),
        }
    }

    /// The user who is this identity.
    ///
    /// # Errors
    /// They do not count, or the link is not recorded yet.
    async fn linked(&self, identity: &Identity) -> Result<Option<User>, Problem> {
        let mut connection = self.connection().await?;
        let Some(id) = store::oidc::owner(&mut connection, identity).await? else {
            return Ok(None);
        };
        let user = existing(&mut connection, &id).await?;
        if user.status == Status::Pending || user.oidc != Oidc::Linked(identity.clone()) {
            return Err(Problem::conflict(
                "ChangeUnderWay",
                "the event that links your account is on its way to the ledger; sign in again",
            ));
        }
        match user.status {
            Status::Active => Ok(Some(user)),
            Status::Pending | Status::Disabled => Err(Problem::unauthenticated(
                "your account does not count any more: ask whoever looks after it",
            )),
        }
    }

    /// What the provider says of somebody: in its token, or when it is asked.
    async fn person(
        &self,
        provider: &Provider,
        identity: &Identity,
        told: Person,
        access: Option<Secret>,
    ) -> Result<Person, Problem> {
        match (told.verified_email(), access) {
            (None, Some(access)) => {
                let subject = &identity.subject;
                provider.person(subject, &access, self.now()).await
            }
            (Some(_), _) | (None, None) => Ok(told),
        }
    }
}

/// What came back does not fit to what was sent away: the way out is the same each time.
pub(super) fn begin_again(why: &str) -> Problem {
    let detail = format!("{why}; begin to sign in again, and finish in the same browser");
    Problem::new(StatusCode::BAD_REQUEST, "SignInNotBegun", detail)
}

fn too_late() -> Problem {
    begin_again("signing in took too long")
}
