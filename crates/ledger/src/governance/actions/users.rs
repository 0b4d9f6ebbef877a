//! Actions about users and their roles: what administrators do through the API, decided by vote.
//!
//! A user with a certificate has CCF's rows too, under the hex digest of the certificate.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Parsed;
use super::args::{Args, any_cert, free_data, text, texts};
use crate::governance::json as bytes;
use crate::kv::{Rejection, Transaction, Tx};
use crate::roles::{self, CONTRIBUTOR, ChangeRoles, RemoveRole, RoleChange};
use crate::tables::{USER_CERTS, USER_INFO, USERS};
use crate::users::{self, User, UserId};

pub(super) fn set_user(args: &mut Args<'_>) -> Parsed {
    let cert = args.optional("cert", any_cert)?;
    let named = args.optional("user_id", user_id)?;
    let roles = args.optional("roles", texts)?;
    let roles = roles.unwrap_or_else(|| BTreeSet::from([CONTRIBUTOR.to_owned()]));
    let data = args.optional("user_data", free_data)?;
    let (user, pem) = match (cert, named) {
        (Some((pem, der)), None) => (users::of_certificate(&der), Some(pem)),
        (None, Some(user)) => (user, None),
        _ => return Err("either cert or user_id says who it is".to_owned()),
    };
    Ok(Box::new(move |tx| {
        if let Some(unknown) = roles.iter().find(|role| !roles::exists(tx, role)) {
            return Err(format!("there is no role {unknown:?}"));
        }
        let key = user.as_str().as_bytes();
        let roles = roles.clone();
        tx.put(USERS, key, bytes(&User { roles }));
        if let Some(pem) = &pem {
            tx.put(USER_CERTS, user.ccf_id(), pem.as_bytes());
        }
        if let Some(data) = &data {
            put_data(tx, &user, data);
        }
        Ok(())
    }))
}

pub(super) fn remove_user(args: &mut Args<'_>) -> Parsed {
    let user = args.required("user_id", user_id)?;
    Ok(Box::new(move |tx| {
        existing(tx, &user)?;
        // Members may remove the last Administrator: they can make another one.
        users::forget(tx, &user);
        Ok(())
    }))
}

pub(super) fn set_user_data(args: &mut Args<'_>) -> Parsed {
    let user = args.required("user_id", user_id)?;
    let data = args.optional("user_data", free_data)?;
    let data = data.unwrap_or(Value::Null);
    Ok(Box::new(move |tx| {
        existing(tx, &user)?;
        put_data(tx, &user, &data);
        Ok(())
    }))
}

pub(super) fn set_role(args: &mut Args<'_>) -> Parsed {
    let name = args.required("role_name", text)?;
    let actions = args.required("role_actions", texts)?;
    let change = ChangeRoles {
        change: RoleChange::Define,
        roles: vec![(name, actions)],
    };
    Ok(Box::new(move |tx| run(tx, change.clone())))
}

pub(super) fn remove_role(args: &mut Args<'_>) -> Parsed {
    let name = args.required("role_name", text)?;
    Ok(Box::new(move |tx| {
        run(tx, RemoveRole { name: name.clone() })
    }))
}

fn run(tx: &mut Tx<'_>, transaction: impl Transaction) -> Result<(), String> {
    let outcome: Result<_, Rejection> = Box::new(transaction).run(tx);
    outcome.map(drop).map_err(|rejection| rejection.to_string())
}

/// A fingerprint with colons, CCF's hex without them, or the subject of a token.
fn user_id(value: &Value) -> Result<UserId, String> {
    let text = text(value)?;
    let bytes = hex::decode(&text).ok().filter(|bytes| bytes.len() == 32);
    let text = match bytes {
        Some(bytes) => {
            let pairs: Vec<_> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            pairs.join(":")
        }
        None => text,
    };
    UserId::parse(&text).map_err(|_| "is no user id".to_owned())
}

fn existing(tx: &Tx<'_>, user: &UserId) -> Result<User, String> {
    users::read(tx, user).ok_or_else(|| format!("{user} is no user"))
}

fn put_data(tx: &mut Tx<'_>, user: &UserId, data: &Value) {
    tx.put(
        USER_INFO,
        user.ccf_id(),
        bytes(&json!({ "user_data": data })),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::governance::testing::{Signer, act, invalid, text};
    use crate::kv::MemoryState;
    use crate::roles::ADMINISTRATOR;

    #[test]
    fn a_user_with_a_certificate_is_ours_and_ccfs() {
        let mut state = MemoryState::default();
        let cert = Signer::new("u").cert;
        let user = UserId::parse(&cert.fingerprint_text()).unwrap();
        let args = json!({ "cert": cert.to_pem(), "user_data": { "team": 7 } });
        act(&mut state, "set_user", args).unwrap();
        let roles = users::read(&state, &user).unwrap().roles;
        assert_eq!(roles, BTreeSet::from([CONTRIBUTOR.to_owned()]));
        let ccf = cert.fingerprint().to_string();
        assert_eq!(
            text(&state, &USER_CERTS, ccf.as_bytes()),
            Some(cert.to_pem())
        );
        let data = text(&state, &USER_INFO, ccf.as_bytes());
        assert_eq!(data.unwrap(), r#"{"user_data":{"team":7}}"#);
        let args = json!({ "user_id": ccf, "user_data": null });
        act(&mut state, "set_user_data", args).unwrap();
        act(&mut state, "remove_user", json!({ "user_id": ccf })).unwrap();
        assert_eq!(users::read(&state, &user), None);
        assert_eq!(text(&state, &USER_CERTS, ccf.as_bytes()), None);
        assert_eq!(text(&state, &USER_INFO, ccf.as_bytes()), None);
        assert!(act(&mut state, "remove_user", json!({ "user_id": ccf })).is_err());
        let args = json!({ "user_id": "nobody", "user_data": 1 });
        assert!(act(&mut state, "set_user_data", args).is_err());
    }

    #[test]
    fn a_user_with_a_token_has_the_roles_that_are_named() {
        let mut state = MemoryState::default();
        let args = json!({ "user_id": "oid-1", "roles": [ADMINISTRATOR] });
        act(&mut state, "set_user", args).unwrap();
        let user = users::read(&state, &UserId::parse("oid-1").unwrap()).unwrap();
        assert!(user.roles.contains(ADMINISTRATOR));
        let args = json!({ "user_id": "oid-1", "roles": ["Emperor"] });
        assert!(
            act(&mut state, "set_user", args)
                .unwrap_err()
                .contains("Emperor")
        );
        act(&mut state, "remove_user", json!({ "user_id": "oid-1" })).unwrap();
    }

    #[test]
    fn a_user_that_cannot_be_is_refused() {
        invalid("set_user", json!({}));
        let pem = Signer::new("u").cert.to_pem();
        invalid("set_user", json!({ "cert": pem, "user_id": "u" }));
        invalid("set_user", json!({ "user_id": "u", "roles": [] }));
        invalid("set_user", json!({ "user_id": "a b" }));
        invalid("remove_user", json!({ "user_id": "" }));
        invalid("set_user_data", json!({ "user_data": 1 }));
    }

    #[test]
    fn a_role_is_defined_and_removed() {
        let mut state = MemoryState::default();
        let args = json!({ "role_name": "clerk", "role_actions": ["/content/read"] });
        act(&mut state, "set_role", args).unwrap();
        assert!(roles::read(&state, "clerk").is_some());
        act(&mut state, "remove_role", json!({ "role_name": "clerk" })).unwrap();
        assert!(roles::read(&state, "clerk").is_none());
        assert!(act(&mut state, "remove_role", json!({ "role_name": "clerk" })).is_err());
        let args = json!({ "role_name": "Reader", "role_actions": ["/users/write"] });
        assert!(act(&mut state, "set_role", args).is_err());
        invalid("set_role", json!({ "role_name": "clerk" }));
        invalid("remove_role", json!({}));
    }
}
