//! `/gov`: CCF's governance API, version 2024-07-01. Members sign what they send ([`signed`]); what
//! they decided, anybody may read.

pub(crate) mod members;
pub(crate) mod proposals;
pub(crate) mod recovery;
pub(crate) mod service;
mod signed;

use serde::Serialize;
use verify::Digest;

use crate::call::Call;
use crate::error::{ApiError, Code};

/// A list, as CCF shows it.
#[derive(Serialize)]
struct List<T> {
    value: Vec<T>,
}

/// The id of a member, a proposal or a node in the path.
fn id(call: &Call, name: &'static str) -> Result<Digest, ApiError> {
    let text = call.named(name)?;
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(80).collect();
        let message = format!("{shown:?} is no {name}: those have 64 hex digits.");
        ApiError::new(Code::InvalidResourceName, message)
    })
}
