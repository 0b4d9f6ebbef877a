//! The contracts' chain: Ethereum's JSON-RPC, at the path `/rpc` of every node.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::builder::Client;
use crate::error::ClientError;

/// What the chain says against a call, in the words and codes of Ethereum's nodes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Deserialize)]
#[error("{message} (JSON-RPC {code})")]
pub struct RpcRefusal {
    /// The code: 3 where a contract refused, 4100 where the caller may not.
    pub code: i64,
    /// Why.
    pub message: String,
    /// What the contract said, in hexadecimal digits after `0x`.
    #[serde(default)]
    pub data: Option<Value>,
}

/// Why a call of the chain gave no result.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// The ledger was not reached, or did not let the caller in.
    #[error(transparent)]
    Ledger(#[from] ClientError),
    /// The chain refused.
    #[error(transparent)]
    Refused(RpcRefusal),
}

impl Client {
    /// Calls a method of the contracts' chain; the result is as the chain gives it.
    ///
    /// # Errors
    /// See [`RpcError`].
    pub async fn rpc(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            result: Value,
            #[serde(default)]
            error: Option<RpcRefusal>,
        }
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let post = self.http.post(self.address(&["rpc"])).json(&request);
        let answer: Answer = self.json(post).await?;
        match answer.error {
            Some(refusal) => Err(RpcError::Refused(refusal)),
            None => Ok(answer.result),
        }
    }
}
