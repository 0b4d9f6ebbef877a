//! Who is believed, and who may do what.

use std::sync::{Arc, Mutex};

use api::JwksSource;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Caller, Front, ISSUER, Issuer, now, send};

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_without_credentials() {
    let front = Front::start().await;
    for route in api::routes::ROUTES {
        if matches!(route.needs, api::auth::Needs::Nothing) {
            continue;
        }
        let path = route
            .path
            .replace("{transactionId}", "2.1")
            .replace("{userId}", "u");
        let method = route.method.clone();
        let answer = send(front.anybody().request(method.clone(), &path)).await;
        let answer = answer.fails(401, "InvalidAuthenticationInfo");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        // Known, but without any role: may look for itself and nothing else.
        let answer = send(front.user("stranger").request(method, &path)).await;
        if path.ends_with("/u") && route.method == "GET" {
            assert_eq!(answer.status, 403);
        } else {
            answer.fails(403, "NotAllowed");
        }
    }
    let basic = front
        .anybody()
        .http
        .get(format!("{}/app/users?api-version=2022-05-13", front.url));
    send(basic.basic_auth("u", Some("p")))
        .await
        .fails(401, "InvalidAuthenticationInfo");
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_allows_what_it_says_and_no_more() {
    let front = Front::start().await;
    let write = json!({ "contents": "x" });
    let reader = front.user_with("r", "Reader").await;
    reader.get("/app/collections").await.is(200);
    reader.get("/app/governance/constitution").await.is(200);
    let answer = reader
        .post("/app/transactions", write.clone())
        .await
        .fails(403, "NotAllowed");
    let message = answer.json()["error"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        message.starts_with("Not allowed to call POST /app/transactions"),
        "{message}"
    );
    let contributor = front.user_with("c", "Contributor").await;
    contributor
        .post("/app/transactions", write.clone())
        .await
        .is(200);
    contributor.get("/app/users").await.fails(403, "NotAllowed");
    contributor
        .patch(
            "/app/ledgerUsers/c",
            json!({ "assignedRoles": ["Administrator"] }),
        )
        .await
        .fails(403, "NotAllowed");
    contributor.get("/app/ledgerUsers/c").await.is(200);
    contributor
        .get("/app/ledgerUsers/r")
        .await
        .fails(403, "NotAllowed");
    // What was taken away is gone at once.
    front
        .administrator()
        .delete("/app/ledgerUsers/c")
        .await
        .is(204);
    contributor
        .post("/app/transactions", write)
        .await
        .fails(403, "NotAllowed");
    contributor
        .get("/app/ledgerUsers/c")
        .await
        .fails(404, "ResourceNotFound");
    front.stop().await;
}

/// A self-signed certificate that expired long ago, its key, and the user id that it gives.
fn expired_certificate() -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.not_before = rcgen::date_time_ymd(2019, 8, 28);
    params.not_after = rcgen::date_time_ymd(2019, 9, 27);
    let certificate = params.self_signed(&key).unwrap();
    let digest = verify::Digest::of(certificate.der());
    let id: Vec<_> = digest.0.iter().map(|byte| format!("{byte:02X}")).collect();
    (
        format!("{}{}", certificate.pem(), key.serialize_pem()),
        id.join(":"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_self_signed_certificate_names_its_user() {
    let front = Front::start().await;
    let (pem, id) = expired_certificate();
    for (only_tls12, only_http1) in [(false, false), (true, false), (false, true)] {
        let identity = reqwest::Identity::from_pem(pem.as_bytes()).unwrap();
        let mut client = front.client().identity(identity);
        if only_tls12 {
            client = client.tls_version_max(reqwest::tls::Version::TLS_1_2);
        }
        if only_http1 {
            client = client.http1_only();
        }
        let user = Caller {
            http: client.build().unwrap(),
            ..front.anybody()
        };
        user.get("/app/collections").await.fails(403, "NotAllowed");
        // SDKs write the colons either way.
        let encoded = id.replace(':', "%3A");
        let body = json!({ "assignedRoles": ["Reader"] });
        let administrator = front.administrator();
        administrator
            .patch(&format!("/app/ledgerUsers/{encoded}"), body)
            .await
            .is(200);
        user.get("/app/collections").await.is(200);
        let me = user
            .get(&format!("/app/ledgerUsers/{id}"))
            .await
            .is(200)
            .json();
        assert_eq!(me, json!({ "userId": id, "assignedRoles": ["Reader"] }));
        // A token, if there is one, counts instead.
        let both = Caller {
            token: Some("x.y.z".to_owned()),
            ..user.clone()
        };
        both.get("/app/collections")
            .await
            .fails(401, "InvalidAuthenticationInfo");
        let both = Caller {
            token: administrator.token.clone(),
            ..user.clone()
        };
        both.get("/app/users").await.is(200);
        administrator
            .delete(&format!("/app/ledgerUsers/{id}"))
            .await
            .is(204);
    }
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_not_good_are_refused() {
    let front = Front::start().await;
    let good = Issuer::claims("administrator");
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        front.issuer.sign(&claims)
    };
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        front.issuer.sign(&claims)
    };
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let none = format!(
        "{}.{}.",
        part(&json!({ "alg": "none", "typ": "JWT" })),
        part(&good)
    );
    // The public key as a shared secret: everybody could sign with it.
    let confused = {
        let header = json!({ "alg": "HS256", "kid": front.issuer.key_id });
        let signed = format!("{}.{}", part(&header), part(&good));
        let key = hmac::Key::new(hmac::HMAC_SHA256, &front.issuer.public_key());
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
        format!("{signed}.{signature}")
    };
    let token = front.issuer.sign(&good);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut forged = URL_SAFE_NO_PAD.decode(signature).unwrap();
    forged[7] ^= 1;
    let other_payload = {
        let mut parts = token.split('.');
        let (header, signature) = (parts.next().unwrap(), parts.nth(1).unwrap());
        let mut claims = good.clone();
        claims["oid"] = "somebody else".into();
        format!("{header}.{}.{signature}", part(&claims))
    };
    let stranger = Issuer::new("key 1");
    let other_key_id = Issuer::new("key 2");
    let critical = {
        let header = Header {
            crit: Some(vec!["exp2".to_owned()]),
            ..Header::new(Algorithm::HS512)
        };
        jsonwebtoken::encode(&header, &good, &EncodingKey::from_secret(b"x")).unwrap()
    };
    for (what, token) in [
        (
            "another issuer",
            with("iss", "https://other.example".into()),
        ),
        ("another audience", with("aud", "another ledger".into())),
        ("no audience", without("aud")),
        ("expired", with("exp", (now() - 100).into())),
        ("no expiry", without("exp")),
        ("not yet valid", with("nbf", (now() + 1000).into())),
        ("nobody", without("oid")),
        ("a certificate", with("oid", ["AB"; 32].join(":").into())),
        ("not a user id", with("oid", "a b".into())),
        ("no algorithm", none),
        ("shared secret", confused),
        ("no signature", format!("{signed}.")),
        (
            "forged",
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(forged)),
        ),
        ("other payload", other_payload),
        ("stranger's key", stranger.sign(&good)),
        ("unknown key", other_key_id.sign(&good)),
        ("critical extension", critical),
        ("nonsense", "nonsense".to_owned()),
        ("empty", String::new()),
    ] {
        let answer = front.bearer(token).get("/app/users").await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.text());
        answer.fails(401, "InvalidAuthenticationInfo");
    }
    let several = with("aud", json!(["another ledger", "this ledger"]));
    front.bearer(several).get("/app/users").await.is(200);
    let skewed = with("exp", (now() - 10).into());
    front.bearer(skewed).get("/app/users").await.is(200);
    front.bearer(token).get("/app/users").await.is(200);
    front.stop().await;
}

/// A web server that answers with whatever stands in the map of paths.
async fn web(pages: Arc<Mutex<Vec<(&'static str, String)>>>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let read = stream.read(&mut request).await.unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..read]).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
            let page = pages
                .lock()
                .unwrap()
                .iter()
                .find(|(at, _)| *at == path)
                .cloned();
            let (status, body) = page.map_or(("404 Not Found", String::new()), |(_, body)| {
                ("200 OK", body)
            });
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_found_below_the_issuers_url() {
    let issuer = Issuer::new("key 1");
    let pages = Arc::new(Mutex::new(Vec::new()));
    let url = web(Arc::clone(&pages)).await;
    let discovery = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") }).to_string();
    *pages.lock().unwrap() = vec![
        ("/.well-known/openid-configuration", discovery),
        ("/keys", issuer.key_set().to_string()),
    ];
    let mut config = issuer.config();
    config.issuer.clone_from(&url);
    config.jwks = JwksSource::Discovery;
    let front = Front::start_with(|_| {}, |api| api.jwt = vec![config]).await;
    let mut claims = Issuer::claims("administrator");
    claims["iss"] = url.into();
    front
        .bearer(issuer.sign(&claims))
        .get("/app/users")
        .await
        .is(200);
    // Another key of the same issuer is unknown; its tokens do not make us ask again and again.
    front
        .bearer(Issuer::new("key 2").sign(&claims))
        .get("/app/users")
        .await
        .fails(401, "InvalidAuthenticationInfo");
    // And a token of the issuer that everybody uses is one of another issuer here.
    claims["iss"] = ISSUER.into();
    front
        .bearer(issuer.sign(&claims))
        .get("/app/users")
        .await
        .fails(401, "InvalidAuthenticationInfo");
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_cannot_be_reached_does_not_stop_the_others() {
    let issuer = Issuer::new("key 1");
    let front = Front::start_with(
        |_| {},
        |api| {
            let mut gone = issuer.config();
            gone.issuer = "https://gone.example".to_owned();
            gone.jwks = JwksSource::Url("http://127.0.0.1:9/keys".to_owned());
            api.jwt.insert(0, gone);
        },
    )
    .await;
    front.administrator().get("/app/users").await.is(200);
    let mut claims = Issuer::claims("administrator");
    claims["iss"] = "https://gone.example".into();
    front
        .bearer(issuer.sign(&claims))
        .get("/app/users")
        .await
        .fails(401, "InvalidAuthenticationInfo");
    front.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_development_administrator_gets_in() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger");
    let dev = api::dev::administrator(&path).unwrap();
    let (user, issuer) = (dev.user.clone(), dev.issuer.clone());
    let front = Front::start_with(
        |node| {
            node.dir = path;
            node.administrators = vec![user];
        },
        |api| api.jwt = vec![issuer],
    )
    .await;
    front.bearer(dev.token).get("/app/users").await.is(200);
    front.stop().await;
}
