//! How exactly one root comes to be: reserve the slot, then create the root within ten seconds.
//!
//! Who skips the first step, comes late, or has another nonce is refused; two who race, on however many
//! replicas, meet at rows of one database that can be there once.

use std::collections::BTreeSet;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Users;
use super::accounts::{Creation, NewUser};
use super::clock::moment;
use super::model::{ChainKey, Email, KeyProof, Kind, Name, User};
use super::passwords::Password;
use super::possession;
use super::secret::{Secret, chance, exposed};
use super::store::root::{self, Presented};
use super::store::{self, Claim};
use crate::Problem;
use crate::limits::{NONCE_BYTES_MAX, ROOT_SLOT_LIFETIME};
use crate::model::{Text, Timestamp, millis};

/// A slot in which somebody may create the root.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RootSlot {
    /// Its name, to be presented with the credentials.
    pub session: String,
    /// The nonce that the client sent, so that it knows whose answer this is.
    pub na: String,
    /// Ours, to be presented too.
    #[serde(serialize_with = "exposed")]
    pub nb: Secret,
    /// Until when.
    pub expires: Timestamp,
}

/// Who the root will be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// Where mail reaches them.
    pub email: Email,
    /// What they are called.
    pub name: Name,
    /// Their key on a chain.
    #[serde(default)]
    pub key: Option<ChainKey>,
    /// That they keep it: its signature.
    #[serde(default, rename = "keyProof")]
    pub key_proof: Option<KeyProof>,
    /// Their password.
    #[serde(serialize_with = "exposed")]
    pub password: Password,
}

impl Users {
    /// Reserves the slot for ten seconds.
    ///
    /// # Errors
    /// There is a root, or somebody else holds the slot.
    pub async fn reserve_root(&self, na: &str) -> Result<RootSlot, Problem> {
        let graphic = na.bytes().all(|byte| byte.is_ascii_graphic());
        if !graphic || !(1..=NONCE_BYTES_MAX).contains(&na.len()) {
            let detail = format!("a nonce has 1 to {NONCE_BYTES_MAX} ASCII characters, no blanks");
            return Err(Problem::input(detail));
        }
        let session = hex::encode(chance::<16>());
        let nb = Secret::random();
        let mut transaction = self.transaction().await?;
        self.check_no_root(&mut transaction).await?;
        let now = self.now();
        let expires = now + millis(ROOT_SLOT_LIFETIME);
        let nonce = nb.fingerprint();
        if !root::reserve(&mut transaction, &session, &nonce, now, expires).await? {
            return Err(Problem::conflict(
                "RootReserved",
                "somebody else is creating the root; try again in ten seconds",
            ));
        }
        transaction.commit().await?;
        Ok(RootSlot {
            session,
            na: na.to_owned(),
            nb,
            expires: moment(expires),
        })
    }

    /// Creates the root, in a slot that was reserved. It is the first event of all.
    ///
    /// # Errors
    /// There is a root, the slot is not the caller's, or the event cannot be recorded: then anybody may try
    /// again.
    pub async fn create_root(
        &self,
        session: &str,
        nb: &Secret,
        credentials: Credentials,
        place: &Text,
    ) -> Result<User, Problem> {
        possession::check(
            &self.config.issuer,
            credentials.key.as_ref(),
            credentials.key_proof.as_ref(),
            &credentials.email,
        )?;
        let nonce = nb.fingerprint();
        let mut connection = self.connection().await?;
        self.check_no_root(&mut connection).await?;
        let presented = root::look(&mut connection, session, &nonce, self.now()).await?;
        check(presented)?;
        drop(connection);
        let hash = self.passwords.hash(credentials.password.clone()).await?;
        let mut transaction = self.transaction().await?;
        let presented = root::take(&mut transaction, session, &nonce, self.now()).await?;
        check(presented)?;
        let Credentials {
            email,
            name,
            key,
            key_proof,
            password,
        } = credentials;
        let new = NewUser {
            kind: Kind::Root,
            email,
            name,
            key,
            key_proof,
            password,
            grants: None,
        };
        // A root needs no grants: it has them by being the root.
        let kept = self.new_user(&new, None, BTreeSet::new(), hash);
        let creation = Creation {
            who: kept.user.id.clone(),
            kept,
            above: Vec::new(),
            place: place.clone(),
        };
        self.reserve_user(transaction, creation, &[Claim::Root])
            .await
    }

    /// Whether there is a root. One that is on its way counts too.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn has_root(&self) -> Result<bool, Problem> {
        let mut connection = self.connection().await?;
        store::is_claimed(&mut connection, &Claim::Root).await
    }

    async fn check_no_root(&self, connection: &mut sqlx::AnyConnection) -> Result<(), Problem> {
        if store::is_claimed(connection, &Claim::Root).await? {
            return Err(Problem::conflict("RootExists", "there is a root already"));
        }
        Ok(())
    }
}

fn check(presented: Presented) -> Result<(), Problem> {
    let (kind, detail) = match presented {
        Presented::Taken => return Ok(()),
        Presented::Skipped => (
            "RootNotReserved",
            "reserve the slot first: this session has none",
        ),
        Presented::Late => (
            "RootTooLate",
            "the ten seconds are over: reserve the slot again",
        ),
        Presented::WrongNonce => (
            "RootWrongNonce",
            "the nonce is not the one that was given with this session",
        ),
    };
    Err(Problem::new(StatusCode::FORBIDDEN, kind, detail))
}

#[cfg(test)]
mod tests;
