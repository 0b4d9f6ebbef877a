//! Bytes that no client sends, too many of them, and too few.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use audit::gateway::openapi;
use e2e::raw::{Keeper, all_of, connect, exchange};
use e2e::{Audit, Http, Ledger, bitacoras};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use crate::record;

/// After so long without a byte nothing more comes from a server on this machine.
const SILENCE: Duration = Duration::from_secs(2);

/// For what comes in a moment.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A proxy in front of a server that keeps what it is sent.
async fn proxied(more: &str) -> Result<(Ledger, Audit, Keeper, String)> {
    let ledger = Ledger::start()?;
    let keeper = Keeper::start()?;
    let mut audit = Audit::start(&ledger.scratch()?.join("audit"), ledger.ready())?;
    let (_, _, people) = audit.people(1).await?;
    audit.kill()?;
    audit.configure(&format!(
        "{more}\n[proxy]\nlisten = \"127.0.0.1:0\"\nupstreams = [\"http://{}\"]\nuser = \"{}\"\n\
         [[proxy.rules]]\nmethods = [\"POST\"]\npath = \"/lots\"\nrecord = \"lot-{{request:/lot}}\"\n\
         about = [\"lot:{{request:/lot}}\"]\n",
        keeper.address, people[0].id
    ))?;
    audit.start_again(ledger.ready())?;
    let url = audit.ready().proxy_url.clone().context("a proxy")?;
    Ok((ledger, audit, keeper, url))
}

/// Paths lead to what is served, at the gateway and behind the proxy, however they are written.
#[tokio::test(flavor = "multi_thread")]
async fn paths_lead_nowhere_else() -> Result<()> {
    let (_ledger, audit, keeper, proxy) = proxied("").await?;
    let certificate = &audit.ready().certificate;
    let raw = async |url: &str, path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
        exchange(url, certificate, request.as_bytes(), SILENCE).await
    };
    for path in [
        "/web/../audit.db",
        "/web/%2e%2e/audit.db",
        "/web/..%2fmaster.key",
        "/web/..%5cmaster.key",
        "/web/....//master.key",
        "/web//etc/passwd",
        "/../../../../etc/passwd",
        "/v1/records/..%2f..%2fetc%2fpasswd",
        "/01/..%2f..%2f/../master.key",
        "/web/session.js%00.html",
    ] {
        let said = raw(&audit.ready().url, path).await?;
        let status = said.split(' ').nth(1).unwrap_or_default();
        let is_page = path.starts_with("/01/") && said.contains("<!doctype html>");
        ensure!(
            matches!(status, "400" | "401" | "404") || is_page,
            "{path}: {said}"
        );
        ensure!(
            !said.contains("root:") && !said.contains("SQLite"),
            "{said}"
        );
    }
    for path in [
        "/lots/../admin",
        "/lots/%2e%2e/admin",
        "/lots/..%2fadmin",
        "/lots/..%5cadmin",
        "//admin",
        "/lots;x=/../admin",
        "/lots/%252e%252e/admin",
        "/lots%00",
    ] {
        let said = raw(&proxy, path).await?;
        ensure!(said.starts_with("HTTP/1.1 400 "), "{path}: {said}");
    }
    ensure!(keeper.kept().is_empty(), "{}", keeper.kept());
    let said = raw(&proxy, "/lots").await?;
    ensure!(said.starts_with("HTTP/1.1 200 "), "{said}");
    Ok(())
}

/// No request says where it is passed on to, nor gets two of them past the rules.
#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_sends_each_request_once_and_to_its_system_alone() -> Result<()> {
    let (_ledger, audit, keeper, proxy) = proxied("").await?;
    let canary = Keeper::start()?;
    let certificate = &audit.ready().certificate;
    let raw =
        async |request: &str| exchange(&proxy, certificate, request.as_bytes(), SILENCE).await;
    let elsewhere = canary.address;
    for head in [
        format!("GET http://{elsewhere}/x HTTP/1.1\r\nhost: {elsewhere}"),
        format!("GET http://user:secret@{elsewhere}/x HTTP/1.1\r\nhost: here"),
        format!("GET /x HTTP/1.1\r\nhost: {elsewhere}\r\nx-forwarded-host: {elsewhere}"),
        format!(
            "GET /x HTTP/1.1\r\nhost: here\r\nx-original-url: http://{elsewhere}/\r\nforwarded: host={elsewhere}"
        ),
        format!("GET /x@{elsewhere}/ HTTP/1.1\r\nhost: here"),
        format!("GET /x?url=http://{elsewhere}/ HTTP/1.1\r\nhost: here"),
    ] {
        let said = raw(&format!("{head}\r\nconnection: close\r\n\r\n")).await?;
        ensure!(said.starts_with("HTTP/1.1 200 "), "{head}: {said}");
    }
    let said = raw(&format!(
        "CONNECT {elsewhere} HTTP/1.1\r\nhost: {elsewhere}\r\n\r\n"
    ))
    .await?;
    ensure!(said.starts_with("HTTP/1.1 400 "), "{said}");
    ensure!(canary.kept().is_empty(), "{}", canary.kept());
    ensure!(!keeper.kept().contains("secret"), "{}", keeper.kept());

    // Two lengths, of which a neighbour could believe the other: never two requests of one.
    let hidden = "POST /admin HTTP/1.1\r\nhost: here\r\ncontent-length: 0\r\n\r\n";
    let chunked = format!("0\r\n\r\n{hidden}");
    let length = chunked.len();
    for head in [
        format!("content-length: {length}\r\ntransfer-encoding: chunked"),
        format!("transfer-encoding: chunked\r\ncontent-length: {length}"),
        format!("content-length: {length}\r\ncontent-length: 0"),
        format!("content-length: {length}\r\ntransfer-encoding: xchunked"),
        format!("content-length: {length}\r\ntransfer-encoding: chunked, identity"),
        format!("content-length: +{length}"),
        format!("content-length : {length}"),
    ] {
        let request = format!("POST /free HTTP/1.1\r\nhost: here\r\n{head}\r\n\r\n{chunked}");
        raw(&request).await?;
    }
    let kept = keeper.kept();
    ensure!(!kept.contains("POST /admin"), "{kept}");
    // An event says what the system got: all of it, whatever length was claimed before.
    let body = r#"{"lot":"7","kg":20}"#;
    let request = format!(
        "POST /lots HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\
         transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let said = raw(&request).await?;
    if said.starts_with("HTTP/1.1 200 ") {
        ensure!(said.contains("counterfoil-audit: recorded"), "{said}");
        ensure!(keeper.kept().contains(body), "{}", keeper.kept());
    } else {
        ensure!(!keeper.kept().contains("POST /lots"), "{said}");
    }
    Ok(())
}

/// Nobody has a change made that stands in no log by not waiting for the answer.
#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_is_audited_all_the_same() -> Result<()> {
    let (ledger, audit, keeper, proxy) = proxied("").await?;
    keeper.is_slow(true);
    let reached = async |body: &str| {
        let start = Instant::now();
        while !keeper.kept().contains(body) {
            ensure!(start.elapsed() < PATIENCE, "{body} is not passed on");
            sleep(LOOK_AGAIN).await;
        }
        Ok(())
    };
    // By HTTP/1.1 the connection ends, by HTTP/2 the request alone.
    let body = r#"{"lot":"1"}"#;
    let request = format!(
        "POST /lots HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut connection = connect(&proxy, &audit.ready().certificate).await?;
    connection.write_all(request.as_bytes()).await?;
    reached(body).await?;
    drop(connection);
    let client = audit.visitor()?.at(&proxy);
    let request = client.request(Method::POST, "/lots");
    let request = request.json(&json!({"lot": "2"})).send();
    tokio::select! {
        answer = request => bail!("{answer:?}, from a system that does not answer"),
        passed_on = reached(r#"{"lot":"2"}"#) => passed_on?,
    }
    // Until the proxy knows.
    sleep(Duration::from_millis(500)).await;
    keeper.is_slow(false);

    let node = Http::new(ledger.ready())?;
    let start = Instant::now();
    let wanted = ["lot-1", "lot-2"];
    let mut recorded = Vec::new();
    while !wanted
        .iter()
        .all(|lot| recorded.iter().any(|one| one == lot))
    {
        ensure!(
            start.elapsed() < PATIENCE,
            "of the lots only {recorded:?} are recorded"
        );
        sleep(LOOK_AGAIN).await;
        let events = bitacoras(&node).await?.into_values().flatten();
        recorded = events
            .filter_map(|event| Some(event["record"].as_str()?.to_owned()))
            .filter(|record| record.starts_with("lot-"))
            .collect();
    }
    Ok(())
}

/// Who sends too much, or hardly anything, is answered and let go; others are served meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn large_and_slow_requests_are_ended() -> Result<()> {
    let ledger = Ledger::start()?;
    let audit = Audit::start(&ledger.scratch()?.join("audit"), ledger.ready())?;
    let (_, _, people) = audit.people(1).await?;
    let (url, certificate) = (&audit.ready().url, &audit.ready().certificate);
    // Bodies: a byte, and then none.
    let mut slow = connect(url, certificate).await?;
    let head = "POST /v1/login HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\n\
                content-length: 100\r\n\r\n{";
    slow.write_all(head.as_bytes()).await?;
    // Headers that never end.
    let mut endless = connect(url, certificate).await?;
    endless.write_all(b"GET / HTTP/1.1\r\nx: ").await?;

    let large = "x".repeat(3 << 20);
    let body = json!({"about": ["lot:a"], "data": large});
    let (status, _) = people[0].call(Method::POST, "/v1/records", &body).await?;
    ensure!(status == 413, "{status}");
    let lines = "{}\n".repeat(2_000);
    let bulk = people[0].request(Method::POST, "/v1/consult/bulk");
    let bulk = bulk
        .header("content-type", "application/x-ndjson")
        .body(lines);
    ensure!(bulk.send().await?.status() == StatusCode::PAYLOAD_TOO_LARGE);
    let fields = |fields: String| format!("GET / HTTP/1.1\r\nhost: here\r\n{fields}\r\n");
    let many = fields("x: y\r\n".repeat(1_000));
    let said = exchange(url, certificate, many.as_bytes(), SILENCE).await?;
    ensure!(said.starts_with("HTTP/1.1 431 "), "{said}");
    // What it says about one that is too long may be lost with what it did not read.
    let long = fields(format!("x: {}\r\n", "y".repeat(64 << 10)));
    let said = exchange(url, certificate, long.as_bytes(), SILENCE).await?;
    ensure!(
        said.is_empty() || said.starts_with("HTTP/1.1 431 "),
        "{said}"
    );
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let request = people[0].request(Method::POST, "/v1/consult");
    let request = request
        .header("content-type", "application/json")
        .body(deep);
    ensure!(request.send().await?.status() == 400);

    let patience = Duration::from_secs(120);
    let said = all_of(&mut endless, patience).await;
    ensure!(
        said.is_empty() || said.starts_with("HTTP/1.1 408 "),
        "{said}"
    );
    let said = all_of(&mut slow, patience).await;
    ensure!(said.starts_with("HTTP/1.1 408 "), "{said}");
    ensure!(said.contains("TooSlow"), "{said}");
    Ok(())
}

/// Who asks too much, and who guesses, is told when to come again.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_or_guesses_too_much_is_told_when_to_come_again() -> Result<()> {
    let ledger = Ledger::start()?;
    let folder = ledger.scratch()?.join("audit");
    let mut audit = Audit::start(&folder, ledger.ready())?;
    audit.people(0).await?;
    let visitor = audit.visitor()?;
    let guess = json!({"email": "admin@example.org", "password": "a wrong password"});
    let mut refused = 0;
    let wait = loop {
        let request = visitor.request(Method::POST, "/v1/login").json(&guess);
        let answer = request.send().await?;
        match answer.status().as_u16() {
            401 => refused += 1,
            429 => break answer.headers()["retry-after"].to_str()?.parse::<u64>()?,
            other => anyhow::bail!("a wrong password is answered {other}"),
        }
        ensure!(refused < 20, "guessing costs nothing");
    };
    ensure!(
        refused >= 6 && (1..=900).contains(&wait),
        "{refused}: {wait}"
    );

    audit.kill()?;
    audit.configure("[limits]\nrequests_per_second = 1\nburst = 5\n")?;
    audit.start_again(ledger.ready())?;
    let mut refused = None;
    for _ in 0..8 {
        let answer = visitor.request(Method::GET, "/health").send().await?;
        if answer.status() == 429 {
            let wait: u64 = answer.headers()["retry-after"].to_str()?.parse()?;
            let problem: Value = answer.json().await?;
            refused = Some((wait, problem));
        }
    }
    let (wait, problem) = refused.context("eight at once are more than five")?;
    ensure!(problem["type"] == "Busy", "{problem}");
    ensure!(problem["retryAfter"] == wait, "{problem}");
    Ok(())
}

/// Numbers are told where the operator says, and not to everybody; the document says what is served.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_for_the_operator() -> Result<()> {
    let ledger = Ledger::start()?;
    let folder = ledger.scratch()?.join("audit");
    let config = "metrics_listen = \"127.0.0.1:0\"";
    let audit = Audit::start_with(&folder, ledger.ready(), Some(config), None)?;
    let (_, _, people) = audit.people(1).await?;
    let ana = &people[0];
    ana.done(Method::POST, "/v1/records", &record("a")).await?;
    ana.done(Method::POST, "/v1/consult", &json!({"record": "a"}))
        .await?;
    let visitor = audit.visitor()?;
    let (status, _) = visitor.call(Method::GET, "/metrics", &Value::Null).await?;
    ensure!(status == 404, "the gateway tells numbers");
    let url = audit.ready().metrics_url.clone().context("numbers")?;
    let url = url.trim_end_matches("/metrics");
    let answer = visitor
        .at(url)
        .request(Method::GET, "/metrics")
        .send()
        .await?;
    let text = answer.text().await?;
    for line in [
        r#"counterfoil_audit_requests_total{method="POST",path="/v1/records",status="2xx"} 1"#,
        r#"counterfoil_audit_events_total{by="api",outcome="stored"} 1"#,
        r#"counterfoil_audit_verdicts_total{verdict="valid"} 1"#,
        "counterfoil_audit_events_pending 0",
    ] {
        ensure!(text.contains(line), "{line} is not in\n{text}");
    }
    ensure!(!text.contains(&ana.id), "numbers name nobody");
    let served = visitor
        .done(Method::GET, "/openapi.json", &Value::Null)
        .await?;
    ensure!(served == openapi::document());
    Ok(())
}
