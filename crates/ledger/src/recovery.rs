//! What follows a disaster, in which all nodes were lost and a copy of the ledger files was not.
//!
//! ```text
//! Recovering                a node took the files up, drew a new service identity and a new ledger
//!                           secret, and endorsed the service before it ([`Recover`])
//! WaitingForRecoveryShares  members accepted it: transition_service_to_open, with both identities
//! Open                      enough members gave their shares, so the earlier secrets are open and
//!                           everything private was read again ([`CompleteRecovery`])
//! ```
//! Before that nothing private can be read or written.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use verify::{Digest, TxId};

use crate::governance::members::{self, MemberId, Status};
use crate::governance::wishes;
use crate::kv::{Rejection, State, Transaction, Tx};
use crate::nodes::{NodeRow, NodeStatus, PutNode, nodes};
use crate::service::{ServiceRow, put_status, service};
use crate::shares::{EarlierSecret, PutShares, RecoveryShares, put_earlier};
use crate::tables::{
    EARLIER_SERVICES, NODE_CERTS, PREVIOUS_ROOT, PREVIOUS_SERVICE, SERVICE, SERVICE_ENDORSEMENT,
    SINGLETON, SUBMITTED_SHARES, WISHES,
};

/// Members have to accept the new service.
pub const RECOVERING: &str = "Recovering";
/// Members have to give their shares.
pub const WAITING_FOR_SHARES: &str = "WaitingForRecoveryShares";

/// A row of [`SERVICE_ENDORSEMENT`], in CCF's words: the new service's key endorses the earlier one
/// for the transactions that it signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndorsementRow {
    /// COSE_Sign1 over the earlier key, by the new one; base64 ([`verify::cose`]).
    pub endorsement: String,
    /// The new key, SubjectPublicKeyInfo; base64.
    pub endorsing_key: String,
    /// The last root that the earlier service signed, hex.
    pub root: String,
    /// The first transaction of the earlier service.
    pub endorsement_epoch_begin: TxId,
    /// Its last one, a signature.
    pub endorsement_epoch_end: TxId,
}

/// A row of [`EARLIER_SERVICES`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierService {
    /// Its certificate, PEM.
    pub cert: String,
    /// A certificate for the same key by the service that followed it, PEM: what leads from an old
    /// receipt to a later service.
    pub endorsed_cert: String,
    /// The endorsement of its key.
    #[serde(flatten)]
    pub endorsement: EndorsementRow,
}

/// All services before this one, oldest first.
pub fn earlier_services(state: &dyn State) -> Vec<EarlierService> {
    let rows = state.values(&EARLIER_SERVICES).into_iter();
    rows.filter_map(|(_, row)| serde_json::from_slice(&row).ok())
        .collect()
}

/// Takes a ledger up after a disaster, as a new service with one node.
#[derive(Debug, Clone)]
pub struct Recover {
    /// The new service's certificate, PEM.
    pub service_cert: String,
    /// Its one node.
    pub node: NodeRow,
    /// What it says about the service before it.
    pub earlier: EarlierService,
}

impl Transaction for Recover {
    fn run(self: Box<Self>, tx: &mut Tx<'_>) -> Result<Digest, Rejection> {
        let conflict = |why: &str| Err(Rejection::Conflict(why.to_owned()));
        let Some(before) = service(tx) else {
            return conflict("there is no service to recover");
        };
        if before.cert != self.earlier.cert {
            return conflict("the service is not the one that was to be recovered");
        }
        // None of them is there any more, and none may come back with the old service's certificate.
        for node in nodes(tx) {
            if node.cert.is_some() {
                tx.remove(NODE_CERTS, node.id.as_bytes());
            }
            let gone = NodeRow {
                status: NodeStatus::Retired,
                cert: None,
                ..node
            };
            Box::new(PutNode { node: gone }).run(tx)?;
        }
        Box::new(PutNode { node: self.node }).run(tx)?;
        for (member, _) in tx.values(&SUBMITTED_SHARES) {
            tx.remove(SUBMITTED_SHARES, member);
        }
        // What was to be done with a node that is gone would bring it back.
        for (key, _) in wishes::all(tx) {
            if wishes::split_key(&key).1.is_some() {
                tx.remove(WISHES, key.as_bytes());
            }
        }
        tx.put(PREVIOUS_SERVICE, SINGLETON, json(&before.cert));
        let root = &self.earlier.endorsement.root;
        tx.put(PREVIOUS_ROOT, SINGLETON, json(root));
        let endorsement = json(&self.earlier.endorsement);
        tx.put(SERVICE_ENDORSEMENT, SINGLETON, endorsement);
        let number = before.recovery_count.to_be_bytes();
        tx.put(EARLIER_SERVICES, number, json(&self.earlier));
        let row = ServiceRow {
            cert: self.service_cert,
            status: RECOVERING.to_owned(),
            current_service_create_txid: tx.id().to_string(),
            recovery_count: before.recovery_count + 1,
        };
        tx.put(SERVICE, SINGLETON, json(&row));
        Ok(Digest::ZERO)
    }
}

/// Records the share that a member gave, sealed ([`crate::shares::seal_submitted`]).
#[derive(Debug, Clone)]
pub struct SubmitShare {
    /// Who gave it.
    pub member: MemberId,
    /// The share, sealed under the new ledger secret.
    pub sealed: Vec<u8>,
}

impl Transaction for SubmitShare {
    fn run(self: Box<Self>, tx: &mut Tx<'_>) -> Result<Digest, Rejection> {
        if service(tx).is_none_or(|row| row.status != WAITING_FOR_SHARES) {
            let why = "the service is not waiting for recovery shares".to_owned();
            return Err(Rejection::Conflict(why));
        }
        let member = self.member.to_string();
        let governs = members::read(tx, &self.member).is_some_and(|it| it.status == Status::Active);
        let shares = RecoveryShares::read(tx);
        let holds = shares.is_some_and(|row| row.encrypted_shares.contains_key(&member));
        if !(governs && holds) {
            let why = format!("member {member} holds no recovery share");
            return Err(Rejection::NotFound(why));
        }
        let row = json(&STANDARD.encode(&self.sealed));
        tx.put(SUBMITTED_SHARES, member.as_bytes(), row);
        Ok(Digest::ZERO)
    }
}

/// The shares given so far, sealed, by member.
pub fn submitted_shares(state: &dyn State) -> Vec<(MemberId, Vec<u8>)> {
    let rows = state.values(&SUBMITTED_SHARES).into_iter();
    rows.filter_map(|(member, row)| {
        let member = std::str::from_utf8(&member).ok()?.parse().ok()?;
        let text: String = serde_json::from_slice(&row).ok()?;
        Some((member, STANDARD.decode(text).ok()?))
    })
    .collect()
}

/// Opens the service again: the earlier secrets are known, and what was private is there.
#[derive(Debug, Clone)]
pub struct CompleteRecovery {
    /// The earlier secrets, sealed.
    pub earlier: Vec<EarlierSecret>,
    /// Shares of the new ledger secret.
    pub shares: PutShares,
}

impl Transaction for CompleteRecovery {
    fn run(self: Box<Self>, tx: &mut Tx<'_>) -> Result<Digest, Rejection> {
        let Some(row) = service(tx).filter(|row| row.status == WAITING_FOR_SHARES) else {
            let why = "the service is not waiting for recovery shares".to_owned();
            return Err(Rejection::Conflict(why));
        };
        self.shares.put(tx)?;
        put_earlier(tx, &self.earlier);
        for (member, _) in tx.values(&SUBMITTED_SHARES) {
            tx.remove(SUBMITTED_SHARES, member);
        }
        put_status(tx, row, "Open");
        Ok(Digest::ZERO)
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("texts and numbers are JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::governance::testing::{Consortium, Signer};
    use crate::kv::MemoryState;
    use crate::nodes::node;
    use crate::shares::Roster;
    use crate::tables::NODES;

    fn row(id: &str, status: NodeStatus) -> NodeRow {
        NodeRow {
            id: id.repeat(32),
            status,
            public_key: "AQID".to_owned(),
            platform: "Virtual".to_owned(),
            evidence: serde_json::Value::Null,
            nonce: String::new(),
            address: "127.0.0.1:1".to_owned(),
            peer_address: None,
            subject_alt_names: Vec::new(),
            cert: Some("PEM".to_owned()),
            cert_ends_at: 17,
            data: serde_json::Value::Null,
        }
    }

    fn lost() -> (MemoryState, String) {
        let mut state = Consortium::of(&["a"]).state;
        let cert = Signer::new("service").cert.to_pem();
        let service = ServiceRow {
            cert: cert.clone(),
            status: "Open".to_owned(),
            current_service_create_txid: "2.1".to_owned(),
            recovery_count: 0,
        };
        state
            .run(move |tx: &mut Tx<'_>| {
                tx.put(SERVICE, SINGLETON, json(&service));
                let node = row("ab", NodeStatus::Trusted);
                let key = format!("{}:{}", wishes::TRUST_NODE, node.id);
                let wish = serde_json::json!({ "seqno": 1, "args": null });
                tx.put(WISHES, key.as_bytes(), json(&wish));
                Box::new(PutNode { node }).run(tx)
            })
            .unwrap();
        (state, cert)
    }

    fn recover(before: &str) -> Recover {
        Recover {
            service_cert: "the new one".to_owned(),
            node: row("cd", NodeStatus::Trusted),
            earlier: EarlierService {
                cert: before.to_owned(),
                endorsed_cert: "PEM".to_owned(),
                endorsement: EndorsementRow {
                    endorsement: "AQID".to_owned(),
                    endorsing_key: "AQID".to_owned(),
                    root: Digest::ZERO.to_string(),
                    endorsement_epoch_begin: TxId::default(),
                    endorsement_epoch_end: TxId::default(),
                },
            },
        }
    }

    #[test]
    fn a_recovered_service_has_one_node_and_nothing_brings_the_others_back() {
        let (mut state, before) = lost();
        state.run(recover(&before)).unwrap();
        let service = service(&state).unwrap();
        assert_eq!(service.status, RECOVERING);
        assert_eq!(service.recovery_count, 1);
        let gone = node(&state, &"ab".repeat(32)).unwrap();
        assert_eq!((gone.status, gone.cert), (NodeStatus::Retired, None));
        let trusted = nodes(&state).into_iter();
        let trusted = trusted.filter(|node| node.status == NodeStatus::Trusted);
        assert_eq!(trusted.count(), 1);
        assert_eq!(state.values(&NODES).len(), 2);
        assert!(wishes::all(&state).is_empty());
        assert_eq!(earlier_services(&state), [recover(&before).earlier]);
        assert!(
            state.run(recover(&before)).is_err(),
            "it is another one now"
        );
    }

    #[test]
    fn shares_are_not_drawn_anew_before_the_recovered_service_is_open() {
        let (mut state, before) = lost();
        let refresh = |state: &MemoryState| PutShares {
            roster: Roster::of(state),
            shares: None,
        };
        state.run(refresh(&state)).unwrap();
        state.run(recover(&before)).unwrap();
        let refused = state.run(refresh(&state));
        assert!(matches!(refused, Err(Rejection::Conflict(_))));
    }

    #[test]
    fn shares_are_taken_only_while_they_are_waited_for_and_from_who_holds_one() {
        let (mut state, before) = lost();
        let share = || SubmitShare {
            member: Digest::ZERO,
            sealed: vec![1],
        };
        assert!(matches!(state.run(share()), Err(Rejection::Conflict(_))));
        state.run(recover(&before)).unwrap();
        assert!(matches!(state.run(share()), Err(Rejection::Conflict(_))));
        state
            .run(|tx: &mut Tx<'_>| {
                let row = service(tx).unwrap();
                put_status(tx, row, WAITING_FOR_SHARES);
                Ok(Digest::ZERO)
            })
            .unwrap();
        assert!(matches!(state.run(share()), Err(Rejection::NotFound(_))));
        assert!(submitted_shares(&state).is_empty());
    }
}
