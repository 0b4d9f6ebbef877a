//! Whose signature over a root counts: what the public tables say about service and nodes.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ledger::WriteSet;
use ledger::recovery::{EndorsementRow, RECOVERING, WAITING_FOR_SHARES};
use ledger::signature::SignedRoot;
use ledger::tables::{NODE_CERTS, NODES, SERVICE, SERVICE_ENDORSEMENT, SINGLETON};
use verify::cert::Cert;
use verify::cose::verify_endorsements;
use verify::key::PublicKey;
use verify::{Digest, TxId};

use crate::state::StateStore;

/// Why a signed root, or a row about who may sign, does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Untrusted {
    #[error("no entry before it says who the service is")]
    NoService,
    #[error("the row of the service is not readable")]
    ServiceRow,
    #[error("the service changed its certificate and says nothing about the one before it")]
    OtherService,
    #[error("the service does not rightly endorse the one before it: {0}")]
    Endorsement(String),
    #[error("the service went from {from} to {to}")]
    Status { from: String, to: String },
    #[error("the row of node {0} is not readable")]
    NodeRow(String),
    #[error("it is signed by {0}, which is no trusted node of the service")]
    UnknownNode(String),
    #[error("the certificate of node {0} is not one, or has another key")]
    NodeCert(String),
    #[error("the certificate of node {0} is not endorsed by the service")]
    NotEndorsed(String),
    #[error("its signature is not by the key of node {0}")]
    Signature(String),
}

/// What the entries so far say about service and nodes.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    service: Option<Service>,
    nodes: HashSet<String>,
    /// The last certificate of each node that was found good, with its key.
    keys: HashMap<String, (String, PublicKey)>,
    /// The last root that was signed, and where: what a service that follows this one endorses.
    last: Option<(TxId, Digest)>,
}

#[derive(Debug)]
struct Service {
    cert: Cert,
    status: String,
}

/// The part of [`ledger::service::ServiceRow`] that matters here.
#[derive(serde::Deserialize)]
struct ServiceRow {
    cert: String,
    status: String,
}

#[derive(serde::Deserialize)]
struct NodeStatus {
    status: String,
}

impl Trust {
    /// What a state says that was reached by entries which were checked before.
    pub(crate) fn of_state(state: &StateStore) -> Result<Self, String> {
        let read = |error: crate::state::Broken| error.to_string();
        let mut trust = Self::default();
        for (id, row) in state.values(&NODES).map_err(read)? {
            trust
                .node(&id, Some(&row))
                .map_err(|error| error.to_string())?;
        }
        if let Some(row) = state.value(&SERVICE, &SINGLETON).map_err(read)? {
            trust
                .service(&row, None)
                .map_err(|error| error.to_string())?;
        }
        Ok(trust)
    }

    /// Takes over what an entry says.
    pub(crate) fn observe(&mut self, writes: &WriteSet) -> Result<(), Untrusted> {
        // The service first: it stands behind the certificates of its nodes in the same entry.
        for write in writes.iter().filter(|write| write.table == SERVICE) {
            let row = write.value.as_deref().ok_or(Untrusted::ServiceRow)?;
            let endorsement = writes.written(&SERVICE_ENDORSEMENT, &SINGLETON);
            self.service(row, endorsement.flatten())?;
        }
        if let Ok(Some(signed)) = SignedRoot::from_writes(writes) {
            self.signed(&signed);
        }
        for write in writes.iter() {
            if write.table == NODES {
                self.node(&write.key, write.value.as_deref())?;
            } else if let (true, Some(cert)) = (write.table == NODE_CERTS, &write.value) {
                let id = String::from_utf8_lossy(&write.key);
                self.endorsed_key(&id, &String::from_utf8_lossy(cert))?;
            }
        }
        Ok(())
    }

    /// Remembers the last root that was signed.
    pub(crate) fn signed(&mut self, signed: &SignedRoot) {
        self.last = Some((signed.id, signed.root));
    }

    /// The service's certificate, once an entry said what it is.
    pub(crate) fn service_cert(&self) -> Option<&Cert> {
        self.service.as_ref().map(|service| &service.cert)
    }

    /// Checks the node's signature over the root, and that the service stands behind the node.
    pub(crate) fn verify(&mut self, signed: &SignedRoot) -> Result<(), Untrusted> {
        self.key_of(signed)?
            .verify_prehashed(&signed.root, &signed.signature)
            .map_err(|_| Untrusted::Signature(signed.node.clone()))
    }

    /// The key of the node that says it signed, if the service stands behind it.
    pub(crate) fn key_of(&mut self, signed: &SignedRoot) -> Result<PublicKey, Untrusted> {
        if !self.nodes.contains(&signed.node) {
            return Err(Untrusted::UnknownNode(signed.node.clone()));
        }
        if let Some((cert, key)) = self.keys.get(&signed.node)
            && *cert == signed.cert
        {
            return Ok(key.clone());
        }
        let key = self.endorsed_key(&signed.node, &signed.cert)?;
        self.keys
            .insert(signed.node.clone(), (signed.cert.clone(), key.clone()));
        Ok(key)
    }

    /// What the service says about itself, once it did.
    pub(crate) fn service_status(&self) -> Option<&str> {
        self.service.as_ref().map(|service| service.status.as_str())
    }

    /// Whether a root found among damaged bytes was signed for this service. What says who its nodes
    /// are, or who it is itself, may be what was damaged; then the certificate beside the root has
    /// to do. Good enough for suspicion, not for belief.
    pub(crate) fn was_signed(&self, signed: &SignedRoot) -> bool {
        Cert::from_pem(&signed.cert).is_ok_and(|cert| {
            cert.key_digest().to_string() == signed.node
                && self
                    .service_cert()
                    .is_none_or(|service| cert.is_signed_by(service))
                && cert
                    .public_key()
                    .verify_prehashed(&signed.root, &signed.signature)
                    .is_ok()
        })
    }

    fn endorsed_key(&self, node: &str, cert: &str) -> Result<PublicKey, Untrusted> {
        let service = self.service_cert().ok_or(Untrusted::NoService)?;
        let cert = Cert::from_pem(cert)
            .ok()
            .filter(|cert| cert.key_digest().to_string() == node)
            .ok_or_else(|| Untrusted::NodeCert(node.to_owned()))?;
        if cert.is_signed_by(service) {
            Ok(cert.public_key())
        } else {
            Err(Untrusted::NotEndorsed(node.to_owned()))
        }
    }

    fn node(&mut self, id: &[u8], row: Option<&[u8]>) -> Result<(), Untrusted> {
        let id = String::from_utf8_lossy(id).into_owned();
        let Some(row) = row else {
            self.nodes.remove(&id);
            return Ok(());
        };
        let row: NodeStatus =
            serde_json::from_slice(row).map_err(|_| Untrusted::NodeRow(id.clone()))?;
        if row.status == "Trusted" {
            self.nodes.insert(id);
        } else {
            self.nodes.remove(&id);
        }
        Ok(())
    }

    /// Takes over what the service says about itself. `endorsement` is what the same entry says about
    /// the service before it.
    fn service(&mut self, row: &[u8], endorsement: Option<&[u8]>) -> Result<(), Untrusted> {
        let row: ServiceRow = serde_json::from_slice(row).map_err(|_| Untrusted::ServiceRow)?;
        let cert = Cert::from_pem(&row.cert).map_err(|_| Untrusted::ServiceRow)?;
        if let Some(before) = &self.service {
            let same_key = before.cert.key_digest() == cert.key_digest();
            let (from, to) = (before.status.as_str(), row.status.as_str());
            if !same_key {
                let endorsement = endorsement.ok_or(Untrusted::OtherService)?;
                self.follows(&before.cert, &cert, endorsement)?;
                // Its nodes have to be endorsed anew.
                self.keys.clear();
            }
            let allowed = match (same_key, from, to) {
                (false, _, RECOVERING)
                | (true, "Opening", "Open")
                | (true, RECOVERING, WAITING_FOR_SHARES)
                | (true, WAITING_FOR_SHARES, "Open") => true,
                (same_key, from, to) => same_key && from == to,
            };
            if !allowed {
                return Err(Untrusted::Status {
                    from: from.to_owned(),
                    to: to.to_owned(),
                });
            }
        }
        self.service = Some(Service {
            cert,
            status: row.status,
        });
        Ok(())
    }

    /// Checks that a new service endorses the one before it, for all that it signed.
    fn follows(&self, before: &Cert, after: &Cert, row: &[u8]) -> Result<(), Untrusted> {
        let wrong = |why: &str| Untrusted::Endorsement(why.to_owned());
        let row: EndorsementRow =
            serde_json::from_slice(row).map_err(|_| wrong("its row is not readable"))?;
        let message = STANDARD
            .decode(&row.endorsement)
            .map_err(|_| wrong("it is not base64"))?;
        let chain = verify_endorsements(&after.public_key(), &[message], |_| {
            ControlFlow::Continue(())
        });
        let chain = chain.map_err(|error| Untrusted::Endorsement(error.to_string()))?;
        let [endorsement] = chain.as_slice() else {
            return Err(wrong("it is not one"));
        };
        if endorsement.key != before.public_key() {
            return Err(wrong("it is of another service"));
        }
        let signed = endorsement.end.zip(endorsement.end_root);
        if signed.is_none() || signed != self.last {
            return Err(wrong("it does not end with the last root before it"));
        }
        Ok(())
    }
}
