//! `eth_simulateV1`: blocks of calls that are not sent, each on what the one before left.

use std::sync::Arc;

use alloy_consensus::SignableTransaction;
use alloy_consensus::TxEnvelope;
use alloy_eips::BlockId;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{B256, Bytes, Signature, keccak256};
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_eth::simulate::{
    MAX_SIMULATE_BLOCKS, SimBlock, SimCallResult, SimulateError, SimulatePayload, SimulatedBlock,
};
use ledger::Tx;
use ledger::contracts::Rules;

use super::calls::asked;
use super::error::RpcError;
use super::{Rpc, overrides, shapes};
use crate::accounts::Account;
use crate::chain::Head;
use crate::evm::{self, End, Invalid};
use crate::history::{Block, LogQuery, matching};
use crate::limits::{BLOCK_GAS_LIMIT, SIMULATED_CALLS_MAX, SIMULATED_GAS_MAX};
use crate::outcome::Outcome;

/// Seconds between blocks whose times nobody says.
const BETWEEN_BLOCKS: u64 = 1;

impl Rpc {
    /// What blocks of calls would do after `block`.
    pub(super) fn simulate(
        &self,
        asked: &SimulatePayload,
        block: BlockId,
    ) -> Result<Vec<SimulatedBlock>, RpcError> {
        let blocks = &asked.block_state_calls;
        let calls: usize = blocks.iter().map(|block| block.calls.len()).sum();
        if blocks.len() as u64 > MAX_SIMULATE_BLOCKS || calls > SIMULATED_CALLS_MAX {
            let most = format!("{MAX_SIMULATE_BLOCKS} blocks, {SIMULATED_CALLS_MAX} calls");
            return Err(RpcError::params(format!("too much to simulate: {most}")));
        }
        if asked.trace_transfers {
            return Err(RpcError::params(
                "traceTransfers: there is no ether here to trace",
            ));
        }
        self.at(block, |state, head| {
            let mut simulation = Simulation {
                rpc: self,
                rules: Rules::of(state),
                asked,
                tx: overrides::scratch(state),
                parent: self.hash_of(head.number)?,
                head: *head,
                gas_left: SIMULATED_GAS_MAX,
            };
            blocks.iter().map(|block| simulation.block(block)).collect()
        })
    }

    pub(super) fn hash_of(&self, number: u64) -> Result<B256, RpcError> {
        Ok(crate::chain::block_hash(self.node.state(), number).map_err(Invalid::from)?)
    }
}

struct Simulation<'a> {
    rpc: &'a Rpc,
    rules: Rules,
    asked: &'a SimulatePayload,
    tx: Tx<'a>,
    parent: B256,
    head: Head,
    gas_left: u64,
}

impl Simulation<'_> {
    fn block(&mut self, wished: &SimBlock) -> Result<SimulatedBlock, RpcError> {
        let next = Head {
            number: self.head.number + 1,
            time: self.head.time + BETWEEN_BLOCKS,
            transactions: 0,
            gas: 0,
            logs: 0,
            ..self.head
        };
        let mut head = match &wished.block_overrides {
            Some(wished) => overrides::changed(&next, wished)?,
            None => next,
        };
        if head.number < next.number || head.time < self.head.time {
            return Err(RpcError::params(
                "blocks must be in the order of their numbers and times",
            ));
        }
        if let Some(wished) = &wished.state_overrides {
            overrides::change(&mut self.tx, wished)?;
        }
        let mut done = Vec::with_capacity(wished.calls.len());
        for call in &wished.calls {
            let (outcome, end) = self.call(&mut head, call)?;
            done.push((Arc::new(outcome), end));
        }
        let transactions: Vec<_> = done
            .iter()
            .map(|(outcome, _)| Arc::clone(outcome))
            .collect();
        let hash = {
            let hashes = transactions.iter().flat_map(|outcome| outcome.hash);
            let number = head.number.to_be_bytes();
            keccak256([&self.parent[..], &number, &hashes.collect::<Vec<u8>>()].concat())
        };
        let block = Block {
            number: head.number,
            hash,
            parent: self.parent,
            time: head.time,
            randomness: head.randomness,
            transactions,
        };
        let inner = shapes::block(&block, self.asked.return_full_transactions);
        (self.parent, self.head) = (hash, head);
        Ok(SimulatedBlock {
            inner: inner.map_err(Invalid::from)?,
            calls: done
                .into_iter()
                .map(|(outcome, end)| result(&outcome, end, hash))
                .collect(),
        })
    }

    fn call(
        &mut self,
        head: &mut Head,
        call: &TransactionRequest,
    ) -> Result<(Outcome, End), RpcError> {
        let from = call.from.unwrap_or_default();
        let account = Account::of(&self.tx, &from).map_err(Invalid::from)?;
        let next = account.unwrap_or_default().nonce;
        let nonce = call.nonce.unwrap_or(next);
        if self.asked.validation && nonce != next {
            let refused = if nonce < next {
                Invalid::NonceTooLow {
                    tx: nonce,
                    state: next,
                }
            } else {
                Invalid::NonceTooHigh {
                    tx: nonce,
                    state: next,
                }
            };
            return Err(refused.into());
        }
        let most = BLOCK_GAS_LIMIT.saturating_sub(head.gas).min(self.gas_left);
        let run = asked(call.clone(), most)?;
        let ran = evm::call(&self.tx, &self.rpc.codes, &self.rules, head, run)?;
        ran.put(&mut self.tx);
        self.gas_left = self.gas_left.saturating_sub(ran.gas);
        let (raw, hash) = unsigned(call.clone(), nonce, self.rules.chain_id)?;
        let end = ran.end.clone();
        let to = call.to.unwrap_or_default();
        let outcome = Outcome::of(head, ran, raw, hash, from, to);
        *head = outcome.counted(*head);
        Ok((outcome, end))
    }
}

/// The bytes and the hash of what nobody signed.
fn unsigned(
    mut call: TransactionRequest,
    nonce: u64,
    chain: u64,
) -> Result<(Bytes, B256), RpcError> {
    call.nonce = Some(nonce);
    call.chain_id = Some(chain);
    call.gas.get_or_insert(BLOCK_GAS_LIMIT);
    if call.gas_price.is_none() {
        call.max_fee_per_gas.get_or_insert(0);
        call.max_priority_fee_per_gas.get_or_insert(0);
    }
    call.to.get_or_insert_default();
    let typed = call.build_typed_tx();
    let typed = typed.map_err(|_| RpcError::params("a call that no transaction could be"))?;
    let nobody = Signature::new(Default::default(), Default::default(), false);
    let envelope = TxEnvelope::from(typed.into_signed(nobody));
    Ok((envelope.encoded_2718().into(), *envelope.tx_hash()))
}

fn result(outcome: &Arc<Outcome>, end: End, block: B256) -> SimCallResult {
    let logs = matching(&LogQuery::default(), outcome, block);
    let (return_data, error) = match end {
        End::Returned(said) => (said, None),
        End::Created(_) => (Bytes::new(), None),
        End::Reverted(said) => {
            let error = SimulateError {
                code: 3,
                message: RpcError::reverted(said.clone()).message().to_owned(),
                data: Some(said.clone()),
            };
            (said, Some(error))
        }
        End::Halted(why) => {
            let error = SimulateError {
                code: -32_015,
                message: why,
                data: None,
            };
            (Bytes::new(), Some(error))
        }
    };
    SimCallResult {
        return_data,
        logs: logs.iter().map(shapes::log).collect(),
        gas_used: outcome.gas,
        max_used_gas: None,
        status: outcome.succeeded,
        error,
    }
}
