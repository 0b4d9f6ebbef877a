//! An identity provider that nobody of us wrote (npm `oidc-provider`), and a browser of few words that signs in
//! there.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, Url};
use serde_json::Value;

use crate::cache;
use crate::server::first_line;

const READY_WITHIN: Duration = Duration::from_secs(60);

/// A login, a consent, and the ways between them are fewer.
const STEPS_MAX: usize = 20;

/// The provider. Dropping it ends it.
#[derive(Debug)]
pub struct Provider {
    process: Child,
    /// Its name.
    pub issuer: String,
}

impl Provider {
    /// Starts one that sends browsers back to an address.
    ///
    /// # Errors
    /// When it does not say that it is ready.
    pub fn start(redirect_uri: &str) -> Result<Self> {
        let packages = cache()?.join("apps");
        ensure!(
            packages.join("node_modules/oidc-provider").is_dir(),
            "oidc-provider is missing: run `cargo xtask test e2e`"
        );
        let scripts = std::env::var_os("CARGO_MANIFEST_DIR").context("run it with cargo")?;
        let mut process = Command::new("node")
            .arg(Path::new(&scripts).join("apps/provider.mjs"))
            .arg(redirect_uri)
            .env("E2E_PACKAGES", packages)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("starting oidc-provider")?;
        let stdout = process.stdout.take().expect("standard output is a pipe");
        let mut provider = Self {
            process,
            issuer: String::new(),
        };
        let line = first_line(stdout).recv_timeout(READY_WITHIN)??;
        let ready: Value = serde_json::from_str(&line)?;
        let issuer = ready["issuer"].as_str().context("it says who it is")?;
        issuer.clone_into(&mut provider.issuer);
        Ok(provider)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A browser at the provider: it keeps its cookies, follows it, and fills in its forms.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    /// One that was never there.
    ///
    /// # Errors
    /// When there is no client.
    pub fn new() -> Result<Self> {
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self {
            client,
            cookies: BTreeMap::new(),
        })
    }

    /// Goes where the services send it, and signs in under a name. Returns where the provider sends it back to.
    ///
    /// # Errors
    /// When the provider shows something else than its forms.
    pub async fn sign_in(&mut self, start: &str, name: &str, back: &str) -> Result<Url> {
        let mut url = Url::parse(start)?;
        let mut form = None;
        for _ in 0..STEPS_MAX {
            if url.as_str().starts_with(back) {
                return Ok(url);
            }
            let answer = self.open(&url, form.take()).await?;
            let status = answer.status();
            if status.is_redirection() {
                url = url.join(answer.headers()[LOCATION].to_str()?)?;
                continue;
            }
            let page = answer.text().await?;
            ensure!(status.is_success(), "{url}: {status} {page}");
            url = url.join(between(&page, "action=\"", "\"")?)?;
            let prompt = between(&page, "name=\"prompt\" value=\"", "\"")?;
            form = Some(format!("prompt={prompt}&login={name}&password=any"));
        }
        bail!("the provider sends a browser round and round")
    }

    async fn open(&mut self, url: &Url, form: Option<String>) -> Result<reqwest::Response> {
        let request = match form {
            Some(form) => {
                let kind = "application/x-www-form-urlencoded";
                let request = self.client.post(url.clone());
                request.header("content-type", kind).body(form)
            }
            None => self.client.get(url.clone()),
        };
        let cookies = self.cookies.iter();
        let cookies: Vec<_> = cookies
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let answer = request.header(COOKIE, cookies.join("; ")).send().await?;
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let pair = cookie.to_str()?.split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').context("a cookie has a name")?;
            match value {
                "" => self.cookies.remove(name),
                value => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        Ok(answer)
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Result<&'a str> {
    let (_, rest) = text
        .split_once(before)
        .with_context(|| format!("no {before} in {text}"))?;
    rest.split(after).next().context("it has an end")
}
