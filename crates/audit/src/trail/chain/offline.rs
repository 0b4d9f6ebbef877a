//! Checking an event of a chain with nothing at hand but its receipt.

use std::borrow::Cow;

use alloy_primitives::Address;
use connector::Trust;
use serde::Deserialize;
use verify::ethereum::Hex;

use super::document::{Document, InTree, TYPE};
use crate::trail::Receipt;

/// Why a receipt proves no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// It is none, or damaged.
    #[error("it is no receipt of an event in a contract: {0}")]
    Malformed(String),
    /// It is one, and does not hold.
    #[error("{0}")]
    Wrong(String),
}

/// Whether a document says that it is the receipt of an event in a contract.
pub fn is_chain_event(json: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Kind<'a> {
        #[serde(borrow)]
        r#type: Cow<'a, str>,
    }
    serde_json::from_slice::<Kind<'_>>(json).is_ok_and(|kind| kind.r#type == TYPE)
}

/// The event that a receipt proves to one who trusts this, in the tree of this root where one is demanded.
///
/// # Errors
/// Something in it does not follow from what is trusted.
pub fn check(
    receipt: &Receipt,
    trust: Trust<'_>,
    root: Option<Hex<20>>,
) -> Result<InTree, Unproven> {
    let document = Document::read(receipt).map_err(Unproven::Malformed)?;
    let root = root.map_or(document.root, |root| Address::from(root.0));
    document.proven(root, None, trust).map_err(Unproven::Wrong)
}
