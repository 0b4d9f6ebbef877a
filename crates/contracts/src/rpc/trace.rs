//! `debug_traceTransaction` and `debug_traceCall`: what a transaction did, step by step or call by call.

use alloy_eips::BlockId;
use alloy_primitives::B256;
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_trace::geth::{GethDebugTracingOptions, GethTrace};
use ledger::contracts::Rules;
use verify::Seqno;

use super::Rpc;
use super::calls::asked;
use super::error::RpcError;
use crate::chain::{Head, block_start};
use crate::evm::Invalid;
use crate::evm::trace::{self, NotTraced};
use crate::history::HistoryError;
use crate::limits::{TRACED_GAS_MAX, TRANSACTION_GAS_MAX};
use crate::signed::Signed;

impl Rpc {
    /// Runs a committed transaction again and tells what it did.
    pub(super) fn trace(
        &self,
        hash: B256,
        options: GethDebugTracingOptions,
    ) -> Result<GethTrace, RpcError> {
        let Some((id, outcome)) = self.history.transaction(&hash)? else {
            return Err(RpcError::server("transaction not found"));
        };
        if trace::tells_steps(&options) && outcome.gas > TRACED_GAS_MAX {
            return Err(too_long());
        }
        let signed = Signed::recorded(outcome.raw.clone(), outcome.from)?;
        let before = self.node.past(Seqno(id.seqno.0 - 1));
        // Where a block begins is not kept with its versions.
        let start = block_start(self.node.state(), outcome.block).map_err(Invalid::from)?;
        let head = Head {
            number: outcome.block,
            time: outcome.time,
            randomness: start.map_or(B256::ZERO, |start| start.randomness),
            ..Head::default()
        };
        let block = self.hash_of(outcome.block)?;
        let rules = Rules::of(&before);
        let traced = trace::transaction(
            &before,
            &self.codes,
            (&rules, &head),
            &signed,
            (&outcome, block),
            options,
        );
        before.end().map_err(HistoryError::from)?;
        Ok(traced?)
    }

    /// Tells what a call would do.
    pub(super) fn trace_call(
        &self,
        request: TransactionRequest,
        block: BlockId,
        options: GethDebugTracingOptions,
    ) -> Result<GethTrace, RpcError> {
        let most = if trace::tells_steps(&options) {
            TRACED_GAS_MAX
        } else {
            TRANSACTION_GAS_MAX
        };
        let mut call = asked(request, most)?;
        call.gas = call.gas.min(most);
        self.at(block, |state, head| {
            let rules = Rules::of(state);
            Ok(trace::call(
                state,
                &self.codes,
                (&rules, head),
                call,
                options,
            )?)
        })
    }
}

fn too_long() -> RpcError {
    RpcError::server(format!(
        "the transaction used more gas than steps are told of ({TRACED_GAS_MAX}): ask for the \
         callTracer"
    ))
}

impl From<NotTraced> for RpcError {
    fn from(error: NotTraced) -> Self {
        match error {
            NotTraced::Tracer(why) => Self::params(why),
            NotTraced::Invalid(invalid) => invalid.into(),
        }
    }
}
