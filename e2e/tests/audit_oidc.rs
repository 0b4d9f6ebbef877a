//! Signing in by an identity provider that nobody of us wrote (npm `oidc-provider`), by its own forms.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, ensure};
use e2e::{Audit, Browser, Client, Ledger, Person, Provider};
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Method, Response, Url};
use serde_json::{Value, json};

/// The services with a provider, and somebody who looks after their users.
struct Town {
    ledger: Ledger,
    audit: Audit,
    provider: Provider,
    /// Where the provider sends browsers back to.
    back: String,
}

impl Town {
    async fn start() -> Result<(Self, Person, Vec<Person>)> {
        let ledger = Ledger::start()?;
        let folder = ledger.scratch()?.join("audit");
        let mut audit = Audit::start(&folder, ledger.ready())?;
        let (_, admin, people) = audit.people(2).await?;
        let visitor = audit.visitor()?;
        let said = visitor.done(Method::GET, "/v1/oidc", &Value::Null).await?;
        ensure!(said == json!({"available": false}), "{said}");
        let (status, _) = visitor
            .call(Method::GET, "/v1/oidc/start", &Value::Null)
            .await?;
        ensure!(status == 404, "{status}");
        // What is registered at the provider is where the services are.
        let url = audit.ready().url.clone();
        let back = format!("{url}/oidc");
        let provider = Provider::start(&back)?;
        let secret = folder.join("secret");
        fs::write(&secret, "a secret of e2e\n")?;
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600))?;
        audit.kill()?;
        audit.configure(&format!(
            "public_url = \"{url}\"\n[oidc]\nname = \"Acme & Sons\"\nissuer = \"{}\"\n\
             client_id = \"counterfoil\"\nclient_secret_file = \"secret\"\n",
            provider.issuer
        ))?;
        audit.start_again(ledger.ready())?;
        let town = Self {
            ledger,
            audit,
            provider,
            back,
        };
        Ok((town, admin, people))
    }

    /// A browser is sent to the provider. Returns where, and the cookie that it keeps.
    async fn leave(&self) -> Result<(String, String)> {
        let start = self.browse("/v1/oidc/start", "same-origin").await?;
        ensure!(start.status() == 303, "{}", start.status());
        let cookie = start.headers()[SET_COOKIE].to_str()?;
        for part in [
            "__Host-",
            "; Path=/;",
            "Secure",
            "HttpOnly",
            "SameSite=Strict",
        ] {
            ensure!(cookie.contains(part), "{part}: {cookie}");
        }
        ensure!(!cookie.contains("Domain"), "{cookie}");
        let pair = cookie.split(';').next().unwrap_or_default();
        let to = start.headers()[LOCATION].to_str()?;
        ensure!(to.starts_with(&self.provider.issuer), "{to}");
        Ok((to.to_owned(), pair.to_owned()))
    }

    /// Goes to a page of the services, as a link on a page of this site does.
    async fn browse(&self, path: &str, site: &str) -> Result<Response> {
        let pem = fs::read(&self.audit.ready().certificate)?;
        let client = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(&pem)?])
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        let url = format!("{}{path}", self.audit.ready().url);
        let request = client.get(url).header("sec-fetch-site", site);
        Ok(request.send().await?)
    }

    /// The whole way of somebody in a browser. Returns what the page would give the services, and the cookie.
    async fn come_back(&self, browser: &mut Browser, name: &str) -> Result<(Value, String)> {
        let (to, cookie) = self.leave().await?;
        let url = browser.sign_in(&to, name, &self.back).await?;
        Ok((returned(&url)?, cookie))
    }

    /// What the page `/oidc` does.
    async fn finish(&self, back: &Value, cookie: &str) -> Result<(u16, Value)> {
        let visitor = self.audit.visitor()?;
        let request = visitor.request(Method::POST, "/v1/oidc/session");
        let answer = request.header(COOKIE, cookie).json(back).send().await?;
        let status = answer.status().as_u16();
        let forgets = answer.headers()[SET_COOKIE].to_str()?.contains("Max-Age=0");
        ensure!(forgets, "{status}: the cookie is used up");
        Ok((status, answer.json().await?))
    }

    async fn sign_in(&self, name: &str) -> Result<(u16, Value)> {
        let (back, cookie) = self.come_back(&mut Browser::new()?, name).await?;
        self.finish(&back, &cookie).await
    }
}

fn returned(url: &Url) -> Result<Value> {
    let one = |name: &str| url.query_pairs().find(|(found, _)| found == name);
    let text = |name: &str| Some(one(name)?.1.into_owned());
    let (code, state) = (text("code"), text("state"));
    Ok(json!({
        "code": code.with_context(|| format!("no code in {url}"))?,
        "state": state.with_context(|| format!("no state in {url}"))?,
        "iss": text("iss").context("it says who it is")?,
    }))
}

fn refused(answer: &(u16, Value), status: u16, kind: &str) -> Result<()> {
    ensure!(answer.0 == status && answer.1["type"] == kind, "{answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_provider_says_who_somebody_is() -> Result<()> {
    let (town, admin, people) = Town::start().await?;
    let visitor = town.audit.visitor()?;
    let said = visitor.done(Method::GET, "/v1/oidc", &Value::Null).await?;
    ensure!(
        said == json!({"available": true, "name": "Acme & Sons"}),
        "{said}"
    );
    let page = town.browse("/", "none").await?;
    let policy = page.headers()["content-security-policy"]
        .to_str()?
        .to_owned();
    ensure!(
        policy.contains("form-action 'self'") && !policy.contains("127.0.0.1"),
        "{policy}"
    );
    let page = page.text().await?;
    ensure!(page.contains("Sign in with Acme &amp; Sons</a>"), "{page}");

    // Known, and not allowed; not known at all; the root.
    for name in ["user0", "stranger", "root"] {
        refused(&town.sign_in(name).await?, 403, "NotLinked")?;
    }
    let allow = format!("/v1/users/{}/oidc", people[0].id);
    let user = admin.done(Method::PUT, &allow, &Value::Null).await?;
    ensure!(user["oidc"] == json!({"state": "allowed"}), "{user}");
    let mut browser = Browser::new()?;
    let (back, cookie) = town.come_back(&mut browser, "user0").await?;
    let (status, tokens) = town.finish(&back, &cookie).await?;
    ensure!(status == 200, "{status} {tokens}");
    ensure!(tokens["user"]["id"] == people[0].id.as_str(), "{tokens}");
    // They are ours, and none of the provider's comes along.
    let login = json!({"email": "user1@example.org", "password": "correct horse battery"});
    let usual = visitor.done(Method::POST, "/v1/login", &login).await?;
    let fields = |tokens: &Value| Some(tokens.as_object()?.keys().cloned().collect::<Vec<_>>());
    ensure!(fields(&tokens) == fields(&usual), "{tokens}");
    let linked = json!({"state": "linked", "issuer": town.provider.issuer, "subject": "user0"});
    ensure!(tokens["user"]["oidc"] == linked, "{tokens}");
    let token = tokens["access_token"].as_str().context("a token")?;
    let who = visitor
        .request(Method::GET, "/v1/session")
        .bearer_auth(token);
    let who: Value = who.send().await?.json().await?;
    ensure!(who["id"] == people[0].id.as_str(), "{who}");
    let renewal = json!({"refresh_token": tokens["refresh_token"]});
    visitor.done(Method::POST, "/v1/renew", &renewal).await?;
    // The same answer again is none.
    refused(&town.finish(&back, &cookie).await?, 400, "SignInNotBegun")?;

    // The next time the provider asks this browser nothing, and nothing is linked.
    let (back, cookie) = town.come_back(&mut browser, "user0").await?;
    let (status, tokens) = town.finish(&back, &cookie).await?;
    ensure!(status == 200, "{status} {tokens}");
    let logs = format!("/v1/logs?record=user-{}", people[0].id);
    let logs = admin.done(Method::GET, &logs, &Value::Null).await?;
    let logs = logs["logs"].as_array().context("there are logs")?;
    let did: Vec<_> = logs
        .iter()
        .map(|log| &log["event"]["what"]["did"])
        .collect();
    ensure!(did == ["linkOidc", "allowOidc", "createTUser"], "{did:?}");

    // Taken away, it is gone.
    admin.done(Method::DELETE, &allow, &Value::Null).await?;
    refused(&town.sign_in("user0").await?, 403, "NotLinked")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_signed_in_by_anothers_answer_or_without_having_asked() -> Result<()> {
    let (town, admin, people) = Town::start().await?;
    for person in &people {
        let allow = format!("/v1/users/{}/oidc", person.id);
        admin.done(Method::PUT, &allow, &Value::Null).await?;
    }
    // A page of another site sends a browser off: to our first page, and no further.
    for site in ["cross-site", "same-site"] {
        let answer = town.browse("/v1/oidc/start", site).await?;
        let headers = answer.headers();
        ensure!(answer.status() == 303 && headers[LOCATION] == "/", "{site}");
        ensure!(!headers.contains_key(SET_COOKIE), "{site}");
    }
    // An attacker brings a victim's browser their own answer, with all its parts or some.
    let (attackers, their_cookie) = town.come_back(&mut Browser::new()?, "user0").await?;
    let (_, victims_cookie) = town.leave().await?;
    let answer = town.finish(&attackers, &victims_cookie).await?;
    refused(&answer, 400, "SignInNotBegun")?;
    let (own, own_cookie) = town.come_back(&mut Browser::new()?, "user1").await?;
    let mut mixed = own.clone();
    mixed["code"] = attackers["code"].clone();
    refused(
        &town.finish(&mixed, &own_cookie).await?,
        401,
        "Unauthenticated",
    )?;
    let mut elsewhere = attackers.clone();
    elsewhere["iss"] = json!("https://evil.example");
    let answer = town.finish(&elsewhere, &their_cookie).await?;
    refused(&answer, 400, "SignInNotBegun")?;
    // Nor does an answer count without the cookie, or from a page of another site; and it is not lost by that.
    let (fresh, cookie) = town.come_back(&mut Browser::new()?, "user0").await?;
    let visitor = town.audit.visitor()?;
    let request = visitor
        .request(Method::POST, "/v1/oidc/session")
        .json(&fresh);
    let without: Value = request.send().await?.json().await?;
    ensure!(without["type"] == "SignInNotBegun", "{without}");
    let foreign = visitor
        .request(Method::POST, "/v1/oidc/session")
        .json(&fresh);
    let foreign = foreign
        .header(COOKIE, &cookie)
        .header("sec-fetch-site", "cross-site");
    ensure!(foreign.send().await?.status() == 403);
    let (status, said) = town.finish(&fresh, &cookie).await?;
    ensure!(status == 200, "{status} {said}");
    // Nobody has found out that this address is theirs.
    admin.create("tuser", "eve@example.org").await?;
    refused(&town.sign_in("eve").await?, 403, "EmailUnverified")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_goes_to_the_provider_and_comes_back_signed_in() -> Result<()> {
    let (town, admin, people) = Town::start().await?;
    for person in &people {
        let allow = format!("/v1/users/{}/oidc", person.id);
        admin.done(Method::PUT, &allow, &Value::Null).await?;
    }
    let token = people[1].token().context("a user is signed in")?;
    let users = format!("user0 user1 {token}");
    let url = town.audit.ready().url.as_str();
    let more = [("E2E_AUDIT", url), ("E2E_USERS", users.as_str())];
    Client::NodeWith("pages").run_with("oidc.mjs", &[], &more, &town.ledger)
}
