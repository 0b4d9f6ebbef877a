//! Users: who may use the ledger, and in which roles.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use verify::Digest;

use crate::kv::{Rejection, State, Transaction, Tx};
use crate::limits::USER_ID_BYTES_MAX;
use crate::roles::{self, ADMINISTRATOR};
use crate::tables::{USER_CERTS, USER_INFO, USERS};

/// Names a user: the SHA-256 fingerprint of a client certificate (upper-case hex with colons), or
/// the subject that a token's issuer vouches for (with Entra ID: the object id).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(String);

impl UserId {
    /// Reads a user id. Fingerprints may come in lower case.
    ///
    /// # Errors
    /// The text is empty, too long, or has characters that no user id has.
    pub fn parse(text: &str) -> Result<Self, Rejection> {
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || text.len() > USER_ID_BYTES_MAX || !printable {
            return Err(Rejection::InvalidInput(
                "a user id is a certificate's SHA-256 fingerprint (AB:CD:..) or a token's subject"
                    .to_owned(),
            ));
        }
        let id = if is_fingerprint(text) {
            text.to_ascii_uppercase()
        } else {
            text.to_owned()
        };
        Ok(Self(id))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as CCF writes it: a fingerprint in lower case and without colons, any other as it is.
    pub fn ccf_id(&self) -> String {
        if is_fingerprint(&self.0) {
            self.0.replace(':', "").to_ascii_lowercase()
        } else {
            self.0.clone()
        }
    }
}

/// The user who holds this certificate's key: the SHA-256 of the certificate, DER.
pub fn of_certificate(der: &[u8]) -> UserId {
    UserId(verify::cert::fingerprint_text(der))
}

fn is_fingerprint(text: &str) -> bool {
    text.len() == 95
        && text
            .split(':')
            .all(|byte| byte.len() == 2 && byte.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A user of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct User {
    /// The roles, by name.
    pub roles: BTreeSet<String>,
}

/// A user; `None` where there is none.
pub fn read(state: &dyn State, id: &UserId) -> Option<User> {
    state
        .value(&USERS, id.as_str().as_bytes())
        .map(|bytes| decode(&bytes))
}

/// All users, sorted by id.
pub fn all(state: &dyn State) -> Vec<(UserId, User)> {
    let users = state.values(&USERS).into_iter();
    users
        .filter_map(|(id, user)| Some((UserId(String::from_utf8(id).ok()?), decode(&user))))
        .collect()
}

/// How roles are given to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assign {
    /// In place of all roles the user had (`/app/users`).
    Replace,
    /// Beside the roles the user had (`/app/ledgerUsers`).
    Add,
}

/// Gives roles to a user, who is added if new.
#[derive(Debug, Clone)]
pub struct AssignRoles {
    /// Who.
    pub user: UserId,
    /// Which roles; each must exist.
    pub roles: BTreeSet<String>,
    /// Beside or in place of the others.
    pub assign: Assign,
}

impl Transaction for AssignRoles {
    fn run(self: Box<Self>, tx: &mut Tx<'_>) -> Result<Digest, Rejection> {
        if let Some(unknown) = self.roles.iter().find(|role| !roles::exists(tx, role)) {
            return Err(Rejection::InvalidInput(format!(
                "there is no role {unknown:?}"
            )));
        }
        if self.roles.is_empty() {
            return Err(Rejection::InvalidInput("no role is named".to_owned()));
        }
        let key = self.user.as_str().as_bytes();
        let mut user = match (self.assign, tx.value(&USERS, key)) {
            (Assign::Add, Some(bytes)) => decode(&bytes),
            _ => User::default(),
        };
        user.roles.extend(self.roles);
        if !user.roles.contains(ADMINISTRATOR) {
            keep_one_administrator(tx, &self.user)?;
        }
        tx.put(
            USERS,
            key,
            serde_json::to_vec(&user).expect("strings are JSON"),
        );
        Ok(Digest::ZERO)
    }
}

/// Removes a user. Removing one who does not exist changes nothing and is no error.
#[derive(Debug, Clone)]
pub struct RemoveUser {
    /// Who.
    pub user: UserId,
}

impl Transaction for RemoveUser {
    fn run(self: Box<Self>, tx: &mut Tx<'_>) -> Result<Digest, Rejection> {
        if tx.value(&USERS, self.user.as_str().as_bytes()).is_some() {
            keep_one_administrator(tx, &self.user)?;
            forget(tx, &self.user);
        }
        Ok(Digest::ZERO)
    }
}

/// Removes all rows of a user.
pub(crate) fn forget(tx: &mut Tx<'_>, user: &UserId) {
    tx.remove(USERS, user.as_str());
    for table in [USER_CERTS, USER_INFO] {
        let key = user.ccf_id();
        if tx.value(&table, key.as_bytes()).is_some() {
            tx.remove(table, key);
        }
    }
}

/// Refuses a change after which nobody could manage users any more.
fn keep_one_administrator(tx: &Tx<'_>, leaving: &UserId) -> Result<(), Rejection> {
    let mut administrators = tx
        .values(&USERS)
        .into_iter()
        .filter(|(_, user)| decode(user).roles.contains(ADMINISTRATOR));
    let only = administrators.next();
    match (only, administrators.next()) {
        (Some((id, _)), None) if id == leaving.as_str().as_bytes() => Err(Rejection::Conflict(
            "this is the ledger's only Administrator; make another user one first".to_owned(),
        )),
        _ => Ok(()),
    }
}

fn decode(bytes: &[u8]) -> User {
    serde_json::from_slice(bytes).expect("the table holds what was encoded into it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::MemoryState;

    fn give(user: &str, role: &str, assign: Assign) -> AssignRoles {
        let roles = BTreeSet::from([role.to_owned()]);
        AssignRoles {
            user: UserId::parse(user).unwrap(),
            roles,
            assign,
        }
    }

    fn roles_of(state: &MemoryState, user: &str) -> Vec<String> {
        let user = read(state, &UserId::parse(user).unwrap());
        user.map(|user| user.roles.into_iter().collect())
            .unwrap_or_default()
    }

    #[test]
    fn a_fingerprint_is_one_user_in_either_case() {
        let lower = vec!["ab"; 32].join(":");
        assert_eq!(
            UserId::parse(&lower).unwrap().as_str(),
            lower.to_uppercase()
        );
        assert_eq!(
            UserId::parse("some-Object-id").unwrap().as_str(),
            "some-Object-id"
        );
    }

    #[test]
    fn an_id_with_blanks_or_control_characters_is_refused() {
        for text in ["", "a b", "a\n", "ü", &"x".repeat(257)] {
            assert!(UserId::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn roles_are_replaced_or_added_as_asked() {
        let mut state = MemoryState::default();
        state.run(give("u", "Contributor", Assign::Add)).unwrap();
        state.run(give("u", "Reader", Assign::Add)).unwrap();
        assert_eq!(roles_of(&state, "u"), ["Contributor", "Reader"]);
        state.run(give("u", "Reader", Assign::Replace)).unwrap();
        assert_eq!(roles_of(&state, "u"), ["Reader"]);
    }

    #[test]
    fn a_role_that_does_not_exist_cannot_be_given() {
        let mut state = MemoryState::default();
        assert!(state.run(give("u", "Emperor", Assign::Add)).is_err());
    }

    #[test]
    fn the_last_administrator_can_neither_leave_nor_be_demoted() {
        let mut state = MemoryState::default();
        state.run(give("a", ADMINISTRATOR, Assign::Add)).unwrap();
        let leave = || RemoveUser {
            user: UserId::parse("a").unwrap(),
        };
        assert!(matches!(state.run(leave()), Err(Rejection::Conflict(_))));
        assert!(state.run(give("a", "Reader", Assign::Replace)).is_err());
        state.run(give("b", ADMINISTRATOR, Assign::Add)).unwrap();
        state.run(leave()).unwrap();
        state.run(leave()).unwrap();
        assert_eq!(all(&state).len(), 1);
    }
}
