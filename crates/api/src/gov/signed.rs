//! Taking what members sign.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ledger::governance::{MessageType, SignedRequest, members};
use ledger::limits::GOVERNANCE_MESSAGE_BYTES_MAX;
use node::Wait;
use verify::TxId;

use crate::call::Call;
use crate::error::{ApiError, Code};
use crate::limits::GOVERNANCE_AHEAD_SECS;
use crate::transactions::blocking;

/// The message in the body, of this type, its signature checked.
///
/// # Errors
/// It is no such message, or not signed by a member.
pub(super) async fn read(call: &mut Call, kind: MessageType) -> Result<SignedRequest, ApiError> {
    let body = call.cose_bytes(GOVERNANCE_MESSAGE_BYTES_MAX).await?;
    let node = Arc::clone(call.node());
    // A signature of P-384 takes a millisecond or so.
    let verified = blocking(move || {
        SignedRequest::verify(&body, |member| members::cert(node.state(), member))
    });
    let request = verified.await??;
    let message = request.message();
    if message.kind != kind {
        let message = format!(
            "The message's ccf.gov.msg.type is {}; this address takes {}.",
            message.kind.name(),
            kind.name()
        );
        return Err(ApiError::new(Code::InvalidAuthenticationInfo, message));
    }
    let latest = now().saturating_add(GOVERNANCE_AHEAD_SECS);
    if kind == MessageType::Proposal && message.created_at > latest {
        let message = format!(
            "The proposal's ccf.gov.msg.created_at, {}, is in the future: check your clock.",
            message.created_at
        );
        return Err(ApiError::new(Code::InvalidCreatedAt, message));
    }
    Ok(request)
}

/// Refuses a message that was sent to another member's address.
pub(super) fn require_signer(
    request: &SignedRequest,
    in_path: verify::Digest,
) -> Result<(), ApiError> {
    if request.signer() == in_path {
        return Ok(());
    }
    let message = "The member who signed is not the one in the address.";
    Err(ApiError::new(Code::InvalidResourceName, message))
}

/// Refuses a message about another proposal than that in the address.
pub(super) fn require_proposal(
    request: &SignedRequest,
    in_path: verify::Digest,
) -> Result<(), ApiError> {
    if request.message().proposal == Some(in_path) {
        return Ok(());
    }
    let message = "The proposal that was signed for is not the one in the address.";
    Err(ApiError::new(Code::InvalidResourceName, message))
}

/// Runs it and waits until it is committed.
pub(super) async fn submit(call: &Call, request: SignedRequest) -> Result<TxId, ApiError> {
    let submitted = call.node().submit(Box::new(request), Wait::Committed);
    Ok(submitted.await??)
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
