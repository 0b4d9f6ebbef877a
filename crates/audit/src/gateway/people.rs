//! Users over HTTP: coming and going, who takes part, what they may.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::LOCATION;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Gateway;
use super::caller::{Known, Place};
use super::json::{Answer, Body, Path, Query};
use crate::Problem;
use crate::edge::Sender;
use crate::model::Text;
use crate::users::{
    Changes, Credentials, Exposed, Login, NewUser, OperationName, Page, Password, Permission,
    Reset, ResetCode, RootSlot, Secret, Tokens, User, UserId, Wanted,
};

type Done<T> = Result<Answer<T>, Problem>;
type Here = State<Arc<Gateway>>;

/// `POST /v1/root/slot`: the first step to being the root.
pub(super) async fn reserve_root(State(gateway): Here, Body(step): Body<First>) -> Done<RootSlot> {
    gateway.users.reserve_root(step.na).await.map(Answer)
}

/// What the first step takes: a nonce of the caller's.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct First {
    na: String,
}

/// What the second step takes: what the first gave, and who the root is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Second {
    session: String,
    nb: Secret,
    root: Credentials,
}

/// `POST /v1/root`: the second step.
pub(super) async fn create_root(
    State(gateway): Here,
    Place(place): Place,
    Body(step): Body<Second>,
) -> Result<Response, Problem> {
    let created = gateway
        .users
        .create_root(step.session, Exposed(step.nb), step.root, place);
    created.await.map(made)
}

/// `POST /v1/register`: a consumer comes by themselves, where the operator lets them.
pub(super) async fn register(
    State(gateway): Here,
    Place(place): Place,
    Body(new): Body<NewUser>,
) -> Result<Response, Problem> {
    gateway.users.register_consumer(new, place).await.map(made)
}

/// `POST /v1/login`
pub(super) async fn login(
    State(gateway): Here,
    Place(place): Place,
    Extension(sender): Extension<Sender>,
    Body(login): Body<Login>,
) -> Done<Tokens> {
    sender.says(&login.email);
    gateway.users.login(login, place).await.map(Answer)
}

/// What renewing takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Renewal {
    refresh_token: Secret,
}

/// `POST /v1/renew`
pub(super) async fn renew(
    State(gateway): Here,
    Place(place): Place,
    Body(old): Body<Renewal>,
) -> Done<Tokens> {
    gateway
        .users
        .renew(Exposed(old.refresh_token), place)
        .await
        .map(Answer)
}

/// `POST /v1/logout`
pub(super) async fn logout(State(gateway): Here, known: Known) -> Result<StatusCode, Problem> {
    gateway.users.logout(known.session.session).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/session`: who one is.
pub(super) async fn session(State(gateway): Here, known: Known) -> Done<User> {
    let id = known.caller.user.clone();
    gateway.users.read_user(known.caller, id).await.map(Answer)
}

/// `GET /v1/keys`: what access tokens are checked with (RFC 7517).
pub(super) async fn keys(State(gateway): Here) -> Done<Value> {
    gateway.users.jwks().await.map(Answer)
}

/// `GET /v1/users`
pub(super) async fn list(
    State(gateway): Here,
    known: Known,
    Query(wanted): Query<Wanted>,
) -> Done<Page> {
    gateway.users.list(known.caller, wanted).await.map(Answer)
}

/// `POST /v1/users`
pub(super) async fn create(
    State(gateway): Here,
    known: Known,
    Body(new): Body<NewUser>,
) -> Result<Response, Problem> {
    gateway.users.create_user(known.caller, new).await.map(made)
}

pub(super) fn made(user: User) -> Response {
    let location = format!("/v1/users/{}", user.id);
    (StatusCode::CREATED, [(LOCATION, location)], Answer(user)).into_response()
}

/// Somebody, and their account on the chain, if they have one.
#[derive(Serialize)]
pub(super) struct Somebody {
    #[serde(flatten)]
    user: User,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
}

/// `GET /v1/users/{user}`
pub(super) async fn read(
    State(gateway): Here,
    known: Known,
    Path(id): Path<UserId>,
) -> Done<Somebody> {
    let user = gateway.users.read_user(known.caller, id).await?;
    // Nobody waits for the audit service to read a user.
    let account = gateway.trail.account(Text::fitting(user.id.as_str()));
    let account = account.await.unwrap_or_default();
    Ok(Answer(Somebody { user, account }))
}

/// `PUT /v1/users/{user}`
pub(super) async fn update(
    State(gateway): Here,
    known: Known,
    Path(id): Path<UserId>,
    Body(changes): Body<Changes>,
) -> Done<User> {
    gateway
        .users
        .update_user(known.caller, id, changes)
        .await
        .map(Answer)
}

/// `DELETE /v1/users/{user}`: they can do nothing more, and what they did stays.
pub(super) async fn delete(
    State(gateway): Here,
    known: Known,
    Path(id): Path<UserId>,
) -> Done<User> {
    gateway
        .users
        .delete_user(known.caller, id)
        .await
        .map(Answer)
}

/// `DELETE /v1/users/{user}/sessions`
pub(super) async fn end_sessions(
    State(gateway): Here,
    known: Known,
    Path(id): Path<UserId>,
) -> Result<StatusCode, Problem> {
    gateway.users.revoke_sessions(known.caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /v1/users/{user}/totp`: somebody below has lost their second factor.
pub(super) async fn reset_totp(
    State(gateway): Here,
    known: Known,
    Path(id): Path<UserId>,
) -> Done<User> {
    gateway.users.reset_totp(known.caller, id).await.map(Answer)
}

/// `POST /v1/users/{user}/password-reset`: somebody below has forgotten their password.
pub(super) async fn give_reset_code(
    State(gateway): Here,
    known: Known,
    Path(id): Path<UserId>,
) -> Done<ResetCode> {
    gateway
        .users
        .give_reset_code(known.caller, id)
        .await
        .map(Answer)
}

/// `POST /v1/password-reset`: a new password for a code.
pub(super) async fn reset_password(
    State(gateway): Here,
    Place(place): Place,
    Extension(sender): Extension<Sender>,
    Body(reset): Body<Reset>,
) -> Result<StatusCode, Problem> {
    sender.says(&reset.email);
    gateway.users.reset_password(reset, place).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `PUT /v1/users/{user}/grants/{operation}`
pub(super) async fn grant(
    State(gateway): Here,
    known: Known,
    Path((id, operation)): Path<(UserId, OperationName)>,
) -> Done<User> {
    gateway
        .users
        .grant(known.caller, id, operation)
        .await
        .map(Answer)
}

/// `DELETE /v1/users/{user}/grants/{operation}`
pub(super) async fn revoke(
    State(gateway): Here,
    known: Known,
    Path((id, operation)): Path<(UserId, OperationName)>,
) -> Done<User> {
    gateway
        .users
        .revoke(known.caller, id, operation)
        .await
        .map(Answer)
}

/// What a new password takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPassword {
    old: Secret,
    new: Password,
}

/// `PUT /v1/password`
pub(super) async fn password(
    State(gateway): Here,
    known: Known,
    Body(change): Body<NewPassword>,
) -> Result<StatusCode, Problem> {
    gateway
        .users
        .change_password(known.caller, Exposed(change.old), Exposed(change.new))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A code of a second factor.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Code {
    code: String,
}

/// `POST /v1/totp`: what an app needs to show codes.
pub(super) async fn enrol_totp(State(gateway): Here, known: Known) -> Done<impl Serialize> {
    #[derive(Serialize)]
    struct Enrolled {
        uri: String,
    }
    let uri = gateway.users.enrol_totp(known.caller).await?;
    Ok(Answer(Enrolled {
        uri: uri.0.expose().to_owned(),
    }))
}

/// `PUT /v1/totp`: from now on codes are asked for.
pub(super) async fn confirm_totp(
    State(gateway): Here,
    known: Known,
    Body(code): Body<Code>,
) -> Done<User> {
    gateway
        .users
        .confirm_totp(known.caller, code.code)
        .await
        .map(Answer)
}

/// `DELETE /v1/totp`
pub(super) async fn disable_totp(
    State(gateway): Here,
    known: Known,
    Body(code): Body<Code>,
) -> Done<User> {
    gateway
        .users
        .disable_totp(known.caller, code.code)
        .await
        .map(Answer)
}

/// `GET /v1/permissions`: the dictionary.
pub(super) async fn permissions(State(gateway): Here, _known: Known) -> Done<Vec<Permission>> {
    gateway.users.dictionary().await.map(Answer)
}

/// `PUT /v1/permissions`
pub(super) async fn put_permission(
    State(gateway): Here,
    known: Known,
    Body(entry): Body<Permission>,
) -> Result<StatusCode, Problem> {
    gateway.users.put_permission(known.caller, entry).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /v1/permissions/{operation}`
pub(super) async fn delete_permission(
    State(gateway): Here,
    known: Known,
    Path(name): Path<OperationName>,
) -> Result<StatusCode, Problem> {
    gateway.users.delete_permission(known.caller, name).await?;
    Ok(StatusCode::NO_CONTENT)
}
