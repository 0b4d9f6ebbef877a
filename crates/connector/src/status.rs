//! What became of a transaction.

use alloy_primitives::{BlockHash, TxHash};
use serde::{Deserialize, Serialize};

use crate::network::Receipt;

/// A place in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The block's number.
    pub number: u64,
    /// The block's hash: another block may take the number until it is final.
    pub hash: BlockHash,
}

/// Where a transaction is, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// On disk here; no node has taken it yet.
    Queued {
        /// What a node said that refused it, if one did. It is sent again all the same: a refusal may
        /// pass, and the number must not be used for anything else.
        refusal: Option<String>,
    },
    /// A node has it.
    Sent,
    /// In a block that may still be replaced.
    Mined {
        /// The block.
        block: Place,
    },
    /// In a block for good.
    Final {
        /// The transaction, one of several if its price was raised.
        hash: TxHash,
        /// The block.
        block: Place,
    },
    /// In a block for good, and it did nothing: it was reverted.
    Failed {
        /// The transaction.
        hash: TxHash,
        /// What is known of why.
        reason: String,
    },
    /// A transaction that was not signed here took its number, for good.
    Replaced,
}

impl Status {
    /// Whether nothing can change any more.
    pub const fn is_settled(&self) -> bool {
        matches!(
            self,
            Self::Final { .. } | Self::Failed { .. } | Self::Replaced
        )
    }
}

/// A transaction that succeeded for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// What the network says of it.
    pub receipt: Receipt,
    /// The block.
    pub block: Place,
}

/// How a transaction ended, as the outbox keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "end",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub(crate) enum Outcome {
    Succeeded { hash: TxHash, block: Place },
    Failed { hash: TxHash, reason: String },
    Replaced {},
}

impl Outcome {
    pub(crate) fn status(&self) -> Status {
        match self.clone() {
            Self::Succeeded { hash, block } => Status::Final { hash, block },
            Self::Failed { hash, reason } => Status::Failed { hash, reason },
            Self::Replaced {} => Status::Replaced,
        }
    }
}
