//! This node as a cosigner: it countersigns what its own committed history says, and nothing else.
//!
//! What is signed is the text of a checkpoint ([`verify::checkpoint`]). A node signs a root only if its
//! own committed tree has it at that size, and committed entries never change: so it cannot sign two
//! histories, whoever asks. Nothing is recorded; a cosignature is made when somebody wants one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use store::Reader;
use time::OffsetDateTime;
use tokio::sync::watch;
use verify::checkpoint::{Checkpoint, cosigner_binding, cosigner_name};
use verify::note::{NoteKey, NoteSignature, Said, cosigned_message, timestamped};
use verify::{Digest, PublicKey, Seqno, SignedNote, TxId, VerifierKey};
use zeroize::Zeroizing;

use crate::identity::{IdentityError, NodeSigner};
use crate::reads::ReadError;

/// A node that is behind the one that asks catches up in a heartbeat or two.
const CAUGHT_UP_WITHIN: Duration = Duration::from_millis(400);

/// How long a size may have been passed and still be countersigned. A cosignature says that nothing
/// newer is known; nodes learn of a commit one after the other, but within moments.
const PASSED_BEFORE: Duration = Duration::from_secs(10);

/// What the key is derived for, and nothing else.
const COSIGNER_KEY: &[u8] = b"counterfoil cosigner key 1";

/// A question to another node: does your history have this root at this size?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) size: u64,
    pub(crate) root: Digest,
}

/// Its answer: which key it cosigns with, that this key is its own, and the cosignature if it has
/// that history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Countersigned {
    pub(crate) key: [u8; 32],
    pub(crate) binding: Vec<u8>,
    /// As it stands in a note.
    pub(crate) signature: Option<Vec<u8>>,
}

impl Countersigned {
    /// The key, if the node whose public key this is says that it is its own.
    pub(crate) fn key_of(&self, service: &Digest, node: &PublicKey) -> Option<VerifierKey> {
        let binding = cosigner_binding(service, &self.key);
        node.verify_prehashed(&binding, &self.binding).ok()?;
        let name = cosigner_name(&node.key_digest());
        VerifierKey::new(name, NoteKey::Cosignature(self.key)).ok()
    }

    /// The line for a note of this text, if the key made it.
    pub(crate) fn line(&self, key: &VerifierKey, text: &str) -> Option<NoteSignature> {
        let line = key.line(self.signature.clone()?);
        let note = SignedNote::new(text.to_owned(), vec![line.clone()]).ok()?;
        matches!(note.signed_by(key), Ok(Some(Said::Cosigned(_)))).then_some(line)
    }
}

/// A key that is derived from another one, for one purpose: it needs no place of its own to rest.
pub(crate) fn derived_key(pkcs8: &[u8], purpose: &[u8]) -> Ed25519KeyPair {
    let mut seed = Zeroizing::new([0; 32]);
    Salt::new(HKDF_SHA256, b"")
        .extract(pkcs8)
        .expand(&[purpose], HKDF_SHA256)
        .and_then(|key| key.fill(&mut *seed))
        .expect("HKDF gives 32 bytes");
    Ed25519KeyPair::from_seed_unchecked(&*seed).expect("any 32 bytes are a seed")
}

/// The public half.
pub(crate) fn public_half(key: &Ed25519KeyPair) -> [u8; 32] {
    let public = key.public_key().as_ref().try_into();
    public.expect("an Ed25519 public key has 32 bytes")
}

/// Countersigns what this node has committed.
pub(crate) struct Cosigner {
    service: Digest,
    pair: Ed25519KeyPair,
    key: [u8; 32],
    binding: Vec<u8>,
    reader: Arc<Reader>,
    committed: watch::Receiver<TxId>,
    newest: Mutex<Newest>,
}

/// Sizes that were passed too long ago to be countersigned as the newest.
struct Newest {
    since: Instant,
    seen: u64,
    passed: u64,
}

impl Cosigner {
    /// The cosigner of the node with this key (PKCS#8 DER), in the network of this service.
    pub(crate) fn new(
        node_key: &[u8],
        service: Digest,
        reader: Arc<Reader>,
        committed: watch::Receiver<TxId>,
    ) -> Result<Self, IdentityError> {
        let pair = derived_key(node_key, COSIGNER_KEY);
        let key = public_half(&pair);
        let binding = NodeSigner::new(node_key)?.sign_root(&cosigner_binding(&service, &key));
        let seen = committed.borrow().seqno.0;
        Ok(Self {
            service,
            pair,
            key,
            binding,
            reader,
            committed,
            newest: Mutex::new(Newest {
                since: Instant::now(),
                seen,
                passed: 0,
            }),
        })
    }

    /// The newest signed root that is committed here: a size, and never anything but that.
    pub(crate) fn newest(&self) -> Seqno {
        self.committed.borrow().seqno
    }

    /// What is committed here.
    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Answers another node, or this one. Waits a moment for what is not committed here yet.
    pub(crate) async fn answer(&self, ask: Ask) -> Countersigned {
        let mut committed = self.committed.clone();
        let arrived = committed.wait_for(|committed| committed.seqno.0 >= ask.size);
        // Late: what is not here is not signed.
        let _ = tokio::time::timeout(CAUGHT_UP_WITHIN, arrived).await;
        let signature = self.sign(ask).unwrap_or_else(|error| {
            tracing::error!(%error, "a root cannot be countersigned");
            None
        });
        Countersigned {
            key: self.key,
            binding: self.binding.clone(),
            signature,
        }
    }

    fn sign(&self, ask: Ask) -> Result<Option<Vec<u8>>, ReadError> {
        let Ask { size, root } = ask;
        let committed = self.newest().0;
        if size == 0 || size > committed {
            return Ok(None);
        }
        let own = self.reader.prove(Seqno::ZERO, size)?.root(Digest::ZERO);
        if own != root {
            tracing::error!(
                size,
                %root,
                %own,
                "ALARM: another node of this service asked to countersign another history"
            );
            return Ok(None);
        }
        // Only where a root was signed: there the reader compares it with the tree.
        let signed_there = self.reader.signature_covering(Seqno(size))? == Some(Seqno(size));
        if !signed_there || size <= self.passed(committed) {
            return Ok(None);
        }
        let text = Checkpoint::of_service(&self.service, size, root).text();
        let time = OffsetDateTime::now_utc().unix_timestamp();
        let time = u64::try_from(time).unwrap_or(0);
        let signature = self.pair.sign(cosigned_message(time, &text).as_bytes());
        let signature = signature.as_ref().try_into();
        let signature = signature.expect("an Ed25519 signature has 64 bytes");
        Ok(Some(timestamped(time, signature)))
    }

    /// The largest size that is known to have been passed too long ago.
    fn passed(&self, committed: u64) -> u64 {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.since.elapsed() > PASSED_BEFORE {
            newest.passed = newest.seen.saturating_sub(1);
            newest.seen = committed;
            newest.since = Instant::now();
        }
        newest.passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Node, NodeConfig};

    fn ask(node: &Node, size: Seqno) -> Ask {
        let signed = node.reader().signed_root(size).unwrap().unwrap();
        Ask {
            size: size.0,
            root: signed.root,
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn only_its_own_committed_history_is_countersigned() {
        let dir = tempfile::tempdir().unwrap();
        let config = NodeConfig::new(dir.path());
        let node = tokio::task::spawn_blocking(|| Node::start(config).unwrap());
        let node = node.await.unwrap();
        let key = crate::identity::draw_key().unwrap();
        let (_, committed) = watch::channel(node.committed());
        let (service, reader) = (node.service_cert_digest(), Arc::clone(&node.reader));
        let cosigner = Cosigner::new(&key, service, reader, committed).unwrap();
        let newest = ask(&node, node.committed().seqno);

        let answer = cosigner.answer(newest).await;
        let spki = crate::identity::public_key(&key).unwrap();
        let public = PublicKey::from_spki_der(&spki).unwrap();
        let cosigning = answer.key_of(&service, &public).unwrap();
        let text = Checkpoint::of_service(&service, newest.size, newest.root).text();
        assert!(answer.line(&cosigning, &text).is_some());
        assert!(
            answer
                .line(&cosigning, &text.replace('\n', "\n\n"))
                .is_none()
        );
        let another = node.node_cert.public_key();
        assert_eq!(answer.key_of(&service, &another), None);
        assert_eq!(answer.key_of(&Digest::ZERO, &public), None);

        let other_root = Ask {
            root: Digest::of(b"other"),
            ..newest
        };
        let not_signed = Ask { size: 1, ..newest };
        let not_there = Ask {
            size: newest.size + 1,
            ..newest
        };
        for ask in [other_root, not_signed, not_there] {
            assert_eq!(cosigner.answer(ask).await.signature, None, "{ask:?}");
        }
        // Passed long ago: it would be presented as the newest.
        let long_ago = Instant::now().checked_sub(2 * PASSED_BEFORE).unwrap();
        let newest_seen = |seen| Newest {
            since: long_ago,
            seen,
            passed: 0,
        };
        *cosigner.newest.lock().unwrap() = newest_seen(newest.size);
        assert!(cosigner.answer(newest).await.signature.is_some());
        *cosigner.newest.lock().unwrap() = newest_seen(newest.size + 1);
        assert_eq!(cosigner.answer(newest).await.signature, None);
        node.stop().await;
    }
}
