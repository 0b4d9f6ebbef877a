//! Who the companies are at the audit: an account each.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Error;
use crate::directory::{Role, companies};
use crate::gateway::{self, Address};

/// An account.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// By which one logs in.
    pub email: String,
    /// Its password.
    pub password: String,
    /// The user's id: whom events name.
    pub id: String,
}

/// No password gets into a log.
impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account")
            .field("email", &self.email)
            .finish_non_exhaustive()
    }
}

/// The accounts of the five, and those of who made them, if we did.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accounts {
    /// The root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Account>,
    /// The administrator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub administrator: Option<Account>,
    /// The farmer.
    pub farmer: Account,
    /// The packer.
    pub packer: Account,
    /// The carrier.
    pub carrier: Account,
    /// The merchant.
    pub merchant: Account,
    /// The consumers' association.
    pub consumer: Account,
}

impl Accounts {
    /// Makes them all at services that are new: root, administrator, and the five.
    ///
    /// # Errors
    /// There is a root already, or the gateway does not answer.
    pub async fn found(address: &Address) -> Result<Self, Error> {
        let client = gateway::client(address)?;
        let url = address.url.as_str();
        let post = async |path: &str, token: Option<&str>, body: Value| {
            gateway::done(&client, url, Method::POST, path, token, &body).await
        };
        let mut root = new_account("root")?;
        let slot = post("/v1/root/slot", None, json!({"na": password()?})).await?;
        let named = json!({"email": root.email, "name": "Root", "password": root.password});
        let step = json!({"session": slot["session"], "nb": slot["nb"], "root": named});
        root.id = id(&post("/v1/root", None, step).await?);
        let make = async |creator: &Account, kind: &str, word: &str, name: &str| {
            let tokens = gateway::log_in(&client, url, creator).await?;
            let mut account = new_account(word)?;
            let mut new = json!({
                "kind": kind, "name": name, "email": account.email, "password": account.password,
            });
            if word == Role::Consumer.word() {
                // The association records nothing, and cannot.
                new["grants"] = json!(["loginUser", "readData"]);
            }
            account.id = id(&post("/v1/users", tokens["access_token"].as_str(), new).await?);
            Ok::<_, Error>(account)
        };
        let administrator = make(&root, "administrator", "administrator", "Administrator").await?;
        let mut five = Vec::new();
        for (role, name) in companies() {
            five.push(make(&administrator, "tuser", role.word(), name).await?);
        }
        let five: [Account; 5] = five
            .try_into()
            .map_err(|_| Error::Accounts("there are not five".to_owned()))?;
        let [farmer, packer, carrier, merchant, consumer] = five;
        Ok(Self {
            root: Some(root),
            administrator: Some(administrator),
            farmer,
            packer,
            carrier,
            merchant,
            consumer,
        })
    }

    /// Reads them from a file.
    ///
    /// # Errors
    /// It cannot be read, or has not all five.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(Error::file(path))?;
        serde_json::from_str(&text).map_err(|error| {
            Error::Accounts(format!("{} has not the accounts: {error}", path.display()))
        })
    }

    /// Writes them to a file that nobody else may read.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        let mut file = options.open(path).map_err(Error::file(path))?;
        file.write_all(text.as_bytes()).map_err(Error::file(path))
    }

    /// The account of one of the five.
    pub const fn of(&self, role: Role) -> &Account {
        match role {
            Role::Farmer => &self.farmer,
            Role::Packer => &self.packer,
            Role::Carrier => &self.carrier,
            Role::Merchant => &self.merchant,
            Role::Consumer => &self.consumer,
        }
    }
}

fn new_account(word: &str) -> Result<Account, Error> {
    Ok(Account {
        email: format!("audit@{word}.example"),
        password: password()?,
        id: String::new(),
    })
}

fn password() -> Result<String, Error> {
    let mut bytes = [0; 18];
    let drawn = aws_lc_rs::rand::fill(&mut bytes);
    drawn.map_err(|_| Error::Accounts("no password can be drawn".to_owned()))?;
    Ok(hex::encode(bytes))
}

fn id(user: &Value) -> String {
    user["id"].as_str().unwrap_or_default().to_owned()
}
