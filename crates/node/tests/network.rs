//! Several nodes, one ledger: joined, led, lost and found again.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ledger::entries::AppendEntry;
use ledger::governance::wishes;
use ledger::nodes::{NodeRow, NodeStatus, PutNode, nodes};
use ledger::rekey::NewSecret;
use ledger::tables::WISHES;
use ledger::users::UserId;
use ledger::{Transaction, Tx};
use node::join::{JoinAnswer, Joining};
use node::{AdmitError, Node, NodeConfig, PeerConfig, StartError, SubmitError, Timing, Wait};
use verify::checkpoint::cosigner_binding;
use verify::note::{NoteKey, Said};
use verify::{
    Cert, CosignError, Cosigners, Digest, PublicKey, ReceiptError, Seqno, TxId, TxStatus, Verifier,
};

const SOON: Duration = Duration::from_secs(20);

fn config(dir: &Path) -> NodeConfig {
    NodeConfig {
        administrators: vec![UserId::parse("administrator").unwrap()],
        peers: Some(PeerConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            published_address: None,
            timing: Timing {
                heartbeat: Duration::from_millis(50),
                election: Duration::from_millis(250),
            },
            replay_entries: 300,
        }),
        chunk_bytes: 20_000,
        ..NodeConfig::new(dir)
    }
}

fn append(node: &Node, contents: &str) -> Box<dyn Transaction> {
    let contents = contents.to_owned();
    let entry = AppendEntry::new(node.visibility(), node.limits(), None, contents, Vec::new());
    Box::new(entry.unwrap())
}

async fn write_once(node: &Node, contents: &str) -> Result<TxId, SubmitError> {
    let id = node.submit(append(node, contents), Wait::Committed).await?;
    Ok(id.unwrap())
}

/// Writes to a node that leads; while it cannot tell whether it does, nothing is recorded.
async fn write(node: &Node, contents: &str) -> Result<TxId, SubmitError> {
    let start = Instant::now();
    loop {
        match write_once(node, contents).await {
            Err(SubmitError::NotLeading) if start.elapsed() < SOON => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            outcome => return outcome,
        }
    }
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < SOON, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Starts a node that joins the network of `leader`, as its members would let it.
async fn join(leader: &Arc<Node>, dir: &Path) -> Arc<Node> {
    let config = config(dir);
    let service = Cert::from_pem(leader.service_cert()).unwrap();
    let joining = Joining::new(&config, &service).unwrap();
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < SOON, "joining takes too long");
        match leader.admit(joining.request()).await {
            Ok(JoinAnswer::Trusted { sealed, .. }) => {
                joining.admitted(&sealed, &service).unwrap();
                break;
            }
            Ok(JoinAnswer::Pending { node_id }) => trust(leader, &node_id).await,
            Err(AdmitError::Submit(SubmitError::NotLeading)) => {}
            Err(error) => panic!("{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    start_node(config).await
}

fn alone(dir: &Path) -> NodeConfig {
    NodeConfig {
        peers: None,
        ..config(dir)
    }
}

async fn start_node(config: NodeConfig) -> Arc<Node> {
    tokio::task::spawn_blocking(|| Node::start(config).unwrap())
        .await
        .unwrap()
}

async fn set_status(leader: &Node, id: &str, status: NodeStatus) {
    let row = ledger::nodes::node(leader.state(), id).unwrap();
    if row.status != status {
        let node = NodeRow { status, ..row };
        let start = Instant::now();
        loop {
            let put = Box::new(PutNode { node: node.clone() });
            match leader.submit(put, Wait::Committed).await {
                Err(SubmitError::NotLeading) if start.elapsed() < SOON => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                outcome => {
                    outcome.unwrap().unwrap();
                    return;
                }
            }
        }
    }
}

/// What members do.
async fn trust(leader: &Node, id: &str) {
    set_status(leader, id, NodeStatus::Trusted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_go_only_to_who_holds_the_key_that_is_trusted() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let founder = start_node(config(dirs[0].path())).await;
    let service = Cert::from_pem(founder.service_cert()).unwrap();
    let joining = |dir: &tempfile::TempDir| Joining::new(&config(dir.path()), &service).unwrap();
    let honest = joining(&dirs[1]);
    let JoinAnswer::Pending { node_id } = founder.admit(honest.request()).await.unwrap() else {
        panic!("nobody has voted");
    };
    trust(&founder, &node_id).await;
    // Everybody knows the public key. Evidence without hardware can be made up for it.
    let thief = joining(&dirs[1]);
    let mut forged = thief.request().clone();
    forged.public_key = honest.request().public_key.clone();
    let refused = founder.admit(&forged).await;
    assert!(
        matches!(refused, Err(AdmitError::Request(_))),
        "{refused:?}"
    );
    // A request overheard and changed to seal to another key.
    let mut changed = honest.request().clone();
    changed.encryption_key = thief.request().encryption_key.clone();
    let refused = founder.admit(&changed).await;
    assert!(
        matches!(refused, Err(AdmitError::Request(_))),
        "{refused:?}"
    );
    // What is sealed to one cannot be opened by another.
    let start = Instant::now();
    let sealed = loop {
        // The leader gives it a certificate first.
        match founder.admit(honest.request()).await.unwrap() {
            JoinAnswer::Trusted { sealed, .. } => break sealed,
            JoinAnswer::Pending { .. } => assert!(start.elapsed() < SOON, "it is trusted"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(thief.admitted(&sealed, &service).is_err());
    honest.admitted(&sealed, &service).unwrap();
    founder.stop().await;
}

struct Network {
    nodes: Vec<Arc<Node>>,
    dirs: Vec<tempfile::TempDir>,
}

impl Network {
    async fn of(count: usize) -> Self {
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let dirs: Vec<_> = (0..count).map(|_| tempfile::tempdir().unwrap()).collect();
        let founder = start_node(config(dirs[0].path())).await;
        let mut nodes = vec![founder];
        for dir in &dirs[1..] {
            let joined = join(&nodes[0], dir.path()).await;
            nodes.push(joined);
        }
        let network = Self { nodes, dirs };
        network.all_decide().await;
        network
    }

    async fn all_decide(&self) {
        let all = self.nodes.len();
        until("all decide", || {
            let deciding = |node: &Arc<Node>| node.standing().deciding.len() == all;
            self.nodes.iter().all(deciding)
        })
        .await;
        self.caught_up().await;
    }

    fn leader(&self) -> Option<&Arc<Node>> {
        self.nodes.iter().find(|node| node.standing().leads)
    }

    async fn led(&self) -> &Arc<Node> {
        until("somebody leads", || self.leader().is_some()).await;
        self.leader().unwrap()
    }

    async fn caught_up(&self) {
        let last = self.led().await.committed();
        until("all have all", || {
            self.nodes.iter().all(|node| node.committed() >= last)
        })
        .await;
    }

    /// Every node has the same history, and every receipt of it verifies.
    async fn agree(&self) {
        self.caught_up().await;
        let last = self
            .nodes
            .iter()
            .map(|node| node.committed())
            .min()
            .unwrap();
        let verifier = Verifier::new(Cert::from_pem(self.nodes[0].service_cert()).unwrap());
        let history = |node: &Node| -> Vec<(TxId, Digest)> {
            let ids = (1..=last.seqno.0).map(|seqno| {
                let history = node.view_history();
                let view = history.iter().rev().find(|(_, first)| first.0 <= seqno);
                TxId::new(view.unwrap().0, Seqno(seqno))
            });
            ids.map(|id| {
                let receipt = node.receipt(id).unwrap();
                match verifier.verify_document(&receipt) {
                    Ok(verified) => (id, verified.root),
                    // The receipt of a signed root proves nothing but itself.
                    Err(ReceiptError::SignatureTransaction) => (id, Digest::ZERO),
                    Err(error) => panic!("{id}: {error}"),
                }
            })
            .collect()
        };
        let first = history(&self.nodes[0]);
        for node in &self.nodes[1..] {
            assert_eq!(history(node), first);
        }
    }

    async fn stop(self) {
        for node in self.nodes {
            node.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_have_one_history() {
    let network = Network::of(3).await;
    let leader = network.led().await;
    let mut written = Vec::new();
    for number in 0..40 {
        written.push(write(leader, &format!("entry {number}")).await.unwrap());
    }
    network.agree().await;
    for node in &network.nodes {
        for (number, id) in written.iter().enumerate() {
            assert_eq!(node.status(*id), TxStatus::Committed);
            let entry = node.entry(*id, None).unwrap();
            assert_eq!(entry.value.contents, format!("entry {number}"));
        }
        let rows = nodes(node.state());
        assert!(rows.iter().all(|row| row.status == NodeStatus::Trusted));
    }
    network.stop().await;
}

/// Asks for a new ledger secret, as members do, and waits until every node has it.
async fn rekey(network: &Network) -> NewSecret {
    let leader = network.led().await;
    let before = NewSecret::read(leader.state());
    let wish = |tx: &mut Tx<'_>| {
        let row = br#"{"seqno":1,"args":null}"#.to_vec();
        tx.put(WISHES, wishes::REKEY.as_bytes(), row);
        Ok(Digest::ZERO)
    };
    let wish: Box<dyn Transaction> = Box::new(wish);
    leader.submit(wish, Wait::Committed).await.unwrap().unwrap();
    until("every node has a new secret", || {
        let rows = network
            .nodes
            .iter()
            .map(|node| NewSecret::read(node.state()));
        rows.into_iter().all(|row| row.is_some() && row != before)
    })
    .await;
    NewSecret::read(leader.state()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_is_rekeyed_while_it_is_written() {
    let mut network = Network::of(3).await;
    let mut written = Vec::new();
    for round in 0..3 {
        for number in 0..5 {
            let contents = format!("entry {number} of round {round}");
            let id = write(network.led().await, &contents).await.unwrap();
            written.push((id, contents));
        }
        if round < 2 {
            let row = rekey(&network).await;
            assert_eq!(row.encrypted_secrets.len(), 3);
            assert!(written.iter().all(|(id, _)| id.seqno.0 < row.version));
        }
    }
    let version = NewSecret::read(network.nodes[0].state()).unwrap().version;
    assert!(written[10..].iter().all(|(id, _)| id.seqno.0 >= version));
    network.caught_up().await;
    let everything_is_read = |node: &Node| {
        for (id, contents) in &written {
            assert_eq!(node.entry(*id, None).unwrap().value.contents, *contents);
        }
    };
    for node in &network.nodes {
        everything_is_read(node);
    }
    // One that joins later is told all secrets; those that start again find them in the ledger.
    let dir = tempfile::tempdir().unwrap();
    let joined = join(network.led().await, dir.path()).await;
    network.nodes.push(joined);
    network.dirs.push(dir);
    network.all_decide().await;
    everything_is_read(&network.nodes[3]);
    let dirs: Vec<_> = network.dirs.drain(..).collect();
    network.stop().await;
    for folder in ["index", "state"] {
        std::fs::remove_dir_all(dirs[0].path().join(folder)).unwrap();
    }
    let mut nodes = Vec::new();
    for dir in &dirs {
        nodes.push(start_node(config(dir.path())).await);
    }
    let network = Network { nodes, dirs };
    network.agree().await;
    for node in &network.nodes {
        everything_is_read(node);
    }
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_refuses_writes_and_names_the_leader() {
    let network = Network::of(3).await;
    let leader = network.led().await.id().to_owned();
    for node in network.nodes.iter().filter(|node| node.id() != leader) {
        assert_eq!(write_once(node, "no").await, Err(SubmitError::NotLeading));
        assert_eq!(node.standing().leader.as_deref(), Some(&*leader));
        assert!(node.leader_address().is_some());
        assert!(node.confirm_leading().await.is_err());
    }
    network.led().await.confirm_leading().await.unwrap();
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stops_hands_over_and_nothing_is_lost() {
    let mut network = Network::of(3).await;
    let before = write(network.led().await, "before").await.unwrap();
    let leader = network.led().await.id().to_owned();
    let at = network
        .nodes
        .iter()
        .position(|node| node.id() == leader)
        .unwrap();
    let old = network.nodes.remove(at);
    old.stop().await;
    drop(old);
    let after = {
        let leader = network.led().await;
        write(leader, "after").await.unwrap()
    };
    assert!(after.view > before.view);
    for node in &network.nodes {
        assert_eq!(node.status(before), TxStatus::Committed);
    }
    // The old leader comes back as a follower and learns what it missed.
    let back = start_node(config(network.dirs[at].path())).await;
    network.nodes.push(back);
    network.agree().await;
    assert_eq!(network.nodes[2].status(after), TxStatus::Committed);
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_network_comes_back() {
    let mut network = Network::of(3).await;
    let id = write(network.led().await, "kept").await.unwrap();
    for node in network.nodes.drain(..) {
        node.stop().await;
    }
    for at in 0..3 {
        let node = start_node(config(network.dirs[at].path())).await;
        network.nodes.push(node);
    }
    network.led().await;
    let more = write(network.led().await, "more").await.unwrap();
    assert!(more.view > id.view);
    network.agree().await;
    assert_eq!(
        network.nodes[1].entry(id, None).unwrap().value.contents,
        "kept"
    );
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_members_remove_decides_no_more() {
    let mut network = Network::of(3).await;
    let leader = network.led().await;
    let at = network
        .nodes
        .iter()
        .position(|node| node.id() != leader.id())
        .unwrap();
    let removed = network.nodes[at].id().to_owned();
    set_status(leader, &removed, NodeStatus::Retired).await;
    let removed = network.nodes.remove(at);
    let last = write(network.led().await, "without").await.unwrap();
    network.all_decide().await;
    network.agree().await;
    assert_eq!(network.nodes[0].status(last), TxStatus::Committed);
    removed.stop().await;
    write(network.led().await, "still").await.unwrap();
    network.stop().await;
}

async fn write_many(node: &Node, entries: u64) -> Vec<TxId> {
    let mut ids = Vec::new();
    for first in (0..entries).step_by(100) {
        let entries = (first..first + 100).map(|number| append(node, &format!("entry {number}")));
        let answers = node.submit_many(entries.collect(), Wait::Committed).await;
        ids.extend(answers.unwrap().into_iter().map(|answer| answer.unwrap()));
    }
    ids
}

fn ledger_files(dir: &Path) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let files = std::fs::read_dir(dir.join("ledger")).unwrap();
    let mut files: Vec<_> = files
        .map(|file| file.unwrap())
        .map(|file| (file.file_name(), std::fs::read(file.path()).unwrap()))
        .collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_joins_a_long_ledger_by_files_and_a_snapshot() {
    let mut network = Network::of(1).await;
    let founder = Arc::clone(network.led().await);
    let before = write_many(&founder, 3_000).await;
    let dir = tempfile::tempdir().unwrap();
    let joined = join(&founder, dir.path()).await;
    // What it has before anything comes the usual way: nearly everything.
    assert!(joined.committed() >= *before.last().unwrap());
    let snapshots = std::fs::read_dir(dir.path().join("snapshots")).unwrap();
    assert_eq!(snapshots.count(), 1);
    network.nodes.push(joined);
    network.dirs.push(dir);
    network.all_decide().await;
    let after = write_many(network.led().await, 200).await;
    network.caught_up().await;
    let verifier = Verifier::new(Cert::from_pem(founder.service_cert()).unwrap());
    let joined = Arc::clone(&network.nodes[1]);
    for (number, id) in before.iter().chain(&after).enumerate().step_by(97) {
        let entry = joined.entry(*id, None).unwrap();
        assert_eq!(entry.value.contents, format!("entry {}", number % 3_000));
        let receipt = joined.receipt(*id).unwrap();
        verifier.verify_document(&receipt).unwrap();
        assert_eq!(
            founder.receipt(*id).unwrap().receipt.root,
            receipt.receipt.root
        );
    }
    let evidence = Seqno(
        std::fs::read_dir(network.dirs[1].path().join("snapshots"))
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .map(|name| {
                store::snapshot::SnapshotName::parse(&name)
                    .unwrap()
                    .evidence
                    .0
            })
            .next()
            .unwrap(),
    );
    let history = joined.view_history();
    let view = history.iter().rev().find(|(_, first)| *first <= evidence);
    let receipt = joined
        .receipt(TxId::new(view.unwrap().0, evidence))
        .unwrap();
    verifier.verify_document(&receipt).unwrap();
    drop((founder, joined));
    for node in network.nodes.drain(..) {
        node.stop().await;
    }
    let [one, two] = [0, 1].map(|at| ledger_files(network.dirs[at].path()));
    assert_eq!(one.len(), two.len());
    assert!(one == two, "the files are the same");
    // Without its state, it makes it from the snapshot again.
    std::fs::remove_dir_all(network.dirs[1].path().join("state")).unwrap();
    for at in 0..2 {
        let node = start_node(config(network.dirs[at].path())).await;
        network.nodes.push(node);
    }
    let last = write(network.led().await, "still there").await.unwrap();
    network.caught_up().await;
    for node in &network.nodes {
        assert_eq!(node.status(last), TxStatus::Committed);
        assert_eq!(nodes(node.state()).len(), 2);
    }
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_alone_can_become_the_first_of_a_network_but_not_turn_back() {
    let dir = tempfile::tempdir().unwrap();
    let alone = alone(dir.path());
    let node = start_node(alone.clone()).await;
    let id = write(&node, "alone").await.unwrap();
    node.stop().await;
    drop(node);
    let node = start_node(config(dir.path())).await;
    assert!(node.view() > id.view);
    assert_eq!(node.entry(id, None).unwrap().value.contents, "alone");
    let other = tempfile::tempdir().unwrap();
    let second = join(&node, other.path()).await;
    let more = write(&node, "among others").await.unwrap();
    until("the second has it", || {
        second.status(more) == TxStatus::Committed
    })
    .await;
    assert_eq!(second.entry(id, None).unwrap().value.contents, "alone");
    second.stop().await;
    node.stop().await;
    drop(node);
    let refused = Node::start(alone).map(|_| ());
    assert!(matches!(refused, Err(StartError::PartOfNetwork { .. })));
}

/// The cosigners of a network as somebody pins them, each node an organisation of its own.
async fn pinned(node: &Node) -> Cosigners {
    let lines = node.cosigners().await.unwrap().into_iter().map(|known| {
        let spki = STANDARD.decode(&known.node.public_key).unwrap();
        let key = PublicKey::from_spki_der(&spki).unwrap();
        let cosigner = known.key.unwrap();
        let NoteKey::Cosignature(bytes) = cosigner.key() else {
            panic!("it cosigns")
        };
        let service = Cert::from_pem(node.service_cert()).unwrap().key_digest();
        let binding = cosigner_binding(&service, bytes);
        key.verify_prehashed(&binding, &known.binding.unwrap())
            .unwrap();
        format!("[{}]\n{cosigner}\n", known.node.id)
    });
    lines.collect::<String>().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nodes_countersign_one_history() {
    let mut network = Network::of(3).await;
    let id = write(network.led().await, "seen by all").await.unwrap();
    network.caught_up().await;
    let verifier = Verifier::new(Cert::from_pem(network.nodes[0].service_cert()).unwrap());
    let known = pinned(&network.nodes[0]).await;
    assert_eq!(known.organisations(), 3);
    for node in &network.nodes {
        assert_eq!(pinned(node).await, known, "all name the same cosigners");
        let receipt = node.cosigned_receipt(id).await.unwrap().receipt;
        let witnessed = verifier.verify_cosigned(&receipt, &known, 3).unwrap();
        assert_eq!(witnessed.organisations.len(), 3);
        let note = node.checkpoint().await.unwrap();
        for key in node.checkpoint_keys() {
            assert_eq!(note.signed_by(key), Ok(Some(Said::Signed)));
        }
    }
    // Nothing was written for it.
    let before = network.led().await.committed();
    network.nodes[1].checkpoint().await.unwrap();
    assert_eq!(network.led().await.committed(), before);

    // Two of three are left: they still countersign what comes now, the third does not.
    let leader = network.led().await.id().to_owned();
    let at = network.nodes.iter().position(|node| node.id() != leader);
    let stopped = network.nodes.remove(at.unwrap());
    stopped.stop().await;
    let id = write(network.led().await, "seen by two").await.unwrap();
    let receipt = network.led().await.cosigned_receipt(id).await.unwrap();
    let witnessed = verifier.verify_cosigned(&receipt.receipt, &known, 2);
    assert!(!witnessed.unwrap().organisations.contains_key(stopped.id()));
    assert_eq!(
        verifier.verify_cosigned(&receipt.receipt, &known, 3),
        Err(CosignError::TooFew {
            found: 2,
            required: 3
        })
    );
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_alone_signs_its_own_checkpoints_and_keeps_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let alone = alone(dir.path());
    let node = start_node(alone.clone()).await;
    let id = write(&node, "alone").await.unwrap();
    let receipt = node.cosigned_receipt(id).await.unwrap().receipt;
    let known = pinned(&node).await;
    let verifier = Verifier::new(Cert::from_pem(node.service_cert()).unwrap());
    verifier.verify_cosigned(&receipt, &known, 1).unwrap();
    // A signature's receipt is what it was.
    let signature = node.cosigned_receipt(node.committed()).await.unwrap();
    assert_eq!(signature.receipt.cosigned, None);
    node.stop().await;
    drop(node);
    let node = start_node(alone).await;
    assert_eq!(pinned(&node).await, known);
    node.stop().await;
}
