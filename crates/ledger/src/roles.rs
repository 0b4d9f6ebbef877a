//! What users may do: actions, the built-in roles, and roles that administrators define.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use verify::Digest;

use crate::kv::{Rejection, State, Transaction, Tx};
use crate::limits::{ROLE_ACTIONS_MAX, ROLE_NAME_BYTES_MAX, ROLES_MAX};
use crate::tables::ROLES;

/// Something that a caller may or may not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Read entries, collections, tags and receipts.
    ReadContent,
    /// Append entries.
    WriteContent,
    /// See users other than oneself.
    ReadUsers,
    /// Add, change and remove users.
    WriteUsers,
    /// See custom roles.
    ReadRoles,
    /// Add, change and remove custom roles.
    WriteRoles,
    /// Read the constitution, the members and the nodes' evidence.
    ReadGovernance,
    /// Read the chain of contracts, and call contracts without changing anything.
    ReadContracts,
    /// Send transactions to contracts.
    Transact,
    /// Send transactions that make contracts.
    Deploy,
    /// See in a confidential chain what others sent, and what contracts keep.
    AuditContracts,
}

impl Action {
    /// All of them, with the path that names each in a custom role.
    pub const ALL: [(Self, &'static str); 11] = [
        (Self::ReadContent, "/content/read"),
        (Self::WriteContent, "/content/write"),
        (Self::ReadUsers, "/users/read"),
        (Self::WriteUsers, "/users/write"),
        (Self::ReadRoles, "/roles/read"),
        (Self::WriteRoles, "/roles/write"),
        (Self::ReadGovernance, "/governance/read"),
        (Self::ReadContracts, "/contracts/read"),
        (Self::Transact, "/contracts/transact"),
        (Self::Deploy, "/contracts/deploy"),
        (Self::AuditContracts, "/contracts/audit"),
    ];

    /// The action that a custom role's text names: its path, alone or after Azure's resource
    /// provider (`Microsoft.ConfidentialLedger/ledger/users/write`). `None` for texts that mean
    /// something to others only.
    pub fn parse(text: &str) -> Option<Self> {
        let path = text
            .strip_prefix("Microsoft.ConfidentialLedger/ledger")
            .unwrap_or(text);
        Self::ALL
            .iter()
            .find(|(_, name)| *name == path)
            .map(|&(action, _)| action)
    }
}

/// Names of the roles that always exist.
pub const BUILT_IN: [&str; 3] = [READER, CONTRIBUTOR, ADMINISTRATOR];
/// May read.
pub const READER: &str = "Reader";
/// May read and append.
pub const CONTRIBUTOR: &str = "Contributor";
/// May do everything.
pub const ADMINISTRATOR: &str = "Administrator";

/// A role that an administrator defined.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Role {
    /// What it allows. Texts that name no [`Action`] are kept for applications that ask for them.
    pub actions: BTreeSet<String>,
}

/// Everything that a set of roles allows.
pub fn permissions<'a>(
    state: &dyn State,
    roles: impl IntoIterator<Item = &'a String>,
) -> BTreeSet<Action> {
    roles
        .into_iter()
        .flat_map(|role| actions_of(state, role))
        .collect()
}

fn actions_of(state: &dyn State, role: &str) -> Vec<Action> {
    let reader = [
        Action::ReadContent,
        Action::ReadGovernance,
        Action::ReadContracts,
    ];
    let writer = [Action::WriteContent, Action::Transact, Action::Deploy];
    match role {
        READER => reader.to_vec(),
        CONTRIBUTOR => [&reader[..], &writer].concat(),
        ADMINISTRATOR => Action::ALL.iter().map(|&(action, _)| action).collect(),
        custom => read(state, custom)
            .map(|role| {
                role.actions
                    .iter()
                    .filter_map(|text| Action::parse(text))
                    .collect()
            })
            .unwrap_or_default(),
    }
}

/// Whether a role of that name can be assigned.
pub fn exists(tx: &Tx<'_>, name: &str) -> bool {
    BUILT_IN.contains(&name) || tx.value(&ROLES, name.as_bytes()).is_some()
}

/// A custom role; `None` where there is none of that name.
pub fn read(state: &dyn State, name: &str) -> Option<Role> {
    state
        .value(&ROLES, name.as_bytes())
        .map(|bytes| decode(&bytes))
}

/// What to do with the roles in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleChange {
    /// Put them in place of what they were.
    Define,
    /// Add actions to roles that exist.
    AddActions,
}

/// Defines custom roles or adds actions to them, all or none.
#[derive(Debug, Clone)]
pub struct ChangeRoles {
    /// What to do.
    pub change: RoleChange,
    /// Name and actions of each role.
    pub roles: Vec<(String, BTreeSet<String>)>,
}

impl Transaction for ChangeRoles {
    fn run(self: Box<Self>, tx: &mut Tx<'_>) -> Result<Digest, Rejection> {
        for (name, actions) in &self.roles {
            check_name(name)?;
            let before = tx
                .value(&ROLES, name.as_bytes())
                .map(|bytes| decode(&bytes));
            let mut role = match self.change {
                RoleChange::Define => Role::default(),
                RoleChange::AddActions => before.ok_or_else(|| no_such(name))?,
            };
            role.actions.extend(actions.iter().cloned());
            check_actions(&role)?;
            tx.put(ROLES, name.as_bytes(), encode(&role));
        }
        if tx.values(&ROLES).len() > ROLES_MAX {
            return Err(Rejection::InvalidInput(format!(
                "a ledger has {ROLES_MAX} custom roles at the most"
            )));
        }
        Ok(Digest::ZERO)
    }
}

/// Removes a custom role. Users who had it lose what it allowed.
#[derive(Debug, Clone)]
pub struct RemoveRole {
    /// The role's name.
    pub name: String,
}

impl Transaction for RemoveRole {
    fn run(self: Box<Self>, tx: &mut Tx<'_>) -> Result<Digest, Rejection> {
        if tx.value(&ROLES, self.name.as_bytes()).is_none() {
            return Err(no_such(&self.name));
        }
        tx.remove(ROLES, self.name);
        Ok(Digest::ZERO)
    }
}

fn check_name(name: &str) -> Result<(), Rejection> {
    let problem = if name.is_empty() || name.len() > ROLE_NAME_BYTES_MAX {
        format!("a role name has 1 to {ROLE_NAME_BYTES_MAX} bytes")
    } else if name.chars().any(char::is_control) {
        "a role name has no control characters".to_owned()
    } else if BUILT_IN.contains(&name) {
        format!("{name} is built in and cannot be changed")
    } else {
        return Ok(());
    };
    Err(Rejection::InvalidInput(problem))
}

fn check_actions(role: &Role) -> Result<(), Rejection> {
    let too_long = role
        .actions
        .iter()
        .any(|action| action.len() > ROLE_NAME_BYTES_MAX);
    if role.actions.len() > ROLE_ACTIONS_MAX || too_long {
        return Err(Rejection::InvalidInput(format!(
            "a role has {ROLE_ACTIONS_MAX} actions of {ROLE_NAME_BYTES_MAX} bytes at the most"
        )));
    }
    Ok(())
}

fn no_such(name: &str) -> Rejection {
    Rejection::NotFound(format!("there is no custom role {name:?}"))
}

fn encode(role: &Role) -> Vec<u8> {
    serde_json::to_vec(role).expect("strings are JSON")
}

fn decode(bytes: &[u8]) -> Role {
    serde_json::from_slice(bytes).expect("the table holds what encode wrote")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::MemoryState;

    fn define(change: RoleChange, name: &str, actions: &[&str]) -> ChangeRoles {
        let actions = actions.iter().map(|&action| action.to_owned()).collect();
        ChangeRoles {
            change,
            roles: vec![(name.to_owned(), actions)],
        }
    }

    fn allowed(state: &MemoryState, role: &str) -> Vec<Action> {
        permissions(state, &[role.to_owned()]).into_iter().collect()
    }

    #[test]
    fn readers_read_contributors_append_administrators_do_all() {
        let state = MemoryState::default();
        assert!(!allowed(&state, READER).contains(&Action::WriteContent));
        assert!(allowed(&state, CONTRIBUTOR).contains(&Action::WriteContent));
        assert!(!allowed(&state, CONTRIBUTOR).contains(&Action::WriteUsers));
        assert_eq!(allowed(&state, ADMINISTRATOR).len(), Action::ALL.len());
        assert_eq!(allowed(&state, "nobody"), []);
    }

    #[test]
    fn a_custom_role_allows_what_its_actions_name() {
        let mut state = MemoryState::default();
        state
            .run(define(
                RoleChange::Define,
                "clerk",
                &["/content/read", "/mine"],
            ))
            .unwrap();
        assert_eq!(allowed(&state, "clerk"), [Action::ReadContent]);
        let azure = "Microsoft.ConfidentialLedger/ledger/users/write";
        state
            .run(define(RoleChange::AddActions, "clerk", &[azure]))
            .unwrap();
        assert_eq!(
            allowed(&state, "clerk"),
            [Action::ReadContent, Action::WriteUsers]
        );
        state
            .run(RemoveRole {
                name: "clerk".to_owned(),
            })
            .unwrap();
        assert_eq!(allowed(&state, "clerk"), []);
    }

    #[test]
    fn built_in_roles_cannot_be_redefined() {
        let mut state = MemoryState::default();
        assert!(
            state
                .run(define(RoleChange::Define, READER, &["/users/write"]))
                .is_err()
        );
    }

    #[test]
    fn actions_are_added_to_existing_roles_only() {
        let mut state = MemoryState::default();
        let change = define(RoleChange::AddActions, "clerk", &["/content/read"]);
        assert!(matches!(state.run(change), Err(Rejection::NotFound(_))));
    }
}
