//! Users and their roles: `/app/users` knows one role for each user, `/app/ledgerUsers` all.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::StatusCode;
use ledger::roles::{ADMINISTRATOR, Action, CONTRIBUTOR, READER};
use ledger::users::{self, Assign, AssignRoles, RemoveUser, User, UserId};
use node::Wait;
use serde::{Deserialize, Serialize};

use crate::answer::{self, Answer};
use crate::auth::Needs;
use crate::call::Call;
use crate::error::{ApiError, Code};
use crate::json::parse;
use crate::limits::BODY_BYTES_MAX;
use crate::transactions::blocking;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OneRole<'a> {
    user_id: &'a str,
    assigned_role: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ManyRoles<'a> {
    user_id: &'a str,
    assigned_roles: &'a BTreeSet<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<T> {
    ledger_users: Vec<T>,
}

/// `GET /app/users`
pub(crate) async fn list(call: Call) -> Result<Answer, ApiError> {
    let all = all(&call).await?;
    let ledger_users = all.iter().map(|(id, user)| one_role(id, user)).collect();
    Ok(answer::json(&List { ledger_users }))
}

/// `GET /app/ledgerUsers`
pub(crate) async fn list_with_roles(call: Call) -> Result<Answer, ApiError> {
    let all = all(&call).await?;
    let ledger_users = all
        .iter()
        .map(|(id, user)| many_roles(id, &user.roles))
        .collect();
    Ok(answer::json(&List { ledger_users }))
}

async fn all(call: &Call) -> Result<Vec<(UserId, User)>, ApiError> {
    let node = Arc::clone(call.node());
    blocking(move || users::all(node.state())).await
}

/// `GET /app/users/{userId}`
pub(crate) async fn read(call: Call) -> Result<Answer, ApiError> {
    let (id, user) = find(&call)?;
    Ok(answer::json(&one_role(&id, &user)))
}

/// `GET /app/ledgerUsers/{userId}`
pub(crate) async fn read_with_roles(call: Call) -> Result<Answer, ApiError> {
    let (id, user) = find(&call)?;
    Ok(answer::json(&many_roles(&id, &user.roles)))
}

/// Everybody may look at themselves; at others only who may read users.
fn find(call: &Call) -> Result<(UserId, User), ApiError> {
    let id = call.user_id()?;
    let caller = call.caller();
    if *caller.user() != id && !caller.meets(call.node(), Needs::AnyOf(&[Action::ReadUsers])) {
        let message = "Not allowed to see other users: that takes a role that allows /users/read.";
        return Err(ApiError::new(Code::NotAllowed, message));
    }
    let user = users::read(call.node().state(), &id)
        .ok_or_else(|| ApiError::not_found(format!("There is no user {id}.")))?;
    Ok((id, user))
}

/// `PATCH /app/users/{userId}`
pub(crate) async fn change(mut call: Call) -> Result<Answer, ApiError> {
    refuse_newer_versions(&call)?;
    let id = call.user_id()?;
    let body = call.json_bytes(BODY_BYTES_MAX).await?;
    let role = parse_role(&body)?;
    let roles = BTreeSet::from([role.clone()]);
    let changed = AssignRoles {
        user: id.clone(),
        roles,
        assign: Assign::Replace,
    };
    let transaction = call
        .node()
        .submit(Box::new(changed), Wait::Committed)
        .await??;
    let user = OneRole {
        user_id: id.as_str(),
        assigned_role: &role,
    };
    Ok(answer::with_transaction(answer::json(&user), transaction))
}

/// `PATCH /app/ledgerUsers/{userId}`: the roles come beside those that the user has; the answer
/// shows those that were given now.
pub(crate) async fn add_roles(mut call: Call) -> Result<Answer, ApiError> {
    let id = call.user_id()?;
    let body = call.json_bytes(BODY_BYTES_MAX).await?;
    let roles = parse_roles(&body)?;
    let changed = AssignRoles {
        user: id.clone(),
        roles: roles.clone(),
        assign: Assign::Add,
    };
    let transaction = call
        .node()
        .submit(Box::new(changed), Wait::Committed)
        .await??;
    Ok(answer::with_transaction(
        answer::json(&many_roles(&id, &roles)),
        transaction,
    ))
}

/// The role that a user is to have, and no other.
pub(crate) fn parse_role(body: &[u8]) -> Result<String, ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        assigned_role: String,
    }
    parse(body, "{\"assignedRole\": text}").map(|body: Body| body.assigned_role)
}

/// The roles that a user is to have beside others.
pub(crate) fn parse_roles(body: &[u8]) -> Result<BTreeSet<String>, ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        assigned_roles: BTreeSet<String>,
    }
    parse(body, "{\"assignedRoles\": [text, ...]}").map(|body: Body| body.assigned_roles)
}

/// `DELETE /app/users/{userId}`
pub(crate) async fn remove(call: Call) -> Result<Answer, ApiError> {
    refuse_newer_versions(&call)?;
    remove_with_roles(call).await
}

/// `DELETE /app/ledgerUsers/{userId}`: no error where there is no such user.
pub(crate) async fn remove_with_roles(call: Call) -> Result<Answer, ApiError> {
    let user = call.user_id()?;
    let removed = Box::new(RemoveUser { user });
    let transaction = call.node().submit(removed, Wait::Committed).await??;
    Ok(answer::with_transaction(
        answer::empty(StatusCode::NO_CONTENT),
        transaction,
    ))
}

/// Whoever knows that users have several roles must not take all but one away by accident.
fn refuse_newer_versions(call: &Call) -> Result<(), ApiError> {
    if call.version.has_ledger_users() {
        let message = format!(
            "With api-version {} users have several roles: use /app/ledgerUsers.",
            call.version.as_str()
        );
        return Err(ApiError::new(Code::ApiVersionRedirect, message));
    }
    Ok(())
}

fn one_role<'a>(id: &'a UserId, user: &'a User) -> OneRole<'a> {
    let strongest = [ADMINISTRATOR, CONTRIBUTOR, READER];
    let built_in = strongest
        .into_iter()
        .find(|role| user.roles.contains(*role));
    let first = || user.roles.first().map_or("", String::as_str);
    OneRole {
        user_id: id.as_str(),
        assigned_role: built_in.unwrap_or_else(first),
    }
}

fn many_roles<'a>(id: &'a UserId, roles: &'a BTreeSet<String>) -> ManyRoles<'a> {
    ManyRoles {
        user_id: id.as_str(),
        assigned_roles: roles,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_roles_the_strongest_is_shown_where_only_one_can_be() {
        let id = UserId::parse("u").unwrap();
        let shown = |roles: &[&str]| {
            let roles = roles.iter().map(|&role| role.to_owned()).collect();
            one_role(&id, &User { roles }).assigned_role.to_owned()
        };
        assert_eq!(shown(&["Reader", "Contributor"]), "Contributor");
        assert_eq!(shown(&["Auditor", "Reader"]), "Reader");
        assert_eq!(shown(&["Auditor"]), "Auditor");
    }
}
