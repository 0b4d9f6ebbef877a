//! A small identity provider for tests, which can be told to lie.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaKeyPair,
};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::StatusCode;
use http::header::LOCATION;
use reqwest::Url;
use serde_json::{Value, json};

use super::*;
use crate::users::testing::TestClock;
use crate::users::{Clock, Secret};

pub(crate) const CLIENT: &str = "counterfoil: audit";
const SECRET: &str = "a secret & more";
const REDIRECT: &str = "https://audit.example/oidc";

/// How the services know a provider.
pub(crate) fn config(issuer: &str) -> Config {
    Config {
        issuer: issuer.to_owned(),
        client_id: CLIENT.to_owned(),
        client_secret: Secret::from(SECRET),
        scopes: vec!["openid".to_owned(), "email".to_owned()],
        acr: Vec::new(),
        audiences: Vec::new(),
        redirect_uri: REDIRECT.to_owned(),
        link_by_email: false,
    }
}

/// A key that signs.
#[derive(Clone)]
pub(crate) struct Signer {
    pub(super) name: String,
    pub(super) algorithm: &'static str,
    key: Arc<Key>,
}

enum Key {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Signer {
    pub(super) fn new(name: &str, algorithm: &'static str) -> Self {
        let key = match algorithm {
            "ES256" => {
                let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
                let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &SystemRandom::new()).unwrap();
                Key::Ec(EcdsaKeyPair::from_pkcs8(kind, pkcs8.as_ref()).unwrap())
            }
            "EdDSA" => Key::Ed(Ed25519KeyPair::generate().unwrap()),
            _ => Key::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
        };
        Self {
            name: name.to_owned(),
            algorithm,
            key: Arc::new(key),
        }
    }

    pub(super) fn jwk(&self) -> Value {
        let base64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &*self.key {
            Key::Ec(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "x": base64(x), "y": base64(y)})
            }
            Key::Ed(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": base64(pair.public_key().as_ref())})
            }
            Key::Rsa(_) => json!({"kty": "RSA", "n": base64(self.modulus()), "e": "AQAB"}),
        };
        jwk["kid"] = json!(self.name);
        jwk["use"] = json!("sig");
        jwk
    }

    /// The public key in PKCS #1 has a head of nine bytes, the modulus, and the exponent behind it.
    fn modulus(&self) -> &[u8] {
        &self.public()[9..265]
    }

    /// What everybody knows of it.
    pub(super) fn public(&self) -> &[u8] {
        match &*self.key {
            Key::Ec(pair) => pair.public_key().as_ref(),
            Key::Ed(pair) => pair.public_key().as_ref(),
            Key::Rsa(pair) => pair.public_key().as_ref(),
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &*self.key {
            Key::Ec(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Key::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            Key::Rsa(pair) => {
                let padding = match self.algorithm {
                    "PS256" => &RSA_PSS_SHA256,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature)
                    .unwrap();
                signature
            }
        }
    }

    pub(super) fn header(&self) -> Value {
        json!({"typ": "JWT", "alg": self.algorithm, "kid": self.name})
    }

    /// A token with any header and claims, signed as they come.
    pub(super) fn token(&self, header: &Value, claims: &Value) -> String {
        let message = unsigned(header, claims);
        let signature = self.sign(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

pub(super) fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// Puts fields over others; what is null goes.
pub(super) fn over(value: &mut Value, fields: &Value) {
    for (name, field) in fields.as_object().into_iter().flatten() {
        match field {
            Value::Null => {
                value.as_object_mut().unwrap().remove(name);
            }
            field => value[name] = field.clone(),
        }
    }
}

/// What the provider does; tests change it.
pub(crate) struct World {
    pub(super) signer: Signer,
    pub(super) keys: Vec<Value>,
    /// Over what it says of itself.
    pub(super) metadata: Value,
    /// Over what its tokens say.
    pub(super) claims: Value,
    /// What it says when it is asked about somebody.
    pub(super) userinfo: Value,
    /// What it answers in place of everything.
    pub(super) answers: Option<(StatusCode, String)>,
    /// Whether it compares the hash of the verifier.
    pub(super) checks_verifier: bool,
    /// The paths that were asked for, in order.
    pub(super) asked: Vec<String>,
    codes: HashMap<String, Sent>,
}

/// A browser that was sent to the provider.
struct Sent {
    nonce: String,
    challenge: String,
    email: String,
}

/// The provider.
pub(crate) struct Idp {
    pub(crate) issuer: String,
    world: Arc<Mutex<World>>,
    clock: Arc<Mutex<Option<Arc<TestClock>>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Idp {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Here {
    issuer: String,
    world: Arc<Mutex<World>>,
    clock: Arc<Mutex<Option<Arc<TestClock>>>>,
}

impl Idp {
    pub(crate) async fn start() -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = tokio::net::TcpListener::bind(any).await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let signer = Signer::new("one", "ES256");
        let world = Arc::new(Mutex::new(World {
            keys: vec![signer.jwk()],
            signer,
            metadata: json!({}),
            claims: json!({}),
            userinfo: json!({}),
            answers: None,
            checks_verifier: true,
            asked: Vec::new(),
            codes: HashMap::new(),
        }));
        let clock = Arc::default();
        let here = Here {
            issuer: issuer.clone(),
            world: Arc::clone(&world),
            clock: Arc::clone(&clock),
        };
        let routes = Router::new().fallback(answer).with_state(here);
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self {
            issuer,
            world,
            clock,
            task,
        }
    }

    /// Has the clock of a service that it works for.
    pub(crate) fn follow(&self, clock: &Arc<TestClock>) {
        *self.clock.lock().unwrap() = Some(Arc::clone(clock));
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Somebody signs in there whose browser was sent to this URL. Returns what it is sent back with.
    pub(crate) fn sign_in(&self, url: &str, name: &str) -> Returned {
        let url = Url::parse(url).unwrap();
        let query: HashMap<String, String> = url.query_pairs().into_owned().collect();
        assert_eq!(query["response_type"], "code");
        assert_eq!(query["client_id"], CLIENT);
        assert_eq!(query["redirect_uri"], REDIRECT);
        assert_eq!(query["code_challenge_method"], "S256");
        assert_eq!(query["scope"], "openid email");
        let mut world = self.world();
        let code = format!("code {}", world.codes.len());
        let sent = Sent {
            nonce: query["nonce"].clone(),
            challenge: query["code_challenge"].clone(),
            email: format!("{name}@farm.example"),
        };
        world.codes.insert(code.clone(), sent);
        Returned {
            kept: Secret::from(""),
            state: Secret::from(query["state"].as_str()),
            code: Secret::from(code),
            iss: None,
        }
    }
}

async fn answer(State(here): State<Here>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let authorization = request.headers().get("authorization").cloned();
    let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await;
    let mut world = here.world.lock().unwrap();
    world.asked.push(path.clone());
    if let Some((status, body)) = world.answers.clone() {
        let location = [(LOCATION, format!("{}/elsewhere", here.issuer))];
        return (status, location, body).into_response();
    }
    match &*path {
        "/.well-known/openid-configuration" => {
            let mut metadata = json!({
                "issuer": here.issuer,
                "authorization_endpoint": format!("{}/authorize", here.issuer),
                "token_endpoint": format!("{}/token", here.issuer),
                "jwks_uri": format!("{}/keys", here.issuer),
                "userinfo_endpoint": format!("{}/userinfo", here.issuer),
                "id_token_signing_alg_values_supported": ["none", "HS256", "ES256", "RS256"],
            });
            over(&mut metadata, &world.metadata);
            metadata.to_string().into_response()
        }
        "/keys" => json!({"keys": world.keys}).to_string().into_response(),
        "/token" => token(&here, &mut world, authorization.as_deref(), &body.unwrap()),
        "/userinfo" => {
            assert_eq!(authorization.as_deref(), Some("Bearer access"));
            world.userinfo.to_string().into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn token(here: &Here, world: &mut World, authorization: Option<&str>, body: &Bytes) -> Response {
    let refused = |error: &str| {
        let body = json!({ "error": error }).to_string();
        (StatusCode::BAD_REQUEST, body).into_response()
    };
    let url = format!("form:?{}", std::str::from_utf8(body).unwrap());
    let form: HashMap<String, String> = Url::parse(&url)
        .unwrap()
        .query_pairs()
        .into_owned()
        .collect();
    // As RFC 6749 escapes them.
    let basic = STANDARD.encode("counterfoil%3A+audit:a+secret+%26+more");
    if authorization != Some(&format!("Basic {basic}")) {
        return refused("invalid_client");
    }
    assert_eq!(form["grant_type"], "authorization_code");
    assert_eq!(form["redirect_uri"], REDIRECT);
    // Each code is good once.
    let Some(sent) = world.codes.remove(&form["code"]) else {
        return refused("invalid_grant");
    };
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, form["code_verifier"].as_bytes()));
    if world.checks_verifier && challenge != sent.challenge {
        return refused("invalid_grant");
    }
    let now = here.clock.lock().unwrap().as_ref().unwrap().millis() / 1_000;
    let mut claims = json!({
        "iss": here.issuer, "aud": CLIENT, "sub": sent.email, "nonce": sent.nonce,
        "iat": now, "exp": now + 300, "email": sent.email, "email_verified": true,
        "name": "As The Provider Says",
    });
    over(&mut claims, &world.claims);
    let token = world.signer.token(&world.signer.header(), &claims);
    let tokens = json!({"access_token": "access", "token_type": "Bearer", "id_token": token});
    tokens.to_string().into_response()
}
