//! Proposals and ballots.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::header::HeaderValue;
use ledger::governance::proposals::{self, Failure};
use ledger::governance::{MessageType, ProposalId, ProposalInfo, ProposalState};
use serde::Serialize;
use verify::TxId;

use super::signed::{read, require_proposal, require_signer, submit};
use super::{List, id};
use crate::answer::{self, Answer};
use crate::call::Call;
use crate::error::{ApiError, Code};
use crate::transactions::blocking;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Proposal {
    proposal_id: ProposalId,
    proposer_id: String,
    proposal_state: ProposalState,
    ballot_count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    final_votes: Option<BTreeMap<String, bool>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
}

impl Proposal {
    fn of(id: ProposalId, info: ProposalInfo) -> Self {
        Self {
            proposal_id: id,
            proposer_id: info.proposer_id,
            proposal_state: info.state,
            ballot_count: info.ballots.len(),
            final_votes: info.final_votes,
            failure: info.failure,
        }
    }
}

/// `GET /gov/members/proposals`
pub(crate) async fn list(call: Call) -> Result<Answer, ApiError> {
    let node = Arc::clone(call.node());
    let all = blocking(move || proposals::all(node.state())).await?;
    let value = all.into_iter().map(|(id, info)| Proposal::of(id, info));
    Ok(answer::json(&List {
        value: value.collect(),
    }))
}

/// `POST /gov/members/proposals:create`
pub(crate) async fn create(mut call: Call) -> Result<Answer, ApiError> {
    let request = read(&mut call, MessageType::Proposal).await?;
    let id = request.message().digest();
    let transaction = submit(&call, request).await?;
    show_after(&call, id, transaction)
}

/// `GET /gov/members/proposals/{proposalId}`
pub(crate) async fn show(call: Call) -> Result<Answer, ApiError> {
    let id = id(&call, "proposalId")?;
    Ok(answer::json(&Proposal::of(id, find(&call, id)?)))
}

/// `POST /gov/members/proposals/{proposalId}:withdraw`
pub(crate) async fn withdraw(mut call: Call) -> Result<Answer, ApiError> {
    let id = id(&call, "proposalId")?;
    let request = read(&mut call, MessageType::Withdrawal).await?;
    require_proposal(&request, id)?;
    let transaction = submit(&call, request).await?;
    show_after(&call, id, transaction)
}

/// `GET /gov/members/proposals/{proposalId}/actions`
pub(crate) async fn actions(call: Call) -> Result<Answer, ApiError> {
    let id = id(&call, "proposalId")?;
    let text = proposals::text(call.node().state(), &id).ok_or_else(|| not_found(id))?;
    Ok(answer::whole(answer::JSON, text))
}

/// `POST /gov/members/proposals/{proposalId}/ballots/{memberId}:submit`
pub(crate) async fn vote(mut call: Call) -> Result<Answer, ApiError> {
    let (proposal, member) = (id(&call, "proposalId")?, id(&call, "memberId")?);
    let request = read(&mut call, MessageType::Ballot).await?;
    require_proposal(&request, proposal)?;
    require_signer(&request, member)?;
    let transaction = submit(&call, request).await?;
    show_after(&call, proposal, transaction)
}

/// `GET /gov/members/proposals/{proposalId}/ballots/{memberId}`
pub(crate) async fn ballot(call: Call) -> Result<Answer, ApiError> {
    let (proposal, member) = (id(&call, "proposalId")?, id(&call, "memberId")?);
    let mut info = find(&call, proposal)?;
    let ballot = info.ballots.remove(&member.to_string()).ok_or_else(|| {
        let message = format!("Member {member} has not voted on proposal {proposal}.");
        ApiError::new(Code::VoteNotFound, message)
    })?;
    Ok(answer::whole(
        HeaderValue::from_static("text/javascript"),
        ballot,
    ))
}

fn find(call: &Call, id: ProposalId) -> Result<ProposalInfo, ApiError> {
    proposals::info(call.node().state(), &id).ok_or_else(|| not_found(id))
}

fn not_found(id: ProposalId) -> ApiError {
    let message = format!("There is no proposal {id}.");
    ApiError::new(Code::ProposalNotFound, message)
}

/// The proposal as it is after a transaction was committed.
fn show_after(call: &Call, id: ProposalId, transaction: TxId) -> Result<Answer, ApiError> {
    let shown = answer::json(&Proposal::of(id, find(call, id)?));
    Ok(answer::with_transaction(shown, transaction))
}
