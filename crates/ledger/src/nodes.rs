//! The nodes of a network as the ledger knows them: who asked to join, who is trusted, who is gone.
//!
//! Rows have CCF's names and JSON, because CCF's ledger reader checks the nodes' status and their
//! certificates while it walks the ledger.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use verify::Digest;

use crate::kv::{Rejection, State, Transaction, Tx};
use crate::limits::{NODE_NAME_BYTES_MAX, NODE_NAMES_MAX, PENDING_NODES_MAX};
use crate::service::service;
use crate::tables::{NODE_CERTS, NODES};

/// Where a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeStatus {
    /// It asked to join, and its evidence was accepted; members have to decide.
    Pending,
    /// It knows the ledger's secrets, and decides with the others.
    Trusted,
    /// It is not part of the network any more.
    Retired,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// Hex digest of its public key.
    pub id: String,
    /// Where it stands.
    pub status: NodeStatus,
    /// Its public key, SubjectPublicKeyInfo, DER in base64.
    pub public_key: String,
    /// The platform it runs on: `Virtual` means no protection by hardware.
    pub platform: String,
    /// What proves the platform and the code, as it was shown; null where nothing was recorded.
    pub evidence: Value,
    /// The nonce in what the evidence is about, in hex: empty for the founder.
    pub nonce: String,
    /// Where clients reach it, `host:port`.
    pub address: String,
    /// Where other nodes reach it, `host:port`; `None` for a node that is alone.
    pub peer_address: Option<String>,
    /// The names and addresses in its certificate.
    pub subject_alt_names: Vec<String>,
    /// Its certificate, endorsed by the service, PEM; `None` as long as it is not trusted.
    pub cert: Option<String>,
    /// When its certificate ends, seconds since 1970; zero without one.
    pub cert_ends_at: i64,
    /// What members noted about it; null for nothing.
    pub data: Value,
}

impl NodeRow {
    /// Whether what a stranger says of itself is of a size that a ledger can keep.
    fn check(&self) -> Result<(), Rejection> {
        let peer = self.peer_address.as_deref().unwrap_or_default();
        let names = self.subject_alt_names.iter().map(String::as_str);
        let longest = names.chain([&*self.address, peer]).map(str::len).max();
        if self.subject_alt_names.len() > NODE_NAMES_MAX || longest > Some(NODE_NAME_BYTES_MAX) {
            return Err(Rejection::InvalidInput(format!(
                "a node has at most {NODE_NAMES_MAX} names, of at most {NODE_NAME_BYTES_MAX} bytes"
            )));
        }
        Ok(())
    }

    fn put(&self, tx: &mut Tx<'_>) {
        let mut row = json!({
            "status": self.status,
            "public_key": self.public_key,
            "quote_info": { "format": self.platform, "quote": "", "endorsements": "" },
            "rpc_interfaces": {
                "primary_rpc_interface": { "published_address": self.address }
            },
            "certificate": {
                "subject_alt_names": self.subject_alt_names,
                "ends_at": self.cert_ends_at,
            },
        });
        if !self.evidence.is_null() {
            row["quote_info"]["evidence"] = self.evidence.clone();
            row["quote_info"]["nonce"] = self.nonce.clone().into();
        }
        if !self.data.is_null() {
            row["node_data"] = self.data.clone();
        }
        if let Some(address) = &self.peer_address {
            row["node_to_node_interface"] = json!({ "published_address": address });
        }
        let json = serde_json::to_vec(&row).expect("strings and numbers are JSON");
        tx.put(NODES, self.id.as_bytes(), json);
        if let Some(cert) = &self.cert {
            tx.put(NODE_CERTS, self.id.as_bytes(), cert.as_bytes());
        }
    }

    fn parse(id: &str, row: &[u8], cert: Option<Vec<u8>>) -> Option<Self> {
        let row: Value = serde_json::from_slice(row).ok()?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let names = row["certificate"]["subject_alt_names"].as_array();
        let names = names.into_iter().flatten();
        Some(Self {
            id: id.to_owned(),
            status: serde_json::from_value(row["status"].clone()).ok()?,
            public_key: text(&row["public_key"]).unwrap_or_default(),
            platform: text(&row["quote_info"]["format"])?,
            evidence: row["quote_info"]["evidence"].clone(),
            nonce: text(&row["quote_info"]["nonce"]).unwrap_or_default(),
            address: text(&row["rpc_interfaces"]["primary_rpc_interface"]["published_address"])?,
            peer_address: text(&row["node_to_node_interface"]["published_address"]),
            subject_alt_names: names.filter_map(text).collect(),
            cert: cert.and_then(|cert| String::from_utf8(cert).ok()),
            cert_ends_at: row["certificate"]["ends_at"].as_i64().unwrap_or(0),
            data: row["node_data"].clone(),
        })
    }
}

/// Records a node that is trusted as it is now: the founder, or one whose certificate or address
/// changed.
#[derive(Debug, Clone)]
pub struct PutNode {
    /// The node.
    pub node: NodeRow,
}

impl Transaction for PutNode {
    fn run(self: Box<Self>, tx: &mut Tx<'_>) -> Result<Digest, Rejection> {
        self.node.put(tx);
        Ok(Digest::ZERO)
    }
}

/// A node asks to join; its evidence was accepted. It is trusted at once while the service opens,
/// and waits for the members otherwise.
#[derive(Debug, Clone)]
pub struct JoinNode {
    /// The node, with neither status nor certificate.
    pub node: NodeRow,
}

impl Transaction for JoinNode {
    fn run(mut self: Box<Self>, tx: &mut Tx<'_>) -> Result<Digest, Rejection> {
        if tx.value(&NODES, self.node.id.as_bytes()).is_some() {
            return Err(Rejection::Conflict(format!(
                "node {} has asked before",
                self.node.id
            )));
        }
        self.node.check()?;
        let waiting = nodes(tx).into_iter();
        let waiting = waiting.filter(|node| node.status == NodeStatus::Pending);
        if waiting.count() >= PENDING_NODES_MAX {
            return Err(Rejection::Conflict(format!(
                "{PENDING_NODES_MAX} nodes wait for the members already; those have to decide first"
            )));
        }
        let opening = service(tx).is_some_and(|service| service.status == "Opening");
        self.node.status = if opening {
            NodeStatus::Trusted
        } else {
            NodeStatus::Pending
        };
        self.node.put(tx);
        Ok(Digest::ZERO)
    }
}

/// Records the certificate that the service gave to a node which is trusted.
#[derive(Debug, Clone)]
pub struct EndorseNode {
    /// The node.
    pub id: String,
    /// Its certificate, PEM.
    pub cert: String,
    /// When it ends, seconds since 1970.
    pub ends_at: i64,
}

impl Transaction for EndorseNode {
    fn run(self: Box<Self>, tx: &mut Tx<'_>) -> Result<Digest, Rejection> {
        let Some(mut node) = node(tx, &self.id) else {
            return Err(Rejection::NotFound(format!("there is no node {}", self.id)));
        };
        if node.status != NodeStatus::Trusted {
            return Err(Rejection::Conflict(format!(
                "node {} is not trusted",
                self.id
            )));
        }
        node.cert = Some(self.cert);
        node.cert_ends_at = self.ends_at;
        node.put(tx);
        Ok(Digest::ZERO)
    }
}

/// A node's row; `None` where there is no such node.
pub fn node(state: &dyn State, id: &str) -> Option<NodeRow> {
    let row = state.value(&NODES, id.as_bytes())?;
    NodeRow::parse(id, &row, state.value(&NODE_CERTS, id.as_bytes()))
}

/// All nodes that ever asked, sorted by id.
pub fn nodes(state: &dyn State) -> Vec<NodeRow> {
    let rows = state.values(&NODES).into_iter();
    rows.filter_map(|(id, row)| {
        let id = String::from_utf8(id).ok()?;
        NodeRow::parse(&id, &row, state.value(&NODE_CERTS, id.as_bytes()))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::MemoryState;
    use crate::limits::{NODE_NAME_BYTES_MAX, PENDING_NODES_MAX};
    use crate::service::{Open, ServiceRow};
    use crate::tables::{SERVICE, SINGLETON};

    fn row() -> NodeRow {
        NodeRow {
            id: "ab".repeat(32),
            status: NodeStatus::Pending,
            public_key: "AQID".to_owned(),
            platform: "Virtual".to_owned(),
            evidence: json!({"format": "insecure-virtual"}),
            nonce: "17".to_owned(),
            address: "127.0.0.1:1".to_owned(),
            peer_address: Some("127.0.0.1:2".to_owned()),
            subject_alt_names: vec!["localhost".to_owned()],
            cert: None,
            cert_ends_at: 0,
            data: json!({"operator": "one"}),
        }
    }

    fn opening() -> MemoryState {
        let mut state = MemoryState::default();
        let service = ServiceRow {
            cert: "PEM".to_owned(),
            status: "Opening".to_owned(),
            current_service_create_txid: "2.1".to_owned(),
            recovery_count: 0,
        };
        let create = move |tx: &mut Tx<'_>| {
            tx.put(SERVICE, SINGLETON, serde_json::to_vec(&service).unwrap());
            Ok(Digest::ZERO)
        };
        state.run(create).unwrap();
        state
    }

    #[test]
    fn a_node_is_read_as_it_was_written() {
        let mut state = MemoryState::default();
        let trusted = NodeRow {
            status: NodeStatus::Trusted,
            cert: Some("PEM".to_owned()),
            cert_ends_at: 17,
            ..row()
        };
        let put = PutNode {
            node: trusted.clone(),
        };
        state.run(put).unwrap();
        assert_eq!(node(&state, &trusted.id), Some(trusted.clone()));
        assert_eq!(nodes(&state), [trusted]);
    }

    #[test]
    fn who_joins_while_the_service_opens_is_trusted_and_who_joins_later_waits() {
        for (open, status) in [(false, NodeStatus::Trusted), (true, NodeStatus::Pending)] {
            let mut state = opening();
            if open {
                state.run(Open).unwrap();
            }
            state.run(JoinNode { node: row() }).unwrap();
            assert_eq!(nodes(&state)[0].status, status);
            let again = state.run(JoinNode { node: row() });
            assert!(matches!(again, Err(Rejection::Conflict(_))));
        }
    }

    #[test]
    fn strangers_cannot_fill_the_ledger() {
        let mut state = opening();
        state.run(Open).unwrap();
        for number in 0..PENDING_NODES_MAX {
            let id = format!("{number:064x}");
            let node = NodeRow { id, ..row() };
            state.run(JoinNode { node }).unwrap();
        }
        let one_more = state.run(JoinNode { node: row() });
        assert!(matches!(one_more, Err(Rejection::Conflict(_))));
        let address = "x".repeat(NODE_NAME_BYTES_MAX + 1);
        let long = NodeRow { address, ..row() };
        let refused = opening().run(JoinNode { node: long });
        assert!(matches!(refused, Err(Rejection::InvalidInput(_))));
    }

    #[test]
    fn only_a_trusted_node_gets_a_certificate() {
        let endorse = || EndorseNode {
            id: row().id,
            cert: "PEM".to_owned(),
            ends_at: 17,
        };
        let mut state = opening();
        assert!(matches!(state.run(endorse()), Err(Rejection::NotFound(_))));
        state.run(JoinNode { node: row() }).unwrap();
        state.run(endorse()).unwrap();
        assert_eq!(nodes(&state)[0].cert.as_deref(), Some("PEM"));
        let mut open = opening();
        open.run(Open).unwrap();
        open.run(JoinNode { node: row() }).unwrap();
        assert!(matches!(open.run(endorse()), Err(Rejection::Conflict(_))));
    }
}
