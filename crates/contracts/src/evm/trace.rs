//! What a transaction does, step by step or call by call, as geth's tracers tell it.

use alloy_primitives::{Address, B256, U256};
use alloy_rpc_types_trace::geth::{GethDebugTracingOptions, GethTrace};
use ledger::State;
use ledger::contracts::Rules;
use revm::context::{CfgEnv, TxEnv};
use revm::context_interface::ContextTr;
use revm::database_interface::DatabaseRef;
use revm::state::{AccountInfo, Bytecode};
use revm::{Context, Database, InspectEvm, MainBuilder, MainContext};
use revm_inspectors::tracing::{DebugInspector, DebugInspectorError, TransactionContext};

use super::{Call, Codes, Invalid, View, asked, block, invalid, lenient, sent, settings};
use crate::accounts::Damaged;
use crate::chain::Head;
use crate::outcome::Outcome;
use crate::signed::Signed;

/// Why nothing was traced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTraced {
    /// No such tracer, or not with these settings.
    #[error("{0}")]
    Tracer(String),
    /// It cannot be run.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// Whether all steps are told, each of which costs memory, and not only calls.
pub fn tells_steps(options: &GethDebugTracingOptions) -> bool {
    options
        .tracer
        .as_ref()
        .is_none_or(|tracer| tracer.as_str().is_empty())
}

/// Runs a transaction again, on the state before it.
///
/// # Errors
/// See [`NotTraced`].
pub fn transaction(
    state: &dyn State,
    codes: &Codes,
    (rules, head): (&Rules, &Head),
    signed: &Signed,
    (outcome, block_hash): (&Outcome, B256),
    options: GethDebugTracingOptions,
) -> Result<GethTrace, NotTraced> {
    let place = TransactionContext {
        block_hash: Some(block_hash),
        tx_hash: Some(outcome.hash),
        tx_index: usize::try_from(outcome.index).ok(),
    };
    let view = View { state, codes };
    traced(view, settings(rules), head, sent(signed), place, options)
}

/// Runs a call that is not sent.
///
/// # Errors
/// See [`NotTraced`].
pub fn call(
    state: &dyn State,
    codes: &Codes,
    (rules, head): (&Rules, &Head),
    call: Call,
    options: GethDebugTracingOptions,
) -> Result<GethTrace, NotTraced> {
    let view = View { state, codes };
    let (settings, env) = (lenient(rules), asked(rules, call));
    let place = TransactionContext::default();
    traced(view, settings, head, env, place, options)
}

fn traced(
    view: View<'_>,
    settings: CfgEnv,
    head: &Head,
    transaction: TxEnv,
    place: TransactionContext,
    options: GethDebugTracingOptions,
) -> Result<GethTrace, NotTraced> {
    let inspector = DebugInspector::new(options).map_err(refused)?;
    let mut machine = Context::mainnet()
        .with_db(view)
        .with_cfg(settings)
        .with_block(block(head))
        .build_mainnet_with_inspector(inspector);
    let done = machine.inspect_tx(transaction.clone()).map_err(invalid)?;
    let block = block(head);
    let mut view = *machine.ctx.db();
    let trace = machine
        .inspector
        .get_result(Some(place), &transaction, &block, &done, &mut view);
    trace.map_err(|error| match error {
        DebugInspectorError::Database(damaged) => Invalid::Damaged(damaged).into(),
        other => NotTraced::Tracer(other.to_string()),
    })
}

fn refused(error: DebugInspectorError) -> NotTraced {
    NotTraced::Tracer(error.to_string())
}

impl DatabaseRef for View<'_> {
    type Error = Damaged;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Damaged> {
        { *self }.basic(address)
    }

    fn code_by_hash_ref(&self, digest: B256) -> Result<Bytecode, Damaged> {
        { *self }.code_by_hash(digest)
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, Damaged> {
        { *self }.storage(address, slot)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Damaged> {
        { *self }.block_hash(number)
    }
}
