//! What may be done, by which kinds of users, and who was granted it. Pure.
//!
//! Somebody may do something if the dictionary permits it to users of their kind and they were granted it
//! themselves. The root is granted everything by being the root.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use super::model::{Kind, UserError, parsed_text};
use crate::Problem;
use crate::model::Text;

parsed_text!(
    /// The name of an operation: `createTUser`.
    OperationName,
    UserError::Operation,
    |text| {
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
        let all = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (first && all && text.len() <= 64).then(|| text.to_owned())
    }
);

/// What kind of thing an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OperationType {
    /// Something begins.
    Create,
    /// Somebody looks at it.
    Read,
    /// It changes.
    Update,
    /// It counts no more.
    Delete,
    /// Somebody shows who they are.
    Authentication,
}

/// One entry of the dictionary of permissions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Permission {
    /// The stage of the business that it belongs to; empty where it belongs to all.
    #[serde(default)]
    pub stage: Text,
    /// The service that does it.
    pub service_name: Text,
    /// What kind of thing it does.
    pub type_of_operation: OperationType,
    /// Its name.
    pub name_of_operation: OperationName,
    /// Which kinds of users may do it, if it was granted to them.
    pub permit_access_to: BTreeSet<Kind>,
    /// What it is, for people.
    #[serde(default)]
    pub description: Text,
}

/// Everything that may be done.
pub type Dictionary = BTreeMap<OperationName, Permission>;

/// Why grants, or the dictionary, stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PermissionError {
    /// Nobody gives what they do not have.
    #[error("{0} was not granted to you, so you cannot grant it")]
    Escalation(OperationName),
    /// There is no such thing to grant.
    #[error("the dictionary has no operation {0}")]
    Unknown(OperationName),
    /// Nobody could undo it.
    #[error("the root has to be able to log in, or nobody could undo this")]
    LockedOut,
}

impl From<PermissionError> for Problem {
    fn from(error: PermissionError) -> Self {
        match error {
            PermissionError::Escalation(_) => Self::not_permitted(error.to_string()),
            PermissionError::Unknown(_) => Self::not_found(error.to_string()),
            PermissionError::LockedOut => Self::conflict("LockedOut", error.to_string()),
        }
    }
}

/// Whether somebody of this kind, with these grants, may do it (the paper's *hasAccess*).
pub fn has_access(
    dictionary: &Dictionary,
    kind: Kind,
    grants: &BTreeSet<OperationName>,
    operation: &str,
) -> bool {
    let Some((name, permission)) = find(dictionary, operation) else {
        return false;
    };
    permission.permit_access_to.contains(&kind) && has_grant(kind, grants, name)
}

/// Whether it was granted to them, permitted to their kind or not: an administrator who stores no data
/// passes on the grant to store data.
fn has_grant(kind: Kind, grants: &BTreeSet<OperationName>, operation: &OperationName) -> bool {
    kind == Kind::Root || grants.contains(operation)
}

fn find<'a>(
    dictionary: &'a Dictionary,
    operation: &str,
) -> Option<(&'a OperationName, &'a Permission)> {
    let name = OperationName::parse(operation).ok()?;
    dictionary.get_key_value(&name)
}

/// Whether somebody may grant all of these.
///
/// # Errors
/// They have one of them not themselves, or there is no such thing.
pub fn check_grants<'a>(
    dictionary: &Dictionary,
    granter: (Kind, &BTreeSet<OperationName>),
    wanted: impl IntoIterator<Item = &'a OperationName>,
) -> Result<(), PermissionError> {
    for operation in wanted {
        if !dictionary.contains_key(operation) {
            return Err(PermissionError::Unknown(operation.clone()));
        }
        if !has_grant(granter.0, granter.1, operation) {
            return Err(PermissionError::Escalation(operation.clone()));
        }
    }
    Ok(())
}

/// Whether the dictionary would still let the root in after this change of an operation; `None` deletes it.
///
/// # Errors
/// It would not.
pub fn check_entry(
    name: &OperationName,
    entry: Option<&Permission>,
) -> Result<(), PermissionError> {
    let for_root = entry.is_some_and(|entry| entry.permit_access_to.contains(&Kind::Root));
    if name.as_str() == LOGIN && !for_root {
        return Err(PermissionError::LockedOut);
    }
    Ok(())
}

/// What a user gets of what their creator has, where nobody says what: all that their kind may do, and for an
/// administrator all, to be passed on.
pub fn usual_grants(
    dictionary: &Dictionary,
    kind: Kind,
    granter: (Kind, &BTreeSet<OperationName>),
) -> BTreeSet<OperationName> {
    let of_kind = |permission: &Permission| {
        kind == Kind::Administrator || permission.permit_access_to.contains(&kind)
    };
    let usual = dictionary
        .iter()
        .filter(|(name, permission)| of_kind(permission) && has_grant(granter.0, granter.1, name));
    usual.map(|(name, _)| name.clone()).collect()
}

/// The operation that lets somebody in.
pub const LOGIN: &str = "loginUser";

/// The dictionary that a new service begins with: the paper's sixteen operations.
pub fn defaults() -> Dictionary {
    use Kind::{Administrator as A, Consumer as C, Root as R, TUser as T};
    use OperationType::{Authentication, Create, Delete, Read, Update};
    let entry = |name: &str, service: &str, operation, kinds: &[Kind], description: &str| {
        let name = OperationName::parse(name).expect("the name is made of letters");
        let permission = Permission {
            stage: Text::default(),
            service_name: Text::fitting(service),
            type_of_operation: operation,
            name_of_operation: name.clone(),
            permit_access_to: kinds.iter().copied().collect(),
            description: Text::fitting(description),
        };
        (name, permission)
    };
    let (users, data) = ("users", "audit");
    Dictionary::from([
        entry(
            "createAdministrator",
            users,
            Create,
            &[R, A],
            "create an administrator",
        ),
        entry(
            "createTUser",
            users,
            Create,
            &[A],
            "create a user of the system",
        ),
        entry("updateMe", users, Update, &[R, A, T, C], "change oneself"),
        entry(
            "updateAdministrator",
            users,
            Update,
            &[R, A],
            "change an administrator below",
        ),
        entry(
            "updateTUser",
            users,
            Update,
            &[R, A],
            "change a user of the system below",
        ),
        entry(
            "deleteMe",
            users,
            Delete,
            &[A, T, C],
            "end one's own account",
        ),
        entry(
            "deleteAdministrator",
            users,
            Delete,
            &[R, A],
            "disable an administrator below",
        ),
        entry(
            "deleteTUser",
            users,
            Delete,
            &[R, A],
            "disable a user of the system below",
        ),
        entry(
            "readMe",
            users,
            Read,
            &[R, A, T, C],
            "read what is known of oneself",
        ),
        entry(
            "readAdministrator",
            users,
            Read,
            &[R, A],
            "read an administrator below",
        ),
        entry(
            "readTUser",
            users,
            Read,
            &[R, A],
            "read a user of the system below",
        ),
        entry(LOGIN, users, Authentication, &[R, A, T, C], "log in"),
        entry("readData", data, Read, &[R, A, T, C], "consult records"),
        entry("createData", data, Create, &[T], "store a new record"),
        entry(
            "updateData",
            data,
            Update,
            &[T],
            "store a new version of a record",
        ),
        entry(
            "deleteData",
            data,
            Delete,
            &[T],
            "store that a record counts no more",
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<OperationName> {
        let names = names.iter().map(|name| OperationName::parse(name).unwrap());
        names.collect()
    }

    #[test]
    fn the_dictionary_begins_with_sixteen_operations() {
        let dictionary = defaults();
        assert_eq!(dictionary.len(), 16);
        for (name, permission) in &dictionary {
            assert_eq!(*name, permission.name_of_operation);
        }
    }

    #[test]
    fn access_takes_the_kind_and_the_grant() {
        let dictionary = defaults();
        let granted = names(&["createData", "readData"]);
        assert!(has_access(&dictionary, Kind::TUser, &granted, "createData"));
        assert!(!has_access(
            &dictionary,
            Kind::TUser,
            &granted,
            "deleteData"
        ));
        assert!(!has_access(
            &dictionary,
            Kind::Administrator,
            &granted,
            "createData"
        ));
        assert!(has_access(
            &dictionary,
            Kind::Administrator,
            &granted,
            "readData"
        ));
        assert!(!has_access(&dictionary, Kind::TUser, &granted, "flyAway"));
        assert!(!has_access(&dictionary, Kind::TUser, &granted, "no name"));
    }

    #[test]
    fn the_root_is_granted_everything_but_only_what_its_kind_does() {
        let dictionary = defaults();
        let none = BTreeSet::new();
        assert!(has_access(
            &dictionary,
            Kind::Root,
            &none,
            "createAdministrator"
        ));
        assert!(!has_access(&dictionary, Kind::Root, &none, "createTUser"));
        assert!(!has_access(&dictionary, Kind::Root, &none, "deleteMe"));
    }

    #[test]
    fn nobody_grants_what_they_do_not_have() {
        let dictionary = defaults();
        let own = names(&["createData"]);
        let granter = (Kind::Administrator, &own);
        check_grants(&dictionary, granter, &names(&["createData"])).unwrap();
        let refused = check_grants(&dictionary, granter, &names(&["createData", "deleteData"]));
        let deletes = OperationName::parse("deleteData").unwrap();
        assert_eq!(refused, Err(PermissionError::Escalation(deletes)));
        let refused = check_grants(&dictionary, (Kind::Root, &own), &names(&["flyAway"]));
        let flies = OperationName::parse("flyAway").unwrap();
        assert_eq!(refused, Err(PermissionError::Unknown(flies)));
    }

    #[test]
    fn what_is_given_where_nobody_says_what_is_never_more_than_the_giver_has() {
        let dictionary = defaults();
        let own = names(&["createData", "readTUser"]);
        let granter = (Kind::Administrator, &own);
        let tuser = usual_grants(&dictionary, Kind::TUser, granter);
        assert_eq!(tuser, names(&["createData"]));
        assert_eq!(usual_grants(&dictionary, Kind::Administrator, granter), own);
        let all = usual_grants(&dictionary, Kind::Administrator, (Kind::Root, &own));
        assert_eq!(all.len(), 16);
    }

    #[test]
    fn the_root_cannot_lock_itself_out() {
        let login = OperationName::parse(LOGIN).unwrap();
        let mut entry = defaults()[&login].clone();
        check_entry(&login, Some(&entry)).unwrap();
        entry.permit_access_to.remove(&Kind::Root);
        let refused = Err(PermissionError::LockedOut);
        assert_eq!(check_entry(&login, Some(&entry)), refused);
        assert_eq!(check_entry(&login, None), refused);
    }

    #[test]
    fn an_entry_is_written_as_the_paper_names_its_fields() {
        let login = OperationName::parse(LOGIN).unwrap();
        let written = serde_json::to_value(&defaults()[&login]).unwrap();
        assert_eq!(
            written,
            serde_json::json!({
                "stage": "", "serviceName": "users", "typeOfOperation": "authentication",
                "nameOfOperation": "loginUser", "description": "log in",
                "permitAccessTo": ["root", "administrator", "tuser", "consumer"],
            })
        );
    }
}
