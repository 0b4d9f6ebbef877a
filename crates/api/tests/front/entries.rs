//! Writing, reading, listing, proving.

use serde_json::json;
use verify::{Cert, CoseReceipt, ReceiptDocument, Verifier};

use crate::support::{Front, Reply, V2022, V2024, V2026, send};

fn verified(front: &Front, document: &Reply) -> verify::TxId {
    let document = ReceiptDocument::from_json(&document.body).unwrap();
    let verifier = Verifier::new(Cert::from_pem(front.node.service_cert()).unwrap());
    verifier.verify_document(&document).unwrap().tx_id
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_is_committed_when_it_is_answered_and_can_be_read_and_proven() {
    let front = Front::start().await;
    let user = front.user_with("u", "Contributor").await.speaks(V2022);
    let answer = user
        .post("/app/transactions", json!({ "contents": "hi \"there\"\n" }))
        .await
        .is(200);
    assert_eq!(answer.json(), json!({ "collectionId": "subledger:0" }));
    assert_eq!(answer.header("content-type"), "application/json");
    let id = answer.transaction();
    let path = format!("/app/transactions/{id}");

    let status = user.get(&format!("{path}/status")).await.is(200).json();
    assert_eq!(status, json!({ "state": "Committed", "transactionId": id }));
    let entry = json!({
        "collectionId": "subledger:0", "contents": "hi \"there\"\n", "transactionId": id,
    });
    let read = user.get(&path).await.is(200).json();
    assert_eq!(read, json!({ "state": "Ready", "entry": entry }));
    assert_eq!(
        user.get("/app/transactions/current").await.is(200).json(),
        entry
    );
    let list = user.get("/app/transactions").await.is(200).json();
    assert_eq!(list, json!({ "state": "Ready", "entries": [entry] }));

    let receipt = user.get(&format!("{path}/receipt")).await.is(200);
    assert_eq!(verified(&front, &receipt).to_string(), id);
    let receipt = receipt.json();
    assert_eq!(receipt["state"], "Ready");
    assert_eq!(receipt["transactionId"], id.as_str());
    assert_eq!(
        receipt["applicationClaims"][0]["ledgerEntry"]["contents"],
        "hi \"there\"\n"
    );

    let request = user.request(reqwest::Method::GET, &format!("{path}/receipt"));
    let cose = send(request.header("accept", "application/json;q=0.1, application/cose"))
        .await
        .is(200);
    assert_eq!(cose.header("content-type"), "application/cose");
    assert!(CoseReceipt::parse(&cose.body).is_ok());

    let ccf = front
        .anybody()
        .get(&format!("/node/receipt?transaction_id={id}"))
        .await
        .is(200)
        .json();
    assert_eq!(
        ccf["leaf_components"]["claims_digest"],
        receipt["receipt"]["leafComponents"]["claimsDigest"]
    );
    assert!(!ccf.to_string().contains("there"));
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receipt_comes_with_the_answer_if_asked_for() {
    let front = Front::start().await;
    let user = front.user_with("u", "Contributor").await;
    let path = "/app/transactions?collectionId=lots&waitForCommit=true";
    let answer = user.post(path, json!({ "contents": "x" })).await.is(200);
    assert_eq!(answer.json()["state"], "Committed");
    assert_eq!(answer.json()["collectionId"], "lots");
    assert_eq!(verified(&front, &answer).to_string(), answer.transaction());

    let path = "/app/transactions?waitForCommit=false";
    let answer = user.post(path, json!({ "contents": "y" })).await.is(200);
    assert_eq!(
        answer.json(),
        json!({ "collectionId": "subledger:0", "state": "Pending" })
    );
    let id = answer.transaction();
    let mut commits = front.node.committed_changes();
    let seqno = id.parse::<verify::TxId>().unwrap().seqno;
    commits
        .wait_for(|committed| committed.seqno >= seqno)
        .await
        .unwrap();
    let status = user
        .get(&format!("/app/transactions/{id}/status"))
        .await
        .is(200);
    assert_eq!(status.json()["state"], "Committed");

    // Versions from 2026-07-31 on say the state in any case.
    let answer = user
        .speaks(V2026)
        .post("/app/transactions", json!({ "contents": "z" }))
        .await;
    assert_eq!(
        answer.is(200).json(),
        json!({ "collectionId": "subledger:0", "state": "Committed" })
    );
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn collections_are_streams_of_their_own() {
    let front = Front::start().await;
    let user = front.user_with("u", "Contributor").await;
    let first = user.write("?collectionId=a%20%C3%A4", "1").await;
    let second = user.write("?collectionId=b", "2").await;
    user.write("?collectionId=a+%C3%A4", "3").await;

    let as_of = user
        .get(&format!(
            "/app/transactions/{second}?collectionId=a%20%C3%A4"
        ))
        .await
        .is(200);
    assert_eq!(as_of.json()["entry"]["contents"], "1");
    assert_eq!(as_of.json()["entry"]["transactionId"], first.as_str());
    let current = user
        .get("/app/transactions/current?collectionId=a%20%C3%A4")
        .await
        .is(200);
    assert_eq!(current.json()["contents"], "3");
    let collections = user.get("/app/collections").await.is(200).json();
    let expected = json!([{ "collectionId": "a ä" }, { "collectionId": "b" }]);
    assert_eq!(collections["collections"], expected);
    user.get("/app/transactions/current")
        .await
        .fails(404, "ResourceNotFound");
    user.get("/app/transactions/current?collectionId=none")
        .await
        .fails(404, "ResourceNotFound");
    let none = user
        .get("/app/transactions?collectionId=none")
        .await
        .is(200)
        .json();
    assert_eq!(none, json!({ "state": "Ready", "entries": [] }));
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_find_entries_again_on_public_ledgers_only() {
    let front = Front::start_public().await;
    let user = front.user_with("u", "Contributor").await;
    let path = "/app/transactions?collectionId=c&tags=red%2Cround";
    user.post(path, json!({ "contents": "apple" }))
        .await
        .is(200);
    user.post(
        "/app/transactions?collectionId=c&tags=red",
        json!({ "contents": "brick" }),
    )
    .await
    .is(200);
    user.post(
        "/app/transactions?collectionId=c",
        json!({ "contents": "air" }),
    )
    .await
    .is(200);
    let contents = async |query: &str| -> Vec<String> {
        let list = user
            .get(&format!("/app/transactions?collectionId=c{query}"))
            .await
            .is(200)
            .json();
        let entries = list["entries"].as_array().unwrap().iter();
        entries
            .map(|entry| entry["contents"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(contents("&tag=red").await, ["apple", "brick"]);
    assert_eq!(contents("&tag=round").await, ["apple"]);
    assert!(contents("&tag=blue").await.is_empty());
    assert_eq!(contents("").await, ["apple", "brick", "air"]);
    let tags = user
        .get("/app/collections/tags?collectionId=c")
        .await
        .is(200)
        .json();
    assert_eq!(tags, json!({ "tags": ["red", "round"] }));
    let long = "x".repeat(65);
    let path = format!("/app/transactions?tags={long}");
    user.post(&path, json!({ "contents": "x" }))
        .await
        .fails(400, "InvalidInput");
    front.stop().await;

    let front = Front::start().await;
    let user = front.administrator();
    user.post("/app/transactions?tags=a", json!({ "contents": "x" }))
        .await
        .fails(400, "InvalidInput");
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_comes_in_pages() {
    let front = Front::start().await;
    let user = front.administrator().speaks(V2024);
    let entries: Vec<_> = (0..2_345)
        .map(|n| json!({ "contents": n.to_string() }))
        .collect();
    let body = json!({ "entries": entries });
    user.post("/app/transactions:batch?collectionId=big%26", body)
        .await
        .is(200);
    let mut path = "/app/transactions?collectionId=big%26".to_owned();
    let (mut read, mut sizes) = (Vec::new(), Vec::new());
    loop {
        let page = user.get(&path).await.is(200).json();
        let entries = page["entries"].as_array().unwrap();
        sizes.push(entries.len());
        read.extend(
            entries
                .iter()
                .map(|entry| entry["contents"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["nextLink"].as_str() else {
            break;
        };
        assert!(
            next.contains("&collectionId=big%26&api-version=2024-12-09-preview"),
            "{next}"
        );
        path = next.to_owned();
    }
    assert_eq!(sizes, [1000, 1000, 345]);
    assert!(
        read.iter()
            .enumerate()
            .all(|(n, contents)| n.to_string() == *contents)
    );

    // A part of it: both ends belong to it.
    let whole = user
        .get("/app/transactions?collectionId=big%26")
        .await
        .json();
    let id = |n: usize| whole["entries"][n]["transactionId"].as_str().unwrap();
    let path = format!(
        "/app/transactions?collectionId=big%26&fromTransactionId={}&toTransactionId={}",
        id(10),
        id(12)
    );
    let part = user.get(&path).await.is(200).json();
    assert_eq!(part["entries"].as_array().unwrap().len(), 3);
    assert_eq!(part["entries"][2]["contents"], "12");
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_entries_make_short_pages() {
    let front = Front::start().await;
    let user = front.administrator();
    let contents = "x".repeat(1 << 20);
    for _ in 0..10 {
        user.write("", &contents).await;
    }
    let (mut path, mut sizes) = ("/app/transactions".to_owned(), Vec::new());
    loop {
        let page = user.get(&path).await.is(200).json();
        sizes.push(page["entries"].as_array().unwrap().len());
        let Some(next) = page["nextLink"].as_str() else {
            break;
        };
        path = next.to_owned();
    }
    assert_eq!(sizes, [8, 2]);
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_with_a_reason() {
    let front = Front::start_with(|node| node.limits.contents_bytes = 100, |_| {}).await;
    let user = front.administrator();
    let post = async |path: &str, body: &str| {
        let request = user.request(reqwest::Method::POST, path);
        send(
            request
                .header("content-type", "application/json")
                .body(body.to_owned()),
        )
        .await
    };
    let path = "/app/transactions";
    for body in [
        "",
        "x",
        "{}",
        "[]",
        r#"{"contents":7}"#,
        r#"{"contents":"a""#,
        "\"a\"",
    ] {
        post(path, body).await.fails(400, "InvalidInput");
    }
    let hook = r#"{"contents":"a","postHooks":[{"functionId":"f"}]}"#;
    post(path, hook).await.fails(400, "NotImplemented");
    let long = json!({ "contents": "x".repeat(101) }).to_string();
    let answer = post(path, &long)
        .await
        .fails(400, "EntrySizeCapacityExceeded");
    assert_eq!(
        answer.json()["error"]["message"],
        "Entry contents of 101 bytes exceed the limit of 100 bytes."
    );
    post(path, &"x".repeat(70_000))
        .await
        .fails(413, "RequestBodyTooLarge");
    let collection = format!("/app/transactions?collectionId={}", "c".repeat(257));
    post(&collection, r#"{"contents":"a"}"#)
        .await
        .fails(400, "CollectionIdTooLong");
    let flag = "/app/transactions?waitForCommit=perhaps";
    post(flag, r#"{"contents":"a"}"#)
        .await
        .fails(400, "InvalidQueryParameterValue");
    let text = "/app/transactions?collectionId=%FF";
    post(text, r#"{"contents":"a"}"#)
        .await
        .fails(400, "InvalidQueryParameterValue");
    let form = user
        .request(reqwest::Method::POST, path)
        .header("content-type", "application/x-www-form-urlencoded")
        .body("contents=a");
    send(form).await.fails(415, "UnsupportedContentType");
    // Only the genesis and what the node itself wrote is there.
    assert!(front.node.collections().is_empty());
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_are_not_there_are_told_apart() {
    let front = Front::start().await;
    let user = front.administrator();
    let id = user.write("", "x").await;
    for part in ["", "/status", "/receipt"] {
        let get = async |id: &str| user.get(&format!("/app/transactions/{id}{part}")).await;
        for id in ["x", "2", "2.x", "02.1", "2.-1"] {
            get(id).await.fails(400, "InvalidTransactionId");
        }
        let unknown = get("2.999999")
            .await
            .fails(404, "TransactionPendingOrUnknown");
        assert_eq!(unknown.header("cache-control"), "no-cache");
        get("1.1").await.fails(404, "TransactionInvalid");
        get(&id).await.is(200);
    }
    // The genesis is a transaction, but no entry.
    user.get("/app/transactions/2.1")
        .await
        .fails(404, "ResourceNotFound");
    user.get("/app/transactions/2.1/receipt").await.is(200);
    let list = async |query: &str| user.get(&format!("/app/transactions?{query}")).await;
    list("fromTransactionId=x")
        .await
        .fails(400, "InvalidQueryParameterValue");
    list(&format!("fromTransactionId={id}&toTransactionId=2.1"))
        .await
        .fails(400, "InvalidQueryParameterValue");
    list("fromTransactionId=1.1")
        .await
        .fails(404, "TransactionInvalid");
    list("toTransactionId=2.999999").await.is(200);
    front
        .anybody()
        .get("/node/receipt")
        .await
        .fails(400, "InvalidQueryParameterValue");
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_version_is_asked_for_on_app_paths() {
    let front = Front::start().await;
    let user = front.administrator();
    let get = async |path: &str| {
        send(
            user.http
                .get(format!("{}{path}", user.url))
                .bearer_auth(user.token.as_ref().unwrap()),
        )
        .await
    };
    get("/app/collections")
        .await
        .fails(400, "MissingApiVersionParameter");
    get("/app/collections?api-version=2021-01-01")
        .await
        .fails(400, "UnsupportedApiVersionValue");
    for version in ["0.1-preview", V2022, "2024-08-22-preview", V2024, V2026] {
        get(&format!("/app/collections?api-version={version}"))
            .await
            .is(200);
    }
    get("/app/commit").await.is(200);
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_sent_again_with_its_key_is_recorded_once() {
    let front = Front::start().await;
    let user = front.user_with("u", "Contributor").await;
    let write = |key: &str, contents: &str| {
        user.request(reqwest::Method::POST, "/app/transactions")
            .header("Idempotency-Key", key)
            .json(&json!({ "contents": contents }))
    };
    let (first, at_once) = tokio::join!(send(write("k", "one")), send(write("k", "one")));
    let id = first.is(200).transaction();
    assert_eq!(at_once.is(200).transaction(), id);
    assert_eq!(send(write("k", "one")).await.is(200).transaction(), id);
    send(write("k", "two")).await.fails(409, "Conflict");
    send(write("", "two")).await.fails(400, "InvalidInput");
    let other = send(write("l", "one")).await.is(200).transaction();
    assert_ne!(other, id);
    let list = user.get("/app/transactions").await.is(200).json();
    assert_eq!(list["entries"].as_array().unwrap().len(), 2);
    let somebody = front.user_with("v", "Contributor").await;
    let theirs = somebody
        .request(reqwest::Method::POST, "/app/transactions")
        .header("Idempotency-Key", "k")
        .json(&json!({ "contents": "one" }));
    assert_ne!(send(theirs).await.is(200).transaction(), id);
    front.stop().await;
}
