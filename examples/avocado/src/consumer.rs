//! The consumers' association: its page for phones, and what it found out itself.
//!
//! The page follows a lot through the audit, asks each company what it says about it *today*, and compares
//! that in the browser with what the ledger's receipts prove. It comes from the association and not from whoever
//! is checked: neither the companies nor the audit's operator can make it say that all is well. Browsers let a page
//! ask its own host alone, so the association passes the questions on; it cannot make up an answer either, for every
//! verdict follows from a receipt and from the ledger's certificate.

use std::path::Path as Folder;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{Row as _, SqlitePool};

use crate::company::database;
use crate::directory::Role;
use crate::gateway::Gateway;
use crate::{Error, service};

/// Another company, as the association knows it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Partner {
    pub(crate) role: Role,
    pub(crate) name: &'static str,
    /// Its user's id in the audit.
    pub(crate) id: String,
    #[serde(skip)]
    pub(crate) url: String,
}

/// The association.
#[derive(Debug, Clone)]
pub struct Consumers {
    pool: SqlitePool,
    gateway: Gateway,
    partners: Arc<[Partner]>,
    anchor: Arc<Anchor>,
    client: reqwest::Client,
}

/// What the page checks with. The association gets it from the ledger's operator, and not from whoever is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// The ledger's service certificate, PEM.
    pub certificate: String,
    /// Where the audit's events are in contracts: the address of the root of their tree.
    pub root: Option<String>,
}

/// What the association found out about one event of a lot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The record.
    pub record: String,
    /// Whose it is.
    pub company: String,
    /// What the ledger says of what that company says today.
    pub verdict: String,
    /// Where they differ.
    pub fields: Vec<String>,
}

const TABLE: &str = "CREATE TABLE IF NOT EXISTS checks (resource TEXT NOT NULL, record TEXT NOT NULL, \
    company TEXT NOT NULL, verdict TEXT NOT NULL, fields TEXT NOT NULL, proof TEXT NOT NULL, \
    PRIMARY KEY (resource, record)) STRICT";

impl Consumers {
    /// Opens the association, with its database in a folder.
    ///
    /// # Errors
    /// The database cannot be opened.
    pub(crate) async fn open(
        folder: &Folder,
        gateway: Gateway,
        partners: Vec<Partner>,
        anchor: Anchor,
    ) -> Result<Self, Error> {
        let pool = database(folder, Role::Consumer).await?;
        sqlx::query(TABLE).execute(&pool).await?;
        Ok(Self {
            pool,
            gateway,
            partners: partners.into(),
            anchor: Arc::new(anchor),
            client: reqwest::Client::builder()
                .no_proxy()
                .build()
                .map_err(Error::Unreachable)?,
        })
    }

    /// Follows a resource back to the orchard, and asks of each event whether its company still says what it
    /// recorded. What was found is kept, with its proof.
    ///
    /// # Errors
    /// The audit or a company does not answer, or the database fails.
    pub async fn check(&self, resource: &str) -> Result<Vec<Check>, Error> {
        let trace = self.trace(resource).await?;
        let mut checks = Vec::new();
        for log in trace["logs"].as_array().into_iter().flatten() {
            let event = &log["event"];
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (record, who) = (text(&event["record"]), text(&event["who"]));
            let Some(partner) = self.partner(&who) else {
                continue;
            };
            let (verdict, fields, proof) = match self.claim(partner, &record).await? {
                Some(claim) => {
                    let said = self.gateway.consult(&record, &claim).await?;
                    let proof = said.proof(&claim);
                    (said.verdict, said.fields, proof)
                }
                None => ("unknown".to_owned(), Vec::new(), Value::Null),
            };
            let check = Check {
                record,
                company: partner.name.to_owned(),
                verdict,
                fields,
            };
            self.keep(resource, &check, &proof).await?;
            checks.push(check);
        }
        Ok(checks)
    }

    /// What was found out about a resource when it was last looked at.
    ///
    /// # Errors
    /// The database fails.
    pub async fn checked(&self, resource: &str) -> Result<Vec<Check>, Error> {
        let select = "SELECT record, company, verdict, fields FROM checks WHERE resource = $1";
        let rows = sqlx::query(select)
            .bind(resource.to_owned())
            .fetch_all(&self.pool)
            .await?;
        let read = rows.iter().map(|row| {
            let fields: String = row.try_get(3)?;
            Ok(Check {
                record: row.try_get(0)?,
                company: row.try_get(1)?,
                verdict: row.try_get(2)?,
                fields: serde_json::from_str(&fields).unwrap_or_default(),
            })
        });
        read.collect()
    }

    async fn keep(&self, resource: &str, check: &Check, proof: &Value) -> Result<(), Error> {
        let insert = sqlx::query(
            "INSERT OR REPLACE INTO checks (resource, record, company, verdict, fields, proof) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        );
        let insert = insert
            .bind(resource.to_owned())
            .bind(&check.record)
            .bind(&check.company)
            .bind(&check.verdict)
            .bind(json!(check.fields).to_string())
            .bind(proof.to_string());
        insert.execute(&self.pool).await?;
        Ok(())
    }

    async fn trace(&self, resource: &str) -> Result<Value, Error> {
        let path = format!("/v1/traces?resource={}", escaped(resource));
        self.gateway.ask(Method::GET, &path, &Value::Null).await
    }

    fn partner(&self, id: &str) -> Option<&Partner> {
        self.partners.iter().find(|partner| partner.id == id)
    }

    /// What a company says about a record today; `None` where it has no such row any more.
    async fn claim(&self, partner: &Partner, record: &str) -> Result<Option<Value>, Error> {
        let url = format!("{}/records/{}", partner.url, escaped(record));
        let failed = |error: reqwest::Error| Error::Company(partner.name, error.to_string());
        let answer = self.client.get(url).send().await.map_err(failed)?;
        match answer.status().as_u16() {
            200 => answer.json().await.map(Some).map_err(failed),
            404 => Ok(None),
            status => Err(Error::Company(partner.name, format!("it answers {status}"))),
        }
    }
}

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// What the association serves: the page, and the questions that the page asks.
pub(crate) fn routes(consumers: Consumers) -> Router {
    Router::new()
        .route("/", get(async || file("index.html")))
        .route("/01/{gtin}/10/{lot}", get(async || file("lot.html")))
        .route("/trace", get(async || file("lot.html")))
        .route(
            "/web/{file}",
            get(async |Path(name): Path<String>| file(&name)),
        )
        .route("/api/directory", get(directory))
        .route("/api/trace", get(trace))
        .route("/api/consult", post(consult))
        .route("/api/records/{record}", get(record))
        .route("/api/claims/{who}/{record}", get(claim))
        .route("/api/checks", post(check))
        .with_state(Arc::new(consumers))
}

type Here = State<Arc<Consumers>>;

/// Who is who, and what receipts are checked with.
async fn directory(State(consumers): Here) -> Json<Value> {
    let Anchor { certificate, root } = &*consumers.anchor;
    Json(json!({"companies": *consumers.partners, "serviceCertificate": certificate, "root": root}))
}

#[derive(Deserialize)]
struct Named {
    resource: String,
}

async fn trace(State(consumers): Here, Query(named): Query<Named>) -> Result<Json<Value>, Error> {
    consumers.trace(&named.resource).await.map(Json)
}

async fn consult(
    State(consumers): Here,
    Json(question): Json<Value>,
) -> Result<Json<Value>, Error> {
    consumers
        .gateway
        .ask(Method::POST, "/v1/consult", &question)
        .await
        .map(Json)
}

/// The data that the audit keeps of a record.
async fn record(State(consumers): Here, Path(record): Path<String>) -> Result<Json<Value>, Error> {
    let path = format!("/v1/records/{}", escaped(&record));
    consumers
        .gateway
        .ask(Method::GET, &path, &Value::Null)
        .await
        .map(Json)
}

async fn claim(
    State(consumers): Here,
    Path((who, record)): Path<(String, String)>,
) -> Result<Response, Error> {
    let Some(partner) = consumers.partner(&who) else {
        return Ok(service::nothing());
    };
    Ok(match consumers.claim(partner, &record).await? {
        Some(claim) => Json(claim).into_response(),
        None => service::nothing(),
    })
}

async fn check(
    State(consumers): Here,
    Json(named): Json<Named>,
) -> Result<Json<Vec<Check>>, Error> {
    consumers.check(&named.resource).await.map(Json)
}

/// The scripts that judge are those of the audit's own pages, taken from their sources when this is built.
const FILES: [(&str, &str, &str); 15] = [
    ("index.html", HTML, include_str!("../web/index.html")),
    ("lot.html", HTML, include_str!("../web/lot.html")),
    ("lot.js", SCRIPT, include_str!("../web/lot.js")),
    ("front.js", SCRIPT, include_str!("../web/front.js")),
    ("lot.css", STYLE, include_str!("../web/lot.css")),
    ("verify.js", SCRIPT, include_str!("../../../web/verify.js")),
    (
        "judge.js",
        SCRIPT,
        include_str!("../../../crates/audit/web/judge.js"),
    ),
    (
        "contracts.js",
        SCRIPT,
        include_str!("../../../crates/audit/web/contracts.js"),
    ),
    (
        "keccak.js",
        SCRIPT,
        include_str!("../../../crates/audit/web/keccak.js"),
    ),
    (
        "canonical.js",
        SCRIPT,
        include_str!("../../../crates/audit/web/canonical.js"),
    ),
    (
        "drawer.js",
        SCRIPT,
        include_str!("../../../crates/audit/web/drawer.js"),
    ),
    (
        "parts.js",
        SCRIPT,
        include_str!("../../../crates/audit/web/parts.js"),
    ),
    (
        "resource.js",
        SCRIPT,
        include_str!("../../../crates/audit/web/resource.js"),
    ),
    (
        "map.js",
        SCRIPT,
        include_str!("../../../crates/audit/web/map.js"),
    ),
    (
        "audit.css",
        STYLE,
        include_str!("../../../crates/audit/web/audit.css"),
    ),
];
const SHARED: [(&str, &str, &str); 2] = [
    ("style.css", STYLE, include_str!("../../../web/style.css")),
    ("icon.svg", "image/svg+xml", include_str!("../web/icon.svg")),
];
const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

fn file(name: &str) -> Response {
    let mut files = FILES.iter().chain(&SHARED);
    let Some((_, kind, text)) = files.find(|(known, ..)| *known == name) else {
        return service::nothing();
    };
    let headers = [
        (CONTENT_TYPE, *kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (StatusCode::OK, headers, *text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_the_page_names_is_served() {
        let all = || FILES.iter().chain(&SHARED);
        for (name, _, text) in all() {
            for before in ["\"/web/", "from \"./"] {
                for after in text.split(before).skip(1) {
                    let named = after.split('"').next().unwrap_or_default();
                    let is_served = all().any(|(known, ..)| *known == named);
                    assert!(is_served, "{name} names {named}");
                }
            }
        }
    }
}
