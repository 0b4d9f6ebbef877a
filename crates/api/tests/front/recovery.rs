//! Recovery shares over HTTP: fetched, refused, given.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ledger::governance::FoundingMember;
use ledger::governance::message::MessageType;
use node::NodeConfig;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tempfile::TempDir;

use crate::gov::{Consortium, Member};
use crate::support::{Front, Reply};

const SOON: Duration = Duration::from_secs(30);

/// Alice and Bob hold shares, Carol does not.
struct Holders {
    founding: Vec<FoundingMember>,
    members: Vec<Member>,
    keys: Vec<OaepPrivateDecryptingKey>,
}

impl Holders {
    fn new() -> Self {
        let members: Vec<_> = ["Alice", "Bob", "Carol"].map(Member::new).into();
        let (mut founding, mut keys) = (Vec::new(), Vec::new());
        for (place, member) in members.iter().enumerate() {
            let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
            let der: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
            let body = STANDARD.encode(der.as_ref());
            let pem = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
            let pem = (place < 2).then_some(pem);
            let cert = member.cert.to_pem();
            founding.push(FoundingMember::active(&cert, pem, Value::Null).unwrap());
            keys.push(OaepPrivateDecryptingKey::new(key).unwrap());
        }
        Self {
            founding,
            members,
            keys,
        }
    }
}

async fn share(ledger: &Consortium, holder: usize, key: &OaepPrivateDecryptingKey) -> String {
    let id = ledger.members[holder].id();
    let path = format!("recovery/encrypted-shares/{id}");
    let start = Instant::now();
    let shown = loop {
        let reply = ledger.get(&path).await;
        if reply.status == 200 || start.elapsed() > SOON {
            break reply.is(200).json();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(shown["memberId"], id.to_string());
    let encrypted = STANDARD.decode(shown["encryptedShare"].as_str().unwrap());
    let mut share = vec![0; key.min_output_size()];
    let share = key
        .decrypt(
            &OAEP_SHA256_MGF1SHA256,
            &encrypted.unwrap(),
            &mut share,
            None,
        )
        .unwrap();
    STANDARD.encode(share)
}

async fn give(ledger: &Consortium, signer: usize, address: usize, payload: &Value) -> Reply {
    let message = ledger.members[signer].sign(MessageType::RecoveryShare, None, payload);
    let address = ledger.members[address].id();
    let path = format!("recovery/members/{address}:recover");
    ledger.post(&path, message).await
}

async fn status(ledger: &Consortium) -> Value {
    ledger.get("service/info").await.is(200).json()["status"].clone()
}

fn rescue(from: &TempDir) -> TempDir {
    let rescued = tempfile::tempdir().unwrap();
    let (from, to) = (from.path().join("ledger"), rescued.path());
    std::fs::create_dir_all(to.join("ledger")).unwrap();
    for file in std::fs::read_dir(from.join("ledger")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join("ledger").join(file.file_name())).unwrap();
    }
    rescued
}

#[tokio::test(flavor = "multi_thread")]
async fn members_give_their_shares_and_the_ledger_opens() {
    let Holders {
        founding,
        members,
        keys,
    } = Holders::new();
    let front = Front::start_with(|node| node.members = founding, |_| {}).await;
    let id = front.administrator().write("", "before").await;
    let ledger = Consortium {
        anybody: front.anybody(),
        front,
        members,
    };
    let shares = [
        share(&ledger, 0, &keys[0]).await,
        share(&ledger, 1, &keys[1]).await,
    ];
    let carol = ledger.members[2].id();
    let path = format!("recovery/encrypted-shares/{carol}");
    ledger.get(&path).await.fails(404, "ResourceNotFound");
    let first = json!({ "share": shares[0] });
    let open = give(&ledger, 0, 0, &first).await;
    open.fails(403, "ServiceNotWaitingForRecoveryShares");
    let Consortium { front, members, .. } = ledger;
    let dir = front.stop().await;

    let rescued = rescue(&dir);
    let config = NodeConfig::new(rescued.path());
    let recovered = tokio::task::spawn_blocking(move || node::recover(&config, |_| {}));
    let recovered = recovered.await.unwrap().unwrap();
    let dir = rescued.path().to_owned();
    let front = Front::start_with(|node| node.dir = dir, |_| {}).await;
    let administrator = front.administrator();
    let path = format!("/app/transactions/{id}");
    administrator.get(&path).await.fails(503, "FrontendNotOpen");
    let ledger = Consortium {
        anybody: front.anybody(),
        front,
        members,
    };
    assert_eq!(status(&ledger).await, "Recovering");
    let early = give(&ledger, 0, 0, &first).await;
    early.fails(403, "ServiceNotWaitingForRecoveryShares");
    let args = json!({
        "previous_service_identity": recovered.previous.to_pem(),
        "next_service_identity": recovered.service.to_pem(),
    });
    let open = json!([{ "name": "transition_service_to_open", "args": args }]);
    ledger.decide(open).await;
    assert_eq!(status(&ledger).await, "WaitingForRecoveryShares");

    let elsewhere = give(&ledger, 0, 1, &first).await;
    elsewhere.fails(400, "InvalidResourceName");
    let other = give(&ledger, 1, 1, &first).await;
    other.fails(400, "InvalidInput");
    give(&ledger, 0, 0, &json!({}))
        .await
        .fails(400, "InvalidInput");
    let none = give(&ledger, 2, 2, &first).await;
    none.fails(404, "ResourceNotFound");
    for _ in 0..2 {
        // Given twice, it counts once.
        let given = give(&ledger, 0, 0, &first).await.is(200).json();
        assert_eq!(
            given,
            json!({
                "message": "1/2 recovery shares successfully submitted.",
                "submittedCount": 1,
                "recoveryThreshold": 2,
            })
        );
    }
    let second = json!({ "share": shares[1] });
    let given = give(&ledger, 1, 1, &second).await.is(200).json();
    let message = given["message"].as_str().unwrap();
    assert!(
        message.contains("End of recovery procedure initiated"),
        "{given}"
    );
    let start = Instant::now();
    while status(&ledger).await != "Open" {
        assert!(start.elapsed() < SOON, "the ledger does not open");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let entry = administrator.get(&path).await.is(200).json();
    assert_eq!(entry["entry"]["contents"], "before");
    administrator.write("", "after").await;
    ledger.front.stop().await;
}
