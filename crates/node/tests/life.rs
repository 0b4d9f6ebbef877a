//! The life of a ledger on one node: created, written, read, stopped, gone on with.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::sync::Arc;

use ledger::entries::{AppendEntry, DEFAULT_COLLECTION, EntryLimits, Visibility};
use ledger::users::UserId;
use ledger::{Rejection, Transaction};
use node::{EntryQuery, Node, NodeConfig, ReadError, StartError, SubmitError, Wait};
use verify::{Cert, CoseReceipt, Seqno, TxId, TxStatus, Verifier, View};

fn config(dir: &Path) -> NodeConfig {
    NodeConfig {
        administrators: vec![UserId::parse("administrator").unwrap()],
        ..NodeConfig::new(dir)
    }
}

fn append(node: &Node, collection: &str, contents: &str) -> Box<dyn Transaction> {
    let (collection, contents) = (Some(collection.to_owned()), contents.to_owned());
    let entry = AppendEntry::new(
        node.visibility(),
        node.limits(),
        collection,
        contents,
        Vec::new(),
    );
    Box::new(entry.unwrap())
}

async fn write(node: &Node, collection: &str, contents: &str) -> TxId {
    node.submit(append(node, collection, contents), Wait::Committed)
        .await
        .unwrap()
        .unwrap()
}

fn verifier(node: &Node) -> Verifier {
    Verifier::new(Cert::from_pem(node.service_cert()).unwrap())
}

fn verifies(verifier: &Verifier, node: &Node, id: TxId) {
    let verified = verifier
        .verify_document(&node.receipt(id).unwrap())
        .unwrap();
    assert_eq!(verified.tx_id, id);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_can_be_read_and_proven() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(config(dir.path())).unwrap();
    let first = write(&node, DEFAULT_COLLECTION, "one").await;
    let second = write(&node, "other", "two").await;
    assert!(second.seqno > first.seqno);

    let read = node.entry(first, None).unwrap();
    assert_eq!((read.id, read.value.contents.as_str()), (first, "one"));
    // As of the second write, the default collection still holds the first.
    let read = node.entry(second, Some(DEFAULT_COLLECTION)).unwrap();
    assert_eq!(read.id, first);
    assert_eq!(node.current_entry("other").unwrap().value.contents, "two");
    assert_eq!(node.collections(), ["other", DEFAULT_COLLECTION]);
    assert!(matches!(
        node.entry(first, Some("other")),
        Err(ReadError::NoSuchCollection(_))
    ));

    let verifier = verifier(&node);
    for id in [first, second, TxId::new(View(2), Seqno(1))] {
        verifies(&verifier, &node, id);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_the_service_its_entries_and_its_receipts() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(config(dir.path())).unwrap();
    let id = write(&node, "c", "kept").await;
    let (service_cert, receipt) = (node.service_cert().to_owned(), node.receipt(id).unwrap());
    node.stop().await;
    drop(node);

    let node = Node::start(config(dir.path())).unwrap();
    assert_eq!(node.service_cert(), service_cert);
    assert_eq!(node.view(), View(3));
    assert_eq!(node.status(id), TxStatus::Committed);
    assert_eq!(node.entry(id, None).unwrap().value.contents, "kept");
    assert_eq!(node.receipt(id).unwrap().receipt, receipt.receipt);
    let later = write(&node, "c", "later").await;
    assert_eq!(later.view, View(3));
    let verifier = verifier(&node);
    verifies(&verifier, &node, id);
    verifies(&verifier, &node, later);
    assert_eq!(ledger::users::all(node.state()).len(), 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_receipt_of_a_busy_ledger_verifies_as_json_and_as_cose() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(config(dir.path())).unwrap();
    let writers = (0..16).map(|writer| {
        let node = Arc::clone(&node);
        tokio::spawn(async move {
            let mut ids = Vec::new();
            for number in 0..20 {
                ids.push(write(&node, "busy", &format!("{writer} {number}")).await);
            }
            ids
        })
    });
    let mut ids = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        ids.extend(writer.await.unwrap());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 320);

    let verifier = verifier(&node);
    let service = Cert::from_pem(node.service_cert()).unwrap().public_key();
    for &id in &ids {
        verifies(&verifier, &node, id);
        let document = node.receipt(id).unwrap();
        let claims = document.receipt.leaf_components().unwrap().claims_digest;
        let cose = CoseReceipt::parse(&node.cose_receipt(id).unwrap()).unwrap();
        cose.verify(&service, Some(claims)).unwrap();
    }
    let query = EntryQuery {
        collection: "busy".to_owned(),
        tag: None,
        from: Seqno::FIRST,
        to: Seqno(u64::MAX),
        limit: 200,
    };
    let first = node.entries(&query).unwrap();
    let rest = node
        .entries(&EntryQuery {
            from: first.next.unwrap().seqno,
            ..query
        })
        .unwrap();
    let read: Vec<_> = first
        .entries
        .iter()
        .chain(&rest.entries)
        .map(|entry| entry.id)
        .collect();
    assert_eq!(read, ids);
    assert_eq!(rest.next, None);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_answered_entry_by_entry() {
    let dir = tempfile::tempdir().unwrap();
    let limits = EntryLimits {
        collections: 1,
        ..EntryLimits::default()
    };
    let node = Node::start(NodeConfig {
        limits,
        ..config(dir.path())
    })
    .unwrap();
    let batch = vec![
        append(&node, "a", "1"),
        append(&node, "b", "2"),
        append(&node, "a", "3"),
    ];
    let answers = node.submit_many(batch, Wait::Committed).await.unwrap();
    let first = answers[0].clone().unwrap();
    assert_eq!(
        answers[1],
        Err(Rejection::CollectionCapacityExceeded { limit: 1 })
    );
    assert_eq!(
        answers[2],
        Ok(TxId {
            seqno: first.seqno.next(),
            ..first
        })
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_tell_committed_pending_invalid_and_unknown_apart() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(config(dir.path())).unwrap();
    let id = write(&node, "c", "x").await;
    assert_eq!(node.status(id), TxStatus::Committed);
    assert_eq!(
        node.status(TxId {
            view: View(9),
            ..id
        }),
        TxStatus::Invalid
    );
    assert_eq!(node.status(TxId::default()), TxStatus::Invalid);
    let far = Seqno(id.seqno.0 + 1_000);
    assert_eq!(node.status(TxId::new(id.view, far)), TxStatus::Unknown);
    assert_eq!(node.status(TxId::new(View(1), far)), TxStatus::Invalid);

    let early = node
        .submit(append(&node, "c", "y"), Wait::Executed)
        .await
        .unwrap()
        .unwrap();
    assert!(matches!(
        node.status(early),
        TxStatus::Pending | TxStatus::Committed
    ));
    let mut changes = node.committed_changes();
    changes
        .wait_for(|committed| committed.seqno >= early.seqno)
        .await
        .unwrap();
    assert_eq!(node.status(early), TxStatus::Committed);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_stop_nothing_is_taken_and_all_that_was_taken_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(config(dir.path())).unwrap();
    let pending: Vec<_> = (0..50)
        .map(|number| {
            let node = Arc::clone(&node);
            tokio::spawn(async move {
                let entry = append(&node, "c", &number.to_string());
                node.submit(entry, Wait::Committed).await
            })
        })
        .collect();
    tokio::task::yield_now().await;
    node.stop().await;
    let mut acknowledged = Vec::new();
    for answer in pending {
        match answer.await.unwrap() {
            Ok(id) => acknowledged.push(id.unwrap()),
            Err(error) => assert_eq!(error, SubmitError::Stopping),
        }
    }
    let refused = node
        .submit(append(&node, "c", "late"), Wait::Committed)
        .await;
    assert_eq!(refused, Err(SubmitError::Stopping));
    drop(node);

    let node = Node::start(config(dir.path())).unwrap();
    for id in acknowledged {
        assert_eq!(node.status(id), TxStatus::Committed);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_ledger_leaves_no_plaintext_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    for visibility in [Visibility::Private, Visibility::Public] {
        let home = dir.path().join(format!("{visibility:?}"));
        let node = Node::start(NodeConfig {
            visibility,
            ..config(&home)
        })
        .unwrap();
        write(&node, "needle-collection", "needle-contents").await;
        node.stop().await;
        drop(node);
        for needle in ["needle-collection", "needle-contents"] {
            let found = occurs_in_files(&home, needle.as_bytes());
            assert_eq!(
                found,
                visibility == Visibility::Public,
                "{visibility:?} {needle}"
            );
        }
    }
}

fn occurs_in_files(dir: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(dir)
        .unwrap()
        .map(Result::unwrap)
        .any(|file| {
            if file.file_type().unwrap().is_dir() {
                return occurs_in_files(&file.path(), needle);
            }
            let bytes = std::fs::read(file.path()).unwrap();
            bytes.windows(needle.len()).any(|window| window == needle)
        })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_without_its_secrets_or_with_foreign_ones_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["mine", "other"] {
        let node = Node::start(config(&dir.path().join(name))).unwrap();
        node.stop().await;
    }
    let secrets = |name: &str| dir.path().join(name).join(node::platform::SECRETS_FILE);
    std::fs::remove_file(secrets("mine")).unwrap();
    let refused = Node::start(config(&dir.path().join("mine"))).err().unwrap();
    assert!(
        matches!(refused, StartError::SecretsMissing { .. }),
        "{refused}"
    );
    std::fs::copy(secrets("other"), secrets("mine")).unwrap();
    assert!(Node::start(config(&dir.path().join("mine"))).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_new_names_gets_a_new_certificate_and_records_it() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(config(dir.path())).unwrap();
    let (before, id) = (node.node_cert().to_owned(), write(&node, "c", "x").await);
    node.stop().await;
    drop(node);

    let names = vec!["ledger.example".to_owned()];
    let node = Node::start(NodeConfig {
        subject_alt_names: names,
        ..config(dir.path())
    })
    .unwrap();
    assert_ne!(node.node_cert(), before);
    assert_eq!(
        ledger::nodes::nodes(node.state())[0].cert.clone().unwrap(),
        node.node_cert()
    );
    let verifier = verifier(&node);
    verifies(&verifier, &node, id);
    let later = write(&node, "c", "y").await;
    verifies(&verifier, &node, later);
    node.stop().await;
}
