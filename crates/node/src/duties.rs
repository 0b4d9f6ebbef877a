//! What the leader does because members decided it: whatever takes a key or a clock
//! ([`ledger::governance::wishes`] has the contract).
//!
//! Each effect is recorded in the transaction that takes the wish, so it happens once, whoever leads.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ledger::governance::service;
use ledger::governance::wishes::{
    self, ALL_NODE_CERTS, CHUNK, NODE_CERT, REKEY, REMOVE_NODE, SERVICE_CERT, SNAPSHOT, TRUST_NODE,
    Wish,
};
use ledger::limits::VALIDITY_DAYS_DEFAULT;
use ledger::nodes::{EndorseNode, NodeRow, NodeStatus, PutNode, node, nodes};
use ledger::service::RenewCertificate;
use ledger::{Rejection, Transaction, Tx};
use time::OffsetDateTime;
use tokio::sync::oneshot;
use verify::Digest;
use zeroize::Zeroizing;

use crate::identity::{self, IdentityError, NODE_VALIDITY};
use crate::parts::Parts;
use crate::rekey::RekeyDuty;
use crate::shares::ShareDuty;
use crate::snapshots::Snapshots;
use crate::submit::{Reply, Submission, Wait};

/// What was handed in is not handed in again within this time.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(2);

/// A leader's duties.
pub(crate) struct Duties {
    parts: Arc<Parts>,
    node_id: String,
    shares: ShareDuty,
    rekey: RekeyDuty,
    service_key: Zeroizing<Vec<u8>>,
    snapshots: Arc<Snapshots>,
    /// When something was handed in last, by what it is.
    handed_in: Mutex<HashMap<String, Instant>>,
}

impl Duties {
    /// The duties of this node, which is in this folder.
    pub(crate) fn new(
        parts: Arc<Parts>,
        dir: &Path,
        node_id: String,
        service_key: Zeroizing<Vec<u8>>,
        snapshots: Arc<Snapshots>,
    ) -> Self {
        Self {
            shares: ShareDuty::new(Arc::clone(&parts), dir),
            rekey: RekeyDuty::new(Arc::clone(&parts)),
            parts,
            node_id,
            service_key,
            snapshots,
            handed_in: Mutex::default(),
        }
    }

    /// Looks what is to be done while these nodes decide, and hands it in.
    pub(crate) fn look(&self, deciding: &[Digest]) {
        let state = &*self.parts.reader;
        for (key, wish) in wishes::all(state) {
            if let Some(transaction) = self.effect(&key, &wish, deciding) {
                // A later wish for the same is another one, and does not wait for the earlier one's time.
                self.hand_in(&format!("{key} {}", wish.seqno), transaction);
            }
        }
        if let Some((what, transaction)) = self.shares.due() {
            self.hand_in(what, transaction);
        }
        // Who joined while the service opened is trusted without a decision.
        for row in nodes(state) {
            if row.status == NodeStatus::Trusted && row.cert.is_none() {
                let days = None;
                match self.certificate(&row, days) {
                    Ok((cert, ends_at)) => {
                        let id = row.id.clone();
                        let endorse = EndorseNode { id, cert, ends_at };
                        self.hand_in(&row.id, Box::new(endorse));
                    }
                    Err(error) => tracing::warn!(node = row.id, %error, "no certificate"),
                }
            }
        }
    }

    /// The transaction that carries a wish out; `None` for one that has to wait, or that this version
    /// leaves alone.
    fn effect(&self, key: &str, wish: &Wish, deciding: &[Digest]) -> Option<Box<dyn Transaction>> {
        let state = &*self.parts.reader;
        let days = wish.args["validity_period_days"].as_u64();
        let (action, about) = wishes::split_key(key);
        if (action, about) == (SERVICE_CERT, None) {
            return self.renewal(days);
        }
        let rows = match (action, about) {
            (TRUST_NODE, Some(id)) => self.with_certificate(node(state, id)?, days),
            // What a retired node signs counts no more, so it must not lead any more: this one does,
            // and those that decide may.
            (REMOVE_NODE, Some(id))
                if id == self.node_id || deciding.iter().any(|node| node.to_string() == id) =>
            {
                return None;
            }
            (REMOVE_NODE, Some(id)) => vec![NodeRow {
                status: NodeStatus::Retired,
                ..node(state, id)?
            }],
            (NODE_CERT, Some(id)) => self.with_certificate(node(state, id)?, days),
            (ALL_NODE_CERTS, None) => {
                let trusted = nodes(state).into_iter();
                trusted
                    .filter(|row| row.status == NodeStatus::Trusted)
                    .flat_map(|row| self.with_certificate(row, days))
                    .collect()
            }
            // The file is closed where this is written.
            (CHUNK, None) => Vec::new(),
            (REKEY, None) => return self.rekey.due(),
            (SNAPSHOT, None) => {
                // It takes the wish itself when it is recorded.
                self.snapshots.make();
                return None;
            }
            _ => return None,
        };
        let key = key.to_owned();
        Some(Box::new(move |tx: &mut Tx<'_>| {
            if wishes::take(tx, &key).is_none() {
                return Err(Rejection::Conflict(format!("{key} was done before")));
            }
            for row in rows {
                Box::new(PutNode { node: row }).run(tx)?;
            }
            Ok(Digest::ZERO)
        }))
    }

    /// A certificate of the service's key that ends later.
    fn renewal(&self, days: Option<u64>) -> Option<Box<dyn Transaction>> {
        let config = service::config(&*self.parts.reader);
        let limit = config["maximum_service_certificate_validity_days"].as_u64();
        let days = days.or(limit).unwrap_or(VALIDITY_DAYS_DEFAULT);
        let validity = time::Duration::days(i64::try_from(days).ok()?);
        let now = OffsetDateTime::now_utc();
        match identity::renewed_service_cert(&self.service_key, now, validity) {
            Ok(cert) => Some(Box::new(move |tx: &mut Tx<'_>| {
                if wishes::take(tx, SERVICE_CERT).is_none() {
                    return Err(Rejection::Conflict("it was renewed before".to_owned()));
                }
                Box::new(RenewCertificate { cert }).run(tx)
            })),
            Err(error) => {
                tracing::warn!(%error, "the service's certificate is not renewed");
                None
            }
        }
    }

    /// The node as a trusted one, with a certificate; nothing where none can be made.
    fn with_certificate(&self, row: NodeRow, days: Option<u64>) -> Vec<NodeRow> {
        match self.certificate(&row, days) {
            Ok((cert, cert_ends_at)) => vec![NodeRow {
                status: NodeStatus::Trusted,
                cert: Some(cert),
                cert_ends_at,
                ..row
            }],
            Err(error) => {
                tracing::warn!(node = row.id, %error, "a node that members trust gets no certificate");
                Vec::new()
            }
        }
    }

    fn certificate(
        &self,
        row: &NodeRow,
        days: Option<u64>,
    ) -> Result<(String, i64), IdentityError> {
        let now = OffsetDateTime::now_utc();
        let validity = days
            .and_then(|days| i64::try_from(days).ok())
            .map_or(NODE_VALIDITY, time::Duration::days);
        let key = STANDARD
            .decode(&row.public_key)
            .map_err(|_| IdentityError::Key { what: "node" })?;
        let names = &row.subject_alt_names;
        let cert = identity::endorse_node(&self.service_key, &key, names, now, validity)?;
        Ok((cert, (now + validity).unix_timestamp()))
    }

    /// Nobody waits for the answer: what it leaves is looked at again.
    fn hand_in(&self, what: &str, transaction: Box<dyn Transaction>) {
        let now = Instant::now();
        let mut handed_in = self
            .handed_in
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        handed_in.retain(|_, at| now.saturating_duration_since(*at) < AGAIN);
        if handed_in.contains_key(what) {
            return;
        }
        handed_in.insert(what.to_owned(), now);
        drop(handed_in);
        let (sender, _) = oneshot::channel();
        let submitted = self.parts.queue.submit(Submission {
            transactions: vec![transaction],
            wait: Wait::Executed,
            reply: Reply::One(sender),
        });
        if let Err(error) = submitted {
            tracing::debug!(%error, "a leader's duty has to wait");
        }
    }
}
