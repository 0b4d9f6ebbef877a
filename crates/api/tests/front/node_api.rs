//! What a node tells anybody, and what a reader may know of its governance.

use attest::{Evidence, HexBytes, JoinPolicy, UnixTime, report_data_for};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use node::join::EVIDENCE_LABEL;
use serde_json::{Value, json};
use verify::note::Said;
use verify::{
    Cert, Checkpoint, CosignError, Cosigners, Digest, Receipt, SignedNote, Verifier, VerifierKey,
};

use crate::support::Front;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_tells_anybody_about_itself() {
    let front = Front::start().await;
    let id = front.administrator().write("", "x").await;
    let anybody = front.anybody();
    for prefix in ["/node", "/app"] {
        let commit = anybody
            .get(&format!("{prefix}/commit?view_history=true"))
            .await
            .is(200)
            .json();
        assert_eq!(commit["view_history"], json!(["2.1"]));
        let committed: verify::TxId = commit["transaction_id"].as_str().unwrap().parse().unwrap();
        assert!(committed > id.parse().unwrap());
        let tx = anybody
            .get(&format!("{prefix}/tx?transaction_id={id}"))
            .await
            .is(200)
            .json();
        assert_eq!(tx, json!({ "transaction_id": id, "status": "Committed" }));
        let document = anybody.get(&format!("{prefix}/api")).await.is(200).json();
        assert!(document["paths"]["/app/transactions"]["post"].is_object());
    }
    let status = async |id: &str| {
        let answer = anybody
            .get(&format!("/node/tx?transaction_id={id}"))
            .await
            .is(200);
        answer.json()["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(status("2.999999").await, "Unknown");
    assert_eq!(status("1.1").await, "Invalid");
    anybody
        .get("/node/tx")
        .await
        .fails(400, "InvalidQueryParameterValue");
    assert!(
        anybody
            .get("/node/commit")
            .await
            .json()
            .get("view_history")
            .is_none()
    );

    let network = anybody.get("/node/network").await.is(200).json();
    assert_eq!(network["service_status"], "Open");
    assert_eq!(network["service_certificate"], front.node.service_cert());
    assert_eq!(network["primary_id"], front.node.id());
    assert_eq!(network["current_service_create_txid"], "2.1");
    let nodes = anybody.get("/node/network/nodes").await.is(200).json();
    let this = json!({
        "node_id": front.node.id(),
        "status": "Trusted",
        "primary": true,
        "rpc_interfaces": { "primary_rpc_interface": { "published_address": "localhost" } },
    });
    assert_eq!(nodes, json!({ "nodes": [this] }));
    assert_eq!(
        anybody.get("/node/network/nodes/self").await.is(200).json(),
        this
    );
    assert_eq!(
        anybody
            .get("/node/network/nodes/primary")
            .await
            .is(200)
            .json(),
        this
    );
    let state = anybody.get("/node/state").await.is(200).json();
    assert_eq!(state["state"], "PartOfNetwork");
    assert_eq!(state["stop_notice"], false);
    let version = anybody.get("/node/version").await.is(200).json();
    assert_eq!(
        (&version["platform"], &version["unsafe"]),
        (&json!("Virtual"), &json!(true))
    );
    let quote = anybody.get("/node/quotes/self").await.is(200).json();
    assert_eq!(quote["format"], "Insecure_Virtual");
    assert_eq!(
        anybody.get("/node/quotes").await.is(200).json(),
        json!({ "quotes": [quote] })
    );
    for probe in ["live", "ready/app", "ready/gov"] {
        assert!(
            anybody
                .get(&format!("/node/{probe}"))
                .await
                .is(204)
                .body
                .is_empty()
        );
    }
    let metrics = anybody.get("/node/metrics").await.is(200).text();
    let counted = "counterfoil_http_requests_total{method=\"POST\",path=\"/app/transactions\",status=\"2xx\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
    assert!(metrics.contains("counterfoil_entries_total"), "{metrics}");
    assert!(metrics.ends_with("# EOF\n"));
    for id in ["127", "localhost:8000", "my-ledger"] {
        let identity = anybody
            .get(&format!("/ledgerIdentity/{id}"))
            .await
            .is(200)
            .json();
        let certificate = front.node.service_cert();
        assert_eq!(
            identity,
            json!({ "ledgerId": id, "ledgerTlsCertificate": certificate })
        );
    }
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_rules_members_and_evidence() {
    let front = Front::start().await;
    let reader = front.user_with("r", "Reader").await;
    let constitution = reader
        .get("/app/governance/constitution")
        .await
        .is(200)
        .json();
    let script = constitution["script"].as_str().unwrap();
    assert_eq!(
        constitution["digest"],
        hex::encode(Digest::of(script.as_bytes()).0)
    );
    let members = reader.get("/app/governance/members").await.is(200).json();
    let members = members["members"].as_array().unwrap();
    assert_eq!(members.len(), 1);
    assert!(
        members[0]["certificate"]
            .as_str()
            .unwrap()
            .starts_with("-----BEGIN CERTIFICATE")
    );
    let quotes = reader.get("/app/enclaveQuotes").await.is(200).json();
    let id = front.node.id();
    assert_eq!(quotes["currentNodeId"], id);
    assert_eq!(quotes["enclaveQuotes"][id]["nodeId"], id);
    assert_eq!(quotes["enclaveQuotes"][id]["quoteVersion"], "virtual-1");
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anybody_can_judge_the_evidence_of_the_nodes() {
    let front = Front::start().await;
    let quotes = front.anybody().get("/node/quotes").await.is(200).json();
    let quote = &quotes["quotes"][0];
    let spki = STANDARD.decode(quote["public_key"].as_str().unwrap());
    let spki = spki.unwrap();
    assert_eq!(quote["node_id"], Digest::of(&spki).to_string());
    let evidence: Evidence = serde_json::from_value(quote["evidence"].clone()).unwrap();
    let Evidence::Virtual(said) = &evidence else {
        panic!("there is no hardware here")
    };
    // As CCF shows it, the same is in the quote.
    let raw = STANDARD.decode(quote["raw"].as_str().unwrap()).unwrap();
    let raw: Value = serde_json::from_slice(&raw).unwrap();
    assert_eq!(raw["measurement"], said.measurement.to_string());
    let nonce = hex::decode(quote["nonce"].as_str().unwrap()).unwrap();
    let service = Cert::from_pem(front.node.service_cert()).unwrap();
    let network = service.key_digest();
    let about = report_data_for(EVIDENCE_LABEL, &spki, &network.0, &nonce);
    let mut policy = JoinPolicy::default();
    let now = UnixTime(1_800_000_000);
    assert!(
        evidence
            .clone()
            .verify(&Default::default(), &about, now)
            .is_err()
    );
    policy.insecure_virtual.measurements = [said.measurement].into();
    policy.insecure_virtual.host_data = [said.host_data].into();
    let verdict = policy.judge(&evidence, &about, now).unwrap();
    assert!(!verdict.is_hardware());
    assert!(policy.judge(&evidence, &HexBytes([0; 64]), now).is_err());
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_are_signed_notes_and_receipts_carry_them_when_asked() {
    let front = Front::start().await;
    let id = front.administrator().write("", "x").await;
    let anybody = front.anybody();
    let known = anybody.get("/node/cosigners").await.is(200).json();
    let note = anybody.get("/node/checkpoint").await.is(200);
    assert!(
        note.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain")
    );
    let note: SignedNote = note.text().parse().unwrap();
    let checkpoint = Checkpoint::parse(note.text()).unwrap();
    let service = Cert::from_pem(front.node.service_cert()).unwrap();
    let key = service.key_digest();
    assert_eq!(checkpoint.origin, format!("counterfoil/ccf-merkle/{key}"));
    let service_keys = known["service"].as_array().unwrap();
    assert_eq!(service_keys.len(), 2);
    for key in service_keys {
        let key: VerifierKey = key.as_str().unwrap().parse().unwrap();
        assert_eq!(note.signed_by(&key), Ok(Some(Said::Signed)));
    }
    let cosigner = &known["cosigners"][0];
    assert_eq!(cosigner["node_id"], front.node.id());
    let pinned = format!("[we]\n{}\n", cosigner["key"].as_str().unwrap());
    let pinned: Cosigners = pinned.parse().unwrap();

    let verifier = Verifier::new(service);
    for (path, spelled) in [
        (format!("/app/transactions/{id}/receipt?"), "receipt"),
        (format!("/node/receipt?transaction_id={id}"), ""),
    ] {
        let caller = front.administrator();
        let read = |document: Value| {
            let receipt = if spelled.is_empty() {
                document
            } else {
                document[spelled].clone()
            };
            Receipt::from_json(receipt.to_string().as_bytes()).unwrap()
        };
        let plain = read(caller.get(&path).await.is(200).json());
        assert_eq!(
            verifier.verify_cosigned(&plain, &pinned, 1),
            Err(CosignError::None)
        );
        let path = format!("{path}&cosignatures=true");
        let receipt = read(caller.get(&path).await.is(200).json());
        verifier.verify_cosigned(&receipt, &pinned, 1).unwrap();
        let without = Receipt {
            cosigned: None,
            ..receipt
        };
        assert_eq!(without, plain);
    }
    front.stop().await;
}
