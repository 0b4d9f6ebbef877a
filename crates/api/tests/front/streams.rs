//! Batches, streams of lines, watching.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use verify::{Cert, ReceiptDocument, Verifier};

use crate::support::{Caller, Front, hold_up, send};

#[tokio::test(flavor = "multi_thread")]
async fn each_entry_of_a_batch_is_answered_by_itself() {
    let front = Front::start_public().await;
    let user = front.user_with("u", "Contributor").await;
    let body = json!({ "entries": [
        { "contents": "1" },
        { "contents": "2", "collectionId": "own", "tags": ["a", "b"], "unknown": 7 },
        { "contents": "3", "collectionId": "x".repeat(257) },
        { "contents": "4", "tags": "c,d" },
        { "contents": "5", "collectionId": "bad\u{1}" },
    ]});
    let answer = user
        .post("/app/transactions:batch?collectionId=c", body)
        .await
        .is(200);
    let last = answer.header("x-ms-ccf-transaction-id").to_owned();
    let results = answer.json();
    let results = results["results"].as_array().unwrap().clone();
    assert_eq!(results.len(), 5);
    assert_eq!(results[0]["collectionId"], "c");
    assert_eq!(results[1]["collectionId"], "own");
    assert_eq!(results[2]["error"]["code"], "CollectionIdTooLong");
    assert_eq!(results[3]["collectionId"], "c");
    assert_eq!(results[4]["error"]["code"], "InvalidInput");
    assert_eq!(results[3]["transactionId"], *last);
    for result in [&results[0], &results[1], &results[3]] {
        let id = result["transactionId"].as_str().unwrap();
        user.get(&format!("/app/transactions/{id}/receipt"))
            .await
            .is(200);
    }
    let list = user
        .get("/app/transactions?collectionId=c&tag=d")
        .await
        .is(200)
        .json();
    assert_eq!(list["entries"][0]["contents"], "4");
    assert_eq!(list["entries"][0]["tags"], json!(["c", "d"]));

    let path = "/app/transactions:batch";
    assert_eq!(
        user.post(path, json!({ "entries": [] }))
            .await
            .is(200)
            .json(),
        json!({ "results": [] })
    );
    user.post(path, json!({ "entries": [{ "contents": 1 }] }))
        .await
        .fails(400, "InvalidInput");
    user.post(path, json!([])).await.fails(400, "InvalidInput");
    let many: Vec<_> = (0..10_001).map(|_| json!({ "contents": "" })).collect();
    user.post(path, json!({ "entries": many }))
        .await
        .fails(400, "InvalidInput");
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_of_a_batch_is_recorded_once_under_its_key_and_proven_in_the_answer() {
    let front = Front::start().await;
    let user = front.user_with("u", "Contributor").await;
    let entry = |contents: &str, key: &str| json!({ "contents": contents, "collectionId": "c", "idempotencyKey": key });
    let send = async |entries: Vec<Value>, wait: &str| {
        let path = format!("/app/transactions:batch{wait}");
        let answer = user.post(&path, json!({ "entries": entries })).await;
        let answers = answer.is(200).json();
        answers["results"].as_array().unwrap().clone()
    };
    let proven = "?waitForCommit=true";
    let first = send(vec![entry("1", "k1"), entry("2", "k2")], proven).await;
    let verifier = Verifier::new(Cert::from_pem(front.node.service_cert()).unwrap());
    for (answer, contents) in first.iter().zip(["1", "2"]) {
        let document = ReceiptDocument::from_json(answer.to_string().as_bytes()).unwrap();
        let verified = verifier.verify_document(&document).unwrap();
        assert_eq!(answer["transactionId"], verified.tx_id.to_string());
        let shown = &answer["applicationClaims"][0]["ledgerEntry"];
        assert_eq!(
            (&shown["contents"], &shown["collectionId"]),
            (&json!(contents), &json!("c"))
        );
    }
    // Sent again, alone, with others, in another order and as a stream; and for something else.
    let again = send(
        vec![entry("2", "k2"), entry("3", "k3"), entry("1", "k1")],
        proven,
    )
    .await;
    assert_eq!(again[0]["transactionId"], first[1]["transactionId"]);
    assert_eq!(again[2]["transactionId"], first[0]["transactionId"]);
    assert!(again[2]["receipt"].is_object());
    let (lines, mut answers) = stream_lines(&user, "");
    let line = "{\"contents\":\"1\",\"collectionId\":\"c\",\"idempotencyKey\":\"k1\"}\n";
    lines.send(line).await.unwrap();
    assert_eq!(
        answers.recv().await.unwrap()["transactionId"],
        first[0]["transactionId"]
    );
    drop(lines);
    let other = send(vec![entry("other", "k1"), entry("4", "")], "").await;
    assert_eq!(
        (&other[0]["status"], &other[0]["error"]["code"]),
        (&json!(409), &json!("Conflict"))
    );
    assert_eq!(
        (&other[1]["status"], &other[1]["error"]["code"]),
        (&json!(400), &json!("InvalidInput"))
    );
    let list = user
        .get("/app/transactions?collectionId=c")
        .await
        .is(200)
        .json();
    let contents = list["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["contents"].clone());
    assert_eq!(contents.collect::<Vec<_>>(), ["1", "2", "3"]);
    front.stop().await;
}

/// Sends lines as they are given and hands out answers as they come.
fn stream_lines(user: &Caller, query: &str) -> (mpsc::Sender<&'static str>, mpsc::Receiver<Value>) {
    let (lines, to_send) = mpsc::channel::<&'static str>(8);
    let (got, answers) = mpsc::channel(64);
    let body = futures_util::StreamExt::map(ReceiverStream::new(to_send), |line| {
        Ok::<_, std::convert::Infallible>(Bytes::from(line))
    });
    let request = user
        .request(Method::POST, &format!("/app/transactions:batch{query}"))
        .header("content-type", "application/x-ndjson; charset=utf-8")
        .body(reqwest::Body::wrap_stream(body));
    tokio::spawn(async move {
        let mut response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let mut text = String::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            text.push_str(std::str::from_utf8(&chunk).unwrap());
            while let Some(end) = text.find('\n') {
                let line: String = text.drain(..=end).collect();
                got.send(serde_json::from_str(&line).unwrap())
                    .await
                    .unwrap();
            }
        }
        assert_eq!(text, "");
    });
    (lines, answers)
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_answered_in_order_while_more_are_sent() {
    let front = Front::start().await;
    let user = front.user_with("u", "Contributor").await;
    for http1 in [false, true] {
        let client = if http1 {
            front.client().http1_only()
        } else {
            front.client()
        };
        let user = Caller {
            http: client.build().unwrap(),
            ..user.clone()
        };
        let (lines, mut answers) = stream_lines(&user, "?collectionId=c");
        lines.send("{\"contents\":\"1\"}\n{\"conte").await.unwrap();
        let first = answers.recv().await.unwrap();
        assert_eq!(first["collectionId"], "c");
        lines
            .send("nts\":\"2\"}\r\n\n  \nnonsense\n")
            .await
            .unwrap();
        let second = answers.recv().await.unwrap();
        assert!(second["transactionId"].is_string());
        assert_eq!(
            answers.recv().await.unwrap()["error"]["code"],
            "InvalidInput"
        );
        lines
            .send("{\"contents\":\"3\",\"collectionId\":\"d\"}")
            .await
            .unwrap();
        drop(lines);
        assert_eq!(answers.recv().await.unwrap()["collectionId"], "d");
        assert!(answers.recv().await.is_none());
    }
    let list = user
        .get("/app/transactions?collectionId=c")
        .await
        .is(200)
        .json();
    let contents: Vec<_> = list["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| &e["contents"])
        .collect();
    assert_eq!(contents, ["1", "2", "1", "2"]);
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_lines_keep_their_order_in_the_ledger() {
    let front = Front::start().await;
    let user = front.administrator();
    let text: String = (0..25_000)
        .map(|n| format!("{{\"contents\":\"{n}\"}}\n"))
        .collect();
    let request = user.request(Method::POST, "/app/transactions:batch?waitForCommit=true");
    let answer = send(
        request
            .header("content-type", "application/x-ndjson")
            .body(text),
    )
    .await
    .is(200);
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let text = answer.text();
    let ids = text.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["transactionId"]
            .as_str()
            .unwrap()
            .parse::<verify::TxId>()
            .unwrap()
    });
    let ids: Vec<_> = ids.collect();
    assert_eq!(ids.len(), 25_000);
    assert!(ids.is_sorted());
    assert_eq!(
        front.node.entry(ids[24_999], None).unwrap().value.contents,
        "24999"
    );
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_never_ends_ends_the_stream() {
    let front = Front::start_with(|node| node.limits.contents_bytes = 10, |_| {}).await;
    let user = front.administrator();
    let request = user.request(Method::POST, "/app/transactions:batch");
    let text = format!("{{\"contents\":\"1\"}}\n{}", "x".repeat(70_000));
    let answer = send(
        request
            .header("content-type", "application/x-ndjson")
            .body(text),
    )
    .await
    .is(200);
    let lines: Vec<_> = answer
        .text()
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0]["transactionId"].is_string());
    assert_eq!(lines[1]["error"]["code"], "RequestBodyTooLarge");
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_told_to_requests_and_waited_for_by_streams() {
    let front = Front::start_with(|node| node.queue_entries = 2, |_| {}).await;
    let user = front.administrator();
    let held = hold_up(&front.node).await;
    let waits = || -> Box<dyn ledger::Transaction> {
        Box::new(|_: &mut ledger::Tx<'_>| Ok(verify::Digest::ZERO))
    };
    let node = std::sync::Arc::clone(&front.node);
    let waiting = node.submit_many(vec![waits(), waits()], node::Wait::Committed);
    let mut waiting = Box::pin(waiting);
    assert!(
        tokio::time::timeout(Duration::ZERO, &mut waiting)
            .await
            .is_err()
    );
    let path = "/app/transactions?collectionId=q";
    let busy = user.post(path, json!({ "contents": "refused" })).await;
    let busy = busy.fails(429, "TooManyPendingTransactions");
    assert_eq!(busy.header("retry-after"), "1");
    let (lines, mut answers) = stream_lines(&user, "?collectionId=q");
    lines.send("{\"contents\":\"patient\"}\n").await.unwrap();
    drop(lines);
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(held);
    assert_eq!(waiting.await.unwrap().len(), 2);
    assert!(answers.recv().await.unwrap()["transactionId"].is_string());
    let list = user
        .get("/app/transactions?collectionId=q")
        .await
        .is(200)
        .text();
    assert!(!list.contains("refused"));
    front.stop().await;
}

/// Events as they come: id and data; comments are left out.
async fn watch(user: &Caller, query: &str, last: Option<&str>) -> mpsc::Receiver<(String, Value)> {
    let mut request = user.request(Method::GET, &format!("/app/transactions:watch{query}"));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let mut response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let (got, events) = mpsc::channel(64);
    tokio::spawn(async move {
        let mut text = String::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            text.push_str(std::str::from_utf8(&chunk).unwrap());
            while let Some(end) = text.find("\n\n") {
                let event: String = text.drain(..end + 2).collect();
                let Some((head, data)) = event.split_once("\ndata: ") else {
                    continue;
                };
                let data = serde_json::from_str(data.trim()).unwrap();
                let head = head.trim_start_matches("id: ").to_owned();
                if got.send((head, data)).await.is_err() {
                    return;
                }
            }
        }
    });
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_sees_every_entry_once_and_can_go_on() {
    let front = Front::start().await;
    let user = front.user_with("u", "Contributor").await;
    let first = user.write("?collectionId=w", "1").await;
    let mut from_now = watch(&user, "?collectionId=w", None).await;
    let mut from_first = watch(
        &user,
        &format!("?collectionId=w&fromTransactionId={first}"),
        None,
    )
    .await;
    let (id, data) = from_first.recv().await.unwrap();
    assert_eq!(
        (id.as_str(), &data["contents"]),
        (first.as_str(), &json!("1"))
    );
    user.write("?collectionId=other", "not seen").await;
    let second = user.write("?collectionId=w", "2").await;
    for events in [&mut from_now, &mut from_first] {
        let (id, data) = events.recv().await.unwrap();
        assert_eq!(id, second);
        assert_eq!(
            data,
            json!({ "collectionId": "w", "contents": "2", "transactionId": second })
        );
    }
    drop((from_now, from_first));
    let many: Vec<_> = (0..1_000)
        .map(|n| json!({ "contents": n.to_string() }))
        .collect();
    user.post(
        "/app/transactions:batch?collectionId=w",
        json!({ "entries": many }),
    )
    .await
    .is(200);
    let mut resumed = watch(&user, "?collectionId=w", Some(&second)).await;
    for n in 0..1_000 {
        assert_eq!(resumed.recv().await.unwrap().1["contents"], n.to_string());
    }
    let bad = user
        .request(Method::GET, "/app/transactions:watch")
        .header("last-event-id", "x");
    send(bad).await.fails(400, "InvalidTransactionId");
    user.get("/app/transactions:watch?fromTransactionId=1.1")
        .await
        .fails(404, "TransactionInvalid");
    front.stop().await;
    assert!(resumed.recv().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_whose_role_is_taken_away_is_told_so() {
    let front = Front::start().await;
    let user = front.user_with("u", "Reader").await;
    let mut events = watch(&user, "", None).await;
    let administrator = front.administrator();
    administrator.write("", "seen").await;
    assert_eq!(events.recv().await.unwrap().1["contents"], "seen");
    administrator.delete("/app/ledgerUsers/u").await.is(204);
    administrator.write("", "not seen").await;
    let (kind, error) = events.recv().await.unwrap();
    assert_eq!(
        (kind.as_str(), &error["error"]["code"]),
        ("event: error", &json!("NotAllowed"))
    );
    assert!(events.recv().await.is_none());
    front.stop().await;
}
