//! Blocks, transactions and receipts as Ethereum's clients read them.

use alloy_consensus::transaction::Recovered;
use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH, Eip658Value, Receipt, ReceiptEnvelope, ReceiptWithBloom, TxEnvelope,
};
use alloy_primitives::{B64, B256, Bloom, U256};
use alloy_rpc_types_eth::{
    Block as RpcBlock, BlockTransactions, Header, Log, Transaction, TransactionReceipt,
};

use crate::accounts::Damaged;
use crate::history::{Block, PlacedLog};
use crate::limits::BLOCK_GAS_LIMIT;
use crate::outcome::Outcome;
use crate::signed::Signed;

/// A block. Where Ethereum has roots of its state and lists, this chain has the signed root that its hash
/// is; so those fields are zero.
pub(crate) fn block(block: &Block, whole: bool) -> Result<RpcBlock, Damaged> {
    let transactions = if whole {
        let all = block.transactions.iter();
        let all = all.map(|outcome| transaction(outcome, Some(block.hash)));
        BlockTransactions::Full(all.collect::<Result<_, _>>()?)
    } else {
        let hashes = block.transactions.iter().map(|outcome| outcome.hash);
        BlockTransactions::Hashes(hashes.collect())
    };
    let mut bloom = Bloom::ZERO;
    for log in block.transactions.iter().flat_map(|outcome| &outcome.logs) {
        bloom.accrue_log(log);
    }
    let last = block.transactions.last();
    let inner = alloy_consensus::Header {
        parent_hash: block.parent,
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        state_root: B256::ZERO,
        transactions_root: B256::ZERO,
        receipts_root: B256::ZERO,
        logs_bloom: bloom,
        number: block.number,
        gas_limit: BLOCK_GAS_LIMIT,
        gas_used: last.map_or(0, |last| last.gas_before + last.gas),
        timestamp: block.time,
        mix_hash: block.randomness,
        nonce: B64::ZERO,
        base_fee_per_gas: Some(0),
        ..alloy_consensus::Header::default()
    };
    let bytes: usize = block
        .transactions
        .iter()
        .map(|outcome| outcome.raw.len())
        .sum();
    Ok(RpcBlock {
        header: Header {
            hash: block.hash,
            inner,
            total_difficulty: Some(U256::ZERO),
            size: Some(U256::from(bytes)),
        },
        uncles: Vec::new(),
        transactions,
        withdrawals: None,
    })
}

/// A transaction.
pub(crate) fn transaction(
    outcome: &Outcome,
    block_hash: Option<B256>,
) -> Result<Transaction, Damaged> {
    let signed = Signed::recorded(outcome.raw.clone(), outcome.from);
    let signed = signed.map_err(|_| Damaged("a transaction"))?;
    Ok(Transaction {
        block_hash,
        block_number: Some(outcome.block),
        transaction_index: Some(u64::from(outcome.index)),
        block_timestamp: Some(outcome.time),
        ..pending(&signed)
    })
}

/// A transaction that waits for those before it.
pub(crate) fn pending(signed: &Signed) -> Transaction {
    Transaction {
        inner: Recovered::new_unchecked(signed.envelope().clone(), signed.sender()),
        block_hash: None,
        block_number: None,
        transaction_index: None,
        effective_gas_price: Some(0),
        block_timestamp: None,
    }
}

/// What became of a transaction, with these of its logs.
pub(crate) fn receipt(
    outcome: &Outcome,
    block_hash: B256,
    logs: &[PlacedLog],
) -> Result<TransactionReceipt, Damaged> {
    let signed = Signed::recorded(outcome.raw.clone(), outcome.from);
    let signed = signed.map_err(|_| Damaged("a transaction"))?;
    let mut logs_bloom = Bloom::ZERO;
    for placed in logs {
        logs_bloom.accrue_log(&placed.log);
    }
    let logs: Vec<Log> = logs.iter().map(log).collect();
    let receipt = Receipt {
        status: Eip658Value::Eip658(outcome.succeeded),
        cumulative_gas_used: outcome.gas_before + outcome.gas,
        logs,
    };
    let receipt = ReceiptWithBloom {
        receipt,
        logs_bloom,
    };
    let inner = match signed.envelope() {
        TxEnvelope::Legacy(_) => ReceiptEnvelope::Legacy(receipt),
        TxEnvelope::Eip2930(_) => ReceiptEnvelope::Eip2930(receipt),
        TxEnvelope::Eip7702(_) => ReceiptEnvelope::Eip7702(receipt),
        other if other.is_eip1559() => ReceiptEnvelope::Eip1559(receipt),
        _ => return Err(Damaged("a transaction")),
    };
    Ok(TransactionReceipt {
        inner,
        transaction_hash: outcome.hash,
        transaction_index: Some(u64::from(outcome.index)),
        block_hash: Some(block_hash),
        block_number: Some(outcome.block),
        gas_used: outcome.gas,
        effective_gas_price: 0,
        blob_gas_used: None,
        blob_gas_price: None,
        from: outcome.from,
        to: outcome.to.to().copied(),
        contract_address: outcome.contract(),
    })
}

/// A log.
pub(crate) fn log(placed: &PlacedLog) -> Log {
    let transaction = &placed.transaction;
    Log {
        inner: placed.log.clone(),
        block_hash: Some(placed.block_hash),
        block_number: Some(transaction.block),
        block_timestamp: Some(transaction.time),
        transaction_hash: Some(transaction.hash),
        transaction_index: Some(u64::from(transaction.index)),
        log_index: Some(placed.index),
        removed: false,
    }
}
