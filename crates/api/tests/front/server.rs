//! Connections: versions, limits, ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger::governance::actions;
use ledger::{Rejection, Tx};
use node::Wait;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use verify::{Cert, Digest};

use crate::support::{Front, hold_up};

/// A bare TLS connection, HTTP/1.1.
async fn connect(front: &Front) -> TlsStream<TcpStream> {
    let root = CertificateDer::from_pem_slice(front.node.service_cert().as_bytes()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(front.address).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap()
}

/// All that comes until the other end closes.
async fn read_all(stream: &mut TlsStream<TcpStream>) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes));
    let _ = read.await.expect("the connection is closed in time");
    String::from_utf8(bytes).unwrap()
}

/// Does what members would decide.
async fn decide(front: &Front, action: &str) {
    let args = json!({ "valid_from": "260131235959Z", "validity_period_days": 90 });
    let proposal = json!({ "actions": [{ "name": action, "args": args }] }).to_string();
    let run = move |tx: &mut Tx<'_>| {
        let actions = actions::parse(proposal.as_bytes()).map_err(Rejection::InvalidInput)?;
        actions.apply(tx).map_err(Rejection::Conflict)?;
        Ok(Digest::ZERO)
    };
    let decided = front.node.submit(Box::new(run), Wait::Committed).await;
    decided.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn renewed_certificates_are_shown_without_a_restart() {
    let front = Front::start().await;
    let shown = async || {
        let stream = connect(&front).await;
        let cert = &stream.get_ref().1.peer_certificates().unwrap()[0];
        Cert::from_der(cert).unwrap()
    };
    let before = shown().await;
    assert_eq!(before, Cert::from_pem(front.node.node_cert()).unwrap());
    let mut open = connect(&front).await;
    decide(&front, "set_all_nodes_certificate_validity").await;
    let start = Instant::now();
    while shown().await == before {
        assert!(start.elapsed() < Duration::from_secs(30), "it is not shown");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let renewed = shown().await;
    assert_eq!(renewed.key_digest(), before.key_digest());
    assert!(renewed.is_signed_by(&Cert::from_pem(front.node.service_cert()).unwrap()));

    // A connection that was open goes on.
    let request = "GET /node/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    open.write_all(request.as_bytes()).await.unwrap();
    assert!(read_all(&mut open).await.starts_with("HTTP/1.1 2"));

    // The service's own is told to whoever asks, and is of the same key.
    let service = async || {
        let network = front.anybody().get("/node/network").await.is(200).json();
        Cert::from_pem(network["service_certificate"].as_str().unwrap()).unwrap()
    };
    let before = service().await;
    decide(&front, "set_service_certificate_validity").await;
    let start = Instant::now();
    while service().await == before {
        assert!(start.elapsed() < Duration::from_secs(30), "it is not told");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(service().await.key_digest(), before.key_digest());
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_http_are_spoken() {
    let front = Front::start().await;
    let get = async |client: reqwest::ClientBuilder| {
        let client = client.build().unwrap();
        client
            .get(format!("{}/node/live", front.url))
            .send()
            .await
            .unwrap()
            .version()
    };
    assert_eq!(get(front.client()).await, reqwest::Version::HTTP_2);
    assert_eq!(
        get(front.client().http1_only()).await,
        reqwest::Version::HTTP_11
    );
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_and_methods_that_are_not_there_say_so() {
    let front = Front::start().await;
    let anybody = front.anybody();
    for path in [
        "/web/",
        "/web/nothing.js",
        "/app",
        "/node/",
        "/node/nothing",
        "/app/transactions/2.1/x",
        "/app/userDefinedFunctions",
    ] {
        anybody.get(path).await.fails(404, "ResourceNotFound");
    }
    let answer = anybody
        .delete("/app/transactions")
        .await
        .fails(405, "UnsupportedHttpVerb");
    assert_eq!(answer.header("allow"), "POST, GET");
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_get_a_page_that_takes_scripts_from_here_only() {
    let front = Front::start().await;
    let anybody = front.anybody();
    let page = anybody.get("/").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self';"),
        "{policy}"
    );
    let script = anybody.get("/web/verify.js").await;
    assert_eq!(script.status, 200);
    assert_eq!(
        script.header("content-type"),
        "text/javascript; charset=utf-8"
    );
    assert_eq!(script.header("x-content-type-options"), "nosniff");
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_are_too_large_are_refused() {
    let front = Front::start().await;
    for client in [front.client(), front.client().http1_only()] {
        let request = client
            .build()
            .unwrap()
            .get(format!("{}/node/live", front.url));
        // The connection may be closed before the client has read why.
        let answer = request.header("x-large", "x".repeat(40_000)).send().await;
        assert!(answer.is_err() || answer.unwrap().status() == 431);
    }
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_on_which_nothing_happens_is_closed() {
    let idle = Duration::from_secs(1);
    let front = Front::start_with(|_| {}, |api| api.idle_timeout = idle).await;
    let mut silent = connect(&front).await;
    let mut slow = connect(&front).await;
    slow.write_all(b"GET /node/live HT").await.unwrap();
    assert_eq!(read_all(&mut silent).await, "");
    assert_eq!(read_all(&mut slow).await, "");
    // A watcher to whom nothing happens is busy all the same.
    let user = front.administrator();
    let mut watch = user
        .request(reqwest::Method::GET, "/app/transactions:watch")
        .send()
        .await
        .unwrap();
    tokio::time::sleep(idle * 4).await;
    user.write("", "at last").await;
    let mut text = String::new();
    while !text.contains("at last") {
        text += std::str::from_utf8(&watch.chunk().await.unwrap().unwrap()).unwrap();
    }
    drop(watch);
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_too_many_is_told_so() {
    let front = Front::start_with(|_| {}, |api| api.session_max = 1).await;
    let anybody = front.anybody();
    anybody.get("/node/live").await.is(204);
    let another = front.anybody();
    another
        .get("/node/live")
        .await
        .fails(503, "SessionCapExhausted");
    anybody.get("/node/live").await.is(204);
    drop(anybody);
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_requests_under_way_finish_and_takes_no_more() {
    let front = Front::start().await;
    let user = front.administrator();
    user.get("/app/collections").await.is(200);
    let mut idle = connect(&front).await;
    let held = hold_up(&front.node).await;
    let writing = tokio::spawn({
        let user = user.clone();
        async move { user.write("", "under way").await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (node, address) = (Arc::clone(&front.node), front.address);
    let stopping = tokio::spawn(front.stop());
    assert_eq!(read_all(&mut idle).await, "");
    assert!(!stopping.is_finished());
    assert!(TcpStream::connect(address).await.is_err());
    drop(held);
    let id = writing.await.unwrap().parse().unwrap();
    let _dir = stopping.await.unwrap();
    assert_eq!(node.entry(id, None).unwrap().value.contents, "under way");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_stopped_says_that_nothing_was_recorded() {
    let front = Front::start().await;
    let user = front.administrator();
    front.node.stop().await;
    let answer = user
        .post("/app/transactions", json!({ "contents": "x" }))
        .await;
    let answer = answer.fails(503, "StoppingService");
    assert_eq!(answer.header("retry-after"), "1");
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_is_an_error() {
    let front = Front::start().await;
    let config = api::ApiConfig::new(front.address);
    let again = api::serve(
        Arc::clone(&front.node),
        config,
        Vec::new(),
        Default::default(),
    )
    .await;
    assert!(matches!(again, Err(api::ServeError::Listen { .. })));
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_said_to_be_too_long_is_not_read() {
    let front = Front::start().await;
    let token = front.administrator().token.unwrap();
    let mut stream = connect(&front).await;
    let request = format!(
        "PATCH /app/ledgerUsers/u?api-version=2022-05-13 HTTP/1.1\r\nhost: x\r\n\
         authorization: Bearer {token}\r\ncontent-length: 99999999999\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 413");
    drop(stream);
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_may_come_in_any_pieces_and_must_come_whole() {
    let front = Front::start().await;
    let token = front.administrator().token.unwrap();
    let head = format!(
        "POST /app/transactions?api-version=2022-05-13 HTTP/1.1\r\nhost: x\r\n\
         authorization: Bearer {token}\r\n"
    );
    let body = r#"{"contents":"in pieces"}"#;
    let mut stream = connect(&front).await;
    let length = format!("{head}content-length: {}\r\n\r\n", body.len());
    stream.write_all(length.as_bytes()).await.unwrap();
    for byte in body.as_bytes() {
        stream.write_all(&[*byte]).await.unwrap();
        stream.flush().await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let chunked = format!("{head}transfer-encoding: chunked\r\nconnection: close\r\n\r\n");
    stream.write_all(chunked.as_bytes()).await.unwrap();
    let (one, two) = body.split_at(7);
    let chunks = format!(
        "{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n",
        one.len(),
        two.len()
    );
    stream.write_all(chunks.as_bytes()).await.unwrap();
    assert_eq!(
        read_all(&mut stream).await.matches("HTTP/1.1 200").count(),
        2
    );

    let mut stream = connect(&front).await;
    stream.write_all(length.as_bytes()).await.unwrap();
    stream.write_all(&body.as_bytes()[..9]).await.unwrap();
    stream.shutdown().await.unwrap();
    read_all(&mut stream).await;
    let all = front.node.entries(&node::EntryQuery {
        collection: "subledger:0".to_owned(),
        tag: None,
        from: verify::Seqno::FIRST,
        to: verify::Seqno(u64::MAX),
        limit: 10,
    });
    assert_eq!(all.unwrap().entries.len(), 2);
    front.stop().await;
}
