//! The chain of contracts, as these commands use it.

use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, B256, Bytes, TxKind, U64};
use anyhow::Result;
use client::{Client, RpcError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::account::Account;
use crate::connection::ConnectionArgs;
use crate::report::Failure;

/// A ledger's chain.
pub(super) struct Chain(Client);

/// A transaction that is committed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Done {
    pub(super) transaction_hash: B256,
    pub(super) block_number: u64,
    pub(super) succeeded: bool,
    pub(super) gas_used: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) contract_address: Option<Address>,
    /// How many.
    pub(super) logs: usize,
}

/// A log, as far as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Log {
    pub(super) block_number: u64,
    pub(super) transaction_hash: B256,
    pub(super) topics: Vec<B256>,
    pub(super) data: Bytes,
}

impl Chain {
    /// The chain of the ledger that is named.
    pub(super) fn of(connection: &ConnectionArgs) -> Result<Self> {
        Ok(Self(connection.client()?))
    }

    /// Calls a method.
    pub(super) async fn ask(&self, method: &str, params: Value) -> Result<Value> {
        let answer = self.0.rpc(method, params).await;
        answer.map_err(|error| match error {
            RpcError::Ledger(error) => error.into(),
            RpcError::Refused(refusal) => Failure::new(refusal.to_string()).into(),
        })
    }

    async fn number(&self, method: &str, params: Value) -> Result<u64> {
        let number: U64 = serde_json::from_value(self.ask(method, params).await?)?;
        Ok(number.to())
    }

    /// Signs a transaction, sends it, and waits until it is committed.
    pub(super) async fn send(
        &self,
        account: &Account,
        to: TxKind,
        input: Bytes,
        gas: Option<u64>,
    ) -> Result<Done> {
        let from = account.address();
        let gas_limit = match gas {
            Some(gas) => gas,
            None => {
                let call = json!({ "from": from, "to": to.to(), "input": input });
                self.number("eth_estimateGas", json!([call])).await?
            }
        };
        let transaction = TxEip1559 {
            chain_id: self.number("eth_chainId", json!([])).await?,
            nonce: self
                .number("eth_getTransactionCount", json!([from, "latest"]))
                .await?,
            gas_limit,
            to,
            input,
            ..TxEip1559::default()
        };
        let raw = account.signed(transaction);
        let receipt = self.ask("eth_sendRawTransactionSync", json!([raw])).await?;
        let receipt: Receipt = serde_json::from_value(receipt)?;
        Ok(Done {
            transaction_hash: receipt.transaction_hash,
            block_number: receipt.block_number.to(),
            succeeded: receipt.status == U64::from(1),
            gas_used: receipt.gas_used.to(),
            contract_address: receipt.contract_address,
            logs: receipt.logs.len(),
        })
    }

    /// Logs, oldest first.
    pub(super) async fn logs(&self, filter: Value) -> Result<Vec<Log>> {
        let logs: Vec<WireLog> = serde_json::from_value(self.ask("eth_getLogs", filter).await?)?;
        let logs = logs.into_iter().map(|log| Log {
            block_number: log.block_number.to(),
            transaction_hash: log.transaction_hash,
            topics: log.topics,
            data: log.data,
        });
        Ok(logs.collect())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    transaction_hash: B256,
    block_number: U64,
    status: U64,
    gas_used: U64,
    contract_address: Option<Address>,
    logs: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireLog {
    block_number: U64,
    transaction_hash: B256,
    topics: Vec<B256>,
    data: Bytes,
}
