//! Transactions on their way into the ledger: run here where this node leads, else passed on.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_rpc_types_eth::TransactionReceipt;
use ledger::roles::Action;
use ledger::users::UserId;
use node::{SubmitError, Wait};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout};
use verify::TxId;

use super::access::Caller;
use super::error::RpcError;
use super::{Rpc, SEND_RAW};
use crate::accounts::Account;
use crate::evm::Invalid;
use crate::execute::{Execute, Refused};
use crate::limits::{ARRIVAL_PATIENCE, LEADER_PATIENCE};
use crate::outcome::Outcome;
use crate::signed::Signed;

/// The leader's answer, under way. An error is one that asking again may help against: there is no leader
/// now, or it was lost while it was asked.
pub type Asked<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send + 'a>>;

/// The way to the node that leads, for those that do not.
pub trait ToLeader: Send + Sync {
    /// Posts a JSON-RPC request to the leader, for this user.
    fn ask<'a>(&'a self, user: &'a UserId, request: Vec<u8>) -> Asked<'a>;
}

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
    transaction_id: Option<TxId>,
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

/// Why a transaction was not sent.
#[derive(Debug, Clone)]
enum NotSent {
    /// It cannot be.
    Refused(RpcError),
    /// There is no leader, or not any more. The same transaction can be sent again without harm: its
    /// number is used once.
    Again(String),
}

impl From<RpcError> for NotSent {
    fn from(error: RpcError) -> Self {
        Self::Refused(error)
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
                rpc.follow(signed);
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
        let sent = timeout(patience, self.send(caller, raw)).await;
        match sent.map_err(|_| late())?? {
            Sent::Waits(_) => Err(late()),
            Sent::There(_, hash) => {
                let receipt = self.receipt(&self.sight(caller), hash)?;
                receipt.ok_or_else(late)
            }
            Sent::Here(_, outcome) => {
                let block = crate::chain::block_hash(self.node.state(), outcome.block);
                let block = block.map_err(Invalid::from)?;
                self.seen_receipt(&self.sight(caller), &outcome, block)
            }
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
    fn follow(self: &Arc<Self>, mut before: Signed) {
        let rpc = Arc::clone(self);
        tokio::spawn(async move {
            while let Some(next) = rpc.gaps.take(before.sender(), before.nonce() + 1) {
                if let Err(error) = rpc.execute(&next).await {
                    tracing::debug!(hash = %next.hash(), ?error, "a transaction that waited was refused");
                }
                before = next;
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
            // Read before the history, which knows all that this counts.
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
        #[derive(Serialize)]
        struct Request<'a> {
            jsonrpc: &'static str,
            id: u8,
            method: &'static str,
            params: [&'a Bytes; 1],
        }
        let request = Request {
            jsonrpc: "2.0",
            id: 1,
            method: SEND_RAW,
            params: [signed.raw()],
        };
        let request = serde_json::to_vec(&request).expect("digits are JSON");
        let answer = self.leader.ask(caller.user(), request).await;
        let place = read_place(&answer.map_err(NotSent::Again)?)?;
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

/// What the leader answered.
fn read_place(answer: &[u8]) -> Result<Place, NotSent> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        result: Option<Place>,
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
    match serde_json::from_slice(answer) {
        Ok(Answer {
            result: Some(place),
            error: None,
        }) => Ok(place),
        Ok(Answer {
            error: Some(refusal),
            ..
        }) => {
            let data = refusal.data.and_then(|data| serde_json::from_str(data.get()).ok());
            Err(RpcError::passed_on(refusal.code, refusal.message, data).into())
        }
        // A node that stops, or does not lead any more, says so in another way.
        _ => Err(NotSent::Again(
            "the leader did not take the transaction: nothing is recorded, or it was in doubt; send \
             it again"
                .to_owned(),
        )),
    }
}

/// Work that goes on where nobody waits for it any more. It begins when it is first waited for, and not
/// later, so that what is waited for in turn is also begun in turn.
struct ToItsEnd<T: Send + 'static>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T: Send + 'static> ToItsEnd<T> {
    fn of(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl<T: Send + 'static> Future for ToItsEnd<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let work = self.0.as_mut().expect("it is waited for once");
        let ready = work.as_mut().poll(cx);
        if ready.is_ready() {
            self.0 = None;
        }
        ready
    }
}

impl<T: Send + 'static> Drop for ToItsEnd<T> {
    fn drop(&mut self) {
        // Outside of the runtime the node has stopped.
        if let Some(work) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_goes_on() {
        let (go, gone) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let mut work = Box::pin(ToItsEnd::of(async move {
            gone.await.unwrap();
            tell.send(()).unwrap();
        }));
        let first = std::future::poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx)));
        assert!(first.await.is_pending());
        drop(work);
        go.send(()).unwrap();
        told.await.unwrap();
    }

    #[tokio::test]
    async fn what_is_waited_for_ends() {
        assert_eq!(ToItsEnd::of(async { 7 }).await, 7);
    }

    #[test]
    fn what_the_leader_answers_is_what_the_client_gets() {
        let hash = B256::repeat_byte(7);
        let place = format!(
            r#"{{"jsonrpc":"2.0","id":1,"result":{{"transactionHash":"{hash}","transactionId":"2.35"}}}}"#
        );
        let place = read_place(place.as_bytes()).unwrap();
        assert_eq!(place.transaction_id, Some("2.35".parse().unwrap()));
        let refused =
            br#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"nonce too low"}}"#;
        let Err(NotSent::Refused(error)) = read_place(refused) else {
            panic!("the leader refused it");
        };
        assert!(error.says("nonce too low"));
        for other in [
            &b""[..],
            b"{}",
            br#"{"error":{"code":"NoLeader","message":""}}"#,
        ] {
            assert!(matches!(read_place(other), Err(NotSent::Again(_))));
        }
    }
}
