//! The OpenAPI document of the gateway, from this table of its routes and of the shapes that they take and
//! give.
//!
//! `crates/audit/openapi.json` is its golden copy: a change of the API shows in a diff.

use std::sync::LazyLock;

use ::openapi::{object, reference};
use axum::body::Bytes;
use axum::response::IntoResponse;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};

/// The document.
pub fn document() -> Value {
    let mut paths = Map::new();
    for shape in SHAPES {
        let path = paths.entry(shape.path).or_insert_with(|| json!({}));
        path[shape.method.to_lowercase()] = shape.operation();
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Counterfoil audit",
            "description": "Store who did what, where, when and how, and consult later whether a record \
                            is still what it was. Paths that are a GS1 Digital Link (/01/..., /00/...) \
                            are pages too.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
            },
        },
    })
}

/// `GET /openapi.json`
pub(super) async fn served() -> impl IntoResponse {
    static SERVED: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(document().to_string()));
    ([(CONTENT_TYPE, "application/json")], SERVED.clone())
}

/// The route that a request takes, as its method and its path with the names of its parts.
pub(crate) fn route(method: &str, path: &str) -> Option<(&'static str, &'static str)> {
    let shape = SHAPES
        .iter()
        .find(|shape| shape.method == method && fits(shape.path, path))?;
    Some((shape.method, shape.path))
}

/// All routes that are documented, and whether each asks who calls.
pub fn routes() -> impl Iterator<Item = (&'static str, &'static str, bool)> {
    SHAPES
        .iter()
        .map(|shape| (shape.method, shape.path, shape.needs == Needs::Token))
}

fn fits(template: &str, path: &str) -> bool {
    let mut parts = path.split('/');
    let fit = |known: &str| {
        parts
            .next()
            .is_some_and(|part| known == part || (known.starts_with('{') && !part.is_empty()))
    };
    template.split('/').all(fit) && parts.next().is_none()
}

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    /// An access token, unless the operator is open to visitors.
    Visitor,
    Token,
}

/// What a route takes and gives.
struct Shape {
    method: &'static str,
    path: &'static str,
    needs: Needs,
    about: &'static str,
    query: &'static [&'static str],
    takes: &'static str,
    gives: &'static str,
}

const fn shape(
    method: &'static str,
    path: &'static str,
    needs: Needs,
    about: &'static str,
    query: &'static [&'static str],
    takes: &'static str,
    gives: &'static str,
) -> Shape {
    Shape {
        method,
        path,
        needs,
        about,
        query,
        takes,
        gives,
    }
}

/// In the order of the gateway's routes. A `!` ends the names of query parameters that are required; `gives`
/// is a status, and a schema or a media type behind it.
#[rustfmt::skip]
const SHAPES: &[Shape] = &[
    shape("POST", "/v1/records", Needs::Token, "Record something new. Sent again with the same Idempotency-Key it is recorded once.", &[], "NewRecord", "201 Stored"),
    shape("GET", "/v1/records/{record}", Needs::Token, "A record as it is now.", &[], "", "200 Shown"),
    shape("PUT", "/v1/records/{record}", Needs::Token, "A new version of a record; the old ones stay.", &[], "NewRecord", "200 Stored"),
    shape("DELETE", "/v1/records/{record}", Needs::Token, "The record counts no more; its history stays.", &[], "", "200 Stored"),
    shape("GET", "/v1/records/{record}/versions/{version}", Needs::Visitor, "What proves a version of a record. It never changes: whoever has it asks with If-None-Match, and 304 says that they may keep it.", &[], "", "200 Evidence"),
    shape("POST", "/v1/consult", Needs::Visitor, "Whether a record is still what it was.", &[], "Question", "200 Consulted"),
    shape("POST", "/v1/consult/bulk", Needs::Visitor, "The same of many, answered in their order: a list, or one JSON a line (application/x-ndjson).", &[], "Questions", "200 Answers"),
    shape("GET", "/v1/logs", Needs::Token, "Events, the newest first, page by page.", &["who", "record", "resource", "how", "from", "to", "after", "limit"], "", "200 LogPage"),
    shape("GET", "/v1/traces", Needs::Visitor, "A resource through the events of all companies.", &["resource!", "direction"], "", "200 Trace"),
    shape("POST", "/v1/prepared/records", Needs::Token, "As to /v1/records, of those who keep their keys: gives the transaction to sign, and records nothing.", &[], "NewRecord", "201 Prepared"),
    shape("PUT", "/v1/prepared/records/{record}", Needs::Token, "The same for an update.", &[], "NewRecord", "201 Prepared"),
    shape("DELETE", "/v1/prepared/records/{record}", Needs::Token, "The same for a deletion.", &[], "", "201 Prepared"),
    shape("POST", "/v1/prepared/users", Needs::Token, "As to /v1/users, of those who keep their keys: gives the transaction to sign. The user counts once it is handed in.", &[], "NewUser", "201 PreparedUser"),
    shape("POST", "/v1/prepared/{prepared}", Needs::Token, "Records the event by the transaction that was signed. Sent again, it is recorded once. 200 for what is no new record; a User where one was prepared.", &[], "SignedTransaction", "201 Stored"),
    shape("POST", "/capture", Needs::Token, "The events of an EPCIS 2.0 document.", &[], "Anything", "202 CaptureJob"),
    shape("GET", "/capture/{job}", Needs::Token, "What has become of a document.", &[], "", "200 CaptureJob"),
    shape("GET", "/events", Needs::Token, "EPCIS events, with the parameters of the standard's simple event query.", &["perPage", "nextPageToken"], "", "200 Anything"),
    shape("GET", "/events/{event}", Needs::Token, "An EPCIS event by the hash that names it.", &[], "", "200 Anything"),
    shape("POST", "/v1/root/slot", Needs::Nothing, "The first step to being the root.", &[], "RootNonce", "200 RootSlot"),
    shape("POST", "/v1/root", Needs::Nothing, "The second step.", &[], "RootClaim", "201 User"),
    shape("POST", "/v1/register", Needs::Nothing, "A consumer registers, where the operator lets them.", &[], "NewUser", "201 User"),
    shape("POST", "/v1/login", Needs::Nothing, "Tokens for a password, and a code of a second factor.", &[], "Login", "200 Tokens"),
    shape("GET", "/v1/oidc", Needs::Nothing, "Whether one may sign in by an identity provider (OpenID Connect), and what it is called.", &[], "", "200 Provider"),
    shape("GET", "/v1/oidc/start", Needs::Nothing, "Sends a browser there, with a cookie to keep.", &[], "", "303"),
    shape("POST", "/v1/oidc/session", Needs::Nothing, "Tokens for what the provider sent a browser back to the page /oidc with, and the cookie.", &[], "Returned", "200 Tokens"),
    shape("POST", "/v1/oidc/totp", Needs::Nothing, "The same after TotpRequired, with a code of a second factor.", &[], "SecondFactor", "200 Tokens"),
    shape("POST", "/v1/renew", Needs::Nothing, "The next tokens for a refresh token, which is good once.", &[], "Renewal", "200 Tokens"),
    shape("POST", "/v1/logout", Needs::Token, "Ends the session.", &[], "", "204"),
    shape("GET", "/v1/session", Needs::Token, "Who one is.", &[], "", "200 User"),
    shape("GET", "/v1/keys", Needs::Nothing, "What access tokens are checked with (RFC 7517).", &[], "", "200 Anything"),
    shape("GET", "/v1/users", Needs::Token, "Oneself and those below, those whom one looks for, page by page.", &["find", "kind", "status", "parent", "granted", "order", "after", "limit"], "", "200 UserPage"),
    shape("POST", "/v1/users", Needs::Token, "Somebody new below oneself.", &[], "NewUser", "201 User"),
    shape("GET", "/v1/users/{user}", Needs::Token, "Somebody; with their account on the chain, if they have one.", &[], "", "200 User"),
    shape("PUT", "/v1/users/{user}", Needs::Token, "Another name, address or key.", &[], "UserChanges", "200 User"),
    shape("DELETE", "/v1/users/{user}", Needs::Token, "They can do nothing more, and what they did stays.", &[], "", "200 User"),
    shape("DELETE", "/v1/users/{user}/sessions", Needs::Token, "Ends all sessions of somebody.", &[], "", "204"),
    shape("DELETE", "/v1/users/{user}/totp", Needs::Token, "Takes the second factor away from somebody below who has lost it.", &[], "", "200 User"),
    shape("PUT", "/v1/users/{user}/oidc", Needs::Token, "Somebody below signs in by the identity provider: whoever it says their address belongs to becomes them, once.", &[], "", "200 User"),
    shape("DELETE", "/v1/users/{user}/oidc", Needs::Token, "They do not, or no longer.", &[], "", "200 User"),
    shape("PUT", "/v1/users/{user}/grants/{operation}", Needs::Token, "Grants somebody something.", &[], "", "200 User"),
    shape("DELETE", "/v1/users/{user}/grants/{operation}", Needs::Token, "Takes it back.", &[], "", "200 User"),
    shape("POST", "/v1/users/{user}/password-reset", Needs::Token, "A code for somebody below who has forgotten their password: shown once, good for an hour.", &[], "", "200 ResetCode"),
    shape("POST", "/v1/password-reset", Needs::Nothing, "A new password for such a code, which is good once.", &[], "Reset", "204"),
    shape("PUT", "/v1/password", Needs::Token, "A new password for the old one.", &[], "NewPassword", "204"),
    shape("POST", "/v1/totp", Needs::Token, "Begins a second factor: what an app reads.", &[], "", "200 Enrolled"),
    shape("PUT", "/v1/totp", Needs::Token, "From now on codes are asked for.", &[], "Code", "200 User"),
    shape("DELETE", "/v1/totp", Needs::Token, "Takes one's own second factor away.", &[], "Code", "200 User"),
    shape("GET", "/v1/permissions", Needs::Token, "The dictionary: what may be done, by which kinds of users.", &[], "", "200 Permissions"),
    shape("PUT", "/v1/permissions", Needs::Token, "Changes an entry of it.", &[], "Permission", "204"),
    shape("DELETE", "/v1/permissions/{operation}", Needs::Token, "Takes an entry out.", &[], "", "204"),
    shape("GET", "/v1/identity", Needs::Nothing, "What receipts are checked with: the ledger's service certificate, unless events go to a chain of others; and, where events are in contracts, the address of the root of their tree. Whoever wants to be sure gets both elsewhere.", &[], "", "200 Identity"),
    shape("GET", "/health", Needs::Nothing, "The database answers.", &[], "", "200 text/plain"),
    shape("GET", "/openapi.json", Needs::Nothing, "This document.", &[], "", "200 Anything"),
    shape("GET", "/", Needs::Nothing, "The first page.", &[], "", "200 text/html"),
    shape("GET", "/trace", Needs::Nothing, "The page of a resource.", &["resource"], "", "200 text/html"),
    shape("GET", "/label", Needs::Nothing, "The page that prints labels.", &["resource"], "", "200 text/html"),
    shape("GET", "/logs", Needs::Nothing, "The page of logs.", &[], "", "200 text/html"),
    shape("GET", "/people", Needs::Nothing, "The page of those below oneself.", &["find", "kind", "status", "parent", "granted"], "", "200 text/html"),
    shape("GET", "/people/{user}", Needs::Nothing, "The page of somebody.", &[], "", "200 text/html"),
    shape("GET", "/permissions", Needs::Nothing, "The page of the dictionary.", &[], "", "200 text/html"),
    shape("GET", "/oidc", Needs::Nothing, "The page that the identity provider sends browsers back to.", &["code", "state", "iss", "error"], "", "200 text/html"),
    shape("GET", "/web/{file}", Needs::Nothing, "What pages are made of.", &[], "", "200 text/javascript"),
    shape("GET", "/v1/labels", Needs::Nothing, "A code with the link to a trace.", &["resource!"], "", "200 image/svg+xml"),
];

impl Shape {
    fn operation(&self) -> Value {
        let in_path = self.path.split('{').skip(1);
        let mut parameters: Vec<_> = in_path
            .filter_map(|rest| Some(parameter(rest.split_once('}')?.0, "path", true)))
            .collect();
        parameters.extend(self.query.iter().map(|name| {
            let plain = name.trim_end_matches('!');
            parameter(plain, "query", plain != *name)
        }));
        let problem = json!({ "schema": reference("Problem") });
        let mut operation = json!({
            "summary": self.about,
            "parameters": parameters,
            "responses": { "default": {
                "description": "It was not done, and why.",
                "content": { "application/problem+json": problem },
            } },
        });
        let (status, content) = self.gives.split_once(' ').unwrap_or((self.gives, ""));
        operation["responses"][status] = json!({ "description": "Done." });
        if content.contains('/') {
            operation["responses"][status]["content"] =
                json!({ content: { "schema": { "type": "string" } } });
        } else if !content.is_empty() {
            operation["responses"][status]["content"] = json_of(content);
        }
        if !self.takes.is_empty() {
            operation["requestBody"] = json!({ "required": true, "content": json_of(self.takes) });
        }
        match self.needs {
            Needs::Nothing => {}
            // Without a token too, if the operator lets visitors.
            Needs::Visitor => operation["security"] = json!([{ "bearer": [] }, {}]),
            Needs::Token => operation["security"] = json!([{ "bearer": [] }]),
        }
        operation
    }
}

fn parameter(name: &str, place: &str, required: bool) -> Value {
    json!({ "name": name, "in": place, "required": required, "schema": { "type": "string" } })
}

fn json_of(schema: &str) -> Value {
    json!({ "application/json": { "schema": reference(schema) } })
}

/// Shapes by name, each as [`object`] reads it.
#[rustfmt::skip]
const SCHEMAS: &[(&str, &str)] = &[
    ("Problem", "type status:# detail ? pointer retryAfter:# traceId"),
    ("NewRecord", "? record about:Anything data:Anything hash did where target keep:?"),
    ("Stored", "record version:# token transactionAddress contractAddress event:Event receipt:Anything ? salt"),
    ("Prepared", "id expires event:Event canonical contractAddress transaction:Anything unsigned signingHash eventHash ? salt"),
    ("PreparedUser", "user:User id expires event:Event canonical contractAddress transaction:Anything unsigned signingHash eventHash ? salt"),
    ("SignedTransaction", "signed"),
    ("Shown", "event:Event ? transactionAddress contractAddress data:Anything"),
    ("Evidence", "event:Event transactionAddress contractAddress receipt:Anything ? salt"),
    ("Event", "record version:# how who what:What when where target"),
    ("What", "about:[Mention] did hash"),
    ("Mention", "id ? part"),
    ("Question", "? record version:# transactionAddress contractAddress data:Anything hash salt"),
    ("Questions", "questions:[Question]"),
    ("Consulted", "verdict ? fields:[] event:Event salt transactionAddress contractAddress receipt:Anything"),
    ("Answers", "answers:[BulkAnswer] summary:Summary"),
    ("BulkAnswer", "? verdict fields:[] event:Event salt transactionAddress contractAddress receipt:Anything problem:Problem"),
    ("Summary", "total:# valid:# altered:# unknown:# notPermitted:# pending:# failed:#"),
    ("Log", "event:Event ? transactionAddress contractAddress"),
    ("LogPage", "logs:[Log] ? next"),
    ("Trace", "resources:[] links:[Link] logs:[Log] truncated:?"),
    ("Link", "from to record version:#"),
    ("CaptureJob", "captureID createdAt running:? success:? captureErrorBehaviour errors:Anything ? finishedAt"),
    ("RootNonce", "na"),
    ("RootSlot", "session na nb expires"),
    ("RootClaim", "session nb root:Credentials"),
    ("Credentials", "email name password ? key keyProof"),
    ("NewUser", "kind email name password ? key keyProof grants:[]"),
    ("UserChanges", "? name email key keyProof"),
    ("User", "id kind email name status grants:[] totp:? created version:# ? parent key oidc:Oidc account transactionAddress contractAddress"),
    ("Oidc", "state ? issuer subject"),
    ("Provider", "available:? ? name"),
    ("Returned", "code state ? iss"),
    ("SecondFactor", "totp"),
    ("UserPage", "users:[User] ? next"),
    ("Login", "email password ? totp"),
    ("Renewal", "refresh_token"),
    ("Tokens", "access_token token_type expires_in:# refresh_token session user:User"),
    ("NewPassword", "old new"),
    ("Code", "code"),
    ("ResetCode", "code expires"),
    ("Reset", "email code password"),
    ("Enrolled", "uri"),
    ("Permission", "serviceName typeOfOperation nameOfOperation permitAccessTo:[] ? stage description"),
    ("Identity", "? serviceCertificate root"),
];

fn schemas() -> Value {
    let mut schemas: Map<_, _> = SCHEMAS
        .iter()
        .map(|(name, fields)| ((*name).to_owned(), object(fields)))
        .collect();
    let all = json!({ "type": "array", "items": reference("Permission") });
    schemas.insert("Permissions".to_owned(), all);
    schemas.insert("Anything".to_owned(), json!({}));
    Value::Object(schemas)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Methods that a line of routes names: `post(a)`, `.put(b)`, `axum::routing::delete(c)`.
    fn methods(line: &str) -> Vec<&'static str> {
        let all = ["get", "post", "put", "delete"];
        let upper = ["GET", "POST", "PUT", "DELETE"];
        let named = |word: &&str| {
            let called = format!("{word}(");
            line.match_indices(&called).any(|(at, _)| {
                let before = line[..at].chars().last();
                !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
            })
        };
        let pairs = all.iter().zip(upper);
        pairs
            .filter(|(word, _)| named(word))
            .map(|(_, upper)| upper)
            .collect()
    }

    #[test]
    fn every_route_is_documented_and_nothing_else() {
        let mut served = BTreeSet::new();
        for source in [include_str!("mod.rs"), include_str!("pages.rs")] {
            for route in source.split(".route(").skip(1) {
                let Some(path) = route.trim_start().strip_prefix('"') else {
                    continue;
                };
                let (path, rest) = path.split_once('"').unwrap();
                let end = rest.find("\n            .route(").unwrap_or(rest.len());
                let handlers = rest[..end].split("//").next().unwrap();
                let handlers = handlers.split(".layer").next().unwrap();
                let handlers = handlers.split(".merge").next().unwrap();
                let handlers = handlers.split(';').next().unwrap();
                for method in methods(handlers) {
                    served.insert((method, path));
                }
            }
        }
        let documented: BTreeSet<_> = SHAPES.iter().map(|s| (s.method, s.path)).collect();
        assert_eq!(served, documented);
    }

    #[test]
    fn every_schema_that_is_named_exists() {
        let document = document();
        let text = document.to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            let schema = document["components"]["schemas"].get(name);
            assert!(schema.is_some(), "{name}");
        }
    }

    #[test]
    fn a_path_fits_the_route_of_its_form() {
        assert!(fits(
            "/v1/users/{user}/grants/{operation}",
            "/v1/users/a/grants/b"
        ));
        assert!(fits("/", "/"));
        for path in [
            "/v1/users/a/grants",
            "/v1/users/a/grants/",
            "/v1/users/a/grants/b/",
        ] {
            assert!(!fits("/v1/users/{user}/grants/{operation}", path), "{path}");
        }
    }

    /// `UPDATE_GOLDEN=1 cargo test -p audit openapi` writes the file anew.
    #[test]
    fn the_golden_file_is_what_is_served() {
        let path = "openapi.json";
        let text = serde_json::to_string_pretty(&document()).unwrap() + "\n";
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(path).unwrap(),
            text,
            "see this test's comment"
        );
    }
}
