//! Which accounts may be linked to an identity, and linking them. Each of these changes is an event.

use http::StatusCode;

use super::super::accounts::NewUser;
use super::super::changing::of_user;
use super::super::model::{Deed, Email, Identity, Kind, Name, Oidc, Status, User, UserId};
use super::super::passwords::Password;
use super::super::secret::Secret;
use super::super::store::changes::Change;
use super::super::store::{self, Claim};
use super::super::{Caller, Users};
use super::token::Person;
use crate::Problem;
use crate::model::Text;

impl Users {
    /// Allows a user below the caller to sign in by the provider: whoever it says the user's address belongs
    /// to becomes them, once.
    ///
    /// # Errors
    /// The caller may not change them, they are linked already, or are of a kind that is not; or the event
    /// cannot be recorded.
    pub async fn allow_oidc(&self, caller: &Caller, id: &UserId) -> Result<User, Problem> {
        self.change_oidc(caller, id, Oidc::Allowed, "allowOidc")
            .await
    }

    /// Takes it away from a user below the caller. All their sessions end; their password stays.
    ///
    /// # Errors
    /// The caller may not change them, or the event cannot be recorded.
    pub async fn refuse_oidc(&self, caller: &Caller, id: &UserId) -> Result<User, Problem> {
        self.change_oidc(caller, id, Oidc::Refused, "refuseOidc")
            .await
    }

    async fn change_oidc(
        &self,
        caller: &Caller,
        id: &UserId,
        oidc: Oidc,
        did: &str,
    ) -> Result<User, Problem> {
        // Nobody stands for their own address.
        if caller.user == *id {
            return Err(Problem::not_permitted(
                "whoever is above you says how you sign in",
            ));
        }
        let (transaction, by, user) = self.begin_change(caller, id, Deed::Update).await?;
        if oidc == Oidc::Allowed {
            check_allowed(&user)?;
        }
        let change = Change::Oidc { oidc };
        let intent = of_user(&user, change, &by.id, &caller.place, did);
        self.change(transaction, &intent).await?;
        self.known_user(id).await
    }

    /// Links an identity that is nobody's to the account of its address; or makes a consumer, where they come
    /// by themselves.
    ///
    /// # Errors
    /// The provider does not stand for the address, there is no such account, it may not be linked, or the
    /// event cannot be recorded.
    pub(super) async fn link(
        &self,
        identity: Identity,
        person: &Person,
        place: &Text,
    ) -> Result<User, Problem> {
        let Some(email) = person.verified_email() else {
            return Err(not_linked(
                "EmailUnverified",
                "the identity provider does not say that it has verified your email address",
            ));
        };
        let email = Email::parse(email)?;
        let mut transaction = self.transaction().await?;
        let found = store::find_by_email(&mut transaction, &email).await?;
        let Some(found) = found.map(|kept| kept.user) else {
            transaction.rollback().await?;
            return self.new_consumer(identity, email, person, place).await;
        };
        // Held, and looked at again: what it was a moment ago does not count.
        let held = store::lock(&mut transaction, &found.id).await?;
        let user = store::find(&mut transaction, &found.id).await?;
        let user = user.map(|kept| kept.user).filter(|user| {
            let may = user.oidc.may_link(user.kind, self.links_by_email());
            held && user.status == Status::Active && user.email == email && may
        });
        let Some(user) = user else {
            return Err(not_by_provider());
        };
        let claimed = store::claim(&mut transaction, &Claim::Identity(&identity), &user.id).await?;
        let oidc = Oidc::Linked(identity);
        let mut intent = of_user(&user, Change::Oidc { oidc }, &user.id, place, "linkOidc");
        intent.claimed.extend(claimed);
        self.change(transaction, &intent).await?;
        self.known_user(&user.id).await
    }

    async fn new_consumer(
        &self,
        identity: Identity,
        email: Email,
        person: &Person,
        place: &Text,
    ) -> Result<User, Problem> {
        if !self.config.consumers_register {
            return Err(not_linked(
                "NotLinked",
                "nobody here has your email address: ask whoever looks after the users",
            ));
        }
        let name = person.name.as_deref().unwrap_or_default();
        let name = Name::parse(name).or_else(|_| Name::parse(email.as_str()))?;
        let new = NewUser {
            kind: Kind::Consumer,
            email,
            name,
            key: None,
            key_proof: None,
            // One that nobody has.
            password: Password::parse(Secret::random())?,
            grants: None,
        };
        self.add_consumer(new, Oidc::Linked(identity), place).await
    }

    fn links_by_email(&self) -> bool {
        let provider = self.provider.as_ref();
        provider.is_some_and(|provider| provider.config.link_by_email)
    }
}

fn check_allowed(user: &User) -> Result<(), Problem> {
    if let Oidc::Linked(_) = user.oidc {
        let detail = "an identity is linked already: take it away first";
        return Err(Problem::conflict("AlreadyLinked", detail));
    }
    match user.kind.may_be_linked() {
        true => Ok(()),
        false => Err(Problem::not_permitted(
            "administrators and users of the system sign in by the provider: the root does not, and \
             consumers only if they came by it",
        )),
    }
}

/// The answer to whoever is known there, and is not let in here by that.
pub(in super::super) fn not_by_provider() -> Problem {
    not_linked(
        "NotLinked",
        "your account does not sign in by the identity provider: use its password, or ask whoever looks after \
         it to allow it",
    )
}

fn not_linked(kind: &str, detail: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, kind, detail)
}
