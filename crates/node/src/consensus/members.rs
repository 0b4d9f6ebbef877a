//! Who decides, as a mark records it: JSON, because an operator may want to read it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::types::{Members, NodeId, Peer};

/// Voters in one configuration, or in two while one gives way to the other; and where every node is.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    voters: Vec<BTreeSet<NodeId>>,
    nodes: BTreeMap<NodeId, Peer>,
}

/// A single node that decides alone.
pub(crate) fn alone(id: NodeId, address: String) -> Members {
    let nodes = BTreeMap::from([(id, Peer { address })]);
    Members::new(vec![BTreeSet::from([id])], nodes).expect("one voter is a configuration")
}

/// As text.
pub(crate) fn encode(members: &Members) -> String {
    let row = Row {
        voters: members.get_joint_config().clone(),
        nodes: members
            .nodes()
            .map(|(id, peer)| (*id, peer.clone()))
            .collect(),
    };
    serde_json::to_string(&row).expect("strings are JSON")
}

/// From text; `None` if it is none.
pub(crate) fn decode(text: &str) -> Option<Members> {
    let row: Row = serde_json::from_str(text).ok()?;
    Members::new(row.voters, row.nodes).ok()
}

#[cfg(test)]
mod tests {
    use verify::Digest;

    use super::*;

    #[test]
    fn members_are_read_as_they_were_written() {
        let peer = |number: u8| {
            let address = format!("127.0.0.1:{number}");
            (Digest([number; 32]), Peer { address })
        };
        let nodes = BTreeMap::from([peer(1), peer(2), peer(3)]);
        let voters = vec![
            BTreeSet::from([Digest([1; 32])]),
            BTreeSet::from([Digest([1; 32]), Digest([2; 32])]),
        ];
        let members = Members::new(voters, nodes).unwrap();
        assert_eq!(decode(&encode(&members)), Some(members));
        assert_eq!(decode("{}"), None);
    }
}
