//! Nonces, balances, code and storage in the ledger's tables.
//!
//! ```text
//! counterfoil.evm.accounts   ADDRESS(20)             nonce (u64 BE), balance (32), digest of the code
//!                                                    (32; missing where there is none)
//! counterfoil.evm.storage    ADDRESS(20) SLOT(32)    value, big-endian, without leading zeros
//! counterfoil.evm.code       DIGEST(32)              the code
//! ```
//! What is zero or empty has no row.

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use ledger::tables::{EVM_ACCOUNTS, EVM_CODE, EVM_STORAGE};
use ledger::{State, Tx};

/// A row cannot be read: files were changed, or another program wrote them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} of the contracts' state cannot be read: this node's files are damaged")]
pub struct Damaged(pub &'static str);

/// An account, whoever or whatever has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// Transactions that it sent, or contracts that it made.
    pub nonce: u64,
    /// What it owns, in wei.
    pub balance: U256,
    /// Keccak-256 of its code.
    pub code: B256,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            nonce: 0,
            balance: U256::ZERO,
            code: KECCAK256_EMPTY,
        }
    }
}

impl Account {
    /// `None` for an account that nobody has heard of.
    ///
    /// # Errors
    /// The row cannot be read.
    pub fn of(state: &(impl State + ?Sized), address: &Address) -> Result<Option<Self>, Damaged> {
        let row = state.value(&EVM_ACCOUNTS, address.as_slice());
        row.map(|row| Self::decode(&row)).transpose()
    }

    /// Reads a row.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn decode(row: &[u8]) -> Result<Self, Damaged> {
        const WHAT: Damaged = Damaged("an account");
        let (nonce, rest) = row.split_first_chunk::<8>().ok_or(WHAT)?;
        let (balance, code) = rest.split_first_chunk::<32>().ok_or(WHAT)?;
        let code = match code.len() {
            0 => KECCAK256_EMPTY,
            32 => B256::from_slice(code),
            _ => return Err(WHAT),
        };
        Ok(Self {
            nonce: u64::from_be_bytes(*nonce),
            balance: U256::from_be_bytes(*balance),
            code,
        })
    }

    fn encode(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(8 + 32 + 32);
        row.extend(self.nonce.to_be_bytes());
        row.extend(self.balance.to_be_bytes::<32>());
        if self.code != KECCAK256_EMPTY {
            row.extend(self.code);
        }
        row
    }

    /// Writes it.
    pub fn put(&self, tx: &mut Tx<'_>, address: &Address) {
        tx.put(EVM_ACCOUNTS, address.as_slice(), self.encode());
    }

    /// Removes it.
    pub fn remove(tx: &mut Tx<'_>, address: &Address) {
        tx.remove(EVM_ACCOUNTS, address.as_slice());
    }
}

/// The code with this digest; empty if there is none.
pub fn code(state: &(impl State + ?Sized), digest: &B256) -> Bytes {
    let code = state.value(&EVM_CODE, digest.as_slice());
    code.unwrap_or_default().into()
}

/// Keeps code, once: many contracts have the same.
pub fn put_code(tx: &mut Tx<'_>, digest: &B256, code: &[u8]) {
    if tx.value(&EVM_CODE, digest.as_slice()).is_none() {
        tx.put(EVM_CODE, digest.as_slice(), code);
    }
}

/// The value in a slot; zero if nothing was ever put there.
///
/// # Errors
/// The row cannot be read.
pub fn storage(
    state: &(impl State + ?Sized),
    address: &Address,
    slot: &U256,
) -> Result<U256, Damaged> {
    match state.value(&EVM_STORAGE, &slot_key(address, slot)) {
        None => Ok(U256::ZERO),
        Some(value) => U256::try_from_be_slice(&value).ok_or(Damaged("a slot")),
    }
}

/// Puts a value into a slot.
pub fn put_storage(tx: &mut Tx<'_>, address: &Address, slot: &U256, value: &U256) {
    let key = slot_key(address, slot);
    if value.is_zero() {
        tx.remove(EVM_STORAGE, key);
    } else {
        tx.put(EVM_STORAGE, key, value.to_be_bytes_trimmed_vec());
    }
}

fn slot_key(address: &Address, slot: &U256) -> [u8; 52] {
    let mut key = [0; 52];
    key[..20].copy_from_slice(address.as_slice());
    key[20..].copy_from_slice(&slot.to_be_bytes::<32>());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_read_as_it_was_written() {
        let plain = Account {
            nonce: 7,
            balance: U256::from(9),
            ..Account::default()
        };
        let contract = Account {
            code: B256::repeat_byte(3),
            ..plain
        };
        for account in [plain, contract] {
            assert_eq!(Account::decode(&account.encode()), Ok(account));
        }
        for row in [vec![], vec![0; 39], vec![0; 41], vec![0; 73]] {
            assert!(Account::decode(&row).is_err());
        }
    }
}
