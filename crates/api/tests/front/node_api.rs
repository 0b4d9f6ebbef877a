//! What a node tells anybody, and what a reader may know of its governance.

use serde_json::json;
use verify::Digest;

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
