//! All methods, as a table of contents.

use std::sync::Arc;

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, Bytes, U64, U256, keccak256};
use alloy_rpc_types_eth::simulate::SimulatePayload;
use alloy_rpc_types_eth::{Index, TransactionRequest};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::types::params::ParamsSequence;
use jsonrpsee::types::{ErrorObjectOwned, Params};
use serde::Serialize;

use super::access::Caller;
use super::calls::Wished;
use super::error::RpcError;
use super::sight::Sight;
use super::{BIND, Rpc, SEND_RAW, block_of, subscriptions, turns};

type Answer<T> = Result<T, ErrorObjectOwned>;

/// All methods.
///
/// # Errors
/// None: each name is there once.
pub(super) fn all(rpc: Arc<Rpc>) -> Result<RpcModule<Arc<Rpc>>, RegisterMethodError> {
    let mut all = RpcModule::new(rpc);
    constants(&mut all)?;
    reads(&mut all)?;
    calls(&mut all)?;
    sends(&mut all)?;
    owners(&mut all)?;
    watches(&mut all)?;
    subscriptions::register(&mut all)?;
    Ok(all)
}

fn constants(all: &mut RpcModule<Arc<Rpc>>) -> Result<(), RegisterMethodError> {
    all.register_method("web3_clientVersion", |_, _, _| {
        concat!("Counterfoil/v", env!("CARGO_PKG_VERSION"))
    })?;
    all.register_method("web3_sha3", |params, _, _| -> Answer<B256> {
        Ok(keccak256(params.one::<Bytes>()?))
    })?;
    all.register_method("net_version", |_, rpc, _| rpc.rules().chain_id.to_string())?;
    all.register_method("net_listening", |_, _, _| true)?;
    all.register_method("net_peerCount", |_, _, _| Answer::Ok(U64::ZERO))?;
    all.register_method("eth_chainId", |_, rpc, _| Answer::Ok(rpc.chain_id()))?;
    all.register_method("eth_syncing", |_, _, _| false)?;
    all.register_method("eth_mining", |_, _, _| false)?;
    all.register_method("eth_accounts", |_, _, _| Vec::<Address>::new())?;
    all.register_method("eth_gasPrice", |_, _, _| Answer::Ok(U256::ZERO))?;
    all.register_method("eth_maxPriorityFeePerGas", |_, _, _| Answer::Ok(U256::ZERO))?;
    all.register_method("eth_blobBaseFee", |_, _, _| Answer::Ok(U256::ZERO))?;
    Ok(())
}

fn reads(all: &mut RpcModule<Arc<Rpc>>) -> Result<(), RegisterMethodError> {
    all.register_method("eth_blockNumber", |_, rpc, _| -> Answer<U64> {
        let newest = rpc.history.newest().map_err(RpcError::from)?;
        Ok(U64::from(newest))
    })?;
    all.register_method("eth_getBalance", |params, rpc, _| -> Answer<U256> {
        let (address, block) = addressed(&params)?;
        Ok(rpc.account(address, block)?.balance)
    })?;
    all.register_method("eth_getTransactionCount", |params, rpc, _| -> Answer<U64> {
        let (address, block) = addressed(&params)?;
        Ok(U64::from(rpc.account(address, block)?.nonce))
    })?;
    all.register_method("eth_getCode", |params, rpc, from| -> Answer<Bytes> {
        let sight = rpc.sight(&Caller::of(from)?);
        let (address, block) = addressed(&params)?;
        Ok(rpc.code(&sight, address, block)?)
    })?;
    all.register_method("eth_getStorageAt", |params, rpc, from| -> Answer<B256> {
        let sight = rpc.sight(&Caller::of(from)?);
        let mut params = params.sequence();
        let slot = (params.next()?, params.next()?);
        let block = block_of(params.optional_next()?);
        Ok(rpc.storage(&sight, slot, block)?)
    })?;
    all.register_blocking_method("eth_getBlockByNumber", |params, rpc, from| {
        let sight = rpc.sight(&Caller::of(&from)?);
        let mut params = params.sequence();
        let block: BlockNumberOrTag = params.next()?;
        let whole = params.optional_next()?.unwrap_or(false);
        Answer::Ok(rpc.block(&sight, block.into(), whole)?)
    })?;
    all.register_blocking_method("eth_getBlockByHash", |params, rpc, from| {
        let sight = rpc.sight(&Caller::of(&from)?);
        let mut params = params.sequence();
        let hash: B256 = params.next()?;
        let whole = params.optional_next()?.unwrap_or(false);
        Answer::Ok(rpc.block(&sight, hash.into(), whole)?)
    })?;
    all.register_blocking_method("eth_getBlockReceipts", |params, rpc, from| {
        let sight = rpc.sight(&Caller::of(&from)?);
        let block: BlockId = params.sequence().next()?;
        Answer::Ok(rpc.receipts(&sight, block)?)
    })?;
    all.register_method("eth_getTransactionByHash", |params, rpc, from| {
        let sight = rpc.sight(&Caller::of(from)?);
        Answer::Ok(rpc.transaction(&sight, params.one()?)?)
    })?;
    all.register_method("eth_getTransactionReceipt", |params, rpc, from| {
        let sight = rpc.sight(&Caller::of(from)?);
        Answer::Ok(rpc.receipt(&sight, params.one()?)?)
    })?;
    all.register_method("eth_getAccountInfo", |params, rpc, from| {
        let sight = rpc.sight(&Caller::of(from)?);
        let (address, block) = addressed(&params)?;
        Answer::Ok(rpc.account_info(&sight, address, block)?)
    })?;
    all.register_method("eth_getProof", |_, _, _| -> Answer<()> {
        let message = "there is no trie of the state to prove from: counterfoil_getReceipt proves \
                       what a transaction did";
        Err(RpcError::server(message).into())
    })?;
    all.register_method("txpool_status", |_, rpc, _| Answer::Ok(rpc.pool()))?;
    in_blocks(all)?;
    all.register_blocking_method("counterfoil_getReceipt", |params, rpc, from| {
        let sight = rpc.sight(&Caller::of(&from)?);
        Answer::Ok(rpc.proof(&sight, params.one()?)?)
    })?;
    all.register_blocking_method("eth_getLogs", |params, rpc, from| {
        let sight = rpc.sight(&Caller::of(&from)?);
        Answer::Ok(rpc.logs(&sight, &params.one()?)?)
    })?;
    all.register_method("eth_feeHistory", |params, rpc, _| {
        let mut params = params.sequence();
        let count: U64 = params.next()?;
        let newest: BlockNumberOrTag = params.next()?;
        let asked: Option<Vec<f64>> = params.optional_next()?;
        let history = rpc.fee_history(count.to(), newest.into(), asked.as_deref())?;
        Answer::Ok(history)
    })?;
    Ok(())
}

/// What is asked for by a block and a place in it. There are no uncles: nothing competes.
fn in_blocks(all: &mut RpcModule<Arc<Rpc>>) -> Result<(), RegisterMethodError> {
    for (by, at, count, uncles, uncle) in [
        (
            By::Number,
            "eth_getTransactionByBlockNumberAndIndex",
            "eth_getBlockTransactionCountByNumber",
            "eth_getUncleCountByBlockNumber",
            "eth_getUncleByBlockNumberAndIndex",
        ),
        (
            By::Hash,
            "eth_getTransactionByBlockHashAndIndex",
            "eth_getBlockTransactionCountByHash",
            "eth_getUncleCountByBlockHash",
            "eth_getUncleByBlockHashAndIndex",
        ),
    ] {
        all.register_blocking_method(at, move |params, rpc, from| {
            let sight = rpc.sight(&Caller::of(&from)?);
            let mut params = params.sequence();
            let block = by.block(&mut params)?;
            let Index(at) = params.next()?;
            Answer::Ok(rpc.transaction_at(&sight, block, at)?)
        })?;
        all.register_blocking_method(count, move |params, rpc, _| {
            let block = by.block(&mut params.sequence())?;
            Answer::Ok(rpc.transactions_in(block)?.map(U64::from))
        })?;
        all.register_blocking_method(uncles, move |params, rpc, _| {
            let block = by.block(&mut params.sequence())?;
            Answer::Ok(rpc.transactions_in(block)?.map(|_| U64::ZERO))
        })?;
        all.register_method(uncle, |_, _, _| ())?;
    }
    Ok(())
}

/// How a method names a block.
#[derive(Debug, Clone, Copy)]
enum By {
    Number,
    Hash,
}

impl By {
    fn block(self, params: &mut ParamsSequence<'_>) -> Answer<BlockId> {
        Ok(match self {
            Self::Number => params.next::<BlockNumberOrTag>()?.into(),
            Self::Hash => params.next::<B256>()?.into(),
        })
    }
}

/// What runs code: each call when there is a core for it.
fn calls(all: &mut RpcModule<Arc<Rpc>>) -> Result<(), RegisterMethodError> {
    all.register_async_method("eth_call", |params, rpc, from| async move {
        let caller = Caller::of(&from)?;
        let (request, block, wished) = requested(&rpc.sight(&caller), &params)?;
        if let Some(answer) = rpc.call_briefly(&request, block, &wished) {
            return Answer::Ok(answer);
        }
        let answer = turns::run(move || rpc.call(request, block, &wished)).await;
        Ok(answer?)
    })?;
    called(all, "eth_estimateGas", |params, rpc, caller| {
        let (request, block, wished) = requested(&rpc.sight(caller), params)?;
        Ok(U64::from(rpc.estimate(request, block, &wished)?))
    })?;
    called(all, "eth_createAccessList", |params, rpc, caller| {
        let (request, block, _) = requested(&rpc.sight(caller), params)?;
        Ok(rpc.access_list(request, block)?)
    })?;
    called(all, "eth_fillTransaction", |params, rpc, caller| {
        let request = by(&rpc.sight(caller), params.sequence().next()?)?;
        Ok(rpc.fill(request)?)
    })?;
    called(all, "eth_simulateV1", |params, rpc, caller| {
        rpc.sight(caller).require_everything()?;
        let mut params = params.sequence();
        let asked: SimulatePayload = params.next()?;
        let block = block_of(params.optional_next()?);
        Ok(rpc.simulate(&asked, block)?)
    })?;
    called(all, "debug_traceTransaction", |params, rpc, caller| {
        rpc.sight(caller).require_everything()?;
        let mut params = params.sequence();
        let hash = params.next()?;
        let options = params.optional_next()?.unwrap_or_default();
        Ok(rpc.trace(hash, options)?)
    })?;
    called(all, "debug_traceCall", |params, rpc, caller| {
        rpc.sight(caller).require_everything()?;
        let mut params = params.sequence();
        let request = params.next()?;
        let block = block_of(params.optional_next()?);
        let options = params.optional_next()?.unwrap_or_default();
        Ok(rpc.trace_call(request, block, options)?)
    })
}

/// A method that takes its turn.
fn called<T: Serialize + Clone + Send + 'static>(
    all: &mut RpcModule<Arc<Rpc>>,
    name: &'static str,
    call: fn(&Params<'_>, &Rpc, &Caller) -> Answer<T>,
) -> Result<(), RegisterMethodError> {
    all.register_async_method(name, move |params, rpc, from| async move {
        let caller = Caller::of(&from)?;
        turns::run(move || call(&params, &rpc, &caller)).await
    })?;
    Ok(())
}

fn sends(all: &mut RpcModule<Arc<Rpc>>) -> Result<(), RegisterMethodError> {
    all.register_async_method("eth_sendRawTransaction", |params, rpc, from| async move {
        let caller = Caller::of(&from)?;
        let sent = rpc.send(&caller, params.one()?).await?;
        Answer::Ok(sent.hash())
    })?;
    all.register_async_method(SEND_RAW, |params, rpc, from| async move {
        let caller = Caller::of(&from)?;
        Answer::Ok(rpc.send_to_place(&caller, params.one()?).await?)
    })?;
    all.register_async_method(
        "eth_sendRawTransactionSync",
        |params, rpc, from| async move {
            let caller = Caller::of(&from)?;
            let mut params = params.sequence();
            let (raw, patience) = (params.next()?, params.optional_next::<U64>()?);
            let patience = patience.map(|patience| patience.to());
            Answer::Ok(rpc.send_sync(&caller, raw, patience).await?)
        },
    )?;
    Ok(())
}

/// Accounts of users.
fn owners(all: &mut RpcModule<Arc<Rpc>>) -> Result<(), RegisterMethodError> {
    all.register_method("counterfoil_accountMessage", |params, rpc, from| {
        let caller = Caller::of(from)?;
        Answer::Ok(rpc.account_message(&caller, params.one()?))
    })?;
    all.register_async_method(BIND, |params, rpc, from| async move {
        let caller = Caller::of(&from)?;
        let mut params = params.sequence();
        let (message, signature): (String, Bytes) = (params.next()?, params.next()?);
        Answer::Ok(rpc.bind(&caller, &message, &signature).await?)
    })?;
    all.register_method("counterfoil_accounts", |_, rpc, from| {
        let caller = Caller::of(from)?;
        Answer::Ok(rpc.accounts(&caller))
    })?;
    all.register_method("counterfoil_accountOwner", |params, rpc, _| {
        Answer::Ok(rpc.owner(&params.one()?))
    })?;
    Ok(())
}

fn watches(all: &mut RpcModule<Arc<Rpc>>) -> Result<(), RegisterMethodError> {
    all.register_method("eth_newBlockFilter", |_, rpc, _| {
        Answer::Ok(rpc.watch_blocks()?)
    })?;
    all.register_method("eth_newPendingTransactionFilter", |_, rpc, _| {
        Answer::Ok(rpc.watch_pending()?)
    })?;
    all.register_method("eth_newFilter", |params, rpc, _| {
        Answer::Ok(rpc.watch_logs(params.one()?)?)
    })?;
    all.register_method("eth_uninstallFilter", |params, rpc, _| {
        Answer::Ok(rpc.unwatch(&params.one::<String>()?))
    })?;
    all.register_blocking_method("eth_getFilterChanges", |params, rpc, from| {
        let sight = rpc.sight(&Caller::of(&from)?);
        Answer::Ok(rpc.changes(&sight, &params.one::<String>()?)?)
    })?;
    all.register_blocking_method("eth_getFilterLogs", |params, rpc, from| {
        let sight = rpc.sight(&Caller::of(&from)?);
        Answer::Ok(rpc.filtered(&sight, &params.one::<String>()?)?)
    })?;
    Ok(())
}

/// An address, and on which block.
///
/// # Errors
/// There is none.
pub(super) fn addressed(params: &Params<'_>) -> Answer<(Address, BlockId)> {
    let mut params = params.sequence();
    let address = params.next()?;
    Ok((address, block_of(params.optional_next()?)))
}

/// A call as this caller can make it, on which block, and what they would like the state to be.
fn requested(
    sight: &Sight<'_>,
    params: &Params<'_>,
) -> Answer<(TransactionRequest, BlockId, Wished)> {
    let (request, block, wished) = call_of(params)?;
    if !wished.is_nothing() {
        sight.require_everything()?;
    }
    Ok((by(sight, request)?, block, wished))
}

/// A call as it is written.
///
/// # Errors
/// It is none.
pub(super) fn call_of(params: &Params<'_>) -> Answer<(TransactionRequest, BlockId, Wished)> {
    let mut params = params.sequence();
    let request = params.next()?;
    let block = block_of(params.optional_next()?);
    let wished = Wished {
        state: params.optional_next()?.unwrap_or_default(),
        block: params.optional_next()?.unwrap_or_default(),
    };
    Ok((request, block, wished))
}

/// A call in the name of an account that the caller may use.
fn by(sight: &Sight<'_>, mut request: TransactionRequest) -> Answer<TransactionRequest> {
    request.from = Some(sight.caller_of(request.from)?);
    Ok(request)
}
