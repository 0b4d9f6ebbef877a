//! Who may join: a node of the network judges the evidence of one that asks.

use attest::join::{BadRow, JoinPolicy, JoinTable};
use attest::{Evidence, report_data_for};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ledger::nodes::{self, JoinNode, NodeRow, NodeStatus};
use ledger::recovery::earlier_services;
use ledger::service::genesis;
use ledger::tables::{SGX_POLICY, SINGLETON, TDX_POLICY};
use ledger::{State, Table};
use time::OffsetDateTime;
use verify::{Digest, PublicKey};
use zeroize::Zeroizing;

use crate::Node;
use crate::identity;
use crate::join::{EVIDENCE_LABEL, Grant, JoinAnswer, JoinRequest, KnownNode, possession, seal};
use crate::platform;
use crate::submit::{SubmitError, Wait};

/// What the evidence of a node that joins is for.
pub(crate) const LABEL: &str = EVIDENCE_LABEL;

/// Why a node is not let in.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
    /// The request is not one.
    #[error("the request to join cannot be read: {0}")]
    Request(&'static str),
    /// The evidence does not meet what members accept: the operator of the node starts an accepted
    /// release on an accepted platform, or members accept this one.
    #[error("the evidence is refused ({name}): {0}", name = .0.ccf_name())]
    Evidence(#[from] attest::Refusal),
    /// Members accepted something that cannot be understood: they should correct it.
    #[error(transparent)]
    Policy(#[from] BadRow),
    /// Members removed the node. A new one with new keys may join in its place.
    #[error("node {0} was removed; let a new node with an empty folder join in its place")]
    Removed(String),
    /// Nothing was recorded.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The ledger refuses.
    #[error(transparent)]
    Rejected(#[from] ledger::Rejection),
}

impl Node {
    /// Judges a request to join, records it if it is the first, and grants the secrets when the node
    /// is trusted. Only the leader does.
    ///
    /// # Errors
    /// See [`AdmitError`].
    pub async fn admit(&self, request: &JoinRequest) -> Result<JoinAnswer, AdmitError> {
        if !self.standing().leads {
            return Err(SubmitError::NotLeading.into());
        }
        let decode =
            |text: &str, what| STANDARD.decode(text).map_err(|_| AdmitError::Request(what));
        let public_key = decode(&request.public_key, "its public key is not base64")?;
        let encryption_key = decode(&request.encryption_key, "its encryption key is not base64")?;
        let evidence: Evidence = serde_json::from_value(request.evidence.clone())
            .map_err(|_| AdmitError::Request("its evidence has no known form"))?;
        let signature = decode(&request.signature, "its signature is not base64")?;
        let network = platform::network_id(self.service_cert_digest());
        let possession = possession(&public_key, &encryption_key, &network);
        PublicKey::from_spki_der(&public_key)
            .map_err(|_| AdmitError::Request("its public key is none"))?
            .verify_prehashed(&possession, &signature)
            .map_err(|_| AdmitError::Request("it does not hold the key that it names"))?;
        self.judge(&evidence, &public_key, &encryption_key)?;

        let id = Digest::of(&public_key).to_string();
        if !self.is_complete() {
            // Another node could not read what this one cannot read yet.
            return Ok(JoinAnswer::Pending { node_id: id });
        }
        let Some(row) = nodes::node(self.state(), &id) else {
            // Made only to see that it can be: the names and the key are the node's word.
            let now = OffsetDateTime::now_utc();
            identity::endorse_node(
                &self.service_key,
                &public_key,
                &request.subject_alt_names,
                now,
                identity::NODE_VALIDITY,
            )
            .map_err(|_| AdmitError::Request("no certificate can be made for its key and names"))?;
            let node = NodeRow {
                id: id.clone(),
                status: NodeStatus::Pending,
                public_key: request.public_key.clone(),
                platform: platform_of(&evidence).to_owned(),
                evidence: request.evidence.clone(),
                nonce: Digest::of(&encryption_key).to_string(),
                address: request.address.clone(),
                peer_address: Some(request.peer_address.clone()),
                subject_alt_names: request.subject_alt_names.clone(),
                cert: None,
                cert_ends_at: 0,
                data: serde_json::Value::Null,
            };
            self.submit(Box::new(JoinNode { node }), Wait::Committed)
                .await??;
            return Ok(JoinAnswer::Pending { node_id: id });
        };
        match (row.status, row.cert) {
            (NodeStatus::Retired, _) => Err(AdmitError::Removed(id)),
            (NodeStatus::Trusted, Some(cert)) => {
                let sealed = seal(&self.grant(cert), &encryption_key);
                let sealed = sealed.map_err(AdmitError::Request)?;
                Ok(JoinAnswer::Trusted {
                    node_id: id,
                    sealed,
                })
            }
            _ => Ok(JoinAnswer::Pending { node_id: id }),
        }
    }

    fn judge(
        &self,
        evidence: &Evidence,
        public_key: &[u8],
        encryption_key: &[u8],
    ) -> Result<(), AdmitError> {
        let network = platform::network_id(self.service_cert_digest());
        let nonce = Digest::of(encryption_key);
        let report_data = report_data_for(LABEL, public_key, &network, &nonce.0);
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let now = attest::UnixTime(u64::try_from(now).unwrap_or(0));
        policy(self.state())?.judge(evidence, &report_data, now)?;
        Ok(())
    }

    /// Everybody who has the ledger.
    fn known_nodes(&self) -> Vec<KnownNode> {
        let trusted = nodes::nodes(self.state()).into_iter();
        trusted
            .filter(|row| row.status == NodeStatus::Trusted && row.cert.is_some())
            .filter_map(|row| {
                Some(KnownNode {
                    address: row.peer_address?,
                    id: row.id,
                })
            })
            .collect()
    }

    fn grant(&self, node_cert: String) -> Grant {
        let visibility = genesis(self.state()).map_or(self.visibility(), |row| row.visibility);
        let encoded = |secret: &Zeroizing<[u8; 32]>| STANDARD.encode(**secret);
        // What a rekey that is not committed began may yet be undone; one that is trusted by then
        // learns it from the ledger.
        let committed = self.committed().seqno;
        let mut kept = self.secrets.kept();
        kept.retain(|(from, _)| *from <= committed.next());
        let (first, later) = kept.split_first().expect("a node begins with a secret");
        let later = later.iter();
        let earlier_services = earlier_services(self.state()).into_iter();
        Grant {
            ledger_secret: encoded(&first.1),
            state_secret: (self.state_secret != first.1).then(|| encoded(&self.state_secret)),
            later_secrets: later.map(|(from, it)| (from.0, encoded(it))).collect(),
            earlier_services: earlier_services.map(|service| service.cert).collect(),
            service_key: STANDARD.encode(&*self.service_key),
            service_cert: self.service_cert().to_owned(),
            node_cert,
            visibility,
            peers: self.known_nodes(),
        }
    }
}

/// What members accept, table by table. Nothing that is not listed.
pub(crate) fn policy(state: &dyn State) -> Result<JoinPolicy, BadRow> {
    let mut policy = JoinPolicy::default();
    for table in JoinTable::ALL {
        for (key, row) in state.values(&Table::from_name(table.name())) {
            policy.add_row(table, &key, &row)?;
        }
    }
    for (table, kind) in [(TDX_POLICY, JoinTable::Tdx), (SGX_POLICY, JoinTable::Sgx)] {
        if let Some(row) = state.value(&table, &SINGLETON) {
            policy.add_row(kind, br#""policy""#, &row)?;
        }
    }
    Ok(policy)
}

fn platform_of(evidence: &Evidence) -> &'static str {
    match evidence {
        Evidence::Virtual(_) => platform::VIRTUAL,
        other => other.format(),
    }
}
