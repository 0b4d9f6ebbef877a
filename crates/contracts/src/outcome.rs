//! What became of a transaction: what the ledger keeps of it and the receipt proves.
//!
//! ```text
//! counterfoil.evm.transactions   HASH(32)                     RLP of Outcome
//! counterfoil.evm.logs           00 ADDRESS(20)               nothing: the seqno is what counts
//!                                01 PLACE TOPIC(32)
//!                                02 ADDRESS(20) TOPIC(32)      of the first topic, the event
//! claim                          EthereumTransactionV1, what became of it (verify::ethereum)
//! ```

use alloy_primitives::{Address, B256, Bytes, Log, TxKind};
use alloy_rlp::{Decodable, RlpDecodable, RlpEncodable};
use ledger::tables::{EVM_LOGS, EVM_TRANSACTIONS};
use ledger::{Tx, claims};
use verify::Digest;
use verify::ethereum::{ETHEREUM_TRANSACTION_V1, EthereumLog, EthereumTransaction, Hex};

use crate::accounts::Damaged;
use crate::chain::Head;
use crate::evm::{End, Ran};
use crate::limits::REASON_BYTES_MAX;

/// A transaction and what it did, as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Outcome {
    /// The transaction as it was signed.
    pub raw: Bytes,
    /// Its hash.
    pub hash: B256,
    /// Who signed it.
    pub from: Address,
    /// Whom it called; nobody, if it made a contract.
    pub to: TxKind,
    /// The block that it is in.
    pub block: u64,
    /// When the block began, seconds since 1970.
    pub time: u64,
    /// Its place in the block, from zero.
    pub index: u32,
    /// Whether it succeeded; nothing but its number and its gas is left of one that did not.
    pub succeeded: bool,
    /// Gas that it used.
    pub gas: u64,
    /// Gas that those before it in the block used.
    pub gas_before: u64,
    /// Logs that those before it in the block left.
    pub logs_before: u32,
    /// The contract that it made; empty for none.
    pub contract: Bytes,
    /// What it left for others to see.
    pub logs: Vec<Log>,
    /// What a transaction that failed said, as far as it is kept
    /// ([`crate::limits::REASON_BYTES_MAX`]).
    pub reason: Bytes,
}

impl Outcome {
    /// What a run left that was the next one in this block.
    pub fn of(head: &Head, ran: Ran, raw: Bytes, hash: B256, from: Address, to: TxKind) -> Self {
        let (contract, reason) = match &ran.end {
            End::Created(address) => (address.to_vec().into(), Bytes::new()),
            End::Reverted(said) => {
                let kept = said.len().min(REASON_BYTES_MAX);
                (Bytes::new(), said.slice(..kept))
            }
            End::Returned(_) | End::Halted(_) => Default::default(),
        };
        Self {
            raw,
            hash,
            from,
            to,
            block: head.number,
            time: head.time,
            index: head.transactions,
            succeeded: ran.succeeded(),
            gas: ran.gas,
            gas_before: head.gas,
            logs_before: head.logs,
            contract,
            logs: ran.logs,
            reason,
        }
    }

    /// Reads a row of the table.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn decode_row(row: &[u8]) -> Result<Self, Damaged> {
        Self::decode(&mut &row[..]).map_err(|_| Damaged("a transaction"))
    }

    /// Keeps it: by its hash, and by what its logs can be asked for.
    pub fn put(&self, tx: &mut Tx<'_>) {
        for log in &self.logs {
            for key in log_keys(log) {
                tx.put(EVM_LOGS, key, []);
            }
        }
        tx.put(
            EVM_TRANSACTIONS,
            self.hash.as_slice(),
            alloy_rlp::encode(self),
        );
    }

    /// The block's head with this transaction in it.
    pub const fn counted(&self, head: Head) -> Head {
        Head {
            transactions: self.index + 1,
            gas: self.gas_before + self.gas,
            logs: self.logs_before + self.logs.len() as u32,
            ..head
        }
    }

    /// The contract that it made.
    pub fn contract(&self) -> Option<Address> {
        (!self.contract.is_empty()).then(|| Address::from_slice(&self.contract))
    }

    /// What the receipt proves: "this call happened, with this result".
    pub fn proven(&self) -> EthereumTransaction {
        let log = |log: &Log| EthereumLog {
            address: Hex(log.address.into()),
            topics: log.topics().iter().map(|topic| Hex(topic.0)).collect(),
            data: log.data.data.to_vec(),
        };
        EthereumTransaction {
            transaction_hash: Hex(self.hash.0),
            from: Hex(self.from.into()),
            to: self.to.to().map(|to| Hex((*to).into())),
            succeeded: self.succeeded,
            gas_used: self.gas,
            contract_address: self.contract().map(|made| Hex(made.into())),
            logs: self.logs.iter().map(log).collect(),
        }
    }

    /// Claims it; returns the digest that stands in the transaction's leaf.
    pub fn claim(&self, tx: &mut Tx<'_>) -> Digest {
        claims::claim(tx, ETHEREUM_TRANSACTION_V1, self.proven().digest())
    }
}

/// Under which keys a log is found: its emitter, each of its topics, and the emitter together with the first
/// topic, which says what kind of event it is, so that many contracts share it. What the others name, such
/// as an account or a hash, few contracts do.
fn log_keys(log: &Log) -> impl Iterator<Item = Vec<u8>> {
    let topics = (0u8..).zip(log.topics());
    let keys = topics.map(|(place, topic)| topic_key(place, topic));
    let event = log.topics().first();
    let event = event.map(|topic| emitter_event_key(&log.address, topic));
    std::iter::once(emitter_key(&log.address))
        .chain(event)
        .chain(keys)
}

/// The key of all logs of a contract.
pub fn emitter_key(address: &Address) -> Vec<u8> {
    [&[0], address.as_slice()].concat()
}

/// The key of all logs with this topic at this place.
pub fn topic_key(place: u8, topic: &B256) -> Vec<u8> {
    [&[1, place], topic.as_slice()].concat()
}

/// The key of all logs of a contract with this first topic.
pub fn emitter_event_key(address: &Address, topic: &B256) -> Vec<u8> {
    [&[2], address.as_slice(), topic.as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::LogData;

    /// What the claim says of a transaction, for another encoder of RLP.
    #[derive(RlpEncodable)]
    struct Proven {
        hash: B256,
        from: Address,
        to: TxKind,
        succeeded: bool,
        gas: u64,
        contract: Bytes,
        logs: Vec<Log>,
    }

    #[test]
    fn what_the_receipt_proves_is_encoded_as_ethereum_does() {
        let log = |topics: u8, data: usize| Log {
            address: Address::repeat_byte(9),
            data: LogData::new_unchecked(
                (0..topics).map(B256::repeat_byte).collect(),
                vec![7; data].into(),
            ),
        };
        let call = TxKind::Call(Address::repeat_byte(3));
        for (to, succeeded, gas, contract, logs) in [
            (call, true, 0, vec![], vec![]),
            (call, false, 21_000, vec![], vec![log(0, 0)]),
            (
                TxKind::Create,
                true,
                1 << 40,
                vec![5; 20],
                vec![log(4, 1), log(1, 1000)],
            ),
            (call, true, 127, vec![], vec![log(2, 56); 700]),
        ] {
            let outcome = Outcome {
                raw: Bytes::new(),
                hash: B256::repeat_byte(1),
                from: Address::repeat_byte(2),
                to,
                block: 1,
                time: 2,
                index: 3,
                succeeded,
                gas,
                gas_before: 4,
                logs_before: 5,
                contract: contract.into(),
                logs,
                reason: Bytes::new(),
            };
            let proven = Proven {
                hash: outcome.hash,
                from: outcome.from,
                to,
                succeeded,
                gas,
                contract: outcome.contract.clone(),
                logs: outcome.logs.clone(),
            };
            let encoded = alloy_rlp::encode(&proven);
            assert_eq!(outcome.proven().digest(), Digest::of(&encoded));
        }
    }
}
