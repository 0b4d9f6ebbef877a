//! Agents test real services, and are tested themselves: by services that lie.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use audit::serve::{Identity, Served, serve};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use e2e::{Audit, Keeps, Ledger, Postgres, counterfoil};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

fn agents(url: &str, certificate: &Path) -> Result<Command> {
    let mut command = counterfoil()?;
    command
        .args(["agents", "--url", url, "--certificate"])
        .arg(certificate);
    Ok(command)
}

/// Lets them run without holding up what they talk to.
async fn run(mut command: Command) -> Result<Output> {
    Ok(tokio::task::spawn_blocking(move || command.output()).await??)
}

fn report(said: &Output) -> Result<Value> {
    let told = || String::from_utf8_lossy(&said.stderr).into_owned();
    serde_json::from_slice(&said.stdout).with_context(told)
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_of_all_kinds_break_nothing() -> Result<()> {
    let ledger = Ledger::start()?;
    let folder = ledger.scratch()?;
    let audit = Audit::start(&folder.join("audit"), ledger.ready())?;
    break_nothing(&ledger, &audit).await
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_break_nothing_through_contracts_on_postgresql() -> Result<()> {
    let (ledger, database) = (Ledger::start()?, Postgres::start(Keeps::Nothing)?);
    let folder = ledger.scratch()?.join("audit");
    let config = format!(
        "connector = \"contracts\"\ndatabase = {:?}\n",
        database.url()
    );
    let audit = Audit::start_with(&folder, ledger.ready(), Some(&config), None)?;
    break_nothing(&ledger, &audit).await
}

async fn break_nothing(ledger: &Ledger, audit: &Audit) -> Result<()> {
    let folder = ledger.scratch()?;
    let page = folder.join("report.html");
    let mut command = agents(&audit.ready().url, &audit.ready().certificate)?;
    command.args([
        "--requests",
        "2000",
        "--connections",
        "8",
        "--seed",
        "7",
        "--json",
        "--report",
    ]);
    command.arg(&page);
    command
        .arg("--service-cert")
        .arg(&ledger.ready().service_cert);
    let said = run(command).await?;
    let report = report(&said)?;
    ensure!(
        report["violations"] == json!([]),
        "{:#}",
        report["violations"]
    );
    ensure!(said.status.success() && report["holds"] == true);
    let totals = &report["totals"];
    let count = |name: &str| totals[name].as_u64().unwrap_or_default();
    ensure!(
        count("requests") >= 2_000 && count("unfriendly") >= 900,
        "{totals}"
    );
    ensure!(
        count("accepted") > 500 && count("refused") > 500 && count("logs") > 300,
        "{totals}"
    );
    // Whatever was not looked at holds as well, and says nothing.
    let invariants = report["invariants"]
        .as_array()
        .context("invariants are listed")?;
    for one in invariants {
        ensure!(one["checked"].as_u64() > Some(0), "{one}");
    }
    let store = report["times"].as_array().and_then(|rows| {
        rows.iter()
            .find(|row| row["stage"] == "storing" && row["outcome"] == "accepted")
    });
    ensure!(
        store.is_some_and(|row| row["processing"]["p50"].as_f64() > Some(0.0)),
        "{store:?}"
    );
    ensure!(fs::read_to_string(&page)?.contains("No invariant was broken"));

    // There is a root now: nobody races for it again.
    let said = run(agents(&audit.ready().url, &audit.ready().certificate)?).await?;
    let told = String::from_utf8_lossy(&said.stderr);
    ensure!(
        said.status.code() == Some(2) && told.contains("a root already"),
        "{told}"
    );
    Ok(())
}

/// Stands before good services, passes on what it hears, and lies about some of it.
struct Liar {
    url: String,
    client: reqwest::Client,
    hid_a_log: AtomicBool,
}

impl Liar {
    async fn serve(audit: &Audit, folder: &Path) -> Result<(Served, PathBuf)> {
        let trust = reqwest::Certificate::from_pem(&fs::read(&audit.ready().certificate)?)?;
        let client = reqwest::Client::builder()
            .tls_certs_only([trust])
            .no_proxy()
            .build()?;
        let liar = Arc::new(Self {
            url: audit.ready().url.clone(),
            client,
            hid_a_log: AtomicBool::new(false),
        });
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let (certificate, key) = (folder.join("liar.pem"), folder.join("liar_key.pem"));
        fs::write(&certificate, made.cert.pem())?;
        fs::write(&key, made.signing_key.serialize_pem())?;
        let identity = Identity::read(&certificate, &key)?;
        let routes = Router::new().fallback(pass_on).with_state(liar);
        let address = "127.0.0.1:0".parse()?;
        let served = serve(address, identity, routes, CancellationToken::new()).await?;
        Ok((served, certificate))
    }

    async fn ask(&self, request: Request) -> Result<(StatusCode, Option<String>, Bytes)> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut headers = parts.headers;
        for name in ["host", "content-length"] {
            headers.remove(name);
        }
        let sent = self
            .client
            .request(parts.method, format!("{}{path}", self.url));
        let sent = sent
            .headers(headers)
            .body(to_bytes(body, usize::MAX).await?);
        let answer = sent.send().await?;
        let kind = answer.headers().get("content-type");
        let kind = kind.and_then(|kind| kind.to_str().ok()).map(str::to_owned);
        Ok((answer.status(), kind, answer.bytes().await?))
    }
}

async fn pass_on(State(liar): State<Arc<Liar>>, request: Request) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let Ok((mut status, kind, mut bytes)) = liar.ask(request).await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    match &path[..] {
        // Whoever may not make users is told that they made one.
        "/v1/users" if method == Method::POST && status == StatusCode::FORBIDDEN => {
            status = StatusCode::CREATED;
        }
        // What was altered is called valid.
        "/v1/consult" if status == StatusCode::OK => {
            let text = String::from_utf8_lossy(&bytes).replace("\"altered\"", "\"valid\"");
            bytes = text.into();
        }
        // One log is not shown.
        "/v1/logs" if !liar.hid_a_log.load(Ordering::Relaxed) => {
            let mut page: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            if let Some(logs) = page["logs"].as_array_mut().filter(|logs| logs.len() > 100) {
                logs.remove(50);
                liar.hid_a_log.store(true, Ordering::Relaxed);
                bytes = page.to_string().into();
            }
        }
        // An error of the server's own.
        "/v1/renew" if status == StatusCode::UNAUTHORIZED => {
            status = StatusCode::INTERNAL_SERVER_ERROR;
        }
        _ => {}
    }
    let answer = Response::builder().status(status);
    let answer = kind
        .into_iter()
        .fold(answer, |answer, kind| answer.header("content-type", kind));
    answer
        .body(Body::from(bytes))
        .unwrap_or_else(|_| StatusCode::BAD_GATEWAY.into_response())
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_notice_services_that_lie() -> Result<()> {
    let ledger = Ledger::start()?;
    let folder = ledger.scratch()?;
    let audit = Audit::start(&folder.join("audit"), ledger.ready())?;
    let (liar, certificate) = Liar::serve(&audit, &folder).await?;
    let mut command = agents(&format!("https://{}", liar.address), &certificate)?;
    command.args([
        "--requests",
        "1500",
        "--connections",
        "4",
        "--seed",
        "7",
        "--json",
    ]);
    command.args(["--root-racers", "4"]);
    let said = run(command).await?;
    let report = report(&said)?;
    ensure!(
        said.status.code() == Some(1) && report["holds"] == false,
        "{report}"
    );
    let invariants = report["invariants"]
        .as_array()
        .context("invariants are listed")?;
    let broken: Vec<&str> = invariants
        .iter()
        .filter(|one| one["broken"].as_u64() > Some(0))
        .filter_map(|one| one["invariant"].as_str())
        .collect();
    let expected = [
        "Every answer is of the kind that was expected",
        "No answer is the services' own fault (5xx)",
        "Every accepted request has its log, once",
        "What was altered is found, what was not is valid",
    ];
    for invariant in expected {
        ensure!(
            broken.contains(&invariant),
            "{invariant} is not among {broken:?}"
        );
    }
    let lies = report["violations"].as_array().context("places are told")?;
    let told = |behaviour: &str, text: &str| {
        lies.iter().any(|lie| {
            lie["behaviour"] == behaviour
                && lie["what"].as_str().is_some_and(|what| what.contains(text))
        })
    };
    ensure!(
        told(
            "make whom one may not",
            "had to be 403 NotPermitted, and was 201"
        ),
        "{lies:#?}"
    );
    ensure!(told("altered data", "had to be altered"), "{lies:#?}");
    Ok(())
}
