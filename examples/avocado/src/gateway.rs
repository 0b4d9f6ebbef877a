//! The audit's gateway, as a company that has an account there uses it.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use reqwest::{Certificate, Client};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::Error;
use crate::accounts::Account;

/// A lost leader of the ledger is replaced in a few seconds; longer nobody waits for one answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often is asked again while the ledger cannot answer, and how soon.
const TRIES: u32 = 120;
const PAUSE: Duration = Duration::from_millis(250);

/// Where the gateway is, and how it is recognised.
#[derive(Debug, Clone)]
pub struct Address {
    /// `https://host:port`
    pub url: String,
    /// The certificate that it shows, PEM.
    pub certificate: String,
}

/// The gateway, asked in one user's name.
#[derive(Debug, Clone)]
pub struct Gateway {
    client: Client,
    url: Arc<str>,
    account: Account,
    token: Arc<Mutex<Option<String>>>,
}

/// What the gateway says about data.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Consulted {
    /// valid, altered, unknown, pending or not_permitted.
    pub verdict: String,
    /// Where it differs, JSON pointers.
    #[serde(default)]
    pub fields: Vec<String>,
    /// The event: who, what, where, when, how.
    #[serde(default)]
    pub event: Value,
    /// The salt of its hash.
    #[serde(default)]
    pub salt: Option<String>,
    /// Its transaction.
    #[serde(default)]
    pub transaction_address: Option<String>,
    /// Its log.
    #[serde(default)]
    pub contract_address: Option<String>,
    /// The receipt.
    #[serde(default)]
    pub receipt: Value,
}

impl Consulted {
    /// The receipt as every verifier of receipts reads it, and beside it what the audit alone knows:
    /// `counterfoil verify` takes it as it is.
    pub fn proof(&self, data: &Value) -> Value {
        let mut proof = self.receipt.clone();
        if let Some(proof) = proof.as_object_mut() {
            let audit = json!({
                "event": self.event,
                "transactionAddress": self.transaction_address,
                "contractAddress": self.contract_address,
                "salt": self.salt,
                "data": data,
            });
            proof.insert("audit".to_owned(), audit);
        }
        proof
    }
}

impl Gateway {
    /// The gateway for somebody with this account. Nothing is asked yet.
    ///
    /// # Errors
    /// The certificate is none.
    pub fn new(address: &Address, account: Account) -> Result<Self, Error> {
        Ok(Self {
            client: client(address)?,
            url: address.url.trim_end_matches('/').into(),
            account,
            token: Arc::default(),
        })
    }

    /// Who asks.
    pub fn user(&self) -> &str {
        &self.account.id
    }

    /// Stores the events of an EPCIS document.
    ///
    /// # Errors
    /// It is refused, one of its events could not be stored, or nobody answers.
    pub async fn capture(&self, document: &Value) -> Result<(), Error> {
        let mut tries = TRIES;
        loop {
            let job = self.ask(Method::POST, "/capture", document).await?;
            if job["success"] == true {
                return Ok(());
            }
            // What is pending will be there; an event that is sent again is stored once.
            let errors = job["errors"].as_array().map_or(&[][..], Vec::as_slice);
            let passing = |error: &Value| matches!(error["status"].as_u64(), Some(429 | 503));
            if tries == 0 || !errors.iter().all(passing) {
                return Err(Error::Refused {
                    what: "POST /capture".to_owned(),
                    status: 202,
                    said: job["errors"].to_string(),
                });
            }
            tries -= 1;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Asks whether data is what a record has.
    ///
    /// # Errors
    /// It is refused, or nobody answers.
    pub async fn consult(&self, record: &str, data: &Value) -> Result<Consulted, Error> {
        let question = json!({"record": record, "data": data});
        let said = self.ask(Method::POST, "/v1/consult", &question).await?;
        serde_json::from_value(said).map_err(|error| Error::Event(error.to_string()))
    }

    /// Asks for anything, and gives back what was answered with success.
    ///
    /// # Errors
    /// It is refused, or nobody answers.
    pub async fn ask(&self, method: Method, path: &str, body: &Value) -> Result<Value, Error> {
        let mut tries = TRIES;
        loop {
            let token = self.token().await?;
            let method = method.clone();
            let (status, said) = send(
                &self.client,
                &self.url,
                method.clone(),
                path,
                Some(&token),
                body,
            )
            .await?;
            match status {
                200..300 => return Ok(said),
                // Tokens last some minutes. A new login's token is good.
                401 if tries > 0 => self.forget(&token).await,
                429 | 503 if tries > 0 => tokio::time::sleep(PAUSE).await,
                _ => return Err(refused(&method, path, status, &said)),
            }
            tries -= 1;
        }
    }

    async fn token(&self) -> Result<String, Error> {
        // One login for all who wait here.
        let mut token = self.token.lock().await;
        if let Some(token) = &*token {
            return Ok(token.clone());
        }
        let said = log_in(&self.client, &self.url, &self.account).await?;
        let new = said["access_token"].as_str().unwrap_or_default().to_owned();
        *token = Some(new.clone());
        Ok(new)
    }

    async fn forget(&self, old: &str) {
        let mut token = self.token.lock().await;
        if token.as_deref() == Some(old) {
            *token = None;
        }
    }
}

/// Somebody's login: tokens, and who they are.
pub(crate) async fn log_in(client: &Client, url: &str, account: &Account) -> Result<Value, Error> {
    let login = json!({"email": account.email, "password": account.password});
    done(client, url, Method::POST, "/v1/login", None, &login).await
}

/// A client that believes this certificate and no other.
pub(crate) fn client(address: &Address) -> Result<Client, Error> {
    let certificate = Certificate::from_pem(address.certificate.as_bytes());
    let client = certificate.and_then(|certificate| {
        Client::builder()
            .tls_certs_only([certificate])
            .timeout(PATIENCE)
            .no_proxy()
            .build()
    });
    client.map_err(Error::Unreachable)
}

/// Asks, and expects success.
pub(crate) async fn done(
    client: &Client,
    url: &str,
    method: Method,
    path: &str,
    token: Option<&str>,
    body: &Value,
) -> Result<Value, Error> {
    match send(client, url, method.clone(), path, token, body).await? {
        (200..300, said) => Ok(said),
        (status, said) => Err(refused(&method, path, status, &said)),
    }
}

async fn send(
    client: &Client,
    url: &str,
    method: Method,
    path: &str,
    token: Option<&str>,
    body: &Value,
) -> Result<(u16, Value), Error> {
    let mut request = client.request(method, format!("{url}{path}"));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if !body.is_null() {
        request = request.json(body);
    }
    let answer = request.send().await.map_err(Error::Unreachable)?;
    let status = answer.status().as_u16();
    let body = answer.bytes().await.map_err(Error::Unreachable)?;
    Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
}

fn refused(method: &Method, path: &str, status: u16, said: &Value) -> Error {
    Error::Refused {
        what: format!("{method} {path}"),
        status,
        said: said.to_string(),
    }
}
