//! The dictionary of permissions and who was granted what, changed at run time. Each change is an event.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::access::Authenticated;
use super::accounts::may_not;
use super::changing::{Held, act, of_user};
use super::model::{Deed, Kind, User, UserId};
use super::permissions::{
    Dictionary, OperationName, Permission, check_entry, check_grants, has_access,
};
use super::secret::Secret;
use super::store;
use super::store::changes::{Change, Intent, Subject};
use super::{Caller, Users};
use crate::Problem;
use crate::limits::PERMISSIONS_MAX;
use crate::model::Operation;

/// Who calls, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identified {
    /// Who, as a good token says.
    pub session: Authenticated,
    /// All that they may do.
    pub may: BTreeSet<OperationName>,
}

impl Users {
    /// Who an access token belongs to, and what they may do, as it was a second ago at the oldest.
    ///
    /// # Errors
    /// As [`Self::validate`] and [`Self::has_access`].
    pub async fn identify(&self, access: &Secret) -> Result<Identified, Problem> {
        let session = self.validate(access)?;
        let grants = self.known_grants(&session.user).await?;
        let dictionary = self.dictionary();
        let may =
            |name: &&OperationName| has_access(&dictionary, session.kind, &grants, name.as_str());
        let may = dictionary.keys().filter(may).cloned().collect();
        Ok(Identified { session, may })
    }

    /// Whether somebody may do something (the paper's *hasAccess*). What it knows is a second old at most.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn has_access(&self, caller: &Caller, operation: &str) -> Result<bool, Problem> {
        let grants = self.known_grants(&caller.user).await?;
        Ok(has_access(
            &self.dictionary(),
            caller.kind,
            &grants,
            operation,
        ))
    }

    /// The same, as an answer to be passed on.
    ///
    /// # Errors
    /// They may not, or the database does not answer.
    pub async fn demand(&self, caller: &Caller, operation: &str) -> Result<(), Problem> {
        if self.has_access(caller, operation).await? {
            Ok(())
        } else {
            Err(may_not(operation))
        }
    }

    /// Grants an operation to somebody below the caller, who has it too.
    ///
    /// # Errors
    /// The caller may not change the user, or does not have it; or the event cannot be recorded.
    pub async fn grant(
        &self,
        caller: &Caller,
        id: &UserId,
        operation: OperationName,
    ) -> Result<User, Problem> {
        let (mut transaction, by, user) = self.begin_change(caller, id, Deed::Update).await?;
        let dictionary = store::permissions::dictionary(&mut transaction).await?;
        check_grants(&dictionary, (by.kind, &by.grants), [&operation])?;
        let did = format!("grant {operation}");
        let change = Change::Grant { operation };
        let intent = of_user(&user, change, &by.id, &caller.place, &did);
        self.change(transaction, &intent).await?;
        self.known_user(id).await
    }

    /// Takes a grant away from somebody below the caller, or from oneself. What they granted to others stays:
    /// who stands above sees it, and takes it away too.
    ///
    /// # Errors
    /// The caller may not change the user; or the event cannot be recorded.
    pub async fn revoke(
        &self,
        caller: &Caller,
        id: &UserId,
        operation: OperationName,
    ) -> Result<User, Problem> {
        let (transaction, by, user) = self.begin_change(caller, id, Deed::Update).await?;
        let did = format!("revoke {operation}");
        let change = Change::Revoke { operation };
        let intent = of_user(&user, change, &by.id, &caller.place, &did);
        self.change(transaction, &intent).await?;
        self.known_user(id).await
    }

    /// Puts an entry into the dictionary, or changes it. The root alone may.
    ///
    /// # Errors
    /// Another calls, the root could not log in any more, or the event cannot be recorded.
    pub async fn put_permission(&self, caller: &Caller, entry: Permission) -> Result<(), Problem> {
        let name = entry.name_of_operation.clone();
        self.change_dictionary(caller, name, Some(entry)).await
    }

    /// Takes an operation out of the dictionary: nobody may do it then, whatever they were granted.
    ///
    /// # Errors
    /// As for [`Self::put_permission`], or there is none.
    pub async fn delete_permission(
        &self,
        caller: &Caller,
        name: &OperationName,
    ) -> Result<(), Problem> {
        self.change_dictionary(caller, name.clone(), None).await
    }

    async fn change_dictionary(
        &self,
        caller: &Caller,
        name: OperationName,
        entry: Option<Permission>,
    ) -> Result<(), Problem> {
        let mut transaction = self.transaction().await?;
        let by = self.caller(&mut transaction, caller, Held::Yes).await?.user;
        if by.kind != Kind::Root {
            return Err(Problem::not_permitted(
                "the root alone changes the dictionary",
            ));
        }
        check_entry(&name, entry.as_ref())?;
        let dictionary = store::permissions::dictionary(&mut transaction).await?;
        check_room(&dictionary, &name, entry.is_some())?;
        let before = store::permissions::version(&mut transaction, &name).await?;
        let version = before + 1;
        // Entries that a service begins with are not recorded before they are changed. One that is taken out
        // may come back, which nothing could after the end of its record.
        let how = match before {
            0 => Operation::Create,
            _ => Operation::Update,
        };
        let did = match entry {
            Some(_) => "putPermission",
            None => "deletePermission",
        };
        let content = json!({ "name": name, "entry": entry });
        let subject = Subject::Permission(name);
        let act = act(&subject, how, &by.id, &caller.place, did, content, version);
        let change = match entry {
            Some(entry) => Change::PutPermission {
                entry: Box::new(entry),
            },
            None => Change::DeletePermission,
        };
        let intent = Intent {
            subject,
            version,
            act,
            change,
            claimed: Vec::new(),
        };
        self.change(transaction, &intent).await
    }
}

fn check_room(dictionary: &Dictionary, name: &OperationName, puts: bool) -> Result<(), Problem> {
    match (dictionary.contains_key(name), puts) {
        (false, false) => Err(Problem::not_found(format!("there is no operation {name}"))),
        (false, true) if dictionary.len() >= PERMISSIONS_MAX => Err(Problem::conflict(
            "DictionaryFull",
            format!("the dictionary has {PERMISSIONS_MAX} operations already"),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
