//! Custom roles.
//!
//! The vendor's clients disagree about the shape: a bare list, `roles` or `role`, in camelCase or
//! in snake_case. All are read; what is written depends on the version that is asked for.

use std::collections::BTreeSet;

use http::StatusCode;
use ledger::roles::{self, ChangeRoles, RemoveRole, RoleChange};
use node::Wait;
use serde::{Deserialize, Serialize};

use crate::answer::{self, Answer};
use crate::call::Call;
use crate::error::ApiError;
use crate::json::{Object, parse, parse_list};
use crate::limits::BODY_BYTES_MAX;
use crate::version::ApiVersion;

#[derive(Deserialize)]
struct RoleBody {
    #[serde(rename = "roleName", alias = "role_name")]
    name: String,
    #[serde(rename = "roleActions", alias = "role_actions", default)]
    actions: BTreeSet<String>,
}

#[derive(Deserialize)]
struct RolesBody {
    #[serde(alias = "role")]
    roles: Vec<Object<RoleBody>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownRole<'a> {
    role_name: &'a str,
    role_actions: &'a BTreeSet<String>,
    #[serde(rename = "role_name", skip_serializing_if = "Option::is_none")]
    snake_name: Option<&'a str>,
    #[serde(rename = "role_actions", skip_serializing_if = "Option::is_none")]
    snake_actions: Option<&'a BTreeSet<String>>,
}

impl<'a> ShownRole<'a> {
    fn new(name: &'a str, actions: &'a BTreeSet<String>, version: ApiVersion) -> Self {
        // Clients of the previews read snake_case, though their specification says otherwise.
        let previews = !version.says_state();
        Self {
            role_name: name,
            role_actions: actions,
            snake_name: previews.then_some(name),
            snake_actions: previews.then_some(actions),
        }
    }
}

/// `GET /app/roles?roleName=`
pub(crate) async fn read(call: Call) -> Result<Answer, ApiError> {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Shown<'a> {
        Newest { role: [ShownRole<'a>; 1] },
        Previews { roles: [ShownRole<'a>; 1] },
    }
    let name = name_of(&call)?;
    let role = roles::read(call.node().state(), &name)
        .ok_or_else(|| ApiError::not_found(format!("There is no custom role {name:?}.")))?;
    let role = [ShownRole::new(&name, &role.actions, call.version)];
    let newest = call.version.says_state();
    let shown = if newest {
        Shown::Newest { role }
    } else {
        Shown::Previews { roles: role }
    };
    Ok(answer::json(&shown))
}

/// `PUT /app/roles`
pub(crate) async fn define(call: Call) -> Result<Answer, ApiError> {
    write(call, RoleChange::Define).await
}

/// `PATCH /app/roles`
pub(crate) async fn add_actions(call: Call) -> Result<Answer, ApiError> {
    write(call, RoleChange::AddActions).await
}

async fn write(mut call: Call, change: RoleChange) -> Result<Answer, ApiError> {
    #[derive(Serialize)]
    struct Written<'a> {
        roles: Vec<ShownRole<'a>>,
    }
    let body = call.json_bytes(BODY_BYTES_MAX).await?;
    let roles = parse_roles(&body)?;
    let changed = Box::new(ChangeRoles {
        change,
        roles: roles.clone(),
    });
    let transaction = call.node().submit(changed, Wait::Committed).await??;
    let shown = roles
        .iter()
        .map(|(name, actions)| ShownRole::new(name, actions, call.version));
    let answer = answer::json(&Written {
        roles: shown.collect(),
    });
    Ok(answer::with_transaction(answer, transaction))
}

/// `DELETE /app/roles?roleName=`
pub(crate) async fn remove(call: Call) -> Result<Answer, ApiError> {
    let name = name_of(&call)?;
    let removed = Box::new(RemoveRole { name });
    let transaction = call.node().submit(removed, Wait::Committed).await??;
    let status = if call.version.says_state() {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::OK
    };
    Ok(answer::with_transaction(answer::empty(status), transaction))
}

fn name_of(call: &Call) -> Result<String, ApiError> {
    match call.query("roleName")? {
        Some(name) if !name.is_empty() => Ok(name.into_owned()),
        _ => Err(ApiError::query("The query parameter roleName is required.")),
    }
}

pub(crate) fn parse_roles(body: &[u8]) -> Result<Vec<(String, BTreeSet<String>)>, ApiError> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    let roles = if first == Some(&b'[') {
        parse_list::<RoleBody>(body, "a list of roles")?
    } else {
        let what = "{\"roles\": [{\"roleName\": text, \"roleActions\": [text, ...]}]}";
        let RolesBody { roles } = parse(body, what)?;
        roles.into_iter().map(|Object(role)| role).collect()
    };
    if roles.is_empty() {
        return Err(ApiError::input("The body names no role."));
    }
    Ok(roles
        .into_iter()
        .map(|role| (role.name, role.actions))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_in_every_shape_that_clients_send() {
        for text in [
            r#"{"roles":[{"roleName":"a","roleActions":["/x"]}]}"#,
            r#"{"role":[{"role_name":"a","role_actions":["/x"]}]}"#,
            r#" [{"roleName":"a","role_actions":["/x"]}]"#,
        ] {
            let roles = parse_roles(text.as_bytes()).unwrap();
            assert_eq!(roles, [("a".to_owned(), BTreeSet::from(["/x".to_owned()]))]);
        }
        for text in [
            "[]",
            r#"{"roles":[]}"#,
            r#"{"roles":[{}]}"#,
            r#"[["a",[]]]"#,
            r#"{"roles":[["a",[]]]}"#,
            "7",
        ] {
            assert!(parse_roles(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn only_clients_of_previews_see_two_spellings() {
        let actions = BTreeSet::new();
        let shown = |version| {
            let version = ApiVersion::parse(Some(version)).unwrap();
            serde_json::to_string(&ShownRole::new("a", &actions, version)).unwrap()
        };
        assert_eq!(
            shown("2026-07-31-preview"),
            r#"{"roleName":"a","roleActions":[]}"#
        );
        assert!(shown("2024-12-09-preview").contains("role_name"));
    }
}
