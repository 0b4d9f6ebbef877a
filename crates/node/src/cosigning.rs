//! Collects what other nodes say about this node's history, for whoever asks for it.
//!
//! One checkpoint at a time is countersigned, the newest, and kept: receipts of all entries below it
//! share it. Nothing goes into the ledger, since a write would need a new checkpoint.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use ledger::nodes::{NodeRow, NodeStatus, nodes};
use tokio::sync::Mutex;
use verify::limits::MAX_NOTE_SIGNATURES;
use verify::note::{NoteKey, NoteSignature};
use verify::receipt::Covered;
use verify::{
    Cert, Checkpoint, Cosigned, Digest, PublicKey, ReceiptDocument, Seqno, SignedNote, TxId,
    VerifierKey, checkpoint,
};

use crate::Node;
use crate::consensus::wire::{Reply, Request};
use crate::cosigner::{Ask, Cosigner, Countersigned, derived_key, public_half};
use crate::identity::{IdentityError, NodeSigner};
use crate::peers::{Outgoing, PeerTls};
use crate::reads::ReadError;

/// Whoever asks waits no longer than that for nodes that do not answer.
const ANSWERED_WITHIN: Duration = Duration::from_millis(1_000);

/// The newest checkpoint is not collected more often, whoever asks; nor one that a node is missing on.
const COLLECTED_EVERY: Duration = Duration::from_secs(1);

/// A checkpoint that is still the newest is signed again after so long, for those who look at the time.
const SIGNED_AGAIN: Duration = Duration::from_secs(60);

/// Nodes compare their histories so often.
const COMPARED_EVERY: Duration = Duration::from_secs(10);

/// What the key is derived for with which the service signs checkpoints.
const LOG_KEY: &[u8] = b"counterfoil log key 1";

/// A node as a cosigner.
#[derive(Debug, Clone)]
pub struct KnownCosigner {
    /// The node, as the ledger has it.
    pub node: NodeRow,
    /// The key with which it countersigns; `None` where it does not answer now.
    pub key: Option<VerifierKey>,
    /// By which the node's own key says so: see [`checkpoint::cosigner_binding`]; DER.
    pub binding: Option<Vec<u8>>,
}

/// What this node needs to sign checkpoints and to have them countersigned.
pub(crate) struct Cosigning {
    service: Digest,
    own: Digest,
    cosigner: Arc<Cosigner>,
    service_key: NodeSigner,
    log_pair: Ed25519KeyPair,
    log_keys: [VerifierKey; 2],
    /// `None` for a node that is alone.
    tls: Option<Arc<PeerTls>>,
    collected: Mutex<Collected>,
}

#[derive(Default)]
struct Collected {
    last: Option<Last>,
    links: HashMap<Digest, Outgoing>,
    keys: HashMap<Digest, (VerifierKey, Vec<u8>)>,
}

#[derive(Clone)]
struct Last {
    at: Instant,
    size: u64,
    note: SignedNote,
    /// Every node that is trusted has countersigned.
    by_all: bool,
}

impl Cosigning {
    pub(crate) fn new(
        service: &Cert,
        service_key: &[u8],
        own: Digest,
        cosigner: Arc<Cosigner>,
        tls: Option<Arc<PeerTls>>,
    ) -> Result<Self, IdentityError> {
        let digest = service.key_digest();
        let log_pair = derived_key(service_key, LOG_KEY);
        let named = |key| {
            let key = VerifierKey::new(checkpoint::origin_of(&digest), key);
            key.expect("an origin is the name of a key")
        };
        Ok(Self {
            service: digest,
            own,
            cosigner,
            service_key: NodeSigner::new(service_key)?,
            log_keys: [
                named(NoteKey::Ecdsa(service.public_key())),
                named(NoteKey::Ed25519(public_half(&log_pair))),
            ],
            log_pair,
            tls,
            collected: Mutex::default(),
        })
    }

    /// The nodes that the ledger trusts, this one too.
    fn trusted(&self) -> Vec<NodeRow> {
        let rows = nodes(self.cosigner.reader()).into_iter();
        rows.filter(|row| row.status == NodeStatus::Trusted && row.cert.is_some())
            .collect()
    }

    /// Compares histories with the other nodes, again and again: one that is asked to countersign another
    /// root than its own says so in its log. So even if nobody asks for cosignatures, a leader that tells
    /// two nodes two histories is found out as soon as these can reach each other.
    pub(crate) async fn compare(self: Arc<Self>) {
        loop {
            tokio::time::sleep(COMPARED_EVERY).await;
            let mut collected = self.collected.lock().await;
            let size = self.cosigner.newest();
            let known = |last: &Last| last.size == size.0 && last.by_all;
            if size == Seqno::ZERO || collected.last.as_ref().is_some_and(known) {
                continue;
            }
            match self.collect(&mut collected, size).await {
                Ok(last) => collected.last = Some(last),
                Err(error) => tracing::error!(%error, "histories cannot be compared"),
            }
        }
    }

    /// This node as a cosigner, for others.
    pub(crate) const fn cosigner(&self) -> &Arc<Cosigner> {
        &self.cosigner
    }

    /// What was collected last if it is `good`, else the newest checkpoint. Those who ask at the same
    /// time wait for the same answers.
    async fn countersigned(&self, good: impl Fn(&Last, Seqno) -> bool) -> Result<Last, ReadError> {
        let mut collected = self.collected.lock().await;
        let size = self.cosigner.newest();
        if size == Seqno::ZERO {
            // A node that has just joined.
            return Err(ReadError::Pending(TxId::default()));
        }
        let known = collected.last.as_ref();
        if let Some(last) = known.filter(|last| good(last, size)) {
            return Ok(last.clone());
        }
        let last = self.collect(&mut collected, size).await?;
        collected.last = Some(last.clone());
        Ok(last)
    }

    async fn collect(&self, collected: &mut Collected, size: Seqno) -> Result<Last, ReadError> {
        let at = Instant::now();
        let signed = self.cosigner.reader().signed_root(size)?.ok_or_else(|| {
            ReadError::Damaged(format!("the signature entry at seqno {size} is not there"))
        })?;
        let root = signed.root;
        let ask = Ask { size: size.0, root };
        let text = Checkpoint::of_service(&self.service, size.0, root).text();
        let mut lines = self.service_lines(&text).to_vec();
        let nodes = self.trusted();
        let asked = nodes.iter().map(|node| {
            let id = node.id.parse().ok();
            let link = id.and_then(|id: Digest| collected.links.remove(&id));
            tokio::time::timeout(ANSWERED_WITHIN, self.ask(node, link, ask))
        });
        let asked: Vec<_> = asked.collect();
        let mut signers = 0;
        for (node, answer) in nodes.iter().zip(join_all(asked).await) {
            let (Some(id), Ok(Some((answer, link)))) = (public_key(node), answer) else {
                tracing::debug!(node = node.id, "a node did not countersign in time");
                continue;
            };
            if let Some(link) = link {
                collected.links.insert(id.key_digest(), link);
            }
            let Some(key) = answer.key_of(&self.service, &id) else {
                tracing::warn!(node = node.id, "a node countersigns with a foreign key");
                continue;
            };
            if let Some(line) = answer.line(&key, &text) {
                lines.push(line);
                signers += 1;
            }
            let known = (key, answer.binding);
            collected.keys.insert(id.key_digest(), known);
        }
        // More nodes than that are of no use to anybody.
        lines.truncate(MAX_NOTE_SIGNATURES);
        let note = SignedNote::new(text, lines);
        Ok(Last {
            at,
            size: size.0,
            note: note.expect("a checkpoint and its signatures are a note"),
            by_all: signers == nodes.len(),
        })
    }

    /// The service's own signatures.
    fn service_lines(&self, text: &str) -> [NoteSignature; 2] {
        let [service, log] = &self.log_keys;
        // ECDSA with SHA-256 over the text: the digest is what is signed, as with roots.
        let signature = self.service_key.sign_root(&Digest::of(text.as_bytes()));
        let by_log = self.log_pair.sign(text.as_bytes());
        [service.line(signature), log.line(by_log.as_ref().to_vec())]
    }

    /// Asks one node, on the connection that is there or on a new one.
    async fn ask(
        &self,
        node: &NodeRow,
        link: Option<Outgoing>,
        ask: Ask,
    ) -> Option<(Countersigned, Option<Outgoing>)> {
        let id: Digest = node.id.parse().ok()?;
        if id == self.own {
            return Some((self.cosigner.answer(ask).await, None));
        }
        let tls = self.tls.as_ref()?;
        let address = node.peer_address.as_ref()?;
        let question = Request::Cosign(ask).encode();
        let kept = match link {
            Some(mut link) => link.ask(&question).await.ok().map(|answer| (answer, link)),
            None => None,
        };
        let (answer, link) = match kept {
            Some(answered) => answered,
            None => {
                let mut link = tls.connect(id, address).await.ok()?;
                (link.ask(&question).await.ok()?, link)
            }
        };
        match Reply::decode(&answer) {
            Ok(Reply::Cosign(answer)) => Some((answer, Some(link))),
            _ => None,
        }
    }
}

impl Node {
    /// The newest checkpoint, signed by the service and countersigned by all nodes that answer in a
    /// moment. It may be a second old.
    ///
    /// # Errors
    /// This node's files are damaged.
    pub async fn checkpoint(&self) -> Result<SignedNote, ReadError> {
        let good = |last: &Last, newest: Seqno| {
            let complete = last.by_all && last.size == newest.0;
            let until = if complete {
                SIGNED_AGAIN
            } else {
                COLLECTED_EVERY
            };
            last.at.elapsed() < until
        };
        Ok(self.cosigning.countersigned(good).await?.note)
    }

    /// The receipt of a committed transaction, with a checkpoint above it that the nodes countersigned:
    /// those that answered in a moment. The receipt of a signature is as [`Node::receipt`] gives it.
    ///
    /// # Errors
    /// The transaction is not committed, or this node's files are damaged.
    pub async fn cosigned_receipt(&self, id: TxId) -> Result<ReceiptDocument, ReadError> {
        let mut document = self.receipt(id)?;
        let Covered::Transaction { .. } = document.receipt.covered else {
            return Ok(document);
        };
        let good = |last: &Last, _| {
            let complete = last.by_all || last.at.elapsed() < COLLECTED_EVERY;
            last.size > id.seqno.0 && complete
        };
        let last = self.cosigning.countersigned(good).await?;
        document.receipt.cosigned = Some(Cosigned {
            proof: self.reader().prove(id.seqno, last.size)?,
            checkpoint: last.note,
        });
        Ok(document)
    }

    /// All nodes that the ledger trusts, as cosigners.
    ///
    /// # Errors
    /// This node's files are damaged.
    pub async fn cosigners(&self) -> Result<Vec<KnownCosigner>, ReadError> {
        self.checkpoint().await?;
        let collected = self.cosigning.collected.lock().await;
        let nodes = self.cosigning.trusted().into_iter();
        let cosigners = nodes.map(|node| {
            let id = node.id.parse().ok();
            let known = id.and_then(|id: Digest| collected.keys.get(&id)).cloned();
            let (key, binding) = known.unzip();
            KnownCosigner { node, key, binding }
        });
        Ok(cosigners.collect())
    }

    /// The keys with which the service signs checkpoints: its own, and one derived from it for tools
    /// that know Ed25519 only.
    pub fn checkpoint_keys(&self) -> &[VerifierKey] {
        &self.cosigning.log_keys
    }
}

fn public_key(node: &NodeRow) -> Option<PublicKey> {
    let spki = STANDARD.decode(&node.public_key).ok()?;
    let key = PublicKey::from_spki_der(&spki).ok()?;
    (key.key_digest().to_string() == node.id).then_some(key)
}
