//! What the client sends and how it takes answers, against a server that says what the test wants.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use counterfoil_client::{BatchAnswer, Client, ClientError, Credential, EntryRange, NewEntry};
use futures_util::{StreamExt, TryStreamExt, stream};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A server that answers the first request with the first answer, and so on, and then hangs up.
struct Scripted {
    url: String,
    service_cert: String,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    async fn start(answers: &[&str]) -> Self {
        let key = || KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let mut service = CertificateParams::default();
        service.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let service = CertifiedIssuer::self_signed(service, key()).unwrap();
        let node_key = key();
        let node = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let node = node.signed_by(&node_key, &service).unwrap();
        let node_key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(node_key.serialize_der()));
        let tls = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![node.der().clone()], node_key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let answers: Vec<_> = answers.iter().map(|&answer| answer.to_owned()).collect();
        tokio::spawn(serve(
            listener,
            TlsAcceptor::from(Arc::new(tls)),
            answers,
            heard.clone(),
        ));
        Self {
            url,
            service_cert: service.pem(),
            heard,
        }
    }

    fn client(&self) -> Client {
        Client::builder(&self.url)
            .service_cert(&self.service_cert)
            .credential(Credential::bearer("t0ken"))
            .build()
            .unwrap()
    }

    /// The requests so far: first line and body.
    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    answers: Vec<String>,
    heard: Arc<Mutex<Vec<String>>>,
) {
    let mut answers = answers.into_iter();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        // Whoever does not trust this server ends here.
        let Ok(mut stream) = acceptor.accept(stream).await else {
            continue;
        };
        let Some(request) = read_request(&mut stream).await else {
            continue;
        };
        heard.lock().unwrap().push(request);
        let Some(answer) = answers.next() else { return };
        if answer.is_empty() {
            continue;
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        let _ = stream.shutdown().await;
    }
}

async fn read_request(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lower = head.to_ascii_lowercase();
            assert!(lower.contains("authorization: bearer t0ken"), "{head}");
            let length = lower.split("content-length: ").nth(1);
            let length: usize = length.map_or(0, |rest| {
                rest.split("\r\n").next().unwrap().parse().unwrap()
            });
            let chunked = lower.contains("transfer-encoding: chunked");
            if body.len() >= length && (!chunked || body.ends_with("0\r\n\r\n")) {
                let last = lower.split("last-event-id: ").nth(1);
                let last = last.map_or("", |rest| rest.split("\r\n").next().unwrap());
                let first = head.lines().next().unwrap().replace(" HTTP/1.1", "");
                return Some([&first, last, body].join(" ").trim().to_owned());
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
        }
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

const VERSION: &str = "api-version=2026-07-31-preview";

#[tokio::test]
async fn a_throttled_write_is_sent_again() {
    let busy = answer(
        "429 Too Many Requests",
        "retry-after: 0\r\n",
        r#"{"error":{"code":"TooManyPendingTransactions","message":"busy"}}"#,
    );
    let ok = answer(
        "200 OK",
        "x-ms-ccf-transaction-id: 2.17\r\n",
        r#"{"collectionId":"c"}"#,
    );
    let server = Scripted::start(&[&busy, &busy, &ok]).await;
    let entry = NewEntry::new("x").collection("a b").tag("t");
    let id = server
        .client()
        .append_without_waiting(&entry)
        .await
        .unwrap();
    assert_eq!(id.to_string(), "2.17");
    let path =
        format!("POST /app/transactions?{VERSION}&collectionId=a+b&tags=t&waitForCommit=false");
    assert_eq!(
        server.heard(),
        vec![format!("{path}  {{\"contents\":\"x\"}}"); 3]
    );
}

#[tokio::test]
async fn a_write_whose_fate_is_unknown_is_never_sent_again() {
    for fate in ["", &answer("500 Internal Server Error", "", "")] {
        let server = Scripted::start(&[fate, fate, fate]).await;
        let error = server
            .client()
            .append(&NewEntry::new("x"))
            .await
            .unwrap_err();
        assert!(error.may_be_recorded(), "{error:?}");
        assert_eq!(server.heard().len(), 1);
    }
}

#[tokio::test]
async fn a_server_under_another_service_is_not_spoken_to() {
    let (server, other) = (Scripted::start(&[]).await, Scripted::start(&[]).await);
    let client = Client::builder(&server.url)
        .service_cert(&other.service_cert)
        .build()
        .unwrap();
    let error = client.append(&NewEntry::new("x")).await.unwrap_err();
    assert!(
        matches!(error, ClientError::Unreachable { .. }),
        "{error:?}"
    );
    assert!(!error.may_be_recorded());
    assert!(server.heard().is_empty());
}

#[tokio::test]
async fn a_write_without_a_receipt_that_holds_is_an_error() {
    let receipt = r#"{"cert":"x","proof":[],"signature":"","leafComponents":
        {"writeSetDigest":"00","commitEvidence":"ce:2.17:0","claimsDigest":"00"}}"#;
    let body = format!(r#"{{"collectionId":"c","state":"Committed","receipt":{receipt}}}"#);
    let ok = answer("200 OK", "x-ms-ccf-transaction-id: 2.17\r\n", &body);
    let server = Scripted::start(&[&ok]).await;
    let error = server
        .client()
        .append(&NewEntry::new("x"))
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Receipt { .. }), "{error:?}");
    assert!(error.may_be_recorded());
}

#[tokio::test]
async fn a_list_goes_on_where_the_page_says() {
    let entry = |id| format!(r#"{{"collectionId":"c","contents":"x","transactionId":"{id}"}}"#);
    let page = |id, next: &str| {
        answer(
            "200 OK",
            "",
            &format!(r#"{{"state":"Ready","entries":[{}]{next}}}"#, entry(id)),
        )
    };
    let first = page(
        "2.5",
        r#","nextLink":"/app/transactions?from=2.6&api-version=v""#,
    );
    let server = Scripted::start(&[&first, &page("2.6", "")]).await;
    let range = EntryRange {
        collection_id: Some("c".to_owned()),
        ..EntryRange::default()
    };
    let entries: Vec<_> = server.client().entries(&range).try_collect().await.unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(
        server.heard(),
        [
            format!("GET /app/transactions?{VERSION}&collectionId=c"),
            "GET /app/transactions?from=2.6&api-version=v".to_owned()
        ]
    );
}

#[tokio::test]
async fn a_link_to_somebody_else_is_not_followed() {
    let away = r#"{"state":"Ready","entries":[],"nextLink":"https://example.org/app"}"#;
    let server = Scripted::start(&[&answer("200 OK", "", away)]).await;
    let mut entries = pin!(server.client().entries(&EntryRange::default()));
    let error = entries.next().await.unwrap().unwrap_err();
    assert!(matches!(error, ClientError::Unexpected { .. }), "{error:?}");
}

#[tokio::test]
async fn a_watch_resumes_where_it_was_cut() {
    let event = |id: &str| {
        let entry = format!(r#"{{"collectionId":"c","contents":"x","transactionId":"{id}"}}"#);
        format!("id: {id}\ndata: {entry}\n\n")
    };
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let commit = answer("200 OK", "", r#"{"transaction_id":"2.4"}"#);
    let server = Scripted::start(&[
        &commit,
        &format!("{head}:\n\n{}{}", event("2.5"), "id: 2.6\ndata: {\"cut"),
        &format!("{head}{}", event("2.6")),
    ])
    .await;
    let mut watch = pin!(server.client().watch(Some("c"), None));
    for id in ["2.5", "2.6"] {
        assert_eq!(
            watch
                .next()
                .await
                .unwrap()
                .unwrap()
                .transaction_id
                .to_string(),
            id
        );
    }
    let path = format!("GET /app/transactions:watch?{VERSION}&collectionId=c");
    assert_eq!(
        server.heard(),
        [
            "GET /node/commit".to_owned(),
            format!("{path} 2.4"),
            format!("{path} 2.5")
        ]
    );
}

#[tokio::test]
async fn lines_are_streamed_in_and_answers_out() {
    let body = "{\"transactionId\":\"2.5\",\"collectionId\":\"c\"}\n\
                {\"error\":{\"code\":\"InvalidInput\",\"message\":\"no\"}}\n";
    // A stream cannot be sent twice: it is asked first who leads.
    let leads = answer("200 OK", "", "");
    let server = Scripted::start(&[&leads, &answer("200 OK", "", body)]).await;
    let entries = stream::iter(["a", "b"].map(NewEntry::new));
    let answers: Vec<_> = server
        .client()
        .import(entries)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert!(matches!(&answers[0], BatchAnswer::Recorded { .. }));
    assert!(matches!(&answers[1], BatchAnswer::Refused { error } if error.code == "InvalidInput"));
    let heard = server.heard().remove(1);
    assert!(
        heard.starts_with(&format!("POST /app/transactions:batch?{VERSION} ")),
        "{heard}"
    );
    assert!(heard.contains("{\"contents\":\"a\"}\n"), "{heard}");
}

#[tokio::test]
async fn a_refusal_keeps_its_code() {
    let no = answer(
        "403 Forbidden",
        "",
        r#"{"error":{"code":"NotAllowed","message":"no"}}"#,
    );
    let server = Scripted::start(&[&no]).await;
    let roles = BTreeSet::from(["Reader".to_owned()]);
    let error = server
        .client()
        .assign_roles("AB:CD", &roles)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some("NotAllowed"));
    assert!(!error.may_be_recorded());
    assert_eq!(
        server.heard(),
        [format!(
            "PATCH /app/ledgerUsers/AB:CD?{VERSION}  {{\"assignedRoles\":[\"Reader\"]}}"
        )]
    );
}
