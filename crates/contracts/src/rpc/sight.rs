//! What a caller sees of the chain. In an open one, all of it; in a confidential one what their accounts
//! sent or got, what contracts say is theirs, and, if they are auditors, all of it too.

use std::cell::RefCell;
use std::collections::BTreeMap;

use alloy_primitives::{Address, Bytes, TxKind};
use ledger::State;
use ledger::contracts::{Mode, Rules};
use ledger::roles::Action;
use ledger::tables::EVM_MAKERS;

use super::Rpc;
use super::access::Caller;
use super::error::RpcError;
use crate::accounts::Account;
use crate::evm::{self, Call, End, Invalid};
use crate::history::PlacedLog;
use crate::limits::PARTY_GAS;
use crate::outcome::Outcome;
use crate::owners::accounts_of;

/// `isParty(address)`: a contract that has it names those who may see what it keeps.
const IS_PARTY: [u8; 4] = [0xfc, 0x78, 0xb2, 0xe8];

/// What one caller sees, for as long as one request takes.
pub(super) struct Sight<'r> {
    rpc: &'r Rpc,
    everything: bool,
    accounts: Vec<Address>,
    contracts: RefCell<BTreeMap<Address, bool>>,
}

impl Rpc {
    /// What this caller sees.
    pub(super) fn sight(&self, caller: &Caller) -> Sight<'_> {
        let open = self.rules().mode == Mode::Open;
        let everything = open || caller.may(Action::AuditContracts);
        let accounts = if everything {
            Vec::new()
        } else {
            accounts_of(self.node.state(), caller.user())
        };
        Sight {
            rpc: self,
            everything,
            accounts,
            contracts: RefCell::default(),
        }
    }
}

impl Sight<'_> {
    /// Whether they see everything.
    pub(super) const fn is_unlimited(&self) -> bool {
        self.everything
    }

    /// Makes sure that they see everything.
    ///
    /// # Errors
    /// They do not.
    pub(super) fn require_everything(&self) -> Result<(), RpcError> {
        if self.everything {
            return Ok(());
        }
        Err(RpcError::denied(
            "this chain is confidential: only who may audit contracts (/contracts/audit) sees this",
        ))
    }

    /// As whom a call is made: in a confidential chain as one of the caller's own accounts, because
    /// contracts tell secrets to whoever calls.
    ///
    /// # Errors
    /// It is another's account.
    pub(super) fn caller_of(&self, wished: Option<Address>) -> Result<Address, RpcError> {
        if self.everything {
            return Ok(wished.unwrap_or_default());
        }
        match wished {
            None => Ok(self.accounts.first().copied().unwrap_or_default()),
            Some(address) if self.accounts.contains(&address) => Ok(address),
            Some(address) => Err(RpcError::denied(format!(
                "not allowed to call as {address}: the account is not bound to you \
                 (counterfoil_bindAccount)"
            ))),
        }
    }

    /// Makes sure that they see what a contract is and keeps.
    ///
    /// # Errors
    /// They do not.
    pub(super) fn require_contract(&self, address: &Address) -> Result<(), RpcError> {
        if self.sees_contract(address)? {
            return Ok(());
        }
        Err(RpcError::denied(format!(
            "this chain is confidential, and {address} does not name an account of yours a party"
        )))
    }

    /// Whether they see what a contract is and keeps: one of their accounts made it, or it says so.
    pub(super) fn sees_contract(&self, address: &Address) -> Result<bool, RpcError> {
        if self.everything {
            return Ok(true);
        }
        if let Some(known) = self.contracts.borrow().get(address) {
            return Ok(*known);
        }
        let seen = self.is_party(address)?;
        self.contracts.borrow_mut().insert(*address, seen);
        Ok(seen)
    }

    fn is_party(&self, contract: &Address) -> Result<bool, RpcError> {
        let state = self.rpc.node.moment();
        let maker = state.value(&EVM_MAKERS, contract.as_slice());
        if maker.is_some_and(|maker| self.accounts.iter().any(|own| own.as_slice() == maker)) {
            return Ok(true);
        }
        let account = Account::of(&state, contract).map_err(Invalid::from)?;
        if account.is_none_or(|account| account.code == Account::default().code) {
            return Ok(false);
        }
        let rules = Rules::of(&state);
        let head = crate::chain::Head::of(&state).map_err(Invalid::from)?;
        for own in &self.accounts {
            let asked = Call {
                to: TxKind::Call(*contract),
                gas: PARTY_GAS,
                input: [&IS_PARTY[..], own.into_word().as_slice()].concat().into(),
                ..Call::default()
            };
            let ran = evm::call(&state, &self.rpc.codes, &rules, &head, asked)?;
            if matches!(ran.end, End::Returned(said) if is_true(&said)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether they see what a transaction was and did.
    pub(super) fn sees(&self, outcome: &Outcome) -> Result<bool, RpcError> {
        if self.everything || self.took_part(outcome) {
            return Ok(true);
        }
        match outcome.to.to().copied().or_else(|| outcome.contract()) {
            Some(contract) => self.sees_contract(&contract),
            None => Ok(false),
        }
    }

    /// Whether they see what waits of this sender.
    pub(super) fn sees_sender(&self, sender: Address) -> bool {
        self.everything || self.accounts.contains(&sender)
    }

    /// Whether they see a log.
    pub(super) fn sees_log(&self, placed: &PlacedLog) -> Result<bool, RpcError> {
        if self.everything || self.took_part(&placed.transaction) {
            return Ok(true);
        }
        self.sees_contract(&placed.log.address)
    }

    /// Only the logs that they see.
    pub(super) fn only_seen(&self, logs: Vec<PlacedLog>) -> Result<Vec<PlacedLog>, RpcError> {
        if self.everything {
            return Ok(logs);
        }
        let seen = logs.into_iter().map(|placed| {
            let sees = self.sees_log(&placed)?;
            Ok(sees.then_some(placed))
        });
        seen.filter_map(Result::transpose).collect()
    }

    fn took_part(&self, outcome: &Outcome) -> bool {
        let is_own = |address: &Address| self.accounts.contains(address);
        is_own(&outcome.from) || outcome.to.to().is_some_and(is_own)
    }
}

/// Solidity's `true`.
fn is_true(said: &Bytes) -> bool {
    let Some((last, zeros)) = said.split_last() else {
        return false;
    };
    said.len() == 32 && *last == 1 && zeros.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::keccak256;

    #[test]
    fn the_question_to_contracts_has_the_selector_of_its_signature() {
        assert_eq!(keccak256("isParty(address)")[..4], IS_PARTY);
    }

    #[test]
    fn only_one_word_is_true() {
        let mut word = vec![0; 32];
        assert!(!is_true(&word.clone().into()));
        word[31] = 1;
        assert!(is_true(&word.clone().into()));
        word[0] = 1;
        assert!(!is_true(&word.into()));
        assert!(!is_true(&Bytes::new()) && !is_true(&vec![1].into()));
    }
}
