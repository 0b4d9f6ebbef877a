//! JSON-RPC over HTTP: one request, one answer, bounded in size and time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::BytesMut;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Certificate, Identity, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::NetworkError;
use crate::limits::{ANSWER_BYTES_MAX, ANSWER_TIMEOUT, CONNECT_TIMEOUT, MESSAGE_CHARS_MAX};

/// Connections to one node.
#[derive(Debug)]
pub(crate) struct Rpc {
    http: reqwest::Client,
    url: Url,
}

#[derive(Deserialize)]
struct Answer {
    /// That of the question; null where the node could not read it.
    #[serde(default)]
    id: Option<u64>,
    #[serde(default)]
    result: Option<Box<RawValue>>,
    #[serde(default)]
    error: Option<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: Option<Value>,
}

impl Rpc {
    /// Prepares connections; makes none. Over `http` only this machine is reached.
    pub(crate) fn new(
        url: &str,
        trust: Option<&str>,
        bearer: Option<&str>,
        identity: Option<&str>,
    ) -> Result<Self, NetworkError> {
        let setup = |why: String| Err(NetworkError::Setup(why));
        let Ok(url) = Url::parse(url) else {
            return setup(format!("{url:?} is not an address"));
        };
        let loopback = is_loopback(&url);
        let safe = url.scheme() == "https" || (url.scheme() == "http" && loopback);
        if !safe {
            return setup(
                "a node is reached over https; over http only on this machine".to_owned(),
            );
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("counterfoil/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .tls_version_min(reqwest::tls::Version::TLS_1_2)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .tcp_nodelay(true);
        // A proxy for the outside world cannot reach this machine's own loopback.
        if loopback {
            builder = builder.no_proxy();
        }
        if let Some(pem) = trust {
            let anchors = Certificate::from_pem_bundle(pem.as_bytes()).unwrap_or_default();
            if anchors.is_empty() {
                return setup("the trusted certificates cannot be read as PEM".to_owned());
            }
            builder = builder.tls_certs_only(anchors);
        }
        if let Some(token) = bearer {
            let Ok(mut value) = HeaderValue::try_from(format!("Bearer {}", token.trim())) else {
                return setup("the bearer token has characters that no token has".to_owned());
            };
            value.set_sensitive(true);
            builder = builder.default_headers(HeaderMap::from_iter([(AUTHORIZATION, value)]));
        }
        if let Some(pem) = identity {
            let Ok(identity) = Identity::from_pem(pem.as_bytes()) else {
                return setup(
                    "the client certificate and its key cannot be read as PEM".to_owned(),
                );
            };
            builder = builder.identity(identity);
        }
        match builder.build() {
            Ok(http) => Ok(Self { http, url }),
            Err(error) => setup(format!("TLS cannot be set up: {error}")),
        }
    }

    /// The node's address for messages: without path and query, in which providers keep keys.
    pub(crate) fn shown(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// Asks, and reads the answer.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        params: Value,
    ) -> Result<T, NetworkError> {
        let result = self.result(method, params).await?;
        self.read(method, &result)
    }

    /// Reads an answer's result.
    pub(crate) fn read<T: DeserializeOwned>(
        &self,
        method: &str,
        result: &RawValue,
    ) -> Result<T, NetworkError> {
        serde_json::from_str(result.get()).map_err(|error| self.answer(method, error.to_string()))
    }

    async fn result(&self, method: &str, params: Value) -> Result<Box<RawValue>, NetworkError> {
        let (status, body) = self.post(method, &request(1, method, &params)).await?;
        // Some nodes answer a refusal with a status of its own; the body says more.
        match serde_json::from_slice::<Answer>(&body) {
            Ok(answer) => answer.result(method),
            Err(_) => Err(self.no_answer(method, status)),
        }
    }

    /// Asks several questions in one request: an answer for each, in their order.
    ///
    /// # Errors
    /// None of them is answered.
    pub(crate) async fn results(
        &self,
        questions: &[(&'static str, Value)],
    ) -> Result<Vec<Result<Box<RawValue>, NetworkError>>, NetworkError> {
        let method = questions.first().map_or("", |(method, _)| method);
        let requests = (0..).zip(questions);
        let requests: Vec<_> = requests
            .map(|(id, (method, params))| request(id, method, params))
            .collect();
        let (status, body) = self.post(method, &requests).await?;
        let Ok(answers) = serde_json::from_slice::<Vec<Answer>>(&body) else {
            return Err(self.no_answer(method, status));
        };
        let mut by_id: HashMap<_, _> = answers
            .into_iter()
            .map(|answer| (answer.id, answer))
            .collect();
        let mut answer_of =
            |(id, (method, _)): (u64, &(&'static str, Value))| match by_id.remove(&Some(id)) {
                Some(answer) => answer.result(method),
                None => Err(self.answer(method, "it has no answer to this".to_owned())),
            };
        Ok((0..).zip(questions).map(&mut answer_of).collect())
    }

    async fn post(
        &self,
        method: &str,
        request: &impl Serialize,
    ) -> Result<(StatusCode, BytesMut), NetworkError> {
        let sent = self.http.post(self.url.clone()).json(request).send().await;
        let mut response = sent.map_err(|error| self.transport(method, error))?;
        let status = response.status();
        let mut body = BytesMut::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.transport(method, error))?
        {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                let why = format!("it has more than {ANSWER_BYTES_MAX} bytes");
                return Err(self.answer(method, why));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((status, body))
    }

    fn no_answer(&self, method: &str, status: StatusCode) -> NetworkError {
        let why = match status.is_success() {
            true => "it is not an answer of JSON-RPC".to_owned(),
            false => format!("HTTP {}", status.as_u16()),
        };
        self.answer(method, why)
    }

    pub(crate) fn answer(&self, method: &str, why: String) -> NetworkError {
        NetworkError::Answer {
            url: self.shown(),
            method: method.to_owned(),
            why,
        }
    }

    fn transport(&self, method: &str, error: reqwest::Error) -> NetworkError {
        let url = self.shown();
        let unreachable = error.is_connect();
        let source = Arc::new(error.without_url());
        match unreachable {
            true => NetworkError::Unreachable { url, source },
            false => NetworkError::Interrupted {
                url,
                method: method.to_owned(),
                source,
            },
        }
    }
}

impl Answer {
    fn result(self, method: &str) -> Result<Box<RawValue>, NetworkError> {
        match self.error {
            Some(fault) => Err(NetworkError::Refused {
                method: method.to_owned(),
                code: fault.code,
                message: shortened(&fault.message),
                data: fault.data.as_ref().and_then(Value::as_str).map(shortened),
            }),
            None => Ok(self.result.unwrap_or_else(|| RawValue::NULL.to_owned())),
        }
    }
}

fn request<'a>(id: u64, method: &'a str, params: &'a Value) -> impl Serialize + use<'a> {
    #[derive(Serialize)]
    struct Request<'a> {
        jsonrpc: &'static str,
        id: u64,
        method: &'a str,
        params: &'a Value,
    }
    Request {
        jsonrpc: "2.0",
        id,
        method,
        params,
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(MESSAGE_CHARS_MAX).collect()
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn without_tls_only_this_machine_is_reached() {
        for (url, good) in [
            ("http://127.0.0.1:8545", true),
            ("http://localhost:8545/rpc", true),
            ("http://[::1]:8545", true),
            ("https://node.example/key", true),
            ("http://node.example", false),
            ("http://10.0.0.1:8545", false),
            ("ftp://127.0.0.1", false),
            ("node.example", false),
        ] {
            assert_eq!(Rpc::new(url, None, None, None).is_ok(), good, "{url}");
        }
    }

    #[test]
    fn an_address_is_shown_without_the_keys_in_it() {
        let rpc = Rpc::new(
            "https://u:p@node.example:1/v3/s3cret?k=s3cret",
            None,
            None,
            None,
        )
        .unwrap();
        assert_eq!(rpc.shown(), "https://node.example:1");
    }

    #[test]
    fn certificates_and_tokens_that_cannot_be_used_are_refused() {
        assert!(Rpc::new("https://h", Some("not PEM"), None, None).is_err());
        assert!(Rpc::new("https://h", None, Some("a\nb"), None).is_err());
        assert!(Rpc::new("https://h", None, None, Some("not PEM")).is_err());
    }

    /// A node that answers one request with these bytes.
    async fn answering(answer: Vec<u8>) -> Rpc {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut asked = [0; 4096];
            let _ = socket.read(&mut asked).await;
            let _ = socket.write_all(&answer).await;
        });
        Rpc::new(&url, None, None, None).unwrap()
    }

    fn http(status: &str, body: &str) -> Vec<u8> {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
    }

    #[tokio::test]
    async fn what_is_not_an_answer_is_refused_with_its_reason() {
        for (status, body, reason) in [
            ("200 OK", "<html>", "not an answer of JSON-RPC"),
            ("200 OK", r#"{"result": {"a": 1}}"#, "invalid type"),
            ("503 Busy", "come back", "HTTP 503"),
            ("302 Found", "", "HTTP 302"),
        ] {
            let rpc = answering(http(status, body)).await;
            let answer = rpc.ask::<String>("eth_chainId", json!([])).await;
            let error = answer.unwrap_err().to_string();
            assert!(error.contains(reason), "{body}: {error}");
        }
    }

    #[tokio::test]
    async fn a_refusal_is_told_with_the_node_s_words_shortened() {
        let words = "x".repeat(10_000);
        let body = format!(r#"{{"error": {{"code": -32000, "message": "{words}"}}}}"#);
        // Some nodes say so in the status, too.
        for status in ["200 OK", "400 Bad Request"] {
            let rpc = answering(http(status, &body)).await;
            match rpc.ask::<String>("eth_call", json!([])).await {
                Err(NetworkError::Refused { code, message, .. }) => {
                    assert_eq!((code, message.len()), (-32000, MESSAGE_CHARS_MAX));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn an_endless_answer_is_not_read_to_its_end() {
        let body = "1".repeat(ANSWER_BYTES_MAX + 1);
        let rpc = answering(http("200 OK", &body)).await;
        let answer = rpc.ask::<Value>("eth_getBlockReceipts", json!([])).await;
        let error = answer.unwrap_err().to_string();
        assert!(error.contains("more than"), "{error}");
    }

    #[tokio::test]
    async fn a_node_that_is_not_there_is_unreachable() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let rpc = Rpc::new(&url, None, None, None).unwrap();
        let answer = rpc.ask::<Value>("eth_chainId", json!([])).await;
        assert!(matches!(answer, Err(NetworkError::Unreachable { .. })));
    }

    #[tokio::test]
    async fn questions_of_one_request_get_their_own_answers_in_whatever_order_those_come() {
        let body = r#"[{"id":1,"result":"0x2"},{"id":0,"error":{"code":-32000,"message":"no"}}]"#;
        let rpc = answering(http("200 OK", body)).await;
        let questions = ["a", "b", "c"].map(|method| (method, json!([])));
        let answers = rpc.results(&questions).await.unwrap();
        assert!(
            matches!(&answers[0], Err(NetworkError::Refused { message, .. }) if message == "no")
        );
        assert_eq!(answers[1].as_ref().unwrap().get(), "\"0x2\"");
        assert!(matches!(&answers[2], Err(NetworkError::Answer { method, .. }) if method == "c"));
    }
}
