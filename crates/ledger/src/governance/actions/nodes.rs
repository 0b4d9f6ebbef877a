//! Actions about nodes. What takes a key or a change of the voters is left to the leader
//! ([`crate::governance::wishes`]).

use serde_json::Value;
use verify::Digest;

use super::Parsed;
use super::args::{Args, free_data, id, moment, number};
use super::service::validity_max;
use crate::governance::wishes::{self, ALL_NODE_CERTS, NODE_CERT, REMOVE_NODE, TRUST_NODE};
use crate::governance::{json, row};
use crate::kv::Tx;
use crate::limits::VALIDITY_DAYS_MAX;
use crate::nodes::{NodeRow, NodeStatus, nodes};
use crate::tables::{NODE_CERTS, NODES};

pub(super) fn transition_node_to_trusted(args: &mut Args<'_>) -> Parsed {
    let all = args.all();
    let node = args.required("node_id", id)?;
    args.optional("valid_from", moment)?;
    let days = validity(args)?;
    Ok(Box::new(move |tx| {
        let (status, _) = existing(tx, &node)?;
        if status != "Pending" {
            return Err(format!("node {node} is {status}, not Pending"));
        }
        check_validity(tx, days)?;
        wishes::record(tx, TRUST_NODE, Some(&node.to_string()), &all);
        Ok(())
    }))
}

pub(super) fn remove_node(args: &mut Args<'_>) -> Parsed {
    let all = args.all();
    let node = args.required("node_id", id)?;
    Ok(Box::new(move |tx| {
        let (status, _) = existing(tx, &node)?;
        let key = node.to_string();
        match status.as_str() {
            // It takes part in nothing yet: nobody has to let go of it.
            "Pending" => {
                tx.remove(NODES, key.as_bytes());
                if tx.value(&NODE_CERTS, key.as_bytes()).is_some() {
                    tx.remove(NODE_CERTS, key.as_bytes());
                }
            }
            "Retired" => return Err(format!("node {node} is Retired already")),
            _ if !others_stay(tx, &key) => {
                return Err(format!("no other node would be left without node {node}"));
            }
            _ => wishes::record(tx, REMOVE_NODE, Some(&key), &all),
        }
        Ok(())
    }))
}

pub(super) fn set_node_data(args: &mut Args<'_>) -> Parsed {
    let node = args.required("node_id", id)?;
    let data = args.optional("node_data", free_data)?;
    let data = data.unwrap_or(Value::Null);
    Ok(Box::new(move |tx| {
        let (_, mut info) = existing(tx, &node)?;
        info["node_data"] = data.clone();
        tx.put(NODES, node.to_string().as_bytes(), json(&info));
        Ok(())
    }))
}

pub(super) fn set_node_certificate_validity(args: &mut Args<'_>) -> Parsed {
    let all = args.all();
    let node = args.required("node_id", id)?;
    args.required("valid_from", moment)?;
    let days = validity(args)?;
    Ok(Box::new(move |tx| {
        let (status, _) = existing(tx, &node)?;
        if status != "Trusted" {
            return Err(format!("node {node} is {status}, not Trusted"));
        }
        check_validity(tx, days)?;
        wishes::record(tx, NODE_CERT, Some(&node.to_string()), &all);
        Ok(())
    }))
}

pub(super) fn set_all_nodes_certificate_validity(args: &mut Args<'_>) -> Parsed {
    let all = args.all();
    args.required("valid_from", moment)?;
    let days = validity(args)?;
    Ok(Box::new(move |tx| {
        check_validity(tx, days)?;
        wishes::record(tx, ALL_NODE_CERTS, None, &all);
        Ok(())
    }))
}

fn validity(args: &mut Args<'_>) -> Result<Option<u64>, String> {
    args.optional("validity_period_days", number(1..=VALIDITY_DAYS_MAX))
}

fn check_validity(tx: &Tx<'_>, days: Option<u64>) -> Result<(), String> {
    let limit = validity_max(tx, "maximum_node_certificate_validity_days");
    match days {
        Some(days) if days > limit => Err(format!(
            "{days} days are more than the service's limit of {limit}"
        )),
        _ => Ok(()),
    }
}

/// A node's status and its whole row.
fn existing(tx: &Tx<'_>, node: &Digest) -> Result<(String, Value), String> {
    let info: Value = row(tx, &NODES, node.to_string().as_bytes())
        .ok_or_else(|| format!("there is no node {node}"))?;
    let status = info["status"].as_str().unwrap_or_default().to_owned();
    Ok((status, info))
}

/// Whether a trusted node is left when this one and those that leave already are gone.
fn others_stay(tx: &Tx<'_>, node: &str) -> bool {
    let leaving = wishes::leaving(tx);
    let stays = |row: &NodeRow| {
        row.status == NodeStatus::Trusted && row.id != node && !leaving.contains(&row.id)
    };
    nodes(tx).iter().any(stays)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::governance::testing::{act, invalid};
    use crate::kv::MemoryState;
    use crate::nodes::PutNode;

    fn put(state: &mut MemoryState, id: &str, status: NodeStatus) {
        let node = NodeRow {
            id: id.to_owned(),
            status,
            public_key: "AQID".to_owned(),
            platform: "Virtual".to_owned(),
            evidence: Value::Null,
            nonce: String::new(),
            address: "localhost:1".to_owned(),
            peer_address: None,
            subject_alt_names: Vec::new(),
            cert: None,
            cert_ends_at: 0,
            data: Value::Null,
        };
        state.run(PutNode { node }).unwrap();
    }

    /// A ledger with one node of this status.
    fn with_node(status: NodeStatus) -> (MemoryState, String) {
        let mut state = MemoryState::default();
        let id = Digest::of(b"node").to_string();
        put(&mut state, &id, status);
        (state, id)
    }

    fn wishes_of(state: &MemoryState) -> Vec<String> {
        wishes::all(state).into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn a_node_that_waits_is_trusted_and_only_such_a_one() {
        let (mut state, id) = with_node(NodeStatus::Pending);
        let args = json!({ "node_id": id, "valid_from": "260131235959Z" });
        act(&mut state, "transition_node_to_trusted", args.clone()).unwrap();
        let (key, wish) = &wishes::all(&state)[0];
        assert_eq!(*key, format!("transition_node_to_trusted:{id}"));
        assert_eq!(wish.args, args);
        let (mut state, _) = with_node(NodeStatus::Trusted);
        assert!(act(&mut state, "transition_node_to_trusted", args).is_err());
        invalid("transition_node_to_trusted", json!({ "node_id": "x" }));
        let args = json!({ "node_id": id, "validity_period_days": 0 });
        invalid("transition_node_to_trusted", args);
    }

    #[test]
    fn a_node_that_takes_part_leaves_when_the_leader_says_so() {
        let (mut state, id) = with_node(NodeStatus::Trusted);
        let last = act(&mut state, "remove_node", json!({ "node_id": id })).unwrap_err();
        assert!(last.contains("no other node"), "{last}");
        let other = Digest::of(b"other").to_string();
        put(&mut state, &other, NodeStatus::Trusted);
        act(&mut state, "remove_node", json!({ "node_id": id })).unwrap();
        assert!(act(&mut state, "remove_node", json!({ "node_id": other })).is_err());
        assert_eq!(wishes_of(&state), [format!("remove_node:{id}")]);
        let (mut state, _) = with_node(NodeStatus::Pending);
        act(&mut state, "remove_node", json!({ "node_id": id })).unwrap();
        assert!(wishes_of(&state).is_empty());
        assert!(act(&mut state, "remove_node", json!({ "node_id": id })).is_err());
        let (mut state, _) = with_node(NodeStatus::Retired);
        assert!(act(&mut state, "remove_node", json!({ "node_id": id })).is_err());
        invalid("remove_node", json!({}));
    }

    #[test]
    fn data_about_a_node_is_written_beside_what_is_there() {
        let (mut state, id) = with_node(NodeStatus::Trusted);
        let args = json!({ "node_id": id, "node_data": { "owner": "a" } });
        act(&mut state, "set_node_data", args).unwrap();
        let info: Value = row(&state, &NODES, id.as_bytes()).unwrap();
        assert_eq!(info["node_data"]["owner"], "a");
        assert_eq!(info["status"], "Trusted");
        let nobody = json!({ "node_id": Digest::ZERO.to_string() });
        assert!(act(&mut state, "set_node_data", nobody).is_err());
        invalid("set_node_data", json!({ "node_data": 1 }));
    }

    #[test]
    fn certificates_are_renewed_within_the_services_limit() {
        let (mut state, id) = with_node(NodeStatus::Trusted);
        let mut args = json!({ "node_id": id, "valid_from": "260131235959Z" });
        args["validity_period_days"] = json!(365);
        act(&mut state, "set_node_certificate_validity", args.clone()).unwrap();
        args["validity_period_days"] = json!(366);
        assert!(act(&mut state, "set_node_certificate_validity", args.clone()).is_err());
        let mut args = json!({ "valid_from": "260131235959Z", "validity_period_days": 30 });
        act(
            &mut state,
            "set_all_nodes_certificate_validity",
            args.clone(),
        )
        .unwrap();
        args["validity_period_days"] = json!(366);
        assert!(act(&mut state, "set_all_nodes_certificate_validity", args).is_err());
        assert_eq!(wishes_of(&state).len(), 2);
        invalid("set_node_certificate_validity", json!({ "node_id": id }));
        invalid(
            "set_all_nodes_certificate_validity",
            json!({ "valid_from": "now" }),
        );
    }
}
