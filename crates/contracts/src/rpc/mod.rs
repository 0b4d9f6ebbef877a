//! Ethereum's JSON-RPC, as its clients speak it (execution-apis; where that is silent, as geth answers).

mod access;
mod batches;
mod calls;
mod error;
mod filters;
#[cfg(fuzzing)]
pub mod fuzzing;
mod guard;
mod leader;
mod methods;
mod overrides;
mod owners;
mod send;
mod service;
mod shapes;
mod sight;
mod simulate;
mod subscriptions;
mod to_its_end;
mod trace;
mod turns;

use std::sync::{Arc, Mutex, PoisonError};

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, Bloom, Bytes, U64, U256};
use alloy_rpc_types_eth::{
    AccountInfo, Block as RpcBlock, BlockTransactions, FeeHistory, Filter, FilterBlockOption, Log,
    Transaction, TransactionReceipt,
};
use node::Node;
use serde::Serialize;
use verify::{Claim, ReceiptDocument};

use self::error::RpcError;
use self::filters::Filters;
use self::sight::Sight;
use crate::accounts::{self, Account};
use crate::evm::{Codes, Invalid};
use crate::gaps::Gaps;
use crate::history::{Block, History, HistoryError, LogQuery, matching};
use crate::limits::{FEE_HISTORY_MAX, LOG_CONDITIONS_MAX, PERCENTILES_MAX};
use crate::outcome::Outcome;
use ledger::contracts::Rules;

pub use access::{Caller, Rights};
pub use leader::{Asked, ToLeader};
pub use service::{Plain, PlainError, Service};

/// Binds an account to the caller.
const BIND: &str = "counterfoil_bindAccount";

/// Sends a transaction and answers with its place in the ledger.
const SEND_RAW: &str = "counterfoil_sendRawTransaction";

/// How many transactions wait, as geth tells it.
#[derive(Debug, Clone, Serialize)]
struct TxpoolStatus {
    pending: U64,
    queued: U64,
}

/// What answers requests.
pub struct Rpc {
    node: Arc<Node>,
    history: History,
    codes: Arc<Codes>,
    gaps: Arc<Gaps>,
    filters: Filters,
    leader: Arc<dyn ToLeader>,
    /// The rules, and of which version of the settings.
    known: Mutex<Option<(u64, Rules)>>,
}

impl Rpc {
    /// The chain on this node's ledger. Transactions go this way where another node leads.
    pub fn new(node: Arc<Node>, leader: Arc<dyn ToLeader>) -> Arc<Self> {
        Arc::new(Self {
            history: History::new(Arc::clone(&node)),
            node,
            codes: Arc::default(),
            gaps: Arc::default(),
            filters: Filters::default(),
            leader,
            known: Mutex::default(),
        })
    }

    /// What members decided. Each request asks for it, so it is read once for each change.
    fn rules(&self) -> Rules {
        // Read before the state: what is read after it is at least as new as it says.
        let version = self.node.access_version();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match *known {
            Some((of, rules)) if of == version => rules,
            _ => {
                let rules = Rules::of(self.node.state());
                *known = Some((version, rules));
                rules
            }
        }
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

    fn code(&self, sight: &Sight<'_>, address: Address, block: BlockId) -> Result<Bytes, RpcError> {
        Ok(self.account_info(sight, address, block)?.code)
    }

    fn storage(
        &self,
        sight: &Sight<'_>,
        (address, slot): (Address, U256),
        block: BlockId,
    ) -> Result<B256, RpcError> {
        sight.require_contract(&address)?;
        self.at(block, |state, _| {
            let value = accounts::storage(state, &address, &slot).map_err(Invalid::from)?;
            Ok(B256::from(value))
        })
    }

    fn account_info(
        &self,
        sight: &Sight<'_>,
        address: Address,
        block: BlockId,
    ) -> Result<AccountInfo, RpcError> {
        let account = self.account(address, block)?;
        if account.code != Account::default().code {
            sight.require_contract(&address)?;
        }
        Ok(AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code: accounts::code(self.node.state(), &account.code),
        })
    }

    /// Transactions in a block; `None` if there is no such block.
    fn transactions_in(&self, block: BlockId) -> Result<Option<u64>, RpcError> {
        let block = self.known_block(block)?;
        Ok(block.map(|block| block.transactions.len() as u64))
    }

    fn transaction_at(
        &self,
        sight: &Sight<'_>,
        block: BlockId,
        at: usize,
    ) -> Result<Option<Transaction>, RpcError> {
        let Some(block) = self.known_block(block)? else {
            return Ok(None);
        };
        match block.transactions.get(at) {
            Some(outcome) if sight.sees(outcome)? => {
                let shown = shapes::transaction(outcome, Some(block.hash));
                Ok(Some(shown.map_err(Invalid::from)?))
            }
            _ => Ok(None),
        }
    }

    /// What waits: nothing is pending that could be run, and some for those before them.
    fn pool(&self) -> TxpoolStatus {
        TxpoolStatus {
            pending: U64::ZERO,
            queued: U64::from(self.gaps.len()),
        }
    }

    fn known_block(&self, block: BlockId) -> Result<Option<Arc<Block>>, RpcError> {
        match self.number_of(block) {
            Ok(number) => Ok(self.history.block(number)?),
            Err(_) => Ok(None),
        }
    }

    /// A block; `None` if there is none.
    fn block(
        &self,
        sight: &Sight<'_>,
        block: BlockId,
        whole: bool,
    ) -> Result<Option<RpcBlock>, RpcError> {
        match self.known_block(block)? {
            Some(block) => Ok(Some(self.shown(sight, &block, whole)?)),
            None => Ok(None),
        }
    }

    /// A block as somebody sees it: of transactions that they do not see nothing but the hashes.
    fn shown(&self, sight: &Sight<'_>, block: &Block, whole: bool) -> Result<RpcBlock, RpcError> {
        let mut shown = shapes::block(block, whole).map_err(Invalid::from)?;
        if sight.is_unlimited() {
            return Ok(shown);
        }
        shown.header.inner.logs_bloom = Bloom::ZERO;
        if whole {
            let mut seen = Vec::new();
            for outcome in &block.transactions {
                if sight.sees(outcome)? {
                    let transaction = shapes::transaction(outcome, Some(block.hash));
                    seen.push(transaction.map_err(Invalid::from)?);
                }
            }
            shown.transactions = BlockTransactions::Full(seen);
        }
        Ok(shown)
    }

    fn found(
        &self,
        sight: &Sight<'_>,
        hash: B256,
    ) -> Result<Option<(Arc<Outcome>, B256)>, RpcError> {
        let Some((_, outcome)) = self.history.transaction(&hash)? else {
            return Ok(None);
        };
        if !sight.sees(&outcome)? {
            return Ok(None);
        }
        let block = crate::chain::block_hash(self.node.state(), outcome.block);
        Ok(Some((outcome, block.map_err(Invalid::from)?)))
    }

    fn transaction(&self, sight: &Sight<'_>, hash: B256) -> Result<Option<Transaction>, RpcError> {
        let shown = match self.found(sight, hash)? {
            Some((outcome, block)) => shapes::transaction(&outcome, Some(block)),
            None => {
                let waiting = self.gaps.find(&hash);
                let waiting = waiting.filter(|signed| sight.sees_sender(signed.sender()));
                return Ok(waiting.as_ref().map(shapes::pending));
            }
        };
        Ok(Some(shown.map_err(Invalid::from)?))
    }

    fn receipt(
        &self,
        sight: &Sight<'_>,
        hash: B256,
    ) -> Result<Option<TransactionReceipt>, RpcError> {
        match self.found(sight, hash)? {
            Some((outcome, block)) => Ok(Some(self.seen_receipt(sight, &outcome, block)?)),
            None => Ok(None),
        }
    }

    /// A receipt with the logs that somebody sees.
    fn seen_receipt(
        &self,
        sight: &Sight<'_>,
        outcome: &Arc<Outcome>,
        block: B256,
    ) -> Result<TransactionReceipt, RpcError> {
        let logs = matching(&LogQuery::default(), outcome, block);
        let logs = sight.only_seen(logs)?;
        let receipt = shapes::receipt(outcome, block, &logs);
        Ok(receipt.map_err(Invalid::from)?)
    }

    /// What anybody can check offline: that the ledger has this transaction, with this result.
    fn proof(&self, sight: &Sight<'_>, hash: B256) -> Result<Option<ReceiptDocument>, RpcError> {
        let Some((id, outcome)) = self.history.transaction(&hash)? else {
            return Ok(None);
        };
        // All of it or nothing: the proof is of all logs.
        if !sight.sees(&outcome)? {
            return Ok(None);
        }
        for placed in matching(&LogQuery::default(), &outcome, B256::ZERO) {
            if !sight.sees_log(&placed)? {
                return Ok(None);
            }
        }
        let receipt = self.node.receipt(id).map_err(HistoryError::from)?;
        Ok(Some(ReceiptDocument {
            claims: Some(vec![Claim::EthereumTransaction(outcome.proven())]),
            ..receipt
        }))
    }

    fn receipts(
        &self,
        sight: &Sight<'_>,
        block: BlockId,
    ) -> Result<Option<Vec<TransactionReceipt>>, RpcError> {
        let Some(block) = self.known_block(block)? else {
            return Ok(None);
        };
        let mut receipts = Vec::with_capacity(block.transactions.len());
        for outcome in &block.transactions {
            if sight.sees(outcome)? {
                receipts.push(self.seen_receipt(sight, outcome, block.hash)?);
            }
        }
        Ok(Some(receipts))
    }

    fn logs(&self, sight: &Sight<'_>, filter: &Filter) -> Result<Vec<Log>, RpcError> {
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
        let found = self.history.logs(&query_of(filter)?, blocks)?;
        let found = sight.only_seen(found)?;
        Ok(found.iter().map(shapes::log).collect())
    }

    /// Gas costs nothing and never did.
    fn fee_history(
        &self,
        count: u64,
        newest: BlockId,
        percentiles: Option<&[f64]>,
    ) -> Result<FeeHistory, RpcError> {
        if percentiles.is_some_and(|asked| asked.len() > PERCENTILES_MAX) {
            let message = format!("over the query limit {PERCENTILES_MAX} of reward percentiles");
            return Err(RpcError::params(message));
        }
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
}

/// Which logs a filter is about, blocks apart.
fn query_of(filter: &Filter) -> Result<LogQuery, RpcError> {
    let query = LogQuery {
        emitters: filter.address.iter().copied().collect(),
        topics: filter
            .topics
            .each_ref()
            .map(|any| any.iter().copied().collect()),
    };
    if query.conditions_named() > LOG_CONDITIONS_MAX {
        let message =
            format!("exceed max addresses and topics: {LOG_CONDITIONS_MAX} in one filter");
        return Err(RpcError::params(message));
    }
    Ok(query)
}

/// What a client asks for when it names no block.
fn block_of(block: Option<BlockId>) -> BlockId {
    block.unwrap_or(BlockId::Number(BlockNumberOrTag::Latest))
}
