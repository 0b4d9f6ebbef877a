//! Asking the audit services, as somebody or as a visitor.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use audit::gateway::{Answers, BulkAnswer};
use reqwest::header::RETRY_AFTER;
use reqwest::{Certificate, Client, Response, StatusCode, redirect};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::table::Row;
use crate::report::Failure;

/// The environment variable with an access token, and that with a password: arguments are seen by every user
/// of a machine.
const TOKEN: &str = "COUNTERFOIL_AUDIT_TOKEN";
const PASSWORD: &str = "COUNTERFOIL_AUDIT_PASSWORD";

/// No answer takes so long unless the services hang.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often a request is sent again that came too soon.
const ATTEMPTS: u32 = 10;

/// The longest time that the services make one wait.
const WAIT_MAX: u64 = 60;

/// Which services, and as whom.
#[derive(clap::Args, Debug, Clone)]
#[command(next_help_heading = "Services")]
pub(super) struct AccountArgs {
    /// Where the gateway is.
    #[arg(
        long,
        env = "COUNTERFOIL_AUDIT_URL",
        default_value = "https://127.0.0.1:8444"
    )]
    url: String,
    /// The certificate that it shows (PEM), in place of those that this machine trusts.
    #[arg(long, env = "COUNTERFOIL_AUDIT_CERTIFICATE", value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Sign in with this address; the password is in --password-file or COUNTERFOIL_AUDIT_PASSWORD. Without
    /// it, COUNTERFOIL_AUDIT_TOKEN is an access token, or one is a visitor.
    #[arg(long, env = "COUNTERFOIL_AUDIT_EMAIL")]
    email: Option<String>,
    /// A file with the password.
    #[arg(long, value_name = "FILE", requires = "email")]
    password_file: Option<PathBuf>,
}

/// The services.
pub(super) struct Service {
    client: Client,
    url: String,
    login: Option<Login>,
    token: Option<Zeroizing<String>>,
}

struct Login {
    email: String,
    password: Zeroizing<String>,
}

impl Service {
    /// Signs in.
    pub(super) async fn connect(account: &AccountArgs) -> Result<Self> {
        let mut client = Client::builder()
            .timeout(PATIENCE)
            .redirect(redirect::Policy::none());
        if let Some(path) = &account.certificate {
            let pem = std::fs::read(path).map_err(Failure::reading(path))?;
            client = client.tls_certs_only([Certificate::from_pem(&pem)?]);
        }
        let mut service = Self {
            client: client.build()?,
            url: account.url.trim_end_matches('/').to_owned(),
            login: account.login()?,
            token: secret(TOKEN),
        };
        if service.login.is_some() {
            service.sign_in().await?;
        }
        Ok(service)
    }

    async fn sign_in(&mut self) -> Result<()> {
        let Some(login) = &self.login else {
            bail!("the access token is not good any more: sign in with --email");
        };
        let body = json!({"email": login.email, "password": *login.password});
        let answer = self.send("/v1/login", &body).await?;
        let said: Value = read(answer).await.context("signing in")?;
        let token = said["access_token"].as_str();
        self.token = token.map(|token| Zeroizing::new(token.to_owned()));
        Ok(())
    }

    /// What is said of these rows, in their order.
    pub(super) async fn ask(&mut self, rows: &[Row]) -> Result<Vec<BulkAnswer>> {
        let questions = rows
            .iter()
            .map(|row| json!({"record": row.record, "data": row.data}));
        let body = json!({"questions": questions.collect::<Vec<_>>()});
        let mut answer = self.send("/v1/consult/bulk", &body).await?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            // Access tokens are short-lived, and tables long.
            self.sign_in().await?;
            answer = self.send("/v1/consult/bulk", &body).await?;
        }
        let said: Answers = read(answer).await?;
        if said.answers.len() != rows.len() {
            bail!(
                "{} rows were asked about, and {} answered",
                rows.len(),
                said.answers.len()
            );
        }
        Ok(said.answers)
    }

    async fn send(&self, path: &str, body: &Value) -> Result<Response> {
        for attempt in 1.. {
            let mut request = self.client.post(format!("{}{path}", self.url)).json(body);
            if let Some(token) = self.token.as_ref().filter(|_| path != "/v1/login") {
                request = request.bearer_auth(token.as_str());
            }
            let answer = request.send().await.with_context(|| {
                format!(
                    "asking the audit services at {}; are they running?",
                    self.url
                )
            })?;
            if answer.status() != StatusCode::TOO_MANY_REQUESTS || attempt == ATTEMPTS {
                return Ok(answer);
            }
            let wait = answer.headers().get(RETRY_AFTER);
            let wait = wait.and_then(|wait| wait.to_str().ok()?.parse().ok());
            let wait = Duration::from_secs(wait.unwrap_or(1).clamp(1, WAIT_MAX));
            tokio::time::sleep(wait).await;
        }
        unreachable!("it returns at the last attempt")
    }
}

impl AccountArgs {
    fn login(&self) -> Result<Option<Login>> {
        let Some(email) = self.email.clone() else {
            return Ok(None);
        };
        let password = match &self.password_file {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(Failure::reading(path))?;
                Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned())
            }
            None => secret(PASSWORD).ok_or_else(|| {
                Failure::unreadable(format!("whoever signs in needs a password for {email}")).hint(
                    format!("say --password-file FILE, or put it into {PASSWORD}"),
                )
            })?,
        };
        Ok(Some(Login { email, password }))
    }
}

fn secret(name: &str) -> Option<Zeroizing<String>> {
    let value = std::env::var(name).ok()?;
    (!value.is_empty()).then(|| Zeroizing::new(value))
}

async fn read<T: serde::de::DeserializeOwned>(answer: Response) -> Result<T> {
    let status = answer.status();
    let body = answer.bytes().await?;
    if status.is_success() {
        return serde_json::from_slice(&body).context("the services answered with something else");
    }
    let problem = serde_json::from_slice::<audit::Problem>(&body);
    match problem {
        Ok(problem) => bail!("the services refused it: {}", problem.detail),
        Err(_) => bail!("the services answered {status}"),
    }
}
