//! Accounts of users: what to sign so that an account is bound to the caller, and the binding.

use std::sync::Arc;

use alloy_primitives::{Address, Bytes};
use node::Wait;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use verify::TxId;

use super::access::Caller;
use super::error::RpcError;
use super::leader::NotSent;
use super::{BIND, Rpc};
use crate::limits::ARRIVAL_PATIENCE;
use crate::owners::{Bind, Message, accounts_of, owner};

/// An account and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bound {
    address: Address,
    user: String,
    transaction_id: TxId,
}

impl Rpc {
    /// What the account's key has to sign so that it belongs to the caller.
    pub(super) fn account_message(&self, caller: &Caller, address: Address) -> String {
        let message = Message {
            address,
            chain: self.rules().chain_id,
            user: caller.user().clone(),
            issued: OffsetDateTime::now_utc(),
        };
        let nonce = super::filters::name();
        message.text(&self.domain(), nonce.trim_start_matches("0x"))
    }

    /// Where this node is reached, as the members know it.
    fn domain(&self) -> String {
        let row = ledger::nodes::node(self.node.state(), self.node.id());
        row.map_or_else(|| "counterfoil".to_owned(), |row| row.address)
    }

    /// Binds an account to the caller.
    pub(super) async fn bind(
        self: &Arc<Self>,
        caller: &Caller,
        message: &str,
        signature: &Bytes,
    ) -> Result<Bound, RpcError> {
        let chain = self.rules().chain_id;
        let now = OffsetDateTime::now_utc();
        let bind = Bind::new((message, signature), caller.user(), chain, now);
        let bind = bind.map_err(|error| RpcError::params(error.to_string()))?;
        let address = bind.address();
        if !self.node.leads() && !self.node.is_alone() {
            let bound: Result<Bound, _> = self.ask_leader(caller, BIND, (message, signature)).await;
            let bound = bound.map_err(NotSent::into_error)?;
            self.node
                .wait_for(bound.transaction_id, ARRIVAL_PATIENCE)
                .await;
            return Ok(bound);
        }
        let submitted = self.node.submit(Box::new(bind), Wait::Committed).await;
        match submitted {
            Ok(Ok(id)) => Ok(Bound {
                address,
                user: caller.user().to_string(),
                transaction_id: id,
            }),
            Ok(Err(rejection)) => Err(RpcError::server(rejection.to_string())),
            Err(error) => Err(RpcError::server(error.to_string())),
        }
    }

    /// The caller's accounts.
    pub(super) fn accounts(&self, caller: &Caller) -> Vec<Address> {
        accounts_of(self.node.state(), caller.user())
    }

    /// Whose an account is.
    pub(super) fn owner(&self, address: &Address) -> Option<String> {
        owner(self.node.state(), address).map(|user| user.to_string())
    }
}
