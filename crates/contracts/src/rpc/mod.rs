//! Ethereum's JSON-RPC, as its clients speak it (execution-apis; where that is silent, as geth answers).

mod calls;
mod error;
mod filters;
mod send;
mod server;
mod shapes;
mod subscriptions;

use std::sync::Arc;
use std::time::Duration;

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, Bytes, U64, U256, keccak256};
use alloy_rpc_types_eth::{
    Block as RpcBlock, FeeHistory, Filter, FilterBlockOption, Log, Transaction, TransactionReceipt,
    TransactionRequest,
};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::types::{ErrorObjectOwned, Params};
use node::Node;
use verify::ReceiptDocument;

use self::error::RpcError;
use self::filters::Filters;
use self::send::Sent;
use crate::accounts::{self, Account};
use crate::evm::{Codes, Invalid};
use crate::gaps::Gaps;
use crate::history::{Block, History, HistoryError, LogQuery};
use crate::limits::FEE_HISTORY_MAX;
use crate::outcome::Outcome;
use ledger::contracts::Rules;

pub use server::{Plain, PlainError};

/// What answers requests.
pub struct Rpc {
    node: Arc<Node>,
    history: History,
    codes: Arc<Codes>,
    gaps: Arc<Gaps>,
    filters: Filters,
}

type Answer<T> = Result<T, ErrorObjectOwned>;

impl Rpc {
    /// The chain on this node's ledger.
    pub fn new(node: Arc<Node>) -> Arc<Self> {
        Arc::new(Self {
            history: History::new(Arc::clone(&node)),
            node,
            codes: Arc::default(),
            gaps: Arc::default(),
            filters: Filters::default(),
        })
    }

    fn rules(&self) -> Rules {
        Rules::of(self.node.state())
    }

    fn chain_id(&self) -> U64 {
        U64::from(self.rules().chain_id)
    }

    fn account(&self, address: Address, block: BlockId) -> Result<Account, RpcError> {
        self.at(block, |state, _| {
            let account = Account::of(state, &address).map_err(Invalid::from)?;
            Ok(account.unwrap_or_default())
        })
    }

    fn code(&self, address: Address, block: BlockId) -> Result<Bytes, RpcError> {
        let account = self.account(address, block)?;
        Ok(accounts::code(self.node.state(), &account.code))
    }

    fn storage(&self, address: Address, slot: U256, block: BlockId) -> Result<B256, RpcError> {
        self.at(block, |state, _| {
            let value = accounts::storage(state, &address, &slot).map_err(Invalid::from)?;
            Ok(B256::from(value))
        })
    }

    fn known_block(&self, block: BlockId) -> Result<Option<Arc<Block>>, RpcError> {
        match self.number_of(block) {
            Ok(number) => Ok(self.history.block(number)?),
            Err(_) => Ok(None),
        }
    }

    /// A block; `None` if there is none.
    fn block(&self, block: BlockId, whole: bool) -> Result<Option<RpcBlock>, RpcError> {
        let Some(block) = self.known_block(block)? else {
            return Ok(None);
        };
        Ok(Some(shapes::block(&block, whole).map_err(Invalid::from)?))
    }

    fn found(&self, hash: B256) -> Result<Option<(Arc<Outcome>, B256)>, RpcError> {
        let Some((_, outcome)) = self.history.transaction(&hash)? else {
            return Ok(None);
        };
        let block = crate::chain::block_hash(self.node.state(), outcome.block);
        Ok(Some((outcome, block.map_err(Invalid::from)?)))
    }

    fn transaction(&self, hash: B256) -> Result<Option<Transaction>, RpcError> {
        let shown = match self.found(hash)? {
            Some((outcome, block)) => shapes::transaction(&outcome, Some(block)),
            None => return Ok(self.gaps.find(&hash).as_ref().map(shapes::pending)),
        };
        Ok(Some(shown.map_err(Invalid::from)?))
    }

    fn receipt(&self, hash: B256) -> Result<Option<TransactionReceipt>, RpcError> {
        let Some((outcome, block)) = self.found(hash)? else {
            return Ok(None);
        };
        let receipt = shapes::receipt(&outcome, block).map_err(Invalid::from)?;
        Ok(Some(receipt))
    }

    /// What anybody can check offline: that the ledger has this transaction, with this result.
    fn proof(&self, hash: B256) -> Result<Option<ReceiptDocument>, RpcError> {
        let Some((id, _)) = self.history.transaction(&hash)? else {
            return Ok(None);
        };
        let receipt = self.node.receipt(id).map_err(HistoryError::from)?;
        Ok(Some(receipt))
    }

    fn receipts(&self, block: BlockId) -> Result<Option<Vec<TransactionReceipt>>, RpcError> {
        let Some(block) = self.known_block(block)? else {
            return Ok(None);
        };
        let receipts = block.transactions.iter();
        let receipts = receipts.map(|outcome| shapes::receipt(outcome, block.hash));
        let receipts = receipts.collect::<Result<_, _>>();
        Ok(Some(receipts.map_err(Invalid::from)?))
    }

    fn logs(&self, filter: &Filter) -> Result<Vec<Log>, RpcError> {
        let newest = self.history.newest()?;
        let blocks = match &filter.block_option {
            FilterBlockOption::AtBlockHash(hash) => {
                let number = self.number_of(BlockId::from(*hash));
                let number = number.map_err(|_| RpcError::server("unknown block"))?;
                number..=number
            }
            FilterBlockOption::Range {
                from_block,
                to_block,
            } => {
                let number = |block: &Option<BlockNumberOrTag>| match block {
                    Some(BlockNumberOrTag::Number(number)) => *number,
                    Some(BlockNumberOrTag::Earliest) => 0,
                    _ => newest,
                };
                number(from_block)..=number(to_block)
            }
        };
        if blocks.is_empty() {
            return Err(RpcError::params("invalid block range params"));
        }
        let found = self.history.logs(&query_of(filter), blocks)?;
        Ok(found.iter().map(shapes::log).collect())
    }

    /// Gas costs nothing and never did.
    fn fee_history(
        &self,
        count: u64,
        newest: BlockId,
        percentiles: Option<&[f64]>,
    ) -> Result<FeeHistory, RpcError> {
        let newest = self.number_of(newest)?;
        let count = count.clamp(1, FEE_HISTORY_MAX).min(newest + 1);
        let places = usize::try_from(count).unwrap_or(1);
        Ok(FeeHistory {
            base_fee_per_gas: vec![0; places + 1],
            gas_used_ratio: vec![0.0; places],
            base_fee_per_blob_gas: vec![0; places + 1],
            blob_gas_used_ratio: vec![0.0; places],
            oldest_block: newest + 1 - count,
            reward: percentiles.map(|asked| vec![vec![0; asked.len()]; places]),
        })
    }

    async fn send_raw(self: &Arc<Self>, raw: Bytes) -> Result<B256, RpcError> {
        Ok(match self.send(raw).await? {
            Sent::Committed(outcome) => outcome.hash,
            Sent::Waits(hash) => hash,
        })
    }

    /// Sends, and answers with the receipt. A transaction that waits for others gets none in time.
    async fn send_raw_sync(
        self: &Arc<Self>,
        raw: Bytes,
        patience: Option<u64>,
    ) -> Result<TransactionReceipt, RpcError> {
        const LONGEST: Duration = Duration::from_secs(30);
        let patience = patience.map_or(LONGEST, Duration::from_millis).min(LONGEST);
        let late = || {
            RpcError::server("the transaction was added to the pool but was not executed in time")
        };
        let sent = tokio::time::timeout(patience, self.send(raw)).await;
        match sent.map_err(|_| late())?? {
            Sent::Waits(_) => Err(late()),
            Sent::Committed(outcome) => self
                .receipt(outcome.hash)?
                .ok_or_else(|| RpcError::server("the transaction is committed, and not found")),
        }
    }
}

/// Which logs a filter is about, blocks apart.
fn query_of(filter: &Filter) -> LogQuery {
    LogQuery {
        emitters: filter.address.iter().copied().collect(),
        topics: filter
            .topics
            .each_ref()
            .map(|any| any.iter().copied().collect()),
    }
}

/// What a client asks for when it names no block.
fn block_of(block: Option<BlockId>) -> BlockId {
    block.unwrap_or(BlockId::Number(BlockNumberOrTag::Latest))
}

/// All methods, as a table of contents.
///
/// # Errors
/// None: each name is there once.
pub fn methods(rpc: Arc<Rpc>) -> Result<RpcModule<Arc<Rpc>>, RegisterMethodError> {
    let mut all = RpcModule::new(rpc);
    constants(&mut all)?;
    reads(&mut all)?;
    calls(&mut all)?;
    sends(&mut all)?;
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
    all.register_method("eth_getCode", |params, rpc, _| -> Answer<Bytes> {
        let (address, block) = addressed(&params)?;
        Ok(rpc.code(address, block)?)
    })?;
    all.register_method("eth_getStorageAt", |params, rpc, _| -> Answer<B256> {
        let mut params = params.sequence();
        let (address, slot) = (params.next()?, params.next()?);
        let block = block_of(params.optional_next()?);
        Ok(rpc.storage(address, slot, block)?)
    })?;
    all.register_blocking_method("eth_getBlockByNumber", |params, rpc, _| {
        let mut params = params.sequence();
        let block: BlockNumberOrTag = params.next()?;
        let whole = params.optional_next()?.unwrap_or(false);
        Answer::Ok(rpc.block(block.into(), whole)?)
    })?;
    all.register_blocking_method("eth_getBlockByHash", |params, rpc, _| {
        let mut params = params.sequence();
        let hash: B256 = params.next()?;
        let whole = params.optional_next()?.unwrap_or(false);
        Answer::Ok(rpc.block(hash.into(), whole)?)
    })?;
    all.register_blocking_method("eth_getBlockReceipts", |params, rpc, _| {
        let block: BlockId = params.sequence().next()?;
        Answer::Ok(rpc.receipts(block)?)
    })?;
    all.register_method("eth_getTransactionByHash", |params, rpc, _| {
        Answer::Ok(rpc.transaction(params.one()?)?)
    })?;
    all.register_method("eth_getTransactionReceipt", |params, rpc, _| {
        Answer::Ok(rpc.receipt(params.one()?)?)
    })?;
    all.register_blocking_method("counterfoil_getReceipt", |params, rpc, _| {
        Answer::Ok(rpc.proof(params.one()?)?)
    })?;
    all.register_blocking_method("eth_getLogs", |params, rpc, _| {
        Answer::Ok(rpc.logs(&params.one()?)?)
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

fn calls(all: &mut RpcModule<Arc<Rpc>>) -> Result<(), RegisterMethodError> {
    all.register_blocking_method("eth_call", |params, rpc, _| {
        let (request, block) = requested(&params)?;
        Answer::Ok(rpc.call(request, block)?)
    })?;
    all.register_blocking_method("eth_estimateGas", |params, rpc, _| {
        let (request, block) = requested(&params)?;
        Answer::Ok(U64::from(rpc.estimate(request, block)?))
    })?;
    Ok(())
}

fn sends(all: &mut RpcModule<Arc<Rpc>>) -> Result<(), RegisterMethodError> {
    all.register_async_method("eth_sendRawTransaction", |params, rpc, _| async move {
        let raw = params.one()?;
        Answer::Ok(rpc.send_raw(raw).await?)
    })?;
    all.register_async_method("eth_sendRawTransactionSync", |params, rpc, _| async move {
        let mut params = params.sequence();
        let (raw, patience) = (params.next()?, params.optional_next::<U64>()?);
        let patience = patience.map(|patience| patience.to());
        Answer::Ok(rpc.send_raw_sync(raw, patience).await?)
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
    all.register_blocking_method("eth_getFilterChanges", |params, rpc, _| {
        Answer::Ok(rpc.changes(&params.one::<String>()?)?)
    })?;
    all.register_blocking_method("eth_getFilterLogs", |params, rpc, _| {
        Answer::Ok(rpc.filtered(&params.one::<String>()?)?)
    })?;
    Ok(())
}

fn addressed(params: &Params<'_>) -> Answer<(Address, BlockId)> {
    let mut params = params.sequence();
    let address = params.next()?;
    Ok((address, block_of(params.optional_next()?)))
}

fn requested(params: &Params<'_>) -> Answer<(TransactionRequest, BlockId)> {
    let mut params = params.sequence();
    let request = params.next()?;
    Ok((request, block_of(params.optional_next()?)))
}
