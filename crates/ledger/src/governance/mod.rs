//! How members govern: signed messages, proposals, ballots, and the rules that decide.
//!
//! Members sign COSE_Sign1 messages ([`message`]) in CCF's form. A [`SignedRequest`], whose signature
//! was checked, is a transaction: it proposes, votes, withdraws or acknowledges. [`resolve`] says
//! when a proposal is accepted, by [`settings`] that are themselves changed by proposal, and
//! [`actions`] says what a proposal can do. Every step is a row of a public table, so [`story`] can
//! tell from the ledger files alone who decided what.
//!
//! The same rules in words are the constitution, `constitution.txt`.

pub mod actions;
pub mod ballot;
pub mod members;
pub mod message;
pub mod proposals;
mod recent;
pub mod refusal;
mod request;
pub mod resolve;
pub mod settings;
pub mod story;
#[cfg(test)]
pub(crate) mod testing;
pub mod wishes;

pub use actions::{jwt, service};
pub use ballot::Ballot;
pub use members::{FoundingMember, Member, MemberId, RecoveryRole, Status};
pub use message::{Message, MessageType};
pub use proposals::{ProposalId, ProposalInfo, ProposalState};
pub use refusal::Refusal;
pub use request::SignedRequest;
pub use settings::{Quorum, Settings};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::kv::State;
use crate::tables::Table;

/// The rules in words, as they are recorded when a ledger is created.
pub const CONSTITUTION_TEXT: &str = include_str!("../constitution.txt");

/// A row as JSON; `None` where there is none.
///
/// # Panics
/// If the row is not what this code wrote: the ledger is from another version, and going on would
/// make replicas differ.
fn row<T: DeserializeOwned>(state: &dyn State, table: &Table, key: &[u8]) -> Option<T> {
    let bytes = state.value(table, key)?;
    Some(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
        panic!("a row of {table} is not what its name says: {error}");
    }))
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("rows are strings, numbers, lists and maps")
}

#[cfg(test)]
mod tests {
    use super::CONSTITUTION_TEXT;
    use super::settings::{ROUTINE, Settings};
    use crate::limits::{OPEN_PROPOSALS_PER_MEMBER_MAX, RECENT_PROPOSALS};

    #[test]
    fn the_constitution_names_the_numbers_and_defaults_of_the_code() {
        let text = CONSTITUTION_TEXT;
        assert!(text.contains(&format!("the last {RECENT_PROPOSALS}")));
        assert!(text.contains(&format!(
            "has {OPEN_PROPOSALS_PER_MEMBER_MAX} open at the most"
        )));
        let settings = Settings::default();
        assert!(!settings.veto && text.contains("[they do not]"));
        assert!(settings.action_quorums.is_empty() && text.contains("[the same\n    for all]"));
        let routine: Vec<_> = settings
            .operator_actions
            .iter()
            .map(String::as_str)
            .collect();
        assert_eq!(routine, ROUTINE, "sorted, as rule 16 names them");
        assert_eq!(ROUTINE.len(), 6);
    }
}
