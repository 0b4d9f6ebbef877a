use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::ServiceExt;

use super::*;
use crate::Problem;
use crate::edge::EdgeConfig;
use crate::metrics::Metrics;
use crate::model::{ContentHash, Event, Timestamp, What};
use crate::trail::{Act, Address, Answering, CONCURRENT, Receipt, Stored};

/// Keeps what it is told.
#[derive(Default)]
struct Notes {
    acts: Mutex<Vec<Act>>,
    pending: AtomicBool,
    refuses: AtomicBool,
    /// So often somebody else is faster.
    overtaken: AtomicUsize,
}

impl Recorder for Notes {
    fn record(&self, act: Act) -> Answering<'_, Stored> {
        Box::pin(async move {
            if self.refuses.load(Ordering::SeqCst) {
                return Err(Problem::busy("no"));
            }
            let less = |left: usize| left.checked_sub(1);
            let order = Ordering::SeqCst;
            if self.overtaken.fetch_update(order, order, less).is_ok() {
                return Err(Problem::conflict(CONCURRENT, "one before it is on its way"));
            }
            self.acts.lock().unwrap().push(act.clone());
            if self.pending.load(Ordering::SeqCst) {
                return Err(Problem::pending("later"));
            }
            let event = Event {
                record: act.record.unwrap(),
                version: 3,
                how: act.how,
                who: act.who,
                what: What {
                    about: act.about,
                    did: act.did,
                    hash: ContentHash([1; 32]),
                },
                when: Timestamp::from_millis(0).unwrap(),
                place: act.place,
                target: act.target,
            };
            let address = Address {
                transaction_address: "2.9".to_owned(),
                contract_address: "bitacora:farm".to_owned(),
            };
            Ok(Stored {
                event,
                salt: None,
                address,
                receipt: Receipt::of(&json!({})),
            })
        })
    }
}

/// A system that tells what it was asked.
async fn system() -> String {
    async fn answer(request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        let status = match parts.uri.path() {
            "/forms/7" => {
                return (StatusCode::SEE_OTHER, [("location", "/forms/7/done")]).into_response();
            }
            "/elsewhere" => {
                let headers = [
                    ("location", "http://127.0.0.1:1/"),
                    ("counterfoil-audit", "recorded"),
                    ("counterfoil-record", "lot-7"),
                ];
                return (StatusCode::FOUND, headers).into_response();
            }
            "/api/lots/missing" => StatusCode::NOT_FOUND,
            "/api/lots" if parts.uri.query() == Some("twice") => {
                let headers = [("content-type", "application/json")];
                return (StatusCode::CREATED, headers, r#"{"id": 1, "id": 2}"#).into_response();
            }
            _ if parts.method == Method::POST => StatusCode::CREATED,
            _ => StatusCode::OK,
        };
        let headers: Value = parts
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap())))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let said = json!({
            "id": 7, "method": parts.method.as_str(), "path": parts.uri.to_string(),
            "headers": headers, "body": String::from_utf8_lossy(&body),
        });
        (status, axum::Json(said)).into_response()
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    format!("http://{address}")
}

const RULES: &str = r#"[
    {"methods": ["POST"], "path": "/api/lots", "record": "lot-{response:/id}", "about": ["lot:{response:/id}"]},
    {"methods": ["PUT", "DELETE"], "path": "/api/lots/{lot}", "record": "lot-{lot}", "about": ["lot:{lot}"]},
    {"methods": ["PUT"], "path": "/api/farms/{farm}", "record": "{request:/name}", "about": ["farm:{farm}"]},
    {"methods": ["PATCH"], "path": "/api/farms/{farm}", "record": "{request:/name}", "about": ["farm:{farm}"],
     "data": "response"},
    {"methods": ["POST"], "path": "/forms/{form}", "record": "form-{form}", "about": ["form:{form}"], "done": [303]},
    {"methods": ["PUT"], "path": "/forms/{form}", "record": "form-{form}", "about": ["form:{form}"]}
]"#;

async fn proxied(more: &[String]) -> (Router, Arc<Notes>) {
    let notes = Arc::new(Notes::default());
    let mut addresses = more.to_vec();
    addresses.push(system().await);
    let rules = Rules::new(serde_json::from_str(RULES).unwrap()).unwrap();
    let upstreams = Upstreams::new(&addresses).unwrap();
    let recorder = Arc::clone(&notes) as Arc<dyn Recorder>;
    let proxy = Proxy::new(rules, upstreams, recorder, Text::parse("farm").unwrap());
    (proxy.routes(&edge()), notes)
}

fn edge() -> Edge {
    Edge::new(EdgeConfig::default(), Metrics::new())
}

async fn ask(
    routes: &Router,
    method: Method,
    path: &str,
    body: Value,
) -> (StatusCode, HeaderMap, Value) {
    let mut request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .header("connection", "x-mine")
        .header("x-mine", "1")
        .header("x-http-method-override", "DELETE")
        .header("x-original-url", "/api/lots/8")
        .header("x-forwarded-for", "10.0.0.1")
        .header("forwarded", "for=10.0.0.1")
        .body(Body::from(if body.is_null() {
            String::new()
        } else {
            body.to_string()
        }))
        .unwrap();
    let peer = ConnectInfo(std::net::SocketAddr::from(([203, 0, 113, 7], 5)));
    request.extensions_mut().insert(peer);
    let answer = routes.clone().oneshot(request).await.unwrap();
    let (parts, body) = answer.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    (
        parts.status,
        parts.headers,
        serde_json::from_slice(&body).unwrap_or_default(),
    )
}

#[tokio::test]
async fn a_change_is_passed_on_recorded_and_then_answered() {
    let (routes, notes) = proxied(&[]).await;
    let (status, headers, said) =
        ask(&routes, Method::POST, "/api/lots?x=1", json!({"kg": 1})).await;
    assert_eq!(
        (status, &said["path"], &said["body"]),
        (
            StatusCode::CREATED,
            &json!("/api/lots?x=1"),
            &json!(r#"{"kg":1}"#)
        )
    );
    assert_eq!(headers["counterfoil-record"], "lot-7");
    assert_eq!(headers["counterfoil-transaction-address"], "2.9");
    let act = notes.acts.lock().unwrap().pop().unwrap();
    assert_eq!(act.content, crate::trail::Given::Data(json!({"kg": 1})));
    assert_eq!(
        (act.who.as_str(), act.place.as_str()),
        ("farm", "203.0.113.7")
    );
}

#[tokio::test]
async fn headers_that_would_deceive_the_system_or_us_do_not_pass() {
    let (routes, _) = proxied(&[]).await;
    let (_, _, said) = ask(&routes, Method::GET, "/anything", Value::Null).await;
    let headers = &said["headers"];
    for name in [
        "x-mine",
        "x-http-method-override",
        "x-original-url",
        "forwarded",
        "connection",
    ] {
        assert_eq!(headers[name], Value::Null, "{name}");
    }
    assert_eq!(headers["x-forwarded-for"], "203.0.113.7");
    let (status, ..) = ask(&routes, Method::PUT, "/api/%2e%2e/api/lots/7", json!({})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn no_request_names_the_server_that_it_is_sent_to() {
    let (routes, _) = proxied(&[]).await;
    let (_, _, plain) = ask(&routes, Method::GET, "/anything?x=1", Value::Null).await;
    for uri in [
        "http://127.0.0.1:1/anything?x=1",
        "http://user:secret@169.254.169.254/anything?x=1",
        "https://evil.example/anything?x=1",
    ] {
        let (status, _, said) = ask(&routes, Method::GET, uri, Value::Null).await;
        assert_eq!((status, &said["path"]), (StatusCode::OK, &plain["path"]));
        let host = &said["headers"]["host"];
        assert_eq!(host, &plain["headers"]["host"], "{uri}");
        assert_eq!(said["headers"]["authorization"], Value::Null);
    }
    let (status, ..) = ask(&routes, Method::CONNECT, "127.0.0.1:1", Value::Null).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, ..) = ask(&routes, Method::OPTIONS, "*", Value::Null).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_redirection_is_the_clients_to_follow() {
    let (routes, _) = proxied(&[]).await;
    let (status, headers, _) = ask(&routes, Method::GET, "/elsewhere", Value::Null).await;
    assert_eq!(status, StatusCode::FOUND);
    assert_eq!(headers["location"], "http://127.0.0.1:1/");
}

#[tokio::test]
async fn the_system_does_not_say_that_something_was_recorded() {
    let (routes, _) = proxied(&[]).await;
    let (status, headers, _) = ask(&routes, Method::GET, "/elsewhere", Value::Null).await;
    assert_eq!(status, StatusCode::FOUND);
    for name in ["counterfoil-audit", "counterfoil-record"] {
        assert_eq!(headers.get(name), None);
    }
}

#[tokio::test]
async fn where_only_audited_changes_pass_others_are_refused() {
    let (notes, address) = (Arc::new(Notes::default()), system().await);
    let rules = Rules::new(serde_json::from_str(RULES).unwrap()).unwrap();
    let upstreams = Upstreams::new(&[address]).unwrap();
    let recorder = Arc::clone(&notes) as Arc<dyn Recorder>;
    let proxy = Proxy::new(rules, upstreams, recorder, Text::parse("farm").unwrap());
    let routes = proxy.audited_only(true).routes(&edge());
    for path in [
        "/API/lots/7",
        "/api/lots.json/7",
        "/api/lots/7/weight",
        "/other",
    ] {
        let (status, _, said) = ask(&routes, Method::PUT, path, json!({})).await;
        assert_eq!(
            (status, &said["type"]),
            (StatusCode::FORBIDDEN, &json!("NotAudited")),
            "{path}"
        );
    }
    let (status, ..) = ask(&routes, Method::GET, "/other", Value::Null).await;
    assert_eq!(status, StatusCode::OK);
    let (status, ..) = ask(&routes, Method::PUT, "/api/lots/7", json!({})).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn what_no_rule_fits_and_what_the_system_refuses_is_no_event() {
    let (routes, notes) = proxied(&[]).await;
    let (status, headers, _) = ask(&routes, Method::GET, "/api/lots/7", Value::Null).await;
    assert_eq!(
        (status, headers.get("counterfoil-audit")),
        (StatusCode::OK, None)
    );
    let (status, ..) = ask(&routes, Method::PUT, "/api/lots/missing", json!({})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(notes.acts.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_event_that_cannot_be_is_refused_before_the_system_acts() {
    let (routes, notes) = proxied(&[]).await;
    for method in [Method::PUT, Method::PATCH] {
        let (status, _, said) = ask(&routes, method, "/api/farms/1", json!({"nom": "x"})).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{said}");
        assert!(said["detail"].as_str().unwrap().contains("{request:/name}"));
    }
    assert!(notes.acts.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_change_without_its_event_is_never_a_success() {
    let (routes, notes) = proxied(&[]).await;
    notes.pending.store(true, Ordering::SeqCst);
    let (status, headers, _) = ask(&routes, Method::DELETE, "/api/lots/7", Value::Null).await;
    assert_eq!(
        (status, &headers["counterfoil-audit"]),
        (StatusCode::OK, &"pending".parse().unwrap())
    );
    notes.refuses.store(true, Ordering::SeqCst);
    let (status, _, said) = ask(&routes, Method::DELETE, "/api/lots/7", Value::Null).await;
    assert_eq!(
        (status, &said["type"]),
        (StatusCode::BAD_GATEWAY, &json!("AuditFailed"))
    );
}

#[tokio::test]
async fn a_redirection_is_an_event_where_the_rule_says_that_it_means_done() {
    let (routes, notes) = proxied(&[]).await;
    let (status, headers, _) = ask(&routes, Method::POST, "/forms/7", json!({})).await;
    assert_eq!(
        (status, &headers["counterfoil-audit"], &headers["location"]),
        (
            StatusCode::SEE_OTHER,
            &"recorded".parse().unwrap(),
            &"/forms/7/done".parse().unwrap()
        )
    );
    let (status, headers, _) = ask(&routes, Method::PUT, "/forms/7", json!({})).await;
    assert_eq!(
        (status, headers.get("counterfoil-audit")),
        (StatusCode::SEE_OTHER, None)
    );
    assert_eq!(notes.acts.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_change_waits_for_the_event_of_the_one_before() {
    let (routes, notes) = proxied(&[]).await;
    notes.overtaken.store(3, Ordering::SeqCst);
    let (status, headers, _) = ask(&routes, Method::DELETE, "/api/lots/7", Value::Null).await;
    assert_eq!(
        (status, &headers["counterfoil-audit"]),
        (StatusCode::OK, &"recorded".parse().unwrap())
    );
    assert_eq!(notes.acts.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_change_whose_answer_cannot_be_read_is_told_to_have_no_event() {
    let (routes, notes) = proxied(&[]).await;
    let (status, _, said) = ask(&routes, Method::POST, "/api/lots?twice", json!({})).await;
    assert_eq!(
        (status, &said["type"]),
        (StatusCode::BAD_GATEWAY, &json!("AuditFailed")),
        "{said}"
    );
    assert!(notes.acts.lock().unwrap().is_empty());
    // What packs its answers is not asked to.
    let request = Request::post("/api/lots")
        .header("accept-encoding", "gzip, br")
        .extension(ConnectInfo(
            "203.0.113.7:9".parse::<std::net::SocketAddr>().unwrap(),
        ));
    let answer = routes.oneshot(request.body(Body::empty()).unwrap()).await;
    let body = to_bytes(answer.unwrap().into_body(), 1 << 20)
        .await
        .unwrap();
    let said: Value = serde_json::from_slice(&body).unwrap();
    assert!(said["headers"]["accept-encoding"].is_null(), "{said}");
}

#[tokio::test]
async fn a_server_that_is_gone_is_left_out() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let (routes, _) = proxied(std::slice::from_ref(&address)).await;
    for _ in 0..4 {
        let (status, ..) = ask(&routes, Method::PUT, "/api/lots/7", json!({})).await;
        assert_eq!(status, StatusCode::OK);
    }
    let rules = Rules::default();
    let upstreams = Upstreams::new(&[address]).unwrap();
    let proxy = Proxy::new(
        rules,
        upstreams,
        Arc::new(Notes::default()),
        Text::default(),
    );
    let (status, ..) = ask(&proxy.routes(&edge()), Method::GET, "/", Value::Null).await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
}
