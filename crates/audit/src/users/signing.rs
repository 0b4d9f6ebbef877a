//! Users who are created by somebody who keeps their key: the creation is reserved, and recorded when its creator has
//! signed it.
//!
//! Until then the new user counts for nothing, and their address is theirs. What nobody signs in time is taken back, by
//! whoever finishes what was left; and what was signed and recorded before a crash is made by them.

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::accounts::{NewUser, may_not};
use super::changing::{Held, OWN_KEY, creates};
use super::model::{Status, User, UserId};
use super::permissions::has_access;
use super::store::changes::{self, Subject};
use super::store::{self, permissions};
use super::{Caller, Users};
use crate::Problem;
use crate::limits::{CHANGE_ABANDONED, PREPARED_LIFETIME};
use crate::model::{Operation, Text, millis};
use crate::trail::Prepared;

/// A user whose creation waits for the signature of whoever creates them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreparedUser {
    /// The user, who counts for nothing yet.
    pub user: User,
    /// What to sign.
    #[serde(flatten)]
    pub prepared: Prepared,
}

impl Users {
    /// Prepares the creation of an administrator or a user of the system, below the caller, for the caller to sign.
    ///
    /// # Errors
    /// As for [`Self::create_user`]; or the caller does not sign here.
    pub async fn prepare_user(
        &self,
        caller: &Caller,
        new: NewUser,
    ) -> Result<PreparedUser, Problem> {
        let (mut transaction, creation) = self.creation(caller, new).await?;
        let (user, intent) = creation.put(&mut transaction, &[]).await?;
        // Nobody takes it for abandoned before the time to sign it, which begins when it is prepared, is well over.
        let at = self.now() + millis(PREPARED_LIFETIME + CHANGE_ABANDONED);
        self.reserve(transaction, &intent, at).await?;
        match self.recorder.prepare(intent.act.clone()).await {
            Ok(prepared) => Ok(PreparedUser { user, prepared }),
            Err(problem) => {
                self.take_back(&intent).await?;
                Err(problem)
            }
        }
    }

    /// Creates a user by the transaction that the caller signed. Again is as once.
    ///
    /// # Errors
    /// The caller prepared no such user, or lost the right to create them; it is not the transaction that was to be
    /// signed; or as for [`Self::create_user`].
    pub async fn submit_user(
        &self,
        caller: &Caller,
        id: &UserId,
        signed: String,
    ) -> Result<User, Problem> {
        let mut connection = self.connection().await?;
        let creator = self.caller(&mut connection, caller, Held::No).await?.user;
        let dictionary = permissions::dictionary(&mut connection).await?;
        let user = store::find(&mut connection, id).await?;
        let user = user.map(|kept| kept.user);
        let user = user.filter(|user| user.parent.as_ref() == Some(&creator.id));
        let user = user.ok_or_else(nothing_waits)?;
        let operation = creates(user.kind);
        if !has_access(&dictionary, creator.kind, &creator.grants, operation) {
            return Err(may_not(operation));
        }
        let subject = Subject::User(id.clone());
        let Some(intent) = changes::find(&mut connection, &subject).await? else {
            return match user.status {
                Status::Pending => Err(nothing_waits()),
                _ => Ok(user),
            };
        };
        drop(connection);
        if intent.change != changes::Change::Create {
            return Ok(user);
        }
        let who = Text::fitting(creator.id.as_str());
        let may = vec![Operation::Create];
        let submitted = self.recorder.submit(who, subject.record(), signed, may);
        let stored = match submitted.await {
            // What was recorded before a crash waits no more, and is found by its own name.
            Err(problem) if problem.status == StatusCode::NOT_FOUND.as_u16() => {
                let recorded = self.recorder.record(intent.act.clone()).await;
                recorded.map_err(|other| match other.kind == OWN_KEY {
                    true => problem,
                    false => other,
                })?
            }
            submitted => submitted?,
        };
        self.make(&intent, &stored).await?;
        self.known_user(id).await
    }
}

fn nothing_waits() -> Problem {
    Problem::not_found("no user waits for your signature under this name: prepare it again")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Kind;
    use super::super::testing::{House, kind_of, new};
    use super::*;

    #[tokio::test]
    async fn where_nobody_signs_nobody_is_prepared_and_nothing_is_left() {
        let house = House::open().await;
        let root = house.root().await;
        let before = house.trail.did();
        let wanted = new(Kind::Administrator, "ana");
        let refused = house.users.prepare_user(&root, wanted.clone()).await;
        assert_eq!(kind_of(refused), "NothingToSign");
        assert_eq!(house.trail.did(), before);
        // The address is free again.
        let ana = house.users.create_user(&root, wanted).await.unwrap();
        // Handed in for somebody who is a user already, it is known; and of others nothing waits.
        let signed = || "0x00".to_owned();
        let again = house.users.submit_user(&root, &ana.id, signed()).await;
        assert_eq!(again.unwrap(), ana);
        for (by, id) in [
            (&root, &root.user),
            (&super::super::testing::caller(&ana), &ana.id),
        ] {
            let refused = house.users.submit_user(by, id, signed()).await;
            assert_eq!(kind_of(refused), "NotFound");
        }
    }

    #[tokio::test]
    async fn what_is_prepared_is_the_same_behind_the_wire() {
        let house = House::open().await;
        let root = house.root().await;
        let user = house.users.read_user(&root, &root.user).await.unwrap();
        let event = json!({
            "record": format!("user-{}", user.id), "version": 1, "how": "create", "who": user.id,
            "what": {"about": [{"id": format!("user:{}", user.id)}], "did": "createTUser",
                "hash": "11".repeat(32)},
            "when": "2026-01-02T03:04:05.678Z", "where": "", "target": "",
        });
        let prepared = json!({
            "id": format!("user-{}", user.id), "expires": "2026-01-02T03:19:05.678Z", "event": event,
            "canonical": "{}", "contractAddress": "0x00", "transaction": {"nonce": "0x1"},
            "unsigned": "0x02", "signingHash": "0x03", "eventHash": "0x04", "salt": "22".repeat(32),
        });
        let prepared = serde_json::from_value(prepared).unwrap();
        let all = PreparedUser { user, prepared };
        let wire = serde_json::to_vec(&all).unwrap();
        assert_eq!(serde_json::from_slice::<PreparedUser>(&wire).unwrap(), all);
    }
}
