//! Events of those who keep their keys: the same requests as for records, under `/v1/prepared`, give a transaction to
//! sign; signed, it is handed in by its name.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::LOCATION;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use super::Gateway;
use super::caller::Known;
use super::json::{Answer, Body, Path};
use super::people;
use super::records::{self, NewRecord, StoredAnswer};
use crate::Problem;
use crate::model::Operation;
use crate::trail::{Act, Prepared};
use crate::users::{NewUser, UserId};

/// `POST /v1/prepared/records`
pub(super) async fn create(
    State(gateway): State<Arc<Gateway>>,
    known: Known,
    headers: HeaderMap,
    Body(new): Body<NewRecord>,
) -> Result<Response, Problem> {
    prepared(&gateway, records::creating(&known, &headers, new).await?).await
}

/// `PUT /v1/prepared/records/{record}`
pub(super) async fn update(
    State(gateway): State<Arc<Gateway>>,
    known: Known,
    Path(record): Path<String>,
    headers: HeaderMap,
    Body(new): Body<NewRecord>,
) -> Result<Response, Problem> {
    let act = records::updating(&known, &headers, record, new).await?;
    prepared(&gateway, act).await
}

/// `DELETE /v1/prepared/records/{record}`
pub(super) async fn delete(
    State(gateway): State<Arc<Gateway>>,
    known: Known,
    Path(record): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let act = records::deleting(&known, &headers, record).await?;
    prepared(&gateway, act).await
}

async fn prepared(gateway: &Gateway, act: Act) -> Result<Response, Problem> {
    let prepared: Prepared = gateway.trail.prepare(act).await?;
    Ok(to_sign(&prepared.id, &prepared))
}

/// `POST /v1/prepared/users`
pub(super) async fn create_user(
    State(gateway): State<Arc<Gateway>>,
    known: Known,
    Body(new): Body<NewUser>,
) -> Result<Response, Problem> {
    let prepared = gateway.users.prepare_user(known.caller, new).await?;
    Ok(to_sign(&prepared.prepared.id, &prepared))
}

fn to_sign(id: &str, prepared: &impl Serialize) -> Response {
    let location = format!("/v1/prepared/{id}");
    (
        StatusCode::CREATED,
        [(LOCATION, location)],
        Answer(prepared),
    )
        .into_response()
}

/// What somebody signed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignedTransaction {
    /// `0x` and hexadecimal digits.
    signed: String,
}

/// `POST /v1/prepared/{prepared}`: records the event. The answer is that of the request that it was prepared for.
///
/// What is prepared for a new user has the name of their record; everything else, a name that is drawn.
pub(super) async fn submit(
    State(gateway): State<Arc<Gateway>>,
    known: Known,
    Path(id): Path<String>,
    Body(SignedTransaction { signed }): Body<SignedTransaction>,
) -> Result<Response, Problem> {
    if let Some(user) = id
        .strip_prefix("user-")
        .and_then(|id| UserId::parse(id).ok())
    {
        let created = gateway.users.submit_user(known.caller, user, signed);
        return created.await.map(people::made);
    }
    let mut may = Vec::new();
    for how in [Operation::Create, Operation::Update, Operation::Delete] {
        match known.require(records::needed(how)).await {
            Ok(()) => may.push(how),
            Err(problem) if problem.status == StatusCode::FORBIDDEN.as_u16() => {}
            Err(problem) => return Err(problem),
        }
    }
    let stored = gateway
        .trail
        .submit(known.who().clone(), id, signed, may)
        .await;
    gateway.config.edge.metrics().recorded("api", &stored);
    let stored = stored?;
    Ok(match stored.event.how {
        Operation::Create => records::created(&known, stored),
        _ => Answer(StoredAnswer::new(&known, stored)).into_response(),
    })
}
