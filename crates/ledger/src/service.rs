//! The first entries of a ledger, and the rows that say who runs and governs it.
//!
//! Rows under `public:ccf.gov.*` have CCF's names and JSON, because CCF's ledger reader checks the
//! service's status, the nodes' status and their certificates while it walks the ledger.

use serde::{Deserialize, Serialize};
use verify::Digest;

use crate::entries::Visibility;
use crate::governance::members::{self, FoundingMember};
use crate::kv::{Rejection, State, Transaction, Tx};
use crate::nodes::{NodeRow, PutNode};
use crate::tables::{
    CONSTITUTION, GENESIS, MEMBER_CERTS, SERVICE, SINGLETON, VIRTUAL_HOST_DATA,
    VIRTUAL_MEASUREMENTS,
};

/// What is fixed for ever when a ledger is created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// Whether the contents of entries are sealed.
    pub visibility: Visibility,
    /// When, seconds since 1970, by the creator's clock.
    pub created_at: u64,
}

/// The service as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRow {
    /// The service's certificate, PEM: the trust anchor of every receipt.
    pub cert: String,
    /// `Opening`, then `Open`; after a disaster see [`crate::recovery`].
    pub status: String,
    /// The transaction that created this identity of the service.
    pub current_service_create_txid: String,
    /// How many times the service was recovered.
    pub recovery_count: u64,
}

/// Creates a ledger: its first entry.
#[derive(Debug, Clone)]
pub struct Create {
    /// What stays fixed.
    pub genesis: Genesis,
    /// The service's certificate, PEM.
    pub service_cert: String,
    /// The founding node.
    pub node: NodeRow,
    /// Who governs it.
    pub members: Vec<FoundingMember>,
    /// The rules in words.
    pub constitution: String,
    /// Virtual nodes that may join, by the digests of program and settings; `None` for a network
    /// that takes no node without hardware.
    pub virtual_nodes: Option<(String, String)>,
}

impl Transaction for Create {
    fn run(self: Box<Self>, tx: &mut Tx<'_>) -> Result<Digest, Rejection> {
        tx.put(GENESIS, SINGLETON, json_bytes(&self.genesis));
        tx.put(CONSTITUTION, SINGLETON, json_bytes(&self.constitution));
        if let Some((measurement, host_data)) = &self.virtual_nodes {
            tx.put(
                VIRTUAL_MEASUREMENTS,
                measurement.as_bytes(),
                br#""AllowedToJoin""#,
            );
            tx.put(VIRTUAL_HOST_DATA, host_data.as_bytes(), br#""""#);
        }
        let node = PutNode { node: self.node };
        Box::new(node).run(tx)?;
        let service = ServiceRow {
            cert: self.service_cert,
            status: "Opening".to_owned(),
            current_service_create_txid: tx.id().to_string(),
            recovery_count: 0,
        };
        tx.put(SERVICE, SINGLETON, json_bytes(&service));
        // Last: what the members acknowledge covers all of the above.
        members::found(tx, &self.members)?;
        Ok(Digest::ZERO)
    }
}

/// Opens the service to its users: the second entry.
#[derive(Debug, Clone, Copy)]
pub struct Open;

impl Transaction for Open {
    fn run(self: Box<Self>, tx: &mut Tx<'_>) -> Result<Digest, Rejection> {
        let row = tx
            .value(&SERVICE, &SINGLETON)
            .and_then(|row| serde_json::from_slice(&row).ok());
        let Some(service) = row else {
            return Err(Rejection::Conflict(
                "there is no service to open".to_owned(),
            ));
        };
        put_status(tx, service, "Open");
        Ok(Digest::ZERO)
    }
}

/// Records what the service is from now on.
pub(crate) fn put_status(tx: &mut Tx<'_>, service: ServiceRow, status: &str) {
    let service = ServiceRow {
        status: status.to_owned(),
        ..service
    };
    tx.put(SERVICE, SINGLETON, json_bytes(&service));
}

/// Puts a renewed certificate, of the same key, in the place of the service's; what relies on the key
/// notices nothing.
#[derive(Debug, Clone)]
pub struct RenewCertificate {
    /// The renewed certificate, PEM.
    pub cert: String,
}

impl Transaction for RenewCertificate {
    fn run(self: Box<Self>, tx: &mut Tx<'_>) -> Result<Digest, Rejection> {
        let key = |pem: &str| {
            verify::Cert::from_pem(pem)
                .map(|cert| cert.key_digest())
                .ok()
        };
        let renewed = service(tx).filter(|row| {
            let (before, after) = (key(&row.cert), key(&self.cert));
            before.is_some() && before == after
        });
        let Some(row) = renewed else {
            let why = "the certificate is not of this service's key".to_owned();
            return Err(Rejection::Conflict(why));
        };
        let renewed = ServiceRow {
            cert: self.cert,
            ..row
        };
        tx.put(SERVICE, SINGLETON, json_bytes(&renewed));
        Ok(Digest::ZERO)
    }
}

/// What was fixed at the creation; `None` before it.
pub fn genesis(state: &dyn State) -> Option<Genesis> {
    row(state, &GENESIS)
}

/// The service's row; `None` before the creation.
pub fn service(state: &dyn State) -> Option<ServiceRow> {
    row(state, &SERVICE)
}

/// The constitution's text; `None` before the creation.
pub fn constitution(state: &dyn State) -> Option<String> {
    row(state, &CONSTITUTION)
}

/// Members: id and certificate, PEM, sorted by id.
pub fn members(state: &dyn State) -> Vec<(String, String)> {
    texts(state, &MEMBER_CERTS)
}

fn row<T: serde::de::DeserializeOwned>(state: &dyn State, table: &crate::Table) -> Option<T> {
    serde_json::from_slice(&state.value(table, &SINGLETON)?).ok()
}

fn texts(state: &dyn State, table: &crate::Table) -> Vec<(String, String)> {
    let rows = state.values(table).into_iter();
    rows.filter_map(|(id, text)| Some((String::from_utf8(id).ok()?, String::from_utf8(text).ok()?)))
        .collect()
}

fn json_bytes(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("strings and numbers are JSON")
}

#[cfg(test)]
mod tests {
    use verify::{Seqno, TxId, View};

    use super::*;
    use crate::governance::testing::Signer;
    use crate::kv::MemoryState;
    use crate::nodes::NodeStatus;

    #[test]
    fn a_ledger_is_created_opening_and_then_opened() {
        let node = NodeRow {
            id: "ab".repeat(32),
            status: NodeStatus::Trusted,
            public_key: "AQID".to_owned(),
            cert: Some("node cert".to_owned()),
            platform: "Virtual".to_owned(),
            evidence: serde_json::Value::Null,
            nonce: String::new(),
            address: "127.0.0.1:1".to_owned(),
            peer_address: None,
            subject_alt_names: vec!["localhost".to_owned()],
            cert_ends_at: 17,
            data: serde_json::Value::Null,
        };
        let member = Signer::new("m");
        let create = Create {
            genesis: Genesis {
                visibility: Visibility::Private,
                created_at: 1,
            },
            service_cert: "service cert".to_owned(),
            node,
            members: vec![
                FoundingMember::active(&member.cert.to_pem(), None, serde_json::Value::Null)
                    .unwrap(),
            ],
            constitution: "one member, one ballot".to_owned(),
            virtual_nodes: Some(("ab".repeat(32), "cd".repeat(32))),
        };
        let node = create.node.clone();
        let mut state = MemoryState::default();
        let mut status = Vec::new();
        for transaction in [Box::new(create) as Box<dyn Transaction>, Box::new(Open)] {
            let mut tx = Tx::new(&state, TxId::new(View(2), Seqno(1)), [0; 32]);
            transaction.run(&mut tx).unwrap();
            let writes = tx.into_writes();
            state.apply(&writes);
            status.push(service(&state).unwrap().status);
        }
        assert_eq!(status, ["Opening", "Open"]);
        assert_eq!(crate::nodes::node(&state, &node.id), Some(node));
        assert_eq!(members(&state).len(), 1);
        assert_eq!(constitution(&state).unwrap(), "one member, one ballot");
        assert_eq!(genesis(&state).unwrap().visibility, Visibility::Private);
    }
}
