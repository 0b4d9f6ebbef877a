//! Nodes that send files: honest ones, ones that stop, and ones that lie.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ledger::Transaction;
use ledger::entries::AppendEntry;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use verify::{Cert, Digest};

use super::fetch::Fetch;
use super::host::Host;
use super::lines::Lines;
use super::wire::{Answer, Question};
use crate::identity;
use crate::join::KnownNode;
use crate::peers::PeerTls;
use crate::platform::{self, Secrets};
use crate::{Node, NodeConfig, PeerConfig, Timing, Wait};

/// What a node that sends files does to its answers; `None` closes the connection.
type Change = dyn Fn(&Question, Answer) -> Option<Answer> + Send + Sync;

struct Stage {
    node: Arc<Node>,
    dir: tempfile::TempDir,
    secrets: Secrets,
    service: Cert,
}

impl Stage {
    /// A node with a ledger of some files and a snapshot.
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = NodeConfig {
            peers: Some(PeerConfig {
                listen: "127.0.0.1:0".parse().unwrap(),
                published_address: None,
                timing: Timing::default(),
                replay_entries: 100,
            }),
            chunk_bytes: 20_000,
            ..NodeConfig::new(dir.path())
        };
        let started = tokio::task::spawn_blocking(|| Node::start(config).unwrap());
        let node = started.await.unwrap();
        for first in 0..10 {
            let entries = (0..100).map(|number| -> Box<dyn Transaction> {
                let contents = format!("entry {first} {number}");
                let entry =
                    AppendEntry::new(node.visibility(), node.limits(), None, contents, Vec::new());
                Box::new(entry.unwrap())
            });
            let answers = node.submit_many(entries.collect(), Wait::Committed).await;
            assert!(answers.unwrap().iter().all(Result::is_ok));
        }
        let secrets = platform::load(dir.path()).unwrap().unwrap();
        let service = Cert::from_pem(node.service_cert()).unwrap();
        let stage = Self {
            node,
            dir,
            secrets,
            service,
        };
        let snapshots = stage.node.snapshots.as_ref().unwrap();
        assert!(snapshots.make());
        for _ in 0..1_000 {
            if snapshots.newest().is_some() {
                return stage;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no snapshot is made");
    }

    /// The identity of another node of the service.
    fn identity(&self) -> PeerTls {
        let secrets = Secrets {
            node_key: identity::draw_key().unwrap(),
            ledger_secrets: self.secrets.ledger_secrets.clone(),
            state_secret: self.secrets.state_secret.clone(),
            service_key: self.secrets.service_key.clone(),
        };
        let cert = identity::node_cert(&secrets, &[], OffsetDateTime::now_utc()).unwrap();
        PeerTls::new(self.service.clone(), &cert, &secrets.node_key).unwrap()
    }

    /// A node that has what this one has, and answers as `change` says.
    async fn sender(&self, change: Arc<Change>) -> KnownNode {
        let agreement = self.node.agreement.as_ref().unwrap();
        let host = Arc::new(Host::new(
            Arc::clone(&self.node.reader),
            Arc::clone(&agreement.tail),
            Arc::clone(self.node.snapshots.as_ref().unwrap()),
        ));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let tls = Arc::new(self.identity());
        let asker: Digest = self.node.id().parse().unwrap();
        let id = tls.id().to_string();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (host, tls) = (Arc::clone(&host), Arc::clone(&tls));
                let change = Arc::clone(&change);
                tokio::spawn(async move {
                    let (mut connection, _) = tls.accept(stream).await.unwrap();
                    while let Ok(Some(asked)) = connection.question().await {
                        let question = Question::decode(&asked).unwrap();
                        // This node's own id stands for whoever asks: it is trusted.
                        let answer = change(&question, host.answer(asker, &asked));
                        let Some(answer) = answer else { return };
                        if connection.answer(&answer.encode()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        KnownNode { id, address }
    }

    fn fetch(&self, dir: &Path, known: &[KnownNode]) -> Fetch {
        Fetch {
            lines: Lines::new(self.identity(), known),
            arrival: Arc::new(store::arrival::Arrival::begin(dir).unwrap().unwrap()),
            service: self.service.clone(),
            replay_entries: 100,
        }
    }

    /// What arrived in `dir` is what this node has, and opens.
    fn arrived(&self, dir: &Path) {
        for chunk in self.node.reader.files().unwrap() {
            let name = format!("ledger/{}", chunk.name());
            let [one, other] = [self.dir.path(), dir].map(|dir| std::fs::read(dir.join(&name)));
            assert_eq!(one.unwrap(), other.unwrap(), "{name}");
        }
        let ledger = Arc::new(ledger::LedgerSecrets::new(&self.secrets.ledger_secrets));
        let secrets = crate::start::store_secrets(&self.secrets, &ledger);
        let options = store::StoreOptions {
            tail: store::Tail::Undecided,
            ..store::StoreOptions::default()
        };
        let opened = store::Store::open(dir, secrets, options).unwrap();
        assert_eq!(opened.reader().committed(), self.node.committed());
    }
}

fn honest() -> Arc<Change> {
    Arc::new(|_, answer| Some(answer))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_arrival_goes_on_where_it_stopped() {
    let stage = Stage::new().await;
    let pieces = AtomicUsize::new(0);
    let stops = stage
        .sender(Arc::new(move |question, answer| {
            let file = !matches!(question, Question::Offer | Question::Make);
            let stop = file && pieces.fetch_add(1, Ordering::Relaxed) >= 8;
            (!stop).then_some(answer)
        }))
        .await;
    let dir = tempfile::tempdir().unwrap();
    let interrupted = stage.fetch(dir.path(), &[stops]);
    let lines = Arc::clone(&interrupted.lines);
    let cut = tokio::time::timeout(Duration::from_secs(2), interrupted.run()).await;
    assert!(cut.is_err(), "it waits for the node to answer again");
    let before = lines.bytes.load(Ordering::Relaxed);
    assert!(before > 100_000, "{before}");
    let honest = stage.sender(honest()).await;
    let rest = stage.fetch(dir.path(), &[honest]);
    let lines = Arc::clone(&rest.lines);
    assert!(rest.run().await.unwrap());
    let after = lines.bytes.load(Ordering::Relaxed);
    let all: u64 = stage
        .node
        .reader
        .files()
        .unwrap()
        .iter()
        .map(|chunk| chunk.bytes)
        .sum();
    assert!(
        before + after < all + all / 4,
        "{before} and {after} of {all}"
    );
    stage.arrived(dir.path());
    stage.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_sends_something_else_is_found_out_and_another_one_asked() {
    let stage = Stage::new().await;
    let lies: [Arc<Change>; 4] = [
        Arc::new(|question, answer| match (question, answer) {
            (Question::Chunk { .. }, Answer::Bytes(mut bytes)) => {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                Some(Answer::Bytes(bytes))
            }
            (_, answer) => Some(answer),
        }),
        Arc::new(|question, answer| match (question, answer) {
            (Question::Snapshot { .. }, Answer::Bytes(mut bytes)) => {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                Some(Answer::Bytes(bytes))
            }
            (_, answer) => Some(answer),
        }),
        Arc::new(|_, answer| match answer {
            Answer::Offer(mut offer) => {
                offer.order.marks.pop();
                Some(Answer::Offer(offer))
            }
            answer => Some(answer),
        }),
        Arc::new(|_, answer| match answer {
            Answer::Offer(mut offer) => {
                for chunk in &mut offer.chunks {
                    chunk.last.0 += 50;
                }
                Some(Answer::Offer(offer))
            }
            answer => Some(answer),
        }),
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        let liar = stage.sender(lie).await;
        let dir = tempfile::tempdir().unwrap();
        // The snapshot is asked of the first, the order told by the last.
        let at = usize::from(number != 1);
        let mut known = vec![stage.sender(honest()).await];
        known.insert(at, liar.clone());
        let fetch = stage.fetch(dir.path(), &known);
        let lines = Arc::clone(&fetch.lines);
        assert!(fetch.run().await.unwrap(), "lie {number}");
        assert_eq!(lines.good(), [1 - at], "lie {number}: it is found out");
        stage.arrived(dir.path());
        // Whoever knows only the liar gets nothing, and leaves nothing.
        let dir = tempfile::tempdir().unwrap();
        let fetch = stage.fetch(dir.path(), &[liar]);
        assert!(!fetch.run().await.unwrap(), "lie {number}");
        assert!(!dir.path().join("arriving").exists() && !dir.path().join("ledger").exists());
    }
    stage.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_not_for_strangers() {
    let stage = Stage::new().await;
    let agreement = stage.node.agreement.as_ref().unwrap();
    let host = Host::new(
        Arc::clone(&stage.node.reader),
        Arc::clone(&agreement.tail),
        Arc::clone(stage.node.snapshots.as_ref().unwrap()),
    );
    let stranger = Digest::of(b"stranger");
    for question in [Question::Offer, Question::Make] {
        let answer = host.answer(stranger, &question.encode());
        assert!(matches!(answer, Answer::Refused(_)), "{answer:?}");
    }
    drop(host);
    stage.node.stop().await;
}
