//! Whether a chain of others can have the contracts, and whether it has those that are known here: better said at
//! the start than by the first event.

use alloy_primitives::{Address, Bytes};
use connector::Network;

use super::error::ChainError;

/// Makes an empty contract, by all rules.
const OLD: Bytes = Bytes::from_static(&[0x00]);
/// The same, and copies nothing in memory: `MCOPY` of EIP-5656, the newest instruction that the contracts have.
const NEW: Bytes = Bytes::from_static(&[0x5f, 0x5f, 0x5f, 0x5e, 0x00]);

/// Refuses a chain without what the contracts need, and one without the tree of this root.
pub(super) async fn check(network: &Network, root: Option<Address>) -> Result<(), ChainError> {
    if let Some(root) = root
        && network.code(root).await?.is_empty()
    {
        return Err(ChainError::NoTree(root));
    }
    // A node that tries neither for nobody says nothing of the chain.
    if !network.executes(&NEW).await? && network.executes(&OLD).await? {
        return Err(ChainError::OldRules);
    }
    match network.knows_receipts().await? {
        true => Ok(()),
        false => Err(ChainError::NoReceipts),
    }
}
