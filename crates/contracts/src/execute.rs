//! A signed transaction as one transaction of the ledger.

use std::sync::{Arc, OnceLock};

use ledger::{Rejection, Transaction, Tx};
use verify::Digest;

use crate::chain::Head;
use crate::evm::{self, Codes, Invalid};
use crate::gaps::{Full, Gaps};
use crate::outcome::Outcome;
use crate::signed::Signed;
use ledger::contracts::Rules;

/// Runs a signed transaction, once, on the leader.
pub struct Execute {
    /// What to run.
    pub signed: Signed,
    /// When it came, seconds since 1970.
    pub time: u64,
    /// Code that is ready to run.
    pub codes: Arc<Codes>,
    /// Where it waits if others have to come first.
    pub gaps: Arc<Gaps>,
    /// Where whoever sent it finds what became of it.
    pub answer: Arc<OnceLock<Result<Arc<Outcome>, Refused>>>,
}

/// Why a transaction got no place in the ledger: nothing of it is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is for another chain.
    #[error("invalid chain id for signer")]
    Chain,
    /// It cannot be run.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// It came too early, and too many did.
    #[error(transparent)]
    Full(#[from] Full),
}

impl Transaction for Execute {
    fn run(self: Box<Self>, tx: &mut Tx<'_>) -> Result<Digest, Rejection> {
        let ran = self.execute(tx);
        let digest = match &ran {
            Ok(outcome) => Ok(outcome.claim(tx)),
            Err(refused) => Err(Rejection::InvalidInput(refused.to_string())),
        };
        // Put here by the executor, so that the one before it cannot slip through meanwhile.
        let too_early = matches!(ran, Err(Refused::Invalid(Invalid::NonceTooHigh { .. })));
        let ran = if too_early && let Err(full) = self.gaps.put(self.signed.clone()) {
            Err(full.into())
        } else {
            ran.map(Arc::new)
        };
        // It is run once.
        let _ = self.answer.set(ran);
        digest
    }
}

impl Execute {
    fn execute(&self, tx: &mut Tx<'_>) -> Result<Outcome, Refused> {
        let rules = Rules::of(&*tx);
        if alloy_consensus::Transaction::chain_id(self.signed.envelope()) != Some(rules.chain_id) {
            return Err(Refused::Chain);
        }
        let head = Head::for_transaction(tx, self.time).map_err(Invalid::from)?;
        let ran = evm::run(&*tx, &self.codes, &rules, &head, &self.signed)?;
        ran.put(tx);
        if ran.succeeded() {
            ran.put_makers(tx, &self.signed.sender());
        }
        let (raw, hash) = (self.signed.raw().clone(), self.signed.hash());
        let to = alloy_consensus::Transaction::kind(self.signed.envelope());
        let outcome = Outcome::of(&head, ran, raw, hash, self.signed.sender(), to);
        outcome.counted(head).put(tx);
        outcome.put(tx);
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::{Account, storage};
    use crate::chain::block_start;
    use crate::testing::{CHAIN, Chain, Wallet, call, deploying};
    use alloy_consensus::{TxEip2930, TxEip7702, TxLegacy};
    use alloy_eips::eip7702::Authorization;
    use alloy_primitives::{Address, Bytes, TxKind, U256, hex, keccak256};
    use ledger::State;
    use ledger::kv::MemoryState;
    use ledger::tables::EVM_ACCOUNTS;

    /// Adds one to slot 0 and logs the new value under topic 5.
    const COUNTER: [u8; 17] = hex!("5f54600101805f555f52600560205fa100");
    /// Reverts with one byte, 0x2a.
    const REFUSES: [u8; 8] = hex!("602a5f5360015ffd");
    /// Jumps to itself for ever.
    const LOOPS: [u8; 4] = hex!("5b5f5600");

    fn nonce(state: &MemoryState, address: Address) -> u64 {
        Account::of(state, &address).unwrap().unwrap().nonce
    }

    fn deployed(chain: &mut Chain, wallet: &Wallet, nonce: u64, code: &[u8]) -> Address {
        let made = wallet.sign(call(nonce, TxKind::Create, deploying(code)));
        let outcome = chain.send(made).unwrap();
        assert!(outcome.succeeded, "{outcome:?}");
        outcome.contract().unwrap()
    }

    #[test]
    fn a_contract_is_made_and_called() {
        let (mut chain, wallet) = (Chain::new(), Wallet::new(1));
        let counter = deployed(&mut chain, &wallet, 0, &COUNTER);
        assert_eq!(counter, wallet.address().create(0));
        let called = chain.send(wallet.sign(call(1, counter.into(), [])));
        let called = called.unwrap();
        assert!(called.succeeded, "{called:?}");
        let [log] = &called.logs[..] else {
            panic!("{called:?}");
        };
        assert_eq!(
            (log.address, log.topics()),
            (counter, &[U256::from(5).into()][..])
        );
        let one = U256::from(1);
        assert_eq!(storage(&chain.state, &counter, &U256::ZERO), Ok(one));
        assert_eq!(nonce(&chain.state, wallet.address()), 2);
    }

    #[test]
    fn nobody_pays_for_gas_whatever_they_offer() {
        let (mut chain, wallet) = (Chain::new(), Wallet::new(1));
        let mut offers = call(0, TxKind::Create, deploying(&COUNTER));
        (offers.max_fee_per_gas, offers.max_priority_fee_per_gas) = (1 << 60, 1 << 50);
        assert!(chain.send(wallet.sign(offers)).unwrap().succeeded);
        let account = Account::of(&chain.state, &wallet.address()).unwrap();
        assert_eq!(account.unwrap().balance, U256::ZERO);
        let rows = chain.state.values(&EVM_ACCOUNTS);
        assert_eq!(
            rows.len(),
            2,
            "the wallet and the contract, and nobody who earns fees"
        );
    }

    #[test]
    fn all_types_of_transactions_are_run() {
        let (mut chain, wallet) = (Chain::new(), Wallet::new(1));
        let counter = deployed(&mut chain, &wallet, 0, &COUNTER);
        let legacy = TxLegacy {
            chain_id: Some(CHAIN),
            nonce: 1,
            gas_price: 20,
            gas_limit: 100_000,
            to: counter.into(),
            ..TxLegacy::default()
        };
        let listed = TxEip2930 {
            chain_id: CHAIN,
            nonce: 2,
            gas_limit: 100_000,
            to: counter.into(),
            ..TxEip2930::default()
        };
        assert!(chain.send(wallet.sign(legacy)).unwrap().succeeded);
        assert!(chain.send(wallet.sign(listed)).unwrap().succeeded);
        // An account that lets a contract's code act for it.
        let owner = Wallet::new(2);
        let allowed = Authorization {
            chain_id: U256::from(CHAIN),
            address: counter,
            nonce: 0,
        };
        let signature = owner.signature(allowed.signature_hash());
        let delegated = TxEip7702 {
            chain_id: CHAIN,
            nonce: 3,
            gas_limit: 200_000,
            to: owner.address(),
            authorization_list: vec![allowed.into_signed(signature)],
            ..TxEip7702::default()
        };
        assert!(chain.send(wallet.sign(delegated)).unwrap().succeeded);
        let one = U256::from(1);
        assert_eq!(
            storage(&chain.state, &owner.address(), &U256::ZERO),
            Ok(one)
        );
        let three = U256::from(2);
        assert_eq!(storage(&chain.state, &counter, &U256::ZERO), Ok(three));
    }

    #[test]
    fn a_nonce_is_used_once_and_none_is_left_out() {
        let (mut chain, wallet) = (Chain::new(), Wallet::new(1));
        let first = wallet.sign(call(0, Address::ZERO.into(), []));
        chain.send(first.clone()).unwrap();
        let again = chain.send(first).unwrap_err().to_string();
        assert_eq!(again, "nonce too low: next nonce 1, tx nonce 0");
        let later = chain.send(wallet.sign(call(2, Address::ZERO.into(), [])));
        let later = later.unwrap_err().to_string();
        assert_eq!(later, "nonce too high: next nonce 1, tx nonce 2");
        assert_eq!(nonce(&chain.state, wallet.address()), 1);
    }

    #[test]
    fn what_fails_leaves_its_nonce_its_gas_and_what_it_said() {
        let (mut chain, wallet) = (Chain::new(), Wallet::new(1));
        let refuses = deployed(&mut chain, &wallet, 0, &REFUSES);
        let reverted = chain
            .send(wallet.sign(call(1, refuses.into(), [])))
            .unwrap();
        assert!(!reverted.succeeded);
        assert_eq!(reverted.reason, Bytes::from_static(&[0x2a]));
        assert!((21_000..22_000).contains(&reverted.gas), "{}", reverted.gas);

        let loops = deployed(&mut chain, &wallet, 2, &LOOPS);
        let stopped = chain.send(wallet.sign(call(3, loops.into(), []))).unwrap();
        assert!(!stopped.succeeded);
        assert_eq!(stopped.gas, 1_000_000);
        assert_eq!(nonce(&chain.state, wallet.address()), 4);
    }

    #[test]
    fn nobody_gives_away_what_they_have_not() {
        let (mut chain, wallet) = (Chain::new(), Wallet::new(1));
        let mut gives = call(0, Address::repeat_byte(9).into(), []);
        gives.value = U256::from(5);
        let refused = chain.send(wallet.sign(gives)).unwrap_err().to_string();
        assert!(refused.starts_with("insufficient funds"), "{refused}");
    }

    #[test]
    fn gas_is_bounded_from_both_sides() {
        let (mut chain, wallet) = (Chain::new(), Wallet::new(1));
        let mut little = call(0, Address::ZERO.into(), []);
        little.gas_limit = 20_000;
        let mut much = little.clone();
        much.gas_limit = 1 << 40;
        let refused = chain.send(wallet.sign(little)).unwrap_err().to_string();
        assert_eq!(
            refused,
            "intrinsic gas too low: gas 20000, minimum needed 21000"
        );
        let refused = chain.send(wallet.sign(much)).unwrap_err().to_string();
        assert!(refused.contains("gas limit too high"), "{refused}");
    }

    #[test]
    fn a_block_is_a_batch() {
        let (mut chain, wallet) = (Chain::new(), Wallet::new(1));
        let send = |chain: &mut Chain, nonce| {
            chain
                .send(wallet.sign(call(nonce, Address::ZERO.into(), [])))
                .unwrap()
        };
        let (one, two) = (send(&mut chain, 0), send(&mut chain, 1));
        chain.end_batch();
        let three = send(&mut chain, 2);
        let places = [&one, &two, &three].map(|outcome| (outcome.block, outcome.index));
        assert_eq!(places, [(1, 0), (1, 1), (2, 0)]);
        assert_eq!((one.gas_before, two.gas_before), (0, one.gas));
        assert_eq!(one.time, two.time);
        assert!(three.time > two.time);
        let start = |number| block_start(&chain.state, number).unwrap();
        assert_eq!(start(1).unwrap().first, 10);
        assert_eq!(start(2).unwrap().first, 13);
        assert_eq!((start(0), start(3)), (None, None));
    }

    #[test]
    fn what_is_kept_is_read_back_and_is_what_the_claim_says() {
        let (mut chain, wallet) = (Chain::new(), Wallet::new(1));
        let counter = deployed(&mut chain, &wallet, 0, &COUNTER);
        let raw = wallet.sign(call(1, counter.into(), []));
        let outcome = chain.send(raw.clone()).unwrap();
        assert_eq!(outcome.hash, keccak256(&raw));
        let kept = chain
            .state
            .value(&ledger::tables::EVM_TRANSACTIONS, outcome.hash.as_slice());
        assert_eq!(Outcome::decode_row(&kept.unwrap()).as_ref(), Ok(&*outcome));
        let other = Outcome {
            succeeded: false,
            ..Outcome::clone(&outcome)
        };
        assert_ne!(outcome.proven().digest(), other.proven().digest());
    }
}
