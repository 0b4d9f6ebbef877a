//! The audit services in a process of their own, on a ledger, and somebody who calls them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Certificate, Method};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::Http;
use crate::server::{Ready, STOPPED_WITHIN, counterfoil, first_line, signal, wait};

/// Services that are not ready by then never will be.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// No answer takes so long unless the services hang.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// The password of everybody here.
pub const PASSWORD: &str = "correct horse battery";

/// What the services print when they are ready.
#[derive(Debug, Clone, Deserialize)]
pub struct Services {
    /// Where the gateway is.
    pub url: String,
    /// The certificate that it shows.
    pub certificate: PathBuf,
    /// Their process.
    pub pid: u32,
    /// Where the proxy is, if there is one.
    #[serde(default)]
    pub proxy_url: Option<String>,
    /// Where the numbers are, if they are served.
    #[serde(default)]
    pub metrics_url: Option<String>,
}

/// The services, or one of them. Dropping them kills them.
#[derive(Debug)]
pub struct Audit {
    service: String,
    process: Child,
    folder: PathBuf,
    config: Option<PathBuf>,
    listen: String,
    log: Option<String>,
    ready: Services,
}

impl Audit {
    /// Starts them in `folder`, on a ledger.
    ///
    /// # Errors
    /// When they do not say that they are ready.
    pub fn start(folder: &Path, ledger: &Ready) -> Result<Self> {
        Self::start_with(folder, ledger, None, None)
    }

    /// The same, with a configuration, and with logs of this filter.
    ///
    /// # Errors
    /// When they do not say that they are ready.
    pub fn start_with(
        folder: &Path,
        ledger: &Ready,
        config: Option<&str>,
        log: Option<&str>,
    ) -> Result<Self> {
        Self::start_onto(folder, Some(ledger), config, log)
    }

    /// The same on the chain that a configuration names, without a ledger.
    ///
    /// # Errors
    /// When they do not say that they are ready.
    pub fn start_on_chain(folder: &Path, config: &str, log: Option<&str>) -> Result<Self> {
        Self::start_onto(folder, None, Some(config), log)
    }

    fn start_onto(
        folder: &Path,
        ledger: Option<&Ready>,
        config: Option<&str>,
        log: Option<&str>,
    ) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let path = folder.join("audit.toml");
        if let Some(text) = config {
            fs::write(&path, text)?;
        }
        let config = config.map(|_| path);
        let (process, ready) = spawn("all", folder, ledger, config.as_deref(), "127.0.0.1:0", log)?;
        // The same place again after a restart, for clients that know it.
        let listen = ready.url.trim_start_matches("https://").to_owned();
        Ok(Self {
            service: "all".to_owned(),
            process,
            folder: folder.to_owned(),
            config,
            listen,
            log: log.map(str::to_owned),
            ready,
        })
    }

    /// Starts one of them alone, with a configuration that it may share with others.
    ///
    /// # Errors
    /// When it does not say that it is ready.
    pub fn start_alone(
        service: &str,
        folder: &Path,
        ledger: &Ready,
        config: &Path,
        listen: &str,
    ) -> Result<Self> {
        Self::start_alone_onto(service, folder, Some(ledger), config, listen)
    }

    /// The same on the chain that the configuration names, without a ledger.
    ///
    /// # Errors
    /// When it does not say that it is ready.
    pub fn start_alone_on_chain(
        service: &str,
        folder: &Path,
        config: &Path,
        listen: &str,
    ) -> Result<Self> {
        Self::start_alone_onto(service, folder, None, config, listen)
    }

    fn start_alone_onto(
        service: &str,
        folder: &Path,
        ledger: Option<&Ready>,
        config: &Path,
        listen: &str,
    ) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let (process, ready) = spawn(service, folder, ledger, Some(config), listen, None)?;
        Ok(Self {
            service: service.to_owned(),
            process,
            folder: folder.to_owned(),
            config: Some(config.to_owned()),
            log: None,
            listen: listen.to_owned(),
            ready,
        })
    }

    /// What they logged so far.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn logged(&self) -> Result<String> {
        let log = fs::read(self.folder.join("audit.log"))?;
        Ok(String::from_utf8_lossy(&log).into_owned())
    }

    /// What they printed.
    pub const fn ready(&self) -> &Services {
        &self.ready
    }

    /// Ends them at once, as a loss of power would.
    ///
    /// # Errors
    /// When there is no process to end.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Asks them to stop, and waits until they have.
    ///
    /// # Errors
    /// When they do not, or not in order.
    pub fn stop(&mut self) -> Result<()> {
        signal("TERM", self.process.id())?;
        let status = wait(&mut self.process, STOPPED_WITHIN)?;
        let status = status.context("the audit services did not stop")?;
        ensure!(status.success(), "they stopped with {status}");
        Ok(())
    }

    /// What they are configured with at their next start.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn configure(&mut self, text: &str) -> Result<()> {
        let path = self.folder.join("audit.toml");
        fs::write(&path, text)?;
        self.config = Some(path);
        Ok(())
    }

    /// Starts them again, after [`kill`](Self::kill).
    ///
    /// # Errors
    /// When they do not say that they are ready.
    pub fn start_again(&mut self, ledger: &Ready) -> Result<()> {
        self.start_again_onto(Some(ledger))
    }

    /// The same for services on the chain that their configuration names.
    ///
    /// # Errors
    /// When they do not say that they are ready.
    pub fn start_again_on_chain(&mut self) -> Result<()> {
        self.start_again_onto(None)
    }

    fn start_again_onto(&mut self, ledger: Option<&Ready>) -> Result<()> {
        let (config, log) = (self.config.as_deref(), self.log.as_deref());
        (self.process, self.ready) = spawn(
            &self.service,
            &self.folder,
            ledger,
            config,
            &self.listen,
            log,
        )?;
        Ok(())
    }

    /// Somebody who calls them, not signed in.
    ///
    /// # Errors
    /// When their certificate cannot be used.
    pub fn visitor(&self) -> Result<Person> {
        let pem = fs::read(&self.ready.certificate)?;
        let client = reqwest::Client::builder()
            .tls_certs_only([Certificate::from_pem(&pem)?])
            .timeout(ANSWER_WITHIN)
            .no_proxy()
            .build()?;
        Ok(Person {
            client,
            url: self.ready.url.clone(),
            token: None,
            id: String::new(),
        })
    }

    /// The root, an administrator, and so many users, all signed in.
    ///
    /// # Errors
    /// When one of them cannot be.
    pub async fn people(&self, users: usize) -> Result<(Person, Person, Vec<Person>)> {
        let visitor = self.visitor()?;
        visitor.become_root("root@example.org").await?;
        let root = visitor.sign_in("root@example.org").await?;
        let admin = root.create("administrator", "admin@example.org").await?;
        let mut people = Vec::new();
        for number in 0..users {
            people.push(
                admin
                    .create("tuser", &format!("user{number}@example.org"))
                    .await?,
            );
        }
        Ok((root, admin, people))
    }
}

fn spawn(
    service: &str,
    folder: &Path,
    ledger: Option<&Ready>,
    config: Option<&Path>,
    listen: &str,
    log: Option<&str>,
) -> Result<(Child, Services)> {
    let errors = File::options()
        .create(true)
        .append(true)
        .open(folder.join("audit.log"))?;
    let mut command = counterfoil()?;
    command
        .args(["audit", service, "--json", "--listen", listen, "--dir"])
        .arg(folder);
    if let Some(ledger) = ledger {
        if service != "users" {
            command.arg("--service-cert").arg(&ledger.service_cert);
        }
        if matches!(service, "all" | "audit") {
            command.args(["--url", &ledger.url]);
            command.env("COUNTERFOIL_TOKEN", &ledger.token);
        }
    }
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    if let Some(log) = log {
        command.args(["--log", log]);
    }
    let mut process = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .context("starting the audit services")?;
    let stdout = process.stdout.take().expect("standard output is a pipe");
    let line = first_line(stdout).recv_timeout(READY_WITHIN);
    let line = line.map_err(anyhow::Error::from).and_then(|line| Ok(line?));
    let ready = line.and_then(|line| Ok(serde_json::from_str(&line)?));
    match ready {
        Ok(ready) => Ok((process, ready)),
        Err(error) => {
            // It may have ended already.
            let _ = process.kill();
            let _ = process.wait();
            let log = fs::read_to_string(folder.join("audit.log")).unwrap_or_default();
            Err(error.context(format!("the audit services are not ready\n{log}")))
        }
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        // They may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.join("audit.log"));
            eprintln!("--- the services' log\n{}", log.unwrap_or_default());
        }
    }
}

/// Somebody who calls the services.
#[derive(Debug, Clone)]
pub struct Person {
    client: reqwest::Client,
    url: String,
    token: Option<String>,
    /// Their id; empty for a visitor.
    pub id: String,
}

impl Person {
    /// Calls, and gives back the status and the JSON that came.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn call(&self, method: Method, path: &str, body: &Value) -> Result<(u16, Value)> {
        self.call_once(method, path, body, None).await
    }

    /// The same under an Idempotency-Key.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn call_once(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        key: Option<&str>,
    ) -> Result<(u16, Value)> {
        let mut request = self.request(method, path);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await?;
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }

    /// A request of theirs, to which more can be added.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// The access token; none for a visitor.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Calls, and expects success.
    ///
    /// # Errors
    /// When it is refused, or no whole answer comes.
    pub async fn done(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        let (status, said) = self.call(method.clone(), path, body).await?;
        if !(200..300).contains(&status) {
            bail!("{method} {path}: {status} {said}");
        }
        Ok(said)
    }

    /// Goes through both steps to being the root.
    ///
    /// # Errors
    /// When there is a root, or somebody else is faster.
    pub async fn become_root(&self, email: &str) -> Result<()> {
        let slot = self
            .done(Method::POST, "/v1/root/slot", &json!({"na": "n1"}))
            .await?;
        let root = json!({"email": email, "name": "Root", "password": PASSWORD});
        let step = json!({"session": slot["session"], "nb": slot["nb"], "root": root});
        self.done(Method::POST, "/v1/root", &step).await.map(drop)
    }

    /// Signs in with the usual password.
    ///
    /// # Errors
    /// When they are not let in.
    pub async fn sign_in(&self, email: &str) -> Result<Self> {
        let login = json!({"email": email, "password": PASSWORD});
        let tokens = self.done(Method::POST, "/v1/login", &login).await?;
        let token = tokens["access_token"]
            .as_str()
            .context("a token comes with a login")?;
        let id = tokens["user"]["id"].as_str().context("so does the user")?;
        ensure!(!token.is_empty());
        Ok(Self {
            token: Some(token.to_owned()),
            id: id.to_owned(),
            ..self.clone()
        })
    }

    /// Creates somebody, who signs in at once.
    ///
    /// # Errors
    /// When they cannot be.
    pub async fn create(&self, kind: &str, email: &str) -> Result<Self> {
        let new = json!({"kind": kind, "email": email, "name": kind, "password": PASSWORD});
        self.done(Method::POST, "/v1/users", &new).await?;
        self.sign_in(email).await
    }

    /// The same person at services that listen elsewhere now.
    #[must_use]
    pub fn at(&self, url: &str) -> Self {
        Self {
            url: url.to_owned(),
            ..self.clone()
        }
    }
}

/// The events in the ledger, by the collection of each participant.
///
/// # Errors
/// When the ledger does not answer.
pub async fn bitacoras(http: &Http) -> Result<BTreeMap<String, Vec<Value>>> {
    let listed = http.get("/app/collections").await?;
    let listed: Value = serde_json::from_slice(&listed.body)?;
    let names = listed["collections"]
        .as_array()
        .context("there is a list")?
        .iter();
    let names = names.filter_map(|one| one["collectionId"].as_str());
    let mut all = BTreeMap::new();
    for name in names.filter(|name| name.starts_with("bitacora:")) {
        let mut events = Vec::new();
        let mut path = format!("/app/transactions?collectionId={name}");
        loop {
            let page = http.get(&path).await?;
            let page: Value = serde_json::from_slice(&page.body)?;
            for entry in page["entries"].as_array().context("there are entries")? {
                let contents = entry["contents"]
                    .as_str()
                    .context("entries have contents")?;
                events.push(serde_json::from_str(contents)?);
            }
            match page["nextLink"].as_str() {
                Some(next) => path = next.to_owned(),
                None => break,
            }
        }
        all.insert(name.to_owned(), events);
    }
    Ok(all)
}
