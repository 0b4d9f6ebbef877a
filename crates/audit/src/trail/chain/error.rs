//! What chains and outboxes refuse, and who is to blame.

use alloy_primitives::Address;
use connector::{AnchorError, NetworkError, OutboxError};

use super::abi::refusal;
use super::document::in_words;
use crate::Problem;
use crate::trail::log::LogError;

/// Why a chain cannot be used: the operator has to look.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// Receipts of a ledger are checked with its service certificate: name it.
    #[error("receipts of this network are checked with a service certificate, and none was given")]
    NoCertificate,
    /// The database was made for another tree: use its own, or correct the root's address.
    #[error("the database is of the tree {kept}, and the settings name {named}")]
    OtherRoot {
        /// What the settings say.
        named: Address,
        /// What the database has.
        kept: Address,
    },
    /// The database does not answer.
    #[error("asking the database for the tree")]
    Database(#[source] sqlx::Error),
    /// The network's rules are older than the contracts: use another network, or have it upgraded.
    #[error(
        "the chain does not know all instructions of the contracts: it needs the rules of Cancun, or newer ones"
    )]
    OldRules,
    /// Proofs cannot be made with this node: use another.
    #[error("the node does not know eth_getBlockReceipts, of which proofs are made")]
    NoReceipts,
    /// Another chain with the same id, or a node that has not caught up.
    #[error(
        "the chain has nothing at {0}, where the root of the tree should be: it is another chain, or the node is \
         behind"
    )]
    NoTree(Address),
    /// The network cannot be reached, or is another one.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The outboxes that number the accounts' transactions are in another folder: start where that is. Two
    /// would use the same numbers.
    #[error(
        "the database belongs to outboxes in another folder, that of the audit service which began"
    )]
    OtherOutboxes,
    /// The folder of the outboxes cannot be used, or another process has it.
    #[error(transparent)]
    Folder(#[from] OutboxError),
}

/// A node speaks of a contract's refusal with this code, and some with a code for everything.
const REVERTED: i64 = 3;
/// Callers without the right: ours to mend.
const UNAUTHORIZED: i64 = 4100;

pub(super) fn of_network(error: NetworkError) -> LogError {
    match &error {
        NetworkError::Refused {
            code,
            message,
            data,
            ..
        } => {
            if *code == REVERTED || message.contains("revert") {
                return forbidden(data.as_deref().unwrap_or_default());
            }
            if *code == UNAUTHORIZED {
                return LogError::Refused(in_words(&error));
            }
            LogError::InDoubt(in_words(&error))
        }
        NetworkError::Setup(_) | NetworkError::WrongChain { .. } => {
            LogError::Refused(in_words(&error))
        }
        _ => LogError::InDoubt(in_words(&error)),
    }
}

pub(super) fn of_outbox(error: OutboxError) -> LogError {
    match error {
        OutboxError::Network(error) => of_network(error),
        // The words are the node's, and a contract's data stands behind the last blank.
        OutboxError::Failed { reason, .. } => {
            forbidden(reason.rsplit(' ').next().unwrap_or_default())
        }
        OutboxError::DataTooLong(_) | OutboxError::Gas { .. } | OutboxError::Replaced { .. } => {
            LogError::Never(in_words(&error))
        }
        OutboxError::Signer(_)
        | OutboxError::Reference
        | OutboxError::ReferenceTaken(_)
        | OutboxError::Corrupt { .. }
        | OutboxError::Another { .. }
        | OutboxError::KeyUsedElsewhere { .. } => LogError::Refused(in_words(&error)),
        _ => LogError::InDoubt(in_words(&error)),
    }
}

pub(super) fn of_proof(error: AnchorError) -> LogError {
    match error {
        AnchorError::Network(error) => LogError::InDoubt(in_words(&error)),
        error => LogError::Proof(in_words(&error)),
    }
}

fn forbidden(data: &str) -> LogError {
    let why = refusal(data).unwrap_or("it is not this participant's to do");
    LogError::Told(not_permitted(why))
}

/// What a contract refused with, if a transaction failed for that: the node's words end with it.
pub(super) fn refusal_in(reason: &str) -> Option<Problem> {
    refusal(reason.rsplit(' ').next()?).map(not_permitted)
}

fn not_permitted(why: &str) -> Problem {
    Problem::not_permitted(format!("the contract refuses: {why}"))
}
