//! Events as sentences.

use serde_json::Value;

use super::{Event, What};
use crate::governance::json;
use crate::governance::proposals::ProposalState;

impl Event {
    /// The event as a sentence, without its transaction.
    pub fn sentence(&self) -> String {
        let who = match (&self.member_name, &self.member_id) {
            (Some(name), _) => name.clone(),
            (None, Some(id)) => format!("member {}", short(id)),
            (None, None) => "the service".to_owned(),
        };
        match &self.what {
            What::Founded { members } => format!("the ledger was founded by {}", list(members)),
            What::Service { status } => format!("the service is {status}"),
            What::Proposed {
                proposal_id,
                actions,
            } => {
                let actions: Vec<_> = actions.as_array().into_iter().flatten().collect();
                let actions: Vec<_> = actions.into_iter().map(action_in_words).collect();
                format!("{who} proposed {}: {}", short(proposal_id), list(&actions))
            }
            What::Voted { proposal_id, yes } => {
                let word = if *yes { "yes" } else { "no" };
                format!("{who} said {word} to {}", short(proposal_id))
            }
            What::Withdrew { proposal_id } => format!("{who} withdrew {}", short(proposal_id)),
            What::Acknowledged => format!("{who} acknowledged the state"),
            What::AskedForDigest => format!("{who} asked for the state to acknowledge"),
            What::Decided {
                proposal_id,
                state,
                yes,
                no,
                failure,
            } => {
                let mut text = format!("{} was {}", short(proposal_id), outcome(*state));
                text.push_str(&format!(" (yes: {}; no: {})", list(yes), list(no)));
                if let Some(failure) = failure {
                    text.push_str(&format!(": {failure}"));
                }
                text
            }
            What::Member { about, status } => match status {
                Some(status) => format!("{about} is a member, {status}"),
                None => format!("{about} is no member any more"),
            },
            What::User { user_id, roles } => match roles {
                Some(roles) => format!("user {user_id} is {}", list(&texts(roles))),
                None => format!("user {user_id} is no user any more"),
            },
            What::Role { role_name, actions } => match actions {
                Some(actions) => format!("role {role_name} allows {}", list(&texts(actions))),
                None => format!("role {role_name} is no more"),
            },
            What::Node { node_id, status } => match status {
                Some(status) => format!("node {} is {status}", cut(node_id)),
                None => format!("node {} is gone", cut(node_id)),
            },
            What::Wished { wish } => format!("the nodes are to do: {wish}"),
            What::Fulfilled { wish } => format!("the nodes did: {wish}"),
            What::Wrong { why } => format!("WRONG: {why}"),
        }
    }
}

fn outcome(state: ProposalState) -> &'static str {
    match state {
        ProposalState::Open => "opened",
        ProposalState::Accepted => "accepted",
        ProposalState::Rejected => "rejected",
        ProposalState::Withdrawn => "withdrawn",
        ProposalState::Failed => "accepted, but could not be done",
        ProposalState::Dropped => "dropped, as who votes or how has changed",
    }
}

fn action_in_words(action: &Value) -> String {
    let name = action["name"].as_str().unwrap_or_default();
    let args = action["args"].as_object().into_iter().flatten();
    let args: Vec<_> = args
        .map(|(name, value)| {
            let value = match value {
                Value::String(text) if text.starts_with("-----BEGIN") => "(PEM)".to_owned(),
                Value::String(text) => text.clone(),
                other => String::from_utf8_lossy(&json(other)).into_owned(),
            };
            let mut shown: String = value.chars().take(60).collect();
            if shown.len() < value.len() {
                shown.push('…');
            }
            format!("{name}={shown}")
        })
        .collect();
    match args.is_empty() {
        true => name.to_owned(),
        false => format!("{name} ({})", args.join(", ")),
    }
}

fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items
        .filter_map(|item| Some(item.as_str()?.to_owned()))
        .collect()
}

fn list(items: &[String]) -> String {
    match items.is_empty() {
        true => "nobody".to_owned(),
        false => items.join(", "),
    }
}

pub(super) fn short(id: &verify::Digest) -> String {
    cut(&id.to_string())
}

fn cut(id: &str) -> String {
    id.chars().take(8).collect()
}
