//! What others try against the audit services, over the wire, at the program as it is released. What is
//! listed in `docs/audit-security.md`, and not here, is tested beside its rule.

mod wire;

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use audit::gateway::openapi;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e2e::raw::Keeper;
use e2e::{Audit, Ledger, Person};
use reqwest::Method;
use serde_json::{Value, json};
use verify::Digest;

const PASSWORD: &str = "correct horse battery";

fn record(name: &str) -> Value {
    json!({"record": name, "about": [format!("lot:{name}")], "data": {"kg": 20}})
}

fn in_path(template: &str) -> String {
    let parts = template.split('/').map(|part| {
        if part.starts_with('{') {
            "0123456789abcdef0123456789abcdef"
        } else {
            part
        }
    });
    parts.collect::<Vec<_>>().join("/")
}

/// Every route that is for somebody asks who it is, and takes nothing that browsers send by themselves for an
/// answer; no answer asks a browser to keep anything.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_browsers_send_by_themselves_says_who_calls() -> Result<()> {
    let ledger = Ledger::start()?;
    let audit = Audit::start(&ledger.scratch()?.join("audit"), ledger.ready())?;
    let (root, ..) = audit.people(0).await?;
    let token = root.token().context("the root is signed in")?;
    let visitor = audit.visitor()?;
    let mut asked = 0;
    for (method, path, needs_token) in openapi::routes() {
        let path = in_path(path);
        let method: Method = method.parse()?;
        let plain = || {
            let request = visitor.request(method.clone(), &path);
            request
                .header("content-type", "application/json")
                .body("{}")
        };
        let basic = format!("Basic {token}");
        for request in [
            plain(),
            plain().header("cookie", format!("token={token}; session={token}")),
            plain().header("authorization", basic),
            plain().header("x-access-token", token),
            visitor.request(method.clone(), &format!("{path}?access_token={token}")),
        ] {
            let answer = request.send().await?;
            let headers = answer.headers();
            ensure!(!headers.contains_key("set-cookie"), "{method} {path}");
            ensure!(
                !headers.contains_key("access-control-allow-origin"),
                "{method} {path}"
            );
            for (name, value) in [
                ("x-content-type-options", "nosniff"),
                ("referrer-policy", "no-referrer"),
                ("strict-transport-security", "max-age=31536000"),
            ] {
                let found = headers.get(name).and_then(|value| value.to_str().ok());
                ensure!(found == Some(value), "{method} {path}: {name} {found:?}");
            }
            let policy = headers["content-security-policy"].to_str()?;
            ensure!(
                policy.contains("default-src 'none'"),
                "{method} {path}: {policy}"
            );
            if needs_token {
                let status = answer.status();
                ensure!(status == 401, "{method} {path}: {status}");
                asked += 1;
            }
        }
    }
    ensure!(asked > 100, "only {asked} were asked");
    Ok(())
}

/// Nobody is talked into a session that another knows: its name and its tokens are the service's, new at each
/// login, and none of those before is good for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_somebody_else_chose_or_knows_is_not_taken_over() -> Result<()> {
    let ledger = Ledger::start()?;
    let audit = Audit::start(&ledger.scratch()?.join("audit"), ledger.ready())?;
    let (root, ..) = audit.people(0).await?;
    let login = json!({"email": "admin@example.org", "password": PASSWORD});
    let visitor = audit.visitor()?;
    // Whoever proposes one is refused.
    for field in ["session", "sid", "access_token", "refresh_token"] {
        let mut with = login.clone();
        with[field] = json!("0123456789abcdef0123456789abcdef");
        let (status, said) = visitor.call(Method::POST, "/v1/login", &with).await?;
        ensure!(status == 400, "{field}: {status} {said}");
    }
    // Logging in with another's token at hand gives a new session of one's own.
    let mut sessions = BTreeSet::new();
    for person in [&visitor, &root, &root] {
        let said = person.done(Method::POST, "/v1/login", &login).await?;
        let user = said["user"]["email"].as_str();
        ensure!(user == Some("admin@example.org"), "{said}");
        sessions.insert(said["session"].as_str().context("a session")?.to_owned());
    }
    ensure!(sessions.len() == 3, "{sessions:?}");
    // A refresh token opens nothing but the next pair, once; used twice, its session ends.
    let tokens = visitor.done(Method::POST, "/v1/login", &login).await?;
    let refresh = tokens["refresh_token"].as_str().context("a token")?;
    let as_access = visitor
        .request(Method::GET, "/v1/session")
        .bearer_auth(refresh)
        .send()
        .await?;
    ensure!(as_access.status() == 401);
    let renewal = json!({"refresh_token": refresh});
    let next = visitor.done(Method::POST, "/v1/renew", &renewal).await?;
    let (status, _) = visitor.call(Method::POST, "/v1/renew", &renewal).await?;
    ensure!(status == 401);
    for token in [&tokens["access_token"], &next["access_token"]] {
        let answer = visitor
            .request(Method::GET, "/v1/session")
            .bearer_auth(token.as_str().context("a token")?)
            .send()
            .await?;
        ensure!(answer.status() == 401, "{}", answer.status());
    }
    // After leaving, the token is worth nothing.
    let admin = visitor.sign_in("admin@example.org").await?;
    admin.done(Method::POST, "/v1/logout", &Value::Null).await?;
    let (status, _) = admin.call(Method::GET, "/v1/session", &Value::Null).await?;
    ensure!(status == 401);
    Ok(())
}

/// A token is believed for what our own key signed, and for nothing that it says about itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_says_how_to_check_it_is_refused() -> Result<()> {
    let ledger = Ledger::start()?;
    let audit = Audit::start(&ledger.scratch()?.join("audit"), ledger.ready())?;
    let (root, ..) = audit.people(0).await?;
    let token = root.token().context("the root is signed in")?;
    let parts: Vec<_> = token.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        anyhow::bail!("a token has three parts");
    };
    let visitor = audit.visitor()?;
    let keys = visitor.done(Method::GET, "/v1/keys", &Value::Null).await?;
    let kid = keys["keys"][0]["kid"].as_str().context("a key")?;
    let canary = Keeper::start()?;
    let elsewhere = format!("http://{}/keys", canary.address);
    let hs256 = json!({"typ": "JWT", "alg": "HS256", "kid": kid});
    let message = format!(
        "{}.{claims}",
        URL_SAFE_NO_PAD.encode(hs256.to_string().as_bytes())
    );
    let public = keys["keys"][0].to_string();
    let mac = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, public.as_bytes()),
        message.as_bytes(),
    );
    let with_header = |header: Value| {
        format!(
            "{}.{claims}.{signature}",
            URL_SAFE_NO_PAD.encode(header.to_string().as_bytes())
        )
    };
    for forged in [
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.as_ref())),
        format!("{}.{claims}.", URL_SAFE_NO_PAD.encode(br#"{"alg":"none"}"#)),
        format!("{header}.{claims}."),
        format!("{header}.{claims}"),
        with_header(json!({"alg": "ES256", "kid": kid, "jku": elsewhere})),
        with_header(json!({"alg": "ES256", "kid": elsewhere})),
        with_header(json!({"alg": "ES256", "kid": "../../certificate_key"})),
        with_header(json!({"alg": "ES384", "kid": kid})),
    ] {
        let answer = visitor
            .request(Method::GET, "/v1/session")
            .bearer_auth(&forged)
            .send()
            .await?;
        ensure!(answer.status() == 401, "{forged}: {}", answer.status());
    }
    ensure!(canary.kept().is_empty(), "{}", canary.kept());
    let own = root.call(Method::GET, "/v1/session", &Value::Null).await?;
    ensure!(own.0 == 200);
    Ok(())
}

/// Pages of other sites can neither act nor read; those that the operator names can do both.
#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_sites_can_neither_act_nor_read() -> Result<()> {
    const SHOP: &str = "https://shop.example";
    let ledger = Ledger::start()?;
    let folder = ledger.scratch()?.join("audit");
    let mut audit = Audit::start(&folder, ledger.ready())?;
    let (_, _, people) = audit.people(1).await?;
    let login = json!({"email": "root@example.org", "password": PASSWORD}).to_string();
    let visitor = audit.visitor()?;
    let post = |path: &str, kind: &'static str| {
        let request = visitor.request(Method::POST, path);
        request.header("content-type", kind).body(login.clone())
    };
    // What a form can send, without asking first.
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=b",
        "text/plain; application/json",
    ] {
        let status = post("/v1/login", kind).send().await?.status();
        ensure!(status == 415, "{kind}: {status}");
    }
    let form = people[0].request(Method::POST, "/capture").body("{}");
    let status = form.header("content-type", "text/plain").send().await?;
    ensure!(status.status() == 415, "{}", status.status());
    for (site, expected) in [
        ("cross-site", 403),
        ("same-site", 403),
        ("same-origin", 200),
    ] {
        let request = post("/v1/login", "application/json");
        let status = request
            .header("sec-fetch-site", site)
            .send()
            .await?
            .status();
        ensure!(status == expected, "{site}: {status}");
    }
    let asks = |person: &Person, origin: &'static str| {
        let request = person.request(Method::OPTIONS, "/v1/login");
        let request = request.header("origin", origin);
        request.header("access-control-request-method", "POST")
    };
    let answer = asks(&visitor, SHOP).send().await?;
    ensure!(!answer.headers().contains_key("access-control-allow-origin"));
    let status = post("/v1/login", "application/json")
        .header("origin", SHOP)
        .send()
        .await?;
    ensure!(status.status() == 403);

    audit.kill()?;
    audit.configure(&format!("allowed_origins = [\"{SHOP}\"]"))?;
    audit.start_again(ledger.ready())?;
    let answer = asks(&visitor, SHOP).send().await?;
    ensure!(answer.headers()["access-control-allow-origin"] == SHOP);
    ensure!(
        !answer
            .headers()
            .contains_key("access-control-allow-credentials")
    );
    let answer = asks(&visitor, "https://shop.example.evil").send().await?;
    ensure!(!answer.headers().contains_key("access-control-allow-origin"));
    let answer = post("/v1/login", "application/json").header("origin", SHOP);
    ensure!(answer.send().await?.status() == 200);
    Ok(())
}

/// Whatever stands where a name is expected is a name, or refused: it is never a part of a statement.
#[tokio::test(flavor = "multi_thread")]
async fn names_are_never_a_part_of_a_statement() -> Result<()> {
    let ledger = Ledger::start()?;
    let audit = Audit::start(&ledger.scratch()?.join("audit"), ledger.ready())?;
    let (root, _, people) = audit.people(1).await?;
    let ana = &people[0];
    for name in ["a", "b"] {
        ana.done(Method::POST, "/v1/records", &record(name)).await?;
    }
    for (evil, escaped) in [
        ("'OR'1'='1", "%27OR%271%27%3D%271"),
        ("a'--", "a%27--"),
        ("%", "%25"),
        ("a\\", "a%5C"),
        ("');DROP-TABLE-events;--", "%27)%3BDROP-TABLE-events%3B--"),
        ("\"a\"", "%22a%22"),
        ("$1", "%241"),
    ] {
        // Filters of logs.
        for (path, found) in [
            (format!("/v1/logs?who={escaped}"), Some("/logs")),
            (format!("/v1/logs?resource={escaped}"), Some("/logs")),
            (format!("/v1/logs?record={escaped}"), None),
            (format!("/v1/logs?record=a&how={escaped}"), None),
            (format!("/v1/logs?record=a&from={escaped}"), None),
            (format!("/v1/logs?record=a&after={escaped}"), None),
            (format!("/v1/logs?record=a&limit={escaped}"), None),
            (format!("/v1/traces?resource={escaped}"), Some("/logs")),
            (
                format!("/v1/traces?resource=lot:a&direction={escaped}"),
                None,
            ),
            // Paths.
            (format!("/v1/records/{escaped}"), None),
            (format!("/v1/users/{escaped}"), None),
            (format!("/capture/{escaped}"), None),
            (format!("/events/{escaped}"), None),
            // The standard's query.
            (
                format!("/events?EQ_bizStep={escaped}"),
                Some("/epcisBody/queryResults/resultsBody/eventList"),
            ),
            (format!("/events?MATCH_epc={escaped}"), Some("")),
            (format!("/events?{escaped}=1"), Some("")),
            (format!("/events?nextPageToken={escaped}"), None),
            (format!("/events?GE_eventTime={escaped}"), None),
        ] {
            let (status, said) = root.call(Method::GET, &path, &Value::Null).await?;
            ensure!(status < 500, "{path}: {status} {said}");
            match found {
                None => ensure!((400..500).contains(&status), "{path}: {status} {said}"),
                // Refused, or nothing is found by such a name.
                Some(list) if status == 200 && !list.is_empty() => {
                    let found = said.pointer(list).and_then(Value::as_array);
                    ensure!(found.is_some_and(Vec::is_empty), "{path}: {said}");
                }
                Some(_) => {}
            }
        }
        // What is stored under such names is found by them, and nothing else is.
        let about =
            json!({"about": [evil], "did": evil, "target": evil, "where": evil, "data": evil});
        let stored = ana.done(Method::POST, "/v1/records", &about).await?;
        ensure!(stored["event"]["what"]["did"] == evil, "{stored}");
        let logs = root
            .done(
                Method::GET,
                &format!("/v1/logs?resource={escaped}"),
                &Value::Null,
            )
            .await?;
        let logs = logs["logs"].as_array().context("there are logs")?;
        ensure!(logs.len() == 1, "{logs:?}");
        // Logging in is by the address that was typed.
        let login = json!({"email": format!("root@example.org{evil}"), "password": PASSWORD});
        let (status, _) = audit
            .visitor()?
            .call(Method::POST, "/v1/login", &login)
            .await?;
        ensure!(matches!(status, 401 | 429), "{status}");
    }
    let said = ana
        .done(Method::POST, "/v1/consult", &json!({"record": "a"}))
        .await?;
    ensure!(said["verdict"] == "valid", "{said}");
    Ok(())
}

/// With all logs on, everything is done in which a secret has a part; none of them is in the logs.
#[tokio::test(flavor = "multi_thread")]
async fn no_log_has_a_secret() -> Result<()> {
    let ledger = Ledger::start()?;
    let folder = ledger.scratch()?.join("audit");
    let audit = Audit::start_with(&folder, ledger.ready(), None, Some("trace"))?;
    let mut secrets = vec![
        PASSWORD.to_owned(),
        "another long password".to_owned(),
        "a wrong password".to_owned(),
        "private-contents-of-a-record".to_owned(),
        ledger.ready().token.clone(),
    ];
    let (root, admin, people) = audit.people(1).await?;
    let ana = &people[0];
    for person in [&root, &admin, ana] {
        secrets.push(person.token().context("signed in")?.to_owned());
    }
    let visitor = audit.visitor()?;
    let login = json!({"email": "user0@example.org", "password": PASSWORD});
    let tokens = visitor.done(Method::POST, "/v1/login", &login).await?;
    let renewal = json!({"refresh_token": tokens["refresh_token"]});
    let next = visitor.done(Method::POST, "/v1/renew", &renewal).await?;
    visitor.call(Method::POST, "/v1/renew", &renewal).await?;
    for tokens in [&tokens, &next] {
        for name in ["access_token", "refresh_token"] {
            secrets.push(tokens[name].as_str().context("a token")?.to_owned());
        }
    }
    let wrong = json!({"email": "user0@example.org", "password": "a wrong password"});
    visitor.call(Method::POST, "/v1/login", &wrong).await?;
    // Wrong in form: what is told about it is not what stood there.
    let broken = visitor.request(Method::POST, "/v1/login");
    let broken = broken.header("content-type", "application/json");
    broken
        .body(format!("{{\"email\": \"x\", \"password\": \"{PASSWORD}\""))
        .send()
        .await?;
    let enrolled = ana.done(Method::POST, "/v1/totp", &Value::Null).await?;
    let uri = enrolled["uri"].as_str().context("a uri")?;
    let secret = uri.split("secret=").nth(1).context("a secret")?;
    let secret = secret.split('&').next().unwrap_or_default();
    secrets.push(secret.to_owned());
    let code = json!({"code": totp(secret)?});
    ana.done(Method::PUT, "/v1/totp", &code).await?;
    let stored = json!({"record": "a", "about": ["lot:a"], "data": {"secret": "private-contents-of-a-record"}});
    ana.done(Method::POST, "/v1/records", &stored).await?;
    ana.done(Method::GET, "/v1/records/a", &Value::Null).await?;
    let consulted = json!({"record": "a", "data": {"secret": "private-contents-of-a-record"}});
    ana.done(Method::POST, "/v1/consult", &consulted).await?;
    let change = json!({"old": PASSWORD, "new": "another long password"});
    ana.done(Method::PUT, "/v1/password", &change).await?;

    let log = audit.logged()?;
    ensure!(log.contains("TRACE") && log.len() > 10_000, "hardly a log");
    for secret in secrets {
        let found = log.lines().find(|line| line.contains(&secret));
        ensure!(found.is_none(), "{secret} is in the log: {found:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_refused_stands_in_the_log() -> Result<()> {
    let ledger = Ledger::start()?;
    let folder = ledger.scratch()?.join("audit");
    let audit = Audit::start(&folder, ledger.ready())?;
    let (root, _, _) = audit.people(0).await?;
    let visitor = audit.visitor()?;
    let wrong = json!({"email": "Nobody@example.org", "password": "a wrong password"});
    let (status, _) = visitor.call(Method::POST, "/v1/login", &wrong).await?;
    ensure!(status == 401);
    let data = json!({"record": "9", "about": ["lot:9"], "data": 1});
    let (status, _) = root.call(Method::POST, "/v1/records", &data).await?;
    ensure!(status == 403);
    let (status, _) = visitor.call(Method::GET, "/v1/users", &Value::Null).await?;
    ensure!(status == 401);
    let log = audit.logged()?;
    let account = Digest::of(b"nobody@example.org").to_string();
    for words in [
        vec![
            "who=\"account ",
            &account[..16],
            "/v1/login",
            "401",
            "127.0.0.1",
        ],
        vec![&root.id, "POST", "/v1/records", "403", "NotPermitted"],
        vec!["GET", "/v1/users", "401", "Unauthenticated"],
    ] {
        let mut refusals = log.lines().filter(|line| line.contains("refused"));
        let found = refusals.find(|line| words.iter().all(|word| line.contains(word)));
        ensure!(found.is_some(), "{words:?} are not in\n{log}");
    }
    ensure!(!log.contains("a wrong password") && !log.to_lowercase().contains("nobody@"));
    Ok(())
}

/// The code of this moment (RFC 6238).
fn totp(secret: &str) -> Result<String> {
    let mut bits = 0_u64;
    let mut count = 0;
    let mut key = Vec::new();
    for letter in secret.bytes() {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let value = alphabet.iter().position(|known| *known == letter);
        bits = bits << 5 | value.context("base32")? as u64;
        count += 5;
        if count >= 8 {
            count -= 8;
            key.push((bits >> count & 0xff) as u8);
        }
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key);
    let mac = hmac::sign(&key, &(now.as_secs() / 30).to_be_bytes());
    let mac = mac.as_ref();
    let at = usize::from(mac[mac.len() - 1] & 0xf);
    let four: [u8; 4] = mac[at..at + 4].try_into()?;
    let code = (u32::from_be_bytes(four) & 0x7fff_ffff) % 1_000_000;
    Ok(format!("{code:06}"))
}
