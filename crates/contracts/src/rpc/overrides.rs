//! Calls on a state that is not quite the ledger's: what a caller would like accounts and blocks to be.

use alloy_primitives::{B256, keccak256};
use alloy_rpc_types_eth::BlockOverrides;
use alloy_rpc_types_eth::state::StateOverride;
use ledger::{State, Tx};
use verify::TxId;

use super::error::RpcError;
use crate::accounts::{self, Account};
use crate::chain::Head;
use crate::evm::Invalid;

/// Writes on a state that nobody keeps.
pub(super) fn scratch(state: &dyn State) -> Tx<'_> {
    Tx::new(state, TxId::default(), [0; 32])
}

/// Makes accounts what the caller would like them to be.
///
/// # Errors
/// It would like what cannot be.
pub(super) fn change(tx: &mut Tx<'_>, wished: &StateOverride) -> Result<(), RpcError> {
    for (address, wished) in wished {
        if wished.state.is_some() {
            let message = "an account's whole storage cannot be replaced: name slots (stateDiff)";
            return Err(RpcError::params(message));
        }
        if wished.move_precompile_to.is_some() {
            return Err(RpcError::params("precompiles cannot be moved"));
        }
        let mut account = Account::of(&*tx, address)
            .map_err(Invalid::from)?
            .unwrap_or_default();
        account.balance = wished.balance.unwrap_or(account.balance);
        account.nonce = wished.nonce.unwrap_or(account.nonce);
        if let Some(code) = &wished.code {
            account.code = keccak256(code);
            accounts::put_code(tx, &account.code, code);
        }
        account.put(tx, address);
        for (slot, value) in wished.state_diff.iter().flatten() {
            accounts::put_storage(tx, address, &(*slot).into(), &(*value).into());
        }
    }
    Ok(())
}

/// The block that a call sees, as the caller would like it to be.
///
/// # Errors
/// It would like what cannot be.
pub(super) fn changed(head: &Head, wished: &BlockOverrides) -> Result<Head, RpcError> {
    let number = wished.number.map(|number| {
        u64::try_from(number).map_err(|_| RpcError::params("a block's number has 64 bits"))
    });
    Ok(Head {
        number: number.transpose()?.unwrap_or(head.number),
        time: wished.time.unwrap_or(head.time),
        randomness: wished.random.map_or(head.randomness, B256::from),
        ..*head
    })
}
