//! The constitution and the members.

use aws_lc_rs::digest::{SHA256, digest};
use ledger::service;
use serde::Serialize;

use crate::answer::{self, Answer};
use crate::call::Call;
use crate::error::ApiError;

/// `GET /app/governance/constitution`
pub(crate) async fn constitution(call: Call) -> Result<Answer, ApiError> {
    #[derive(Serialize)]
    struct Constitution {
        digest: String,
        script: String,
    }
    let script = service::constitution(call.node().state())
        .ok_or_else(|| ApiError::not_found("The ledger has no constitution."))?;
    let digest = hex::encode(digest(&SHA256, script.as_bytes()));
    Ok(answer::json(&Constitution { digest, script }))
}

/// `GET /app/governance/members`
pub(crate) async fn members(call: Call) -> Result<Answer, ApiError> {
    #[derive(Serialize)]
    struct Member {
        certificate: String,
        id: String,
    }
    #[derive(Serialize)]
    struct Members {
        members: Vec<Member>,
    }
    let members = service::members(call.node().state()).into_iter();
    let members = members
        .map(|(id, certificate)| Member { certificate, id })
        .collect();
    Ok(answer::json(&Members { members }))
}
