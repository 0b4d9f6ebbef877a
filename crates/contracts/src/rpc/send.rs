//! Transactions on their way into the ledger.

use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use alloy_primitives::{B256, Bytes};
use node::Wait;

use super::Rpc;
use super::error::RpcError;
use crate::evm::Invalid;
use crate::execute::{Execute, Refused};
use crate::outcome::Outcome;
use crate::signed::Signed;

/// What became of a transaction that was sent.
pub(super) enum Sent {
    /// It is committed, and this is what it did.
    Committed(Arc<Outcome>),
    /// It waits for those before it; this is its hash.
    Waits(B256),
}

impl Rpc {
    /// Sends a transaction and waits until it is committed, if those before it are there.
    ///
    /// # Errors
    /// It is refused, or the ledger does not take it now.
    pub(super) async fn send(self: &Arc<Self>, raw: Bytes) -> Result<Sent, RpcError> {
        let signed = Signed::decode(raw, self.rules().chain_id)?;
        // The caller may go away; what follows this one must not wait for ever then.
        let rpc = Arc::clone(self);
        let sending = tokio::spawn(async move {
            let sent = rpc.execute(signed.clone()).await?;
            if matches!(sent, Sent::Committed(..)) {
                rpc.follow(signed);
            }
            Ok(sent)
        });
        sending
            .await
            .unwrap_or_else(|_| Err(RpcError::server("the node is stopping")))
    }

    /// Sends those that waited for this one.
    fn follow(self: &Arc<Self>, mut before: Signed) {
        let rpc = Arc::clone(self);
        tokio::spawn(async move {
            while let Some(next) = rpc.gaps.take(before.sender(), before.nonce() + 1) {
                if let Err(error) = rpc.execute(next.clone()).await {
                    tracing::debug!(hash = %next.hash(), ?error, "a transaction that waited was refused");
                }
                before = next;
            }
        });
    }

    async fn execute(&self, signed: Signed) -> Result<Sent, RpcError> {
        let answer = Arc::new(OnceLock::new());
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let execute = Execute {
            signed: signed.clone(),
            time: now.map_or(0, |since| since.as_secs()),
            codes: Arc::clone(&self.codes),
            gaps: Arc::clone(&self.gaps),
            answer: Arc::clone(&answer),
        };
        let submitted = self.node.submit(Box::new(execute), Wait::Committed).await;
        // Nothing was recorded, or that is not known: the text says so.
        let place = submitted.map_err(|error| RpcError::server(error.to_string()))?;
        match (place, answer.get()) {
            (Ok(_), Some(Ok(outcome))) => Ok(Sent::Committed(Arc::clone(outcome))),
            (Err(_), Some(Err(Refused::Invalid(Invalid::NonceTooHigh { .. })))) => {
                Ok(Sent::Waits(signed.hash()))
            }
            (Err(_), Some(Err(Refused::Invalid(invalid)))) => {
                self.refused(&signed, invalid.clone())
            }
            (Err(_), Some(Err(refused))) => Err(RpcError::server(refused.to_string())),
            (Err(rejection), _) => Err(RpcError::server(rejection.to_string())),
            (Ok(place), _) => {
                let message =
                    format!("the transaction is recorded at {place}, and its result lost");
                Err(RpcError::server(message))
            }
        }
    }

    /// What was sent twice is told apart from what another transaction took the number of.
    fn refused(&self, signed: &Signed, invalid: Invalid) -> Result<Sent, RpcError> {
        if matches!(invalid, Invalid::NonceTooLow { .. })
            && self.history.transaction(&signed.hash())?.is_some()
        {
            return Err(RpcError::server("already known"));
        }
        Err(invalid.into())
    }
}
