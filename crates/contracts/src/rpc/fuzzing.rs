//! What reads parameters in here, for the targets in `fuzz/` alone (`--cfg fuzzing`).

use alloy_eips::BlockNumberOrTag;
use alloy_primitives::U64;
use alloy_rpc_types_eth::Filter;
use jsonrpsee::types::Params;

use super::methods::{addressed, call_of};
use super::{calls, query_of, subscriptions};
use crate::limits::{BLOCK_GAS_LIMIT, LOG_CONDITIONS_MAX};

/// Reads parameters as each method would.
pub fn params(text: &str) {
    let params = Params::new(Some(text));
    // Wrong ones are refused.
    let _ = (addressed(&params), subscriptions::asked(&params));
    if let Ok((request, ..)) = call_of(&params)
        && let Ok(call) = calls::asked(request, BLOCK_GAS_LIMIT)
    {
        assert!(call.gas <= BLOCK_GAS_LIMIT);
    }
    if let Ok(filter) = params.one::<Filter>()
        && let Ok(query) = query_of(&filter)
    {
        assert!(query.conditions_named() <= LOG_CONDITIONS_MAX);
    }
    let mut history = params.sequence();
    let _ = history.next::<U64>();
    let _ = history.next::<BlockNumberOrTag>();
    let _ = history.optional_next::<Vec<f64>>();
}
