//! The machine itself. Versions of `revm` come often and rename much: no module but this one and those in it
//! names it.

pub mod trace;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use alloy_consensus::{Transaction as _, Typed2718};
use alloy_eips::eip2930::AccessList;
use alloy_eips::eip7702::SignedAuthorization;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, Log, TxKind, U256};
use ledger::tables::EVM_MAKERS;
use ledger::{State, Tx};
use lru::LruCache;
use revm::context::result::{
    EVMError, ExecutionResult, HaltReason, InvalidTransaction, OutOfGasError, Output,
};
use revm::context::{BlockEnv, CfgEnv, Evm, FrameStack, TxEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::context_interface::either::Either;
use revm::database_interface::DBErrorMarker;
use revm::handler::instructions::EthInstructions;
use revm::handler::{EthFrame, EthPrecompiles};
use revm::primitives::AddressMap;
use revm::primitives::hardfork::SpecId;
use revm::state::{AccountInfo, Bytecode};
use revm::{Context, Database, ExecuteEvm, MainContext};

#[cfg(test)]
mod state_tests;

use crate::accounts::{self, Account, Damaged};
use crate::chain::{self, Head};
use crate::limits::{BLOCK_GAS_LIMIT, CODES_CACHED, TRANSACTION_GAS_MAX};
use crate::signed::Signed;
use ledger::contracts::{Fork, Rules};

/// What one run of the machine did; nothing of it is written yet.
#[derive(Debug)]
pub struct Ran {
    /// How it ended.
    pub end: End,
    /// Gas that it used.
    pub gas: u64,
    /// Logs that it left.
    pub logs: Vec<Log>,
    changes: AddressMap<revm::state::Account>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With this result.
    Returned(Bytes),
    /// With a contract at this address.
    Created(Address),
    /// The contract refused and said this.
    Reverted(Bytes),
    /// The machine stopped it, for this reason, in the words of Ethereum's clients.
    Halted(String),
}

/// Why a transaction is not run at all. Nothing of it is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// It was sent before, or another one with its number.
    #[error("nonce too low: next nonce {state}, tx nonce {tx}")]
    NonceTooLow {
        /// Its number.
        tx: u64,
        /// The number that is next.
        state: u64,
    },
    /// Those before it have not come yet.
    #[error("nonce too high: next nonce {state}, tx nonce {tx}")]
    NonceTooHigh {
        /// Its number.
        tx: u64,
        /// The number that is next.
        state: u64,
    },
    /// It would give away more than its sender has.
    #[error("insufficient funds for gas * price + value: balance {balance}, tx cost {cost}")]
    Funds {
        /// What the sender has.
        balance: U256,
        /// What it takes.
        cost: U256,
    },
    /// Less gas than any such transaction takes.
    #[error("intrinsic gas too low: gas {limit}, minimum needed {least}")]
    Gas {
        /// What was given.
        limit: u64,
        /// What it takes.
        least: u64,
    },
    /// More gas than a transaction can have.
    #[error("transaction gas limit too high (cap: {TRANSACTION_GAS_MAX}, tx: {limit})")]
    GasCap {
        /// What was asked for.
        limit: u64,
    },
    /// The fees contradict each other.
    #[error("max priority fee per gas higher than max fee per gas")]
    Fees,
    /// Anything else, in the machine's words.
    #[error("{0}")]
    Other(String),
    /// This node cannot read its state.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

impl DBErrorMarker for Damaged {}

/// Code that is ready to run, so that it is not analysed each time.
#[derive(Debug)]
pub struct Codes(Mutex<LruCache<B256, Bytecode>>);

impl Default for Codes {
    fn default() -> Self {
        let most = NonZeroUsize::new(CODES_CACHED).expect("some are kept");
        Self(Mutex::new(LruCache::new(most)))
    }
}

impl Codes {
    fn of(&self, state: &dyn State, digest: &B256) -> Bytecode {
        // A panic elsewhere cannot leave a cache of finished values half changed.
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ready = || -> Result<Bytecode, Infallible> {
            let code = accounts::code(state, digest);
            Ok(Bytecode::new_raw(code))
        };
        match codes.try_get_or_insert(*digest, ready) {
            Ok(code) => code.clone(),
        }
    }
}

/// The ledger's tables, as the machine reads them.
#[derive(Clone, Copy)]
struct View<'a> {
    state: &'a dyn State,
    codes: &'a Codes,
}

impl Database for View<'_> {
    type Error = Damaged;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Damaged> {
        let account = Account::of(self.state, &address)?;
        Ok(account.map(|account| AccountInfo {
            nonce: account.nonce,
            balance: account.balance,
            code_hash: account.code,
            code: None,
            ..AccountInfo::default()
        }))
    }

    fn code_by_hash(&mut self, digest: B256) -> Result<Bytecode, Damaged> {
        if digest == KECCAK256_EMPTY {
            return Ok(Bytecode::default());
        }
        Ok(self.codes.of(self.state, &digest))
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Damaged> {
        accounts::storage(self.state, &address, &slot)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Damaged> {
        chain::block_hash(self.state, number)
    }
}

/// Runs a transaction in a block. Nothing is charged for its gas, whatever it offers; but what it is
/// given bounds what it can use.
///
/// # Errors
/// It cannot be run: see [`Invalid`].
pub fn run(
    state: &dyn State,
    codes: &Codes,
    rules: &Rules,
    head: &Head,
    signed: &Signed,
) -> Result<Ran, Invalid> {
    let transaction = signed.envelope();
    if transaction.gas_limit() > TRANSACTION_GAS_MAX {
        return Err(Invalid::GasCap {
            limit: transaction.gas_limit(),
        });
    }
    if transaction
        .max_priority_fee_per_gas()
        .is_some_and(|tip| tip > transaction.max_fee_per_gas())
    {
        return Err(Invalid::Fees);
    }
    machine(state, codes, settings(rules), block(head), sent(signed))
}

/// A transaction as the machine takes it.
fn sent(signed: &Signed) -> TxEnv {
    let transaction = signed.envelope();
    let authorizations = transaction.authorization_list().unwrap_or_default();
    TxEnv {
        tx_type: transaction.ty(),
        caller: signed.sender(),
        gas_limit: transaction.gas_limit(),
        kind: transaction.kind(),
        value: transaction.value(),
        data: transaction.input().clone(),
        nonce: transaction.nonce(),
        chain_id: transaction.chain_id(),
        access_list: transaction.access_list().cloned().unwrap_or_default(),
        authorization_list: authorizations.iter().cloned().map(Either::Left).collect(),
        // Gas is free: a fee that was offered is neither checked nor charged.
        gas_price: 0,
        gas_priority_fee: None,
        ..free()
    }
}

/// What somebody would like to know the result of, without sending it.
#[derive(Debug, Clone, Default)]
pub struct Call {
    /// Who would send it.
    pub from: Address,
    /// Whom it would call.
    pub to: TxKind,
    /// What it could use.
    pub gas: u64,
    /// What it would give away.
    pub value: U256,
    /// What it would say.
    pub input: Bytes,
    /// What it would announce to read.
    pub access_list: AccessList,
    /// Who would let code act for them.
    pub authorizations: Vec<SignedAuthorization>,
}

/// Runs a call as if it had been sent next. Nothing is kept of it, so neither its number nor whether a
/// contract could have sent it matters.
///
/// # Errors
/// It cannot be run: see [`Invalid`].
pub fn call(
    state: &dyn State,
    codes: &Codes,
    rules: &Rules,
    head: &Head,
    call: Call,
) -> Result<Ran, Invalid> {
    machine(
        state,
        codes,
        lenient(rules),
        block(head),
        asked(rules, call),
    )
}

/// Rules for what is not sent.
fn lenient(rules: &Rules) -> CfgEnv {
    let mut settings = settings(rules);
    settings.disable_nonce_check = true;
    settings.disable_eip3607 = true;
    settings.tx_gas_limit_cap = Some(u64::MAX);
    settings
}

/// A call as the machine takes it.
fn asked(rules: &Rules, call: Call) -> TxEnv {
    TxEnv {
        tx_type: if call.authorizations.is_empty() { 2 } else { 4 },
        caller: call.from,
        gas_limit: call.gas,
        kind: call.to,
        value: call.value,
        data: call.input,
        chain_id: Some(rules.chain_id),
        access_list: call.access_list,
        authorization_list: call.authorizations.into_iter().map(Either::Left).collect(),
        ..free()
    }
}

fn settings(rules: &Rules) -> CfgEnv {
    let mut settings = CfgEnv::new_with_spec(match rules.fork {
        Fork::Cancun => SpecId::CANCUN,
        Fork::Prague => SpecId::PRAGUE,
        Fork::Osaka => SpecId::OSAKA,
    });
    settings.chain_id = rules.chain_id;
    settings
}

fn free() -> TxEnv {
    TxEnv {
        tx_type: 0,
        caller: Address::ZERO,
        gas_limit: 0,
        gas_price: 0,
        kind: TxKind::Create,
        value: U256::ZERO,
        data: Bytes::new(),
        nonce: 0,
        chain_id: None,
        access_list: AccessList::default(),
        gas_priority_fee: None,
        blob_hashes: Vec::new(),
        max_fee_per_blob_gas: 0,
        authorization_list: Vec::new(),
    }
}

/// The block as code sees it: nobody gets fees, and none are asked for.
fn block(head: &Head) -> BlockEnv {
    BlockEnv {
        number: U256::from(head.number),
        beneficiary: Address::ZERO,
        timestamp: U256::from(head.time),
        gas_limit: BLOCK_GAS_LIMIT,
        basefee: 0,
        difficulty: U256::ZERO,
        prevrandao: Some(head.randomness),
        blob_excess_gas_and_price: Some(BlobExcessGasAndPrice::new(0, 1)),
        slot_num: 0,
    }
}

/// All that runs comes through here, Ethereum's state tests too.
fn machine(
    state: &dyn State,
    codes: &Codes,
    settings: CfgEnv,
    block: BlockEnv,
    transaction: TxEnv,
) -> Result<Ran, Invalid> {
    let fork = settings.spec;
    let context = Context::mainnet()
        .with_db(View { state, codes })
        .with_cfg(settings)
        .with_block(block);
    let mut machine = Evm {
        ctx: context,
        inspector: (),
        instruction: EthInstructions::new_mainnet_with_spec(fork),
        precompiles: EthPrecompiles::new(fork),
        // What the machine is built with otherwise has room for eight nested calls, of 32 KiB each.
        frame_stack: FrameStack::<EthFrame>::new(),
    };
    let done = machine.transact(transaction).map_err(invalid)?;
    let gas = done.result.tx_gas_used();
    let (end, logs) = match done.result {
        ExecutionResult::Success { logs, output, .. } => match output {
            Output::Create(_, Some(address)) => (End::Created(address), logs),
            Output::Create(code, None) | Output::Call(code) => (End::Returned(code), logs),
        },
        ExecutionResult::Revert { output, .. } => (End::Reverted(output), Vec::new()),
        ExecutionResult::Halt { reason, .. } => (End::Halted(halted(&reason)), Vec::new()),
    };
    Ok(Ran {
        end,
        gas,
        logs,
        changes: done.state,
    })
}

fn invalid(error: EVMError<Damaged, InvalidTransaction>) -> Invalid {
    let invalid = match error {
        EVMError::Transaction(invalid) => invalid,
        EVMError::Database(damaged) => return Invalid::Damaged(damaged),
        other => return Invalid::Other(other.to_string()),
    };
    match invalid {
        InvalidTransaction::NonceTooLow { tx, state } => Invalid::NonceTooLow { tx, state },
        InvalidTransaction::NonceTooHigh { tx, state } => Invalid::NonceTooHigh { tx, state },
        InvalidTransaction::LackOfFundForMaxFee { fee, balance } => Invalid::Funds {
            balance: *balance,
            cost: *fee,
        },
        InvalidTransaction::CallGasCostMoreThanGasLimit {
            initial_gas: least,
            gas_limit: limit,
        }
        | InvalidTransaction::GasFloorMoreThanGasLimit {
            gas_floor: least,
            gas_limit: limit,
        } => Invalid::Gas { limit, least },
        InvalidTransaction::TxGasLimitGreaterThanCap { gas_limit, .. } => {
            Invalid::GasCap { limit: gas_limit }
        }
        InvalidTransaction::RejectCallerWithCode => {
            Invalid::Other("sender not an eoa: it has code".to_owned())
        }
        InvalidTransaction::CreateInitCodeSizeLimit => {
            Invalid::Other("max initcode size exceeded".to_owned())
        }
        other => Invalid::Other(other.to_string()),
    }
}

/// In the words of Ethereum's clients, which tools look for.
fn halted(reason: &HaltReason) -> String {
    match reason {
        HaltReason::OutOfGas(OutOfGasError::InvalidOperand) => "gas uint64 overflow".to_owned(),
        HaltReason::OutOfGas(_) => "out of gas".to_owned(),
        HaltReason::OpcodeNotFound | HaltReason::InvalidFEOpcode | HaltReason::NotActivated => {
            "invalid opcode".to_owned()
        }
        HaltReason::InvalidJump => "invalid jump destination".to_owned(),
        HaltReason::StackUnderflow => "stack underflow".to_owned(),
        HaltReason::StackOverflow => "stack limit reached".to_owned(),
        HaltReason::OutOfOffset => "return data out of bounds".to_owned(),
        HaltReason::CreateCollision => "contract address collision".to_owned(),
        HaltReason::CreateContractSizeLimit => "max code size exceeded".to_owned(),
        HaltReason::CreateContractStartingWithEF => {
            "invalid code: must not begin with 0xef".to_owned()
        }
        HaltReason::StateChangeDuringStaticCall | HaltReason::CallNotAllowedInsideStatic => {
            "write protection".to_owned()
        }
        HaltReason::CallTooDeep => "max call depth exceeded".to_owned(),
        HaltReason::OutOfFunds => "insufficient balance for transfer".to_owned(),
        other => format!("{other:?}"),
    }
}

impl Ran {
    /// Whether it came to its end.
    pub const fn succeeded(&self) -> bool {
        matches!(self.end, End::Returned(_) | End::Created(_))
    }

    /// Notes who had each contract made that it made.
    pub fn put_makers(&self, tx: &mut Tx<'_>, maker: &Address) {
        let made = self.changes.iter().filter(|(_, account)| {
            account.is_created()
                && !account.is_selfdestructed()
                && account.info.code_hash != KECCAK256_EMPTY
        });
        let mut made: Vec<_> = made.map(|(address, _)| address).collect();
        made.sort_unstable();
        for contract in made {
            tx.put(EVM_MAKERS, contract.as_slice(), maker.as_slice());
        }
    }

    /// Accounts that it looked at, each with the slots that it looked at, in order.
    pub fn looked_at(&self) -> BTreeMap<Address, Vec<U256>> {
        let accounts = self.changes.iter().map(|(address, account)| {
            let mut slots: Vec<U256> = account.storage.keys().copied().collect();
            slots.sort_unstable();
            (*address, slots)
        });
        accounts.collect()
    }

    /// Writes what it changed, in the order of addresses.
    pub fn put(&self, tx: &mut Tx<'_>) {
        let mut changes: Vec<_> = self.changes.iter().collect();
        changes.sort_unstable_by_key(|(address, _)| **address);
        for (address, account) in changes {
            if !account.is_touched() {
                continue;
            }
            // Only a contract that was made in the same transaction goes (EIP-6780), so it never had a
            // row.
            if account.is_selfdestructed() {
                put_removed(tx, address);
                continue;
            }
            put_account(tx, address, account);
            let mut slots: Vec<_> = account.changed_storage_slots().collect();
            slots.sort_unstable_by_key(|(slot, _)| **slot);
            for (slot, value) in slots {
                accounts::put_storage(tx, address, slot, &value.present_value);
            }
        }
    }
}

fn put_account(tx: &mut Tx<'_>, address: &Address, account: &revm::state::Account) {
    let info = &account.info;
    if account.is_empty() {
        return put_removed(tx, address);
    }
    if let Some(code) = &info.code
        && info.code_hash != KECCAK256_EMPTY
        && account.original_info().code_hash != info.code_hash
    {
        accounts::put_code(tx, &info.code_hash, code.original_byte_slice());
    }
    let now = Account {
        nonce: info.nonce,
        balance: info.balance,
        code: info.code_hash,
    };
    let before = account.original_info();
    let unchanged = (before.nonce, before.balance, before.code_hash)
        == (info.nonce, info.balance, info.code_hash);
    if !unchanged || account.is_created() {
        now.put(tx, address);
    }
}

/// Most accounts that are empty after a transaction were so before: the one that would get the fees.
fn put_removed(tx: &mut Tx<'_>, address: &Address) {
    if tx
        .value(&ledger::tables::EVM_ACCOUNTS, address.as_slice())
        .is_some()
    {
        Account::remove(tx, address);
    }
}
