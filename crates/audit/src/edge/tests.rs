use axum::body::Body;
use axum::routing::{get, post};
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_METHOD, HOST, ORIGIN, RETRY_AFTER,
};
use tower::ServiceExt;

use super::*;

const SHOP: &str = "https://shop.example";

fn edge(config: EdgeConfig) -> Router {
    let routes = Router::new()
        .route("/v1/consult", post(async || "done"))
        .route(
            "/where",
            get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.ip().to_string()),
        );
    Edge::new(config, Metrics::new()).around_gateway(routes)
}

fn allowing(origin: &str) -> EdgeConfig {
    EdgeConfig {
        allowed_origins: vec![Origin::try_from(origin.to_owned()).unwrap()],
        ..EdgeConfig::default()
    }
}

async fn send(routes: &Router, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    let peer = SocketAddr::from(([203, 0, 113, 7], 5));
    request.extensions_mut().insert(ConnectInfo(peer));
    routes.clone().oneshot(request).await.unwrap()
}

async fn status(routes: &Router, headers: &[(&str, &str)]) -> u16 {
    let answer = send(routes, "POST", "/v1/consult", headers).await;
    answer.status().as_u16()
}

#[tokio::test]
async fn pages_of_other_sites_change_nothing_and_our_own_do() {
    let routes = edge(EdgeConfig::default());
    for (headers, expected) in [
        // No browser.
        (vec![], 200),
        (
            vec![("sec-fetch-site", "same-origin"), ("origin", SHOP)],
            200,
        ),
        (vec![("sec-fetch-site", "cross-site")], 403),
        (vec![("sec-fetch-site", "same-site")], 403),
        // Browsers that do not say it.
        (
            vec![
                ("host", "audit.example"),
                ("origin", "https://audit.example"),
            ],
            200,
        ),
        (vec![("host", "audit.example"), ("origin", SHOP)], 403),
        (vec![("host", "audit.example"), ("origin", "null")], 403),
        (
            vec![
                ("host", "audit.example:8444"),
                ("origin", "https://audit.example"),
            ],
            403,
        ),
    ] {
        assert_eq!(status(&routes, &headers).await, expected, "{headers:?}");
    }
    // Looking is not changing.
    let answer = send(
        &routes,
        "GET",
        "/where",
        &[("sec-fetch-site", "cross-site")],
    )
    .await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn no_other_page_reads_answers_unless_it_is_named_exactly() {
    let asks = |origin: &'static str| {
        vec![
            (ORIGIN.as_str(), origin),
            (ACCESS_CONTROL_REQUEST_METHOD.as_str(), "POST"),
            (HOST.as_str(), "audit.example"),
        ]
    };
    let nobody = edge(EdgeConfig::default());
    let answer = send(&nobody, "OPTIONS", "/v1/consult", &asks(SHOP)).await;
    assert_eq!(answer.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN), None);
    let shop = edge(allowing(SHOP));
    let answer = send(&shop, "OPTIONS", "/v1/consult", &asks(SHOP)).await;
    assert_eq!(answer.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], SHOP);
    assert_eq!(status(&shop, &asks(SHOP)).await, 200);
    for other in [
        "https://shop.example.evil",
        "http://shop.example",
        "https://shop.example:444",
        "null",
    ] {
        let answer = send(&shop, "OPTIONS", "/v1/consult", &asks(other)).await;
        let allowed = answer.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN);
        assert_eq!(allowed, None, "{other}");
        assert_eq!(status(&shop, &asks(other)).await, 403, "{other}");
    }
}

#[test]
fn an_origin_is_written_as_browsers_write_it() {
    for good in [SHOP, "http://localhost:3000"] {
        Origin::try_from(good.to_owned()).unwrap();
    }
    for bad in [
        "*",
        "null",
        "shop.example",
        "https://shop.example/",
        "https://shop.example:443",
        "https://SHOP.example",
        "https://*.example",
        "file:///a",
    ] {
        Origin::try_from(bad.to_owned()).unwrap_err();
    }
}

#[tokio::test]
async fn a_source_and_a_caller_that_ask_too_much_are_told_when_to_come_again() {
    let config = EdgeConfig {
        limits: Limits {
            requests_per_second: 1,
            burst: 2,
        },
        ..EdgeConfig::default()
    };
    let routes = edge(config.clone());
    for expected in [200, 200, 429] {
        assert_eq!(status(&routes, &[]).await, expected);
    }
    let answer = send(&routes, "POST", "/v1/consult", &[]).await;
    assert_eq!(answer.headers()[RETRY_AFTER], "1");
    let edge = Edge::new(config, Metrics::new());
    let ana = UserId::of([1; 16]);
    edge.admit_caller(&ana).unwrap();
    edge.admit_caller(&ana).unwrap();
    assert_eq!(edge.admit_caller(&ana).unwrap_err().status, 429);
    edge.admit_caller(&UserId::of([2; 16])).unwrap();
}

#[tokio::test]
async fn only_balancers_that_are_named_say_where_a_request_came_from() {
    let said = [("x-forwarded-for", "192.0.2.1, 192.0.2.2")];
    let place = async |config| {
        let answer = send(&edge(config), "GET", "/where", &said).await;
        let body = axum::body::to_bytes(answer.into_body(), 100).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    };
    assert_eq!(place(EdgeConfig::default()).await, "203.0.113.7");
    let behind = EdgeConfig {
        balancers: vec!["203.0.113.7".parse().unwrap()],
        ..EdgeConfig::default()
    };
    // What stood there before could be anybody's word.
    assert_eq!(place(behind).await, "192.0.2.2");
}
