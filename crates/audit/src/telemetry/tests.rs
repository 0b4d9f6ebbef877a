//! Against a collector in this process, over HTTP.

use std::sync::Mutex;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use http::header::RETRY_AFTER;
use http::{Request, StatusCode};
use serde_json::Value as Json;
use tower::ServiceExt;

use super::context::TRACEPARENT;
use super::*;
use crate::Problem;

const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// What a collector got: the header of each request, and its document.
type Got = Arc<Mutex<Vec<(HeaderMap, Json)>>>;

/// What a collector answers to a request of this number, from 0.
type Answer = fn(usize) -> Response;

async fn collector() -> (String, Got) {
    collector_that(|_| "{}".into_response()).await
}

async fn collector_that(answer: Answer) -> (String, Got) {
    let got = Got::default();
    let kept = Arc::clone(&got);
    let take = async move |headers: HeaderMap, body: String| {
        let document = serde_json::from_str(&body).unwrap();
        let mut kept = kept.lock().unwrap();
        kept.push((headers, document));
        answer(kept.len() - 1)
    };
    let routes = Router::new().route("/v1/traces", post(take));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    (format!("http://{address}"), got)
}

fn settings(endpoint: &str) -> Settings {
    Settings {
        endpoint: endpoint.to_owned(),
        sample: 1.0,
        believe_callers: false,
        headers: headers("x-api-key: hush").unwrap(),
    }
}

fn started(settings: Settings) -> Telemetry {
    Telemetry::start("tried", settings, &Metrics::new()).unwrap()
}

/// Routes in which a record is read in two steps, or is missing.
fn routes() -> Router {
    let read = async || {
        let slow = async { Ok::<_, Problem>(()) };
        timed("step", Kind::Internal, async {
            timed("inner", Kind::Client, slow).await
        })
        .await?;
        let mut asked = HeaderMap::new();
        hand_on(&mut asked);
        Ok::<_, Problem>(format!("{:?}", asked.get(TRACEPARENT)))
    };
    let missing = async || Problem::internal("trying", &std::fmt::Error);
    Router::new()
        .route("/v1/records/{record}", get(read))
        .route("/v1/users/{user}", get(missing))
}

async fn ask(routes: &Router, path: &str, traceparent: Option<&str>) -> (StatusCode, String) {
    let mut request = Request::get(path)
        .header("authorization", "Bearer hush")
        .body(Body::empty())
        .unwrap();
    if let Some(value) = traceparent {
        let value = HeaderValue::from_str(value).unwrap();
        request.headers_mut().insert(TRACEPARENT, value);
    }
    let answer = routes.clone().oneshot(request).await.unwrap();
    let status = answer.status();
    let body = axum::body::to_bytes(answer.into_body(), 1 << 16).await;
    (status, String::from_utf8(body.unwrap().to_vec()).unwrap())
}

/// All spans, by name.
fn spans(got: &Got) -> Vec<Json> {
    let got = got.lock().unwrap();
    let documents = got
        .iter()
        .map(|(_, document)| &document["resourceSpans"][0]);
    let spans = documents.flat_map(|one| one["scopeSpans"][0]["spans"].as_array().unwrap().clone());
    let mut spans: Vec<Json> = spans.collect();
    spans.sort_by_key(|span| span["name"].to_string());
    spans
}

#[tokio::test]
async fn a_request_is_a_trace_of_its_steps_and_goes_on_from_its_callers() {
    let (endpoint, got) = collector().await;
    let telemetry = started(settings(&endpoint));
    let routes = telemetry.around(routes(), Entry::Gateway);
    let (status, sent) = ask(&routes, "/v1/records/lot-7?secret=1", Some(GIVEN)).await;
    assert_eq!(status, StatusCode::OK);
    telemetry.finish().await;
    let spans = spans(&got);
    let names: Vec<&str> = spans
        .iter()
        .map(|span| span["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["GET /v1/records/{record}", "inner", "step"]);
    let [request, inner, step] = spans.try_into().unwrap();
    assert_eq!(request["parentSpanId"], "b7ad6b7169203331");
    assert_eq!(step["parentSpanId"], request["spanId"]);
    assert_eq!(inner["parentSpanId"], step["spanId"]);
    for span in [&request, &inner, &step] {
        assert_eq!(span["traceId"], TRACE);
        let at = |key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
        assert!(at("startTimeUnixNano") <= at("endTimeUnixNano"));
    }
    // What is asked of others comes from this request.
    let here = request["spanId"].as_str().unwrap();
    assert!(sent.contains(&format!("00-{TRACE}-{here}-01")), "{sent}");
    let got = got.lock().unwrap();
    let (headers, document) = &got[0];
    assert_eq!(headers["x-api-key"], "hush");
    assert_eq!(headers["content-type"], "application/json");
    let resource = document["resourceSpans"][0]["resource"].to_string();
    assert!(resource.contains("counterfoil-tried"), "{resource}");
    // Templates and words of ours, and nothing that the request said.
    let all = document.to_string();
    for said in ["lot-7", "secret", "hush", "Bearer"] {
        assert!(!all.contains(said), "{said} is in {all}");
    }
}

#[tokio::test]
async fn a_failure_names_the_trace_by_which_the_operator_finds_it() {
    let (endpoint, got) = collector().await;
    let telemetry = started(settings(&endpoint));
    let routes = telemetry.around(routes(), Entry::Gateway);
    let (status, problem) = ask(&routes, "/v1/users/ana", None).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    telemetry.finish().await;
    let [span] = spans(&got).try_into().unwrap();
    let problem: Problem = serde_json::from_str(&problem).unwrap();
    assert_eq!(problem.trace_id.as_deref(), span["traceId"].as_str());
    assert_eq!(span["status"]["code"], 2);
    assert_eq!(span["parentSpanId"], Json::Null);
    let said = span["attributes"].to_string();
    for value in [r#"{"intValue":"500"}"#, r#"{"stringValue":"500"}"#] {
        assert!(said.contains(value), "{value} is not in {said}");
    }
}

#[tokio::test]
async fn whether_a_trace_is_recorded_is_said_by_the_operator_and_by_other_services() {
    let unsampled = GIVEN.replace("-01", "-00");
    let unsampled = unsampled.as_str();
    for (entry, sample, believe, came, is_recorded) in [
        (Entry::Gateway, 0.0, false, GIVEN, false),
        (Entry::Gateway, 1.0, false, unsampled, true),
        (Entry::Gateway, 0.0, true, GIVEN, true),
        (Entry::Gateway, 1.0, true, unsampled, false),
        (Entry::Proxy, 0.0, false, GIVEN, false),
        (Entry::Inside, 0.0, false, GIVEN, true),
        (Entry::Inside, 1.0, false, unsampled, false),
        (Entry::Inside, 1.0, false, "junk", true),
    ] {
        let (endpoint, got) = collector().await;
        let telemetry = started(Settings {
            sample,
            believe_callers: believe,
            ..settings(&endpoint)
        });
        let routes = telemetry.around(routes(), entry);
        let (_, sent) = ask(&routes, "/v1/records/lot-7", Some(came)).await;
        let (_, problem) = ask(&routes, "/v1/users/ana", Some(came)).await;
        telemetry.finish().await;
        // The trace goes on all the same, with what was decided.
        let case = format!("{entry:?} {sample} {believe} {came}: {sent} {problem}");
        assert_eq!(sent.contains("-01\""), is_recorded, "{case}");
        assert_eq!(sent.contains(TRACE), came != "junk", "{case}");
        assert_eq!(problem.contains("traceId"), is_recorded, "{case}");
        assert_eq!(!spans(&got).is_empty(), is_recorded, "{case}");
    }
}

#[tokio::test]
async fn a_part_of_the_traces_is_recorded() {
    let telemetry = started(Settings {
        sample: 0.25,
        ..settings("http://127.0.0.1:9")
    });
    let tracer = telemetry.0.unwrap();
    let drawn = (0..4_000).filter(|_| tracer.draws()).count();
    // Ten standard deviations to each side.
    assert!((700..1_300).contains(&drawn), "{drawn}");
}

#[tokio::test]
async fn what_no_collector_takes_is_bounded_and_counted_and_holds_nobody_up() {
    // It is connected to, and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let metrics = Metrics::new();
    let telemetry = Telemetry::start("tried", settings(&endpoint), &metrics).unwrap();
    let routes = telemetry.around(routes(), Entry::Gateway);
    let requests = SPANS_WAITING_MAX / 2;
    for _ in 0..requests {
        let (status, _) = ask(&routes, "/v1/records/lot-7", None).await;
        assert_eq!(status, StatusCode::OK);
    }
    let tracer = telemetry.0.clone().unwrap();
    assert_eq!(tracer.queue.max_capacity(), SPANS_WAITING_MAX);
    telemetry.finish().await;
    assert!(tracer.queue.is_closed());
    let all = u64::try_from(3 * requests).unwrap();
    assert_eq!(metrics.spans("dropped").get(), all);
    assert_eq!(metrics.spans("exported").get(), 0);
}

#[tokio::test]
async fn a_collector_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
    let come_again = |number| match number {
        0 => (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "0")]).into_response(),
        _ => "{}".into_response(),
    };
    let refuse = |_| StatusCode::BAD_REQUEST.into_response();
    let take_a_part = |_| r#"{"partialSuccess":{"rejectedSpans":"2"}}"#.into_response();
    let cases: [(Answer, usize, u64); 3] =
        [(come_again, 2, 3), (refuse, 1, 0), (take_a_part, 1, 1)];
    for (answer, asked, exported) in cases {
        let (endpoint, got) = collector_that(answer).await;
        let metrics = Metrics::new();
        let telemetry = Telemetry::start("tried", settings(&endpoint), &metrics).unwrap();
        let routes = telemetry.around(routes(), Entry::Gateway);
        ask(&routes, "/v1/records/lot-7", None).await;
        let counted = || metrics.spans("exported").get() + metrics.spans("dropped").get();
        while counted() < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        telemetry.finish().await;
        assert_eq!(got.lock().unwrap().len(), asked);
        assert_eq!(metrics.spans("exported").get(), exported);
        assert_eq!(metrics.spans("dropped").get(), 3 - exported);
    }
}

#[tokio::test]
async fn what_others_added_goes_on_with_the_trace_that_it_is_about() {
    let telemetry = started(settings("http://127.0.0.1:9"));
    let show = async |headers: HeaderMap| format!("{:?}", headers.get(TRACESTATE));
    let routes = Router::new().route("/lots", get(show));
    let routes = telemetry.around(routes, Entry::Proxy);
    let long = ["a=1"; 33].join(",");
    for (traceparent, state, goes_on) in [
        (GIVEN, "a=1", true),
        ("junk", "a=1", false),
        (GIVEN, &long, false),
    ] {
        let request = Request::get("/lots").header(TRACEPARENT, traceparent);
        let request = request.header(TRACESTATE, state).body(Body::empty());
        let answer = routes.clone().oneshot(request.unwrap()).await.unwrap();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 16).await;
        let told = format!("{:?}", goes_on.then_some(state));
        assert_eq!(body.unwrap(), told, "{traceparent} {state}");
    }
}

#[tokio::test]
async fn whoever_goes_away_leaves_a_span_that_says_so() {
    let (endpoint, got) = collector().await;
    let telemetry = started(settings(&endpoint));
    let hang = async || {
        let never = std::future::pending::<Result<(), Problem>>();
        timed("step", Kind::Internal, never).await.map(|()| "")
    };
    let routes = Router::new().route("/health", get(hang));
    let routes = telemetry.around(routes, Entry::Gateway);
    let asked = ask(&routes, "/health", None);
    let soon = tokio::time::timeout(Duration::from_millis(50), asked);
    soon.await.unwrap_err();
    telemetry.finish().await;
    let spans = spans(&got);
    assert_eq!(spans.len(), 2);
    for span in spans {
        let last = span["attributes"]
            .as_array()
            .unwrap()
            .last()
            .unwrap()
            .clone();
        assert_eq!(last["key"], "error.type");
        assert_eq!(last["value"]["stringValue"], "cancelled");
    }
}

#[tokio::test]
async fn work_of_another_task_is_under_the_same_span() {
    let (endpoint, got) = collector().await;
    let telemetry = started(settings(&endpoint));
    let spawn = async || {
        let work = timed("step", Kind::Internal, async { Ok::<_, Problem>("") });
        tokio::spawn(carried(work)).await.unwrap()
    };
    let routes = Router::new().route("/health", get(spawn));
    let routes = telemetry.around(routes, Entry::Gateway);
    ask(&routes, "/health", None).await;
    telemetry.finish().await;
    let [request, step] = spans(&got).try_into().unwrap();
    assert_eq!(step["parentSpanId"], request["spanId"]);
}

#[tokio::test]
async fn where_nothing_is_traced_headers_stay_as_they_are() {
    let routes = Telemetry::default().around(routes(), Entry::Proxy);
    let (status, sent) = ask(&routes, "/v1/records/lot-7", Some(GIVEN)).await;
    assert_eq!((status, sent.as_str()), (StatusCode::OK, "None"));
    let (_, problem) = ask(&routes, "/v1/users/ana", Some(GIVEN)).await;
    assert!(!problem.contains("traceId"), "{problem}");
}

#[tokio::test]
async fn spans_go_over_tls_or_stay_on_this_machine() {
    for (endpoint, at) in [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        (
            "https://otel.example/a/",
            "https://otel.example/a/v1/traces",
        ),
    ] {
        assert_eq!(traces_at(endpoint).unwrap().as_str(), at);
    }
    for endpoint in [
        "",
        "http://otel.example",
        "https://u:p@otel.example",
        "https://otel.example?a=b",
        "file:///tmp",
    ] {
        let refused = Telemetry::start("tried", settings(endpoint), &Metrics::new()).unwrap_err();
        assert!(matches!(refused, TelemetryError::Endpoint), "{endpoint}");
    }
    for sample in [-0.1, 1.1, f64::NAN] {
        let settings = Settings {
            sample,
            ..settings("http://127.0.0.1:4318")
        };
        let refused = Telemetry::start("tried", settings, &Metrics::new()).unwrap_err();
        assert!(matches!(refused, TelemetryError::Sample(_)), "{sample}");
    }
}

#[test]
fn headers_are_lines_and_are_not_shown() {
    let read = headers("Authorization: Bearer hush\n\nx-scope : a:b\n").unwrap();
    assert_eq!(read["authorization"], "Bearer hush");
    assert_eq!(read["x-scope"], "a:b");
    assert!(!format!("{read:?}").contains("hush"));
    let refused = headers("a: b\nhush").unwrap_err();
    assert!(matches!(refused, TelemetryError::Header(2)));
    assert!(!refused.to_string().contains("hush"));
    headers("na me: x").unwrap_err();
}
