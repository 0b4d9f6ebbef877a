//! Wishes: what members decided and only a node can do, because it takes a key, randomness or a
//! clock.
//!
//! # The contract
//!
//! An accepted action that no pure function can carry out leaves a row in [`WISHES`]:
//!
//! ```text
//! key    the action's name; where it is about one thing: name, ':', that thing's id
//! value  {"seqno": u64, "args": {...}}     the seqno that decided it, and the action's arguments
//! ```
//!
//! The leader looks at the table after each commit that wrote to it, and when it begins to lead. It
//! does what the row asks, and removes the row **in the same transaction** that records the effect
//! ([`take`] does it). So a wish is carried out at least once, and a leader that is lost on the way
//! leaves it to the next one. What cannot be done (a node that has gone, say) is removed likewise.
//! A later wish with the same key takes the place of an earlier one: asking twice for a new ledger
//! secret before the first is there gives one.
//!
//! | key | what the leader does |
//! |---|---|
//! | `trigger_ledger_rekey` | draws a new ledger secret |
//! | `trigger_recovery_shares_refresh` | draws new recovery shares for the members that take part |
//! | `trigger_ledger_chunk` | closes the ledger file after the batch in which the wish is taken |
//! | `trigger_snapshot` | makes a snapshot at the next signature |
//! | `transition_node_to_trusted:NODE` | endorses its certificate, makes it a voter, row to `Trusted` |
//! | `remove_node:NODE` | takes it out of the voters; when it is out, row to `Retired` |
//! | `set_node_certificate_validity:NODE` | endorses a certificate of that validity |
//! | `set_all_nodes_certificate_validity` | the same for all nodes |
//! | `set_service_certificate_validity` | renews the service's certificate |

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{json, row};
use crate::kv::{State, Tx};
use crate::tables::WISHES;

/// Draws a new ledger secret.
pub const REKEY: &str = "trigger_ledger_rekey";
/// Draws new recovery shares.
pub const REFRESH_SHARES: &str = "trigger_recovery_shares_refresh";
/// Closes the ledger file.
pub const CHUNK: &str = "trigger_ledger_chunk";
/// Makes a snapshot.
pub const SNAPSHOT: &str = "trigger_snapshot";
/// Lets a node take part.
pub const TRUST_NODE: &str = "transition_node_to_trusted";
/// Lets a node take part no longer.
pub const REMOVE_NODE: &str = "remove_node";
/// Renews a node's certificate.
pub const NODE_CERT: &str = "set_node_certificate_validity";
/// Renews the certificates of all nodes.
pub const ALL_NODE_CERTS: &str = "set_all_nodes_certificate_validity";
/// Renews the service's certificate.
pub const SERVICE_CERT: &str = "set_service_certificate_validity";

/// Something that was decided and is still to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// The seqno of the transaction that decided it.
    pub seqno: u64,
    /// The action's arguments.
    pub args: Value,
}

/// All wishes by key, sorted.
pub fn all(state: &dyn State) -> Vec<(String, Wish)> {
    let rows = state.values(&WISHES).into_iter();
    rows.filter_map(|(key, _)| {
        let wish = row(state, &WISHES, &key)?;
        Some((String::from_utf8(key).ok()?, wish))
    })
    .collect()
}

/// Splits a key into the action's name and what it is about.
pub fn split_key(key: &str) -> (&str, Option<&str>) {
    match key.split_once(':') {
        Some((action, about)) => (action, Some(about)),
        None => (key, None),
    }
}

/// The nodes that are to be removed, by id. Until it decides no more, such a node is `Trusted`: it may
/// lead, and what it signs counts.
pub fn leaving(state: &dyn State) -> Vec<String> {
    all(state)
        .iter()
        .filter_map(|(key, _)| match split_key(key) {
            (REMOVE_NODE, Some(id)) => Some(id.to_owned()),
            _ => None,
        })
        .collect()
}

/// Removes a wish that this transaction carries out, and returns it; `None` where somebody else did.
pub fn take(tx: &mut Tx<'_>, key: &str) -> Option<Wish> {
    let wish = row(tx, &WISHES, key.as_bytes())?;
    tx.remove(WISHES, key.as_bytes());
    Some(wish)
}

/// Records a wish of the proposal, or the acknowledgement, that this transaction decides.
pub(super) fn record(tx: &mut Tx<'_>, action: &str, about: Option<&str>, args: &Value) {
    let key = match about {
        Some(about) => format!("{action}:{about}"),
        None => action.to_owned(),
    };
    let wish = Wish {
        seqno: tx.seqno().0,
        args: args.clone(),
    };
    tx.put(WISHES, key.into_bytes(), json(&wish));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kv::{MemoryState, Rejection};
    use verify::Digest;

    fn done(_: &mut Tx<'_>) -> Result<Digest, Rejection> {
        Ok(Digest::ZERO)
    }

    #[test]
    fn a_wish_is_there_until_somebody_takes_it() {
        let mut state = MemoryState::default();
        state
            .run(|tx: &mut Tx<'_>| {
                record(tx, REMOVE_NODE, Some("ab"), &json!({"node_id": "ab"}));
                record(tx, REKEY, None, &Value::Null);
                record(tx, REKEY, None, &Value::Null);
                done(tx)
            })
            .unwrap();
        let keys: Vec<_> = all(&state).into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["remove_node:ab", "trigger_ledger_rekey"]);
        assert_eq!(split_key(&keys[0]), (REMOVE_NODE, Some("ab")));
        assert_eq!(split_key(&keys[1]), (REKEY, None));
        state
            .run(|tx: &mut Tx<'_>| {
                assert!(take(tx, REKEY).is_some());
                assert!(take(tx, REKEY).is_none());
                done(tx)
            })
            .unwrap();
        assert_eq!(all(&state).len(), 1);
    }
}
