//! Forgotten passwords: who stands above gives a code, and its owner chooses a new password with it.
//!
//! Both are events. Whoever stands above could use the code themselves: then the ledger says for ever that they gave
//! one, and its owner is not let in by the old password any more. A second factor is asked for as before.

use serde::{Deserialize, Serialize};

use super::accounts::existing;
use super::changing::of_user;
use super::clock::moment;
use super::model::{Deed, Email, Status, User, UserId};
use super::passwords::Password;
use super::secret::{Secret, exposed};
use super::store::changes::Change;
use super::store::{self, resets};
use super::{Caller, Users};
use crate::Problem;
use crate::limits::RESET_LIFETIME;
use crate::model::{Text, Timestamp, millis};

/// A code that is shown once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResetCode {
    /// Of 256 random bits.
    #[serde(serialize_with = "exposed")]
    pub code: Secret,
    /// It is good until then, once.
    pub expires: Timestamp,
}

/// A new password for a code.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reset {
    /// Whose: the address that they sign in with.
    pub email: String,
    /// What they were given.
    #[serde(serialize_with = "exposed")]
    pub code: Secret,
    /// The new password.
    #[serde(serialize_with = "exposed")]
    pub password: Secret,
}

impl Users {
    /// Gives somebody below the caller a code to choose a new password with. One that was given before is good no
    /// more. The old password stays until then.
    ///
    /// # Errors
    /// The caller may not change them, they are not active, or the event cannot be recorded.
    pub async fn give_reset_code(
        &self,
        caller: &Caller,
        id: &UserId,
    ) -> Result<ResetCode, Problem> {
        if caller.user == *id {
            return Err(Problem::not_permitted(
                "your own password is changed by the old one; if it is forgotten, ask somebody above you",
            ));
        }
        let (transaction, by, user) = self.begin_change(caller, id, Deed::Update).await?;
        let code = Secret::random();
        let expires = self.now() + millis(RESET_LIFETIME);
        let change = Change::ResetCode {
            code: code.fingerprint(),
            expires,
        };
        let intent = of_user(&user, change, &by.id, &caller.place, "resetPassword");
        self.change(transaction, &intent).await?;
        Ok(ResetCode {
            code,
            expires: moment(expires),
        })
    }

    /// Gives whoever has a code the password that they choose. All their sessions end.
    ///
    /// # Errors
    /// The code is not theirs, too old, or used (nothing says which, nor whether there is such a user); the password
    /// cannot be one; they have to wait after wrong attempts; or the event cannot be recorded.
    pub async fn reset_password(&self, reset: Reset, place: &Text) -> Result<(), Problem> {
        let password = Password::parse(reset.password)?;
        let email = Email::parse(&reset.email).map_err(|_| not_theirs())?;
        let account = format!("reset of {email}");
        self.begin_attempt(&account, place).await?;
        let user = self.owner(&email, &reset.code).await?;
        self.attempt_succeeded(&account, place).await?;
        let hash = self.passwords.hash(password).await?;
        let mut transaction = self.transaction().await?;
        if !store::lock(&mut transaction, &user.id).await? {
            return Err(not_theirs());
        }
        // As both are now that nobody else changes them: of two who come with one code, the first has used it.
        let user = existing(&mut transaction, &user.id).await?;
        if !resets::is_good(&mut transaction, &user.id, &reset.code, self.now()).await? {
            return Err(not_theirs());
        }
        let change = Change::Password { hash };
        let intent = of_user(&user, change, &user.id, place, "choosePassword");
        self.change(transaction, &intent).await
    }

    /// The user with this address, if they were given this code.
    async fn owner(&self, email: &Email, code: &Secret) -> Result<User, Problem> {
        let mut connection = self.connection().await?;
        let kept = store::find_by_email(&mut connection, email).await?;
        let user = kept.ok_or_else(not_theirs)?.user;
        let is_good = resets::is_good(&mut connection, &user.id, code, self.now()).await?;
        match is_good && user.status == Status::Active {
            true => Ok(user),
            false => Err(not_theirs()),
        }
    }
}

fn not_theirs() -> Problem {
    Problem::unauthenticated(
        "the email address or the code is wrong, or the code was used or is too old",
    )
}

#[cfg(test)]
mod tests;
