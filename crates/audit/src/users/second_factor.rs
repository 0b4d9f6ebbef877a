//! A second factor: codes that an app shows.

use sqlx::AnyConnection;

use super::changing::{Held, of_user};
use super::model::{Deed, User, UserId};
use super::secret::Secret;
use super::store::attempts;
use super::store::changes::{self, Change, Subject};
use super::totp::TotpSecret;
use super::{Caller, Users};
use crate::Problem;

impl Users {
    /// Begins to give the caller a second factor. It counts when it is confirmed by a code. Returns what an
    /// app reads (`otpauth://`): it is shown once.
    ///
    /// # Errors
    /// The caller has one already, or a change of them is under way: it may be one that confirms another.
    pub async fn enrol_totp(&self, caller: &Caller) -> Result<Secret, Problem> {
        let mut transaction = self.transaction().await?;
        let user = self.caller(&mut transaction, caller, Held::Yes).await?.user;
        if user.totp {
            return Err(Problem::conflict(
                "TotpEnabled",
                "there is a second factor already: disable it first",
            ));
        }
        let subject = Subject::User(user.id.clone());
        changes::check_none(&mut transaction, &subject).await?;
        let secret = TotpSecret::random();
        let sealed = secret.seal(&self.master, &user.id);
        attempts::put_totp(&mut transaction, &user.id, &sealed).await?;
        transaction.commit().await?;
        Ok(secret.uri(&self.config.issuer, &user.email))
    }

    /// Confirms the caller's second factor by a code of it: from now on logging in takes one.
    ///
    /// # Errors
    /// The code is wrong, none was begun, or the event cannot be recorded.
    pub async fn confirm_totp(&self, caller: &Caller, code: &str) -> Result<User, Problem> {
        self.change_totp(caller, code, Change::TotpOn, "confirmTotp")
            .await
    }

    /// Takes the caller's second factor away, by a code of it.
    ///
    /// # Errors
    /// The code is wrong, there is none, or the event cannot be recorded.
    pub async fn disable_totp(&self, caller: &Caller, code: &str) -> Result<User, Problem> {
        self.change_totp(caller, code, Change::TotpOff, "disableTotp")
            .await
    }

    /// Takes the second factor away from somebody below the caller, who has lost their app.
    ///
    /// # Errors
    /// The caller may not change them, they have none, or the event cannot be recorded.
    pub async fn reset_totp(&self, caller: &Caller, id: &UserId) -> Result<User, Problem> {
        if caller.user == *id {
            return Err(Problem::not_permitted(
                "your own second factor takes a code to disable",
            ));
        }
        let (transaction, by, user) = self.begin_change(caller, id, Deed::Update).await?;
        check_state(&user, &Change::TotpOff)?;
        let intent = of_user(&user, Change::TotpOff, &by.id, &caller.place, "resetTotp");
        self.change(transaction, &intent).await?;
        self.known_user(id).await
    }

    async fn change_totp(
        &self,
        caller: &Caller,
        code: &str,
        change: Change,
        did: &str,
    ) -> Result<User, Problem> {
        let account = format!("code of {}", caller.user);
        self.begin_attempt(&account, &caller.place).await?;
        let mut transaction = self.transaction().await?;
        let user = self.caller(&mut transaction, caller, Held::Yes).await?.user;
        check_state(&user, &change)?;
        if !self.use_code(&mut transaction, &user.id, code).await? {
            return Err(Problem::not_permitted(
                "the code is wrong, or was used before",
            ));
        }
        let intent = of_user(&user, change, &user.id, &caller.place, did);
        self.reserve(transaction, &intent, self.now()).await?;
        // The code was right, whatever becomes of the change.
        self.attempt_succeeded(&account, &caller.place).await?;
        self.carry_out(&intent).await?;
        self.known_user(&user.id).await
    }

    /// Whether somebody who signs in has a code of a user's second factor, which is used up then, whatever comes of it.
    pub(super) async fn use_up_code(&self, user: &UserId, code: &Secret) -> Result<bool, Problem> {
        let mut transaction = self.transaction().await?;
        let good = self.use_code(&mut transaction, user, code.expose()).await?;
        transaction.commit().await?;
        Ok(good)
    }

    /// Whether it is a code of a user's second factor, which is used up with the transaction.
    async fn use_code(
        &self,
        connection: &mut AnyConnection,
        user: &UserId,
        code: &str,
    ) -> Result<bool, Problem> {
        let Some((sealed, last)) = attempts::totp(connection, user).await? else {
            return Ok(false);
        };
        let Some(secret) = TotpSecret::open(&sealed, &self.master, user) else {
            tracing::error!(%user, "a second factor's secret does not open with this master key");
            return Err(Problem::unavailable(
                "TotpUnreadable",
                "the second factor cannot be checked: the service's log says why",
            ));
        };
        match secret.step_of(code, self.now(), last) {
            Some(step) => attempts::use_step(connection, user, step).await,
            None => Ok(false),
        }
    }
}

fn check_state(user: &User, change: &Change) -> Result<(), Problem> {
    match (change, user.totp) {
        (Change::TotpOn, true) => Err(Problem::conflict(
            "TotpEnabled",
            "there is a second factor already",
        )),
        (Change::TotpOff, false) => Err(Problem::conflict(
            "TotpDisabled",
            "there is no second factor",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
