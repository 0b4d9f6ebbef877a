//! The chain as a node has it: blocks, transactions, logs and states, all of them committed.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::{Address, B256, Log};
use ledger::tables::{EVM_LOGS, EVM_TRANSACTIONS};
use lru::LruCache;
use node::{Node, ReadError};
use verify::{Seqno, TxId};

use crate::accounts::Damaged;
use crate::chain::{Head, block_hash, block_start};
use crate::limits::{BLOCKS_CACHED, LOG_BLOCKS_MAX, LOG_BYTES_MAX, LOG_CONDITIONS_MAX, LOGS_MAX};
use crate::outcome::{Outcome, emitter_event_key, emitter_key, topic_key};

/// A committed block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its number.
    pub number: u64,
    /// The root that was signed at its end.
    pub hash: B256,
    /// Hash of the block before; zero for block zero.
    pub parent: B256,
    /// Seconds since 1970.
    pub time: u64,
    /// What contracts got as randomness.
    pub randomness: B256,
    /// Its transactions, in their order.
    pub transactions: Vec<Arc<Outcome>>,
}

/// A log and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedLog {
    /// The log.
    pub log: Log,
    /// The transaction that left it.
    pub transaction: Arc<Outcome>,
    /// Its place among the logs of its block, from zero.
    pub index: u64,
    /// Hash of the block.
    pub block_hash: B256,
}

/// Which logs are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// One of these left it; any, if there are none.
    pub emitters: Vec<Address>,
    /// At each place one of these topics; any, where there are none.
    pub topics: [Vec<B256>; 4],
}

/// Why the chain cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// Ask for fewer logs at a time.
    #[error("query exceeds max results {LOGS_MAX}, retry with the range {}-{}", .0.start(), .0.end())]
    TooManyLogs(RangeInclusive<u64>),
    /// Ask for fewer blocks at a time.
    #[error("query exceeds max block range {LOG_BLOCKS_MAX}")]
    TooManyBlocks,
    /// The state cannot be read.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] ReadError),
}

/// Reads the chain. Blocks that were read lately are kept.
pub struct History {
    node: Arc<Node>,
    blocks: Mutex<LruCache<u64, Arc<Block>>>,
}

impl History {
    /// The chain on this node's ledger.
    pub fn new(node: Arc<Node>) -> Self {
        let most = NonZeroUsize::new(BLOCKS_CACHED).expect("some are kept");
        Self {
            node,
            blocks: Mutex::new(LruCache::new(most)),
        }
    }

    /// The number of the newest block.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn newest(&self) -> Result<u64, HistoryError> {
        Ok(Head::of(&self.node.moment())?.number)
    }

    /// A block; `None` if there is none with this number yet.
    ///
    /// # Errors
    /// See [`HistoryError`].
    pub fn block(&self, number: u64) -> Result<Option<Arc<Block>>, HistoryError> {
        if let Some(block) = self.cached(number) {
            return Ok(Some(block));
        }
        let state = self.node.state();
        let hash = block_hash(state, number)?;
        let block = if number == 0 {
            Block {
                number,
                hash,
                parent: B256::ZERO,
                time: 0,
                randomness: B256::ZERO,
                transactions: Vec::new(),
            }
        } else {
            let Some(start) = block_start(state, number)? else {
                return Ok(None);
            };
            Block {
                number,
                hash,
                parent: block_hash(state, number - 1)?,
                time: start.time,
                randomness: start.randomness,
                transactions: self.transactions_of_batch(Seqno(start.first))?,
            }
        };
        let block = Arc::new(block);
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.put(number, Arc::clone(&block));
        Ok(Some(block))
    }

    fn cached(&self, number: u64) -> Option<Arc<Block>> {
        // A panic elsewhere cannot leave a cache of finished values half changed.
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.get(&number).cloned()
    }

    fn transactions_of_batch(&self, first: Seqno) -> Result<Vec<Arc<Outcome>>, HistoryError> {
        let end = self.node.batch_end(first)?;
        let mut transactions = Vec::new();
        for seqno in first.0..end.0 {
            transactions.extend(self.transaction_at(Seqno(seqno))?);
        }
        Ok(transactions)
    }

    /// The transaction at this place in the ledger; `None` if that is another entry.
    fn transaction_at(&self, seqno: Seqno) -> Result<Option<Arc<Outcome>>, HistoryError> {
        let writes = self.node.writes_at(seqno)?;
        let mut rows = writes
            .iter()
            .filter(|write| write.table == EVM_TRANSACTIONS);
        let row = rows.next().and_then(|write| write.value.as_deref());
        let outcome = row.map(Outcome::decode_row).transpose()?;
        Ok(outcome.map(Arc::new))
    }

    /// A transaction by its hash, and its place in the ledger.
    ///
    /// # Errors
    /// See [`HistoryError`].
    pub fn transaction(&self, hash: &B256) -> Result<Option<(TxId, Arc<Outcome>)>, HistoryError> {
        let found = self
            .node
            .last_seqno_of(&EVM_TRANSACTIONS, hash.as_slice())?;
        let Some(seqno) = found else { return Ok(None) };
        let id = self.node.id_at(seqno);
        Ok(id.zip(self.transaction_at(seqno)?))
    }

    /// The logs in these blocks, oldest first, from an index: what is not asked for is not read.
    ///
    /// # Errors
    /// See [`HistoryError`].
    pub fn logs(
        &self,
        query: &LogQuery,
        blocks: RangeInclusive<u64>,
    ) -> Result<Vec<PlacedLog>, HistoryError> {
        let Some(range) = self.seqnos_of_blocks(&blocks)? else {
            return Ok(Vec::new());
        };
        let (mut found, mut bytes) = (Vec::new(), 0);
        for seqno in self.candidates(query, &range, &blocks)? {
            let Some(transaction) = self.transaction_at(seqno)? else {
                continue;
            };
            let hash = block_hash(self.node.state(), transaction.block)?;
            let logs = matching(query, &transaction, hash);
            bytes += logs
                .iter()
                .map(|placed| placed.log.data.data.len())
                .sum::<usize>();
            found.extend(logs);
            if found.len() > LOGS_MAX || bytes > LOG_BYTES_MAX {
                let upto = transaction.block.saturating_sub(1).max(*blocks.start());
                return Err(HistoryError::TooManyLogs(*blocks.start()..=upto));
            }
        }
        Ok(found)
    }

    /// From where to where in the ledger these blocks are.
    fn seqnos_of_blocks(
        &self,
        blocks: &RangeInclusive<u64>,
    ) -> Result<Option<RangeInclusive<Seqno>>, HistoryError> {
        let state = self.node.state();
        let from = (*blocks.start()).max(1);
        let to = (*blocks.end()).min(self.newest()?);
        if from > to {
            return Ok(None);
        }
        let first = block_start(state, from)?.ok_or(Damaged("a block"))?.first;
        let last = block_start(state, to)?.ok_or(Damaged("a block"))?.first;
        Ok(Some(Seqno(first)..=self.node.batch_end(Seqno(last))?))
    }

    /// Transactions that may have such logs, ascending: those of the index that all conditions have, as far
    /// as looking at a condition is cheaper than reading what it would leave out.
    fn candidates(
        &self,
        query: &LogQuery,
        range: &RangeInclusive<Seqno>,
        blocks: &RangeInclusive<u64>,
    ) -> Result<BTreeSet<Seqno>, HistoryError> {
        let conditions = query.conditions();
        for most in [INDEXED_FEW, INDEXED_MAX] {
            let mut candidates: Option<BTreeSet<Seqno>> = None;
            for keys in &conditions {
                let Some(found) = self.indexed(keys, range, most)? else {
                    continue;
                };
                candidates = Some(match candidates {
                    None => found,
                    Some(before) => before.intersection(&found).copied().collect(),
                });
            }
            if let Some(candidates) = candidates {
                return Ok(candidates);
            }
        }
        if !conditions.is_empty() {
            return Err(HistoryError::TooManyLogs(*blocks.start()..=*blocks.start()));
        }
        // All logs of these blocks.
        if blocks.end().saturating_sub(*blocks.start()) >= LOG_BLOCKS_MAX {
            return Err(HistoryError::TooManyBlocks);
        }
        Ok((range.start().0..=range.end().0).map(Seqno).collect())
    }

    /// What the index has under any of these keys; `None` if that is more than `most`.
    fn indexed(
        &self,
        keys: &[Vec<u8>],
        range: &RangeInclusive<Seqno>,
        most: usize,
    ) -> Result<Option<BTreeSet<Seqno>>, HistoryError> {
        let mut found = BTreeSet::new();
        for key in keys {
            let seqnos = self
                .node
                .seqnos_of(&EVM_LOGS, key, range.clone(), most + 1)?;
            found.extend(seqnos);
            if found.len() > most {
                return Ok(None);
            }
        }
        Ok(Some(found))
    }
}

/// So few transactions are read and looked at rather than compared with a longer list.
const INDEXED_FEW: usize = 256;

/// Places of one condition that are taken together before a query counts as too wide.
const INDEXED_MAX: usize = 16 * LOGS_MAX;

impl LogQuery {
    /// Whether a log is asked for.
    pub fn matches(&self, log: &Log) -> bool {
        let topics = self.topics.iter().enumerate();
        (self.emitters.is_empty() || self.emitters.contains(&log.address))
            && topics
                .filter(|(_, any)| !any.is_empty())
                .all(|(place, any)| {
                    let topic = log.topics().get(place);
                    topic.is_some_and(|topic| any.contains(topic))
                })
    }

    /// Contracts and topics that it names.
    pub fn conditions_named(&self) -> usize {
        self.emitters.len() + self.topics.iter().map(Vec::len).sum::<usize>()
    }

    /// Keys of the index; a log that is asked for has one key of each condition.
    fn conditions(&self) -> Vec<Vec<Vec<u8>>> {
        let asked = (0u8..).zip(&self.topics).filter(|(_, any)| !any.is_empty());
        // Each contract with each topic are too many keys where both are many.
        let topics: usize = self.topics.iter().map(Vec::len).sum();
        if self.emitters.len() * topics > LOG_CONDITIONS_MAX {
            let of_emitters = self.emitters.iter().map(emitter_key).collect();
            let of_topics =
                asked.map(|(place, any)| any.iter().map(|topic| topic_key(place, topic)).collect());
            return std::iter::once(of_emitters).chain(of_topics).collect();
        }
        let of_topics = asked.map(|(place, any)| match &self.emitters[..] {
            emitters if place == 0 && !emitters.is_empty() => {
                let pairs = emitters.iter().flat_map(|emitter| {
                    any.iter()
                        .map(move |topic| emitter_event_key(emitter, topic))
                });
                pairs.collect()
            }
            _ => any.iter().map(|topic| topic_key(place, topic)).collect(),
        });
        let conditions: Vec<Vec<_>> = of_topics.collect();
        if conditions.is_empty() && !self.emitters.is_empty() {
            return vec![self.emitters.iter().map(emitter_key).collect()];
        }
        conditions
    }
}

/// The logs of a transaction that are asked for.
pub fn matching(query: &LogQuery, transaction: &Arc<Outcome>, block_hash: B256) -> Vec<PlacedLog> {
    let places = u64::from(transaction.logs_before)..;
    let placed = places.zip(&transaction.logs);
    placed
        .filter(|(_, log)| query.matches(log))
        .map(|(index, log)| PlacedLog {
            log: log.clone(),
            transaction: Arc::clone(transaction),
            index,
            block_hash,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(emitters: u8, topics: u8) -> LogQuery {
        LogQuery {
            emitters: (0..emitters).map(Address::repeat_byte).collect(),
            topics: [
                (0..topics).map(B256::repeat_byte).collect(),
                vec![],
                vec![],
                vec![],
            ],
        }
    }

    #[test]
    fn contracts_and_topics_are_looked_up_in_pairs_unless_both_are_many() {
        let lengths =
            |query: LogQuery| -> Vec<usize> { query.conditions().iter().map(Vec::len).collect() };
        assert_eq!(lengths(query(0, 0)), [0; 0]);
        assert_eq!(lengths(query(3, 0)), [3]);
        assert_eq!(lengths(query(0, 5)), [5]);
        assert_eq!(lengths(query(3, 5)), [15]);
        assert_eq!(lengths(query(100, 200)), [100, 200]);
        assert_eq!(query(100, 200).conditions_named(), 300);
    }
}
