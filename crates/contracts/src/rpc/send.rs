//! Transactions on their way into the ledger: run here where this node leads, else passed on.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_rpc_types_eth::TransactionReceipt;
use ledger::roles::Action;
use node::{SubmitError, Wait};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};
use verify::TxId;

use super::access::Caller;
use super::error::RpcError;
use super::leader::NotSent;
use super::to_its_end::ToItsEnd;
use super::{Rpc, SEND_RAW};
use crate::accounts::Account;
use crate::evm::Invalid;
use crate::execute::{Execute, Refused};
use crate::limits::{ARRIVAL_PATIENCE, LEADER_PATIENCE};
use crate::outcome::Outcome;
use crate::signed::Signed;

/// What became of a transaction that was sent.
#[derive(Debug, Clone)]
pub(super) enum Sent {
    /// It is committed, and this is what it did.
    Here(TxId, Arc<Outcome>),
    /// The leader committed it, there.
    There(TxId, B256),
    /// It waits for those before it.
    Waits(B256),
}

/// Where a transaction is, for those who know ledgers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Place {
    transaction_hash: B256,
    /// Missing as long as it waits for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) transaction_id: Option<TxId>,
    /// It was there before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    known: bool,
}

impl Sent {
    pub(super) fn hash(&self) -> B256 {
        match self {
            Self::Here(_, outcome) => outcome.hash,
            Self::There(_, hash) | Self::Waits(hash) => *hash,
        }
    }

    pub(super) fn place(&self) -> Place {
        Place {
            transaction_hash: self.hash(),
            transaction_id: match self {
                Self::Here(id, _) | Self::There(id, _) => Some(*id),
                Self::Waits(_) => None,
            },
            known: false,
        }
    }
}

/// Without a commit for so long, the leader is one no more.
const COMMITTED_WITHIN: Duration = Duration::from_secs(1);

/// What a transaction that is in the ledger is refused with when it is sent again.
const KNOWN: &str = "already known";

impl Rpc {
    /// Sends a transaction and waits until it is committed, if those before it are there. Where the
    /// leader is lost meanwhile, the next one gets it.
    ///
    /// # Errors
    /// The caller may not, it is refused, or the ledger does not take it now.
    pub(super) async fn send(
        self: &Arc<Self>,
        caller: &Caller,
        raw: Bytes,
    ) -> Result<Sent, RpcError> {
        let signed = Signed::decode(raw, self.rules().chain_id)?;
        caller.require(if signed.makes_contract() {
            Action::Deploy
        } else {
            Action::Transact
        })?;
        // The caller may go away; what follows this one must not wait for ever then.
        let (rpc, caller) = (Arc::clone(self), caller.clone());
        ToItsEnd::of(async move {
            let sent = rpc.send_to_leader(&caller, &signed).await?;
            if matches!(sent, Sent::Here(..)) {
                rpc.follow(&signed);
            }
            Ok(sent)
        })
        .await
    }

    /// Sends, and answers with the receipt. A transaction that waits for others gets none in time.
    pub(super) async fn send_sync(
        self: &Arc<Self>,
        caller: &Caller,
        raw: Bytes,
        patience: Option<u64>,
    ) -> Result<TransactionReceipt, RpcError> {
        const LONGEST: Duration = Duration::from_secs(30);
        let patience = patience.map_or(LONGEST, Duration::from_millis).min(LONGEST);
        let late = || {
            RpcError::server("the transaction was added to the pool but was not executed in time")
        };
        let sent = timeout(patience, async {
            match self.send(caller, raw).await? {
                Sent::Waits(_) => Err(late()),
                Sent::There(_, hash) => self.arrived(caller, hash).await,
                Sent::Here(_, outcome) => {
                    let block = crate::chain::block_hash(self.node.state(), outcome.block);
                    let block = block.map_err(Invalid::from)?;
                    self.seen_receipt(&self.sight(caller), &outcome, block)
                }
            }
        });
        sent.await.unwrap_or_else(|_| Err(late()))
    }

    /// The receipt of what the leader committed, once it is here. Where the leader was lost right after, that takes
    /// until there is another.
    async fn arrived(&self, caller: &Caller, hash: B256) -> Result<TransactionReceipt, RpcError> {
        let mut committed = self.node.committed_changes();
        loop {
            committed.borrow_and_update();
            if let Some(receipt) = self.receipt(&self.sight(caller), hash)? {
                return Ok(receipt);
            }
            // What is committed is shown a moment later.
            let _ = timeout(Duration::from_millis(100), committed.changed()).await;
        }
    }

    /// Sends, and answers with the place in the ledger, also of what was there before.
    pub(super) async fn send_to_place(
        self: &Arc<Self>,
        caller: &Caller,
        raw: Bytes,
    ) -> Result<Place, RpcError> {
        match self.send(caller, raw.clone()).await {
            Err(error) if error.says(KNOWN) => {
                let hash = keccak256(&raw);
                let (id, _) = self.history.transaction(&hash)?.ok_or(error)?;
                Ok(Place {
                    transaction_hash: hash,
                    transaction_id: Some(id),
                    known: true,
                })
            }
            sent => Ok(sent?.place()),
        }
    }

    async fn send_to_leader(&self, caller: &Caller, signed: &Signed) -> Result<Sent, RpcError> {
        let give_up = Instant::now() + LEADER_PATIENCE;
        let mut standing = self.node.standing_changes();
        let mut tried = false;
        loop {
            standing.borrow_and_update();
            let sent = if self.node.leads() || self.node.is_alone() {
                self.execute(signed).await
            } else {
                self.pass(caller, signed, tried).await
            };
            match sent {
                Ok(sent) => return Ok(sent),
                // What was in doubt is not any more.
                Err(NotSent::Refused(error)) if tried && error.says(KNOWN) => {
                    if let Some((id, outcome)) = self.history.transaction(&signed.hash())? {
                        return Ok(Sent::Here(id, outcome));
                    }
                    return Err(error);
                }
                Err(NotSent::Refused(error)) => return Err(error),
                Err(NotSent::Again(why)) if Instant::now() >= give_up => {
                    return Err(RpcError::server(why));
                }
                Err(NotSent::Again(why)) => {
                    tracing::debug!(why, hash = %signed.hash(), "a transaction is sent again");
                    tried = true;
                }
            }
            // A new leader may be there at once, or it may be the same after all.
            let _ = timeout(Duration::from_millis(100), standing.changed()).await;
        }
    }

    /// Sends those that waited for this one.
    fn follow(self: &Arc<Self>, before: &Signed) {
        let after =
            |rpc: &Self, before: &Signed| rpc.gaps.take(before.sender(), before.nonce() + 1);
        let mut next = after(self, before);
        // Mostly nobody waits: no task is made for that.
        if next.is_none() {
            return;
        }
        let rpc = Arc::clone(self);
        tokio::spawn(async move {
            while let Some(signed) = next {
                if let Err(error) = rpc.execute(&signed).await {
                    tracing::debug!(hash = %signed.hash(), ?error, "a transaction that waited was refused");
                }
                next = after(&rpc, &signed);
            }
        });
    }

    async fn execute(&self, signed: &Signed) -> Result<Sent, NotSent> {
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
        let place = submitted.map_err(|error| match error {
            SubmitError::NotLeading | SubmitError::Lost | SubmitError::InDoubt { .. } => {
                NotSent::Again(error.to_string())
            }
            SubmitError::Busy { .. } | SubmitError::Stopping => {
                NotSent::Refused(RpcError::server(error.to_string()))
            }
        })?;
        match (place, answer.get()) {
            (Ok(id), Some(Ok(outcome))) => Ok(Sent::Here(id, Arc::clone(outcome))),
            (Err(_), Some(Err(Refused::Invalid(Invalid::NonceTooHigh { .. })))) => {
                Ok(Sent::Waits(signed.hash()))
            }
            (Err(_), Some(Err(Refused::Invalid(invalid)))) => {
                Err(self.refused(signed, invalid.clone()).await)
            }
            (Err(_), Some(Err(refused))) => Err(RpcError::server(refused.to_string()).into()),
            (Err(rejection), _) => Err(RpcError::server(rejection.to_string()).into()),
            (Ok(place), _) => {
                let message =
                    format!("the transaction is recorded at {place}, and its result lost");
                Err(RpcError::server(message).into())
            }
        }
    }

    /// What was sent twice is told apart from what another transaction took the number of. Whichever it is
    /// may be on its way still: it is waited for.
    async fn refused(&self, signed: &Signed, invalid: Invalid) -> NotSent {
        let Invalid::NonceTooLow { state: next, .. } = invalid else {
            return RpcError::from(invalid).into();
        };
        let mut committed = self.node.committed_changes();
        loop {
            committed.borrow_and_update();
            // Read before the history, which shows all that this moment has.
            let account = Account::of(&self.node.moment(), &signed.sender());
            match self.history.transaction(&signed.hash()) {
                Ok(None) => {}
                Ok(Some(_)) => return RpcError::server(KNOWN).into(),
                Err(error) => return RpcError::from(error).into(),
            }
            match account.map(Option::unwrap_or_default) {
                Ok(account) if account.nonce >= next => return RpcError::from(invalid).into(),
                Ok(_) => {}
                Err(damaged) => return RpcError::from(Invalid::from(damaged)).into(),
            }
            if timeout(COMMITTED_WITHIN, committed.changed())
                .await
                .is_err()
            {
                let why = "what it follows is not committed yet; send it again";
                return NotSent::Again(why.to_owned());
            }
        }
    }

    /// Lets the leader do it, and waits until the result is here too. What is there already is sent if it
    /// was `tried` before.
    async fn pass(&self, caller: &Caller, signed: &Signed, tried: bool) -> Result<Sent, NotSent> {
        let place: Place = self.ask_leader(caller, SEND_RAW, [signed.raw()]).await?;
        let Some(id) = place.transaction_id else {
            return Ok(Sent::Waits(signed.hash()));
        };
        if place.known && !tried {
            return Err(RpcError::server(KNOWN).into());
        }
        self.node.wait_for(id, ARRIVAL_PATIENCE).await;
        Ok(Sent::There(id, signed.hash()))
    }
}
