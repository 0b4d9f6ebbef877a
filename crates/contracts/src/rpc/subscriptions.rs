//! `eth_subscribe`: new blocks and logs as they are committed, over WebSocket.

use std::sync::Arc;
use std::time::Duration;

use alloy_rpc_types_eth::Filter;
use alloy_rpc_types_eth::pubsub::{Params as Asked, SubscriptionKind};
use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::core::server::SubscriptionMessage;
use jsonrpsee::core::traits::IdProvider;
use jsonrpsee::types::{Extensions, Params, SubscriptionId};
use jsonrpsee::{PendingSubscriptionSink, RpcModule, SubscriptionSink};
use ledger::roles::Action;
use serde::Serialize;

use super::access::Caller;
use super::error::RpcError;
use super::{Rpc, query_of, shapes};
use crate::history::{LogQuery, matching};

/// One who does not read for so long loses the subscription.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// What is told about.
pub(super) enum Told {
    Heads,
    Logs(LogQuery),
}

pub(super) fn register(all: &mut RpcModule<Arc<Rpc>>) -> Result<(), RegisterMethodError> {
    all.register_subscription(
        "eth_subscribe",
        "eth_subscription",
        "eth_unsubscribe",
        |params, pending, rpc, from| async move { subscribe(&params, pending, &rpc, &from).await },
    )?;
    Ok(())
}

async fn subscribe(
    params: &Params<'static>,
    pending: PendingSubscriptionSink,
    rpc: &Rpc,
    from: &Extensions,
) {
    let caller = match Caller::of(from) {
        Ok(caller) => caller,
        Err(error) => return pending.reject(error).await,
    };
    let told = match asked(params) {
        Ok(told) => told,
        Err(error) => return pending.reject(error).await,
    };
    // From here on nothing is missed.
    let mut committed = rpc.node.committed_changes();
    let Ok(mut newest) = rpc.history.newest() else {
        let error = RpcError::server("the chain cannot be read");
        return pending.reject(error).await;
    };
    let Ok(sink) = pending.accept().await else {
        return;
    };
    loop {
        tokio::select! {
            () = sink.closed() => return,
            changed = committed.changed() => if changed.is_err() { return },
        }
        committed.borrow_and_update();
        match tell(rpc, &caller, &sink, &told, newest).await {
            Ok(upto) => newest = upto,
            Err(why) => {
                tracing::debug!(why, "a subscription ends");
                return;
            }
        }
    }
}

/// Tells of all blocks after `newest`; returns the one it came to.
async fn tell(
    rpc: &Rpc,
    caller: &Caller,
    sink: &SubscriptionSink,
    told: &Told,
    newest: u64,
) -> Result<u64, &'static str> {
    if !caller.may(Action::ReadContracts) {
        return Err("the caller may not read any more");
    }
    let upto = rpc
        .history
        .newest()
        .map_err(|_| "the chain cannot be read")?;
    for number in newest + 1..=upto {
        let block = rpc.history.block(number);
        let Some(block) = block.map_err(|_| "a block cannot be read")? else {
            return Ok(number - 1);
        };
        match told {
            Told::Heads => {
                let block = rpc.shown(&rpc.sight(caller), &block, false);
                let block = block.map_err(|_| "a block cannot be read")?;
                send(sink, &block.header).await?;
            }
            Told::Logs(query) => {
                let transactions = block.transactions.iter();
                let logs = transactions.flat_map(|one| matching(query, one, block.hash));
                let seen = rpc.sight(caller).only_seen(logs.collect());
                for placed in seen.map_err(|_| "the chain cannot be read")? {
                    send(sink, &shapes::log(&placed)).await?;
                }
            }
        }
    }
    Ok(upto)
}

async fn send(sink: &SubscriptionSink, what: &impl Serialize) -> Result<(), &'static str> {
    let message = SubscriptionMessage::new(sink.method_name(), sink.subscription_id(), what);
    let message = message.map_err(|_| "it cannot be written as JSON")?;
    let sent = sink.send_timeout(message, READ_WITHIN).await;
    sent.map_err(|_| "nobody reads it")
}

pub(super) fn asked(params: &Params<'_>) -> Result<Told, RpcError> {
    let mut params = params.sequence();
    let kind: SubscriptionKind = params.next()?;
    match (kind, params.optional_next::<Asked>()?) {
        (SubscriptionKind::NewHeads, _) => Ok(Told::Heads),
        (SubscriptionKind::Logs, None | Some(Asked::None)) => {
            Ok(Told::Logs(query_of(&Filter::default())?))
        }
        (SubscriptionKind::Logs, Some(Asked::Logs(filter))) => Ok(Told::Logs(query_of(&filter)?)),
        (SubscriptionKind::Logs, Some(_)) => Err(RpcError::params("logs take a filter")),
        _ => Err(RpcError::params(
            "subscribe to newHeads or logs: every transaction is committed at once, none is pending",
        )),
    }
}

/// Subscriptions are named as Ethereum's clients expect it: in hexadecimal digits.
#[derive(Debug)]
pub(super) struct Names;

impl IdProvider for Names {
    fn next_id(&self) -> SubscriptionId<'static> {
        SubscriptionId::Str(super::filters::name().into())
    }
}
