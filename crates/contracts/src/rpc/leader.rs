//! What only the leader does, asked of it by a node that does not lead.

use std::future::Future;
use std::pin::Pin;

use ledger::users::UserId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Rpc;
use super::access::Caller;
use super::error::RpcError;

/// The leader's answer, under way. An error is one that asking again may help against: there is no leader
/// now, or it was lost while it was asked.
pub type Asked<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send + 'a>>;

/// The way to the node that leads, for those that do not.
pub trait ToLeader: Send + Sync {
    /// Posts a JSON-RPC request to the leader, for this user.
    fn ask<'a>(&'a self, user: &'a UserId, request: Vec<u8>) -> Asked<'a>;
}

/// Why the leader did not do it.
#[derive(Debug, Clone)]
pub(super) enum NotSent {
    /// It cannot be.
    Refused(RpcError),
    /// There is no leader, or not any more. The same transaction can be sent again without harm: its
    /// number is used once.
    Again(String),
}

impl NotSent {
    /// What the client is told that is not sent again for.
    pub(super) fn into_error(self) -> RpcError {
        match self {
            Self::Refused(error) => error,
            Self::Again(why) => RpcError::server(why),
        }
    }
}

impl From<RpcError> for NotSent {
    fn from(error: RpcError) -> Self {
        Self::Refused(error)
    }
}

impl Rpc {
    /// Calls a method at the leader, for this caller.
    ///
    /// # Errors
    /// See [`NotSent`].
    pub(super) async fn ask_leader<T: DeserializeOwned>(
        &self,
        caller: &Caller,
        method: &str,
        params: impl Serialize,
    ) -> Result<T, NotSent> {
        #[derive(Serialize)]
        struct Request<'a, P> {
            jsonrpc: &'static str,
            id: u8,
            method: &'a str,
            params: P,
        }
        let request = Request {
            jsonrpc: "2.0",
            id: 1,
            method,
            params,
        };
        let request = serde_json::to_vec(&request).expect("texts and lists of them are JSON");
        let answer = self.leader.ask(caller.user(), request).await;
        read(&answer.map_err(NotSent::Again)?)
    }
}

/// What the leader answered.
fn read<T: DeserializeOwned>(answer: &[u8]) -> Result<T, NotSent> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        result: Option<&'a RawValue>,
        #[serde(borrow)]
        error: Option<Refusal<'a>>,
    }
    #[derive(Deserialize)]
    struct Refusal<'a> {
        code: i32,
        message: String,
        #[serde(borrow)]
        data: Option<&'a RawValue>,
    }
    let read = serde_json::from_slice(answer).ok();
    let Some(Answer { result, error }) = read else {
        return Err(NotSent::Again(ANOTHER_ANSWER.to_owned()));
    };
    if let Some(refusal) = error {
        let data = refusal.data;
        let data = data.and_then(|data| serde_json::from_str(data.get()).ok());
        return Err(RpcError::passed_on(refusal.code, refusal.message, data).into());
    }
    let result = result.and_then(|result| serde_json::from_str(result.get()).ok());
    result.ok_or_else(|| NotSent::Again(ANOTHER_ANSWER.to_owned()))
}

/// A node that stops, or does not lead any more, says so in another way.
const ANOTHER_ANSWER: &str = "the leader did not take it: nothing is recorded, or it is in doubt; send \
                              it again";

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;

    use super::*;
    use crate::rpc::send::Place;

    #[test]
    fn what_the_leader_answers_is_what_the_client_gets() {
        let hash = B256::repeat_byte(7);
        let place = format!(
            r#"{{"jsonrpc":"2.0","id":1,"result":{{"transactionHash":"{hash}","transactionId":"2.35"}}}}"#
        );
        let place = read::<Place>(place.as_bytes()).unwrap();
        assert_eq!(place.transaction_id, Some("2.35".parse().unwrap()));
        let refused =
            br#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"nonce too low"}}"#;
        let Err(NotSent::Refused(error)) = read::<Place>(refused) else {
            panic!("the leader refused it");
        };
        assert!(error.says("nonce too low"));
        for other in [
            &b""[..],
            b"{}",
            br#"{"error":{"code":"NoLeader","message":""}}"#,
        ] {
            assert!(matches!(read::<Place>(other), Err(NotSent::Again(_))));
        }
    }
}
