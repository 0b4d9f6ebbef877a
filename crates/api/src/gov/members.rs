//! Members, and what they acknowledge.

use http::StatusCode;
use ledger::State;
use ledger::governance::{Member, MemberId, MessageType, RecoveryRole, Status, members};
use serde::Serialize;
use serde_json::Value;

use super::signed::{read, require_signer, submit};
use super::{List, id};
use crate::answer::{self, Answer};
use crate::call::Call;
use crate::error::ApiError;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    member_id: MemberId,
    status: Status,
    member_data: Value,
    recovery_role: RecoveryRole,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_encryption_key: Option<String>,
}

impl Shown {
    fn of(state: &dyn State, id: MemberId, member: Member) -> Self {
        Self {
            member_id: id,
            status: member.status,
            member_data: member.member_data,
            recovery_role: member.recovery_role,
            certificate: members::cert(state, &id).map(|cert| cert.to_pem()),
            public_encryption_key: members::encryption_key(state, &id),
        }
    }
}

/// `GET /gov/service/members`
pub(crate) async fn list(call: Call) -> Result<Answer, ApiError> {
    let state = call.node().state();
    let all = members::all(state).into_iter();
    let value = all
        .map(|(id, member)| Shown::of(state, id, member))
        .collect();
    Ok(answer::json(&List { value }))
}

/// `GET /gov/service/members/{memberId}`
pub(crate) async fn show(call: Call) -> Result<Answer, ApiError> {
    let (state, id) = (call.node().state(), id(&call, "memberId")?);
    let member = members::read(state, &id)
        .ok_or_else(|| ApiError::not_found(format!("There is no member {id}.")))?;
    Ok(answer::json(&Shown::of(state, id, member)))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StateDigest {
    member_id: MemberId,
    state_digest: String,
}

fn shown_digest(call: &Call, id: MemberId) -> Result<Answer, ApiError> {
    let shown = members::acknowledgement(call.node().state(), &id);
    let shown = shown.ok_or_else(|| {
        ApiError::not_found(format!("Member {id} has no state digest to acknowledge."))
    })?;
    Ok(answer::json(&StateDigest {
        member_id: id,
        state_digest: shown.state_digest,
    }))
}

/// `GET /gov/members/state-digests/{memberId}`
pub(crate) async fn state_digest(call: Call) -> Result<Answer, ApiError> {
    let id = id(&call, "memberId")?;
    shown_digest(&call, id)
}

/// `POST /gov/members/state-digests/{memberId}:update`
pub(crate) async fn update_state_digest(mut call: Call) -> Result<Answer, ApiError> {
    let id = id(&call, "memberId")?;
    let request = read(&mut call, MessageType::StateDigest).await?;
    require_signer(&request, id)?;
    let transaction = submit(&call, request).await?;
    Ok(answer::with_transaction(
        shown_digest(&call, id)?,
        transaction,
    ))
}

/// `POST /gov/members/state-digests/{memberId}:ack`
pub(crate) async fn acknowledge(mut call: Call) -> Result<Answer, ApiError> {
    let id = id(&call, "memberId")?;
    let request = read(&mut call, MessageType::Ack).await?;
    require_signer(&request, id)?;
    let transaction = submit(&call, request).await?;
    Ok(answer::with_transaction(
        answer::empty(StatusCode::NO_CONTENT),
        transaction,
    ))
}
