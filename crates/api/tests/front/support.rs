//! A front to be called, and callers.

use std::sync::Arc;

use api::{ApiConfig, JwksSource, JwtIssuer, Served};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ledger::entries::Visibility;
use ledger::users::UserId;
use node::{Node, NodeConfig};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub(crate) const V2022: &str = "2022-05-13";
pub(crate) const V2024: &str = "2024-12-09-preview";
pub(crate) const V2026: &str = "2026-07-31-preview";

pub(crate) const ADMINISTRATOR: &str = "administrator";
pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const AUDIENCE: &str = "this ledger";

/// A node and its front.
pub(crate) struct Front {
    pub(crate) node: Arc<Node>,
    pub(crate) url: String,
    pub(crate) address: std::net::SocketAddr,
    pub(crate) issuer: Issuer,
    pub(crate) shutdown: CancellationToken,
    served: Option<Served>,
    dir: TempDir,
}

impl Front {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}, |_| {}).await
    }

    pub(crate) async fn start_public() -> Self {
        Self::start_with(|node| node.visibility = Visibility::Public, |_| {}).await
    }

    pub(crate) async fn start_with(
        change_node: impl FnOnce(&mut NodeConfig),
        change_api: impl FnOnce(&mut ApiConfig),
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = NodeConfig::new(dir.path().join("ledger"));
        config.administrators = vec![UserId::parse(ADMINISTRATOR).unwrap()];
        change_node(&mut config);
        let node = tokio::task::spawn_blocking(|| Node::start(config))
            .await
            .unwrap()
            .unwrap();
        let issuer = Issuer::new("key 1");
        let mut config = ApiConfig::new("127.0.0.1:0".parse().unwrap());
        config.jwt = vec![issuer.config()];
        change_api(&mut config);
        let shutdown = CancellationToken::new();
        let served = api::serve(Arc::clone(&node), config, Vec::new(), shutdown.clone())
            .await
            .unwrap();
        let address = served.local_addr;
        let url = format!("https://{address}");
        Self {
            node,
            url,
            address,
            issuer,
            shutdown,
            served: Some(served),
            dir,
        }
    }

    /// A client that trusts this service and nobody else.
    pub(crate) fn client(&self) -> reqwest::ClientBuilder {
        let root = reqwest::Certificate::from_pem(self.node.service_cert().as_bytes()).unwrap();
        reqwest::Client::builder().tls_certs_only([root])
    }

    /// Somebody without credentials.
    pub(crate) fn anybody(&self) -> Caller {
        let http = self.client().build().unwrap();
        Caller {
            http,
            url: self.url.clone(),
            token: None,
            version: V2026,
        }
    }

    /// Whoever the issuer says.
    pub(crate) fn user(&self, id: &str) -> Caller {
        self.bearer(self.issuer.token(id))
    }

    pub(crate) fn bearer(&self, token: String) -> Caller {
        Caller {
            token: Some(token),
            ..self.anybody()
        }
    }

    pub(crate) fn administrator(&self) -> Caller {
        self.user(ADMINISTRATOR)
    }

    /// A user with one role.
    pub(crate) async fn user_with(&self, id: &str, role: &str) -> Caller {
        let path = format!("/app/ledgerUsers/{id}");
        let body = json!({ "assignedRoles": [role] });
        self.administrator().patch(&path, body).await.is(200);
        self.user(id)
    }

    /// Stops the front, then the node; its folder lives for as long as what is given back.
    pub(crate) async fn stop(mut self) -> TempDir {
        self.shutdown.cancel();
        self.served.take().unwrap().finished().await;
        self.node.stop().await;
        self.dir
    }
}

/// Somebody who calls.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) http: reqwest::Client,
    pub(crate) url: String,
    pub(crate) token: Option<String>,
    pub(crate) version: &'static str,
}

impl Caller {
    pub(crate) fn speaks(&self, version: &'static str) -> Self {
        Self {
            version,
            ..self.clone()
        }
    }

    /// A request; paths under `/app` get the api-version.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if path.starts_with("/app") && !path.contains("api-version") {
            request = request.query(&[("api-version", self.version)]);
        }
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        send(self.request(Method::DELETE, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        send(self.request(Method::POST, path).json(&body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Reply {
        send(self.request(Method::PUT, path).json(&body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Reply {
        let request = self.request(Method::PATCH, path).json(&body);
        send(request.header("content-type", "application/merge-patch+json")).await
    }

    /// Writes an entry and returns its transaction id.
    pub(crate) async fn write(&self, query: &str, contents: &str) -> String {
        let path = format!("/app/transactions{query}");
        self.post(&path, json!({ "contents": contents }))
            .await
            .is(200)
            .transaction()
    }
}

pub(crate) async fn send(request: RequestBuilder) -> Reply {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Reply {
        status,
        headers,
        body: response.bytes().await.unwrap().to_vec(),
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// An error with this status and this code, and with words.
    #[track_caller]
    pub(crate) fn fails(self, status: u16, code: &str) -> Self {
        assert_eq!(
            (self.status.as_u16(), self.error_code().as_str()),
            (status, code),
            "{self:?}"
        );
        assert!(!self.json()["error"]["message"].as_str().unwrap().is_empty());
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn transaction(&self) -> String {
        let id = self.header("x-ms-ccf-transaction-id").to_owned();
        assert!(id.parse::<verify::TxId>().is_ok(), "{id:?}");
        id
    }

    fn error_code(&self) -> String {
        self.json()["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

/// Somebody who vouches for users.
pub(crate) struct Issuer {
    pub(crate) key_id: String,
    pkcs8: Vec<u8>,
}

impl Issuer {
    pub(crate) fn new(key_id: &str) -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self {
            key_id: key_id.to_owned(),
            pkcs8: key.as_ref().to_vec(),
        }
    }

    pub(crate) fn public_key(&self) -> Vec<u8> {
        let key = Ed25519KeyPair::from_pkcs8(&self.pkcs8).unwrap();
        key.public_key().as_ref().to_vec()
    }

    pub(crate) fn key_set(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.public_key());
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": self.key_id, "x": x }] })
    }

    pub(crate) fn config(&self) -> JwtIssuer {
        JwtIssuer {
            issuer: ISSUER.to_owned(),
            audiences: vec![AUDIENCE.to_owned()],
            jwks: JwksSource::Static(self.key_set().to_string()),
            user_claim: None,
            tls_roots: None,
        }
    }

    pub(crate) fn claims(id: &str) -> Value {
        json!({ "iss": ISSUER, "aud": AUDIENCE, "oid": id, "exp": now() + 3600 })
    }

    pub(crate) fn token(&self, id: &str) -> String {
        self.sign(&Self::claims(id))
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = Header {
            kid: Some(self.key_id.clone()),
            ..Header::new(Algorithm::EdDSA)
        };
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_ed_der(&self.pkcs8)).unwrap()
    }
}

pub(crate) fn now() -> u64 {
    jsonwebtoken::get_current_timestamp()
}

/// Holds up the node's executor until dropped: what is submitted meanwhile waits in the queue.
pub(crate) struct HeldUp(
    #[expect(dead_code, reason = "its end is what counts")] std::sync::mpsc::Sender<()>,
);

pub(crate) async fn hold_up(node: &Arc<Node>) -> HeldUp {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (started, begun) = tokio::sync::oneshot::channel();
    let node = Arc::clone(node);
    let released = std::sync::Mutex::new(released);
    tokio::spawn(async move {
        let transaction = Box::new(move |_: &mut ledger::Tx<'_>| {
            let _ = started.send(());
            let _ = released.lock().unwrap().recv();
            Ok(verify::Digest::ZERO)
        });
        let _ = node.submit(transaction, node::Wait::Committed).await;
    });
    begun.await.unwrap();
    HeldUp(release)
}
