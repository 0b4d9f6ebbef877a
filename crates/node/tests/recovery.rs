//! Disasters: all nodes are lost with their secrets, and the members open the ledger again.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ledger::entries::AppendEntry;
use ledger::governance::{FoundingMember, MemberId, actions};
use ledger::service::service;
use ledger::shares::RecoveryShares;
use ledger::users::UserId;
use ledger::{Rejection, Transaction, Tx};
use node::join::{JoinAnswer, Joining};
use node::{
    Node, NodeConfig, PeerConfig, ReadError, RecoverError, Recovered, ShareError, StartError,
    Timing, Wait, recover,
};
use serde_json::json;
use verify::{Cert, CoseReceipt, Digest, Seqno, TxId, Verifier};

const SOON: Duration = Duration::from_secs(60);

/// A member that holds a share.
struct Member {
    founding: FoundingMember,
    id: MemberId,
    key: PrivateDecryptingKey,
}

impl Member {
    fn new(name: &str) -> Self {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let mut params = rcgen::CertificateParams::default();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let cert = params.self_signed(&key).unwrap().pem();
        let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let der: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        let body = STANDARD.encode(der.as_ref());
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
        let data = json!({ "name": name });
        Self {
            founding: FoundingMember::active(&cert, Some(pem), data).unwrap(),
            id: Cert::from_pem(&cert).unwrap().fingerprint(),
            key,
        }
    }

    fn share(&self, node: &Node) -> Vec<u8> {
        let row = RecoveryShares::read(node.state()).unwrap();
        let encrypted = STANDARD.decode(&row.encrypted_shares[&self.id.to_string()]);
        let key = OaepPrivateDecryptingKey::new(self.key.clone()).unwrap();
        let mut share = vec![0; key.min_output_size()];
        let share = key
            .decrypt(
                &OAEP_SHA256_MGF1SHA256,
                &encrypted.unwrap(),
                &mut share,
                None,
            )
            .unwrap();
        share.to_vec()
    }
}

fn config(dir: &Path, members: &[Member], alone: bool) -> NodeConfig {
    let peers = PeerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        published_address: None,
        timing: Timing {
            // Elections are no part of these stories, even on a busy machine.
            heartbeat: Duration::from_millis(100),
            election: Duration::from_millis(2_000),
        },
        replay_entries: 20,
    };
    NodeConfig {
        administrators: vec![UserId::parse("administrator").unwrap()],
        members: members.iter().map(|it| it.founding.clone()).collect(),
        peers: (!alone).then_some(peers),
        chunk_bytes: 20_000,
        ..NodeConfig::new(dir)
    }
}

async fn start(config: NodeConfig) -> Arc<Node> {
    tokio::task::spawn_blocking(|| Node::start(config).unwrap())
        .await
        .unwrap()
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < SOON, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn leads(node: &Node) {
    until("it leads", || node.leads()).await;
}

async fn try_write(node: &Node, contents: &str) -> Result<TxId, Rejection> {
    let entry = AppendEntry::new(
        node.visibility(),
        node.limits(),
        None,
        contents.to_owned(),
        Vec::new(),
    );
    let entry = Box::new(entry.unwrap());
    node.submit(entry, Wait::Committed).await.unwrap()
}

async fn write(node: &Node, contents: &str) -> TxId {
    try_write(node, contents).await.unwrap()
}

fn status(node: &Node) -> String {
    service(node.state()).unwrap().status
}

/// What the members would decide.
async fn decide(node: &Node, action: &str, args: serde_json::Value) -> Result<TxId, Rejection> {
    let proposal = json!({ "actions": [{ "name": action, "args": args }] }).to_string();
    let run = move |tx: &mut Tx<'_>| {
        let actions = actions::parse(proposal.as_bytes()).map_err(Rejection::InvalidInput)?;
        actions.apply(tx).map_err(Rejection::Conflict)?;
        Ok(Digest::ZERO)
    };
    let transaction: Box<dyn Transaction> = Box::new(run);
    node.submit(transaction, Wait::Committed).await.unwrap()
}

async fn join(leader: &Arc<Node>, config: NodeConfig) -> Arc<Node> {
    let service = Cert::from_pem(leader.service_cert()).unwrap();
    let joining = Joining::new(&config, &service).unwrap();
    let start_at = Instant::now();
    loop {
        assert!(start_at.elapsed() < SOON, "joining takes too long");
        match leader.admit(joining.request()).await.unwrap() {
            JoinAnswer::Trusted { sealed, .. } => {
                joining.admitted(&sealed, &service).unwrap();
                break;
            }
            JoinAnswer::Pending { node_id } => {
                // Asked again while it is being trusted.
                let args = json!({ "node_id": node_id, "valid_from": "260131235959Z" });
                let _ = decide(leader, "transition_node_to_trusted", args).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    start(config).await
}

/// Copies the ledger files of a node that is lost, and nothing else.
fn rescue(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.join("ledger")).unwrap();
    for file in std::fs::read_dir(from.join("ledger")).unwrap() {
        let file = file.unwrap();
        let copy = to.join("ledger").join(file.file_name());
        std::fs::copy(file.path(), &copy).unwrap();
        if copy.extension().is_none() {
            // The file that was being written to: the beginning of an entry that never became whole.
            let mut bytes = std::fs::read(&copy).unwrap();
            let beginning = bytes[8..40].to_vec();
            bytes.extend(beginning);
            std::fs::write(&copy, bytes).unwrap();
        }
    }
}

async fn take_up(config: NodeConfig) -> Result<Recovered, RecoverError> {
    tokio::task::spawn_blocking(move || recover(&config, |_| {}))
        .await
        .unwrap()
}

async fn accept(node: &Node, recovered: &Recovered) {
    let args = json!({
        "previous_service_identity": recovered.previous.to_pem(),
        "next_service_identity": recovered.service.to_pem(),
    });
    decide(node, "transition_service_to_open", args)
        .await
        .unwrap();
    assert_eq!(status(node), "WaitingForRecoveryShares");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_open_a_ledger_again_whose_nodes_are_all_lost_and_again() {
    let members = ["a", "b", "c"].map(Member::new);
    let dirs: Vec<_> = (0..6).map(|_| tempfile::tempdir().unwrap()).collect();
    let config = |place: usize, alone| config(dirs[place].path(), &members, alone);

    // Three nodes, and shares for two of three.
    let leader = start(config(0, false)).await;
    leads(&leader).await;
    let followers = [
        join(&leader, config(1, false)).await,
        join(&leader, config(2, false)).await,
    ];
    let mut old = Vec::new();
    for number in 0..60 {
        old.push(write(&leader, &format!("secret number {number}")).await);
    }
    until("shares are drawn", || {
        RecoveryShares::read(leader.state()).is_some()
    })
    .await;
    let row = RecoveryShares::read(leader.state()).unwrap();
    assert_eq!((row.recovery_threshold, row.encrypted_shares.len()), (2, 3));
    let old_service = Cert::from_pem(leader.service_cert()).unwrap();
    let old_receipts = old.iter().map(|id| leader.receipt(*id).unwrap());
    let old_receipts: Vec<_> = old_receipts.collect();
    let last = leader.committed();
    until("a follower has it all", || followers[0].committed() >= last).await;
    for node in followers.iter().chain([&leader]) {
        node.stop().await;
    }
    drop((leader, followers));

    // One folder of ledger files is left, with a torn write behind it.
    rescue(dirs[1].path(), dirs[3].path());
    let refused = Node::start(config(3, true)).err().unwrap();
    assert!(matches!(refused, StartError::SecretsMissing { .. }));
    let recovered = take_up(config(3, true)).await.unwrap();
    assert_eq!(recovered.previous, old_service);
    assert_eq!((recovered.threshold, recovered.holders), (2, 3));
    let again = take_up(config(3, true)).await;
    assert!(
        matches!(again, Err(RecoverError::TakenUp { .. })),
        "{again:?}"
    );

    let node = start(config(3, false)).await;
    leads(&node).await;
    assert_eq!(status(&node), "Recovering");
    let row = service(node.state()).unwrap();
    let created: TxId = row.current_service_create_txid.parse().unwrap();
    assert_eq!(created.seqno, recovered.last.seqno.next());
    assert_eq!(created.view.0, recovered.last.view.0 + 2);
    assert_eq!(row.recovery_count, 1);
    assert!(!node.is_complete());
    // The state lacks what is private: no snapshot may be made of it.
    let wished = decide(&node, "trigger_snapshot", json!({})).await;
    wished.unwrap();
    let refused = try_write(&node, "too early").await;
    assert!(
        matches!(refused, Err(Rejection::Conflict(_))),
        "{refused:?}"
    );
    let unread = node.receipt(old[0]);
    assert!(matches!(unread, Err(ReadError::NotRecovered(_))));
    let early = node
        .submit_share(members[0].id, &members[0].share(&node))
        .await;
    assert!(matches!(early, Err(ShareError::NotWaiting)));

    // Members accept the new service, and two of them give their shares; a restart loses none.
    accept(&node, &recovered).await;
    let wrong = node
        .submit_share(members[0].id, &members[1].share(&node))
        .await;
    assert!(matches!(wrong, Err(ShareError::WrongShare(_))));
    let first = node
        .submit_share(members[0].id, &members[0].share(&node))
        .await;
    let first = first.unwrap();
    assert_eq!(
        (first.submitted, first.threshold, first.enough),
        (1, 2, false)
    );
    node.stop().await;
    drop(node);
    let node = start(config(3, false)).await;
    leads(&node).await;
    assert_eq!(status(&node), "WaitingForRecoveryShares");
    assert!(store::snapshot::list(dirs[3].path()).unwrap().is_empty());
    let second = node
        .submit_share(members[2].id, &members[2].share(&node))
        .await;
    assert!(second.unwrap().enough);
    until("the service is open", || status(&node) == "Open").await;

    // The snapshot that members wished for while nothing private could be read is of all there is.
    let made = || store::snapshot::list(dirs[3].path()).unwrap();
    until("the snapshot is made", || !made().is_empty()).await;

    // Everything is there, and can be proven under the new service and the old one.
    let new_service = Cert::from_pem(node.service_cert()).unwrap();
    assert_eq!(new_service, recovered.service);
    let later = write(&node, "after the disaster").await;
    let check = |node: &Node| {
        let verifier = Verifier::new(Cert::from_pem(node.service_cert()).unwrap());
        let pinned = Verifier::new(old_service.clone());
        for (number, id) in old.iter().enumerate() {
            let entry = node.entry(*id, None).unwrap();
            assert_eq!(entry.value.contents, format!("secret number {number}"));
            let receipt = node.receipt(*id).unwrap();
            assert_eq!(verifier.verify_document(&receipt).unwrap().tx_id, *id);
            assert_eq!(pinned.verify_document(&receipt).unwrap().tx_id, *id);
        }
        for receipt in &old_receipts {
            pinned.verify_document(receipt).unwrap();
        }
        let receipt = CoseReceipt::parse(&node.cose_receipt(old[7]).unwrap()).unwrap();
        let service = Cert::from_pem(node.service_cert()).unwrap();
        receipt.verify(&service.public_key(), None).unwrap();
        let receipt = node.receipt(later).unwrap();
        assert_eq!(verifier.verify_document(&receipt).unwrap().tx_id, later);
        assert_eq!(
            node.entry(later, None).unwrap().value.contents,
            "after the disaster"
        );
    };
    check(&node);

    // A node joins with an empty folder, and reads what was written before the disaster.
    let joined = join(&node, config(4, false)).await;
    let last = node.committed();
    until("it has caught up", || joined.committed() >= last).await;
    check(&joined);
    // It came as files, which two services signed, and a snapshot of the restored state; that is
    // good for another start too.
    let snapshots = store::snapshot::list(dirs[4].path()).unwrap();
    assert_eq!(snapshots.len(), 1);
    joined.stop().await;
    node.stop().await;
    drop((joined, node));
    std::fs::remove_dir_all(dirs[4].path().join("state")).unwrap();
    let [first, second] = [3, 4].map(|place| start(config(place, false)));
    let (node, joined) = tokio::join!(first, second);
    let last = node.committed();
    until("it has caught up", || joined.committed() >= last).await;
    check(&joined);
    joined.stop().await;
    node.stop().await;
    drop((joined, node));

    // A second disaster: the shares that were drawn after the first one open everything.
    rescue(dirs[4].path(), dirs[5].path());
    let recovered = take_up(config(5, true)).await.unwrap();
    let node = start(config(5, true)).await;
    accept(&node, &recovered).await;
    for member in &members[..2] {
        node.submit_share(member.id, &member.share(&node))
            .await
            .unwrap();
    }
    until("the service is open again", || status(&node) == "Open").await;
    check(&node);
    write(&node, "after both").await;
    node.stop().await;
    drop(node);
    let node = start(config(5, true)).await;
    check(&node);
    node.stop().await;
    drop(node);
    let report = store::audit(&dirs[5].path().join("ledger"), |_| {}).unwrap();
    assert_eq!(report.service, recovered.service);
    assert!(report.entries > 60);

    for dir in &dirs[3..] {
        no_secret_in(dir.path());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_that_were_to_be_drawn_anew_still_open_the_ledger() {
    let members = ["a", "b", "c"].map(Member::new);
    let [dir, copy] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let node = start(config(dir.path(), &members, true)).await;
    let id = write(&node, "before").await;
    until("shares are drawn", || {
        RecoveryShares::read(node.state()).is_some()
    })
    .await;
    // A leader carries out one such wish in two seconds: one is left when it stops.
    for _ in 0..3 {
        decide(&node, "trigger_recovery_shares_refresh", json!({}))
            .await
            .unwrap();
    }
    node.stop().await;
    drop(node);

    rescue(dir.path(), copy.path());
    let recovered = take_up(config(copy.path(), &[], true)).await.unwrap();
    let node = start(config(copy.path(), &[], true)).await;
    let row = RecoveryShares::read(node.state()).unwrap();
    assert_eq!(row.ledger_secret_version, 1, "not of the new secret");
    accept(&node, &recovered).await;
    for member in &members[..2] {
        node.submit_share(member.id, &member.share(&node))
            .await
            .unwrap();
    }
    until("the service is open", || status(&node) == "Open").await;
    assert!(node.receipt(id).is_ok());
    // The wish is fulfilled with that.
    assert!(ledger::governance::wishes::all(node.state()).is_empty());
    node.stop().await;
}

/// Private contents are in no file in clear.
fn no_secret_in(dir: &Path) {
    for file in std::fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            no_secret_in(&path);
        } else {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(13).any(|window| window == b"secret number");
            assert!(!found, "{}", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_or_allows_no_recovery_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let nothing = take_up(config(dir.path(), &[], true)).await;
    assert!(matches!(nothing, Err(RecoverError::NoLedger { .. })));
    let node = start(config(dir.path(), &[], true)).await;
    write(&node, "one").await;
    node.stop().await;
    drop(node);
    let known = take_up(config(dir.path(), &[], true)).await;
    assert!(matches!(known, Err(RecoverError::NothingLost { .. })));
    let copy = tempfile::tempdir().unwrap();
    rescue(dir.path(), copy.path());
    let alone = take_up(config(copy.path(), &[], true)).await;
    assert!(matches!(alone, Err(RecoverError::NoShares)), "{alone:?}");
    // Nothing was changed: the folder still is what it was.
    let node = start(config(dir.path(), &[], true)).await;
    assert_eq!(node.committed().seqno, node.last_signed());
    assert!(node.committed().seqno > Seqno(2));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_service_certificate_is_of_the_same_key() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(config(dir.path(), &[], true)).await;
    let id = write(&node, "one").await;
    let before = Cert::from_pem(node.service_cert()).unwrap();
    let args = json!({ "valid_from": "260131235959Z", "validity_period_days": 90 });
    decide(&node, "set_service_certificate_validity", args)
        .await
        .unwrap();
    let cert = |node: &Node| Cert::from_pem(&service(node.state()).unwrap().cert).unwrap();
    until("it is renewed", || cert(&node) != before).await;
    assert_eq!(cert(&node).key_digest(), before.key_digest());
    write(&node, "two").await;
    node.stop().await;
    drop(node);
    let node = start(config(dir.path(), &[], true)).await;
    assert_eq!(Cert::from_pem(node.service_cert()).unwrap(), cert(&node));
    for service in [before, cert(&node)] {
        let verifier = Verifier::new(service);
        verifier
            .verify_document(&node.receipt(id).unwrap())
            .unwrap();
    }
    node.stop().await;
    drop(node);
    store::audit(&dir.path().join("ledger"), |_| {}).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_follow_the_members() {
    let members = ["a", "b", "c"].map(Member::new);
    let dir = tempfile::tempdir().unwrap();
    let node = start(config(dir.path(), &members, true)).await;
    let drawn = || RecoveryShares::read(node.state());
    until("shares are drawn", || drawn().is_some()).await;
    let first = drawn().unwrap();
    assert_eq!(first.recovery_threshold, 2);

    let threshold = json!({ "recovery_threshold": 3 });
    decide(&node, "set_recovery_threshold", threshold)
        .await
        .unwrap();
    until("three are needed", || {
        drawn().is_some_and(|row| row.recovery_threshold == 3)
    })
    .await;
    let args = json!({ "recovery_threshold": 1 });
    decide(&node, "set_recovery_threshold", args).await.unwrap();
    let args = json!({ "member_id": members[1].id.to_string() });
    decide(&node, "remove_member", args).await.unwrap();
    until("the member that left has no share", || {
        drawn().is_some_and(|row| row.encrypted_shares.len() == 2)
    })
    .await;
    let before = drawn().unwrap();
    decide(&node, "trigger_recovery_shares_refresh", json!(null))
        .await
        .unwrap();
    until("new shares are drawn", || drawn().unwrap() != before).await;
    assert!(ledger::governance::wishes::all(node.state()).is_empty());
    node.stop().await;
}
