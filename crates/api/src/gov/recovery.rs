//! Recovery shares: each member fetches its own, and gives it back after a disaster.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ledger::governance::{MemberId, MessageType};
use ledger::shares::RecoveryShares;
use serde::{Deserialize, Serialize};

use super::id;
use super::signed::{read, require_signer};
use crate::answer::{self, Answer};
use crate::call::Call;
use crate::error::{ApiError, Code};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EncryptedShare {
    member_id: MemberId,
    encrypted_share: String,
}

/// `GET /gov/recovery/encrypted-shares/{memberId}`
pub(crate) async fn encrypted_share(call: Call) -> Result<Answer, ApiError> {
    let id = id(&call, "memberId")?;
    let shares = RecoveryShares::read(call.node().state());
    let share = shares.and_then(|mut row| row.encrypted_shares.remove(&id.to_string()));
    let encrypted_share = share
        .ok_or_else(|| ApiError::not_found(format!("Recovery share not found for member {id}.")))?;
    Ok(answer::json(&EncryptedShare {
        member_id: id,
        encrypted_share,
    }))
}

/// What a member signs: CCF's `{"share": ...}`, or the share's base64 alone.
#[derive(Deserialize)]
struct Given {
    share: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Taken {
    message: String,
    submitted_count: usize,
    recovery_threshold: u64,
}

/// `POST /gov/recovery/members/{memberId}:recover`
pub(crate) async fn submit(mut call: Call) -> Result<Answer, ApiError> {
    let id = id(&call, "memberId")?;
    let request = read(&mut call, MessageType::RecoveryShare).await?;
    require_signer(&request, id)?;
    let share = share_in(&request.message().payload)?;
    let taken = call.node().submit_share(id, &share).await?;
    let (submitted, threshold) = (taken.submitted, taken.threshold);
    let mut message = format!("{submitted}/{threshold} recovery shares successfully submitted.");
    if taken.enough {
        message.push_str("\nEnd of recovery procedure initiated.");
    }
    let answer = answer::json(&Taken {
        message,
        submitted_count: submitted,
        recovery_threshold: threshold,
    });
    Ok(answer::with_transaction(answer, taken.id))
}

fn share_in(payload: &[u8]) -> Result<Vec<u8>, ApiError> {
    let no_share = || {
        let message = "A recovery share is {\"share\": \"...\"}, the share in base64.";
        ApiError::new(Code::InvalidInput, message)
    };
    let text = match serde_json::from_slice::<Given>(payload) {
        Ok(given) => given.share,
        Err(_) => String::from_utf8(payload.to_vec()).map_err(|_| no_share())?,
    };
    STANDARD.decode(text.trim()).map_err(|_| no_share())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_comes_as_json_or_alone() {
        for payload in [&br#"{"share": "AQID"}"#[..], b"AQID", b"AQID\n"] {
            assert_eq!(share_in(payload).unwrap(), [1, 2, 3]);
        }
        for payload in [&b"{}"[..], b"\xff", b"no base64!"] {
            assert!(share_in(payload).is_err());
        }
    }
}
