//! Traces of the audit services, as a collector gets them: a real HTTP server, which reads OTLP's JSON.

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::http::HeaderMap;
use axum::routing::post;
use e2e::{Audit, Client, Ledger, PASSWORD, Person, counterfoil, said};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

/// What did not come by then never does.
const GOT_WITHIN: Duration = Duration::from_secs(60);

/// A trace that somebody outside began.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// Documents with the spans of one process each.
type Documents = Arc<Mutex<Vec<Value>>>;

/// A collector, which keeps what it gets.
struct Collector {
    address: SocketAddr,
    got: Documents,
}

/// One span, and whose it is.
#[derive(Debug, Clone)]
struct Span {
    service: String,
    name: String,
    id: String,
    parent: Option<String>,
    kind: u64,
}

impl Collector {
    async fn start() -> Result<Self> {
        let got = Documents::default();
        let kept = Arc::clone(&got);
        let take = async move |axum::Json(document): axum::Json<Value>| {
            kept.lock().expect("nobody panics").push(document);
            axum::Json(json!({}))
        };
        let address = serve(Router::new().route("/v1/traces", post(take))).await?;
        Ok(Self { address, got })
    }

    /// All that came, a document a line.
    fn text(&self) -> String {
        let got = self.got.lock().expect("nobody panics");
        got.iter().map(|document| format!("{document}\n")).collect()
    }

    /// The spans of a trace.
    fn spans(&self, trace: &str) -> Result<Vec<Span>> {
        let got = self.got.lock().expect("nobody panics");
        let mut spans = Vec::new();
        for part in got.iter().flat_map(|one| list(&one["resourceSpans"])) {
            let about = list(&part["resource"]["attributes"]);
            let named = about.iter().find(|one| one["key"] == "service.name");
            let service = named.context("a service has a name")?["value"]["stringValue"].as_str();
            let scopes = list(&part["scopeSpans"]).iter();
            for span in scopes.flat_map(|scope| list(&scope["spans"])) {
                let text = |key: &str| span[key].as_str().map(str::to_owned);
                if text("traceId").as_deref() == Some(trace) {
                    spans.push(Span {
                        service: service.context("in words")?.replace("counterfoil-", ""),
                        name: text("name").context("a span has a name")?,
                        id: text("spanId").context("and an id")?,
                        parent: text("parentSpanId"),
                        kind: span["kind"].as_u64().context("and a kind")?,
                    });
                }
            }
        }
        Ok(spans)
    }

    /// The spans of a trace, once these are among them.
    async fn spans_with(&self, trace: &str, wanted: &[(&str, &str)]) -> Result<Vec<Span>> {
        let start = Instant::now();
        loop {
            let spans = self.spans(trace)?;
            let has = |(service, name): &(&str, &str)| {
                spans
                    .iter()
                    .any(|span| span.service == *service && span.name == *name)
            };
            if wanted.iter().all(has) {
                return Ok(spans);
            }
            ensure!(start.elapsed() < GOT_WITHIN, "{wanted:?}: {spans:#?}");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

async fn serve(routes: Router) -> Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(address)
}

/// That all spans hang together below the caller's, and nothing is there twice.
fn linked(spans: &[Span]) -> Result<()> {
    let ids: BTreeSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
    ensure!(ids.len() == spans.len(), "{spans:#?}");
    for span in spans {
        let parent = span.parent.as_deref().context("each is below another")?;
        ensure!(
            parent == CALLER || ids.contains(parent),
            "{span:?} of {spans:#?}"
        );
    }
    let top = spans
        .iter()
        .filter(|one| one.parent.as_deref() == Some(CALLER));
    ensure!(top.count() == 1, "{spans:#?}");
    Ok(())
}

fn named<'a>(spans: &'a [Span], service: &str, name: &str) -> Result<&'a Span> {
    let mut spans = spans.iter();
    let found = spans.find(|span| span.service == service && span.name == name);
    found.with_context(|| format!("{name} of {service}"))
}

/// Stores a record, as part of the trace from outside.
async fn store(person: &Person, record: &str) -> Result<()> {
    let body = json!({"record": record, "about": ["lot:7"], "data": {"note": "between us"}});
    let request = person.request(Method::POST, "/v1/records").json(&body);
    let sampled = format!("00-{TRACE}-{CALLER}-01");
    let answer = request.header("traceparent", sampled).send().await?;
    let status = answer.status();
    ensure!(status.is_success(), "{status} {}", answer.text().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_one_trace_through_services_that_are_alone() -> Result<()> {
    let ledger = Ledger::start()?;
    let folder = ledger.scratch()?;
    let collector = Collector::start().await?;
    let services = Alone::start(&ledger, &folder, &collector)?;
    let (_, admin, people) = services.gateway.people(1).await?;
    store(&people[0], "lot-7").await?;

    let asked = [
        ("gateway", "POST /v1/records"),
        ("gateway", "/look_at"),
        ("users", "POST /look_at"),
        ("gateway", "/record_once"),
        ("audit", "POST /record_once"),
        ("audit", "event.write"),
        ("audit", "ledger.record"),
    ];
    let spans = collector.spans_with(TRACE, &asked).await?;
    linked(&spans)?;
    let parent = |service, name| -> Result<Option<String>> {
        Ok(named(&spans, service, name)?.parent.clone())
    };
    let id = |service, name| -> Result<Option<String>> {
        Ok(Some(named(&spans, service, name)?.id.clone()))
    };
    ensure!(parent("gateway", "POST /v1/records")?.as_deref() == Some(CALLER));
    for (asking, asked) in [("/look_at", "users"), ("/record_once", "audit")] {
        ensure!(parent("gateway", asking)? == id("gateway", "POST /v1/records")?);
        let answering = named(&spans, asked, &format!("POST {asking}"))?;
        ensure!(answering.parent == id("gateway", asking)?);
        ensure!(answering.kind == 2);
    }

    // What a user's change is recorded by comes from the users' service.
    let grant = format!("/v1/users/{}/grants/createData", people[0].id);
    let request = admin.request(Method::DELETE, &grant);
    let other = TRACE.replace('0', "1");
    let request = request.header("traceparent", format!("00-{other}-{CALLER}-01"));
    request.send().await?;
    let route = "DELETE /v1/users/{user}/grants/{operation}";
    let asked = [
        ("gateway", route),
        ("users", "POST /revoke"),
        ("users", "/record_once"),
        ("audit", "POST /record_once"),
    ];
    linked(&collector.spans_with(&other, &asked).await?)?;

    // A failure names the trace by which it is found.
    let missing = people[0].request(Method::GET, "/v1/records/none");
    let missing = missing.header("traceparent", format!("00-{TRACE}-{CALLER}-00"));
    let problem: Value = missing.send().await?.json().await?;
    ensure!(problem["traceId"] == TRACE, "{problem}");

    // Whoever reads OTLP reads it.
    let all = collector.text();
    let kept = folder.join("traces.jsonl");
    fs::write(&kept, &all)?;
    let kept = kept.to_str().context("a folder is text")?;
    let services = [
        "counterfoil-gateway",
        "counterfoil-users",
        "counterfoil-audit",
    ];
    let args = [&[kept][..], &services].concat();
    Client::Python("otlp").run("otlp_traces.py", &args, &ledger)?;

    // Nothing of anybody is in any of it.
    let token = people[0].token().context("they are signed in")?;
    for said in [
        "lot-7",
        "lot:7",
        "between us",
        "example.org",
        PASSWORD,
        token,
        &people[0].id,
        "127.0.0.1",
    ] {
        ensure!(!all.contains(said), "{said} is in {all}");
    }
    Ok(())
}

/// Each service in a process of its own.
struct Alone {
    gateway: Audit,
    _users: Audit,
    _audit: Audit,
}

impl Alone {
    fn start(ledger: &Ledger, folder: &Path, collector: &Collector) -> Result<Self> {
        said(
            counterfoil()?
                .args(["audit", "identity"])
                .arg(folder.join("identity")),
        )?;
        let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0"));
        let mut ports = Vec::new();
        for listener in listeners {
            ports.push(listener?.local_addr()?.to_string());
        }
        let config = format!(
            "[traces]\nendpoint = \"http://{}\"\n[services]\nidentity = \"identity\"\nusers = [\"https://{}\"]\n\
             audit = [\"https://{}\"]\n",
            collector.address, ports[1], ports[2]
        );
        let path = folder.join("audit.toml");
        fs::write(&path, config)?;
        let start = |service: &str, port: &str| {
            Audit::start_alone(service, &folder.join(service), ledger.ready(), &path, port)
        };
        Ok(Self {
            _audit: start("audit", &ports[2])?,
            _users: start("users", &ports[1])?,
            gateway: start("gateway", &ports[0])?,
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_one_process_and_through_the_proxy_traces_go_on_too() -> Result<()> {
    let ledger = Ledger::start()?;
    let collector = Collector::start().await?;
    let folder = ledger.scratch()?.join("audit");
    let mut audit = Audit::start(&folder, ledger.ready())?;
    let (_, _, people) = audit.people(1).await?;
    // A system that answers with what it is told of the trace.
    let show = async |headers: HeaderMap| {
        let told = headers.get("traceparent").and_then(|one| one.to_str().ok());
        axum::Json(json!({"told": told}))
    };
    let system = serve(Router::new().route("/lots", post(show))).await?;
    audit.kill()?;
    audit.configure(&format!(
        "[traces]\nendpoint = \"http://{}\"\nsample = 0.0\nbelieve_callers = true\n\
         [proxy]\nlisten = \"127.0.0.1:0\"\nupstreams = [\"http://{system}\"]\nuser = \"{}\"\n\
         [[proxy.rules]]\nmethods = [\"POST\"]\npath = \"/lots\"\nrecord = \"lot-8\"\n\
         about = [\"lot:8\"]\ndata = \"request\"\n",
        collector.address, people[0].id
    ))?;
    audit.start_again(ledger.ready())?;
    store(&people[0], "lot-7").await?;
    let steps = [
        "POST /v1/records",
        "users.has_access",
        "trail.store",
        "event.write",
        "ledger.record",
    ];
    let steps = steps.map(|name| ("all", name));
    linked(&collector.spans_with(TRACE, &steps).await?)?;

    let proxy = audit.ready().proxy_url.clone().context("it is there")?;
    let client = audit.visitor()?.at(&proxy);
    let other = TRACE.replace('0', "2");
    let request = client
        .request(Method::POST, "/lots")
        .json(&json!({"kg": 1}));
    let request = request.header("traceparent", format!("00-{other}-{CALLER}-01"));
    let answer: Value = request.send().await?.error_for_status()?.json().await?;
    let steps = ["POST", "upstream", "trail.store"].map(|name| ("all", name));
    let spans = collector.spans_with(&other, &steps).await?;
    linked(&spans)?;
    let here = &named(&spans, "all", "upstream")?.id;
    ensure!(
        answer["told"] == format!("00-{other}-{here}-01"),
        "{answer}"
    );

    // Of what nobody wants recorded there is nothing, however late one looks.
    people[0]
        .done(Method::GET, "/v1/session", &Value::Null)
        .await?;
    audit.stop()?;
    let all = collector.text();
    ensure!(all.contains(TRACE) && !all.contains("/v1/session"), "{all}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_does_not_answer_holds_nobody_up() -> Result<()> {
    let ledger = Ledger::start()?;
    // It is connected to, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let config = format!("[traces]\nendpoint = \"http://{}\"\n", silent.local_addr()?);
    let folder = ledger.scratch()?.join("audit");
    let mut audit = Audit::start_with(&folder, ledger.ready(), Some(&config), None)?;
    let (_, _, people) = audit.people(1).await?;
    for number in 0..20 {
        store(&people[0], &format!("lot-{number}")).await?;
    }
    audit.stop()?;
    let log = audit.logged()?;
    ensure!(
        log.contains("spans that the collector did not get"),
        "{log}"
    );
    Ok(())
}
