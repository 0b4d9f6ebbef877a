//! Why a member's request is refused. Nothing was recorded.

use super::members::MemberId;
use super::proposals::{ProposalId, ProposalState};
use crate::limits::{OPEN_PROPOSALS_PER_MEMBER_MAX, RECENT_PROPOSALS};

/// Why a member's request is refused. The member is to blame unless it says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Ask the members to propose `set_member` with your certificate.
    #[error("nobody with the id {0} is a member of this ledger")]
    NotAMember(MemberId),
    /// Acknowledge the state first: `counterfoil member ack`.
    #[error("member {0} is not active: it must acknowledge a state digest first")]
    NotActive(MemberId),
    /// Check the id; proposals that were decided long ago are in the ledger files only.
    #[error("there is no proposal {0}")]
    ProposalNotFound(ProposalId),
    /// It was decided. Propose anew if it did not go as you wished.
    #[error("proposal {id} is not open any more: it is {state}")]
    ProposalNotOpen {
        /// The proposal.
        id: ProposalId,
        /// What became of it.
        state: ProposalState,
    },
    /// Only who made a proposal takes it back. Others vote no.
    #[error("only member {proposer} can withdraw this proposal")]
    NotTheProposer {
        /// Who can.
        proposer: MemberId,
    },
    /// The same message was sent before.
    #[error("this proposal was made before, as {0}; sign a new one")]
    ProposalReplay(ProposalId),
    /// Sign it again, with a clock that is right.
    #[error(
        "the proposal was created at {created_at}, before {earliest}: that is earlier than half of \
         the last {RECENT_PROPOSALS} proposals"
    )]
    CreatedTooLongAgo {
        /// When the message says that it was created, seconds since 1970.
        created_at: u64,
        /// The earliest time that is taken now.
        earliest: u64,
    },
    /// Correct the clock.
    #[error("{0} is no time in seconds since 1970 that a proposal can be created at")]
    InvalidCreatedAt(u64),
    /// Correct the proposal: the text says which action and which field.
    #[error("the proposal is not valid: {0}")]
    FailedToValidate(String),
    /// Withdraw one, or wait until one is decided.
    #[error("member {0} has {OPEN_PROPOSALS_PER_MEMBER_MAX} open proposals, which is the limit")]
    TooManyOpen(MemberId),
    /// A ballot cannot be changed.
    #[error("member {0} voted on this proposal before")]
    VoteAlreadyExists(MemberId),
    /// Write a plain yes or no.
    #[error(
        "the ballot cannot be read: write {{\"ballot\": true}}, {{\"ballot\": false}}, or a function \
         that returns nothing but true or false, such as \
         \"export function vote (proposal, proposerId) {{ return true }}\". Programs are not run"
    )]
    BallotUnreadable,
    /// Sign the digest that the ledger shows: fetch it again.
    #[error("the state digest to acknowledge is {expected}, not {found}")]
    StateDigestMismatch {
        /// What the ledger shows.
        expected: String,
        /// What was signed.
        found: String,
    },
    /// Ask for a digest first, with a `state_digest` message.
    #[error("member {0} has no state digest to acknowledge")]
    NoStateDigest(MemberId),
    /// The payload is not what this type of message holds.
    #[error("the message cannot be read: {0}")]
    Unreadable(&'static str),
}
