//! An application that knows nothing of us (npm `json-server`) behind the proxy: what is written through it
//! can be checked ever after, and it was not changed for that.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use e2e::{Audit, Ledger, Person, cache};
use reqwest::Method;
use serde_json::{Value, json};

/// The application, on a port of its own. Dropping it ends it.
struct Application {
    process: Child,
    address: SocketAddr,
}

impl Application {
    fn start(folder: &Path) -> Result<Self> {
        let packages = cache()?.join("apps");
        let program = packages.join("node_modules/json-server/lib/cli/bin.js");
        ensure!(
            program.is_file(),
            "json-server is missing: run `cargo xtask test e2e`"
        );
        let data = folder.join("db.json");
        fs::write(&data, r#"{"lots": []}"#)?;
        // It cannot tell which port it took, so one is looked for.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let process = Command::new("node")
            .arg(program)
            .arg(&data)
            .args([
                "--quiet",
                "--host",
                "127.0.0.1",
                "--port",
                &address.port().to_string(),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("starting json-server")?;
        let application = Self { process, address };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            if start.elapsed() > Duration::from_secs(30) {
                bail!("json-server does not answer");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(application)
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn rules(application: SocketAddr, user: &str) -> String {
    format!(
        r#"
[proxy]
listen = "127.0.0.1:0"
upstreams = ["http://{application}"]
user = "{user}"

[[proxy.rules]]
methods = ["POST"]
path = "/lots"
record = "lot-{{response:/id}}"
about = ["lot:{{response:/id}}"]
did = "new lot"
data = "response"

[[proxy.rules]]
methods = ["PUT", "PATCH", "DELETE"]
path = "/lots/{{lot}}"
record = "lot-{{lot}}"
about = ["lot:{{lot}}"]
did = "changed by {{header:x-user}}"
data = "response"
"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_through_an_application_that_knows_nothing_of_it_can_be_checked() -> Result<()> {
    let ledger = Ledger::start()?;
    let folder = ledger.scratch()?;
    let mut audit = Audit::start(&folder.join("audit"), ledger.ready())?;
    let (_, _, people) = audit.people(1).await?;
    let farm = &people[0];
    let application = Application::start(&folder)?;
    audit.kill()?;
    audit.configure(&rules(application.address, &farm.id))?;
    audit.start_again(ledger.ready())?;
    let proxy = audit
        .ready()
        .proxy_url
        .clone()
        .context("the proxy says where it is")?;
    let client = audit.visitor()?.at(&proxy);

    let made = client
        .done(Method::POST, "/lots", &json!({"kg": 20}))
        .await?;
    ensure!(made == json!({"id": 1, "kg": 20}), "{made}");
    // What the application shows now is what was recorded; read past us, it is the same.
    let shown = client.done(Method::GET, "/lots/1", &Value::Null).await?;
    ensure!(verdict(farm, &shown).await? == "valid", "{shown}");
    // Without the header that the rule asks for nothing is done.
    let (status, said) = client
        .call(Method::PATCH, "/lots/1", &json!({"kg": 21}))
        .await?;
    ensure!(status == 400, "{status} {said}");
    let shown = client.done(Method::GET, "/lots/1", &Value::Null).await?;
    ensure!(shown["kg"] == 20, "{shown}");

    // Whoever writes past the proxy, into the application or its file, is found out.
    let past = reqwest::Client::builder().no_proxy().build()?;
    let address = format!("http://{}/lots/1", application.address);
    let changed = past.patch(address).json(&json!({"kg": 25})).send().await?;
    ensure!(changed.status() == 200);
    let shown = client.done(Method::GET, "/lots/1", &Value::Null).await?;
    ensure!(
        shown["kg"] == 25 && verdict(farm, &shown).await? == "altered",
        "{shown}"
    );
    let logs = farm
        .done(Method::GET, "/v1/logs?record=lot-1", &Value::Null)
        .await?;
    let logs = logs["logs"].as_array().context("there are logs")?;
    ensure!(
        logs.len() == 1 && logs[0]["event"]["what"]["did"] == "new lot",
        "{logs:?}"
    );
    Ok(())
}

async fn verdict(person: &Person, data: &Value) -> Result<String> {
    let question = json!({"record": "lot-1", "data": data});
    let said = person.done(Method::POST, "/v1/consult", &question).await?;
    Ok(said["verdict"]
        .as_str()
        .context("there is a verdict")?
        .to_owned())
}
